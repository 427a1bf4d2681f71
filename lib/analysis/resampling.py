"""The bootstrap over documents: scores of runs on documents drawn with replacement, the same draw
for all runs, so that differences between runs are paired."""

from collections.abc import Iterator

import numpy as np

from lib.metrics import confusion_scores, regression_scores

RESAMPLES = 2000


def draws(rows: int, *, seed: int = 0, resamples: int = RESAMPLES) -> Iterator[np.ndarray]:
    """How often each document (rows,) is drawn in each bootstrap resample."""
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(rng.integers(rows, size=rows), minlength=rows)


def resample_confusions(
    labels: np.ndarray, predicted: np.ndarray, num_labels: int, **options
) -> np.ndarray:
    """Bootstrap confusion counts (resamples, runs, num_labels, num_labels) of predictions (runs,
    rows); `options` are those of `draws`."""
    cells = labels * num_labels + predicted
    counts = [
        [np.bincount(row, weights, minlength=num_labels**2) for row in cells]
        for weights in draws(len(labels), **options)
    ]
    return np.array(counts, dtype=np.int64).reshape(-1, len(cells), num_labels, num_labels)


def resample_ratios(numerators: np.ndarray, denominators: np.ndarray, **options) -> np.ndarray:
    """Bootstrap values (resamples, runs) of ratios of sums over documents, from numerators and
    denominators (runs, rows).

    The documents drawn are those that `resample_confusions` draws for the same options and number
    of rows.
    """
    return np.array(
        [
            (numerators @ weights) / (denominators @ weights)
            for weights in draws(numerators.shape[1], **options)
        ]
    )


def bootstrap(
    labels: np.ndarray, predicted: np.ndarray, num_labels: int, metrics: tuple[str, ...], **options
) -> dict[str, np.ndarray]:
    """Each metric of every run in every resample of documents (resamples, runs), from labels
    (rows,) and predictions (runs, rows)."""
    scores = confusion_scores(resample_confusions(labels, predicted, num_labels, **options))
    return {metric: scores[metric] for metric in metrics}


def bootstrap_numbers(
    labels: np.ndarray, values: np.ndarray, metrics: tuple[str, ...], **options
) -> dict[str, np.ndarray]:
    """The same for numbers (rows,) and predictions (runs, rows)."""
    resampled: dict[str, list] = {metric: [] for metric in metrics}
    for weights in draws(len(labels), **options):
        drawn = np.repeat(np.arange(len(labels)), weights)
        scores = [regression_scores(row[drawn], labels[drawn]) for row in values]
        for metric in metrics:
            resampled[metric].append([each[metric] for each in scores])
    return {metric: np.array(rows) for metric, rows in resampled.items()}
