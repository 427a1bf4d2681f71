"""Folds: every row of a table is scored once, by models that were trained without it."""

from collections import Counter

import numpy as np
import pytest

from lib.analysis import label_errors, tables
from lib.analysis.predictions import collect
from lib.data import load_corpus
from lib.errors import InputError
from lib.many.pool import run_all
from lib.many.single import prepare
from lib.reading.folds import folds_of
from lib.reading.options import Reading
from lib.runs.config import by_fold
from tests import calibration_folds
from tests.conftest import WORDS, learnable, tiny_run


def save_table(path, rows: int, repeats: int = 0):
    """A file of texts with labels and authors, so many of them again at its end."""
    texts, labels = learnable(rows, 3)
    lines = [
        f"{text} {WORDS[i % 40]} {i},{label},a{i // 3}"
        for i, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]
    path.write_text("\n".join(["text,label,author", *lines, *lines[:repeats]]) + "\n")
    return path


@pytest.mark.parametrize("group", [None, "author"])
def test_a_thousand_rows_are_scored_once_and_equal_texts_together(tmp_path, group):
    path = save_table(tmp_path / "table.csv", 900, repeats=100)
    scored, labels = [], []
    for fold in range(1, 6):
        corpus = load_corpus(str(path), folds=5, fold=fold, reading=Reading(group=group))
        sides = {}
        for name in ("train", "dev", "test"):
            split = getattr(corpus, name)
            for unit in split.texts if group is None else split.groups:
                sides.setdefault(unit, set()).add(name)
        assert all(len(names) == 1 for names in sides.values())
        assert len(corpus.train) + len(corpus.dev) + len(corpus.test) == 1000
        scored += corpus.test.rows.tolist()
        labels.append(np.bincount(corpus.test.labels))
    assert sorted(scored) == [*range(1000)]
    assert np.ptp(labels, axis=0).max() <= 0.05 * 200


def test_folds_are_a_function_of_the_rows_and_the_seed(tmp_path):
    table = load_corpus(str(save_table(tmp_path / "table.csv", 60))).train
    first = folds_of(table, 4, seed=0)
    assert np.array_equal(first, folds_of(table, 4, seed=0))
    assert not np.array_equal(first, folds_of(table, 4, seed=1))
    assert max(Counter(first.tolist()).values()) - min(Counter(first.tolist()).values()) <= 1


def test_what_cannot_be_cut_in_folds(tmp_path, folder):
    path = str(save_table(tmp_path / "table.csv", 40))
    for options, message in (
        ({"folds": 1, "fold": 1}, "folds is 1; take 2 or more, or 0 for one split"),
        ({"folds": 5}, "fold is None; folds = 5 has folds 1 to 5"),
        ({"folds": 5, "fold": 6}, "fold is 6; folds = 5 has folds 1 to 5"),
        ({"folds": 5, "fold": 1, "test_rows": 9}, "scores every row once; leave out test_rows"),
        ({"folds": 41, "fold": 1}, "folds is 41, but there are 40 different texts"),
    ):
        with pytest.raises(InputError, match=message):
            load_corpus(path, **options)
    with pytest.raises(InputError, match="scores every row of one table, but .* for test, too"):
        load_corpus(str(folder), folds=5, fold=1)


def test_a_class_that_a_folds_train_lacks_keeps_its_place(tmp_path):
    path = tmp_path / "rare.csv"
    rows = [f"{word} {i},{'ab'[i % 2]}" for i, word in enumerate(WORDS)]
    path.write_text("\n".join(["text,label", "lona only,0rare", *rows]) + "\n")
    corpora = [load_corpus(str(path), folds=3, fold=fold) for fold in (1, 2, 3)]
    assert {corpus.label_names for corpus in corpora} == {("0rare", "a", "b")}
    assert sum((corpus.test.labels == 0).sum() for corpus in corpora) == 1


def test_configurations_come_fold_by_fold(tiny, tmp_path):
    config = tiny_run(tiny, tmp_path / "x.csv", folds=2)
    configs = by_fold([config, config.with_(seed=2), config.with_(folds=None)])
    assert [(each.fold, each.seed) for each in configs] == [
        *((1, 1), (1, 2), (None, 1)),
        *((2, 1), (2, 2)),
    ]


@pytest.fixture(scope="module")
def in_folds(tiny, tmp_path_factory):
    """Runs of two seeds and the references in three folds of a table of 60 rows, and the table."""
    root = tmp_path_factory.mktemp("folds")
    path = save_table(root / "table.csv", 57, repeats=3)
    base = tiny_run(tiny, path, folds=3, dev_rows=8, epochs=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNS_DIR", str(root / "runs"))
        configs = by_fold(
            [base, base.with_(seed=2), base.baseline("tfidf"), base.baseline("majority")]
        )
        runs = run_all(configs, "none")
        return runs, collect(runs), base, root / "runs"


def test_runs_of_all_folds_are_one_on_every_row(in_folds, monkeypatch):
    runs, p, base, store = in_folds
    monkeypatch.setenv("RUNS_DIR", str(store))
    assert len(runs) == 12 and len({run.key for run in runs}) == 12
    model, linear, majority = p.groups("head")
    for group in (model, linear, majority):
        assert sorted(group.rows.tolist()) == [*range(60)]
        assert np.array_equal(group.rows, model.rows)
    assert model.seeds == [1, 2] and model.logits.shape == (2, 60, 2)
    right = 0
    for fold in (1, 2, 3):
        run = next(run for run in runs if run.config == base.with_(fold=fold))
        corpus = prepare(run.config).corpus
        test = run.predictions.query(f"split == 'test' and epoch == {run.status['chosen_epoch']}")
        assert test["row"].tolist() == corpus.test.rows.tolist()
        right += int((test[["logit_0", "logit_1"]].to_numpy().argmax(1) == test["label"]).sum())
    table = tables.by_group(p, by="head", metrics=["accuracy"])
    assert table["documents"].tolist() == [60, 60, 60]
    assert model.right[0].mean() == pytest.approx(right / 60)
    assert (model.tokens > 2).all()
    by_run = tables.by_run(p, by="head", metrics=["accuracy"])
    assert len(by_run) == 6 and sorted(by_run["fold"]) == [1, 1, 2, 2, 3, 3]
    doubted = label_errors.label_errors(p, by="head", group="native", most=99)
    assert set(doubted["row"]) <= {*range(60)}
    if len(doubted):
        assert "of the 60 documents" in label_errors.suspects(p, by="head", group="native")


def test_a_seed_without_one_of_the_folds_is_left_out(in_folds):
    p = in_folds[1]
    of_second = [key for key, run in p.trained.items() if run["config"]["seed"] == 2]
    p = p.only({key: run for key, run in p.runs.items() if key != of_second[-1]})
    assert p.groups("head")[0].seeds == [1]
    alone = p.only({of_second[0]: p.runs[of_second[0]]})
    assert len(alone.groups("head")[0].rows) == 20


def test_intervals_over_folds_hold_the_truth_as_those_of_a_split_do(monkeypatch):
    monkeypatch.setattr(calibration_folds, "STUDIES", 150)
    split = calibration_folds.coverage(200, [0])
    folds = calibration_folds.coverage(200, [0, 1, 2, 3, 4])
    assert min(split["models"], folds["models"], folds["method"]) > 0.9
    assert folds["half"] < 0.5 * split["half"]
