"""Corpora: their splits, what is carved from train, and their fingerprint."""

import dataclasses
import gzip
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from lib.data import SPLITS, Split, load_corpus
from lib.errors import InputError
from lib.reading.options import Reading


def save(path, rows: list[tuple], names=("text", "label")) -> str:
    pd.DataFrame(rows, columns=names).to_csv(path, index=False)
    return str(path)


def test_dev_is_carved_from_train_stratified_and_seeded(folder):
    corpus = load_corpus(str(folder), dev_rows=12)
    again = load_corpus(str(folder), dev_rows=12)
    other = load_corpus(str(folder), dev_rows=12, split_seed=1)
    assert corpus.fingerprint == again.fingerprint != other.fingerprint
    assert Counter(corpus.dev.labels.tolist()) == {0: 6, 1: 6}
    assert sorted([*corpus.train.rows, *corpus.dev.rows]) == list(range(60))
    assert (len(corpus.train), len(corpus.dev), len(corpus.test)) == (48, 12, 21)
    assert corpus.label_names == ("no", "yes")
    assert corpus.train.lines.tolist() == (corpus.train.rows + 2).tolist()
    # The keys of runs depend on it.
    assert corpus.fingerprint[:16] == "452daf8cf0a1f55b"


def test_sizes_that_are_not_said(tmp_path, folder, capsys):
    rows = [(f"text {i}", i % 2) for i in range(400)]
    corpus = load_corpus(save(tmp_path / "many.csv", rows))
    assert [len(getattr(corpus, name)) for name in SPLITS] == [288, 32, 80]
    corpus = load_corpus(str(tmp_path / "many.csv"), train_rows=100)
    assert [len(getattr(corpus, name)) for name in SPLITS] == [100, 10, 80]
    corpus = load_corpus(str(folder), train_rows=20, test_rows=8)
    assert [len(getattr(corpus, name)) for name in SPLITS] == [20, 2, 8]
    corpus = load_corpus(str(folder), train_rows=100, dev_rows=6, test_rows=21)  # no fewer
    assert [len(getattr(corpus, name)) for name in SPLITS] == [54, 6, 21]
    assert capsys.readouterr().out == ("train_rows: 100 are asked for; there are 54, all taken\n")
    corpus = load_corpus(str(folder), train_rows=100, dev_rows=20, test_rows=50, subset_seed=1)
    assert sum(map(len, (corpus.train, corpus.dev))) == 60
    assert capsys.readouterr().out == (
        "test_rows: 50 are asked for; there are 21, all taken\n"
        "train_rows and dev_rows: 120 are asked for; there are 60, all taken\n"
    )


