"""What dev chooses once a model is trained: thresholds on its logits, and a temperature."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

LARGEST_LOG = 3.0  # of a temperature, either way
ENOUGH = 5  # dev documents with a label, below which it gets the common threshold


def dense(
    logits: np.ndarray, ranked: np.ndarray, labels: np.ndarray, num_labels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Logits (rows, num_labels), −inf where a label is not kept, and gold booleans alike, from the
    logits of the `ranked` labels (rows, k) and lists of gold ids (rows, most): for few labels."""
    rows = np.arange(len(labels))[:, None]
    of_label = np.full((len(rows), num_labels), -np.inf)
    of_label[rows, ranked] = logits
    gold = np.zeros((len(rows), num_labels + 1), bool)  # the last: padding, and labels not in train
    gold[rows, np.where(labels < 0, num_labels, np.minimum(labels, num_labels))] = True
    return of_label, gold[:, :num_labels]


def best_threshold(logits: np.ndarray, gold: np.ndarray) -> float:
    """The logit above which to say yes, so that F1 is highest, between the two scores that it
    parts; of logits and gold booleans of one shape."""
    order = np.argsort(-logits, axis=None, kind="stable")
    values = logits.ravel()[order]
    right = gold.ravel()[order]
    f1 = 2 * right.cumsum() / (np.arange(1, len(right) + 1) + right.sum())
    last_of_equals = np.append(values[1:] < values[:-1], True)  # equal scores stay together
    ends = np.flatnonzero(last_of_equals & np.isfinite(values))
    best = ends[f1[ends].argmax()]
    below = values[best] - 1
    if best + 1 < len(values) and np.isfinite(values[best + 1]):
        below = values[best + 1]
    return float((values[best] + below) / 2)


def thresholds_of(logits: np.ndarray, gold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Thresholds (num_labels,) on logits (rows, num_labels): one for all labels, and one a label
    (the common one, where too few documents have it). Logits that are not kept are −inf."""
    common = np.full(logits.shape[1], best_threshold(logits, gold))
    by_label = common.copy()
    for i in np.flatnonzero(gold.sum(0) >= ENOUGH):
        by_label[i] = best_threshold(logits[:, i], gold[:, i])
    return common, by_label


def class_losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The negative log-likelihood of each document's label (rows,), in nats."""
    return -log_softmax(logits, axis=1)[np.arange(len(logits)), labels]


def label_losses(logits: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """With several labels a document: the mean over its labels, from gold booleans."""
    return np.logaddexp(0, np.where(gold, -logits, logits)).mean(1)


def best_temperature(loss_at: Callable[[float], float]) -> float:
    """The temperature with the lowest loss (Guo et al. 2017), between 1/20 and 20."""
    bounds = (-LARGEST_LOG, LARGEST_LOG)
    fitted = minimize_scalar(lambda log: loss_at(np.exp(log)), bounds=bounds, method="bounded")
    return float(np.exp(fitted.x))
