"""Where the real tokens of a batch are when they are computed as one row, without padding."""

from functools import lru_cache
from importlib.util import find_spec

import torch
from torch.nn import functional as F

SIMILAR = 0.75  # the shortest document of a block as a share of its longest


class Layout:
    """Where the real tokens of documents are: in one row (1, real tokens), and in padded rows
    (documents, longest)."""

    def __init__(self, mask: torch.Tensor, order: torch.Tensor, device: torch.device):
        """`mask` is (documents, longest), and the documents follow each other in the one row in
        this order. Reckoned where the mask is, for states on `device`."""
        document, column = mask[order].nonzero(as_tuple=True)
        self.index = (order[document] * mask.shape[1] + column).to(device)
        self.full = len(self.index) == mask.numel()  # of equal lengths: then in their own order
        self.mask = mask.to(device)

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

    def attention_mask(self) -> torch.Tensor | None:
        """(documents, 1, 1, longest), true for real tokens; None where all are."""
        return None if self.full else self.mask[:, None, None]


class Packing(Layout):
    """The layout of a batch, shortest document first, and its blocks: documents of similar length,
    which attend together. All is reckoned on the CPU, so that nothing waits for a GPU."""

    def __init__(self, mask: torch.Tensor, device: torch.device):
        mask = mask.bool().cpu()
        lengths = mask.sum(1)
        order = lengths.argsort(stable=True)
        super().__init__(mask, order, device)
        lengths = lengths[order]
        ends = lengths.cumsum(0)
        starts = ends - lengths
        self.first_tokens = starts[order.argsort()].to(device)  # of each document, in the one row
        self.longest = int(lengths[-1])
        self.boundaries = None  # between documents in the one row, for torch's kernel
        if any_length(device):
            self.boundaries = F.pad(ends, (1, 0)).int().to(device)
        self.blocks: list[tuple[slice, Layout]] = []  # a part of the one row, and its layout
        for block in similar_lengths(lengths.tolist(), device):
            tokens = slice(int(starts[block.start]), int(ends[block.stop - 1]))
            block_mask = mask[order[block], : int(lengths[block.stop - 1])]
            layout = Layout(block_mask, torch.arange(len(block_mask)), device)
            self.blocks.append((tokens, layout))


def similar_lengths(lengths: list[int], device: torch.device) -> list[slice]:
    """Documents of ascending lengths (tokens), cut into blocks of similar ones. A GPU takes all at
    once: it would wait for many small kernels."""
    blocks = []
    stop = len(lengths)
    while stop:
        shortest = SIMILAR * lengths[stop - 1] if device.type == "cpu" else 0
        start = stop - 1
        while start and lengths[start - 1] >= shortest:
            start -= 1
        blocks.insert(0, slice(start, stop))
        stop = start
    return blocks


@lru_cache
def any_length(device: torch.device) -> bool:
    """Whether torch has a kernel there that reads documents of any lengths in one row: without
    dropout, in 16 bits."""
    if device.type != "cuda" or find_spec("torch.nn.attention.varlen") is None:
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


def positions(ids: torch.Tensor, config) -> torch.Tensor:
    """The position (batch, longest) of each token, counted as the backbone does."""
    if config.model_type == "roberta":  # from the padding token's id, leaving that token out
        real = ids != config.pad_token_id
        return real.cumsum(1) * real + config.pad_token_id
    return torch.arange(ids.shape[1], device=ids.device).expand(ids.shape)
