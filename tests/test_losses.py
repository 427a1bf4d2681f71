"""Losses, against torch's own."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lib.losses import balanced_weights, make_loss, plain_loss


def test_losses():
    torch.manual_seed(0)
    labels = np.array([0, 0, 0, 1, 2, 0, 1, 0])
    logits, gold = torch.randn(8, 3), torch.from_numpy(labels)
    assert make_loss(labels, 3) is plain_loss
    weights = torch.tensor([8 / (3 * 5), 8 / (3 * 2), 8 / (3 * 1)])
    assert torch.allclose(balanced_weights(labels, 3), weights)
    own = make_loss(labels, 3, class_weight="balanced")(logits, gold)
    assert torch.allclose(own, F.cross_entropy(logits, gold, weights))
    own = make_loss(labels, 3, label_smoothing=0.2)(logits, gold)
    assert torch.allclose(own, F.cross_entropy(logits, gold, label_smoothing=0.2))
    chance = logits.softmax(1)[torch.arange(8), gold]
    own = make_loss(labels, 3, focal_gamma=2.0)(logits, gold)
    assert torch.allclose(own, (-((1 - chance) ** 2) * chance.log()).mean())
    lists = np.array([[0, 2], [1, -1], [2, -1], [0, -1]])
    dense = torch.tensor([[1.0, 0, 1], [0, 1, 0], [0, 0, 1], [1, 0, 0]])
    own = make_loss(lists, 3, class_weight="balanced")(logits[:4], torch.from_numpy(lists))
    weight = torch.tensor([1.0, 3.0, 1.0])
    assert torch.allclose(
        own, F.binary_cross_entropy_with_logits(logits[:4], dense, pos_weight=weight)
    )
    own = make_loss(lists, 3, focal_gamma=1.0)(logits[:4], torch.from_numpy(lists))
    chance = torch.where(dense == 1, logits[:4].sigmoid(), 1 - logits[:4].sigmoid())
    assert torch.allclose(own, (-(1 - chance) * chance.log()).mean(), atol=1e-6)
    numbers = np.array([1.0, 5.0, 3.0])
    own = make_loss(numbers, 1)(torch.tensor([[1.0], [1.0], [3.0]]), torch.from_numpy(numbers))
    assert own == pytest.approx(16 / 3 / numbers.var())
