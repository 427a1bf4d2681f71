"""Texts to token ids: batched, never padded beyond the longest row, cached on disk by the
content they depend on."""

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
    """A corpus as tensors: each split a TensorDataset of ids, mask (rows, longest) and labels,
    all int32 (real numbers: float32)."""

    train: TensorDataset
    dev: TensorDataset
    test: TensorDataset
    lengths: dict[
        str, np.ndarray
    ]  # by split: tokens a document has before truncation, special tokens included
    max_length: int

    def truncated(self, split: str) -> float:
        """Share of a split's documents that lose tokens."""
        return float(np.mean(self.lengths[split] > self.max_length))


def shorten(body: list[int], room: int, truncation: str) -> list[int]:
    """At most `room` of a document's tokens: its head, its tail, or a quarter from its head and
    the rest from its tail (Sun et al. 2019 keep 128 and 382 of 510)."""
    if len(body) <= room or truncation == "head":
        return body[:room]
    kept = room // 4 if truncation == "head_tail" else 0
    return body[:kept] + body[len(body) - room + kept :]


def encode(
    texts: list, backbone: str | Path, *, max_length: int, truncation: str = "head"
) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Token ids and mask (rows, longest row), int32, and each document's length in tokens before
    truncation.

    Documents longer than `max_length` tokens, the special ones included, are shortened by
    `truncation`: `head`, `tail` or `head_tail`. Of a pair of texts, the longer one loses tokens
    first. Raises InputError for another word, or where the backbone cannot read that many.
    """
    if truncation not in TRUNCATIONS:
        raise InputError(f"Unknown truncation {truncation!r}.{nearest(truncation, TRUNCATIONS)}")
    tokenizer = load_tokenizer(resolve_backbone(backbone))
    if not 3 <= max_length <= tokenizer.model_max_length:
        raise InputError(
            f"max_length is {max_length}; the backbone {backbone} reads 3 to {tokenizer.model_max_length} tokens"
        )
    engine = tokenizer.backend_tokenizer
    if texts and not isinstance(texts[0], str):
        return _encode_pairs(texts, tokenizer, max_length, truncation)
    probe, plain = engine.encode("a").ids, engine.encode("a", add_special_tokens=False).ids
    start = probe.index(plain[0])
    first, last = probe[:start], probe[start + len(plain) :]
    room = max_length - len(first) - len(last)
    bodies = [item.ids for item in engine.encode_batch_fast(texts, add_special_tokens=False)]
    lengths = np.array([len(body) for body in bodies]) + len(first) + len(last)
    return *_padded(
        [first + shorten(body, room, truncation) + last for body in bodies], tokenizer
    ), lengths


def _padded(rows: list[list[int]], tokenizer) -> tuple[torch.Tensor, torch.Tensor]:
    kept = np.array([len(row) for row in rows], dtype=np.int64)
    ids = np.full((len(rows), int(kept.max(initial=0))), tokenizer.pad_token_id, dtype=np.int32)
    for row, body in enumerate(rows):
        ids[row, : kept[row]] = body
    mask = (np.arange(ids.shape[1]) < kept[:, None]).astype(np.int32)
    return torch.from_numpy(ids), torch.from_numpy(mask)


def _encode_pairs(texts: list, tokenizer, max_length: int, truncation: str):
    """Pairs in the tokenizer's own layout, those that are too long once more with its
    truncation."""
    if truncation == "head_tail":
        raise InputError(
            "truncation = 'head_tail' is for single texts; pairs are shortened by head or tail"
        )
    engine = tokenizer.backend_tokenizer
    rows = [item.ids for item in engine.encode_batch_fast(texts)]
    lengths = np.array([len(row) for row in rows])
    long = np.flatnonzero(lengths > max_length)
    engine.enable_truncation(max_length, direction="right" if truncation == "head" else "left")
    try:
        for place, item in zip(
            long, engine.encode_batch_fast([texts[i] for i in long]), strict=True
        ):
            rows[place] = item.ids
    finally:
        engine.no_truncation()
    return *_padded(rows, tokenizer), lengths


def _cached(texts: list, backbone: str, cache: Path | None, **options):
    if cache is None:
        return encode(texts, backbone, **options)
    from safetensors.torch import load_file, save_file

    kind = " pairs" if texts and not isinstance(texts[0], str) else ""
    digest = hashlib.sha256(
        f"2 {fingerprint(resolve_backbone(backbone))} {sorted(options.items())}{kind}".encode()
    )
    for text in texts:
        for part in (text,) if isinstance(text, str) else text:
            digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
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
    corpus: Corpus,
    backbone: str,
    *,
    max_length: int,
    truncation: str = "head",
    cache: Path | None = None,
) -> Tokens:
    """Tokenize every split of a corpus (see `encode`); `cache` is a folder that keeps the result
    by content."""
    datasets, lengths = {}, {}
    for name in SPLITS:
        split = getattr(corpus, name)
        options = {"max_length": max_length, "truncation": truncation}
        ids, mask, lengths[name] = _cached(split.documents, backbone, cache, **options)
        real = split.labels.dtype.kind == "f"
        datasets[name] = TensorDataset(
            ids, mask, torch.from_numpy(split.labels.astype("f4" if real else "i4"))
        )
    return Tokens(**datasets, lengths=lengths, max_length=max_length)
