"""How often the 95 % interval of a score over all rows of a table, in folds, holds the truth,
beside that of one test split: by simulation, as a part of `make stress`.

Rows are of two normal distributions; a method is a linear discriminant whose weights a seed
disturbs. The truth is known of each model: that of a study is the mean over its models, and that of
the method the mean over studies.
"""

import os

import numpy as np
from scipy.special import ndtr

from lib.analysis.stats import Sample, mean_of

SIZE = 10  # of a row
DISTANCE = 2.0  # of the two means
DISTURBED = 0.15  # standard deviation of what a seed does to a weight, by the weights' own
FOLDS = 5
SEEDS = 3
STUDIES = int(os.environ.get("STUDIES", 1000))


def rows_of(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows (rows, size) and their labels (rows,), in random order."""
    labels = rng.permutation(np.arange(rows) % 2)
    values = rng.normal(size=(rows, SIZE))
    values[:, 0] += DISTANCE * (labels - 0.5)
    return values, labels


def fit(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights (size,) and bias of a linear discriminant."""
    means = [values[labels == label].mean(0) for label in (0, 1)]
    centred = values - np.where(labels[:, None] == 1, means[1], means[0])
    weights = np.linalg.solve(centred.T @ centred / len(values), means[1] - means[0])
    return weights, -float(weights @ (means[0] + means[1])) / 2


def accuracy(weights: np.ndarray, bias: float) -> float:
    """The true accuracy of a linear model."""
    length = np.linalg.norm(weights)
    side = DISTANCE / 2 * weights[0]
    return float((ndtr((side + bias) / length) + ndtr((side - bias) / length)) / 2)


def score(rng: np.random.Generator, parts: list, right: np.ndarray) -> float:
    """Fill in which rows each seed's models get right (seeds, rows), for parts of (train's rows and
    labels, test's rows and labels, test's places); returns the true accuracy of the models."""
    truths = []
    for train, train_labels, test, test_labels, places in parts:
        weights, bias = fit(train, train_labels)
        noise = DISTURBED * np.linalg.norm(weights) / np.sqrt(SIZE)
        for seed in range(SEEDS):
            disturbed = weights + noise * rng.normal(size=SIZE)
            right[seed, places] = (test @ disturbed + bias > 0) == (test_labels == 1)
            truths.append(accuracy(disturbed, bias))
    return float(np.mean(truths))


def study(rng: np.random.Generator, rows: int, folds: int, tests: list[int]) -> tuple:
    """The interval of the mean accuracy over the folds that are tested, and the truth."""
    values, labels = rows_of(rng, rows)
    fold_of_row = np.arange(rows) // 2 % folds
    order = np.argsort(labels, kind="stable")  # every fold has as many rows of both
    values, labels = values[order], labels[order]
    is_tested = np.isin(fold_of_row, tests)
    place = np.cumsum(is_tested) - 1
    parts = []
    for fold in tests:
        test = fold_of_row == fold
        parts.append((values[~test], labels[~test], values[test], labels[test], place[test]))
    right = np.zeros((SEEDS, int(is_tested.sum())), bool)
    truth = score(rng, parts, right)
    estimate = mean_of(Sample(right.mean(1), right.astype(float)))
    return *estimate.interval(), truth


def coverage(rows: int, tests: list[int]) -> dict[str, float]:
    """Shares of intervals that hold the truth of the study's models, and of the method; the mean
    half of an interval."""
    rng = np.random.default_rng(rows)
    low, high, truth = np.array([study(rng, rows, FOLDS, tests) for _ in range(STUDIES)]).T
    method = truth.mean()
    return {
        "models": float(((low <= truth) & (truth <= high)).mean()),
        "method": float(((low <= method) & (method <= high)).mean()),
        "half": float((high - low).mean() / 2),
    }


def main() -> None:
    print(f"{STUDIES} studies each, {SEEDS} seeds; shares in % of 95 % intervals that hold the")
    print("accuracy of the study's own models, and of the method on such tables; half in points")
    print(f"{'rows':>6} {'scored':>12} {'models':>8} {'method':>8} {'half':>6}")
    for rows in (200, 1000):
        for name, tests in (("one split", [0]), (f"{FOLDS} folds", list(range(FOLDS)))):
            shares = {key: 100 * value for key, value in coverage(rows, tests).items()}
            numbers = f"{shares['models']:8.1f} {shares['method']:8.1f} {shares['half']:6.1f}"
            print(f"{rows:6} {name:>12} {numbers}", flush=True)


if __name__ == "__main__":
    main()
