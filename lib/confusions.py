"""One label a document: confusion counts (..., classes, classes), gold label in rows, and scores of
them."""

import numpy as np

AT_ONCE = 2**20  # logits of which a loss is computed together: they stay in the processor's cache


def confusion(labels: np.ndarray, predicted: np.ndarray, num_labels: int) -> np.ndarray:
    """Counts (num_labels, num_labels): gold label in rows, predicted label in columns."""
    cells = labels.astype(np.int64) * num_labels + predicted
    return np.bincount(cells, minlength=num_labels**2).reshape(num_labels, num_labels)


def divide(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """`top / bottom`, 0 where the denominator is 0, as scikit-learn's `zero_division=0`."""
    quotient = np.zeros(np.broadcast_shapes(np.shape(top), np.shape(bottom)))
    return np.divide(top, bottom, out=quotient, where=bottom > 0)


def class_scores(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall, F1 and support by class, each (..., classes)."""
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    return scores_of_counts(right, counts.sum(-2), counts.sum(-1))


def scores_of_counts(right: np.ndarray, given: np.ndarray, gold: np.ndarray) -> dict:
    """The same scores from how often each label is given rightly, given, and gold."""
    return {
        "precision": divide(right, given),
        "recall": divide(right, gold),
        "f1": divide(2 * right, given + gold),
        "support": gold,
    }


def accuracy(counts: np.ndarray) -> np.ndarray:
    """The share of documents with the right label; micro averages equal it."""
    return divide(np.trace(counts, axis1=-2, axis2=-1).astype(float), counts.sum((-2, -1)))


def mean_over_classes(counts: np.ndarray, score: str) -> np.ndarray:
    """The mean of a score over the classes that occur, as gold label or as predicted one: those
    that scikit-learn's macro averages count. Of F1, it is not the F1 of the mean precision and
    recall."""
    occurs = counts.sum(-1) + counts.sum(-2) > 0
    return divide(class_scores(counts)[score].sum(-1), occurs.sum(-1))


def weighted_f1(counts: np.ndarray) -> np.ndarray:
    """The mean of the classes' F1 scores, weighted by their documents."""
    support = counts.sum(-1).astype(float)
    return divide((class_scores(counts)["f1"] * support).sum(-1), support.sum(-1))


def matthews(counts: np.ndarray) -> np.ndarray:
    """Matthews' correlation coefficient, of any number of classes (Gorodkin 2004)."""
    gold = counts.sum(-1).astype(float)
    predicted = counts.sum(-2).astype(float)
    rows = gold.sum(-1)
    by_chance = (gold * predicted).sum(-1)
    spread = (rows**2 - (gold**2).sum(-1)) * (rows**2 - (predicted**2).sum(-1))
    return divide(accuracy(counts) * rows * rows - by_chance, np.sqrt(np.maximum(spread, 0)))


def second_class_f1(counts: np.ndarray) -> np.ndarray:
    """F1 of the second of two classes."""
    return class_scores(counts)["f1"][..., 1]


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood, in nats, of labels (rows,) under logits (rows, num_labels)."""
    from scipy.special import logsumexp  # scipy takes a while to import

    rows_at_once = max(1, AT_ONCE // logits.shape[1])
    losses = []
    for start in range(0, len(labels), rows_at_once):
        part = logits[start : start + rows_at_once].astype(np.float64)
        of_gold = part[np.arange(len(part)), labels[start : start + rows_at_once]]
        losses.append(logsumexp(part, axis=1) - of_gold)
    return float(np.mean(np.concatenate(losses)))
