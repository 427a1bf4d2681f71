"""Tests of one score against another, and how much data a verdict takes; scipy is the engine where
it has one.

The intervals and tests of the tables are in `lib.analysis.stats`. `make stress` counts how often
each of all these errs.
"""

import math

import numpy as np
from scipy import stats as scipy_stats
from scipy.optimize import brentq

from lib.analysis.stats import RESAMPLES, parts, student
from lib.errors import InputError

POWER = 0.8  # the chance that a true difference of the size in question is seen
MOST = 1_000  # times the documents or seeds there are: beyond, none is said to be enough


def documents_interval(
    score,
    *columns: np.ndarray,
    method: str = "BCa",
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """A bootstrap interval over documents for `score(*columns)`, columns (rows,) being drawn
    together.

    `method` is `percentile` or `BCa` (bias-corrected and accelerated, Efron 1987). A score that has
    an `axis`, such as `np.mean`, is computed for many resamples at once. A score that no resample
    changes is its own interval. Raises InputError.
    """
    if method not in ("percentile", "BCa"):
        raise InputError(
            f"method = {method!r} is no bootstrap interval; there are percentile and BCa"
        )
    options = {
        "paired": len(columns) > 1,
        "confidence_level": level,
        "batch": 200,
        "rng": np.random.default_rng(seed),
    }
    found = scipy_stats.bootstrap(
        columns, score, n_resamples=resamples, method="percentile", **options
    )
    if method == "BCa" and np.ptp(found.bootstrap_distribution):
        found = scipy_stats.bootstrap(
            columns, score, n_resamples=0, bootstrap_result=found, method="BCa", **options
        )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def paired_bootstrap(apart: np.ndarray) -> float:
    """Two-sided p-value of a difference from its values in paired resamples (resamples,), such
    as the difference of two columns of `lib.analysis.stats.bootstrap`: twice the smaller share
    on one side of zero (Efron and Tibshirani 1993)."""
    below, above = ((sign * np.asarray(apart) >= 0).sum() + 1 for sign in (-1, 1))
    return float(min(1.0, 2 * min(below, above) / (len(apart) + 1)))


def randomization(
    score, one: np.ndarray, other: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0
) -> float:
    """Two-sided p-value of `score(one) - score(other)` by approximate randomization (Noreen 1989).

    What two systems gave for the same documents, (rows,) each, is exchanged document by document,
    in every way where there are no more ways than `resamples`. `score` takes `axis`, as `np.mean`
    does.
    """
    found = scipy_stats.permutation_test(
        (one, other),
        lambda a, b, axis: score(a, axis=axis) - score(b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=200,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def hierarchical(resampled: np.ndarray, *, shared: bool = True, seed: int = 0) -> np.ndarray:
    """Means over seeds in a hierarchical bootstrap (resamples,), from a bootstrap over documents
    (resamples, runs): runs are drawn with replacement, and documents within them.

    All runs are scored on one test set, so a resample has the same documents for all of them;
    `shared=False` draws for each run anew (Davison and Hinkley 1997), which counts too little of
    the documents. With few seeds either counts too little of the seeds (their variance is that of
    runs − 1): tables use `lib.analysis.stats.interval`.
    """
    rng, (resamples, runs) = np.random.default_rng(seed), resampled.shape
    rows = (
        np.arange(resamples)[:, None] if shared else rng.integers(resamples, size=(resamples, runs))
    )
    return resampled[rows, rng.integers(runs, size=(resamples, runs))].mean(1)


def stochastic_order(
    one: np.ndarray,
    other: np.ndarray,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> float:
    """Almost stochastic order of two sets of runs by their scores, (runs,) each, where higher is
    better.

    An upper bound, at `level`, of how far `one` is from being better in every quantile: 0 is always
    better, and below 0.5 better as a rule. The violation ratio of del Barrio et al. 2018 and its
    bound as in Dror et al. 2019, the integrals exact, the deviation from a bootstrap of runs. Equal
    sets give 0.5 for the ratio.
    """
    rng = np.random.default_rng(seed)
    edges = np.unique(
        np.concatenate([np.arange(n + 1) / n for n in (len(one), len(other))]).round(12)
    )
    middle, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)

    def violation(a, b):
        a, b = (np.sort(x, axis=-1)[..., (middle * x.shape[-1]).astype(int)] for x in (a, b))
        whole = (width * (a - b) ** 2).sum(-1)
        worse = (width * np.minimum(a - b, 0) ** 2).sum(-1)
        return np.divide(worse, whole, out=np.full(np.shape(whole), 0.5), where=whole > 0)

    one, other = np.asarray(one, float), np.asarray(other, float)
    drawn = [x[rng.integers(len(x), size=(resamples, len(x)))] for x in (one, other)]
    bound = violation(one, other) + scipy_stats.norm.ppf(level) * violation(*drawn).std()
    return float(np.clip(bound, 0, 1))


def expected_best(values, *, biased: bool = False) -> list[float]:
    """The expected best of 1, 2, … of these scores (runs,), one drawn after the other.

    Unbiased: without replacement, the mean of the best over all subsets (Tang et al. 2020). Biased:
    with replacement, the first estimator (Dodge et al. 2019), which is too low for many draws.
    """
    values, size, found = np.sort(values), len(values), []
    for n in range(1, size + 1):
        if biased:
            chance = (np.arange(1, size + 1) / size) ** n - (np.arange(size) / size) ** n
        else:
            chance = np.array(
                [math.comb(i, n - 1) / math.comb(size, n) for i in range(size)]
            )  # value i is the best
        found.append(float(chance @ values))
    return found


def detectable(
    spread: float, shared: float, runs: int, *, level: float = 0.95, power: float = POWER
) -> float:
    """The smallest true difference that an interval over `runs` seeds leaves zero out of with a
    chance of `power`, from the variance of a run's difference and the one that documents bring
    to all runs alike."""
    error, freedom = student(spread, shared, runs)
    if freedom > 1000:
        times = scipy_stats.norm.ppf((1 + level) / 2) + scipy_stats.norm.ppf(power)
    else:
        edge = scipy_stats.t.ppf((1 + level) / 2, freedom)
        times = brentq(
            lambda shift: scipy_stats.nct.sf(edge, freedom, shift) - power, 0, 3 * edge + 10
        )
    return float(times * error)


def detectable_share(documents: int, apart: float, **options) -> float:
    """The smallest difference of two accuracies that a test set of so many documents can tell,
    where the two models differ in the share `apart` of them (one right, one wrong): the
    approximation of McNemar's test by the normal."""
    return detectable(0.0, apart / documents, 1, **options)


def detectable_of(values: np.ndarray, resampled: np.ndarray, **options) -> float:
    """`detectable`, for differences (runs,) with their bootstrap over documents (resamples,
    runs)."""
    between, own, shared = parts(values, resampled)
    return detectable(between + own, shared, len(values), **options)


def _least(enough, low: int, high: int) -> int | None:
    """The smallest number from `low` to `high` that is enough, where every larger one is too;
    None where none is."""
    if not enough(high):
        return None
    low -= 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
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
    runs, size = len(values), abs(float(np.mean(values)))
    between, own, shared = parts(values, resampled)

    def enough(number: int = rows, count: int = runs) -> bool:
        fewer = rows / number  # documents: their part of the variance
        return detectable(between + own * fewer, shared * fewer, count, **options) <= size

    if size == 0:
        return None, None, None
    more = _least(lambda count: enough(count=count), runs, MOST * runs) if runs > 1 else None
    return (
        _least(enough, rows, MOST * rows),
        more,
        _least(lambda times: enough(rows * times, runs * times), 1, MOST),
    )
