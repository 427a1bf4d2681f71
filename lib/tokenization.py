"""Texts to token ids: batched, never padded beyond the longest row, cached on disk by the content they depend on."""

import dataclasses
import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import TensorDataset

from lib.backbones import fingerprint, load_tokenizer, resolve_backbone
from lib.data import SPLITS, Corpus
from lib.errors import InputError, nearest

TRUNCATIONS = ("head", "tail", "head_tail")


@dataclasses.dataclass(frozen=True)
class Tokens:
    """A corpus as tensors: each split a TensorDataset of ids, mask (rows, longest) and labels, all int32."""

    train: TensorDataset
    dev: TensorDataset
    test: TensorDataset
    lengths: dict[str, np.ndarray]  # by split: tokens a document has before truncation, special tokens included
    max_length: int

    def truncated(self, split: str) -> float:
        """Share of a split's documents that lose tokens."""
        return float(np.mean(self.lengths[split] > self.max_length))


def shorten(body: list[int], room: int, truncation: str) -> list[int]:
    """At most `room` of a document's tokens: its head, its tail, or a quarter from its head and the rest from its tail
    (Sun et al. 2019 keep 128 and 382 of 510)."""
    if len(body) <= room or truncation == "head":
        return body[:room]
    kept = room // 4 if truncation == "head_tail" else 0
    return body[:kept] + body[len(body) - room + kept :]


def encode(
    texts: list[str], backbone: str | Path, *, max_length: int, truncation: str = "head"
) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Token ids and mask (rows, longest row), int32, and each document's length in tokens before truncation.

    Documents longer than `max_length` tokens, the special ones included, are shortened by `truncation`: `head`, `tail`
    or `head_tail`. Raises InputError for another word, or where the backbone cannot read that many.
    """
    if truncation not in TRUNCATIONS:
        raise InputError(f"Unknown truncation {truncation!r}.{nearest(truncation, TRUNCATIONS)}")
    tokenizer = load_tokenizer(resolve_backbone(backbone))
    if not 3 <= max_length <= tokenizer.model_max_length:
        raise InputError(
            f"max_length is {max_length}; the backbone {backbone} reads 3 to {tokenizer.model_max_length} tokens"
        )
    engine = tokenizer.backend_tokenizer
    probe, plain = engine.encode("a").ids, engine.encode("a", add_special_tokens=False).ids
    start = probe.index(plain[0])
    first, last = probe[:start], probe[start + len(plain) :]
    room = max_length - len(first) - len(last)
    bodies = [item.ids for item in engine.encode_batch_fast(texts, add_special_tokens=False)]
    lengths = np.array([len(body) for body in bodies]) + len(first) + len(last)
    kept = np.minimum(lengths, max_length)
    ids = np.full((len(texts), int(kept.max(initial=0))), tokenizer.pad_token_id, dtype=np.int32)
    for row, body in enumerate(bodies):
        ids[row, : kept[row]] = first + shorten(body, room, truncation) + last
    mask = (np.arange(ids.shape[1]) < kept[:, None]).astype(np.int32)
    return torch.from_numpy(ids), torch.from_numpy(mask), lengths


def _cached(texts: list[str], backbone: str, cache: Path | None, **options):
    if cache is None:
        return encode(texts, backbone, **options)
    from safetensors.torch import load_file, save_file

    digest = hashlib.sha256(f"2 {fingerprint(resolve_backbone(backbone))} {sorted(options.items())}".encode())
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    path = Path(cache) / f"{digest.hexdigest()[:32]}.safetensors"
    if not path.exists():
        ids, mask, lengths = encode(texts, backbone, **options)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        save_file({"ids": ids, "mask": mask, "lengths": torch.from_numpy(lengths)}, part)
        os.replace(part, path)
    stored = load_file(path)
    return stored["ids"], stored["mask"], stored["lengths"].numpy()


def tokenize(
    corpus: Corpus, backbone: str, *, max_length: int, truncation: str = "head", cache: Path | None = None
) -> Tokens:
    """Tokenize every split of a corpus (see `encode`); `cache` is a folder that keeps the result by content."""
    datasets, lengths = {}, {}
    for name in SPLITS:
        split = getattr(corpus, name)
        options = {"max_length": max_length, "truncation": truncation}
        ids, mask, lengths[name] = _cached(split.texts, backbone, cache, **options)
        datasets[name] = TensorDataset(ids, mask, torch.from_numpy(split.labels.astype(np.int32)))
    return Tokens(**datasets, lengths=lengths, max_length=max_length)
