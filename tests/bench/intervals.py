"""Numbers with intervals, and how a page writes them."""

from typing import NamedTuple

import numpy as np
from scipy.stats import t

RESAMPLES = 2000  # of the rounds, for the interval of a median
LEVEL = 0.95


class Interval(NamedTuple):
    """A number and its 95 % interval, which is not a number where there is none."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        if np.isnan(self.low):
            return f"{self.middle:.2f}".replace("-", "−")
        return f"{self.middle:.2f} [{self.low:.2f}, {self.high:.2f}]".replace("-", "−")


def median_interval(values) -> Interval:
    """The median, and the 95 % percentile interval of its bootstrap over rounds."""
    values = np.asarray(values, dtype=float)
    rng = np.random.default_rng(0)
    drawn = values[rng.integers(len(values), size=(RESAMPLES, len(values)))]
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return Interval(float(np.median(values)), float(low), float(high))


def mean_interval(values) -> Interval:
    """The mean over seeds, and Student's 95 % interval; of one seed, no interval."""
    values = np.asarray(values, dtype=float)
    middle = float(values.mean())
    if len(values) < 2:
        return Interval(middle, float("nan"), float("nan"))
    half = t.ppf((1 + LEVEL) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return Interval(middle, float(middle - half), float(middle + half))


def ratio_interval(ratios) -> Interval:
    """The geometric mean of ratios by seed, and the interval that Student's of their logarithms
    gives."""
    return Interval(*np.exp(mean_interval(np.log(ratios))).tolist())


def pipe(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; the first column is text, the others numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def measured_on(facts: dict) -> str:
    """When and on what a part was measured, in a line."""
    machine = facts["machine"]
    plural = "s" * (machine["threads"] > 1)
    return (
        f"*Measured on {facts['date']}: {machine['device']}, {machine['threads']} thread{plural}, "
        f"torch {machine['torch']}, transformers {machine['transformers']}.*"
    )
