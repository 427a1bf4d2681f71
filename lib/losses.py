"""What training minimises: cross-entropy and its relatives for the imbalanced, and squared error
for numbers."""

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from lib.errors import InputError
from lib.metrics import label_counts


def targets_of(labels: torch.Tensor, num_labels: int, like: torch.Tensor) -> torch.Tensor:
    """Zeros and ones (batch, num_labels) from id lists (batch, most) padded with −1; ids beyond
    have no target."""
    targets = torch.zeros_like(like)
    rows, columns = torch.nonzero((labels >= 0) & (labels < num_labels), as_tuple=True)
    targets[rows, labels[rows, columns].long()] = 1
    return targets


@dataclasses.dataclass(frozen=True)
class Loss:
    """A mean over rows, loss(logits (batch, num_labels), labels), and how much rows count: the
    loss of a batch is the mean of its parts' losses, weighted by `weight(labels)`."""

    mean: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    weight: Callable[[torch.Tensor], float] = len

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self.mean(logits, labels)


class Objective:
    """What a step minimises: the loss of a model on rows (ids, mask, labels, and the dataset's
    further tensors)."""

    def __init__(self, loss: Loss):
        self.loss, self.weight = loss, loss.weight

    def __call__(
        self, model, ids: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor, *extra
    ) -> torch.Tensor:
        return self.loss(model(ids, mask).float(), labels)


def _plain(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy for classes (batch,), mean binary cross-entropy over documents and
    labels for id lists (batch, most), mean squared error for real numbers (batch,) and
    predictions (batch, 1)."""
    if labels.is_floating_point():
        return F.mse_loss(logits[:, 0], labels)
    if labels.ndim == 1:
        return F.cross_entropy(logits, labels.long())
    return F.binary_cross_entropy_with_logits(logits, targets_of(labels, logits.shape[1], logits))


plain_loss = Loss(_plain)


def balanced_weights(labels: np.ndarray, num_labels: int) -> torch.Tensor:
    """Weights (num_labels,) that make all classes count alike: rows / (num_labels · count), as
    scikit-learn has them; a class that train lacks gets 0. With several labels a document, rows
    without a label by rows with it."""
    counts = label_counts(labels, num_labels)
    if labels.ndim == 2:
        weights = (len(labels) - counts) / np.maximum(counts, 1)
    else:
        weights = np.where(counts, len(labels) / (num_labels * np.maximum(counts, 1)), 0.0)
    return torch.from_numpy(weights).float()


def make_loss(
    labels: np.ndarray,
    num_labels: int,
    *,
    class_weight: str | None = None,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
) -> Loss:
    """The training loss for train's labels. Raises InputError where an option does not fit them.

    `class_weight` balanced: see `balanced_weights`. `label_smoothing` moves so much of a target to
    all classes alike. `focal_gamma` multiplies a document's loss by (1 − p)^γ, p being the
    probability of its class (Lin et al. 2017); the three combine. For real numbers the squared
    error is in units of train's variance.
    """
    options = {
        "class_weight": class_weight,
        "label_smoothing": label_smoothing,
        "focal_gamma": focal_gamma,
    }
    if labels.dtype.kind == "f":
        if given := [name for name, value in options.items() if value]:
            raise InputError(
                f"{given[0]} = {options[given[0]]!r} is for classes; the task is regression"
            )
        variance = float(labels.var())
        return Loss(lambda logits, labels: _plain(logits, labels) / variance)
    if not any(options.values()):
        return plain_loss
    weights = balanced_weights(labels, num_labels) if class_weight else torch.ones(num_labels)

    def classes(logits, labels):
        labels = labels.long()
        each = F.cross_entropy(logits, labels, reduction="none", label_smoothing=label_smoothing)
        if focal_gamma:
            each = (
                each
                * (1 - logits.log_softmax(1).gather(1, labels[:, None])[:, 0].exp()) ** focal_gamma
            )
        weight = weights.to(logits.device)[labels]
        return (each * weight).sum() / weight.sum()

    def lists(logits, labels):
        gold = targets_of(labels, num_labels, logits)
        soft, weight = gold * (1 - label_smoothing) + label_smoothing / 2, weights.to(logits.device)
        each = F.binary_cross_entropy_with_logits(logits, soft, pos_weight=weight, reduction="none")
        if focal_gamma:
            each = each * (gold - logits.sigmoid()).abs() ** focal_gamma
        return each.mean()

    return (
        Loss(lists)
        if labels.ndim == 2
        else Loss(classes, lambda labels: float(weights[labels.long().cpu()].sum()))
    )