def test_rows_limits_and_equal_texts_stay_on_one_side(tmp_path):
    rows = [(f"text {i // 2}", i // 2 % 2) for i in range(80)]
    path = save(tmp_path / "train.csv", rows)
    corpus = load_corpus(path, dev_rows=8, test_rows=8, train_rows=12)
    texts = [set(getattr(corpus, name).texts) for name in SPLITS]
    assert all(texts) and not (texts[0] & texts[1] or texts[0] & texts[2] or texts[1] & texts[2])
    assert corpus.label_names == ("0", "1")


def test_a_class_with_one_text_stays_in_train(tmp_path):
    rows = [(f"text {i}", "ab"[i % 2]) for i in range(40)] + [("rare", "c")]
    corpus = load_corpus(save(tmp_path / "train.csv", rows), dev_rows=6, test_rows=6)
    assert "rare" in corpus.train.texts and corpus.num_labels == 3


def test_a_part_of_a_split_has_all_its_fields():
    split = Split(
        ["a", "b", "c"],
        np.array([0, 1, 0]),
        np.arange(3),
        true_labels=np.array([1, 1, 0]),
        pairs=["x", "y", "z"],
        lines=np.array([2, 4, 5]),
    )
    taken = split.take(np.array([2, 0]))
    assert taken.documents == [("c", "z"), ("a", "x")] and taken.whole_texts == ["c\nz", "a\nx"]
    assert taken.labels.tolist() == [0, 0] and taken.true_labels.tolist() == [0, 1]
    assert taken.rows.tolist() == [2, 0] and taken.lines.tolist() == [5, 2]
    single = dataclasses.replace(split, pairs=None)
    assert single.documents == single.whole_texts == ["a", "b", "c"]


def test_the_task_and_its_metric(tmp_path):
    def load(labels: list, **reading):
        rows = [(f"text {i}", f"pair {i}", label) for i, label in enumerate(labels)]
        path = save(tmp_path / "train.csv", rows, ("text", "other", "label"))
        return load_corpus(path, reading=Reading(**reading))

    def task(*arguments, **reading):
        corpus = load(*arguments, **reading)
        return corpus.task, corpus.metric, corpus.label_names

    assert task(["a", "b"] * 20) == ("classification", "f1", ("a", "b"))
    assert task(["a", "b", "c"] * 20) == ("classification", "macro_f1", ("a", "b", "c"))
    several = task(["a|b", "b"] * 20, label_separator="|")
    assert several == ("multilabel", "micro_f1", ("a", "b"))
    assert task([1.5, 2, 3] * 20, task="regression") == ("regression", "spearman", ("label",))
    plain, pairs = load(["a", "b"] * 20), load(["a", "b"] * 20, text_pair="other")
    assert plain.train.texts == pairs.train.texts and plain.fingerprint != pairs.fingerprint
    assert pairs.train.documents[0] == (pairs.train.texts[0], pairs.train.pairs[0])


def test_columns_by_number_and_a_fixed_order_of_labels(tmp_path):
    with gzip.open(tmp_path / "plain.csv.gz", "wt", encoding="latin-1") as file:
        file.writelines(f"{i};text {i} café;{'yes' if i % 2 else 'no'}\n" for i in range(60))
    path = str(tmp_path / "plain.csv.gz")
    how = {"labels": ["yes", "no"], "delimiter": ";", "encoding": "latin-1", "header": False}
    corpus = load_corpus(path, text="2", label="3", reading=Reading(**how))
    assert corpus.label_names == ("yes", "no") and corpus.metric == "f1"
    assert all(text.endswith(" café") for text in corpus.test.texts)
    assert corpus.train.labels.tolist() == [0 if row % 2 else 1 for row in corpus.train.rows]
    with pytest.raises(InputError, match=r"plain.csv.gz has no column '4'\. Choose from 1, 2, 3\."):
        load_corpus(path, text="4", label="3", reading=Reading(**how))
    rows = [(i, f"text {i}", i % 2) for i in range(40)]
    path = save(tmp_path / "named.csv", rows, ("id", "text", "label"))
    corpus = load_corpus(path, text="2", label="3")
    assert corpus.label_names == ("0", "1") and corpus.train.texts[0].startswith("text ")


def test_names_that_are_given(folder):
    (folder / "test.csv").write_text("text,label\ngood,no\nfine,maybe\n")
    with pytest.raises(
        InputError,
        match="test.csv, line 3: unknown label 'maybe' in column 'label'; the labels are no, yes",
    ):
        load_corpus(str(folder), label_names=("no", "yes"))
    corpus = load_corpus(str(folder), label_names=("yes", "maybe", "no"))
    assert corpus.label_names == ("yes", "maybe", "no") and corpus.test.labels.tolist() == [2, 1]


def test_names_to_show_come_from_labels_json(folder):
    (folder / "labels.json").write_text('{"no": "nein"}', encoding="utf-8")
    assert load_corpus(str(folder)).label_names == ("nein", "yes")


def test_train_with_one_class(tmp_path):
    path = save(tmp_path / "train.csv", [("good", "a"), ("fine", "a")])
    with pytest.raises(InputError, match=r"of train has one class only \(a\); at least two"):
        load_corpus(path)


def test_rows_that_are_refused_are_in_no_split(tmp_path):
    rows = [(f"text {i}", "ab"[i % 2]) for i in range(40)]
    rows[7], rows[20] = (" ", "a"), ("fine", "")
    path = save(tmp_path / "train.csv", rows)
    corpus = load_corpus(path, reading=Reading(on_bad_rows="quarantine"))
    lines = np.concatenate([getattr(corpus, name).lines for name in SPLITS])
    assert sorted(lines) == [line for line in range(2, 42) if line not in (9, 22)]
    assert [(row.file, row.line) for row in corpus.bad_rows] == [
        ("train.csv", 9),
        ("train.csv", 22),
    ]
    with pytest.raises(InputError, match="train.csv, line 9: column 'text' is empty"):
        load_corpus(path)


def test_the_true_labels_of_a_corpus_are_numbered_as_its_labels():
    corpus = load_corpus("demo_acts", train_rows=40, dev_rows=20, test_rows=30)
    assert len(corpus.label_names) < 100  # train has not all
    for split in (corpus.train, corpus.dev):
        given = [set(row) - {-1, corpus.num_labels} for row in split.labels.tolist()]
        true = [set(row) - {-1, corpus.num_labels} for row in split.true_labels.tolist()]
        same = [len(a & b) / len(a | b) for a, b in zip(given, true, strict=True) if a | b]
        assert np.mean(same) > 0.8 and max(map(max, map(list, filter(None, true)))) < len(
            corpus.label_names
        )
