"""The fuzz itself, in its small form: nothing is read as what it is not; and its own parts."""

import os
import random
import time
from pathlib import Path

import pytest

from lib.errors import InputError
from tests import fuzz, fuzz_files


def test_a_few_cases_of_each_kind(capsys):
    arguments = ["--files", "8", "--configs", "6", "--flips", "20", "--workers", "2"]
    assert fuzz.main(arguments) == 0, capsys.readouterr().out
    lines = capsys.readouterr().out.splitlines()
    kinds = [line.split()[0] for line in lines[:-1]]
    assert {"csv", "tsv", "json", "jsonl", "parquet", "csv.gz", "config", "page"} <= set(kinds)
    assert lines[-1].startswith("0 faults in ")


ACTIONS = {  # what a case does, and what is counted
    "fine": (lambda material, dice, folder: "read", "read"),
    "refuses": (lambda material, dice, folder: fail(InputError("no")), "refused"),
    "other": (lambda material, dice, folder: fail(fuzz.FaultError("rows")), "fault"),
    "raises": (lambda material, dice, folder: fail(ZeroDivisionError()), "traceback"),
    "sleeps": (lambda material, dice, folder: time.sleep(60), "hang"),
    "dies": (lambda material, dice, folder: os._exit(3), "died"),
}


def fail(error):
    raise error


def test_every_fault_is_counted_and_the_rest_goes_on(monkeypatch, tmp_path):
    monkeypatch.setattr(fuzz, "ACTIONS", {name: action for name, (action, _) in ACTIONS.items()})
    monkeypatch.setattr(fuzz, "LIMIT", 1)
    (tmp_path / "notebooks").mkdir()
    material = fuzz.Material(tmp_path, *[None] * 4)
    cases = [(name, number) for number in (1, 2) for name in ACTIONS]
    results = list(fuzz.outcomes(cases, material, seed=0, workers=2))
    assert sorted((kind, outcome) for (kind, _), outcome, _ in results) == sorted(
        (name, outcome) for name, (_, outcome) in ACTIONS.items() for _ in (1, 2)
    )


@pytest.mark.parametrize("suffix", fuzz_files.FORMATS)
def test_other_readers_count_the_rows_of_a_file_that_is_whole(suffix):
    dice = random.Random(1)
    for _ in range(5):
        rows = fuzz_files.rows_of(dice)
        content = fuzz_files.content_of(suffix.removesuffix(".gz"), rows)
        if suffix.endswith(".gz"):
            content = fuzz_files.gzip.compress(content)
        assert len(rows) in fuzz_files.counts_of(suffix, content, quotes=True)


def test_rows_that_vanish_are_a_fault(monkeypatch, tmp_path):
    whole = fuzz_files.load_corpus
    monkeypatch.setattr(fuzz_files, "mutated", lambda dice, content: content)
    monkeypatch.setattr(
        fuzz_files, "load_corpus", lambda path, reading: whole(path, reading=reading, train_rows=4)
    )
    with pytest.raises(fuzz.FaultError, match=r"rows are read without a word; others read"):
        fuzz_files.read_mutated(".csv", random.Random(1), Path(tmp_path), lambda: "")
