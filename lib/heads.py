"""Pooling heads: hidden states (batch, tokens, size) and mask (batch, tokens) to logits (batch,
num_labels).

Every head is blind to padding, and has a `pool`, from hidden states and mask to one vector a
document (batch, size), and an output layer `out`. Adding one is adding a row to `HEADS`.
"""

import torch
from torch import nn

POSITIONS = 512  # the most tokens that a weighted average has weights for


def first_token(head: nn.Module, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The `pool` of the heads that read nothing but the first token."""
    return hidden[:, 0]


def mean_of_tokens(head: nn.Module, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The `pool` of the heads that read the plain mean of the real tokens."""
    real = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * real).sum(1) / real.sum(1)


ONE_VECTOR = (first_token, mean_of_tokens)  # the pools that have no weights


class ClsHead(nn.Module):
    """First token → dropout → dense → tanh → dropout → logits, as RoBERTa's own head does."""

    pool = first_token

    def __init__(self, size: int, num_labels: int, dropout: float):
        super().__init__()
        self.dense = nn.Linear(size, size)
        self.out = nn.Linear(size, num_labels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        pooled = self.dropout(self.pool(hidden, mask))
        return self.out(self.dropout(torch.tanh(self.dense(pooled))))


class WeightedAverageHead(ClsHead):
    """The same over an average of all tokens, with one learned weight a position.

    The weights are positive (a softmax) and sum to one over the real tokens of each document.
    """

    def __init__(self, size: int, num_labels: int, dropout: float):
        super().__init__(size, num_labels, dropout)
        self.position = nn.Parameter(torch.zeros(POSITIONS))

    def weights(self, mask: torch.Tensor) -> torch.Tensor:
        """The weight of each token (batch, tokens)."""
        scores = self.position[: mask.shape[1]].expand(mask.shape)
        return scores.masked_fill(mask == 0, float("-inf")).softmax(-1)

    def pool(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return (self.weights(mask).unsqueeze(1).to(hidden.dtype) @ hidden).squeeze(1)


class MeanHead(ClsHead):
    """The same over the plain mean of the real tokens."""

    pool = mean_of_tokens


class LstmHead(ClsHead):
    """The same over the last state of a one-layer LSTM that reads the real tokens only, from a
    zero state."""

    def __init__(self, size: int, num_labels: int, dropout: float):
        super().__init__(size, num_labels, dropout)
        self.lstm = nn.LSTM(size, size, batch_first=True)

    def pool(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        lengths = mask.sum(1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(
            hidden, lengths, batch_first=True, enforce_sorted=False
        )
        _, (last_state, _) = self.lstm(packed)
        return last_state[0]


class TransformerHead(ClsHead):
    """The same over the first token of one more transformer layer, which attends to the real
    tokens only."""

    def __init__(self, size: int, num_labels: int, dropout: float):
        super().__init__(size, num_labels, dropout)
        options = {"dropout": dropout, "activation": "gelu", "batch_first": True}
        self.layer = nn.TransformerEncoderLayer(size, max(1, size // 64), 4 * size, **options)

    def pool(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.layer(hidden, src_key_padding_mask=mask == 0)[:, 0]


class FirstTokenHead(nn.Module):
    """First token → dropout → logits."""

    pool = first_token

    def __init__(self, size: int, num_labels: int, dropout: float):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(size, num_labels)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.out(self.dropout(self.pool(hidden, mask)))


class MeanLinearHead(FirstTokenHead):
    """Plain mean of the real tokens → dropout → logits."""

    pool = mean_of_tokens


HEADS = {
    "first_token": FirstTokenHead,
    "mean_linear": MeanLinearHead,
    "cls": ClsHead,
    "weighted_average": WeightedAverageHead,
    "lstm": LstmHead,
    "transformer": TransformerHead,
    "mean": MeanHead,
}
