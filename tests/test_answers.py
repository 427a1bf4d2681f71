"""The first sentence of a page that compares groups."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from lib.analysis.answers import compared, gap
from lib.analysis.comparisons import EQUAL
from lib.analysis.predictions import Predictions
from tests.synthetic import frame_of, runs_of

DOCUMENTS = 5000


def heads(shares: dict[str, float], *, spread: float = 0.0, seeds: int = 3) -> Predictions:
    """Heads that get these shares of the same documents right, seeds so much apart; and TF-IDF,
    which gets 85 % right."""
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=DOCUMENTS)
    hard = rng.random(DOCUMENTS)
    runs = {key: run for key, run in runs_of(shares).items() if run["config"]["seed"] <= seeds}
    for run in runs.values():
        run["config"]["reference"] = None
    config = {"backbone": "tiny", "head": "native", "seed": 1, "reference": "tfidf"}
    finished = {"status": "finished", "chosen_epoch": 1, "last_epoch": 1}
    runs["tfidf".ljust(16, "0")] = finished | {"config": config}
    frames = []
    for key, run in runs.items():
        config = run["config"]
        share = 0.85 if config["reference"] else shares[config["head"]]
        own = np.random.default_rng(config["seed"]).normal(size=DOCUMENTS)
        right = hard + 0.02 * own < share + spread * (config["seed"] - 2)
        logits = np.where(right == (labels == 1), 1.0, -1.0)
        for split in ("dev", "test"):
            frames.append(frame_of(key, split, label=labels, logit_0=-logits, logit_1=logits))
    return Predictions(pd.concat(frames, ignore_index=True), runs, ("no", "yes"))


@pytest.mark.parametrize(
    ("shares", "options", "start"),
    [
        ({"cls": 0.8, "lstm": 0.801}, {}, "No: 2 heads are within 1 point, 80."),
        ({"cls": 0.8, "lstm": 0.82}, {"spread": 0.04}, "No significant difference between 2 "),
        ({"cls": 0.8, "weighted_average": 0.9}, {}, "Yes: CLS (80."),
        ({"cls": 0.8, "lstm": 0.9}, {"seeds": 2}, "Not tested, for too few seeds: 2 heads reach "),
        ({"weighted_average": 0.8}, {}, "tiny reaches 8"),
    ],
)
def test_the_answer(shares, options, start):
    text = compared(heads(shares, **options), by="head", what="heads", documents="reviews")
    assert text.startswith(start) and " on 5,000 reviews" in text and "; TF-IDF reaches 8" in text
    words = [word for word in text.split() if any(char.isalnum() for char in word)]
    assert len(words) <= 20
    assert ("(weighted average head, no others tried)" in text) == (len(shares) == 1)
    if start.startswith("Yes"):
        assert "points worse than weighted average (9" in text


@pytest.mark.parametrize(
    ("shares", "rest"),
    [
        ({"lstm": 0.9}, "; LSTM reaches 9"),
        ({"lstm": 0.9, "mean": 0.8}, "; the other heads reach 80."),
        ({}, " on 5,000 reviews; TF-IDF"),
    ],
)
def test_heads_that_learned_nothing_are_said_to(shares, rest):
    p = heads({"cls": 0.5, "weighted_average": 0.5} | shares)
    stuck = p.frame["run"].str.contains("cls|weighted")
    p = dataclasses.replace(p, frame=p.frame.assign(logit_0=p.frame["logit_0"].mask(stuck, 9.0)))
    text = compared(p, by="head", what="heads", documents="reviews")
    assert text.startswith("CLS and weighted average learned nothing (") and rest in text
    assert "on 5,000 reviews; TF-IDF reaches 85.7 %." in text and len(text.split()) <= 24


def test_an_interval_beyond_a_point_is_not_said_to_show_equality():
    row = {"value": 0.002, "low": -0.009, "high": 0.012, "verdict": EQUAL}
    assert gap(row, "accuracy", "TF-IDF") == (
        "0.2 points higher than TF-IDF (95 % interval −0.9 to +1.2; equal within 1 point by two "
        "one-sided tests at 5 %, a 90 % interval)"
    )
    row = {"value": -0.0003, "low": -0.004, "high": 0.003, "verdict": EQUAL}
    assert gap(row, "accuracy", "TF-IDF") == (
        "the same to 0.1 points as TF-IDF (95 % interval −0.4 to +0.3; equal within 1 point)"
    )
