"""Attention and dropout as every model here computes them: dropout masks are cheap on a CPU, and
part of a run's numbers."""

from functools import lru_cache

import torch
from torch import nn
from torch.nn import functional as F

from lib.errors import InputError

FAST = "fast"  # the name of `attention` in transformers
RECORDED = "recorded"  # the name of `recorded_attention` in transformers


class FastDropout(nn.Module):
    """Dropout that draws its mask with `fast_dropout`, at rate `p`."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return fast_dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def fast_dropout(x: torch.Tensor, p: float, training: bool = True) -> torch.Tensor:
    """Zero each element of `x` (any shape) with probability `p`; scale the rest by 1 / (1 - p).

    On a CPU the mask comes from random 64-bit integers read as 16-bit lanes, many times faster
    than Bernoulli draws, and it follows torch's seed. The rate is rounded to a multiple of
    1/65536, and the scale with it.
    """
    if not training or p == 0 or x.device.type != "cpu":
        return F.dropout(x, p, training)
    dropped = round(p * 65536)
    integers = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    lanes = integers.view(torch.int16)[: x.numel()].view(x.shape)
    mask = (lanes >= dropped - 32768).to(x.dtype)
    return x * mask.mul_(65536 / (65536 - dropped))


def attention_weights(query, key, mask, scaling=None) -> torch.Tensor:
    """How much queries (batch, heads, queries, size) attend to keys (batch, heads, tokens, size).

    `mask` is true where a key may be read, or what is added to the scores, or None. Gives (batch,
    heads, queries, tokens).
    """
    scores = (query * (scaling or query.size(-1) ** -0.5)) @ key.transpose(2, 3)
    if mask is None:
        return scores.softmax(-1)
    if mask.dtype == torch.bool:
        return scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1)
    return (scores + mask).softmax(-1)


def attend(query, key, value, mask, scaling=None, dropout=0.0) -> torch.Tensor:
    """The values (batch, heads, tokens, size) that queries attend to, in the queries' shape.

    Computed by torch's fused kernel, or on a CPU with dropout by our fast masks.
    """
    if dropout and query.device.type == "cpu":
        return fast_dropout(attention_weights(query, key, mask, scaling), dropout) @ value
    return F.scaled_dot_product_attention(query, key, value, mask, dropout, scale=scaling)


def attention(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **more):
    """Attention as transformers calls it: (batch, heads, tokens, size) to (batch, tokens, heads,
    size), and no weights. What is not plain attention to all tokens is left to transformers."""
    if not is_plain(module, query, key, attention_mask, more):
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        options = {"scaling": scaling, "dropout": dropout} | more
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    attended = attend(query, key, value, attention_mask, scaling, dropout)
    return attended.transpose(1, 2).contiguous(), None


def is_plain(module, query, key, mask, more: dict) -> bool:
    """Whether attention is what `attend` computes: a mask says all about which keys are read, each
    query head has keys of its own, and nothing is added to their product."""
    if query.shape[1] != key.shape[1] or more.get("position_bias") is not None:
        return False
    if mask is not None:
        return mask.dtype == torch.bool
    causal = more.get("is_causal")
    return not (getattr(module, "is_causal", True) if causal is None else causal)


def recorded_attention(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **_):
    """The same, with its weights (batch, heads, tokens, tokens) before dropout."""
    weights = attention_weights(query, key, attention_mask, scaling)
    attended = fast_dropout(weights, dropout) @ value
    return attended.transpose(1, 2).contiguous(), weights


@lru_cache
def register_attention() -> str:
    """Make `attention` and `recorded_attention` known to transformers; returns the first one's
    name there."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    for name, function in ((FAST, attention), (RECORDED, recorded_attention)):
        AttentionInterface.register(name, function)
        AttentionMaskInterface.register(name, sdpa_mask)
    return FAST


def attention_for(model_class: type) -> str:
    """The attention that a class of transformers' models is to be made with: ours, where it takes
    its attention from outside; else the better one of its own."""
    if model_class._supports_sdpa and model_class._supports_attention_backend:
        return register_attention()
    return "sdpa" if model_class._supports_sdpa else "eager"


def record_attention(model: nn.Module) -> None:
    """Let a classifier's backbone compute attention in a way that can hand out its weights; where
    that is not ours, dropout has gone over them."""
    backbone = model.backbone
    one_way = any(getattr(module, "is_causal", False) for module in backbone.modules())
    ours = backbone.config._attn_implementation in (FAST, RECORDED)
    backbone.set_attn_implementation(RECORDED if ours and not one_way else "eager")


def layers_of(backbone: nn.Module) -> nn.ModuleList:
    """The layers of a backbone, from the bottom. Raises InputError where it has none by name, as
    one that computes a single layer several times."""
    depth = getattr(backbone.config, "num_hidden_layers", None)
    for module in backbone.modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return module
    layers = f"{depth} layers" if depth else "layers"
    raise _no_layers(backbone, f"whose {layers} cannot be told apart")


def _no_layers(backbone: nn.Module, why: str) -> InputError:
    return InputError(
        f"The backbone is a {backbone.config.model_type}, {why}; leave out what differs by layer "
        "(layer_decay, freeze = a number, adapter, fsdp)"
    )


def parts_from_below(backbone: nn.Module) -> list[list[nn.Parameter]]:
    """The parameters of a backbone's embeddings, which stand before its layers, and of each layer,
    from the bottom. Raises InputError as `layers_of` does, and where a decoder has layers, too."""
    if backbone.config.is_encoder_decoder:
        raise _no_layers(backbone, "whose encoder and decoder both have layers")
    layers = [list(layer.parameters()) for layer in layers_of(backbone)]
    parameters = list(backbone.base_model.parameters())  # a native head may stand before them
    first = next(place for place, each in enumerate(parameters) if each is layers[0][0])
    return [parameters[:first], *layers]
