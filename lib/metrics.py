"""Scores from the logits of a whole split, by way of its confusion matrix.

Every score is a function of confusion counts (..., classes, classes), gold in rows, so that a bootstrap can score a
thousand resamples at once. A precision or recall without a denominator counts as 0, as in scikit-learn's
`zero_division=0`. Macro-F1 is the mean of the classes' F1 scores (not the F1 of the mean precision and recall).
"""

import numpy as np
from scipy.special import logsumexp

SCORES = ("accuracy", "macro_precision", "macro_recall", "macro_f1", "micro_precision", "micro_recall", "micro_f1")


def confusion(labels: np.ndarray, predicted: np.ndarray, num_labels: int) -> np.ndarray:
    """Counts (num_labels, num_labels): gold label in rows, predicted label in columns."""
    cells = labels.astype(np.int64) * num_labels + predicted
    return np.bincount(cells, minlength=num_labels**2).reshape(num_labels, num_labels)


def _ratio(top, bottom):
    return np.divide(top, bottom, out=np.zeros(np.broadcast_shapes(top.shape, bottom.shape)), where=bottom > 0)


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
    """The scores named in `SCORES`, each (...). With one label a document, micro averages equal accuracy."""
    by_class = class_scores(counts)
    accuracy = _ratio(np.trace(counts, axis1=-2, axis2=-1).astype(float), counts.sum((-2, -1)))
    macro = {f"macro_{name}": by_class[name].mean(-1) for name in ("precision", "recall", "f1")}
    return {"accuracy": accuracy} | macro | {f"micro_{name}": accuracy for name in ("precision", "recall", "f1")}


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood, in nats, of the gold labels (rows,) under logits (rows, num_labels)."""
    logits = logits.astype(np.float64)
    return float(np.mean(logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]))


def scores(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """All scores and the loss from logits (rows, num_labels) and gold labels (rows,); ties go to the lower label."""
    counts = confusion(labels, logits.argmax(1), logits.shape[1])
    return {"loss": cross_entropy(logits, labels)} | {k: float(v) for k, v in scores_from_confusion(counts).items()}
