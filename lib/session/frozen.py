"""A frozen backbone: documents are embedded once, and the head alone trains on their vectors.

Or its lowest layers stay as they are.
"""

import dataclasses
from functools import partial
from pathlib import Path

import torch
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from lib import devices, evaluation, training
from lib.attention import parts_from_below
from lib.backbones import fingerprint, resolve_backbone
from lib.data import SPLITS
from lib.errors import InputError
from lib.heads import HEADS, ONE_VECTOR
from lib.loaders import make_loader
from lib.models import Classifier
from lib.runs.files import cached_tensors, digest
from lib.tokenization import Tokens
from lib.windows import Windows

EMBEDDING_BATCH = 128  # documents


class FrozenClassifier(Classifier):
    """A classifier that reads the vector of each document (batch, 1, size), or of each of its
    windows, in the place of its token ids, and hands it to its head."""

    def last_states(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple:
        return ids, mask.to(ids.device)


def freeze_backbone(
    model: Classifier,
    tokens: Tokens,
    backbone: str,
    *,
    precision: str = "auto",
    cache: Path | None = None,
) -> tuple[FrozenClassifier, Tokens]:
    """A classifier with the backbone and head of `model`, of which the head alone trains, and the
    tokens with vectors in the place of ids.

    The datasets have vectors (rows, windows, size) for ids, and the mask of them; of documents that
    are not read in windows, one. The vectors are what the head pools, computed without dropout.
    `cache` is a folder that keeps them by the content they depend on. Raises InputError where the
    head reads more than one vector of a document, with weights before it.
    """
    check_head(model)
    model.backbone.requires_grad_(False)
    vectors = document_vectors(model, tokens, backbone, precision=precision, cache=cache)
    datasets = {}
    for name in SPLITS:
        datasets[name] = TensorDataset(*vectors[name], getattr(tokens, name).tensors[2])
    frozen = FrozenClassifier(model.backbone, model.head, model.num_labels)
    frozen.separator = model.separator
    frozen.unit = model.unit
    frozen.window = 1 if model.window else None
    return frozen, dataclasses.replace(tokens, **datasets)


def document_vectors(
    model: Classifier,
    tokens: Tokens,
    backbone: str,
    *,
    precision: str = "auto",
    cache: Path | None = None,
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """What a model's head pools of the windows of each split's documents (rows, windows, size),
    from the cache if there is one (see `freeze_backbone`), and their mask (rows, windows)."""
    precision = devices.resolve_precision(precision, devices.default_device())
    depends_on = [
        training.VERSION,
        fingerprint(resolve_backbone(backbone)),
        model.backbone.config.num_hidden_layers,
        type(model.head).pool.__name__,
        type(model).__name__,
        model.separator,
        model.window,
        precision,
    ]
    vectors = {}
    for name in SPLITS:
        dataset = getattr(tokens, name)
        ids, mask, _ = dataset.tensors
        key = digest("document vectors", *depends_on, tuple(ids.shape), ids, mask)
        make = partial(embed, model, dataset, precision)
        used = mask[:, :: model.window or mask.shape[1]].contiguous()  # by the first tokens
        vectors[name] = (cached_tensors(cache, key, make)["vectors"], used)
    return vectors


def freeze_layers(model: Classifier, number: int) -> None:
    """Leave the embeddings and so many of the lowest layers as they are. Raises InputError."""
    from_below = parts_from_below(model.backbone)
    check_freeze(number, len(from_below) - 1)
    for part in from_below[: number + 1]:
        for parameter in part:
            parameter.requires_grad_(False)


def check_freeze(number: int, depth: int) -> None:
    """Raises InputError where a backbone of so many layers would have none to train."""
    if number >= depth + 1:
        raise InputError(
            f"freeze is {number}; the backbone has {depth} layers: take fewer, or 'backbone' to "
            "train the head alone"
        )


def check_head(model: Classifier) -> None:
    """Raises InputError where a head has weights before it has one vector of a document."""
    if getattr(type(model.head), "pool", None) not in ONE_VECTOR:
        names = ", ".join(name for name, head in HEADS.items() if head.pool in ONE_VECTOR)
        raise InputError(
            f"freeze = 'backbone' needs a head that reads one vector of a document: {names}"
        )


@torch.inference_mode()
def embed(model: Classifier, dataset: TensorDataset, precision: str) -> dict[str, torch.Tensor]:
    """The `vectors` (rows, most windows, size), float32, that a model's head pools from the windows
    of a dataset's documents."""
    device = devices.default_device()
    model.to(device).eval()
    loader = make_loader(dataset, batch_size=EMBEDDING_BATCH)
    longest = dataset.tensors[1].shape[1]
    size = model.window or longest
    vectors = []
    for ids, mask, _ in loader:
        windows = Windows.of(ids, mask, min(size, mask.shape[1]))
        with devices.autocast(precision, device):
            pooled = model.embed(windows.ids.to(device), windows.mask.to(device)).float().cpu()
        rows = windows.by_document(pooled)
        vectors.append(F.pad(rows, (0, 0, 0, -(-longest // size) - rows.shape[1])))
    return {"vectors": torch.cat(vectors)[evaluation.in_order(loader)].clone()}
