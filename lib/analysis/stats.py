"""Intervals, tests and power of scores over seeds and documents: one estimator for all of them.

Runs are nested in a method and crossed with documents (Obuchowski & Rockette 1995; Hillis 2007;
Baayen, Davidson & Bates 2008). Scores enter as the jackknife values of each document
(`lib.analysis.jackknife`). docs/statistics.md explains it to a reader; `make stress` counts how
often it errs (`tests.calibration`).
"""

import dataclasses
from functools import cached_property

import numpy as np
from scipy.optimize import brentq
from scipy.stats import nct, norm, t
from statsmodels.stats.contingency_tables import mcnemar as contingency_test
from statsmodels.stats.multitest import multipletests

LEVEL = 0.95  # of every interval
POWER = 0.8  # the chance that a true difference of the size in question is found
MARGIN = 0.01  # within which two scores are called equal
FEWEST_RUNS = 3  # below, a spread over seeds is no estimate: there is no interval
ROUNDING = 1e-9  # standard errors below come of the arithmetic
UNLIMITED = (-np.inf, np.inf)


@dataclasses.dataclass(frozen=True)
class Sample:
    """The scores of a method's runs, and what each document adds to them."""

    scores: np.ndarray  # (runs,)
    values: np.ndarray  # (runs, rows) jackknife values: their mean is the score, nearly
    has_seeds: bool = True  # False: a method without chance, whose only run is all there is
    is_share: bool = True  # a score from 0 to 1 of which each document decides its part

    def only(self, places: list[int]) -> "Sample":
        """The runs at these places, which may be named twice."""
        return dataclasses.replace(self, scores=self.scores[places], values=self.values[places])

    @property
    def suffices(self) -> bool:
        """Whether there are enough runs and documents for an interval."""
        return self.values.shape[1] > 1 and (len(self.scores) >= FEWEST_RUNS or not self.has_seeds)

    @cached_property
    def of_runs(self) -> tuple[float, int]:
        """The part of the mean's variance that the spread of the runs shows, which holds what
        documents do to each run by itself, and its degrees of freedom."""
        runs = len(self.scores)
        if not self.has_seeds or runs == 1:
            return 0.0, 1
        return float(np.var(self.scores, ddof=1)) / runs, runs - 1

    @cached_property
    def alone(self) -> float:
        """The part of the variance of `values.mean(0)` that documents bring to each run by itself:
        the mean variance within runs, less the mean covariance of two runs, over the runs."""
        runs = len(self.scores)
        if not self.has_seeds or runs == 1:
            return 0.0
        within = float(np.var(self.values, axis=1, ddof=1).mean())
        of_mean = float(np.var(self.values.mean(0), ddof=1))
        return (within - of_mean) / (runs - 1)


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean or a difference of means, its standard error and degrees of freedom; the last two are
    not numbers where there are too few runs."""

    value: float
    error: float
    freedom: float

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        half = t.ppf((1 + level) / 2, self.freedom) * self.error
        return self.value - half, self.value + half

    def p_value(self) -> float:
        """How likely a value so far from zero is, if the true one is zero."""
        if self.error == 0:
            return float(self.value == 0)
        return 2 * float(t.sf(abs(self.value) / self.error, self.freedom))

    def p_unequal(self) -> float:
        """Two one-sided tests (Schuirmann 1987): how likely a value so near to zero is, if the
        true one is `MARGIN` away from it."""
        if not np.isfinite(self.error):
            return 1.0
        inside = MARGIN - abs(self.value)
        if self.error == 0:
            return float(inside <= 0)
        return float(t.sf(inside / self.error, self.freedom))

    def detectable(self, level: float = LEVEL) -> float:
        """The smallest true value that an interval of this error leaves zero out of with a chance
        of `POWER`."""
        if not np.isfinite(self.error):
            return float("nan")
        if self.freedom > 1000:
            return float((norm.ppf((1 + level) / 2) + norm.ppf(POWER)) * self.error)
        edge = t.ppf((1 + level) / 2, self.freedom)
        shift = brentq(lambda shift: nct.sf(edge, self.freedom, shift) - POWER, 0, 3 * edge + 10)
        return float(shift * self.error)


def mean_of(sample: Sample) -> Estimate:
    """The mean of a score over runs."""
    return _estimate(float(sample.scores.mean()), [sample], sample.values.mean(0))


def difference_of_means(one: Sample, other: Sample) -> Estimate:
    """The difference of the means of two methods on the same documents, whose runs have nothing
    else in common."""
    value = float(one.scores.mean() - other.scores.mean())
    return _estimate(value, [one, other], one.values.mean(0) - other.values.mean(0))


def paired_difference(one: Sample, other: Sample) -> Sample:
    """The differences of runs that belong together one by one, such as two choices among the
    epochs of one training."""
    return Sample(
        one.scores - other.scores,
        one.values - other.values,
        one.has_seeds or other.has_seeds,
        one.is_share,
    )


def mean_run_by_run(samples: list[Sample]) -> Sample:
    """The means of runs that belong together one by one, on the same documents, such as those of
    one draw of labelled texts at several sizes."""
    scores = np.mean([sample.scores for sample in samples], axis=0)
    values = np.mean([sample.values for sample in samples], axis=0)
    return dataclasses.replace(samples[0], scores=scores, values=values)


def ratio_of(one: Sample, other: Sample) -> Sample:
    """The ratios of the scores of runs that belong together one by one, linearised."""
    ratio = (one.scores / other.scores)[:, None]
    moved = (one.values - one.scores[:, None]) - ratio * (other.values - other.scores[:, None])
    values = ratio + moved / other.scores[:, None]
    return Sample(ratio[:, 0], values, one.has_seeds or other.has_seeds, is_share=False)


def _estimate(value: float, samples: list[Sample], by_document: np.ndarray) -> Estimate:
    """From the samples that a value is made of, and what each document adds to it (rows,).

    Variances of runs are not pooled. What documents do to all runs alike is what is left of the
    variance by document when each run's own part, which the spread of the runs holds already, is
    taken away; it is never negative. The degrees of freedom of the runs are Satterthwaite's; those
    of the whole are the mean of the runs' and the documents', harmonic and weighted by their parts
    of the variance. (Satterthwaite's own, weighted by the squares of the parts, find a false
    difference in up to 8 % of families of ten, for three runs of methods that vary unequally.)
    """
    if not all(sample.suffices for sample in samples):
        return Estimate(value, float("nan"), float("nan"))
    rows = len(by_document)
    alone = sum(sample.alone for sample in samples)
    shared = max(0.0, float(np.var(by_document, ddof=1)) - alone) / rows
    by_sample = [sample.of_runs for sample in samples]
    of_runs = sum(part for part, _ in by_sample)
    variance = of_runs + shared
    if variance < ROUNDING**2:
        # All runs alike on every document: as if two documents more had gone either way
        # (Agresti & Coull 1998), since that no document differs does not show that none can.
        variance = 2 / rows**2 if samples[0].is_share else 0.0
        value = round(value, 9)
    freedom_of_runs = np.inf
    if of_runs:
        freedom_of_runs = of_runs**2 / sum(part**2 / freedom for part, freedom in by_sample)
    lost = of_runs / freedom_of_runs + shared / (rows - 1)
    freedom = variance / lost if lost else rows - 1
    return Estimate(value, float(np.sqrt(variance)), float(freedom))


def family_level(size: int) -> float:
    """The level of each of `size` intervals that together hold the truth with 95 % at least
    (Šidák 1967)."""
    return LEVEL ** (1 / max(1, size))


def adjusted(p_values: list[float]) -> list[float]:
    """p-values of a family by Šidák: below 0.05 where the interval of `family_level` leaves out
    zero."""
    if not p_values:
        return []
    with np.errstate(divide="ignore"):  # it takes the logarithm of 1 − p
        return multipletests(p_values, method="sidak")[1].tolist()


def mean_and_interval(
    column: str, sample: Sample, limits: tuple[float, float] = UNLIMITED, *, family: int = 1
) -> dict[str, float | str]:
    """The mean and interval of a score as cells of a table's row: `column`, `column_low` and
    `column_high`, cut off at `limits`; of so many that are to hold together. With too few runs the
    scores themselves, `column_values`, and no interval."""
    estimate = mean_of(sample)
    low, high = estimate.interval(family_level(family))
    row = {column: estimate.value}
    row[f"{column}_low"] = float(np.maximum(limits[0], low))
    row[f"{column}_high"] = float(np.minimum(limits[1], high))
    if not sample.suffices:
        row[f"{column}_values"] = " ".join(f"{score:.6f}" for score in sample.scores)
    return row


def no_score(column: str) -> dict[str, float]:
    """The same cells where there is nothing to score."""
    return dict.fromkeys((column, f"{column}_low", f"{column}_high"), float("nan"))


def standard_deviation(values) -> float:
    """Over seeds; not a number for one seed."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def mcnemar(one: np.ndarray, other: np.ndarray) -> float:
    """McNemar's exact test of which documents two models get right, from booleans (rows,)."""
    only_one = int((one & ~other).sum())
    only_other = int((other & ~one).sum())
    if only_one + only_other == 0:
        return 1.0
    return float(contingency_test([[0, only_one], [only_other, 0]], exact=True).pvalue)
