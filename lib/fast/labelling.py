"""Labelling by a classifier: rows sorted by length, and on a CPU the same weights without padding
and by faster products."""

import copy
import itertools
from collections.abc import Callable
from functools import partial

import torch

from lib.devices import default_device
from lib.evaluation import batch_logits
from lib.fast.families import FAMILIES
from lib.fast.packing import pack
from lib.fast.prepared import prepare
from lib.models import Classifier
from lib.products import has_fast_products

# Tokens of a batch. On a CPU, few enough for the states to stay in its caches, and enough for the
# products to be worth their while; a GPU is kept busy.
BATCH_TOKENS = {"cpu": 1536, "cuda": 16_384}

Compute = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def for_labelling(model: Classifier) -> Compute:
    """What gives a classifier's logits (batch, num_labels), float32, for ids and mask (batch,
    tokens): those of the model in 32 bits, but for rounding."""
    device = default_device()
    if device.type == "cpu":
        model = twin(model)
    return partial(batch_logits, model.to(device).eval(), precision="fp32", device=device)


def twin(model: Classifier) -> Classifier:
    """A classifier that shares another's weights and is faster without gradients, on a CPU."""
    tensors = itertools.chain(model.parameters(), model.buffers())
    same = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    if same.backbone.config.model_type in FAMILIES:
        same = pack(same)
    if has_fast_products(default_device()):
        prepare(same)
    return same


def sorted_logits(
    compute: Compute, ids: torch.Tensor, mask: torch.Tensor, *, most: int | None = None
) -> torch.Tensor:
    """Logits (rows, num_labels) of rows of ids and mask, in their order, computed in batches of
    like lengths, of at most `most` tokens (see `batches_by_length`)."""
    batches = batches_by_length(mask.sum(1), most or BATCH_TOKENS[default_device().type])
    logits = [compute(ids[rows, :width], mask[rows, :width]) for rows, width in batches]
    rows = torch.cat([rows for rows, _ in batches])
    return torch.cat(logits)[rows.argsort()]


def batches_by_length(lengths: torch.Tensor, most: int) -> list[tuple[torch.Tensor, int]]:
    """Row numbers in batches, the shortest rows first, with the length of the longest: so many rows
    that they have at most `most` tokens, padded; a longer row is alone."""
    order = torch.argsort(lengths, stable=True)
    widths = lengths[order].tolist()
    batches = []
    start = 0
    for stop in range(1, len(order) + 1):
        if stop == len(order) or (stop + 1 - start) * widths[stop] > most:
            batches.append((order[start:stop], widths[stop - 1]))
            start = stop
    return batches
