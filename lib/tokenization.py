"""Texts to token ids: batched, and never padded beyond the longest row."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import TensorDataset

from lib.backbones import load_tokenizer, resolve_backbone
from lib.data import SPLITS, Corpus
from lib.errors import InputError, nearest
from lib.pretrained import longest_text
from lib.windows import check_stride, cut

TRUNCATIONS = ("head", "tail", "head_tail", "windows")
WINDOWS = 4  # of a document that are read, unless it is said
CHUNK = 10_000  # documents whose tokens are Python's at once: there they take 20 times the memory

Encoded = tuple[torch.Tensor, torch.Tensor, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Tokens:
    """A corpus as tensors: each split a TensorDataset of ids, mask (rows, longest) and labels,
    all int32 (real numbers: float32)."""

    train: TensorDataset
    dev: TensorDataset
    test: TensorDataset
    # By split: tokens a document has before truncation, special tokens included.
    lengths: dict[str, np.ndarray]
    max_length: int  # of a document that loses none

    def truncated(self, split: str) -> float:
        """Share of a split's documents that lose tokens."""
        return float(np.mean(self.lengths[split] > self.max_length))


def encode(
    texts: list,
    backbone: str | Path,
    *,
    max_length: int,
    truncation: str = "head",
    stride: int | None = None,
    windows: int = WINDOWS,
) -> Encoded:
    """Token ids and mask (rows, longest row), int32, and each document's length in tokens before
    truncation.

    Documents longer than `max_length` tokens, the special ones included, are shortened by
    `truncation`: `head`, `tail` or `head_tail`. Of a pair of texts, the longer one loses tokens
    first. With `windows` a row is of at most so many windows of `max_length` tokens, `stride`
    tokens apart (None: side by side), for a model whose `window` they are. Raises InputError for
    another word, or where the backbone cannot read that many.
    """
    if truncation not in TRUNCATIONS:
        raise InputError(f"Unknown truncation {truncation!r}.{nearest(truncation, TRUNCATIONS)}")
    tokenizer = load_tokenizer(resolve_backbone(backbone))
    longest = longest_text(backbone)
    if max_length < 3 or (longest is not None and max_length > longest):
        limit = "or more" if longest is None else f"to {longest}"
        raise InputError(
            f"max_length is {max_length}; the backbone {backbone} reads 3 {limit} tokens"
        )
    engine = tokenizer.backend_tokenizer
    encode_some = _encode_pairs
    how = {"truncation": truncation}
    if is_single(texts):
        encode_some = _encode_single
        how |= {"stride": stride, "windows": windows}
    tokens = [np.zeros(0, np.int32)]
    row_lengths: list[int] = []
    whole_lengths = [np.zeros(0, np.int64)]
    for start in range(0, len(texts), CHUNK):
        rows, lengths = encode_some(texts[start : start + CHUNK], engine, max_length, **how)
        tokens.append(np.fromiter(itertools.chain.from_iterable(rows), np.int32))
        row_lengths += map(len, rows)
        whole_lengths.append(lengths)
    ids, mask = _padded(np.concatenate(tokens), np.array(row_lengths, int), tokenizer.pad_token_id)
    return ids, mask, np.concatenate(whole_lengths)


def reading_of(settings: Mapping) -> dict:
    """The arguments of `encode` among a run's or a model's settings."""
    names = ["max_length", "truncation"]
    if settings.get("truncation") == "windows":
        names += ["stride", "windows"]
    return {name: settings[name] for name in names if name in settings}


def is_single(texts: list) -> bool:
    """Whether documents are single texts, not pairs of them."""
    return not texts or isinstance(texts[0], str)


def longest_whole(
    backbone: str | Path,
    *,
    max_length: int,
    truncation: str = "head",
    stride: int | None = None,
    windows: int = WINDOWS,
) -> int:
    """The tokens, special ones included, of the longest text that loses none (see `encode`)."""
    if truncation != "windows":
        return max_length
    tokenizer = load_tokenizer(resolve_backbone(backbone))
    room = max_length - tokenizer.num_special_tokens_to_add()
    return max_length + (windows - 1) * check_stride(stride, room)


