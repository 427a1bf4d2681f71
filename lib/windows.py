"""Documents read in windows: a row has a document's windows one after the other, all but the last
of them full, and what a model gives for a document is the mean over its windows."""

import dataclasses
from collections.abc import Callable, Mapping

import torch
from torch.nn import functional as F

from lib.errors import InputError


def window_of(reading: Mapping) -> int | None:
    """The tokens of a window where texts are read so (`lib.tokenization.encode`'s arguments)."""
    return reading["max_length"] if reading.get("truncation") == "windows" else None


def cut(body: list[int], room: int, stride: int, most: int) -> list[list[int]]:
    """At most so many windows of `room` tokens, the first ones, each beginning `stride` tokens
    after the one before; the last is as long as what is left."""
    further = max(0, -(-(len(body) - room) // stride))
    starts = range(0, min(further + 1, most) * stride, stride)
    return [body[start : start + room] for start in starts]


def check_stride(stride: int | None, room: int) -> int:
    """The tokens from a window's start to the next; None: as many as it holds (`room`). Raises
    InputError where windows would leave out what is between them."""
    if stride is not None and stride > room:
        raise InputError(
            f"stride is {stride}, but a window holds {room} tokens of a text: what is between two "
            f"windows would never be read; take at most {room}"
        )
    return stride or room


@dataclasses.dataclass(frozen=True)
class Windows:
    """The windows of a batch: ids (windows, size, …) and mask (windows, size)."""

    ids: torch.Tensor
    mask: torch.Tensor
    used: torch.Tensor  # (documents, most windows): whether a document has so many

    @classmethod
    def of(cls, ids: torch.Tensor, mask: torch.Tensor, size: int) -> "Windows":
        """Of rows (documents, tokens, …) and their mask, a window being `size` tokens."""
        most = -(-mask.shape[1] // size)
        missing = most * size - mask.shape[1]
        if missing:
            ids, mask = F.pad(ids, (0, missing)), F.pad(mask, (0, missing))
        used = mask[:, ::size] > 0
        places = used.flatten().nonzero()[:, 0]
        ids = ids.unflatten(1, (most, size)).flatten(0, 1)[places.to(ids.device)]
        return cls(ids, mask.unflatten(1, (most, size)).flatten(0, 1)[places], used)

    def by_document(self, values: torch.Tensor) -> torch.Tensor:
        """Values (windows, …) as (documents, most windows, …), zeros where there is none."""
        places = self.used.flatten().nonzero()[:, 0].to(values.device)
        rows = values.new_zeros(self.used.numel(), *values.shape[1:])
        return rows.index_copy(0, places, values).unflatten(0, self.used.shape)

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean of values (windows, size) over each document's windows."""
        counts = self.used.sum(1, keepdim=True).to(values.device)
        return self.by_document(values.float()).sum(1) / counts


def averaged(
    compute: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    ids: torch.Tensor,
    mask: torch.Tensor,
    size: int | None,
) -> torch.Tensor:
    """What `compute` gives for ids and mask; the mean over windows of `size` tokens, where rows
    are longer. None: rows are no windows."""
    if size is None or mask.shape[1] <= size:
        return compute(ids, mask)
    windows = Windows.of(ids, mask, size)
    return windows.mean(compute(windows.ids, windows.mask))
