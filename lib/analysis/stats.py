"""Uncertainty from stored predictions."""

from collections.abc import Iterator

import numpy as np
from scipy.stats import binomtest, chi2, t

from lib.metrics import METRICS, confusion_scores, regression_scores

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
    rows).

    Documents are drawn with replacement, the same draw for all runs, so that differences between
    runs are paired. `options` are those of `draws`.
    """
    cells = labels * num_labels + predicted
    counts = [
        [np.bincount(row, weights, minlength=num_labels**2) for row in cells]
        for weights in draws(len(labels), **options)
    ]
    return np.array(counts, dtype=np.int64).reshape(-1, len(cells), num_labels, num_labels)


def resample_ratios(tops: np.ndarray, bottoms: np.ndarray, **options) -> np.ndarray:
    """Bootstrap values (resamples, runs) of ratios of sums over documents, from parts (runs, rows)
    each.

    The documents drawn are those that `resample_confusions` draws for the same options and number
    of rows.
    """
    return np.array([(tops @ w) / (bottoms @ w) for w in draws(tops.shape[1], **options)])


def parts(values: np.ndarray, resampled: np.ndarray) -> tuple[float, float, float]:
    """The variances that a mean over runs is made of: between runs on unlimited documents, of a run
    on these documents alone, and of these documents for all runs alike; from values (runs,) and
    their bootstrap (resamples, runs).

    The spread of the values holds the first two, resampled documents show the last two. Runs so
    much more alike than documents let them be that it happens in one study of twenty at most are
    taken for luck: their spread counts as that of the twentieth. One run alone tells nothing of
    others.
    """
    runs, whole = len(values), float(np.var(resampled.mean(1), ddof=1))
    if runs == 1:
        return 0.0, 0.0, whole
    each = float(np.var(resampled, axis=0, ddof=1).mean())
    shared = min(each, max(0.0, (runs * whole - each) / (runs - 1)))
    spread = max(
        float(np.var(values, ddof=1)),
        (each - shared) * float(chi2.ppf(0.05, runs - 1)) / (runs - 1),
    )
    own = min(each - shared, spread)
    return spread - own, own, shared


def student(spread: float, shared: float, runs: int) -> tuple[float, float]:
    """The standard error of a mean over runs and the degrees of freedom of its Student's t, from
    the variance of a run (the first two of `parts`) and the one that all runs share.

    The degrees are those of the runs over the runs' share of the whole variance: fewer than Welch
    and Satterthwaite's (over its square), which leave out the truth in up to 8 % of studies of
    three runs.
    """
    whole = spread / runs + shared
    return float(np.sqrt(whole)), (runs - 1) * whole / (spread / runs) if spread else np.inf


def interval(values: np.ndarray, resampled: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """An interval for the mean of a score over seeds, from its values (runs,) and their bootstrap
    over documents (resamples, runs).

    The variance of the mean is that between runs over their number, which holds what documents do
    to each run by itself, plus what they do to all runs alike; the quantile is Student's: few seeds
    that differ much give a wide interval. One run alone gives the percentile interval of its
    documents, and says nothing about other seeds. With two seeds on thousands of documents it holds
    the truth in 92 to 94 % only; see `tests/calibration.py`.
    """
    if len(values) == 1:
        low, high = np.quantile(resampled.mean(1), [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)
    between, own, shared = parts(values, resampled)
    error, freedom = student(between + own, shared, len(values))
    half = t.ppf((1 + level) / 2, freedom) * error
    return float(values.mean() - half), float(values.mean() + half)


def chance(values: np.ndarray, resampled: np.ndarray) -> float:
    """The p-value that goes with `interval`: how likely a mean so far from zero is, if the true
    one is zero."""
    if len(values) == 1:
        below = float(np.mean(resampled.mean(1) <= 0))
        return min(1.0, 2 * min(below, 1 - below) + 1 / len(resampled))
    between, own, shared = parts(values, resampled)
    error, freedom = student(between + own, shared, len(values))
    if error == 0:
        return float(values.mean() == 0)
    return 2 * float(t.sf(abs(values.mean()) / error, freedom))


def limits(metric: str = "") -> tuple[float, float]:
    """Where a score, or a share (""), cannot go on."""
    return METRICS[metric].limits if metric else (0.0, 1.0)


def cells(
    name: str, values, resampled: np.ndarray, least: float = -np.inf, most: float = np.inf
) -> dict[str, float]:
    """The mean and interval of `interval`, as cells of a table's row: `name`, `name_low` and
    `name_high`. The interval is cut off at `least` and `most`."""
    values = np.asarray(values)
    low, high = interval(values, resampled)
    return {
        name: float(values.mean()),
        f"{name}_low": max(least, low),
        f"{name}_high": min(most, high),
    }


def mcnemar(one: np.ndarray, other: np.ndarray) -> float:
    """The exact McNemar test of which documents two sets of runs get right: booleans (runs, rows),
    paired run by run.

    A set with one run is paired with each of the other's. Over several pairs of runs the p-value is
    twice their median, which is valid however they depend on each other (Meinshausen et al. 2009,
    with the quantile 1/2).
    """
    values = []
    for a, b in zip(*np.broadcast_arrays(one, other), strict=True):
        first, second = int((a & ~b).sum()), int((b & ~a).sum())
        values.append(binomtest(first, first + second).pvalue if first + second else 1.0)
    return min(1.0, float(np.median(values)) * (2 if len(values) > 1 else 1))


def holm(values: list[float]) -> list[float]:
    """p-values of a family, adjusted so that rejecting those below α errs anywhere with
    probability at most α."""
    order = np.argsort(values, kind="stable")
    adjusted = np.maximum.accumulate(np.array(values)[order] * np.arange(len(values), 0, -1))
    return np.minimum(1, adjusted)[np.argsort(order, kind="stable")].tolist()


def judge(
    clear: list[bool], *families: list[float], level: float = 0.05
) -> list[tuple[float, bool]]:
    """The p-value of each difference of a family, the largest of its p-values of every kind
    after Holm, and whether it stands: its interval leaves out zero (`clear`), and that p-value
    is below the level."""
    largest = np.max([holm(values) for values in families], axis=0)
    return [(float(p), bool(c and p < level)) for c, p in zip(clear, largest, strict=True)]


def bootstrap(
    labels, predicted, num_labels: int, metrics: tuple[str, ...], **options
) -> dict[str, np.ndarray]:
    """Each metric of every run in every resample of documents (resamples, runs), from labels
    (rows,) and predictions (runs, rows)."""
    scored = confusion_scores(resample_confusions(labels, predicted, num_labels, **options))
    return {metric: scored[metric] for metric in metrics}


def bootstrap_numbers(labels: np.ndarray, values: np.ndarray, metrics: tuple[str, ...], **options):
    """The same for numbers (rows,) and predictions (runs, rows)."""
    found: dict[str, list] = {metric: [] for metric in metrics}
    for weights in draws(len(labels), **options):
        drawn = np.repeat(np.arange(len(labels)), weights)
        scored = [regression_scores(row[drawn], labels[drawn]) for row in values]
        for metric in metrics:
            found[metric].append([each[metric] for each in scored])
    return {metric: np.array(rows) for metric, rows in found.items()}
