"""What each document adds to a score: the jackknife, which leaves out one document at a time.

The jackknife value of a document is the score of all N, N times, less that of the others, N − 1
times (Tukey 1958). Of a mean over documents, such as accuracy or P@k, it is the document's own
part; of other scores the variance of these values over N is that of the score. Nothing is drawn
at random. A metric needs no function of its own for this: `METRICS` says how it is computed.
"""

from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata

from lib.confusions import confusion, divide
from lib.metrics import METRICS
from lib.rankings import Decisions

CHUNK = 2_000_000  # counts held at once


def jackknife_values(score, left_out: np.ndarray) -> np.ndarray:
    """(rows, …) from the score (…) of all documents, and those without each, (rows, …)."""
    rows = len(left_out)
    return rows * np.asarray(score) - (rows - 1) * left_out


def confusion_values(
    function: Callable, labels: np.ndarray, predicted: np.ndarray, num_labels: int
) -> np.ndarray:
    """Jackknife values (runs, rows, …) of a function of confusion counts, from labels (rows,) and
    predictions (runs, rows)."""
    return np.stack([_of_confusion(function, labels, row, num_labels) for row in predicted])


def _of_confusion(
    function: Callable, labels: np.ndarray, predicted: np.ndarray, num_labels: int
) -> np.ndarray:
    """Of one run; documents in one cell of the confusion are worth the same."""
    counts = confusion(labels, predicted, num_labels)
    cells, cell_of = np.unique(labels * num_labels + predicted, return_inverse=True)
    left_out = []
    for some in np.array_split(cells, 1 + len(cells) * counts.size // CHUNK):
        fewer = np.repeat(counts[None], len(some), axis=0)
        fewer.reshape(len(some), -1)[np.arange(len(some)), some] -= 1
        left_out.append(function(fewer))
    return jackknife_values(function(counts), np.concatenate(left_out)[cell_of])


def ratio_values(numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """Jackknife values (runs, rows) of ratios of sums over documents, from numerators and
    denominators (runs, rows)."""
    top = numerators.sum(1, keepdims=True)
    bottom = denominators.sum(1, keepdims=True)
    left_out = divide(top - numerators, bottom - denominators)
    return jackknife_values(divide(top, bottom)[:, 0], left_out.T).T


def decision_values(
    function: Callable, ranked: np.ndarray, given: np.ndarray, gold: np.ndarray, num_labels: int
) -> np.ndarray:
    """Jackknife values (rows,) of a function of `lib.rankings.Decisions`, of one run."""
    every = Decisions.of(ranked, given, gold, num_labels)
    left_out = []
    for row in range(len(gold)):
        document = slice(row, row + 1)
        of_document = Decisions.of(ranked[document], given[document], gold[document], num_labels)
        left_out.append(function(every.without(of_document)))
    return jackknife_values(function(every), np.array(left_out))


def number_values(metric: str, values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Jackknife values (rows,) of a metric of predicted and true numbers (rows,), linearised where
    `LINEARISED` says how; of another metric, each document is left out in turn."""
    values = values.astype(np.float64)
    labels = labels.astype(np.float64)
    function = METRICS[metric].functions["numbers"]
    if metric in LINEARISED:
        return function(values, labels) + LINEARISED[metric](values, labels)
    rows = np.arange(len(labels))
    left_out = [function(values[rows != row], labels[rows != row]) for row in rows]
    return jackknife_values(function(values, labels), np.array(left_out))


# Influences of documents on scores of numbers, (rows,): how far the score moves as a document's
# weight grows


def _squared_influence(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    squares = (values - labels) ** 2
    return squares - squares.mean()


def _rmse_influence(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    error = np.sqrt(((values - labels) ** 2).mean())
    return divide(_squared_influence(values, labels), np.full(len(labels), 2 * error))


def _mae_influence(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    errors = np.abs(values - labels)
    return errors - errors.mean()


def _r2_influence(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    spread = labels.var()
    if not spread:
        return np.zeros(len(labels))
    unexplained = ((values - labels) ** 2).mean() / spread
    of_spread = (labels - labels.mean()) ** 2 - spread
    return -(_squared_influence(values, labels) - unexplained * of_spread) / spread


def _pearson_influence(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    if not values.std() or not labels.std():
        return np.zeros(len(labels))
    a = (values - values.mean()) / values.std()
    b = (labels - labels.mean()) / labels.std()
    return a * b - (a * b).mean() * (a**2 + b**2) / 2


def _spearman_influence(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A document has its own ranks, and moves those of the others."""
    if not values.std() or not labels.std():
        return np.zeros(len(labels))
    ranks = [rankdata(values), rankdata(labels)]
    a, b = [(rank - rank.mean()) / rank.std() for rank in ranks]
    correlation = (a * b).mean()
    influence = _pearson_influence(*ranks)
    for rank, slope in ((ranks[0], b - correlation * a), (ranks[1], a - correlation * b)):
        influence = influence + _through_ranks(rank, slope / rank.std())
    return influence


def _through_ranks(rank: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """What a document does through the ranks of the others, which grow by one above it and by a
    half beside it; `slope` is what growing ranks are worth."""
    levels, level_of = np.unique(rank, return_inverse=True)
    at_level = np.bincount(level_of, slope, minlength=len(levels))
    above = at_level.sum() - at_level.cumsum() + at_level / 2
    return above[level_of] - (slope @ rank) / len(rank)


LINEARISED = {
    "rmse": _rmse_influence,
    "mae": _mae_influence,
    "r2": _r2_influence,
    "pearson": _pearson_influence,
    "spearman": _spearman_influence,
}
