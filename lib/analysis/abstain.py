"""When to leave a text to a person: how often a model is right on the texts it is surest of."""

import numpy as np
import pandas as pd

from lib.analysis.calibration import confidences
from lib.analysis.display import percent, with_metrics
from lib.analysis.groups import Group
from lib.analysis.jackknife import ratio_values
from lib.analysis.predictions import Predictions, group_of
from lib.analysis.scores import shares_of
from lib.analysis.stats import mean_and_interval, no_score
from lib.errors import InputError
from lib.metrics import SHARE

TARGETS = (0.9, 0.95, 0.99)  # shares right that are asked for
COVERAGES = tuple(np.round(np.arange(0.05, 1.001, 0.05), 2).tolist())


def sure_and_right(runs: Group) -> tuple[np.ndarray, np.ndarray]:
    """Confidences and whether they were right, (runs, rows) each. Raises InputError where a
    document has not one class."""
    if runs.ranked is not None or runs.labels.dtype.kind == "f":
        raise InputError("When to abstain is said of texts with one class each")
    pairs = [confidences(runs, run)[:2] for run in range(len(runs.runs))]
    sure, right = zip(*pairs, strict=True)
    return np.stack(sure), np.stack(right)


def lowest_confidence(sure: np.ndarray, right: np.ndarray, target: float) -> float:
    """The lowest confidence at and above which a share `target` of documents (rows,) is right;
    infinite where there is none."""
    order = np.argsort(-sure, kind="stable")
    ordered = sure[order]
    share = right[order].cumsum() / np.arange(1, len(order) + 1)
    is_last_of_equals = np.append(ordered[1:] < ordered[:-1], True)
    enough = np.flatnonzero((share >= target) & is_last_of_equals)
    return float(ordered[enough[-1]]) if len(enough) else np.inf


def kept_right(
    p: Predictions, *, by: str, group: str, targets: tuple[float, ...] = TARGETS
) -> pd.DataFrame:
    """For each share that is to be right, the confidence above which dev is so, run by run; and on
    test the share of texts that is answered and the share of these that is right, mean over seeds
    with 95 % intervals."""
    on_dev = sure_and_right(group_of(p, by, group, "dev"))
    test = group_of(p, by, group)
    sure, right = sure_and_right(test)
    rows = []
    for target in targets:
        limits = [lowest_confidence(*of_run, target) for of_run in zip(*on_dev, strict=True)]
        answered = sure >= np.array(limits)[:, None]
        row = {"right on dev": target, "confidence": np.mean(limits), "answered": 0.0}
        if np.isinf(row["confidence"]):
            row["confidence"] = np.nan
        sample = shares_of(test, answered.mean(1), answered.astype(float))
        row |= mean_and_interval("answered", sample, SHARE)
        rows.append(row | _right_of_answered(test, answered, right))
    columns = ("right on dev", "confidence", "answered", "right")
    return with_metrics(pd.DataFrame(rows), dict.fromkeys(columns, "share"))


def _right_of_answered(test: Group, answered: np.ndarray, right: np.ndarray) -> dict:
    """The share right of the answered documents, booleans (runs, rows); no number where a run
    answers none."""
    if not answered.any(1).all():
        return no_score("right")
    right_ones = (answered & right).astype(float)
    scores = right_ones.sum(1) / answered.sum(1)
    sample = shares_of(test, scores, ratio_values(right_ones, answered.astype(float)))
    return mean_and_interval("right", sample, SHARE)


def risk_coverage(p: Predictions, *, by: str, group: str) -> pd.DataFrame:
    """The share right on test among the surest documents, by the share of documents that these
    are: mean over seeds with its 95 % interval."""
    test = group_of(p, by, group)
    sure, right = sure_and_right(test)
    rank = np.argsort(np.argsort(-sure, axis=1, kind="stable"), axis=1)
    rows = []
    for coverage in COVERAGES:
        answered = rank < max(1, round(coverage * len(test.labels)))
        rows.append({"answered": coverage} | _right_of_answered(test, answered, right))
    return with_metrics(pd.DataFrame(rows), {"answered": "share", "right": "share"})


def when_to_abstain(p: Predictions, *, by: str, group: str, target: float = 0.95) -> str:
    """How many texts can be answered with a share `target` right, by dev's threshold."""
    [row] = kept_right(p, by=by, group=group, targets=(target,)).to_dict("records")
    if np.isnan(row["right"]):
        return f"No confidence keeps {100 * target:g} % right on dev, so no text could be answered."
    sentence = (
        f"Asked to be {100 * target:g} % right on dev, the model answers "
        f"{percent(row['answered'])} of test (where it is at least {percent(row['confidence'])} "
        f"sure) and is right on {percent(row['right'])} of these"
    )
    if np.isnan(row["right_low"]):
        return f"{sentence}."
    ends = f"{percent(row['right_low'])} to {percent(row['right_high'])}"
    beside = ""
    if not row["right_low"] <= target <= row["right_high"]:
        beside = "; more than asked for" if row["right"] > target else "; **less than asked for**"
    return f"{sentence} (95 % interval {ends}{beside})."
