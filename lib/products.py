"""Products of 32-bit states and weights on a CPU, by oneDNN: where MKL, torch's own choice, does
not know the processor, they take half its time."""

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

HAS_ONEDNN = (
    torch.backends.mkldnn.is_available() and "AVX" in torch.backends.cpu.get_cpu_capability()
)


class FastLinear(nn.Linear):
    """torch's linear layer, by `linear`."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return linear(states, self.weight, self.bias)


def is_plain(layer: nn.Module) -> bool:
    """Whether a module is a linear layer and no more."""
    return type(layer) in (nn.Linear, FastLinear)


def speed_up_products(model: nn.Module) -> None:
    """Let a model's plain linear layers compute by `linear`; their weights stay theirs."""
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = FastLinear


def linear(
    states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """States (…, in) times weight (out, in), plus bias (out,): (…, out), and gradients, as
    `torch.nn.functional.linear` has them but for rounding."""
    if torch.compiler.is_compiling() or not _is_fast(states, weight):
        return F.linear(states, weight, bias)
    return _Linear.apply(states, weight, bias)


def has_fast_products(device: torch.device) -> bool:
    """Whether torch has oneDNN's products there."""
    return HAS_ONEDNN and device.type == "cpu"


def _is_fast(states: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether oneDNN computes a product: one of 32 bits, on a CPU, here and now."""
    if torch.is_autocast_enabled("cpu") or torch.jit.is_tracing():
        return False
    are_floats = states.dtype == weight.dtype == torch.float32
    are_plain = type(weight) in (torch.Tensor, nn.Parameter) and states.numel() > 0
    return are_floats and are_plain and has_fast_products(states.device)


def _product(rows: torch.Tensor, weight: torch.Tensor, bias=None) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "none")


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, states, weight, bias):
        ctx.save_for_backward(states, weight)
        return _product(states.contiguous(), weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        states, weight = ctx.saved_tensors
        of_states, of_weight, of_bias = ctx.needs_input_grad
        gradient = gradient.contiguous()
        rows = gradient.view(-1, gradient.shape[-1])
        return (
            _product(gradient, weight.t()) if of_states else None,
            _product(rows.t(), states.reshape(-1, states.shape[-1]).t()) if of_weight else None,
            rows.sum(0) if of_bias else None,
        )
