"""What training minimises: cross-entropy and its relatives, and squared error for numbers."""

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from lib.confusions import divide
from lib.errors import InputError
from lib.rankings import label_counts, label_shares


@dataclasses.dataclass(frozen=True)
class Loss:
    """A mean over rows, and how much rows count in it.

    `mean` maps logits (batch, num_labels) and labels to the loss. The loss of a batch is the mean
    of its pieces' losses, weighted by `weight(labels)`.
    """

    mean: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    weight: Callable[[torch.Tensor], float] = len

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self.mean(logits, labels)


class Objective:
    """What a step minimises: the loss of a model on rows of a dataset."""

    def __init__(self, loss: Loss):
        self.loss = loss
        self.weight = loss.weight

    def __call__(
        self,
        model: nn.Module,
        ids: torch.Tensor,
        mask: torch.Tensor,
        labels: torch.Tensor,
        *extra: torch.Tensor,
    ) -> torch.Tensor:
        """The loss for token ids and mask (batch, tokens), labels, and further tensors."""
        return self.loss(model(ids, mask).float(), labels)


def targets_of(labels: torch.Tensor, num_labels: int, like: torch.Tensor) -> torch.Tensor:
    """Zeros and ones (batch, num_labels) from id lists (batch, most) padded with −1.

    Ids from `num_labels` on have no target.
    """
    targets = torch.zeros_like(like)
    rows, columns = torch.nonzero((labels >= 0) & (labels < num_labels), as_tuple=True)
    targets[rows, labels[rows, columns].long()] = 1
    return targets


def _plain_mean(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    if labels.is_floating_point():
        return F.mse_loss(logits[:, 0], labels)
    if labels.ndim == 1:
        return F.cross_entropy(logits, labels.long())
    return F.binary_cross_entropy_with_logits(logits, targets_of(labels, logits.shape[1], logits))


plain_loss = Loss(_plain_mean)
"""Mean cross-entropy for classes (batch,), mean binary cross-entropy over documents and labels for
id lists (batch, most), mean squared error for numbers (batch,) and predictions (batch, 1)."""


def balanced_weights(labels: np.ndarray, num_labels: int) -> torch.Tensor:
    """Weights (num_labels,) that make all classes count alike, as scikit-learn has them.

    That is rows / (num_labels · count); a class that train lacks gets 0. With several labels a
    document: rows without a label by rows with it.
    """
    counts = label_counts(labels, num_labels)
    if labels.ndim == 2:
        weights = (len(labels) - counts) / np.maximum(counts, 1)
    else:
        weights = divide(np.float64(len(labels)), num_labels * counts)
    return torch.from_numpy(weights).float()


def prior_logits(labels: np.ndarray, num_labels: int) -> np.ndarray:
    """The logits (num_labels,) that predict each label's share of train.

    Logarithms of the shares of labels (rows,); log-odds for id lists (rows, most).
    """
    half_a_document = 0.5 / len(labels)
    shares = np.clip(label_shares(labels, num_labels), half_a_document, 1 - half_a_document)
    if labels.ndim == 1:
        return np.log(shares)
    return np.log(shares / (1 - shares))


def make_loss(
    labels: np.ndarray,
    num_labels: int,
    *,
    class_weight: str | None = None,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
) -> Loss:
    """The training loss for train's labels.

    `class_weight` balanced: see `balanced_weights`. `label_smoothing` moves so much of a target to
    all classes alike. `focal_gamma` multiplies a document's loss by (1 − p)^γ, p being the
    probability of its class (Lin et al. 2017); the three combine. For real numbers the squared
    error is in units of train's variance. Raises InputError where an option does not fit the task.
    """
    options = {
        "class_weight": class_weight,
        "label_smoothing": label_smoothing,
        "focal_gamma": focal_gamma,
    }
    if labels.dtype.kind == "f":
        for name, value in options.items():
            if value:
                raise InputError(f"{name} = {value!r} is for classes; the task is regression")
        variance = float(labels.var())
        return Loss(lambda logits, labels: _plain_mean(logits, labels) / variance)
    if not any(options.values()):
        return plain_loss
    weights = torch.ones(num_labels)
    if class_weight:
        weights = balanced_weights(labels, num_labels)
    if labels.ndim == 2:
        return _loss_of_lists(weights, label_smoothing, focal_gamma)
    return _loss_of_classes(weights, label_smoothing, focal_gamma)


def _loss_of_classes(weights: torch.Tensor, label_smoothing: float, focal_gamma: float) -> Loss:
    def mean(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        labels = labels.long()
        by_row = F.cross_entropy(logits, labels, reduction="none", label_smoothing=label_smoothing)
        if focal_gamma:
            probability = logits.log_softmax(1).gather(1, labels[:, None])[:, 0].exp()
            by_row = by_row * (1 - probability) ** focal_gamma
        weight = weights.to(logits.device)[labels]
        return (by_row * weight).sum() / weight.sum()

    return Loss(mean, lambda labels: float(weights[labels.long().cpu()].sum()))


def _loss_of_lists(weights: torch.Tensor, label_smoothing: float, focal_gamma: float) -> Loss:
    def mean(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        gold = targets_of(labels, logits.shape[1], logits)
        smooth = gold * (1 - label_smoothing) + label_smoothing / 2
        weight = weights.to(logits.device)
        by_label = F.binary_cross_entropy_with_logits(
            logits, smooth, pos_weight=weight, reduction="none"
        )
        if focal_gamma:
            by_label = by_label * (gold - logits.sigmoid()).abs() ** focal_gamma
        return by_label.mean()

    return Loss(mean)
