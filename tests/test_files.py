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
