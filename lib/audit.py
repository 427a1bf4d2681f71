"""What to know of a corpus before believing a score on it."""

import unicodedata

import numpy as np
import pandas as pd

from lib.data import SPLITS, Corpus
from lib.health import label_shares
from lib.tokenization import Tokens


def normalise(text: str) -> str:
    """Text without differences in case, width and white space: what counts as a duplicate."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def audit(corpus: Corpus, tokens: Tokens) -> pd.DataFrame:
    """One row a split: rows, share of the smallest and largest class, duplicates, leaks from train, token lengths.

    A duplicate equals an earlier document of its split after `normalise`; a leak equals a document of train; a conflict
    is a duplicate or leak whose label differs. With several labels a document: how many labels the split has, how many
    a document, and the share of its gold labels that train never has.
    """
    rows, train = [], {}
    for name in SPLITS:
        split, seen = getattr(corpus, name), {}
        duplicates = leaks = conflicts = 0
        for text, label in zip(map(normalise, split.texts), split.labels.tolist(), strict=True):
            duplicates += text in seen
            leaks += name != "train" and text in train
            conflicts += seen.get(text, train.get(text, label)) != label
            seen.setdefault(text, label)
        train = train or seen
        share = label_shares(split.labels, corpus.num_labels)
        classes = {"smallest class": f"{share.min():.1%}", "largest class": f"{share.max():.1%}"}
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
    return pd.DataFrame(rows)
