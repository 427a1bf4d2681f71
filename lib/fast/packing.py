"""A classifier that computes without padding: the real tokens of a batch are one row everywhere
but in attention, and the last layer gives the first token alone where no other is read."""

import dataclasses
from types import MethodType

import torch
from torch import nn
from torch.nn import functional as F

from lib.attention import attend, layers_of
from lib.errors import InputError
from lib.fast.layout import Packing, positions
from lib.heads import first_token
from lib.models import Classifier

# the projections of a self-attention, by their names in it
PROJECTIONS = {
    "bert": ("query", "key", "value"),
    "roberta": ("query", "key", "value"),
    "distilbert": ("q_lin", "k_lin", "v_lin"),
}
HALVES = (torch.bfloat16, torch.float16)


def varlen_attn(*arguments) -> torch.Tensor:
    """torch's kernel for documents of any lengths in one row, imported late: that takes seconds."""
    from torch.nn.attention.varlen import varlen_attn

    return varlen_attn(*arguments)


def project(inner: nn.Module, states: torch.Tensor, names: tuple[str, ...]) -> torch.Tensor:
    """Several projections of states (some, tokens, size) as one product: (some, tokens,
    projections, heads, size). One large product is faster than several, and the states change
    their precision once."""
    layers = [getattr(inner, name) for name in names]
    weight = torch.cat([layer.weight for layer in layers])
    bias = torch.cat([layer.bias for layer in layers])
    return F.linear(states, weight, bias).unflatten(2, (len(names), -1, inner.attention_head_size))


