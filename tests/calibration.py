"""How often the intervals and verdicts of `lib.analysis.stats` err, by simulation: `make stress`
prints a table. Not part of `make test`.

Runs of a method have true accuracies around its mean, a seed each. A document is hard or easy for
all runs alike, for the runs of one method, or for one run, so that differences of methods vary
with the documents, too. Methods with one mean should differ significantly in at most 6 % of
families, and 95 % intervals should hold the truth in 93 to 97 % of studies; what misses that by
more than the simulation's own error is named.
"""

import dataclasses
import itertools
import os
import time

import numpy as np
from scipy.special import bdtr, ndtri
from scipy.stats import chi2, t

from lib.analysis import stats
from lib.analysis.stats import Sample

ACCURACY = 0.9  # the mean
ALIKE = 0.8  # of a document's difficulty, what the runs of a method have in common
GAP = 0.02  # between the first method and the others, where power is counted
STUDIES = int(os.environ.get("STUDIES", 1000))  # simulated without a difference, of each kind
WITH_GAP = max(20, STUDIES // 4)  # of those with one
COVERAGE = (0.93, 0.97)  # wanted
ERROR = 0.06  # wanted at most, of any difference in a family
FALSE_EQUALITY = 0.05  # wanted at most


@dataclasses.dataclass(frozen=True)
class Kind:
    """Of studies."""

    rows: int
    seeds: int
    share: float  # of a document's difficulty, what is a method's own
    spreads: tuple[float, ...]  # standard deviation over seeds of each method's true accuracies
    law: str = ""  # of the seeds: "correlated" across methods, or "heavy tails"

    @property
    def name(self) -> str:
        points = [f"{100 * spread:g}" for spread in dict.fromkeys(self.spreads)]
        methods = f", {len(self.spreads)} methods" if len(self.spreads) > 3 else ""
        return f"{', '.join(points)}{f', {self.law}' if self.law else ''}{methods}"


def kinds() -> list[Kind]:
    laws = [((spread,) * 3, "") for spread in (0.0, 0.005, 0.015)]
    laws += [((0.0, 0.005, 0.015), ""), ((0.015,) * 3, "correlated"), ((0.015,) * 3, "heavy tails")]
    sizes = itertools.product((500, 2000, 7600), (3, 5), (0.005, 0.05), laws)
    found = [Kind(rows, seeds, share, *law) for rows, seeds, share, law in sizes]
    families = [(0.0, 0.005, 0.015, 0.0, 0.005), (0.0, 0.0, 0.015, 0.015, 0.015), (0.005,) * 5]
    return found + [Kind(2000, 3, 0.05, spreads) for spreads in families]


def studies(kind: Kind, count: int, gap: float = 0.0):
    """Simulated studies: which documents each run gets right, (methods, seeds, rows) booleans, and
    those of a baseline without seeds, (rows,). The first method is better by `gap`."""
    rng = np.random.default_rng([kind.rows, kind.seeds, int(1000 * kind.share), int(1000 * gap)])
    shape = (len(kind.spreads), kind.seeds)
    for _ in range(count):
        seeds = rng.standard_normal(shape)
        if kind.law == "correlated":
            seeds = np.sqrt(0.5) * (seeds + rng.standard_normal((1, kind.seeds)))
        if kind.law == "heavy tails":
            seeds = rng.standard_t(3, shape) / np.sqrt(3)
        true = ACCURACY + np.array(kind.spreads)[:, None] * seeds
        true[0] += gap
        true = np.append(true, ACCURACY)
        hard = np.sqrt(ALIKE - kind.share) * rng.standard_normal(kind.rows, np.float32)
        own = rng.standard_normal((shape[0] + 1, kind.rows), np.float32)
        own = hard + np.sqrt(np.float32(kind.share)) * own
        own = np.repeat(own, [kind.seeds] * shape[0] + [1], axis=0)
        noise = np.sqrt(np.float32(1 - ALIKE)) * rng.standard_normal(own.shape, np.float32)
        limits = ndtri(np.clip(true, 0.02, 0.98)).astype(np.float32)
        right = own + noise < limits[:, None]
        yield right[:-1].reshape(*shape, kind.rows), right[-1]


def samples_of(right: np.ndarray) -> list[Sample]:
    values = right.astype(float)
    return [Sample(of_method.mean(1), of_method) for of_method in values]


def pairs(samples: list) -> list[tuple[int, int]]:
    return list(itertools.combinations(range(len(samples)), 2))


def without_gap(kind: Kind) -> dict[str, list[float]]:
    """How often intervals hold the truth, and whether any difference is called significant."""
    names = ("difference", "paired", "baseline", "mean", "error")
    counted: dict[str, list] = {name: [] for name in names}
    for right, baseline in studies(kind, STUDIES):
        samples = samples_of(right)
        paired = [stats.paired_difference(samples[i], samples[j]) for i, j in pairs(samples)]
        counted["paired"].append([stats.mean_of(each).p_value() > 0.05 for each in paired])
        estimates = [stats.difference_of_means(samples[i], samples[j]) for i, j in pairs(samples)]
        p_values = [estimate.p_value() for estimate in estimates]
        counted["difference"].append(np.array(p_values) > 0.05)
        counted["error"].append(min(stats.adjusted(p_values)) < 0.05)
        alone = Sample(np.array([baseline.mean()]), baseline[None].astype(float), has_seeds=False)
        over = stats.difference_of_means(samples[-1], alone)
        counted["baseline"].append(over.p_value() > 0.05)
        low, high = stats.mean_of(samples[-1]).interval()
        counted["mean"].append(low <= ACCURACY <= high)
    return counted


def with_gap(kind: Kind) -> dict[str, list[float]]:
    """How often the first method is told from another: by this estimator, and by the rule that was
    used before; and how often methods a point apart are called equal."""
    counted: dict[str, list] = {"power": [], "power before": [], "equal": []}
    others = len(kind.spreads) - 1  # of `pairs`, the first ones are with the first method
    for right, _ in studies(kind, WITH_GAP, GAP):
        samples = samples_of(right)
        p_values = [
            stats.difference_of_means(samples[i], samples[j]).p_value() for i, j in pairs(samples)
        ]
        counted["power"].append(np.mean(np.array(stats.adjusted(p_values)[:others]) < 0.05))
        counted["power before"].append(np.mean(rule_before(right)[:others]))
    for right, _ in studies(kind, WITH_GAP, stats.MARGIN):
        samples = samples_of(right)
        unequal = [
            stats.difference_of_means(samples[i], samples[j]).p_unequal() for i, j in pairs(samples)
        ]
        counted["equal"].append(np.mean(np.array(stats.adjusted(unequal)[:others]) < 0.05))
    return counted


def rule_before(right: np.ndarray) -> np.ndarray:
    """The verdicts (pairs,) of the rule before: runs paired by seed, Student's t with documents
    (what endless bootstrap resampling gives) and McNemar's test, both adjusted by Holm, and an
    interval that leaves out zero."""
    of_seeds = []
    of_models = []
    for i, j in pairs(list(right)):
        apart = right[i].astype(float) - right[j]
        runs, rows = apart.shape
        of_mean = apart.mean(0).var() / rows
        of_one = apart.var(1).mean() / rows
        shared = min(of_one, max(0.0, (runs * of_mean - of_one) / (runs - 1)))
        least = (of_one - shared) * chi2.ppf(0.05, runs - 1) / (runs - 1)
        spread = max(apart.mean(1).var(ddof=1), least)
        variance = spread / runs + shared
        freedom = (runs - 1) * variance / (spread / runs)
        of_seeds.append(2 * t.sf(abs(apart.mean()) / np.sqrt(variance), freedom))
        only_one = (apart > 0).sum(1)
        only_other = (apart < 0).sum(1)
        exact = np.minimum(
            1, 2 * bdtr(np.minimum(only_one, only_other), only_one + only_other, 0.5)
        )
        of_models.append(min(1.0, 2 * float(np.median(exact))))
    adjusted = np.maximum(holm(of_seeds), holm(of_models))
    return (adjusted < 0.05) & (np.array(of_seeds) < 0.05)


def holm(p_values: list[float]) -> np.ndarray:
    order = np.argsort(p_values, kind="stable")
    steps = np.array(p_values)[order] * np.arange(len(p_values), 0, -1)
    return np.maximum.accumulate(steps)[np.argsort(order, kind="stable")]


def misses(shares: dict[str, float]) -> list[str]:
    """What is not as wanted, beyond twice the error of the simulation."""
    named = []
    error = 2 * np.sqrt(0.05 * 0.95 / STUDIES)
    for what in ("difference", "lowest pair", "paired", "baseline", "mean"):
        if shares[what] < COVERAGE[0] - error:
            named.append(f"{what}: covers too little")
        if shares[what] > COVERAGE[1] + error and what != "lowest pair":
            named.append(f"{what}: covers too much")
    if shares["error"] > ERROR + error:
        named.append("too many false differences")
    if shares["equal"] > FALSE_EQUALITY + 2 * np.sqrt(0.05 * 0.95 / WITH_GAP):
        named.append("too many false equalities")
    return named


def main() -> None:
    start = time.perf_counter()
    names = (
        "difference",
        "lowest pair",
        "paired",
        "baseline",
        "mean",
        "error",
        "equal",
        "power",
        "power before",
    )
    print("Shares in %: intervals that hold the truth of a difference, of that pair of methods")
    print("that has the fewest, of the same where runs are paired by seed, of a difference from a")
    print("baseline, of a mean; families with a false difference; methods a point apart called")
    print("equal; differences of")
    print(f"{100 * GAP:g} points found, and by the rule before.")
    print(
        f"{'documents seeds share  seeds vary by (points)':50}" + "".join(f"{n:>14}" for n in names)
    )
    named = 0
    for kind in kinds():
        counted = without_gap(kind) | with_gap(kind)
        counted["lowest pair"] = np.mean(counted["difference"], axis=0).min()
        shares = {name: float(np.mean(counted[name])) for name in names}
        title = f"{kind.rows:9,} {kind.seeds:5} {kind.share:5} {kind.name}"
        amiss = misses(shares)
        named += bool(amiss)
        cells = "".join(f"{100 * shares[name]:14.1f}" for name in names)
        print(f"{title:50}{cells}  {'; '.join(amiss)}", flush=True)
    print(f"{named} kinds of studies miss something; {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
