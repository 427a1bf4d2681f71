"""Whether probabilities mean what they say: expected calibration error, and temperature scaling
learned on dev."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.special import expit, log_softmax

from lib.analysis.display import percent, with_metrics
from lib.analysis.groups import Group
from lib.analysis.jackknife import jackknife_values
from lib.analysis.predictions import Predictions, group_of
from lib.analysis.scores import shares_of
from lib.analysis.stats import mean_and_interval
from lib.metrics import SHARE
from lib.rankings import hits
from lib.thresholds import best_temperature, class_losses, label_losses

BINS = 15  # of equal width, as in Guo et al. 2017
WAYS = ("as trained", "scaled by a temperature")


def confidences(
    group: Group, run: int, temperature: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a run says and what is so: confidence, whether it was right, and the document,
    (decisions,) each.

    With one label a document a decision is its most probable class; with several, each kept label
    of each document.
    """
    logits = group.logits[run] / temperature
    if group.ranked is None:
        confidence = np.exp(log_softmax(logits, axis=1)).max(1)
        return confidence, logits.argmax(1) == group.labels, np.arange(len(logits))
    right = hits(group.ranked[run], group.labels)
    documents = np.broadcast_to(np.arange(len(logits))[:, None], logits.shape)
    return expit(logits).ravel(), right.ravel(), documents.ravel()


def negative_log_likelihood(group: Group, run: int, temperature: float = 1.0) -> np.ndarray:
    """Of each document (rows,), in nats; with several labels, the mean over those kept."""
    logits = group.logits[run].astype(np.float64) / temperature
    if group.ranked is None:
        return class_losses(logits, group.labels)
    return label_losses(logits, hits(group.ranked[run], group.labels))


def fit_temperature(group: Group, run: int) -> float:
    """The temperature that makes the group's labels most likely."""
    return best_temperature(lambda value: negative_log_likelihood(group, run, value).mean())


def bins_of(confidence: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each decision (decisions,), of so many bins of equal width."""
    return np.minimum((confidence * bins).astype(int), bins - 1)


def ece(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> float:
    """The mean distance of confidence and share right over `bins` bins of equal width, weighted by
    their decisions."""
    bin_of = bins_of(confidence, bins)
    gap = np.bincount(bin_of, confidence - right, minlength=bins)
    return float(np.abs(gap).sum() / len(right))


def ece_values(
    confidence: np.ndarray, right: np.ndarray, document: np.ndarray, bins: int = BINS
) -> np.ndarray:
    """The jackknife values (rows,) of `ece`, the decisions of one document left out together."""
    rows = document.max() + 1
    bin_of = bins_of(confidence, bins)
    gap = np.bincount(document * bins + bin_of, confidence - right, minlength=rows * bins)
    gap = gap.reshape(rows, bins)
    decisions = len(right) - np.bincount(document, minlength=rows)
    left_out = np.abs(gap.sum(0) - gap).sum(1) / np.maximum(decisions, 1)
    return jackknife_values(ece(confidence, right, bins), left_out)


def _by_way(p: Predictions, test: Group, by: str) -> Iterator[tuple[str, list[float], list[tuple]]]:
    """Before and after scaling: the name of the way, of each run the temperature, which its own dev
    predictions choose, and its `confidences` on test."""
    dev = group_of(p, by, test.name, "dev")
    fitted = [fit_temperature(dev, run) for run in range(len(dev.runs))]
    for way, temperatures in zip(WAYS, ([1.0] * len(fitted), fitted), strict=True):
        decisions = [confidences(test, run, value) for run, value in enumerate(temperatures)]
        yield way, temperatures, decisions


def calibration(p: Predictions, *, by: str, group: str) -> pd.DataFrame:
    """ECE and likelihood on test, before and after temperature scaling on dev: mean over seeds,
    with 95 % intervals."""
    test = group_of(p, by, group)
    rows = []
    for way, temperatures, decisions in _by_way(p, test, by):
        values = np.array([ece(sure, right) for sure, right, _ in decisions])
        by_document = np.stack([ece_values(*of_run) for of_run in decisions])
        sample = shares_of(test, values, by_document)
        losses = [
            negative_log_likelihood(test, run, value).mean()
            for run, value in enumerate(temperatures)
        ]
        row = {
            "probabilities": way,
            "temperature": f"{np.mean(temperatures):.2f}",
            "seeds": len(temperatures),
        }
        row |= mean_and_interval("ece", sample, SHARE)
        row["test loss"] = float(np.mean(losses))
        row["confidence"] = np.mean([sure.mean() for sure, _, _ in decisions])
        row["right"] = np.mean([right.mean() for _, right, _ in decisions])
        rows.append(row)
    metrics = {"ece": "ece", "test loss": "loss", "confidence": "share", "right": "share"}
    return with_metrics(pd.DataFrame(rows), metrics)


def reliability(p: Predictions, *, by: str, group: str, bins: int = 10) -> pd.DataFrame:
    """The calibration curve on test, seeds pooled: mean confidence and share right of the
    decisions in each bin."""
    test = group_of(p, by, group)
    rows = []
    for way, temperatures, decisions in _by_way(p, test, by):
        confidence = np.concatenate([sure for sure, _, _ in decisions])
        right = np.concatenate([right for _, right, _ in decisions])
        bin_of = bins_of(confidence, bins)
        for i in np.unique(bin_of):
            inside = bin_of == i
            rows.append(
                {
                    "probabilities": way,
                    "confidence in": f"{percent(i / bins, 0)} to {percent((i + 1) / bins, 0)}",
                    "decisions": round(inside.sum() / len(temperatures)),
                    "confidence": confidence[inside].mean(),
                    "right": right[inside].mean(),
                }
            )
    return with_metrics(pd.DataFrame(rows), {"confidence": "share", "right": "share"})


def calibrated(p: Predictions, *, by: str, group: str) -> str:
    """What a temperature learned on dev does to the calibration on test."""
    before, after = calibration(p, by=by, group=group).to_dict("records")
    change = after["ece"] - before["ece"]
    if abs(change) < 0.005:
        verdict = "changes it little"
    else:
        verdict = "lowers the error" if change < 0 else "raises the error"
    sure = "overconfident" if before["confidence"] > before["right"] else "underconfident"
    return (
        f"As trained, the model is {sure}: mean confidence {percent(before['confidence'])}, right "
        f"{percent(before['right'])}. A temperature of {after['temperature']}, learned on dev, "
        f"{verdict}: the expected calibration error on test goes "
        f"from {100 * before['ece']:.1f} to {100 * after['ece']:.1f} points."
    )
