"""Where the real tokens of a batch are when they are computed as one row, without padding, and
which of them read each other."""

from functools import cached_property, lru_cache

import torch
from torch.nn import functional as F

from lib.devices import to_device
from lib.products import has_fast_products

SIMILAR = 0.75  # the shortest document of a block as a share of its longest


class Layout:
    """Where the real tokens of documents are: in one row (1, real tokens), and in padded rows
    (documents, longest)."""

    def __init__(self, mask: torch.Tensor, order: torch.Tensor, device: torch.device):
        """`mask` is (documents, longest), and the documents follow each other in the one row in
        this order. Reckoned where the mask is, for states on `device`."""
        document, column = mask[order].nonzero(as_tuple=True)
        self.index = to_device(order[document] * mask.shape[1] + column, device)
        self.full = len(self.index) == mask.numel()  # of equal lengths: then in their own order
        self.mask = to_device(mask, device)

    def pack(self, x: torch.Tensor) -> torch.Tensor:
        """(documents, longest, …) to (1, real tokens, …)."""
        rows = x.flatten(0, 1)
        if not self.full:
            rows = rows.index_select(0, self.index)
        return rows[None]

    def pad(self, x: torch.Tensor) -> torch.Tensor:
        """(1, real tokens, …) to (documents, longest, …), zeros elsewhere."""
        rows = x[0]
        if not self.full:
            padded = rows.new_zeros(self.mask.numel(), *rows.shape[1:])
            rows = padded.index_copy(0, self.index, rows)
        return rows.unflatten(0, self.mask.shape)

    def attention_mask(
        self,
        *,
        window: int | None = None,
        bias: torch.Tensor | None = None,
        queries: int | None = None,
    ) -> torch.Tensor | None:
        """Which keys the first `queries` of each document may read, all queries by default: true
        or false, (documents or 1, 1, queries or 1, longest), or None where they read all.

        With a `bias` (1, heads, longest, longest), it is what is added to their scores instead:
        (documents or 1, heads, queries, longest). `window` is the farthest key that is read.
        """
        longest = self.mask.shape[1]
        mask = None if self.full else self.mask[:, None, None]
        if window is not None and longest > window + 1:
            places = torch.arange(longest, device=self.mask.device)
            near = (places[:queries, None] - places).abs() <= window
            mask = near[None, None] if mask is None else mask & near
        if bias is None:
            return mask
        bias = bias[:, :, :longest, :longest][:, :, :queries]
        if mask is None:
            return bias
        return torch.where(mask, bias, torch.finfo(bias.dtype).min)


class Packing(Layout):
    """The layout of a batch, and its blocks, which attend together. All is reckoned on the CPU, so
    that nothing waits for a GPU.

    On a CPU, documents follow each other from the shortest on, and a block is of similar lengths;
    where oneDNN computes, the one row ends with a few tokens that nobody reads: see `rounded`. A
    GPU takes all documents at once, as they come: it would wait for many small kernels.
    """

    def __init__(self, mask: torch.Tensor, device: torch.device):
        mask = mask.bool().cpu()
        lengths = mask.sum(1)
        at_once = device.type != "cpu" or any_length(device)
        order = torch.arange(len(mask)) if at_once else lengths.argsort(stable=True)
        super().__init__(mask, order, device)
        lengths = lengths[order]
        ends = lengths.cumsum(0)
        starts = ends - lengths
        self.tokens = len(self.index)
        self.surplus = rounded(self.tokens) - self.tokens if prepares_sizes(device) else 0
        # of each document, in the one row
        self.first_tokens = to_device(starts[order.argsort()], device)
        self.longest = int(lengths.max())
        self.boundaries = None  # between documents in the one row, for torch's kernel
        if any_length(device):
            self.boundaries = to_device(F.pad(ends, (1, 0)).int(), device)
        self._masks: dict[int | None, Masks] = {}
        # each a part of the one row, and its layout
        self.blocks: list[tuple[slice, Layout]] = [(slice(self.tokens), self)]
        if at_once:
            return
        self.blocks = []
        for block in similar_lengths(lengths.tolist()):
            tokens = slice(int(starts[block.start]), int(ends[block.stop - 1]))
            block_mask = mask[order[block], : int(lengths[block.stop - 1])]
            layout = Layout(block_mask, torch.arange(len(block_mask)), device)
            self.blocks.append((tokens, layout))

    def pack(self, x: torch.Tensor) -> torch.Tensor:
        """(documents, longest, …) to (1, real tokens and surplus, …)."""
        packed = super().pack(x)
        if not self.surplus:
            return packed
        surplus = packed[:, :1].expand(1, self.surplus, *packed.shape[2:])
        return torch.cat([packed, surplus], 1)

    def pad(self, x: torch.Tensor) -> torch.Tensor:
        """(1, real tokens and surplus, …) to (documents, longest, …), zeros elsewhere."""
        return super().pad(x[:, : self.tokens])

    def masks(self, window: int | None = None) -> "Masks":
        """What is read within a window, computed once."""
        if window not in self._masks:
            self._masks[window] = Masks(self, window=window)
        return self._masks[window]


class Masks:
    """The attention masks of a packing (see `Layout.attention_mask`), computed once and read by
    many layers."""

    def __init__(
        self, packing: Packing, *, window: int | None = None, bias: torch.Tensor | None = None
    ):
        self.packing = packing
        self.window = window
        self.bias = bias

    @cached_property
    def blocks(self) -> list[torch.Tensor | None]:
        """That of each block."""
        options = {"window": self.window, "bias": self.bias}
        return [layout.attention_mask(**options) for _, layout in self.packing.blocks]

    @cached_property
    def first(self) -> torch.Tensor | None:
        """That of each document's first token."""
        return self.packing.attention_mask(window=self.window, bias=self.bias, queries=1)


def prepares_sizes(device: torch.device) -> bool:
    """Whether products of new sizes take longer there: oneDNN's."""
    return device.type == "cpu" and (torch.is_autocast_enabled("cpu") or has_fast_products(device))


def rounded(tokens: int) -> int:
    """So many tokens or up to 1/32 more, one of 32 sizes between two powers of two: oneDNN prepares
    its products anew for each size that it has not seen."""
    step = max(1, 2 ** (tokens.bit_length() - 6))
    return -(-tokens // step) * step


def similar_lengths(lengths: list[int]) -> list[slice]:
    """Documents of ascending lengths (tokens), cut into blocks of similar ones."""
    blocks = []
    stop = len(lengths)
    while stop:
        start = stop - 1
        while start and lengths[start - 1] >= SIMILAR * lengths[stop - 1]:
            start -= 1
        blocks.insert(0, slice(start, stop))
        stop = start
    return blocks


@lru_cache
def any_length(device: torch.device) -> bool:
    """Whether torch has a kernel there that reads documents of any lengths in one row, in 16
    bits."""
    if device.type != "cuda" or not torch.backends.cuda.is_flash_attention_available():
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


def positions(ids: torch.Tensor, padding: int | None) -> torch.Tensor:
    """The position (batch, longest) of each token: from 0, or from after the id of the `padding`
    token, leaving that token out, where a backbone counts so."""
    if padding is None:
        return torch.arange(ids.shape[1], device=ids.device).expand(ids.shape)
    real = ids != padding
    return real.cumsum(1) * real + padding
