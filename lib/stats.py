"""Uncertainty from stored predictions."""

import numpy as np

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


def seed_means(values: np.ndarray, *, seed: int = 1) -> np.ndarray:
    """Means (resamples,) of values (resamples, runs), the runs drawn with replacement too in every resample."""
    resamples, runs = values.shape
    drawn = np.random.default_rng(seed).integers(runs, size=(resamples, runs))
    return np.take_along_axis(values, drawn, axis=1).mean(1)


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of bootstrap values (resamples,)."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap(labels, predicted, num_labels: int, metrics: tuple[str, ...], **options) -> dict[str, np.ndarray]:
    """For each metric, its mean over runs in every resample of documents and runs (resamples,), to take intervals of.

    Two-level bootstrap (documents, and runs with their seeds) for labels (rows,) and predictions (runs, rows).
    """
    scored = scores_from_confusion(resample_confusions(labels, predicted, num_labels, **options))
    return {metric: seed_means(scored[metric]) for metric in metrics}
