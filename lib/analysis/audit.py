"""What to know of a corpus before believing a score on it."""

import re
import unicodedata

import numpy as np
import pandas as pd

from lib.analysis.duplicates import across
from lib.data import SPLITS, Corpus
from lib.metrics import label_counts
from lib.runs.health import label_shares
from lib.tokenization import Tokens


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
    rows, train, classes_of_train = [], {}, set(corpus.train.labels.ravel().tolist())
    for name in SPLITS:
        split, seen = getattr(corpus, name), {}
        duplicates = leaks = conflicts = 0
        for text, label in zip(
            map(normalise, split.whole_texts), split.labels.tolist(), strict=True
        ):
            duplicates += text in seen
            leaks += name != "train" and text in train
            conflicts += seen.get(text, train.get(text, label)) != label
            seen.setdefault(text, label)
        train = train or seen
        if corpus.task == "regression":
            low, middle, high = np.quantile(split.labels, [0, 0.5, 1])
            classes = {"lowest": f"{low:g}", "median": f"{middle:g}", "highest": f"{high:g}"}
        else:
            share = label_shares(split.labels, corpus.num_labels)
            classes = {
                "smallest class": f"{share.min():.1%}",
                "largest class": f"{share.max():.1%}",
            }
        if corpus.task == "classification" and (
            strange := set(split.labels.tolist()) - classes_of_train
        ):
            classes["rows of classes not in train"] = int(
                np.isin(split.labels, list(strange)).sum()
            )
        if corpus.multilabel:
            gold = split.labels[split.labels >= 0]
            classes = {
                "labels": int((share > 0).sum()),
                "labels a document": f"{len(gold) / len(split):.2f}",
                "most frequent label": f"{share.max():.1%}",
                "gold labels not in train": f"{(gold >= corpus.num_labels).mean():.1%}",
            }
        lengths = tokens.lengths[name]
        rows.append(
            {
                "split": name,
                "rows": len(split),
                **classes,
                "duplicates": duplicates,
                "also in train": leaks,
                "conflicting labels": conflicts,
                "tokens, median": int(np.median(lengths)),
                "tokens, 95 %": int(np.quantile(lengths, 0.95)),
                "tokens, longest": int(lengths.max()),
                f"over {tokens.max_length} tokens": f"{tokens.truncated(name):.1%}",
            }
        )
    table = pd.DataFrame(rows)
    return table.fillna({name: 0 for name in table if table[name].isna().any()})


def balance(corpus: Corpus, tokens: Tokens, most: int = 50) -> pd.DataFrame:
    """Rows of each class in every split, the most frequent of train first (up to `most`), with
    train's share."""
    counts = {
        name: label_counts(getattr(corpus, name).labels, corpus.num_labels) for name in SPLITS
    }
    order = np.argsort(-counts["train"], kind="stable")[:most]
    table = pd.DataFrame({"class": [corpus.label_names[i] for i in order]})
    for name in SPLITS:
        table[name] = counts[name][order]
    return table.assign(
        **{"share of train": [f"{n / len(corpus.train):.1%}" for n in counts["train"][order]]}
    )


STRANGE = {  # what -> whether a text has it
    "a character that could not be decoded (�)": lambda text: "\ufffd" in text,
    "UTF-8 read as Latin-1 (such as Ã©)": re.compile("Ã[\u0080-\u00bf]|â€").search,
    "control characters": re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]").search,
    "markup": re.compile(
        r"</?(br|p|div|a|span|b|i)\b[^>]*>|&(amp|quot|lt|gt|nbsp|#\d+);", re.I
    ).search,
    "a single word": lambda text: len(text.split()) == 1,
    "no letter": lambda text: not any(char.isalpha() for char in text),
}


def suspicious(corpus: Corpus, tokens: Tokens) -> pd.DataFrame:
    """Documents worth a look, by what is strange in them: how many there are in each split, and
    the first ones' lines in their file (or rows, where they come from none)."""
    found: dict[str, dict[str, list]] = {what: {name: [] for name in SPLITS} for what in STRANGE}
    found |= {
        "the same text with another label": {name: [] for name in SPLITS},
        "over ten times the median": {},
    }
    median, seen = np.median(tokens.lengths["train"]), {}
    for name in SPLITS:
        split = getattr(corpus, name)
        places = split.rows if split.lines is None else split.lines
        for text, label, place in zip(
            split.whole_texts, split.labels.tolist(), places.tolist(), strict=True
        ):
            for what, has in STRANGE.items():
                if has(text):
                    found[what][name].append(place)
            if seen.setdefault(normalise(text), label) != label:
                found["the same text with another label"][name].append(place)
        long = np.asarray(tokens.lengths[name]) > 10 * median
        found["over ten times the median"][name] = places[long].tolist()
    rows = []
    for what, splits in found.items():
        if not any(splits.values()):
            continue
        first = [f"{name} {place}" for name, places in splits.items() for place in places][:5]
        rows.append(
            {
                "what": what,
                **{n: len(places) for n, places in splits.items()},
                "first": ", ".join(first),
            }
        )
    bad = [f"{row.file} {row.line}: {row.reason}" for row in corpus.bad_rows]
    left = {"what": "left out as unusable, of all files", "train": len(bad), "dev": 0, "test": 0}
    rows += [left | {"first": "; ".join(bad[:2])}] if bad else []
    return pd.DataFrame(
        rows or [{"what": "nothing of what is looked for", **dict.fromkeys(SPLITS, 0), "first": ""}]
    )


def leaks(corpus: Corpus, tokens: Tokens, most: int = 5) -> pd.DataFrame:
    """Near-duplicates (`lib.analysis.duplicates`) within each split and across: how many
    documents of a split have one before them in it, how many have one in train or dev, how many
    of these have another label, and the rows of the first."""
    pairs, _, split = across(corpus)
    labels = [
        set(np.atleast_1d(row).tolist()) - {-1}
        for name in SPLITS
        for row in getattr(corpus, name).labels
    ]
    rows = np.concatenate([getattr(corpus, name).rows for name in SPLITS])
    table = []
    for i, name in enumerate(SPLITS):
        own = pairs[split[pairs[:, 1]] == i]
        inside, outside = own[split[own[:, 0]] == i], own[split[own[:, 0]] != i]
        apart = np.array([labels[a] != labels[b] for a, b in outside.tolist()], bool)
        _, first = np.unique(outside[:, 1], return_index=True)
        told = [
            f"{name} {rows[b]} ~ {SPLITS[split[a]]} {rows[a]}"
            for a, b in outside[first[:most]].tolist()
        ]
        table.append(
            {
                "split": name,
                "rows": int((split == i).sum()),
                "near-duplicates within": len(np.unique(inside[:, 1])),
                "near-duplicates of an earlier split": len(np.unique(outside[:, 1])),
                "of these, with another label": len(np.unique(outside[apart, 1])),
                "first": ", ".join(told),
            }
        )
    return pd.DataFrame(table)


AUDITS = {function.__name__: function for function in (audit, balance, suspicious, leaks)}
