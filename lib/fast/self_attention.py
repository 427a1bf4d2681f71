"""Self-attention over packed rows: the documents of a batch in one row, none reading another."""

from functools import lru_cache
from inspect import signature

import torch
from torch import nn
from torch.nn import functional as F

from lib.attention import attend
from lib.fast.layout import Masks, Packing

HALVES = (torch.bfloat16, torch.float16)


def varlen_attn(*arguments, **options) -> torch.Tensor:
    """torch's kernel for documents of any lengths in one row, imported late: that takes seconds."""
    from torch.nn.attention.varlen import varlen_attn

    return varlen_attn(*arguments, **options)


@lru_cache
def kernel_has_windows() -> bool:
    from torch.nn.attention.varlen import varlen_attn

    return "window_size" in signature(varlen_attn).parameters


def project(layers: list[nn.Module], states: torch.Tensor, size: int) -> torch.Tensor:
    """Several projections of states (some, tokens, width) as one product: (some, tokens,
    projections, heads, size). One large product is faster than several, and the states change
    their precision once."""
    if any(type(layer) is not nn.Linear for layer in layers):  # such as with an adapter
        projected = torch.cat([layer(states) for layer in layers], -1)
    else:
        weight = torch.cat([layer.weight for layer in layers])
        bias = torch.cat([layer.bias for layer in layers])
        projected = F.linear(states, weight, bias)
    return projected.unflatten(2, (len(layers), -1, size))


def by_head(states: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """(batch, tokens, projections, heads, size) to so many of (batch, heads, tokens, size)."""
    return states.permute(2, 0, 3, 1, 4).unbind()


def self_attention(
    states: torch.Tensor, packing: Packing, masks: Masks, dropout: float
) -> torch.Tensor:
    """Attention over real tokens, from queries, keys and values (1, real tokens, 3, heads, size)
    to (1, real tokens, heads · size): all at once where a kernel can, else block by block."""
    if reads_any_length(states, packing, masks, dropout):
        bounds = (packing.boundaries, packing.boundaries, packing.longest, packing.longest)
        window = {} if masks.window is None else {"window_size": (masks.window, masks.window)}
        query, key, value = states[0, : packing.tokens].unbind(1)
        attended = [varlen_attn(query, key, value, *bounds, **window)[None]]
    else:
        attended = []
        for (tokens, block), mask in zip(packing.blocks, masks.blocks, strict=True):
            query, key, value = by_head(block.pad(states[:, tokens]))
            rows = attend(query, key, value, mask, dropout=dropout)
            attended.append(block.pack(rows.transpose(1, 2)))
    if packing.surplus:
        attended.append(attended[0].new_zeros(1, packing.surplus, *attended[0].shape[2:]))
    return (torch.cat(attended, 1) if len(attended) > 1 else attended[0]).flatten(2)


def reads_any_length(states: torch.Tensor, packing: Packing, masks: Masks, dropout: float) -> bool:
    """Whether torch's kernel computes this attention."""
    if packing.boundaries is None or dropout or states.dtype not in HALVES:
        return False
    return masks.bias is None and (masks.window is None or kernel_has_windows())


def first_token_attention(
    query: torch.Tensor, states: torch.Tensor, packing: Packing, masks: Masks, dropout: float
) -> torch.Tensor:
    """Attention of the first tokens (documents, 1, 1, heads, size) to all real tokens, from keys
    and values (1, real tokens, 2, heads, size): (documents, 1, heads · size)."""
    key, value = by_head(packing.pad(states))
    rows = attend(*by_head(query), key, value, masks.first, dropout=dropout)
    return rows.transpose(1, 2).flatten(2)


def first_states(hidden: torch.Tensor, packing: Packing) -> torch.Tensor:
    """The first tokens (documents, 1, …) of all (1, real tokens, …)."""
    return hidden[:, packing.first_tokens].transpose(0, 1)
