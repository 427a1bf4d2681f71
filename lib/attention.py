"""Attention that computes little beside the real tokens: fast dropout masks, packed rows,
first-token-only layers."""

from functools import lru_cache
from importlib.util import find_spec
from types import MethodType

import torch
from torch import nn
from torch.nn import functional as F

from lib.errors import InputError


def varlen_attn(*arguments):
    """torch's attention over documents of any lengths in one row (imported where it is used:
    that takes seconds)."""
    from torch.nn.attention.varlen import varlen_attn

    return varlen_attn(*arguments)


class FastDropout(nn.Module):
    """Dropout whose mask comes from random 64-bit integers read as 16-bit lanes: many times
    faster than Bernoulli draws on a CPU, and it follows torch's seed. The rate is rounded to a
    multiple of 1/65536, and the scale with it."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return fast_dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def fast_dropout(x: torch.Tensor, p: float, training: bool = True) -> torch.Tensor:
    """Zero each element of `x` (any shape) with probability `p` and scale the rest by 1 / (1 -
    p)."""
    if not training or p == 0 or x.device.type != "cpu":
        return F.dropout(x, p, training)
    dropped = round(p * 65536)
    lanes = (
        torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    )
    keep = (lanes[: x.numel()].view(x.shape) >= dropped - 32768).to(x.dtype)
    return x * keep.mul_(65536 / (65536 - dropped))


class Layout:
    """Where the real tokens of documents are: in one row (1, real tokens), and in padded rows
    (documents, longest)."""

    def __init__(self, mask: torch.Tensor, order: torch.Tensor | None = None, device=None):
        """`order` says in which order the documents (all of `mask`'s) follow each other in the
        one row. Reckoned where the mask is, for states on `device`."""
        order = torch.arange(len(mask), device=mask.device) if order is None else order
        document, column = mask[order].nonzero(as_tuple=True)
        self.index = (order[document] * mask.shape[1] + column).to(device)
        self.full = len(self.index) == mask.numel()  # of equal lengths: then in their own order
        self.mask = mask.to(device)

    def pack(self, x: torch.Tensor) -> torch.Tensor:
        """(documents, longest, …) to (1, real tokens, …)."""
        rows = x.flatten(0, 1)
        return (rows if self.full else rows.index_select(0, self.index))[None]

    def pad(self, x: torch.Tensor) -> torch.Tensor:
        """(1, real tokens, …) to (documents, longest, …), zeros elsewhere."""
        rows = x[0]
        if not self.full:
            rows = rows.new_zeros(self.mask.numel(), *rows.shape[1:]).index_copy(
                0, self.index, rows
            )
        return rows.unflatten(0, self.mask.shape)


class Packing(Layout):
    """The layout of a batch, shortest document first, and its blocks: those of similar length
    attend together. All is reckoned on the CPU, so that nothing waits for a GPU."""

    def __init__(self, mask: torch.Tensor, device: torch.device):
        mask = mask.bool().cpu()
        lengths = mask.sum(1)
        order = lengths.argsort(stable=True)
        super().__init__(mask, order, device)
        lengths = lengths[order]
        ends = lengths.cumsum(0)
        self.starts = (ends - lengths)[order.argsort()].to(
            device
        )  # of each document in the one row
        self.longest, self.ends = int(lengths[-1]), None
        if any_length(device):
            self.ends = F.pad(ends, (1, 0)).int().to(device)
        self.blocks, lengths, ends = [], lengths.tolist(), [0, *ends.tolist()]
        while len(ends) > 1:
            longest, first = lengths[-1], len(lengths) - 1
            while first and (lengths[first - 1] >= SIMILAR * longest or device.type != "cpu"):
                first -= 1  # a GPU takes all at once: it would wait for many small kernels
            block = Layout(mask[order[first : len(lengths)], :longest], device=device)
            self.blocks.insert(0, (slice(ends[first], ends[-1]), block))
            lengths, ends = lengths[:first], ends[: first + 1]

    def positions(self, ids: torch.Tensor, config) -> torch.Tensor:
        """The position (batch, longest) of each token, counted as the backbone does."""
        if config.model_type == "roberta":  # from the padding token's id, leaving that token out
            real = ids != config.pad_token_id
            return real.cumsum(1) * real + config.pad_token_id
        return torch.arange(ids.shape[1], device=ids.device).expand(ids.shape)


@lru_cache
def any_length(device: torch.device) -> bool:
    """Whether torch has a kernel there that reads documents of any lengths in one row: without
    dropout, in 16 bits."""
    there = device.type == "cuda" and find_spec("torch.nn.attention.varlen") is not None
    return there and torch.cuda.get_device_capability(device) >= (8, 0)


HALVES = (torch.bfloat16, torch.float16)
SIMILAR = 0.75  # the shortest document of a block as a share of its longest


def attend(query, key, value, mask, scaling=None, dropout=0.0):
    """What queries (batch, heads, some, size) find in keys and values (batch, heads, tokens,
    size), in the shape of the queries: torch's fused kernel, or on a CPU with dropout, our fast
    masks."""
    if dropout and query.device.type == "cpu":
        weights = (query * (scaling or query.size(-1) ** -0.5)) @ key.transpose(2, 3)
        if mask is not None:
            weights = weights.masked_fill(~mask, torch.finfo(weights.dtype).min)
        return fast_dropout(weights.softmax(-1), dropout) @ value
    return F.scaled_dot_product_attention(query, key, value, mask, dropout, scale=scaling)


def _mask(layout: Layout) -> torch.Tensor | None:
    return None if layout.full else layout.mask[:, None, None]


def attention(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **_):
    """Attention as transformers calls it: (batch, heads, tokens, size) to (batch, tokens, heads,
    size)."""
    return attend(query, key, value, attention_mask, scaling, dropout).transpose(
        1, 2
    ).contiguous(), None


def recorded_attention(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **_):
    """The same, never packed, and its weights (batch, heads, tokens, tokens) before dropout."""
    weights = (query * (scaling or query.size(-1) ** -0.5)) @ key.transpose(2, 3)
    if attention_mask is not None:
        weights = weights.masked_fill(~attention_mask, torch.finfo(weights.dtype).min)
    weights = weights.softmax(-1)
    return (fast_dropout(weights, dropout) @ value).transpose(1, 2).contiguous(), weights


@lru_cache
def register_attention() -> str:
    """Make `attention` and `recorded_attention` known to transformers; returns the first one's
    name there."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    for name, function in (("fast", attention), ("recorded", recorded_attention)):
        AttentionInterface.register(name, function)
        AttentionMaskInterface.register(name, sdpa_mask)
    return "fast"


# the projections of a self-attention, by their names in it
PROJECTIONS = {"bert": ("query", "key", "value"), "distilbert": ("q_lin", "k_lin", "v_lin")}
PROJECTIONS["roberta"] = PROJECTIONS["bert"]


def _project(inner: nn.Module, states: torch.Tensor, names: tuple[str, ...]) -> torch.Tensor:
    """Several projections of states (some, tokens, size) as one product: (some, tokens,
    projections, heads, size). One large product is faster than several, and the states change
    their precision once."""
    layers = [getattr(inner, name) for name in names]
    weight, bias = (
        torch.cat([layer.weight for layer in layers]),
        torch.cat([layer.bias for layer in layers]),
    )
    return F.linear(states, weight, bias).unflatten(2, (len(names), -1, inner.attention_head_size))


def _heads(states: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """(batch, tokens, projections, heads, size) to so many of (batch, heads, tokens, size)."""
    return states.permute(2, 0, 3, 1, 4).unbind()


def _self_attention(self, hidden_states, attention_mask=None, *_, packing, **__):
    """Self-attention over real tokens (1, real tokens, size), all at once where a kernel can,
    else block by block."""
    states = _project(self, hidden_states, self.projections)
    found, dropout = [], self.dropout.p * self.training
    if packing.ends is not None and not dropout and states.dtype in HALVES:
        whole = varlen_attn(
            *states[0].unbind(1), packing.ends, packing.ends, packing.longest, packing.longest
        )
        return whole.flatten(1)[None], None
    for rows, block in packing.blocks:
        query, key, value = _heads(block.pad(states[:, rows]))
        found.append(
            block.pack(attend(query, key, value, _mask(block), dropout=dropout).transpose(1, 2))
        )
    return torch.cat(found, 1).flatten(2), None


def _self_attention_distilbert(self, *states, **options):
    return self.out_lin(_self_attention(self, *states, **options)[0]), None


def pack_attention(backbone: nn.Module) -> None:
    """Let the self-attention of a backbone read packed rows. Raises InputError for a backbone it
    is not written for."""
    kind = backbone.config.model_type
    if kind not in PROJECTIONS:
        names = ", ".join(PROJECTIONS)
        raise InputError(
            f"The backbone is a {kind}; packed batching is for {names}: take random or grouped"
        )
    forward = _self_attention_distilbert if kind == "distilbert" else _self_attention
    for module in backbone.modules():
        if hasattr(module, PROJECTIONS[kind][0]) and hasattr(module, "attention_head_size"):
            module.projections, module.forward = PROJECTIONS[kind], MethodType(forward, module)


def _first_tokens_find(inner, first, states, packing) -> torch.Tensor:
    """What the first tokens (batch, 1, size) find in all tokens (1, real tokens, size): (batch,
    1, size)."""
    query = _heads(_project(inner, first, inner.projections[:1]))
    key_value = _heads(packing.pad(_project(inner, states, inner.projections[1:])))
    found = attend(*query, *key_value, _mask(packing), dropout=inner.dropout.p * inner.training)
    return found.transpose(1, 2).flatten(2)


def _first_token_bert(self, hidden_states, attention_mask=None, *_, packing, **__):
    first = hidden_states[:, packing.starts].transpose(0, 1)
    found = _first_tokens_find(self.attention.self, first, hidden_states, packing)
    return self.feed_forward_chunk(self.attention.output(found, first))


def _first_token_distilbert(self, hidden_states, attention_mask=None, *, packing, **_):
    first, inner = hidden_states[:, packing.starts].transpose(0, 1), self.attention
    found = inner.out_lin(_first_tokens_find(inner, first, hidden_states, packing))
    attended = self.sa_layer_norm(found + first)
    return self.output_layer_norm(self.ffn(attended) + attended)


def layers_of(backbone: nn.Module) -> nn.ModuleList:
    """The layers of a backbone, from the bottom."""
    depth = backbone.config.num_hidden_layers
    return next(m for m in backbone.modules() if isinstance(m, nn.ModuleList) and len(m) == depth)


def compile_layers(backbone: nn.Module, **options) -> None:
    """Compile each layer by itself, for any number of tokens: a GPU then launches fewer, larger
    kernels. Packed attention stays as it is, because its layout is another one for every batch,
    and so does a layer of first tokens."""
    for layer in layers_of(backbone):
        if "forward" in vars(layer):
            continue
        for module in layer.modules():
            if "projections" in vars(module):
                module.forward = torch.compiler.disable(module.forward)
        layer.compile(dynamic=True, **options)


def first_token_only(backbone: nn.Module) -> None:
    """Let the last layer of a packed backbone give the first tokens' states only, (batch, 1, size).

    Keys and values are of all tokens; queries and all that follows them, of the first ones. What
    the last layer leaves out, nobody reads: outputs and gradients are the same.
    """
    encoder = backbone.base_model
    if backbone.config.model_type == "distilbert":
        last, forward = encoder.transformer.layer[-1], _first_token_distilbert
    else:
        last, forward = encoder.encoder.layer[-1], _first_token_bert
    last.forward = MethodType(forward, last)
