"""Several processes that train one run: each computes its share of every batch, with the same
weights, or a part."""

import dataclasses
import os
import sys
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
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
    sharded: bool = False  # weights, gradients and optimizer state are spread over the processes

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

    def wrap(
        self, model: nn.Module, optimizer
    ) -> tuple[nn.Module, torch.optim.Optimizer, Callable[[], None]]:
        """The model to call and the optimizer to step in training, whose backward means
        gradients over processes, and a function that brings those given up to them."""
        if self.sharded:
            from lib.fast.sharding import shard

            return shard(model, optimizer)
        return (
            (model if self.size == 1 else _accelerator().prepare_model(model)),
            optimizer,
            lambda: None,
        )

    def alone(self, wrapped: nn.Module):
        """A context in which gradients stay in this process, for all but the last part of a
        batch."""
        if self.sharded:
            return _unsynchronised(wrapped)
        return nullcontext() if self.size == 1 else wrapped.no_sync()

    def norm(self, found: torch.Tensor) -> torch.Tensor:
        """The norm of all gradients, of what clipping them gave."""
        return found.full_tensor() if self.sharded else found

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over processes, in place."""
        if self.size > 1:
            torch.distributed.all_reduce(tensor)
        return tensor

    def gather(
        self, parts: dict[int, np.ndarray], sizes: list[int], like: np.ndarray
    ) -> np.ndarray:
        """Parts that the processes hold, by number, as one array (sum of sizes, …); each part is
        held by one."""
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


@contextmanager
def _unsynchronised(wrapped: nn.Module):
    wrapped.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        wrapped.set_requires_gradient_sync(True)


SHARDED = (
    "ACCELERATE_USE_FSDP"  # how accelerate's configuration tells processes to spread the weights
)


@lru_cache
def team() -> Team:
    """The processes that torchrun or accelerate started with this one; it alone where there are
    none."""
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1:
        return Team()
    kind = _accelerator().distributed_type.value
    if kind not in ("MULTI_CPU", "MULTI_GPU", "FSDP"):
        raise InputError(
            f"accelerate is configured for {kind}; choose MULTI_GPU, MULTI_CPU or FSDP there"
        )
    sharded = os.environ.get(SHARDED, "").lower() == "true"
    return Team(torch.distributed.get_rank(), torch.distributed.get_world_size(), sharded)


def leave() -> None:
    """End this process, if it is one of several that have done their work: at its usual end,
    threads that torch leaves behind may abort it."""
    if team().size > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


@lru_cache
def _accelerator():
    from accelerate import Accelerator, InitProcessGroupKwargs

    patience = timedelta(seconds=float(os.environ.get("PROCESS_TIMEOUT", PATIENCE)))
    return Accelerator(
        cpu=not torch.cuda.is_available(),
        kwargs_handlers=[InitProcessGroupKwargs(timeout=patience)],
    )
