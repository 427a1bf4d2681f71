"""Where numbers are computed, how exactly, and by how many processes."""

from contextlib import nullcontext

import numpy as np
import torch
from torch import nn

from lib.errors import InputError, nearest

PRECISIONS = ("auto", "fp32", "bf16")


def default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def resolve_precision(precision: str, device: torch.device | str = "cpu") -> str:
    """`auto` becomes bf16 where the device multiplies in it natively, else fp32.

    Raises InputError for an unknown precision.
    """
    if precision not in PRECISIONS:
        raise InputError(f"Unknown precision {precision!r}.{nearest(precision, PRECISIONS)}")
    if precision != "auto":
        return precision
    if torch.device(device).type == "cuda":
        native = torch.cuda.is_bf16_supported()
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if native else "fp32"


def autocast(precision: str, device: torch.device):
    """A context in which products are computed in the precision."""
    enabled = resolve_precision(precision, device) == "bf16"
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor on a device; nothing waits for what a GPU is doing."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Seed torch for one step from (seed, step): a run can go on at any step without stored states.

    The numbers are hashed, because torch's CPU generator looks at 32 bits of its seed only.
    Processes that train together draw different dropout masks.
    """
    entropy = [seed, step, rank] if rank else [seed, step]
    torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))


def is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


class OneProcess:
    """A process that trains alone; `lib.fast.parallel.Processes` stands in its place for several.

    The methods say what changes where several processes compute one run: each has its share of
    every batch, gradients and losses are summed over them, and one of them, which leads, writes.
    """

    rank = 0
    size = 1
    leads = True
    sharded = False  # weights, gradients and optimizer state are spread over the processes

    def prepare(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> nn.Module:
        """The module to call in training; called once weights and optimizer state are loaded."""
        return model

    def alone(self, module: nn.Module):
        """A context in which a backward pass leaves gradients in this process."""
        return nullcontext()

    def share(self, batch: tuple[torch.Tensor, ...]) -> tuple[tuple[torch.Tensor, ...], float]:
        """This process's rows of a batch, and how much they count: 1, or 0 where it has none."""
        return batch, 1.0

    def norm(self, norm: torch.Tensor) -> torch.Tensor:
        """The norm of all gradients, from what clipping this process's gave."""
        return norm

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum of a tensor over processes."""
        return tensor

    def evaluation_batches(self, batches: list) -> list:
        """The batches that this process evaluates: each `size`-th, from its rank on."""
        return batches

    def gather(
        self, arrays: dict[int, np.ndarray], sizes: list[int], like: np.ndarray
    ) -> np.ndarray:
        """Arrays by batch number as one (sum of sizes, …), in the type of `like`."""
        return np.concatenate([arrays[number] for number in range(len(sizes))])

    def agree(self, value: bool) -> bool:
        """What the leading process says."""
        return value

    def model_state(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """The model's whole weights, in the leading process."""
        return model.state_dict()

    def optimizer_state(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict:
        """The optimizer's whole state, as its `state_dict` has it, in the leading process."""
        return optimizer.state_dict()

    def load_model_state(self, model: nn.Module, state: dict[str, torch.Tensor]) -> None:
        """Put whole weights, which the leading process has, into the model."""
        model.load_state_dict(state)


ONE_PROCESS = OneProcess()
