"""Several processes that train one run: each computes its share of every batch, and all hold the same weights."""

import dataclasses
import os
from contextlib import nullcontext
from datetime import timedelta
from functools import lru_cache

import numpy as np
import torch
from torch import nn

from lib.errors import InputError

PATIENCE = 600  # seconds that a process waits for the others, unless PROCESS_TIMEOUT says otherwise


@dataclasses.dataclass(frozen=True)
class Team:
    """This process among those that train together, as torchrun and accelerate start them."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.rank == 0

    def share(self, batch: tuple[torch.Tensor, ...]) -> tuple[tuple[torch.Tensor, ...], float]:
        """This process's rows of a batch, and 1.0; where there are too few, some row, and 0.0."""
        if self.size == 1:
            return batch, 1.0
        if self.rank < len(batch[0]):
            return tuple(tensor[self.rank :: self.size] for tensor in batch), 1.0
        return tuple(tensor[:1] for tensor in batch), 0.0

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model to call in training: its backward sums gradients over processes, as accelerate is configured."""
        return model if self.size == 1 else _accelerator().prepare_model(model)

    def alone(self, wrapped: nn.Module):
        """A context in which gradients stay in this process, for all but the last part of a batch."""
        return nullcontext() if self.size == 1 else wrapped.no_sync()

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over processes, in place."""
        if self.size > 1:
            torch.distributed.all_reduce(tensor)
        return tensor

    def gather(self, parts: dict[int, np.ndarray], sizes: list[int], like: np.ndarray) -> np.ndarray:
        """Parts that the processes hold, by number, as one array (sum of sizes, …); each part is held by one."""
        if self.size == 1:
            return np.concatenate([parts[i] for i in range(len(sizes))])
        starts = np.cumsum([0, *sizes])
        kind = torch.float64 if like.dtype.kind == "f" else torch.int64
        whole = torch.zeros((int(starts[-1]), *like.shape[1:]), dtype=kind)
        for i, part in parts.items():
            whole[starts[i] : starts[i + 1]] = torch.from_numpy(part).to(kind)
        device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
        return self.sum(whole.to(device)).cpu().numpy().astype(like.dtype)

    def agree(self, value: bool) -> bool:
        """What the leading process says."""
        told = torch.tensor(float(value and self.leads))
        return bool(self.sum(told.to(_accelerator().device)) if self.size > 1 else value)


@lru_cache
def team() -> Team:
    """The processes that torchrun or accelerate started with this one; it alone where there are none."""
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1:
        return Team()
    kind = _accelerator().distributed_type.value
    if kind not in ("MULTI_CPU", "MULTI_GPU"):
        raise InputError(
            f"accelerate is configured for {kind}, and checkpoints here need the whole weights in each process; choose "
            "MULTI_GPU or MULTI_CPU in its configuration"
        )
    return Team(torch.distributed.get_rank(), torch.distributed.get_world_size())


@lru_cache
def _accelerator():
    from accelerate import Accelerator, InitProcessGroupKwargs

    patience = timedelta(seconds=float(os.environ.get("PROCESS_TIMEOUT", PATIENCE)))
    return Accelerator(cpu=not torch.cuda.is_available(), kwargs_handlers=[InitProcessGroupKwargs(timeout=patience)])
