"""A classifier that computes without padding: the real tokens of a batch are one row everywhere
but in attention, and the last layer gives the first token alone where no other is read."""

import dataclasses

import torch
from torch import nn

from lib.attention import layers_of
from lib.devices import default_device, resolve_precision, to_device
from lib.fast.families import (
    adds_bias,
    native_reads_all,
    pack_backbone,
    padding_that_counts,
)
from lib.fast.layout import Packing, any_length, positions
from lib.heads import first_token
from lib.models import Classifier


@dataclasses.dataclass
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
        self.native_reads_all = native_reads_all(backbone)
        reads_first = head is None or type(head).pool is first_token
        self.first_token_only = reads_first and not self.native_reads_all
        pack_backbone(backbone, first_token_only=self.first_token_only)

    def inputs(self, ids: torch.Tensor, mask: torch.Tensor) -> dict:
        packing = Packing(mask, ids.device)
        rows = {"input_ids": ids, **self._segments(ids)}
        rows["position_ids"] = positions(ids, padding_that_counts(self.backbone))
        if self.vocabulary:
            self.vocabulary.place = to_device(self.vocabulary.place, ids.device)
            rows["input_ids"] = self.vocabulary.place[ids.long()]
        inputs = {name: packing.pack(row) for name, row in rows.items()} | {"packing": packing}
        if self.native_reads_all:
            inputs["attention_mask"] = packing.mask
        return inputs

    def last_states(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple:
        inputs = self.inputs(ids, mask)
        packing = inputs["packing"]
        states = self.backbone(**inputs).last_hidden_state
        if self.first_token_only:
            return states, packing.mask[:, :1]
        return packing.pad(states), packing.mask

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


def one_kernel(model: nn.Module, precision: str) -> bool:
    """Whether torch's kernel computes all attention of a model on the default device."""
    device = default_device()
    halves = resolve_precision(precision, device) == "bf16"
    is_packed = isinstance(model, PackedClassifier)
    return is_packed and halves and any_length(device) and not adds_bias(model.backbone)


def compile_layers(backbone: nn.Module, *, attention: bool = False, **options) -> None:
    """Compile each layer by itself, for any number of tokens: a GPU then launches fewer, larger
    kernels. Where not torch's kernel computes packed `attention`, that stays as it is, because its
    layout is another one for every batch, and so does a layer of first tokens."""
    for layer in layers_of(backbone):
        if "forward" in vars(layer):
            continue
        for module in layer.modules():
            if "forward" in vars(module) and not attention:
                module.forward = torch.compiler.disable(module.forward)
        layer.compile(dynamic=True, **options)
