"""Weights, gradients and optimizer state spread over the processes that train one run together
(FSDP)."""

import copy
import os
from collections.abc import Callable

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from lib.attention import layers_of


def shard(
    model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[nn.Module, torch.optim.Optimizer, Callable]:
    """A copy of a model and its optimizer of which every process holds a part, and a function that
    all processes call to bring the originals, which stay whole, up to them.

    Each layer of the backbone is gathered as it is computed (torch's fully_shard). The originals
    are what is evaluated and written to checkpoints, so that those go on in any number of
    processes.
    """
    parts, stepper = copy.deepcopy((model, optimizer))
    names = {id(tensor): name for name, tensor in parts.named_parameters()}
    order = [[names[id(tensor)] for tensor in group["params"]] for group in stepper.param_groups]
    states = {names[id(tensor)]: state for tensor, state in stepper.state.items()}
    device = next(parts.parameters()).device.type
    # as accelerate's configuration says; kept after the forward pass where memory is no matter
    reshard = os.environ.get("FSDP_RESHARD_AFTER_FORWARD", "true").lower() != "false"
    mesh = init_device_mesh(device, (torch.distributed.get_world_size(),))
    for module in [*layers_of(parts.backbone), parts]:
        fully_shard(module, mesh=mesh, reshard_after_forward=reshard)
    spread, whole = dict(parts.named_parameters()), dict(model.named_parameters())
    for group, own in zip(stepper.param_groups, order, strict=True):
        group["params"] = [spread[name] for name in own]
    stepper.state.clear()
    for name, state in states.items():
        stepper.state[spread[name]] = {
            field: _like(value, spread[name]) for field, value in state.items()
        }

    @torch.no_grad()
    def collect() -> None:
        for name, tensor in whole.items():
            tensor.copy_(_full(spread[name]))
            if spread[name] in stepper.state:
                optimizer.state[tensor] = {
                    field: _full(v) for field, v in stepper.state[spread[name]].items()
                }

    return parts, stepper, collect


def _like(value: torch.Tensor, parameter: DTensor) -> torch.Tensor:
    """A moment of a parameter, spread as it is; a count of steps as it was."""
    if value.shape != parameter.shape:
        return value
    return distribute_tensor(value, parameter.device_mesh, parameter.placements)


def _full(value: torch.Tensor) -> torch.Tensor:
    return value.full_tensor() if isinstance(value, DTensor) else value.clone()
