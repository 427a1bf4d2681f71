"""Probabilities, thresholds and labels that look wrong."""

import dataclasses

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from lib.analysis import calibration, decisions, label_errors, tables
from lib.analysis.predictions import Group, collect
from lib.errors import InputError
from lib.many.pool import run_all
from lib.reading.options import Reading
from lib.runs.config import RunConfig
from lib.thresholds import best_threshold, dense
from notebooks import your_data
from tests.conftest import learnable
from tests.test_your_data import table


def test_ece_by_hand_and_temperature_finds_what_was_done():
    assert calibration.ece(
        np.array([0.95, 0.95, 0.55]), np.array([True, False, True]), bins=10
    ) == pytest.approx((2 * 0.45 + 0.45) / 3)
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 3)).astype(np.float32)
    chance = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([rng.choice(3, p=row / row.sum()) for row in chance.astype(float)])
    too_sure = Group("x", ["x"], [1], labels, 3 * logits[None])
    assert calibration.fit_temperature(too_sure, 0) == pytest.approx(3, rel=0.1)
    before, after = (
        calibration.ece(*calibration.confidences(too_sure, 0, t)[:2]) for t in (1.0, 3.0)
    )
    assert after < 0.03 < 0.15 < before


def test_the_best_threshold_is_the_best():
    rng = np.random.default_rng(1)
    for _ in range(20):
        logits, gold = rng.integers(6, size=30).astype(float), rng.random(30) < 0.4
        gold[0] = True
        best = max(sklearn_metrics.f1_score(gold, logits > cut) for cut in np.arange(-0.5, 6))
        own = sklearn_metrics.f1_score(gold, logits > best_threshold(logits, gold))
        assert own == pytest.approx(best)


@pytest.fixture
def several(tiny, tmp_path):
    own = table("several", tmp_path)
    config = RunConfig(
        dataset=own["dataset"],
        text="words",
        label="answer",
        reading=Reading(label_separator=";"),
        dev_rows=40,
        test_rows=40,
        backbone=tiny["bert"],
        max_length=24,
        epochs=4,
        batch_size=8,
        learning_rate=3e-3,
        select_by="micro_f1",
        precision="fp32",
    )
    return run_all([config.with_(seed=seed) for seed in (1, 2)], "none")


def test_thresholds_are_from_dev_and_judged_on_test(several):
    p = collect(several)
    test, dev = (decisions.group_of(p, "head", "native", split) for split in ("test", "dev"))
    n = len(p.label_names)
    told = decisions.thresholds(p, by="head", group="native")
    wanted = []
    for i in range(2):
        own = decisions.tune(dev, i, n)["one a label, from dev"]
        logits, gold = dense(test.logits[i], test.ranked[i], test.labels, n)
        wanted.append(sklearn_metrics.f1_score(gold, logits > own, average="micro"))
    assert told["micro_f1"].iloc[2] == pytest.approx(np.mean(wanted))
    assert told["micro_f1, gain"].iloc[2] == pytest.approx(
        told["micro_f1"].iloc[2] - told["micro_f1"].iloc[0]
    )
    report = decisions.class_report(p, by="head", group="native").set_index("class")
    by_run = []
    for i in range(2):
        logits, gold = dense(test.logits[i], test.ranked[i], test.labels, n)
        by_run.append(sklearn_metrics.f1_score(gold, logits > 0, average=None, zero_division=0))
    assert report.loc[list(p.label_names), "f1"].to_numpy() == pytest.approx(np.mean(by_run, 0))
    labels, chances = several[0].predict(["kana lona", "kana"])
    assert chances.shape == (2, 4) and all(isinstance(found, list) for found in labels)


def test_tables_are_none_of_anothers(several):
    with pytest.raises(InputError, match="Runs have no field 'hed'. Did you mean head"):
        tables.by_group(collect(several), by="hed", metrics=["micro_f1"])


def test_replaced_labels_are_found(tiny, tmp_path):
    texts, labels = learnable(200, 5)
    wrong = {3, 40, 77, 120}
    rows = [
        f"{t},{('yes' if label == 'no' else 'no') if i in wrong else label}"
        for i, (t, label) in enumerate(zip(texts, labels, strict=True))
    ]
    (tmp_path / "train.csv").write_text("\n".join(["text,label", *rows[100:]]) + "\n")
    (tmp_path / "dev.csv").write_text("\n".join(["text,label", *rows[:100]]) + "\n")
    config = RunConfig(
        dataset=str(tmp_path),
        test_rows=20,
        backbone=tiny["bert"],
        max_length=24,
        epochs=4,
        batch_size=8,
        learning_rate=3e-3,
        precision="fp32",
    )
    p = collect(run_all([config], "none"))
    found = label_errors.label_errors(p, by="head", group="native")
    assert set(found["row"][:3]) == {3, 40, 77}
    assert "learned nothing" not in your_data.caution(p, by="head", group="native")
    alike = dataclasses.replace(p, frame=p.frame.assign(logit_0=0.1, logit_1=0.1))
    told = "**1 of 1 seed learned nothing**: every document is given the same class"
    assert told in your_data.caution(alike, by="head", group="native")
    third = dataclasses.replace(
        alike, frame=alike.frame.assign(logit_2=0.15), label_names=("no", "yes", "so")
    )
    assert len(label_errors.label_errors(third, by="head", group="native")) == 0  # sure of nothing
