"""Files are written whole, digests tell contents apart, and a cache makes things once."""

import pytest
import torch

from lib.runs import files


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "folder" / "file.json"
    files.write_json(path, {"ü": [1, None]})
    assert files.read_json(path) == {"ü": [1, None]}
    with pytest.raises(RuntimeError), files.whole_file(path) as part:
        part.write_text("half", encoding="utf-8")
        raise RuntimeError("killed")
    assert files.read_json(path) == {"ü": [1, None]}
    assert [file.name for file in path.parent.iterdir()] == ["file.json"]


def test_digests_tell_parts_apart():
    assert files.digest("ab", "c") != files.digest("a", "bc")
    assert files.digest(torch.tensor([1.0])) != files.digest(torch.tensor([2.0]))
    assert files.digest("a", 1, b"x") == files.digest("a", "1", b"x")
    assert files.digest("\ud800") != files.digest("\ud801")  # halves of characters


def test_cached_tensors_are_made_once(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"x": torch.arange(3)}

    for _ in range(2):
        stored = files.cached_tensors(tmp_path, files.digest("key"), make)
        assert stored["x"].tolist() == [0, 1, 2]
    files.cached_tensors(None, files.digest("key"), make)
    assert len(made) == 2


def test_file_digests_leave_out_a_name(tmp_path):
    (tmp_path / "a").write_text("1", encoding="utf-8")
    (tmp_path / "b").write_text("1", encoding="utf-8")
    digests = files.file_digests(tmp_path, leave_out="b")
    assert list(digests) == ["a"] and len(digests["a"]) == 64


def cache_of(folder) -> tuple:
    """A file of the cache, and how often what it holds has been made."""
    made = []

    def make():
        made.append(1)
        return {"x": torch.arange(30).view(5, 6), "y": torch.ones(2)}

    def ask() -> dict:
        return files.cached_tensors(folder, files.digest("key"), make)

    ask()
    return next(folder.iterdir()), ask, made


def test_a_cache_with_a_flipped_bit_is_made_again(tmp_path, capsys):
    path, ask, made = cache_of(tmp_path)
    whole = path.read_bytes()
    for position in range(0, len(whole), 9):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        made.clear()
        tensors = ask()
        assert tensors["x"].tolist() == torch.arange(30).view(5, 6).tolist() and made == [1]
        assert f"The cache {path} is damaged, or of an earlier version" in capsys.readouterr().out
        assert path.read_bytes() == whole
    ask()
    assert made == [1] and not capsys.readouterr().out


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_a_torn_cache_is_made_again(length, tmp_path, capsys):
    path, ask, made = cache_of(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    assert len(ask()) == 2 and len(made) == 2
    assert "is damaged" in capsys.readouterr().out


def test_the_cache_of_another_key_is_not_read(tmp_path):
    path, _, _ = cache_of(tmp_path)
    other = tmp_path / f"{files.digest('other')[:32]}.safetensors"
    other.write_bytes(path.read_bytes())
    tensors = files.cached_tensors(
        tmp_path, files.digest("other"), lambda: {"x": torch.zeros(1), "y": torch.zeros(1)}
    )
    assert tensors["x"].tolist() == [0.0]


def test_a_cache_of_an_earlier_version_is_made_again(tmp_path):
    path, ask, made = cache_of(tmp_path)
    files.save_file({"x": torch.zeros(1)}, path)
    assert ask()["x"].shape == (5, 6) and len(made) == 2
