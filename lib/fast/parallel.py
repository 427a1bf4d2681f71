"""One of several processes that train a run: what each does with the others.

Each computes its share of every batch. With `ddp` all of them hold the weights; with `fsdp` each
holds its part of weights, gradients and optimizer state.
"""

import dataclasses
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache

import numpy as np
import torch
from torch import nn

from lib.attention import layers_of
from lib.errors import InputError, first_line
from lib.fast.environment import check_environment, started_with_others, timeout

SHARDED = "ACCELERATE_USE_FSDP"  # the variable by which accelerate tells processes to shard
# by which it tells transformers to load weights in one process of a machine alone, for accelerate
# to send to the others; here each loads its own
LOADED_ONCE = "FSDP_CPU_RAM_EFFICIENT_LOADING"


def processes() -> "Processes | None":
    """The processes that `launch`, torchrun or accelerate started with this one; None where it is
    alone. The first call waits until all are there. Raises InputError."""
    if not started_with_others():
        return None
    check_environment(gpus=torch.cuda.device_count())
    kind = _accelerator().distributed_type.value
    if kind not in ("MULTI_CPU", "MULTI_GPU", "FSDP"):
        raise InputError(
            f"accelerate is configured for {kind}; choose MULTI_GPU, MULTI_CPU or FSDP there"
        )
    sharded = os.environ.get(SHARDED, "").lower() == "true"
    return Processes(torch.distributed.get_rank(), torch.distributed.get_world_size(), sharded)


def leave() -> None:
    """End this process, if it is one of several that have done their work: at its usual end,
    threads that torch leaves behind may abort it."""
    if started_with_others():
        end(0)


