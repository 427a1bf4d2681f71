"""Tables from made-up predictions, against counts by hand and scikit-learn."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from lib.analysis import cells, classes, comparisons, tables
from lib.analysis.columns import ENDS
from lib.analysis.predictions import Predictions, group_of
from lib.metrics import METRICS
from tests.synthetic import classifiers, frame_of, regressors


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
        (tables.without_rows, {"metrics": ["accuracy"], "rows": [1, 2]}),
        (comparisons.differences, {}),
    ):
        say_what_their_columns_hold(function(p, by="head", **options))


def say_what_their_columns_hold(table: pd.DataFrame) -> None:
    """Every number of a table is of a metric, or beside one that is."""
    named = {column: m for column, m in table.attrs["metrics"].items() if column in table}
    assert named and set(named.values()) <= set(METRICS)
    ends = {f"{column}{end}" for column in named for end in ENDS}
    words = {column for column in table if pd.api.types.is_float_dtype(table[column])}
    assert words <= {*named, *ends}


def test_a_confusion_has_the_gold_names_where_no_class_can_be():
    p = dataclasses.replace(classifiers(), label_names=("gold", "right"))
    table = classes.confusion_table(p, by="head", group="near")
    group = group_of(p, "head", "near")
    wanted = np.mean([sk.confusion_matrix(group.labels, row) for row in group.predicted], axis=0)
    assert table.index.name == "gold" and list(table.columns) == ["gold", "right"]
    assert table.to_numpy() == pytest.approx(wanted)
    assert table.attrs["literal"] == ["gold", "right"] and table.attrs["metrics"] == {}


def test_runs_by_seed_and_documents_left_out():
    p = classifiers()
    runs = tables.by_run(p, by="head", metrics=["accuracy"])
    assert runs["seed"].tolist() == [1, 2, 3] * 3
    assert runs["accuracy"].tolist() == runs["accuracy, last epoch"].tolist()
    table = tables.without_rows(p, by="head", metrics=["accuracy"], rows=list(range(100)))
    group = group_of(p, "head", "far")
    right = (group.predicted == group.labels)[:, 100:]
    assert table["near-duplicates"].tolist() == [100] * 3
    assert table["accuracy, without"].iloc[0] == pytest.approx(right.mean())


def test_numbers_are_compared_like_shares():
    table = comparisons.differences(regressors(), by="head", metric="rmse", verdict=True)
    row = table.iloc[0]
    assert row["compared"] == "rough − exact" and row["rmse"] == pytest.approx(0.9, abs=0.1)
    assert row["verdict"] == "significant" and table.attrs["bold"] == [(0, "rmse")]
    assert "A true difference of 0.0" in table.attrs["note"]
    best = tables.by_group(regressors(), by="head", metrics=["rmse"], verdict=True)
    assert best.attrs["bold"] == [(0, "rmse")]  # the lower one


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


def test_a_score_without_any_document_is_none():
    p = classifiers()
    table = tables.without_rows(p, by="head", metrics=["accuracy"], rows=list(range(600)))
    assert (
        table["near-duplicates"].tolist() == [600, 600, 600] and (table["documents"] == 600).all()
    )
    assert table["accuracy"].notna().all() and table["accuracy, without"].isna().all()
    assert table.attrs["note"].startswith("Every test document has a near-duplicate in train or")
    one_left = tables.without_rows(p, by="head", metrics=["accuracy"], rows=list(range(599)))
    assert one_left["accuracy, without"].notna().all() and "note" not in one_left.attrs
