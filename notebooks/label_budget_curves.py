"""What more labels would bring: a power law through the scores of all sizes, and how far it can be
believed."""

import numpy as np
import pandas as pd
from scipy.optimize import curve_fit
from scipy.stats import t

from lib.analysis.comparisons import TOO_FEW
from lib.analysis.display import difference, distance, score, signed, with_metrics
from lib.analysis.predictions import Predictions
from lib.analysis.stats import FEWEST_RUNS, LEVEL
from lib.errors import InputError
from lib.metrics import METRICS
from notebooks.label_budget import (
    SIZE,
    best_on_dev,
    in_words,
    models_of,
    references_of,
    scores_by_sample,
)

FEWEST_SIZES = 5  # four for the three numbers of a curve, and one that it has not seen
STEEPEST = 3.0  # exponent


def fit(sizes: np.ndarray, scores: np.ndarray, most: float) -> tuple[float, float, float]:
    """The curve a − b (n / N)^−c nearest to scores (samples, sizes), N being the largest size and
    a `most` at most: (a, b, c). b is what a score at N lacks of a.

    The spread over samples shrinks with the root of a size, so distances count by it. Raises
    InputError where there is no such curve.
    """
    relative = sizes / sizes[-1]
    x = np.tile(relative, len(scores))
    y = scores.ravel()
    try:
        numbers, _ = curve_fit(
            lambda n, a, b, c: a - b * n**-c,
            x,
            y,
            p0=(min(most, y.max() + 0.02), 0.05, 0.5),
            sigma=x**-0.5,
            bounds=((-np.inf, 0, 0.01), (most + 1e-9, np.inf, STEEPEST)),
            max_nfev=5000,
        )
    except RuntimeError as error:
        raise InputError(f"No power law fits the scores of {len(sizes)} sizes: {error}") from None
    return tuple(numbers.tolist())


def value_at(curve: tuple[float, float, float], ratio: float) -> float:
    """A curve at so many times its largest size."""
    a, b, c = curve
    return a - b * ratio**-c


def gain_of_doubling(sizes: np.ndarray, scores: np.ndarray, most: float) -> float:
    """What twice the largest size would add to the score, by the curve."""
    curve = fit(sizes, scores, most)
    return value_at(curve, 2) - value_at(curve, 1)


def error_at_largest(sizes: np.ndarray, scores: np.ndarray, most: float) -> float:
    """How far the mean score at the largest size is above the curve through the others."""
    curve = fit(sizes[:-1], scores[:, :-1], most)
    return float(scores[:, -1].mean()) - value_at(curve, sizes[-1] / sizes[-2])


def without_one(quantity, sizes: np.ndarray, scores: np.ndarray, most: float) -> tuple:
    """A quantity of scores (samples, sizes), and half of its 95 % interval over other samples: by
    the jackknife, leaving one sample out. No number where there are too few."""
    value = quantity(sizes, scores, most)
    samples = len(scores)
    if samples < FEWEST_RUNS:
        return value, float("nan")
    others = [quantity(sizes, np.delete(scores, i, axis=0), most) for i in range(samples)]
    error = np.sqrt((samples - 1) * np.var(others))
    return value, float(error * t.ppf((1 + LEVEL) / 2, samples - 1))


def score_table(p: Predictions, method: str, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """The sizes that a method was tried at, and its test scores (samples, sizes)."""
    long = scores_by_sample(p, metric=metric)
    of_method = long[long["method"] == method]
    table = of_method.pivot(index="sample", columns=SIZE, values=metric).dropna()
    return table.columns.to_numpy(float), table.to_numpy()


def doubling(p: Predictions, *, metric: str) -> pd.DataFrame:
    """For each method: what twice the largest number of labels would bring, and whether a curve
    that has not seen that size predicts what was measured there."""
    most = METRICS[metric].limits[1]
    rows = []
    for method in [*models_of(p), *references_of(p)]:
        sizes, scores = score_table(p, method, metric)
        if len(sizes) < FEWEST_SIZES or not len(scores):
            continue
        gain, gain_half = without_one(gain_of_doubling, sizes, scores, most)
        error, error_half = without_one(error_at_largest, sizes, scores, most)
        measured = float(scores[:, -1].mean())
        rows.append(
            {"method": method, SIZE: int(sizes[-1])}
            | cells("gain of twice as many", gain, gain_half)
            | cells("predicted", measured - error, error_half)
            | {"measured": measured, "error": error, "error_low": error - error_half}
            | {"error_high": error + error_half}
        )
    columns = ["method", SIZE, "gain of twice as many", "predicted", "measured", "error"]
    table = pd.DataFrame(rows, columns=None if rows else columns)
    return with_metrics(table, dict.fromkeys(columns[2:], metric))


def cells(column: str, value: float, half: float) -> dict[str, float]:
    """A value and its interval as cells of a table's row."""
    return {column: value, f"{column}_low": value - half, f"{column}_high": value + half}


def predicted(p: Predictions, *, metric: str) -> str:
    """What twice the labels would bring to the model that dev chooses of those with a curve, and
    how well such a curve predicted."""
    table = doubling(p, metric=metric)
    models = [model for model in models_of(p) if model in table["method"].tolist()]
    if not models:
        return f"What more labels would bring is not known: no model has {FEWEST_SIZES} sizes."
    model = best_on_dev(p, models, metric=metric)
    row = table.set_index("method").loc[model]
    gain = difference(row["gain of twice as many"], metric)
    size = int(row[SIZE])
    sentence = f"Twice {size:,} labelled texts would bring {in_words(model)} about {gain}"
    if np.isnan(row["error_low"]):
        return f"{sentence} by a curve through all sizes; {TOO_FEW}, so no interval."
    low = signed(row["gain of twice as many_low"], metric)
    high = signed(row["gain of twice as many_high"], metric)
    half = distance(row["predicted_high"] - row["predicted"], metric)
    missed = "" if row["error_low"] <= 0 <= row["error_high"] else ": the curve was **wrong**"
    return (
        f"{sentence} (95 % interval {low} to {high}). For {size:,}, a curve through the smaller "
        f"sizes predicted {score(row['predicted'], metric)} ± {half}; measured were "
        f"{score(row['measured'], metric)}{missed}."
    )