def end(status: int) -> None:
    """End this process at once, with all it has printed."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


@lru_cache
def _accelerator():
    from accelerate import Accelerator, InitProcessGroupKwargs

    patience = InitProcessGroupKwargs(timeout=timedelta(seconds=timeout()))
    os.environ[LOADED_ONCE] = "false"
    try:
        return Accelerator(cpu=not torch.cuda.is_available(), kwargs_handlers=[patience])
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"This process (RANK {os.environ['RANK']} of {os.environ['WORLD_SIZE']}) cannot join "
            f"the others at {os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}: "
            f"{first_line(error)}"
        ) from None


@dataclasses.dataclass(frozen=True)
class Processes:
    """This process among those that train a run; what it is asked for, all are asked for alike.

    `lib.devices.OneProcess` does the same for one. `sharded`: each holds a part of the weights.
    """

    rank: int
    size: int
    sharded: bool = False

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.rank == 0

    def prepare(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> nn.Module:
        """The module to call in training, whose backward pass means gradients over processes.

        Weights and optimizer state are alike in all processes before. Sharded, it is the model
        itself, of which each process then keeps a part, and so it does of the optimizer's state.
        """
        if not self.sharded:
            return _accelerator().prepare_model(model)
        _shard(model, optimizer)
        return model

    @contextmanager
    def alone(self, called: nn.Module) -> Iterator[None]:
        """A context in which gradients are not exchanged: for all but the last part of a batch."""
        if not self.sharded:
            with called.no_sync():
                yield
            return
        called.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            called.set_requires_gradient_sync(True)

    def share(self, batch: tuple[torch.Tensor, ...]) -> tuple[tuple[torch.Tensor, ...], float]:
        """This process's rows of a batch, and 1.0; where there are too few, some row, and 0.0."""
        if self.rank < len(batch[0]):
            return tuple(tensor[self.rank :: self.size] for tensor in batch), 1.0
        return tuple(tensor[:1] for tensor in batch), 0.0

    def norm(self, clipped_norm: torch.Tensor) -> torch.Tensor:
        """The norm of all gradients, from what clipping them returned."""
        return clipped_norm.full_tensor() if self.sharded else clipped_norm

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over processes, in place."""
        torch.distributed.all_reduce(tensor)
        return tensor

    def gather(
        self, parts: dict[int, np.ndarray], sizes: list[int], like: np.ndarray
    ) -> np.ndarray:
        """Parts that the processes hold, by number, as one array (sum of sizes, …) of the type
        and width of `like`. Each part is held by one; numbers beyond `sizes` are left out."""
        starts = np.cumsum([0, *sizes])
        dtype = torch.float64 if like.dtype.kind == "f" else torch.int64
        rows = torch.zeros((int(starts[-1]), *like.shape[1:]), dtype=dtype)
        for number, part in parts.items():
            if number < len(sizes):
                rows[starts[number] : starts[number + 1]] = torch.from_numpy(part).to(dtype)
        return self.sum(rows.to(_accelerator().device)).cpu().numpy().astype(like.dtype)

    def agree(self, value: bool) -> bool:
        """What the leading process says."""
        said = torch.tensor(float(value and self.leads), device=_accelerator().device)
        return bool(self.sum(said))

    def evaluation_batches(self, batches: list) -> list:
        """Every `size`-th of the batches, from the rank's on. Sharded, all processes get equally
        many, for they compute them together: some the last one again, which `gather` leaves out
        by its number, rank + index · size."""
        if not self.sharded:
            return batches[self.rank :: self.size]
        last = len(batches) - 1
        numbers = range(self.rank, -(-len(batches) // self.size) * self.size, self.size)
        return [batches[min(number, last)] for number in numbers]

    def model_state(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """The weights by the plain model's names; sharded, on the CPU of the leading process, and
        {} on the others. Else they share the model's memory."""
        if not self.sharded:
            return model.state_dict()
        from torch.distributed.checkpoint import state_dict

        options = state_dict.StateDictOptions(full_state_dict=True, cpu_offload=True)
        return state_dict.get_model_state_dict(model, options=options)

    def optimizer_state(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict:
        """What `optimizer.state_dict()` is where one process trains; sharded, on the CPU of the
        leading process, and {} on the others."""
        layout = optimizer.state_dict()
        if not self.sharded:
            return layout
        from torch.distributed.tensor import DTensor

        states: dict[int, dict] = {}
        for number, state in layout["state"].items():
            for field, value in state.items():
                tensor = value.full_tensor() if isinstance(value, DTensor) else value
                if self.leads:
                    states.setdefault(number, {})[field] = tensor.cpu()
        return layout | {"state": states} if self.leads else {}

    def load_model_state(self, model: nn.Module, state: dict[str, torch.Tensor]) -> None:
        """Put the leading process's weights into the models of all; `state` counts there only."""
        if self.sharded:
            from torch.distributed.checkpoint import state_dict

            options = state_dict.StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
            state_dict.set_model_state_dict(model, dict(state), options=options)
            return
        if self.leads:
            model.load_state_dict(state)
        for tensor in model.state_dict().values():
            torch.distributed.broadcast(tensor, src=0)


def _shard(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Keep this process's part of a model and its optimizer (torch's fully_shard): each layer of
    the backbone is gathered as it is computed."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
    from torch.distributed.tensor import distribute_tensor

    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = [
        [names[parameter] for parameter in group["params"]] for group in optimizer.param_groups
    ]
    states = {names[parameter]: state for parameter, state in optimizer.state.items()}
    mesh = init_device_mesh(_accelerator().device.type, (torch.distributed.get_world_size(),))
    # as accelerate's configuration says; kept after the forward pass where memory is no matter
    reshard = os.environ.get("FSDP_RESHARD_AFTER_FORWARD", "true").lower() != "false"
    # a warning of what would be wrong if somebody changed an output in place, as nobody does
    warnings.filterwarnings("ignore", "FSDP2-wrapped module", UserWarning)
    units = [*layers_of(model.backbone), *getattr(model, "projections", ()), model]
    for module in units:
        fully_shard(module, mesh=mesh, reshard_after_forward=reshard)
    register_fsdp_forward_method(model, "embed")
    sharded = dict(model.named_parameters())
    for group, group_names in zip(optimizer.param_groups, groups, strict=True):
        group["params"] = [sharded[name] for name in group_names]
    optimizer.state.clear()
    for name, state in states.items():
        parameter = sharded[name]
        for field, value in state.items():
            if value.shape == parameter.shape:  # a moment; else the count of steps
                placed = (parameter.device_mesh, parameter.placements)
                value = distribute_tensor(value, *placed, src_data_rank=None)
            optimizer.state[parameter][field] = value


def unshard(model: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Put the whole weights of `model_state` in the place of a model's parts, on the process that
    saves it; it is not to be called after that."""
    for name, tensor in state.items():
        owner, _, field = name.rpartition(".")
        if isinstance(getattr(model.get_submodule(owner), field), nn.Parameter):
            setattr(model.get_submodule(owner), field, nn.Parameter(tensor))
