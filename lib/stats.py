"""Uncertainty from stored predictions."""

import numpy as np
from scipy.stats import binomtest

from lib.metrics import scores_from_confusion

RESAMPLES = 2000


def resample_confusions(
    labels: np.ndarray, predicted: np.ndarray, num_labels: int, *, seed: int = 0, resamples: int = RESAMPLES
) -> np.ndarray:
    """Bootstrap confusion counts (resamples, runs, num_labels, num_labels) of predictions (runs, rows).

    Documents are drawn with replacement, the same draw for all runs, so that differences between runs are paired.
    """
    runs, rows = predicted.shape
    cells = labels * num_labels + predicted
    counts = np.zeros((resamples, runs, num_labels**2), dtype=np.int64)
    rng = np.random.default_rng(seed)
    for i in range(resamples):
        weights = np.bincount(rng.integers(rows, size=rows), minlength=rows)
        for run in range(runs):
            counts[i, run] = np.bincount(cells[run], weights, minlength=num_labels**2)
    return counts.reshape(resamples, runs, num_labels, num_labels)


def resample_ratios(tops: np.ndarray, bottoms: np.ndarray, *, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
    """Bootstrap values (resamples, runs) of ratios of sums over documents, from parts (runs, rows) each.

    The documents drawn are those that `resample_confusions` draws for the same seed and number of rows.
    """
    rows = tops.shape[1]
    values = np.empty((resamples, len(tops)))
    rng = np.random.default_rng(seed)
    for i in range(resamples):
        weights = np.bincount(rng.integers(rows, size=rows), minlength=rows).astype(float)
        values[i] = (tops @ weights) / (bottoms @ weights)
    return values


def seed_means(values: np.ndarray, *, seed: int = 1) -> np.ndarray:
    """Means (resamples,) of values (resamples, runs), the runs drawn with replacement too in every resample."""
    resamples, runs = values.shape
    drawn = np.random.default_rng(seed).integers(runs, size=(resamples, runs))
    return np.take_along_axis(values, drawn, axis=1).mean(1)


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of bootstrap values (resamples,)."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mcnemar(one: np.ndarray, other: np.ndarray) -> float:
    """The exact McNemar test of which documents two sets of runs get right: booleans (runs, rows), paired run by run.

    A set with one run is paired with each of the other's. Over several pairs of runs the p-value is twice their median,
    which is valid however they depend on each other (Meinshausen et al. 2009, with the quantile 1/2).
    """
    values = []
    for a, b in zip(*np.broadcast_arrays(one, other), strict=True):
        first, second = int((a & ~b).sum()), int((b & ~a).sum())
        values.append(binomtest(first, first + second).pvalue if first + second else 1.0)
    return min(1.0, float(np.median(values)) * (2 if len(values) > 1 else 1))


def holm(values: list[float]) -> list[float]:
    """p-values of a family, adjusted so that rejecting those below α errs anywhere with probability at most α."""
    order = np.argsort(values, kind="stable")
    adjusted = np.maximum.accumulate(np.array(values)[order] * np.arange(len(values), 0, -1))
    return np.minimum(1, adjusted)[np.argsort(order, kind="stable")].tolist()


def bootstrap(labels, predicted, num_labels: int, metrics: tuple[str, ...], **options) -> dict[str, np.ndarray]:
    """For each metric, its mean over runs in every resample of documents and runs (resamples,), to take intervals of.

    Two-level bootstrap (documents, and runs with their seeds) for labels (rows,) and predictions (runs, rows).
    """
    scored = scores_from_confusion(resample_confusions(labels, predicted, num_labels, **options))
    return {metric: seed_means(scored[metric]) for metric in metrics}
