"""Features of a frozen backbone: every document is embedded once, and heads are trained on what
was kept."""

import dataclasses
import hashlib
import os
from pathlib import Path

import torch
from torch.utils.data import TensorDataset

from lib import training
from lib.backbones import fingerprint, resolve_backbone
from lib.data import SPLITS
from lib.errors import InputError
from lib.heads import HEADS, ONE_VECTOR
from lib.loaders import make_loader
from lib.models import Classifier
from lib.tokenization import Tokens


def embed_tokens(
    model: Classifier, tokens: Tokens, backbone: str, *, precision: str = "auto", cache: Path | None = None
) -> Tokens:
    """Freeze a model's backbone, and put in the place of each document the one vector that its head
    reads.

    The datasets have vectors (rows, 1, size) for ids, and a mask (rows, 1) of ones: `Classifier`
    hands such vectors to its head. They are computed without dropout. `cache` is a folder that
    keeps them by the content they depend on. Raises InputError where the head reads more than one
    vector with no weights in between.
    """
    pool = getattr(type(model.head), "pool", None)
    if pool not in ONE_VECTOR:
        names = ", ".join(name for name, head in HEADS.items() if head.pool in ONE_VECTOR)
        raise InputError(f"freeze = 'backbone' needs a head that reads one vector of a document: {names}")
    model.backbone.requires_grad_(False)
    about = [fingerprint(resolve_backbone(backbone)), model.backbone.config.num_hidden_layers, pool.__name__]
    about += [training.resolve_precision(precision, training.default_device()), model.packed, model.separator]
    datasets = {}
    for name in SPLITS:
        ids, mask, labels = getattr(tokens, name).tensors
        digest = hashlib.sha256(f"1 {about} {tuple(ids.shape)}".encode())
        digest.update(ids.numpy().data)
        digest.update(mask.numpy().data)
        vectors = _kept(cache, digest.hexdigest()[:32], lambda split=name: _embed(model, tokens, split, precision))
        datasets[name] = TensorDataset(vectors[:, None], torch.ones(len(vectors), 1, dtype=torch.int32), labels)
    return dataclasses.replace(tokens, **datasets)


@torch.inference_mode()
def _embed(model: Classifier, tokens: Tokens, split: str, precision: str) -> torch.Tensor:
    device = training.default_device()
    model.to(device).eval()
    loader = make_loader(getattr(tokens, split), batch_size=128)
    parts = []
    for ids, mask, _ in loader:
        with training.autocast(precision, device):
            parts.append(model.embed(ids.to(device), mask.to(device)).float().cpu())
    return torch.cat(parts)[training.in_order(loader)].clone()


def _kept(cache: Path | None, name: str, make) -> torch.Tensor:
    """What `make` gives, from the cache if it is there."""
    from safetensors.torch import load_file, save_file

    if cache is None:
        return make()
    path = Path(cache) / f"{name}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        save_file({"vectors": make()}, part)
        os.replace(part, path)
    return load_file(path)["vectors"]
