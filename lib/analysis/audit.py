"""What to know of a corpus before believing a score on it."""

import re
import unicodedata

import numpy as np
import pandas as pd

from lib.analysis.display import percent
from lib.analysis.duplicates import across
from lib.data import SPLITS, Corpus, Split
from lib.markdown import escape
from lib.rankings import label_counts, label_shares
from lib.tokenization import Tokens

MOST_CLASSES = 50
EXAMPLES = 5  # documents that a row names


def normalise(text: str) -> str:
    """Text without differences in case, width and white space: what counts as a duplicate."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def audit(corpus: Corpus, tokens: Tokens) -> pd.DataFrame:
    """One row a split: rows, share of the smallest and largest class, duplicates, leaks from train,
    token lengths.

    A duplicate equals an earlier document of its split after `normalise`; a leak equals a document
    of train; a conflict is a duplicate or leak whose label differs. With several labels a document:
    how many labels the split has, how many a document, and the share of its gold labels that train
    never has.
    """
    rows = []
    train: dict[str, int | list[int]] = {}  # normalised text -> label
    for name in SPLITS:
        split = getattr(corpus, name)
        lengths = tokens.lengths[name]
        duplicates, seen = _duplicates(split, train)
        train = train or seen
        rows.append(
            {
                "split": name,
                "rows": len(split),
                **_labels(corpus, split),
                **duplicates,
                "tokens, median": int(np.median(lengths)),
                "tokens, 95 %": int(np.quantile(lengths, 0.95)),
                "tokens, longest": int(lengths.max()),
                f"over {tokens.max_length} tokens": percent(tokens.truncated(name)),
            }
        )
    table = pd.DataFrame(rows)
    table = table.fillna({name: 0 for name in table if table[name].isna().any()})
    table.attrs["across"] = True
    return table


def _duplicates(split: Split, train: dict) -> tuple[dict[str, int], dict]:
    """How many documents of a split equal an earlier one, or one of `train` (empty for train
    itself), and how many of these have another label; and the label of each text."""
    duplicates = leaks = conflicts = 0
    seen: dict = {}
    for text, label in zip(map(normalise, split.whole_texts), split.labels.tolist(), strict=True):
        duplicates += text in seen
        leaks += text in train
        conflicts += seen.get(text, train.get(text, label)) != label
        seen.setdefault(text, label)
    counts = {"duplicates": duplicates, "also in train": leaks, "conflicting labels": conflicts}
    return counts, seen


def _labels(corpus: Corpus, split: Split) -> dict[str, str | int]:
    """How the labels of a split are distributed."""
    if corpus.task == "regression":
        low, middle, high = np.quantile(split.labels, [0, 0.5, 1])
        return {"lowest": f"{low:g}", "median": f"{middle:g}", "highest": f"{high:g}"}
    shares = label_shares(split.labels, corpus.num_labels)
    if corpus.multilabel:
        gold = split.labels[split.labels >= 0]
        strange = (gold >= corpus.num_labels).sum() / max(len(gold), 1)
        return {
            "labels": int((shares > 0).sum()),
            "labels a document": f"{len(gold) / len(split):.2f}",
            "most frequent label": percent(shares.max()),
            "gold labels not in train": percent(strange),
        }
    row = {"smallest class": percent(shares.min()), "largest class": percent(shares.max())}
    unseen = ~np.isin(split.labels, corpus.train.labels)
    if unseen.any():
        row["rows of classes not in train"] = int(unseen.sum())
    return row


def balance(corpus: Corpus, tokens: Tokens) -> pd.DataFrame:
    """Rows of each class in every split, the most frequent of train first (up to 50), with train's
    share."""
    counts = {
        name: label_counts(getattr(corpus, name).labels, corpus.num_labels) for name in SPLITS
    }
    order = np.argsort(-counts["train"], kind="stable")[:MOST_CLASSES]
    table = pd.DataFrame({"class": [corpus.label_names[i] for i in order]})
    for name in SPLITS:
        table[name] = counts[name][order]
    shares = counts["train"][order] / len(corpus.train)
    table = table.assign(**{"share of train": [percent(share) for share in shares]})
    if corpus.notes:
        table.attrs["note"] = escape("; ".join(corpus.notes)) + "."
    return table


STRANGE = {  # what -> whether a text has it
    "a character that could not be decoded (�)": re.compile("\ufffd").search,
    "UTF-8 read as Latin-1 (such as Ã©)": re.compile("Ã[\u0080-\u00bf]|â€").search,
    "control characters": re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]").search,
    "markup": re.compile(
        r"</?(br|p|div|a|span|b|i)\b[^>]*>|&(amp|quot|lt|gt|nbsp|#\d+);", re.I
    ).search,
    "a single word": re.compile(r"^\s*\S+\s*$").search,
    "no letter": lambda text: not any(char.isalpha() for char in text),
}
RELABELLED = "the same text with another label"
LONG = "over ten times the median"


def suspicious(corpus: Corpus, tokens: Tokens) -> pd.DataFrame:
    """Documents worth a look, by what is strange in them: how many there are in each split, and
    the first ones' lines in their file (or rows, where they come from none)."""
    places = {what: {name: [] for name in SPLITS} for what in (*STRANGE, RELABELLED, LONG)}
    median = np.median(tokens.lengths["train"])
    seen: dict = {}  # normalised text -> label
    for name in SPLITS:
        split = getattr(corpus, name)
        at = split.rows if split.lines is None else split.lines
        for text, label, place in zip(
            split.whole_texts, split.labels.tolist(), at.tolist(), strict=True
        ):
            for what, has in STRANGE.items():
                if has(text):
                    places[what][name].append(place)
            if seen.setdefault(normalise(text), label) != label:
                places[RELABELLED][name].append(place)
        is_long = np.asarray(tokens.lengths[name]) > 10 * median
        places[LONG][name] = at[is_long].tolist()
    rows = [_places_row(what, by_split) for what, by_split in places.items()]
    rows = [row for row in rows if any(row[name] for name in SPLITS)]
    bad = [f"{row.file} {row.line}: {row.reason}" for row in corpus.bad_rows]
    if bad:
        counts = {"train": len(bad), "dev": 0, "test": 0}
        what = "left out as unusable, of all files"
        rows.append({"what": what, **counts, "first": "; ".join(bad[:2])})
    nothing = {"what": "nothing of what is looked for", **dict.fromkeys(SPLITS, 0), "first": ""}
    return pd.DataFrame(rows or [nothing])


