"""The mean of the seeds' logits is one model: scored as scikit-learn scores the same mean."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score, root_mean_squared_error

from lib.analysis import tables
from lib.analysis.ensembles import ensemble_of, with_ensembles
from lib.analysis.names import spelled
from lib.analysis.predictions import Predictions
from tests.synthetic import classifiers, frame_of, regressors, runs_of, taggers


def mean_logits(p, head: str) -> np.ndarray:
    rows = p.frame[(p.frame["split"] == "test") & p.frame["run"].str.startswith(head)]
    return np.stack([run.filter(like="logit").to_numpy() for _, run in rows.groupby("run")]).mean(0)


def test_an_ensemble_has_a_row_below_its_group():
    p = classifiers()
    table = tables.by_group(p, by="head", metrics=["accuracy"], ensembles=True)
    assert table["head"].tolist()[:2] == ["far", "far, ensemble of 3 seeds"]
    row = table.set_index("head").loc["near, ensemble of 3 seeds"]
    labels = p.frame[(p.frame["run"] == "near1".ljust(16, "0")) & (p.frame["split"] == "test")]
    predicted = mean_logits(p, "near").argmax(1)
    assert row["accuracy"] == pytest.approx(accuracy_score(labels["label"], predicted))
    half = 1.96 * np.sqrt(row["accuracy"] * (1 - row["accuracy"]) / 600)
    assert row["accuracy_high"] - row["accuracy_low"] == pytest.approx(2 * half, rel=0.05)
    assert np.isnan(row["accuracy_sd"]) and row["seeds"] == 3
    assert "is one model: its interval" in table.attrs["note"]
    plain = tables.by_group(p, by="head", metrics=["accuracy"])
    pd.testing.assert_frame_equal(plain, table.iloc[::2].reset_index(drop=True))


def test_of_numbers_it_is_their_mean():
    p = regressors()
    table = tables.by_group(p, by="head", metrics=["rmse"], ensembles=True).set_index("head")
    gold = p.frame[(p.frame["run"] == "rough1".ljust(16, "0")) & (p.frame["split"] == "test")]
    wanted = root_mean_squared_error(gold["label"], mean_logits(p, "rough"))
    assert table.loc["rough, ensemble of 3 seeds", "rmse"] == pytest.approx(wanted)


def test_of_several_labels_logits_are_averaged_by_label():
    rng = np.random.default_rng(0)
    runs = runs_of(["tags"])
    gold = {f"gold_{i}": np.where(rng.random(50) < 0.5, i, -1) for i in range(3)}
    by_label = []
    frames = []
    for key in runs:
        logits = rng.normal(size=(50, 3))
        ranked = (-logits).argsort(1)
        by_label.append(logits)
        columns = {f"top_{i}": ranked[:, i] for i in range(3)}
        best = np.take_along_axis(logits, ranked, axis=1)
        columns |= {f"logit_{i}": best[:, i] for i in range(3)}
        frames.append(frame_of(key, "test", **gold, **columns))
    counts = np.array([30, 40, 30])
    p = Predictions(pd.concat(frames, ignore_index=True), runs, ("a", "b", "c"), 100, counts)
    table = tables.by_group(p, by="head", metrics=["micro_f1"], ensembles=True).set_index("head")
    has = np.stack([gold[f"gold_{i}"] >= 0 for i in range(3)], axis=1)
    wanted = f1_score(has, np.mean(by_label, axis=0) > 0, average="micro")
    assert table.loc["tags, ensemble of 3 seeds", "micro_f1"] == pytest.approx(wanted)


def test_where_there_is_none():
    [group] = taggers().groups("head")
    assert len(with_ensembles([group], 3)) == 2
    assert with_ensembles([group], 4) == [group]  # not all labels' logits are kept
    alone = group.only([0])
    assert with_ensembles([alone], 3) == [alone]
    assert not ensemble_of(group).has_seeds


def test_the_ensemble_of_a_choice_is_spelled_as_the_choice_is():
    assert spelled("cls, ensemble of 3 seeds") == "CLS, ensemble of 3 seeds"
    assert spelled("mine, ensemble of 3 seeds") == "mine, ensemble of 3 seeds"
