"""Tables from made-up predictions, against counts by hand and scikit-learn."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from lib.analysis import cells, classes, comparisons, tables
from lib.analysis.predictions import Predictions, group_of
from lib.metrics import METRICS
from lib.publish.page import FINDINGS, TABLES
from tests.synthetic import classifiers, frame_of, regressors, taggers

PUBLISHED = {  # names on published pages, which must go on meaning something
    *("by_group", "by_run", "by_epoch", "by_class", "by_length", "by_cell", "by_frequency"),
    *("confusion_table", "imbalance", "differences", "overshoot", "without_rows"),
    *("expected_best", "halving", "effects", "calibration", "reliability", "class_report"),
    *("label_errors", "survival", "gains", "by_student_run", "bug_scores", "bug_effects"),
    "every_run",
}


def test_names_on_published_pages_are_in_the_registry():
    assert set(TABLES) >= PUBLISHED
    assert {"leader", "sweet_spot", "chosen", "calibrated", "suspects", "survives"} <= set(FINDINGS)


def test_a_mean_with_its_spread_and_interval():
    p = classifiers()
    table = tables.by_group(p, by="head", metrics=["accuracy", "macro_f1"]).set_index("head")
    for name in ("far", "near"):
        group = group_of(p, "head", name)
        accuracies = [sk.accuracy_score(group.labels, row) for row in group.predicted]
        f1 = [sk.f1_score(group.labels, row, average="macro") for row in group.predicted]
        assert table.loc[name, "accuracy"] == pytest.approx(np.mean(accuracies))
        assert table.loc[name, "accuracy_sd"] == pytest.approx(np.std(accuracies, ddof=1))
        assert table.loc[name, "macro_f1"] == pytest.approx(np.mean(f1))
        assert table.loc[name, "accuracy_low"] < np.mean(accuracies)
    assert table.attrs["metrics"] == {"accuracy": "accuracy", "macro_f1": "macro_f1"}


def test_every_table_says_what_its_columns_hold():
    p = classifiers()
    for function, options in (
        (tables.by_group, {"metrics": ["accuracy"]}),
        (tables.by_run, {"metrics": ["accuracy"]}),
        (tables.by_epoch, {"metrics": ["accuracy"]}),
        (tables.by_length, {"max_length": 8}),
        (tables.without_rows, {"metrics": ["accuracy"], "rows": [1, 2]}),
        (tables.overshoot, {}),
        (classes.by_class, {}),
        (comparisons.differences, {}),
    ):
        table = function(p, by="head", **options)
        named = {column: m for column, m in table.attrs["metrics"].items() if column in table}
        assert named and set(named.values()) <= set(METRICS)
        ends = {f"{column}{end}" for column in named for end in ("_sd", "_low", "_high")}
        words = {column for column in table if pd.api.types.is_float_dtype(table[column])}
        assert words <= {*named, *ends}, function.__name__


def test_a_confusion_has_the_gold_names_where_no_class_can_be():
    p = dataclasses.replace(classifiers(), label_names=("gold", "right"))
    table = classes.confusion_table(p, by="head", group="near")
    group = group_of(p, "head", "near")
    wanted = np.mean([sk.confusion_matrix(group.labels, row) for row in group.predicted], axis=0)
    assert table.index.name == "gold" and list(table.columns) == ["gold", "right"]
    assert table.to_numpy() == pytest.approx(wanted)
    assert table.attrs["literal"] == ["gold", "right"] and table.attrs["metrics"] == {}


def test_an_imbalance_is_that_of_repeated_documents():
    p = classifiers()
    group = group_of(p, "head", "near")
    table = classes.imbalance(p, by="head", group="near", ratio=3).set_index("majority class")
    by_hand = []
    for row in group.predicted:
        share = np.bincount(group.labels)[group.labels]  # classes alike, then one three times
        weights = np.where(group.labels == 1, 3.0, 1.0) / share
        by_hand.append(sk.f1_score(group.labels, row, average="macro", sample_weight=weights))
    assert table.loc["yes", "macro_f1"] == pytest.approx(np.mean(by_hand))


def test_runs_by_seed_and_documents_left_out():
    p = classifiers()
    runs = tables.by_run(p, by="head", metrics=["accuracy"])
    assert runs["seed"].tolist() == [1, 2, 3] * 3
    assert runs["accuracy"].tolist() == runs["accuracy, last epoch"].tolist()
    table = tables.without_rows(p, by="head", metrics=["accuracy"], rows=list(range(100)))
    group = group_of(p, "head", "far")
    right = (group.predicted == group.labels)[:, 100:]
    assert table["leaked"].tolist() == [100] * 3
    assert table["accuracy, without"].iloc[0] == pytest.approx(right.mean())


def test_numbers_are_compared_by_which_is_nearer():
    table = comparisons.differences(regressors(), by="head", metric="rmse", verdict=True)
    row = table.iloc[0]
    assert row["compared"] == "rough − exact" and row["rmse"] == pytest.approx(0.9, abs=0.1)
    assert row["stands"] == "yes" and table.attrs["bold"] == [(0, "rmse")]
    assert "the sign test of which is nearer" in table.attrs["note"]
    best = tables.by_group(regressors(), by="head", metrics=["rmse"], verdict=True)
    assert best.attrs["bold"] == [(0, "rmse")]  # the lower one


def test_labels_of_like_frequency():
    p = taggers()  # 30, 40 and 30 train documents
    table = classes.by_frequency(p, by="head", edges=[1, 35])
    group = group_of(p, "head", "tags")
    assert table["train documents"].tolist() == ["1–34", "35 and more"]
    gold = group.labels == 1
    assert table["times gold"].tolist() == [int((group.labels >= 0).sum() - gold.sum()), gold.sum()]
    assert table["R@5"].tolist() == [1.0, 1.0]  # all three labels are among the first five
    none = classes.by_frequency(p, by="head", edges=[1, 1000])
    assert none["R@5"].isna().tolist() == [False, True]  # too few documents for a score


def grid() -> Predictions:
    """Two optimizers at two rates; the better rate learned, one run diverged without a score."""
    settings = [("adam", 0.1, 0.9), ("sgd", 1.0, None), ("adam", 0.01, 0.6), ("sgd", 0.1, 0.8)]
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=200)
    runs = {}
    frames = []
    for number, (optimizer, rate, accuracy) in enumerate(settings):
        key = f"{number}".ljust(16, "0")
        config = {"backbone": "tiny", "seed": 1, "optimizer": optimizer, "learning_rate": rate}
        runs[key] = {"config": config | {"weight_decay": 0.0}, "status": "finished"}
        runs[key] |= {"chosen_epoch": 1 if accuracy else 0, "last_epoch": 1}
        if accuracy is None:
            runs[key] |= {"status": "diverged", "reason": "not finite at step 3"}
            continue
        for split in ("dev", "test"):
            right = rng.random(200) < accuracy
            logit = np.where(right == (labels == 1), 1.0, -1.0)
            frames.append(frame_of(key, split, label=labels, logit_0=-logit, logit_1=logit))
    return Predictions(pd.concat(frames, ignore_index=True), runs, ("no", "yes"))


def test_cells_say_how_their_runs_ended():
    by = ["optimizer", "learning_rate"]
    table = cells.by_cell(grid(), by=by, metrics=["accuracy"])
    assert table["optimizer"].tolist() == ["adam", "adam", "sgd", "sgd"]
    assert table["learning_rate"].tolist() == ["0.01", "0.1", "0.1", "1"]
    assert table["outcome"].tolist() == ["finished", "finished", "finished", "diverged"]
    assert table["accuracy"].isna().tolist() == [False, False, False, True]
    assert table["reason"].tolist() == ["", "", "", "not finite at step 3"]
    assert "dev_loss" not in table  # nobody watched their health
    ranked = cells.by_cell(grid(), by=by, metrics=["accuracy"], ranked=True)
    assert ranked["accuracy"].iloc[:3].is_monotonic_decreasing and ranked["reason"].iloc[3]


def test_the_best_cell_of_each_group():
    best = cells.best(grid(), metric="accuracy")
    assert [run["config"]["learning_rate"] for run in best.runs.values()] == [0.1, 0.1]
