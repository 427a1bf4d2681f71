"""Attention that computes little beside the real tokens: fast dropout masks, packed rows, first-token-only layers."""

from functools import lru_cache
from types import MethodType

import torch
from torch import nn
from torch.nn import functional as F

from lib.errors import InputError


class FastDropout(nn.Module):
    """Dropout whose mask comes from random 64-bit integers read as 16-bit lanes: many times faster than Bernoulli draws
    on a CPU, and it follows torch's seed. The rate is rounded to a multiple of 1/65536, and the scale with it."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return fast_dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def fast_dropout(x: torch.Tensor, p: float, training: bool = True) -> torch.Tensor:
    """Zero each element of `x` (any shape) with probability `p` and scale the rest by 1 / (1 - p)."""
    if not training or p == 0 or x.device.type != "cpu":
        return F.dropout(x, p, training)
    dropped = round(p * 65536)
    lanes = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    keep = (lanes[: x.numel()].view(x.shape) >= dropped - 32768).to(x.dtype)
    return x * keep.mul_(65536 / (65536 - dropped))


class Packing:
    """Where the real tokens of a batch are: in one row (1, real tokens), and in the padded rows (batch, longest)."""

    def __init__(self, mask: torch.Tensor):
        self.mask = mask.bool()
        self.index = self.mask.flatten().nonzero().squeeze(1)
        lengths = self.mask.sum(1)
        self.starts = lengths.cumsum(0) - lengths  # of each document in the one row
        self.full = len(self.index) == self.mask.numel()

    def pack(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, longest, …) to (1, real tokens, …)."""
        rows = x.flatten(0, 1)
        return (rows if self.full else rows.index_select(0, self.index))[None]

    def pad(self, x: torch.Tensor) -> torch.Tensor:
        """(1, real tokens, …) to (batch, longest, …), zeros elsewhere."""
        rows = x[0]
        if not self.full:
            rows = rows.new_zeros(self.mask.numel(), *rows.shape[1:]).index_copy(0, self.index, rows)
        return rows.unflatten(0, self.mask.shape)

    def positions(self, ids: torch.Tensor, config) -> torch.Tensor:
        """The position (batch, longest) of each token, counted as the backbone does."""
        if POSITIONS[config.model_type] == "from padding":
            real = ids != config.pad_token_id
            return real.cumsum(1) * real + config.pad_token_id
        return torch.arange(ids.shape[1], device=ids.device).expand(ids.shape)


def attention(module, query, key, value, attention_mask, scaling=None, dropout=0.0, packing=None, **_):
    """Attention for (batch, heads, tokens, size): torch's fused kernel, or on a CPU with dropout, our fast masks.

    With `packing`, keys and values are of (1, heads, real tokens, size), and so are queries, or of the first tokens
    (batch, heads, 1, size).
    """
    if packing is not None:
        whole = query.shape[2] == key.shape[2]
        key, value = (packing.pad(x.transpose(1, 2)).transpose(1, 2) for x in (key, value))
        query = packing.pad(query.transpose(1, 2)).transpose(1, 2) if whole else query
        attention_mask = None if packing.full else packing.mask[:, None, None]
    if dropout and query.device.type == "cpu":
        weights = (query * (scaling or query.size(-1) ** -0.5)) @ key.transpose(2, 3)
        if attention_mask is not None:
            weights = weights.masked_fill(~attention_mask, torch.finfo(weights.dtype).min)
        output = fast_dropout(weights.softmax(-1), dropout) @ value
    else:
        output = F.scaled_dot_product_attention(query, key, value, attention_mask, dropout, scale=scaling)
    output = output.transpose(1, 2)
    return (output.contiguous() if packing is None or not whole else packing.pack(output)), None


@lru_cache
def register_attention() -> str:
    """Make `attention` known to transformers; returns its name there."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register("fast", attention)
    AttentionMaskInterface.register("fast", sdpa_mask)
    return "fast"


# model type -> how it counts positions: from zero, or from the padding token's id, leaving that token out
POSITIONS = {"bert": "from zero", "distilbert": "from zero", "roberta": "from padding"}


def can_pack(backbone: nn.Module) -> None:
    """Raises InputError for a backbone whose positions, or last layer, are not known here."""
    if backbone.config.model_type not in POSITIONS:
        names = ", ".join(POSITIONS)
        raise InputError(
            f"The backbone is a {backbone.config.model_type}; packed batching is for {names}: take random or grouped"
        )


def _heads(layer_attention, *states: torch.Tensor) -> list[torch.Tensor]:
    """(rows, tokens, size) to (rows, heads, tokens, size of a head)."""
    return [state.unflatten(2, (-1, layer_attention.attention_head_size)).transpose(1, 2) for state in states]


def _first_token_bert(self, hidden_states, attention_mask=None, *_, packing, **__):
    inner, outer = self.attention.self, self.attention.output
    first = hidden_states[:, packing.starts].transpose(0, 1)
    states = _heads(inner, inner.query(first), inner.key(hidden_states), inner.value(hidden_states))
    context, _ = attention(inner, *states, None, dropout=inner.dropout.p * self.training, packing=packing)
    return self.feed_forward_chunk(outer(context.flatten(2), first))


def _first_token_distilbert(self, hidden_states, attention_mask=None, *, packing, **_):
    inner = self.attention
    first = hidden_states[:, packing.starts].transpose(0, 1)
    states = _heads(inner, inner.q_lin(first), inner.k_lin(hidden_states), inner.v_lin(hidden_states))
    context, _ = attention(inner, *states, None, dropout=inner.dropout.p * self.training, packing=packing)
    attended = self.sa_layer_norm(inner.out_lin(context.flatten(2)) + first)
    return self.output_layer_norm(self.ffn(attended) + attended)


def first_token_only(backbone: nn.Module) -> None:
    """Let the last layer of a packed backbone give the first tokens' states only, (batch, 1, size).

    Keys and values are of all tokens; queries and all that follows them, of the first ones. What the last layer leaves
    out, nobody reads: outputs and gradients are the same.
    """
    encoder = backbone.base_model
    if backbone.config.model_type == "distilbert":
        last, forward = encoder.transformer.layer[-1], _first_token_distilbert
    else:
        last, forward = encoder.encoder.layer[-1], _first_token_bert
    last.forward = MethodType(forward, last)
