"""How the self-attention of each family of backbones reads packed rows."""

from collections.abc import Callable
from types import MethodType
from typing import NamedTuple

import torch
from torch import nn

from lib.attention import layers_of
from lib.errors import InputError
from lib.fast.layout import Masks, Packing
from lib.fast.self_attention import first_states, first_token_attention, project, self_attention


def projected_attention(
    inner: nn.Module, hidden: torch.Tensor, packing: Packing, biased: Masks | None = None
) -> torch.Tensor:
    """Self-attention of a module with three projections: (1, real tokens, size)."""
    states = project(projections_of(inner), hidden, inner.attention_head_size)
    return self_attention(states, packing, inner.dropout.p * inner.training, biased=biased)


def projected_first_attention(
    inner: nn.Module,
    first: torch.Tensor,
    hidden: torch.Tensor,
    packing: Packing,
    biased: Masks | None = None,
) -> torch.Tensor:
    """The same of the first tokens (documents, 1, size) alone."""
    query_layer, *other_layers = projections_of(inner)
    query = project([query_layer], first, inner.attention_head_size)
    states = project(other_layers, hidden, inner.attention_head_size)
    dropout = inner.dropout.p * inner.training
    return first_token_attention(query, states, packing, dropout, biased=biased)


def projections_of(inner: nn.Module) -> list[nn.Module]:
    """The layers of a self-attention that give queries, keys and values."""
    for names in (("query", "key", "value"), ("q_lin", "k_lin", "v_lin"), ("q", "k", "v")):
        if hasattr(inner, names[0]):
            return [getattr(inner, name) for name in names]
    return []


# What takes the place of `forward` in transformers' modules, and is called as they are. A last
# layer gives the first tokens' states only, (documents, 1, size): keys and values are of all
# tokens, queries and all that follows them of the first ones.


def _attention_bert(self, hidden_states, attention_mask=None, *_, packing, **__):
    return projected_attention(self, hidden_states, packing), None


def _last_layer_bert(self, hidden_states, attention_mask=None, *_, packing, **__):
    first = first_states(hidden_states, packing)
    attended = projected_first_attention(self.attention.self, first, hidden_states, packing)
    return self.feed_forward_chunk(self.attention.output(attended, first))


def _attention_distilbert(self, hidden_states, attention_mask=None, *_, packing, **__):
    attended = projected_attention(self, hidden_states, packing)
    return self.out_lin(attended), None


def _last_layer_distilbert(self, hidden_states, attention_mask=None, *_, packing, **__):
    first = first_states(hidden_states, packing)
    attended = projected_first_attention(self.attention, first, hidden_states, packing)
    attended = self.sa_layer_norm(self.attention.out_lin(attended) + first)
    return self.output_layer_norm(self.ffn(attended) + attended)


# MPNet hands no packing down, but the bias that its encoder computes once for all layers: the masks
# go in its place.


def _keep_packing_mpnet(backbone, arguments, options):
    if "packing" in options:
        backbone.base_model.encoder.packing = options["packing"]


def _position_bias_mpnet(self, hidden_states, *_):
    padded = hidden_states.new_empty(1, self.packing.mask.shape[1], 0)
    bias = type(self).compute_position_bias(self, padded)
    if torch.is_autocast_enabled(bias.device.type):
        bias = bias.to(torch.get_autocast_dtype(bias.device.type))
    return Masks(self.packing, bias=bias)


def _attention_mpnet(self, hidden_states, attention_mask=None, position_bias=None, *_, **__):
    masks = position_bias
    return (self.o(projected_attention(self, hidden_states, masks.packing, masks)),)


def _last_layer_mpnet(self, hidden_states, attention_mask=None, position_bias=None, *_, **__):
    masks = position_bias
    first = first_states(hidden_states, masks.packing)
    inner = self.attention.attn
    attended = projected_first_attention(inner, first, hidden_states, masks.packing, masks)
    attended = self.attention.LayerNorm(self.attention.dropout(inner.o(attended)) + first)
    return (self.output(self.intermediate(attended), attended),)


# ModernBERT turns queries and keys by their positions, and most layers read a window.


def _without_masks_modernbert(encoder, arguments, options):
    nothing = dict.fromkeys(("full_attention", "sliding_attention"))
    return arguments, options | {"attention_mask": nothing}


def _pad_modernbert(encoder, arguments, options, output):
    """What a native head reads that averages all tokens."""
    output.last_hidden_state = options["packing"].pad(output.last_hidden_state)
    return output