def by_head(states: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """(batch, tokens, projections, heads, size) to so many of (batch, heads, tokens, size)."""
    return states.permute(2, 0, 3, 1, 4).unbind()


def self_attention(inner: nn.Module, hidden: torch.Tensor, packing: Packing) -> torch.Tensor:
    """Self-attention over real tokens (1, real tokens, size), all at once where a kernel can,
    else block by block."""
    states = project(inner, hidden, PROJECTIONS[inner.config.model_type])
    dropout = inner.dropout.p * inner.training
    if packing.boundaries is not None and not dropout and states.dtype in HALVES:
        bounds = (packing.boundaries, packing.boundaries, packing.longest, packing.longest)
        return varlen_attn(*states[0].unbind(1), *bounds).flatten(1)[None]
    attended = []
    for tokens, block in packing.blocks:
        query, key, value = by_head(block.pad(states[:, tokens]))
        rows = attend(query, key, value, block.attention_mask(), dropout=dropout)
        attended.append(block.pack(rows.transpose(1, 2)))
    return torch.cat(attended, 1).flatten(2)


def first_token_attention(inner: nn.Module, first, hidden, packing: Packing) -> torch.Tensor:
    """Attention of the first tokens (batch, 1, size) to all real tokens (1, real tokens, size):
    (batch, 1, size)."""
    query_name, *other_names = PROJECTIONS[inner.config.model_type]
    (query,) = by_head(project(inner, first, (query_name,)))
    key, value = by_head(packing.pad(project(inner, hidden, tuple(other_names))))
    dropout = inner.dropout.p * inner.training
    rows = attend(query, key, value, packing.attention_mask(), dropout=dropout)
    return rows.transpose(1, 2).flatten(2)


# What takes the place of `forward` in transformers' modules, and is called as they are.


def _attention_bert(self, hidden_states, attention_mask=None, *_, packing, **__):
    return self_attention(self, hidden_states, packing), None


def _attention_distilbert(self, hidden_states, attention_mask=None, *_, packing, **__):
    return self.out_lin(self_attention(self, hidden_states, packing)), None


def _last_layer_bert(self, hidden_states, attention_mask=None, *_, packing, **__):
    first = hidden_states[:, packing.first_tokens].transpose(0, 1)
    attended = first_token_attention(self.attention.self, first, hidden_states, packing)
    return self.feed_forward_chunk(self.attention.output(attended, first))


def _last_layer_distilbert(self, hidden_states, attention_mask=None, *_, packing, **__):
    first = hidden_states[:, packing.first_tokens].transpose(0, 1)
    attended = first_token_attention(self.attention, first, hidden_states, packing)
    attended = self.sa_layer_norm(self.attention.out_lin(attended) + first)
    return self.output_layer_norm(self.ffn(attended) + attended)


def pack_attention(backbone: nn.Module) -> None:
    """Let the self-attention of a backbone read packed rows. Raises InputError for a backbone it
    is not written for."""
    kind = backbone.config.model_type
    if kind not in PROJECTIONS:
        raise InputError(
            f"The backbone is a {kind}; packed batching is for {', '.join(sorted(PROJECTIONS))}: "
            "take random or grouped"
        )
    forward = _attention_distilbert if kind == "distilbert" else _attention_bert
    for module in backbone.modules():
        if hasattr(module, PROJECTIONS[kind][0]) and hasattr(module, "attention_head_size"):
            module.forward = MethodType(forward, module)


def first_token_only(backbone: nn.Module) -> None:
    """Let the last layer of a packed backbone give the first tokens' states only, (batch, 1, size).

    Keys and values are of all tokens; queries and all that follows them, of the first ones. What
    the last layer leaves out, nobody reads: outputs and gradients are the same.
    """
    last = layers_of(backbone)[-1]
    distilbert = backbone.config.model_type == "distilbert"
    last.forward = MethodType(_last_layer_distilbert if distilbert else _last_layer_bert, last)


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The embeddings of all tokens, and which of them are in training (see `compact`)."""

    table: nn.Embedding
    used: torch.Tensor  # ids
    place: torch.Tensor  # (ids,): that of each used id in the smaller table; -1, which fails, else


class PackedClassifier(Classifier):
    """A classifier that computes without padding (see `pack`); `all_states` is not for it."""

    def __init__(self, backbone: nn.Module, head: nn.Module | None, num_labels: int):
        super().__init__(backbone, head, num_labels)
        self.vocabulary: Vocabulary | None = None
        self.first_token_only = head is None or type(head).pool is first_token
        pack_attention(backbone)
        if self.first_token_only:
            first_token_only(backbone)

    def inputs(self, ids: torch.Tensor, mask: torch.Tensor) -> dict:
        packing = Packing(mask, ids.device)
        rows = {"input_ids": ids, **self._segments(ids)}
        rows["position_ids"] = positions(ids, self.backbone.config)
        if self.vocabulary:
            rows["input_ids"] = self.vocabulary.place.to(ids.device)[ids.long()]
        return {name: packing.pack(row) for name, row in rows.items()} | {"packing": packing}

    def last_states(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple:
        inputs = self.inputs(ids, mask)
        states = self.backbone(**inputs).last_hidden_state
        mask = mask.to(ids.device)
        if self.first_token_only:
            return states, mask[:, :1]
        return inputs["packing"].pad(states), mask

    @torch.no_grad()
    def compact(self, used: torch.Tensor) -> None:
        """Keep the embeddings of the token ids `used` only, until `expand`: for training without
        weight decay, which does not move the others. On a CPU an optimizer's step over tens of
        thousands of words takes long."""
        table = self.backbone.get_input_embeddings()
        place = torch.full((len(table.weight),), -1)
        place[used] = torch.arange(len(used))
        self.vocabulary = Vocabulary(table, used, place)
        smaller = nn.Embedding.from_pretrained(table.weight[used], freeze=False)
        self.backbone.set_input_embeddings(smaller)

    @torch.no_grad()
    def expand(self) -> None:
        """Put the embeddings of all tokens back, the trained ones in their places."""
        if self.vocabulary:
            table = self.vocabulary.table
            trained = self.backbone.get_input_embeddings().weight
            table.weight[self.vocabulary.used] = trained.to(table.weight.device)
            self.backbone.set_input_embeddings(table)
            self.vocabulary = None

    def finish(self) -> None:
        """As `Classifier.finish`, with the embeddings of all tokens back in their places."""
        super().finish()
        self.expand()


def pack(model: Classifier) -> PackedClassifier:
    """A classifier that computes without padding, made of a plain one, which is of no use
    afterwards.

    Where only the first token is read, the last layer computes only that one. Outputs and
    gradients stay what they were, but for rounding; dropout draws other numbers. Raises
    InputError for a backbone it is not written for.
    """
    packed = PackedClassifier(model.backbone, model.head, model.num_labels)
    packed.separator = model.separator
    packed.unit = model.unit
    packed.window = model.window
    return packed


def compile_layers(backbone: nn.Module, **options) -> None:
    """Compile each layer by itself, for any number of tokens: a GPU then launches fewer, larger
    kernels. Packed attention stays as it is, because its layout is another one for every batch,
    and so does a layer of first tokens."""
    for layer in layers_of(backbone):
        if "forward" in vars(layer):
            continue
        for module in layer.modules():
            if "forward" in vars(module):
                module.forward = torch.compiler.disable(module.forward)
        layer.compile(dynamic=True, **options)
