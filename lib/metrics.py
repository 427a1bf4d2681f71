"""Scores from the logits of a whole split, by way of its confusion matrix.

Every score is a function of confusion counts (..., classes, classes), gold in rows, so that a
bootstrap can score a thousand resamples at once. A precision or recall without a denominator counts
as 0, as in scikit-learn's `zero_division=0`. Macro-F1 is the mean of the classes' F1 scores (not
the F1 of the mean precision and recall).
"""

import numpy as np
from scipy.special import logsumexp
from scipy.stats import rankdata

from lib.errors import InputError, nearest

SCORES = (
    "accuracy",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "micro_precision",
    "micro_recall",
    "micro_f1",
)
BY_NAME = ("f1", "weighted_f1", "mcc")  # in a run's history only if they choose its epoch
NUMBERS = ("rmse", "mae", "r2", "pearson", "spearman")
RANKED = ("micro_f1", "macro_f1", "P@1", "P@3", "P@5", "nDCG@5")
METRICS = {
    "classification": (*SCORES, *BY_NAME),
    "multilabel": RANKED,
    "regression": NUMBERS,
}  # by task
LOWER_IS_BETTER = ("loss", "rmse", "mae")
SIGNED = (
    "mcc",
    "r2",
    "pearson",
    "spearman",
)  # shares of nothing, and below 0 where a model is worse than none


def check_metric(name: str, task: str, num_labels: int) -> None:
    """Raises InputError where a metric does not fit a task."""
    if name not in (*METRICS[task], "loss", "last"):
        raise InputError(
            f"select_by = {name!r} is no metric of {task}.{nearest(name, METRICS[task])}"
        )
    if name == "f1" and num_labels != 2:
        raise InputError(
            f"select_by = 'f1' is for two classes, that of the second; there are {num_labels}: macro_f1?"
        )


def confusion(labels: np.ndarray, predicted: np.ndarray, num_labels: int) -> np.ndarray:
    """Counts (num_labels, num_labels): gold label in rows, predicted label in columns."""
    cells = labels.astype(np.int64) * num_labels + predicted
    return np.bincount(cells, minlength=num_labels**2).reshape(num_labels, num_labels)


def _ratio(top, bottom):
    return np.divide(
        top, bottom, out=np.zeros(np.broadcast_shapes(top.shape, bottom.shape)), where=bottom > 0
    )


def class_scores(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall, F1 and support by class, each (..., classes)."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1).astype(float)
    predicted, support = counts.sum(-2), counts.sum(-1)
    return {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, support),
        "f1": _ratio(2 * hits, predicted + support),
        "support": support,
    }


def scores_from_confusion(counts: np.ndarray) -> dict[str, np.ndarray]:
    """The scores named in `SCORES` and `BY_NAME`, each (...). With one label a document, micro
    averages equal accuracy.

    f1 is that of the second of two classes; mcc is Matthews' correlation, of any number of classes
    (Gorodkin 2004).
    """
    by_class = class_scores(counts)
    accuracy = _ratio(np.trace(counts, axis1=-2, axis2=-1).astype(float), counts.sum((-2, -1)))
    macro = {f"macro_{name}": by_class[name].mean(-1) for name in ("precision", "recall", "f1")}
    found = (
        {"accuracy": accuracy}
        | macro
        | {f"micro_{name}": accuracy for name in ("precision", "recall", "f1")}
    )
    gold, predicted = counts.sum(-1).astype(float), counts.sum(-2).astype(float)
    rows = gold.sum(-1)
    found["weighted_f1"] = _ratio((by_class["f1"] * gold).sum(-1), rows)
    chance = (gold * predicted).sum(-1)
    spread = (rows**2 - (gold**2).sum(-1)) * (rows**2 - (predicted**2).sum(-1))
    found["mcc"] = _ratio(accuracy * rows * rows - chance, np.sqrt(np.maximum(spread, 0)))
    return found | ({"f1": by_class["f1"][..., 1]} if counts.shape[-1] == 2 else {})


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood, in nats, of the gold labels (rows,) under logits (rows,
    num_labels)."""
    logits = logits.astype(np.float64)
    return float(np.mean(logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]))


def scores(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """All scores and the loss from logits (rows, num_labels) and gold labels (rows,); ties go to
    the lower label."""
    counts = confusion(labels, logits.argmax(1), logits.shape[1])
    return {"loss": cross_entropy(logits, labels)} | {
        k: float(v) for k, v in scores_from_confusion(counts).items()
    }


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size else 0.0


def number_scores(values: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The scores named in `NUMBERS` and the mean squared error as loss, of predictions (rows,)
    and numbers (rows,). A correlation with a constant counts as 0."""
    values, labels = values.astype(np.float64), labels.astype(np.float64)
    errors, spread = values - labels, float(labels.var())
    squared = float((errors**2).mean())
    return {
        "loss": squared,
        "rmse": squared**0.5,
        "mae": float(np.abs(errors).mean()),
        "r2": 1 - squared / spread if spread else 0.0,
        "pearson": _correlation(values, labels),
        "spearman": _correlation(rankdata(values), rankdata(labels)),
    }
