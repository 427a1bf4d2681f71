"""Near-duplicate documents: candidates by MinHash (Broder 1997) and banding, then their exact
similarity."""

import re
from itertools import groupby, pairwise
from operator import itemgetter

import numpy as np

from lib.data import SPLITS, Corpus
from lib.garbage import no_search_for_garbage

SIMILAR = 0.6  # Jaccard similarity of word pairs: about one word in nine of a text of forty changed
SLOTS = 128  # of a signature
BANDS = 32  # of four slots each: they find 98.8 % of the pairs at SIMILAR, 99.98 % at 0.7
REACH = 8  # documents before it in its bucket that a document is compared with, besides the first
CHUNK = 10_000  # documents whose signatures are Python lists at once


def shingles(text: str) -> list[str]:
    """Pairs of neighbouring words, without case and punctuation, each once; of a single word, the
    word."""
    words = re.findall(r"\w+", text.casefold())
    return list({f"{a} {b}": None for a, b in pairwise(words)}) or words or [text]


def signatures(sets: list[list[str]]) -> np.ndarray:
    """MinHash signatures (rows, SLOTS) of sets of strings."""
    from rensa import RMinHash

    signed = []
    for start in range(0, len(sets), CHUNK):
        digests = RMinHash.digests_from_token_sets(sets[start : start + CHUNK], SLOTS, 42)
        signed.append(np.array(digests, np.uint64))
    return np.concatenate(signed)


def candidates(signed: np.ndarray) -> np.ndarray:
    """Pairs of positions (pairs, 2), the earlier first, that share a band of their signatures:
    each document with the first of its bucket, and with up to REACH just before it, so that a
    bucket of thousands stays small work."""
    rows = len(signed)
    codes = []  # first * rows + second
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
            codes.append(order[same] * rows + order[same + step])
        later = np.flatnonzero(first < np.arange(rows) - REACH)
        codes.append(order[first[later]] * rows + order[later])
    codes = np.sort(np.concatenate(codes))  # np.unique takes twenty times as long
    pairs = codes[np.diff(codes, prepend=-1) != 0]
    return np.stack([pairs // rows, pairs % rows], axis=1)


@no_search_for_garbage()
def near_duplicates(texts: list[str], similar: float = SIMILAR) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of positions (pairs, 2) of texts, the earlier first, and the Jaccard similarity of
    their word pairs (pairs,), at least `similar`. Of many copies of one text, not all pairs are
    listed."""
    if len(texts) < 2:
        return np.zeros((0, 2), np.int64), np.zeros(0)
    word_pairs = [shingles(text) for text in texts]
    signed = signatures(word_pairs)
    pairs = candidates(signed)
    portions = np.array_split(pairs, len(pairs) // 100_000 + 1)
    estimates = [(signed[some[:, 0]] == signed[some[:, 1]]).mean(1) for some in portions]
    # 0.2 is over four standard deviations of the estimate
    pairs = pairs[np.concatenate(estimates) >= similar - 0.2]
    values = similarities(word_pairs, pairs)
    return pairs[values >= similar], values[values >= similar]


def similarities(sets: list[list[str]], pairs: np.ndarray) -> np.ndarray:
    """The Jaccard similarity of the sets, each a list without repetitions, at pairs of positions
    (pairs, 2); quick where pairs of one set stand together."""
    values = []
    for first, of_first in groupby(pairs.tolist(), key=itemgetter(0)):
        one = set(sets[first])
        for _, second in of_first:
            other = sets[second]
            shared = len(one.intersection(other))
            values.append(shared / (len(one) + len(other) - shared))
    return np.array(values)


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
