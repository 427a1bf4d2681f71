"""Near-duplicate documents: candidates by MinHash (Broder 1997) and banding, then their exact
similarity."""

import re
from itertools import pairwise

import numpy as np

from lib.data import SPLITS, Corpus

SIMILAR = 0.6  # Jaccard similarity of word pairs: about one word in nine of a text of forty changed
SLOTS, BANDS = (
    128,
    32,
)  # of a signature; four slots a band find 98.8 % of the pairs at SIMILAR, 99.98 % at 0.7
REACH = 8  # documents before it in its bucket that a document is compared with, besides the first
CHUNK = 10_000  # documents whose signatures are Python lists at once


def shingles(text: str) -> list[str]:
    """Pairs of neighbouring words, without case and punctuation; of a single word, the word."""
    words = re.findall(r"\w+", text.casefold())
    return [f"{a} {b}" for a, b in pairwise(words)] or words or [text]


def signatures(parts: list[list[str]]) -> np.ndarray:
    """MinHash signatures (rows, SLOTS) of sets of strings."""
    from rensa import RMinHash

    chunks = (parts[i : i + CHUNK] for i in range(0, len(parts), CHUNK))
    return np.concatenate(
        [np.array(RMinHash.digests_from_token_sets(c, SLOTS, 42), np.uint64) for c in chunks]
    )


def candidates(signed: np.ndarray) -> np.ndarray:
    """Pairs of positions (pairs, 2), the earlier first, that share a band of their signatures:
    each document with the first of its bucket, and with up to REACH just before it, so that a
    bucket of thousands stays small work."""
    rows, found = len(signed), []
    for band in np.split(signed, BANDS, axis=1):
        key = np.zeros(rows, np.uint64)
        for column in band.T:
            key = (key ^ column) * np.uint64(0x9E3779B97F4A7C15)  # wraps around
            key ^= key >> np.uint64(29)
        order = np.argsort(key, kind="stable")
        key = key[order]
        start = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
        first = np.repeat(start, np.diff(np.append(start, rows)))
        for step in range(1, REACH + 1):
            same = np.flatnonzero(key[step:] == key[:-step])
            found.append(order[same] * rows + order[same + step])
        later = np.flatnonzero(first < np.arange(rows) - REACH)
        found.append(order[first[later]] * rows + order[later])
    pairs = np.unique(np.concatenate(found))
    return np.stack([pairs // rows, pairs % rows], axis=1)


def near_duplicates(texts: list[str], similar: float = SIMILAR) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of positions (pairs, 2) of texts, the earlier first, and the Jaccard similarity of
    their word pairs (pairs,), at least `similar`. Of many copies of one text, not all pairs are
    listed."""
    if len(texts) < 2:
        return np.zeros((0, 2), np.int64), np.zeros(0)
    parts = [shingles(text) for text in texts]
    signed = signatures(parts)
    pairs = candidates(signed)
    portions = np.array_split(pairs, len(pairs) // 100_000 + 1)
    likely = [(signed[some[:, 0]] == signed[some[:, 1]]).mean(1) for some in portions]
    pairs = pairs[
        np.concatenate(likely) >= similar - 0.2
    ]  # over four standard deviations of the estimate below
    values = np.array([_jaccard(parts[a], parts[b]) for a, b in pairs.tolist()])
    return pairs[values >= similar], values[values >= similar]


def _jaccard(one: list[str], other: list[str]) -> float:
    one, other = set(one), set(other)
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def across(corpus: Corpus) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Near-duplicates of a corpus: pairs of positions over all splits, one after the other;
    their similarity; and the split of each position, as its number in `lib.data.SPLITS`."""
    pairs, values = near_duplicates(
        [text for name in SPLITS for text in getattr(corpus, name).whole_texts]
    )
    return (
        pairs,
        values,
        np.repeat(range(len(SPLITS)), [len(getattr(corpus, name)) for name in SPLITS]),
    )


def leaked(corpus: Corpus) -> list[int]:
    """The rows of test that are near-duplicates of a document of train or dev."""
    pairs, _, split = across(corpus)
    test = SPLITS.index("test")
    found = pairs[(split[pairs[:, 0]] != test) & (split[pairs[:, 1]] == test), 1]
    return corpus.test.rows[np.unique(found) - np.flatnonzero(split == test)[0]].tolist()
