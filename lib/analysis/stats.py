"""Intervals, tests and power of scores over seeds and documents, from stored predictions.

`make stress` counts how often each of these errs (`tests.calibration`).
"""

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binomtest, chi2, nct, norm, t

LEVEL = 0.95  # of every interval
POWER = 0.8  # the chance that a true difference of the size in question is seen
MOST = 1_000  # times the documents or seeds there are: beyond, none is said to be enough
UNLIMITED = (-np.inf, np.inf)


def variance_components(values: np.ndarray, resampled: np.ndarray) -> tuple[float, float, float]:
    """The variances that a mean over runs is made of: between runs on unlimited documents, of a run
    on these documents alone, and of these documents for all runs alike; from values (runs,) and
    their bootstrap (resamples, runs).

    The spread of the values holds the first two, resampled documents show the last two. Runs so
    much more alike than documents let them be that it happens in one study of twenty at most are
    taken for luck: their spread counts as that of the twentieth. One run alone tells nothing of
    others.
    """
    runs = len(values)
    of_mean = float(np.var(resampled.mean(1), ddof=1))
    if runs == 1:
        return 0.0, 0.0, of_mean
    of_one = float(np.var(resampled, axis=0, ddof=1).mean())
    shared = min(of_one, max(0.0, (runs * of_mean - of_one) / (runs - 1)))
    least = (of_one - shared) * float(chi2.ppf(0.05, runs - 1)) / (runs - 1)
    spread = max(float(np.var(values, ddof=1)), least)
    alone = min(of_one - shared, spread)
    return spread - alone, alone, shared


def student(spread: float, shared: float, runs: int) -> tuple[float, float]:
    """The standard error of a mean over runs and the degrees of freedom of its Student's t, from
    the variance of a run (the first two of `variance_components`) and the one that all runs share.

    The degrees are those of the runs over the runs' share of the whole variance: fewer than Welch
    and Satterthwaite's (over its square), which leave out the truth in up to 8 % of studies of
    three runs.
    """
    variance = spread / runs + shared
    freedom = (runs - 1) * variance / (spread / runs) if spread else np.inf
    return float(np.sqrt(variance)), freedom


def interval(
    values: np.ndarray, resampled: np.ndarray, level: float = LEVEL
) -> tuple[float, float]:
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
    between, alone, shared = variance_components(values, resampled)
    error, freedom = student(between + alone, shared, len(values))
    half = t.ppf((1 + level) / 2, freedom) * error
    return float(values.mean() - half), float(values.mean() + half)


def p_value(values: np.ndarray, resampled: np.ndarray) -> float:
    """The p-value that goes with `interval`: how likely a mean so far from zero is, if the true
    one is zero."""
    if len(values) == 1:
        below = float(np.mean(resampled.mean(1) <= 0))
        return min(1.0, 2 * min(below, 1 - below) + 1 / len(resampled))
    between, alone, shared = variance_components(values, resampled)
    error, freedom = student(between + alone, shared, len(values))
    if error == 0:
        return float(values.mean() == 0)
    return 2 * float(t.sf(abs(values.mean()) / error, freedom))


def mean_and_interval(
    column: str, values, resampled: np.ndarray, limits: tuple[float, float] = UNLIMITED
) -> dict[str, float]:
    """The mean and interval of a score as cells of a table's row: `column`, `column_low` and
    `column_high`, the interval cut off at `limits`."""
    values = np.asarray(values)
    low, high = interval(values, resampled)
    return {
        column: float(values.mean()),
        f"{column}_low": max(limits[0], low),
        f"{column}_high": min(limits[1], high),
    }


def standard_deviation(values) -> float:
    """Over seeds; not a number for one seed."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def mcnemar(one: np.ndarray, other: np.ndarray) -> float:
    """The exact McNemar test of which documents two sets of runs get right: booleans (runs, rows),
    paired run by run.

    A set with one run is paired with each of the other's. Over several pairs of runs the p-value is
    twice their median, which is valid however they depend on each other (Meinshausen et al. 2009,
    with the quantile 1/2).
    """
    values = []
    for a, b in zip(*np.broadcast_arrays(one, other), strict=True):
        first = int((a & ~b).sum())
        second = int((b & ~a).sum())
        values.append(binomtest(first, first + second).pvalue if first + second else 1.0)
    return min(1.0, float(np.median(values)) * (2 if len(values) > 1 else 1))


def holm(values: list[float]) -> list[float]:
    """p-values of a family, adjusted so that rejecting those below α errs anywhere with
    probability at most α."""
    order = np.argsort(values, kind="stable")
    adjusted = np.maximum.accumulate(np.array(values)[order] * np.arange(len(values), 0, -1))
    return np.minimum(1, adjusted)[np.argsort(order, kind="stable")].tolist()


def family_verdicts(
    leaves_out_zero: list[bool], *families: list[float], level: float = 0.05
) -> list[tuple[float, bool]]:
    """The p-value of each difference of a family, the largest of its p-values of every kind
    after Holm, and whether it stands: its interval leaves out zero, and that p-value is below the
    level."""
    largest = np.max([holm(values) for values in families], axis=0)
    pairs = zip(leaves_out_zero, largest, strict=True)
    return [(float(p), bool(clear and p < level)) for clear, p in pairs]


def detectable(
    spread: float, shared: float, runs: int, *, level: float = LEVEL, power: float = POWER
) -> float:
    """The smallest true difference that an interval over `runs` seeds leaves zero out of with a
    chance of `power`, from the variance of a run's difference and the one that documents bring
    to all runs alike."""
    error, freedom = student(spread, shared, runs)
    if freedom > 1000:
        return float((norm.ppf((1 + level) / 2) + norm.ppf(power)) * error)
    edge = t.ppf((1 + level) / 2, freedom)
    shift = brentq(lambda shift: nct.sf(edge, freedom, shift) - power, 0, 3 * edge + 10)
    return float(shift * error)


def detectable_of(values: np.ndarray, resampled: np.ndarray, **options) -> float:
    """`detectable`, for differences (runs,) with their bootstrap over documents (resamples,
    runs)."""
    between, alone, shared = variance_components(values, resampled)
    return detectable(between + alone, shared, len(values), **options)


def _least(is_enough: Callable[[int], bool], low: int, high: int) -> int | None:
    """The smallest number from `low` to `high` that is enough, where every larger one is too;
    None where none is."""
    if not is_enough(high):
        return None
    low -= 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def needed(
    values: np.ndarray, resampled: np.ndarray, rows: int, **options
) -> tuple[int | None, int | None, int | None]:
    """How many documents (with these seeds), how many seeds (on these documents), and how many
    times both it would take to tell a true difference as large as the one seen from zero, most of
    the time (`POWER`).

    From differences (runs,) and their bootstrap over documents (resamples, runs), of `rows`
    documents. None where no number up to a thousand times as large would do, and for the seeds of a
    single run.
    """
    runs = len(values)
    size = abs(float(np.mean(values)))
    between, alone, shared = variance_components(values, resampled)
    if size == 0:
        return None, None, None

    def suffice(documents: int, seeds: int) -> bool:
        part = rows / documents  # of the documents' variance
        return detectable(between + alone * part, shared * part, seeds, **options) <= size

    documents = _least(lambda number: suffice(number, runs), rows, MOST * rows)
    seeds = None
    if runs > 1:
        seeds = _least(lambda number: suffice(rows, number), runs, MOST * runs)
    times = _least(lambda number: suffice(rows * number, runs * number), 1, MOST)
    return documents, seeds, times
