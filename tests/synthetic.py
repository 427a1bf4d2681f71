"""Predictions that nobody trained for: what tables, sentences and pages are tested on."""

import numpy as np
import pandas as pd

from lib.analysis.display import pipe_table, shown_columns
from lib.analysis.predictions import Predictions

ACCURACIES = {"far": 0.95, "near": 0.70, "level": 0.71}
DOCUMENTS = 600
READING = {"truncation": "head", "max_length": 16}


def runs_of(heads) -> dict[str, dict]:
    about = {"status": "finished", "chosen_epoch": 1, "last_epoch": 1}
    return {
        f"{head}{seed}".ljust(16, "0"): about
        | {"config": {"backbone": "tiny", "head": head, "seed": seed} | READING}
        for head in heads
        for seed in (1, 2, 3)
    }


def frame_of(run: str, split: str, **columns) -> pd.DataFrame:
    rows = len(next(iter(columns.values())))
    return pd.DataFrame(
        {"run": run, "split": split, "epoch": 1, "row": np.arange(rows), "tokens": 9} | columns
    )


def classifiers() -> Predictions:
    """Three heads of three seeds each: one far better than two that are level."""
    rng, runs = np.random.default_rng(0), runs_of(ACCURACIES)
    labels, hard, parts = rng.integers(2, size=DOCUMENTS), rng.random(DOCUMENTS), []
    for key, run in runs.items():
        for split in ("dev", "test"):
            right = hard + 0.05 * rng.normal(size=DOCUMENTS) < ACCURACIES[run["config"]["head"]]
            logits = np.where(right == (labels == 1), 1.0, -1.0)
            parts.append(frame_of(key, split, label=labels, logit_0=-logits, logit_1=logits))
    return Predictions(pd.concat(parts, ignore_index=True), runs, ("no", "yes"))


def taggers() -> Predictions:
    """One head with three labels, whose best thresholds on dev and on test are far apart."""
    rng, runs, parts = np.random.default_rng(0), runs_of(["tags"]), []
    for key in runs:
        for split, at in (("dev", -1.0), ("test", 1.0)):
            logits = rng.normal(0, 2, size=(200, 3))
            gold = np.where(logits + 0.3 * rng.normal(size=logits.shape) > at, np.arange(3), -1)
            columns = {f"gold_{i}": gold[:, i] for i in range(3)} | {
                f"top_{i}": np.full(200, i) for i in range(3)
            }
            parts.append(
                frame_of(key, split, **columns | {f"logit_{i}": logits[:, i] for i in range(3)})
            )
    return Predictions(
        pd.concat(parts, ignore_index=True), runs, ("a", "b", "c"), 100, np.array([30, 40, 30])
    )


def regressors() -> Predictions:
    """Two heads of three seeds each that predict numbers, one of them better by far."""
    rng = np.random.default_rng(0)
    errors = {"exact": 0.1, "rough": 1.0}
    numbers = {split: rng.normal(size=300) for split in ("dev", "test")}
    runs = runs_of(errors)
    frames = []
    for key, run in runs.items():
        for split, given in numbers.items():
            predicted = given + errors[run["config"]["head"]] * rng.normal(size=300)
            columns = {"label": given.astype(np.float32), "logit_0": predicted.astype(np.float32)}
            frames.append(frame_of(key, split, **columns))
    return Predictions(pd.concat(frames, ignore_index=True), runs, ("score",))


def markdown(table: pd.DataFrame) -> str:
    """A table as a page shows it."""
    return pipe_table(zip(*shown_columns(table), strict=True))