def _places_row(what: str, by_split: dict[str, list[int]]) -> dict:
    first = [f"{name} {place}" for name, places in by_split.items() for place in places]
    counts = {name: len(places) for name, places in by_split.items()}
    return {"what": what, **counts, "first": ", ".join(first[:EXAMPLES])}


def leaks(corpus: Corpus, tokens: Tokens) -> pd.DataFrame:
    """Near-duplicates (`lib.analysis.duplicates`) within each split and across: how many
    documents of a split have one before them in it, how many have one in train or dev, how many
    of these have another label, and the rows of the first."""
    pairs, _, split_of = across(corpus)
    labels = [
        set(np.atleast_1d(row).tolist()) - {-1}
        for name in SPLITS
        for row in getattr(corpus, name).labels
    ]
    rows = np.concatenate([getattr(corpus, name).rows for name in SPLITS])
    table = []
    for i, name in enumerate(SPLITS):
        of_split = pairs[split_of[pairs[:, 1]] == i]
        is_inside = split_of[of_split[:, 0]] == i
        inside = of_split[is_inside]
        outside = of_split[~is_inside]
        relabelled = np.array([labels[a] != labels[b] for a, b in outside.tolist()], bool)
        _, first = np.unique(outside[:, 1], return_index=True)
        examples = [
            f"{name} {rows[b]} ~ {SPLITS[split_of[a]]} {rows[a]}"
            for a, b in outside[first[:EXAMPLES]].tolist()
        ]
        table.append(
            {
                "split": name,
                "rows": int((split_of == i).sum()),
                "near-duplicates within": len(np.unique(inside[:, 1])),
                "near-duplicates of an earlier split": len(np.unique(outside[:, 1])),
                "of these, with another label": len(np.unique(outside[relabelled, 1])),
                "first": ", ".join(examples),
            }
        )
    shown = pd.DataFrame(table)
    shown.attrs["across"] = True
    return shown


AUDITS = {function.__name__: function for function in (audit, balance, suspicious, leaks)}
