"""Which file of a folder holds which split."""

import pytest

from lib.errors import InputError
from lib.reading.folders import find_files, read_label_names, tell_unread
from lib.reading.options import PLAIN, Reading


def save(path, *names: str) -> None:
    for name in names:
        (path / name).write_text(name)


def test_the_files_of_a_folder_and_those_named(tmp_path):
    save(tmp_path, "train.csv.gz", "valid.jsonl", "test.txt", "other.csv", "notes.md")
    files = find_files(tmp_path, PLAIN)
    assert {split: file.name for split, (file,) in files.items()} == {
        "train": "train.csv.gz",
        "dev": "valid.jsonl",
        "test": "test.txt",
    }
    files = find_files(tmp_path, Reading(dev_file=str(tmp_path / "other.csv")))
    assert files["dev"][0].name == "other.csv" and list(files) == ["train", "dev", "test"]
    assert find_files(tmp_path / "other.csv", PLAIN) == {"train": (tmp_path / "other.csv",)}


def test_what_a_folder_lacks_or_has_twice(tmp_path):
    with pytest.raises(InputError, match=r"has no train file; name one train with any of "):
        find_files(tmp_path, PLAIN)
    save(tmp_path, "train.csv", "dev.csv", "val.tsv")
    with pytest.raises(InputError, match=r"has several files for dev: dev.csv, val.tsv; keep one"):
        find_files(tmp_path, PLAIN)
    save(tmp_path, "train.tsv")
    with pytest.raises(InputError, match="several files for train: train.csv, train.tsv"):
        find_files(tmp_path, PLAIN)


def test_a_file_for_two_splits(tmp_path):
    save(tmp_path, "train.csv", "test.csv")
    twice = Reading(dev_file=str(tmp_path / "test.csv"))
    with pytest.raises(InputError, match=r"^test.csv is given both as test and as dev$"):
        find_files(tmp_path, twice)
    (tmp_path / "test.csv").write_text("train.csv")
    with pytest.raises(
        InputError, match=r"^train.csv \(train\) and test.csv \(test\) are the same, byte for byte$"
    ):
        find_files(tmp_path, PLAIN)


def test_a_file_that_is_not_there_is_left_to_whoever_reads_it(tmp_path):
    save(tmp_path, "train.csv", "test.csv")
    reading = Reading(dev_file="nowhere.csv", test_file=str(tmp_path / "test.csv"))
    assert find_files(tmp_path / "train.csv", reading)["dev"][0].name == "nowhere.csv"


def test_a_named_file_below_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save(tmp_path, "train.csv", "more.csv", "last.csv")
    reading = Reading(dev_file="~/more.csv", test_file="~/last.csv")
    files = find_files(tmp_path / "train.csv", reading)
    assert files["dev"] == (tmp_path / "more.csv",) and files["test"] == (tmp_path / "last.csv",)


def test_a_table_of_no_split_is_named(tmp_path, capsys):
    save(tmp_path, "train.csv", "tset.csv", "dev.csv", "labels.json", "notes.md")
    tell_unread(find_files(tmp_path, PLAIN))
    assert capsys.readouterr().out == (
        f"{tmp_path.name}: tset.csv is of no split; files are read that are called train, dev, "
        "validation, valid, val, test, or that dev_file and test_file name\n"
    )
    tell_unread(find_files(tmp_path, Reading(test_file=str(tmp_path / "tset.csv"))))
    assert not capsys.readouterr().out


@pytest.mark.parametrize("content", ['{"0": "no", "1": "yes"}', '["no", "yes"]'])
def test_names_to_show_for_labels(tmp_path, content):
    assert read_label_names(tmp_path) == {}
    (tmp_path / "labels.json").write_text(content)
    assert read_label_names(tmp_path) == {"0": "no", "1": "yes"}
