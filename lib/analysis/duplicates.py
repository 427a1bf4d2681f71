"""Near-duplicate documents: candidates by MinHash (Broder 1997) and banding, then their exact
similarity."""

import re
from collections.abc import Iterator
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np

from lib.data import SPLITS, Corpus
from lib.garbage import no_search_for_garbage

SIMILAR = 0.6  # Jaccard similarity of word pairs: about one word in nine of a text of forty changed
SLOTS = 128  # of a signature
BANDS = 32  # of four slots each: they find 98.8 % of the pairs at SIMILAR, 99.98 % at 0.7
REACH = 8  # documents before it in its bucket that a document is compared with, besides the first
CHUNK = 10_000  # texts whose word pairs are strings at once
PAIRS = 100_000  # that are compared at once


class Sets(NamedTuple):
    """Sets of word pairs, one after the other, each pair as its hash."""

    hashes: np.ndarray  # (members of all sets,), uint64
    starts: np.ndarray  # (rows + 1,): where each set begins, and where the last one ends


def shingles(text: str) -> list[str]:
    """Pairs of neighbouring words, without case and punctuation, each once; of a single word, the
    word."""
    words = re.findall(r"\w+", text.casefold())
    return list({f"{a} {b}": None for a, b in pairwise(words)}) or words or [text]


@no_search_for_garbage()
def hashed(texts: list[str]) -> Sets:
    """The shingles of texts. Few are strings at a time: those of a million texts are 6 GB."""
    from rensa import RMinHash

    hashes = []
    sizes = [0]
    for start in range(0, len(texts), CHUNK):
        sets = RMinHash.hash_token_sets([shingles(text) for text in texts[start : start + CHUNK]])
        hashes.append(np.fromiter(chain.from_iterable(sets), np.uint64))
        sizes += map(len, sets)
    return Sets(np.concatenate(hashes), np.cumsum(sizes))


def signatures(sets: Sets) -> np.ndarray:
    """MinHash signatures (rows, SLOTS), 32 bits a slot."""
    from rensa import RMinHash

    rows = len(sets.starts) - 1
    signed = np.empty((rows, SLOTS), np.uint32)
    for start in range(0, rows, CHUNK):
        starts = sets.starts[start : start + CHUNK + 1]
        some = sets.hashes[starts[0] : starts[-1]]
        digests = RMinHash.digest_matrix_from_flat_token_hashes(
            some, (starts - starts[0]).astype(np.uint64), SLOTS, 42
        )
        signed[start : start + CHUNK] = digests.to_rows()
    return signed


def candidates(signed: np.ndarray) -> np.ndarray:
    """Pairs of positions (pairs, 2), the earlier first, that share a band of their signatures:
    each document with the first of its bucket, and with up to REACH just before it, so that a
    bucket of thousands stays small work."""
    rows = len(signed)
    codes = np.zeros(0, np.int64)  # first * rows + second
    for band in np.split(signed, BANDS, axis=1):
        codes = distinct([codes, *(codes_of_band(band))])
    return np.stack([codes // rows, codes % rows], axis=1)


def codes_of_band(band: np.ndarray) -> Iterator[np.ndarray]:
    """The pairs that agree in a band (rows, slots), as parts (pairs,) of first * rows + second."""
    rows = len(band)
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
        yield order[same] * rows + order[same + step]
    later = np.flatnonzero(first < np.arange(rows) - REACH)
    yield order[first[later]] * rows + order[later]


def distinct(parts: list[np.ndarray]) -> np.ndarray:
    """The distinct numbers, sorted (distinct,), of all parts (numbers,). np.unique takes twenty
    times as long."""
    numbers = np.sort(np.concatenate(parts))
    return numbers[np.diff(numbers, prepend=-1) != 0]


def near_duplicates(texts: list[str], similar: float = SIMILAR) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of positions (pairs, 2) of texts, the earlier first, and the Jaccard similarity of
    their word pairs (pairs,), at least `similar`. Of many copies of one text, not all pairs are
    listed."""
    if len(texts) < 2:
        return np.zeros((0, 2), np.int64), np.zeros(0)
    sets = hashed(texts)
    signed = signatures(sets)
    pairs = candidates(signed)
    portions = np.array_split(pairs, len(pairs) // PAIRS + 1)
    estimates = [(signed[some[:, 0]] == signed[some[:, 1]]).mean(1) for some in portions]
    # 0.2 is over four standard deviations of the estimate
    pairs = pairs[np.concatenate(estimates) >= similar - 0.2]
    values = similarities(sets, pairs)
    return pairs[values >= similar], values[values >= similar]


def similarities(sets: Sets, pairs: np.ndarray) -> np.ndarray:
    """The Jaccard similarity (pairs,) of sets at pairs of positions (pairs, 2)."""
    from scipy.sparse import csr_array

    columns = (sets.hashes >> np.uint64(1)).astype(np.int64)  # a column's number is signed
    rows = len(sets.starts) - 1
    has = csr_array(
        (np.ones(len(columns), np.int32), columns, sets.starts), shape=(rows, 2**63 - 1)
    )
    has.sort_indices()
    sizes = np.diff(sets.starts)
    values = []
    for some in np.array_split(pairs, len(pairs) // PAIRS + 1):
        first, second = some.T
        shared = has[first].multiply(has[second]).sum(axis=1)
        values.append(shared / (sizes[first] + sizes[second] - shared))
    return np.concatenate(values)


def across(corpus: Corpus) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Near-duplicates of a corpus: pairs of positions over all splits, one after the other;
    their similarity; and the split of each position, as its number in `lib.data.SPLITS`."""
    splits = [getattr(corpus, name) for name in SPLITS]
    pairs, values = near_duplicates([text for split in splits for text in split.whole_texts])
    return pairs, values, np.repeat(range(len(SPLITS)), [len(split) for split in splits])


def leaked(corpus: Corpus) -> list[int]:
    """The rows of test that are near-duplicates of a document of train or dev."""
    pairs, _, split = across(corpus)
    test = SPLITS.index("test")
    leaks = pairs[(split[pairs[:, 0]] != test) & (split[pairs[:, 1]] == test), 1]
    first_of_test = np.flatnonzero(split == test)[0]
    return corpus.test.rows[np.unique(leaks) - first_of_test].tolist()
