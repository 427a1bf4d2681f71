"""Self-attention over packed rows: the documents of a batch in one row, none reading another."""

import torch
from torch import nn

from lib.attention import attend
from lib.fast.layout import Masks, Packing
from lib.fast.prepared import PreparedLinear
from lib.products import is_plain, linear

HALVES = (torch.bfloat16, torch.float16)


def flash_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bounds: tuple[torch.Tensor, torch.Tensor, int, int],
    dropout: float,
    window: int | None,
) -> torch.Tensor:
    """torch's kernel for documents of any lengths in one row, (tokens, heads, size) each, which
    behind `torch.nn.attention.varlen` has dropout. `bounds`: where documents begin and end among
    queries and keys, and the longest of them."""
    sides = {} if window is None else {"window_size_left": window, "window_size_right": window}
    kernel = torch.ops.aten._flash_attention_forward
    return kernel(query, key, value, *bounds, dropout, False, False, **sides)[0]


def project(layers: list[nn.Module], states: torch.Tensor, size: int) -> torch.Tensor:
    """Several projections of states (some, tokens, width) as one product: (some, tokens,
    projections, heads, size). One large product is faster than several, and the states change
    their precision once."""
    if all(isinstance(layer, PreparedLinear) for layer in layers):
        projected = layers[0].join(layers[1:])(states)
    elif not all(map(is_plain, layers)):  # such as with an adapter
        projected = torch.cat([layer(states) for layer in layers], -1)
    else:
        weight = torch.cat([layer.weight for layer in layers])
        bias = torch.cat([layer.bias for layer in layers])
        projected = linear(states, weight, bias)
    return projected.unflatten(2, (len(layers), -1, size))


def by_head(states: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """(batch, tokens, projections, heads, size) to so many of (batch, heads, tokens, size)."""
    return states.permute(2, 0, 3, 1, 4).unbind()


def self_attention(
    states: torch.Tensor,
    packing: Packing,
    dropout: float,
    *,
    window: int | None = None,
    biased: Masks | None = None,
) -> torch.Tensor:
    """Attention over real tokens, from queries, keys and values (1, real tokens, 3, heads, size)
    to (1, real tokens, heads · size): all at once where a kernel can, else block by block. Keys
    are read within a `window`, or as `biased` says."""
    if biased is None and reads_any_length(states, packing):
        bounds = (packing.boundaries, packing.boundaries, packing.longest, packing.longest)
        query, key, value = states[0, : packing.tokens].unbind(1)
        attended = [flash_attention(query, key, value, bounds, dropout, window)[None]]
    else:
        attended = []
        masks = (biased or packing.masks(window)).blocks
        for (tokens, block), mask in zip(packing.blocks, masks, strict=True):
            query, key, value = by_head(block.pad(states[:, tokens]))
            rows = attend(query, key, value, mask, dropout=dropout)
            attended.append(block.pack(rows.transpose(1, 2)))
    if packing.surplus:
        attended.append(attended[0].new_zeros(1, packing.surplus, *attended[0].shape[2:]))
    return (torch.cat(attended, 1) if len(attended) > 1 else attended[0]).flatten(2)


def reads_any_length(states: torch.Tensor, packing: Packing) -> bool:
    """Whether torch's kernel computes attention of these states (…, size)."""
    return packing.boundaries is not None and states.dtype in HALVES and states.shape[-1] % 8 == 0


def first_token_attention(
    query: torch.Tensor,
    states: torch.Tensor,
    packing: Packing,
    dropout: float,
    *,
    window: int | None = None,
    biased: Masks | None = None,
) -> torch.Tensor:
    """Attention of the first tokens (documents, 1, 1, heads, size) to all real tokens, from keys
    and values (1, real tokens, 2, heads, size): (documents, 1, heads · size)."""
    # the kernel would lay a window about the last key, not the first
    if biased is None and window is None and reads_any_length(states, packing):
        each = torch.arange(len(query) + 1, dtype=torch.int32, device=query.device)
        key, value = states[0, : packing.tokens].unbind(1)
        bounds = (each, packing.boundaries, 1, packing.longest)
        attended = flash_attention(query.flatten(0, 2), key, value, bounds, dropout, None)
        return attended.flatten(1)[:, None]
    key, value = by_head(packing.pad(states))
    mask = (biased or packing.masks(window)).first
    rows = attend(*by_head(query), key, value, mask, dropout=dropout)
    return rows.transpose(1, 2).flatten(2)


def first_states(hidden: torch.Tensor, packing: Packing) -> torch.Tensor:
    """The first tokens (documents, 1, …) of all (1, real tokens, …)."""
    return hidden.index_select(1, packing.first_tokens).transpose(0, 1)