def _states_modernbert(inner, hidden, position_embeddings) -> torch.Tensor:
    from transformers.models.modernbert.modeling_modernbert import apply_rotary_pos_emb

    query, key, value = inner.Wqkv(hidden).unflatten(2, (3, -1, inner.head_dim)).unbind(2)
    query, key = apply_rotary_pos_emb(query, key, *position_embeddings, unsqueeze_dim=2)
    return torch.stack((query, key, value), 2)


def _window_modernbert(inner) -> int | None:
    return None if inner.sliding_window is None else inner.config.sliding_window


def _attention_modernbert(self, hidden_states, position_embeddings, *_, packing, **__):
    states = _states_modernbert(self, hidden_states, position_embeddings)
    dropout = self.attention_dropout * self.training
    attended = self_attention(states, packing, dropout, window=_window_modernbert(self))
    return self.out_drop(self.Wo(attended)), None


def _last_layer_modernbert(
    self, hidden_states, attention_mask=None, position_embeddings=None, *_, packing, **__
):
    first = first_states(hidden_states, packing)
    inner = self.attn
    states = _states_modernbert(inner, self.attn_norm(hidden_states), position_embeddings)
    query = first_states(states[:, :, :1], packing)
    options = {"window": _window_modernbert(inner)}
    dropout = inner.attention_dropout * inner.training
    attended = first_token_attention(query, states[:, :, 1:], packing, dropout, **options)
    first = first + inner.out_drop(inner.Wo(attended))
    return first + self.mlp(self.mlp_norm(first))


class Family(NamedTuple):
    """What takes the place of an attention's `forward`, and of that of the last layer."""

    attention: Callable
    last_layer: Callable
    counts_from_padding: bool = False  # positions: see `positions`


BERT = Family(_attention_bert, _last_layer_bert)
ROBERTA = BERT._replace(counts_from_padding=True)
FAMILIES = {
    "bert": BERT,
    "camembert": ROBERTA,
    "distilbert": Family(_attention_distilbert, _last_layer_distilbert),
    "electra": BERT,
    "modernbert": Family(_attention_modernbert, _last_layer_modernbert),
    "mpnet": Family(_attention_mpnet, _last_layer_mpnet, counts_from_padding=True),
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
}


def pack_backbone(backbone: nn.Module, *, first_token_only: bool) -> None:
    """Let a backbone read packed rows, and with `first_token_only` give the first tokens' states
    only, (documents, 1, size): what its last layer then leaves out, nobody reads. Raises InputError
    for a backbone that this is not written for."""
    kind = backbone.config.model_type
    if kind not in FAMILIES:
        raise InputError(
            f"The backbone is a {kind}; packed batching is for {', '.join(FAMILIES)}: take grouped"
        )
    family = FAMILIES[kind]
    for module in backbone.modules():
        if is_attention(module):
            module.forward = MethodType(family.attention, module)
    if first_token_only:
        last = layers_of(backbone)[-1]
        last.forward = MethodType(family.last_layer, last)
    if adds_bias(backbone):
        for module in {backbone, backbone.base_model}:
            module.register_forward_pre_hook(_keep_packing_mpnet, with_kwargs=True)
        encoder = backbone.base_model.encoder
        encoder.compute_position_bias = MethodType(_position_bias_mpnet, encoder)
    if kind == "modernbert":
        encoder = backbone.base_model
        encoder.register_forward_pre_hook(_without_masks_modernbert, with_kwargs=True)
        if native_reads_all(backbone):
            encoder.register_forward_hook(_pad_modernbert, with_kwargs=True)


def is_attention(module: nn.Module) -> bool:
    return hasattr(module, "Wqkv") or (
        hasattr(module, "attention_head_size") and bool(projections_of(module))
    )


def native_reads_all(backbone: nn.Module) -> bool:
    """Whether a backbone's native head reads all tokens, and not the first one alone."""
    is_native = backbone is not backbone.base_model
    return is_native and getattr(backbone.config, "classifier_pooling", "cls") == "mean"


def adds_bias(backbone: nn.Module) -> bool:
    """Whether a backbone adds a bias to the scores of attention, which torch's kernel cannot."""
    return backbone.config.model_type == "mpnet"


def padding_that_counts(backbone: nn.Module) -> int | None:
    """The padding token after whose id a backbone counts positions, if it does (see
    `lib.fast.layout.positions`)."""
    if FAMILIES[backbone.config.model_type].counts_from_padding:
        return backbone.base_model.embeddings.padding_idx
    return None
