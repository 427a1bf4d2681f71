"""Linear layers for labelling on a CPU: their weights are laid out once for oneDNN, whose products
are those of 32 bits but for rounding."""

from functools import cached_property

import torch
from torch import nn
from torch.nn import functional as F

from lib.products import is_plain

ROWS = 1024  # of states, for which weights are laid out; others may be more or fewer
FEED_FORWARD = (("dense", "intermediate_act_fn"), ("lin1", "activation"))  # a layer, what follows


class PreparedLinear(nn.Linear):
    """A linear layer without gradients, that computes GELU of its product in the same pass where
    `gelu` is set. It shares the weights of the layer it is made of."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None):
        nn.Module.__init__(self)
        self.out_features, self.in_features = weight.shape
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)
        self.gelu = False
        self.joined: PreparedLinear | None = None

    @cached_property
    def laid_out(self) -> torch.Tensor:
        return torch.ops.mkldnn._reorder_linear_weight(self.weight, ROWS)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """States (…, in_features) to (…, out_features)."""
        after = "gelu" if self.gelu else "none"
        return torch.ops.mkldnn._linear_pointwise(
            states, self.laid_out, self.bias, after, [], "none"
        )

    def join(self, others: list["PreparedLinear"]) -> "PreparedLinear":
        """One layer that gives what this and the others give, one after the other; made once."""
        if not others:
            return self
        if self.joined is None:
            layers = [self, *others]
            weight = torch.cat([layer.weight for layer in layers])
            self.joined = PreparedLinear(weight, torch.cat([layer.bias for layer in layers]))
        return self.joined


def prepare(model: nn.Module) -> None:
    """Put prepared layers in the place of all plain ones of 32 bits: the model is for labelling
    alone from here on."""
    for module in list(model.modules()):
        for name, layer in list(module.named_children()):
            if is_plain(layer) and layer.weight.dtype == torch.float32:
                setattr(module, name, PreparedLinear(layer.weight, layer.bias))
        for name, following in FEED_FORWARD:
            layer = getattr(module, name, None)
            if isinstance(layer, PreparedLinear) and is_gelu(getattr(module, following, None)):
                layer.gelu = True
                setattr(module, following, nn.Identity())


def is_gelu(activation) -> bool:
    """Whether an activation is GELU itself, not one of its approximations."""
    if isinstance(activation, nn.GELU):
        return activation.approximate == "none"
    return type(activation).__name__ == "GELUActivation" and activation.act is F.gelu