def tokenize(
    corpus: Corpus, backbone: str, *, encode_texts: Callable[..., Encoded] = encode, **reading
) -> Tokens:
    """Tokenize every split of a corpus; `reading` are the arguments of `encode`.

    `encode_texts` is called as `encode` is, once a split: a caller that keeps the result puts its
    cache around it.
    """
    datasets = {}
    lengths = {}
    for name in SPLITS:
        split = getattr(corpus, name)
        ids, mask, lengths[name] = encode_texts(split.documents, backbone, **reading)
        dtype = np.float32 if corpus.task == "regression" else np.int32
        datasets[name] = TensorDataset(ids, mask, torch.from_numpy(split.labels.astype(dtype)))
    return Tokens(**datasets, lengths=lengths, max_length=longest_whole(backbone, **reading))


def shorten(body: list[int], room: int, truncation: str) -> list[int]:
    """At most `room` of a document's tokens: its head, its tail, or a quarter from its head and
    the rest from its tail (Sun et al. 2019 keep 128 and 382 of 510)."""
    if len(body) <= room or truncation == "head":
        return body[:room]
    from_head = room // 4 if truncation == "head_tail" else 0
    from_tail = room - from_head
    return body[:from_head] + body[len(body) - from_tail :]


def pieces_of(
    body: list[int],
    room: int,
    *,
    truncation: str,
    stride: int | None = None,
    windows: int = WINDOWS,
) -> list[list[int]]:
    """What is read of a document's tokens: its windows of `room` tokens, or one piece."""
    if truncation == "windows":
        return cut(body, room, check_stride(stride, room), windows)
    return [shorten(body, room, truncation)]


def _encode_single(
    texts: list[str], engine, max_length: int, **how
) -> tuple[list[list[int]], np.ndarray]:
    """Ids of single texts and their lengths before they were shortened to pieces, each of which
    stands between the special tokens; `how` as in `pieces_of`."""
    start, end = special_tokens(engine)
    room = max_length - len(start) - len(end)
    bodies = [item.ids for item in engine.encode_batch_fast(texts, add_special_tokens=False)]
    lengths = np.array([len(body) for body in bodies]) + len(start) + len(end)
    rows = []
    for body in bodies:
        framed = [[*start, *piece, *end] for piece in pieces_of(body, room, **how)]
        rows.append(list(itertools.chain.from_iterable(framed)))
    return rows, lengths


def special_tokens(engine) -> tuple[list[int], list[int]]:
    """The ids that the tokenizer puts before and after a single text."""
    bare = engine.encode("a", add_special_tokens=False).ids
    framed = engine.encode("a").ids
    start = framed.index(bare[0])
    return framed[:start], framed[start + len(bare) :]


def _encode_pairs(
    pairs: list[tuple[str, str]], engine, max_length: int, truncation: str
) -> tuple[list[list[int]], np.ndarray]:
    """Ids of pairs in the tokenizer's own layout, those that are too long once more with its
    truncation, and their lengths before."""
    if truncation in ("head_tail", "windows"):
        raise InputError(
            f"truncation = {truncation!r} is for single texts; pairs are shortened by head or tail"
        )
    rows = [item.ids for item in engine.encode_batch_fast(pairs)]
    lengths = np.array([len(row) for row in rows])
    too_long = np.flatnonzero(lengths > max_length)
    with pairs_shortened(engine, max_length, truncation):
        shortened = engine.encode_batch_fast([pairs[i] for i in too_long])
    for place, item in zip(too_long, shortened, strict=True):
        rows[place] = item.ids
    return rows, lengths


@contextmanager
def pairs_shortened(engine, max_length: int, truncation: str) -> Iterator[None]:
    """Meanwhile, the tokenizer shortens pairs of texts, the longer one first: by head or tail."""
    engine.enable_truncation(max_length, direction="right" if truncation == "head" else "left")
    try:
        yield
    finally:
        engine.no_truncation()


def _padded(
    tokens: np.ndarray, lengths: np.ndarray, pad_id: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask (rows, longest row), int32, of the tokens of rows, one after the other."""
    filled = np.arange(lengths.max(initial=0)) < lengths[:, None]
    ids = np.full(filled.shape, pad_id, dtype=np.int32)
    ids[filled] = tokens
    return torch.from_numpy(ids), torch.from_numpy(filled.astype(np.int32))
