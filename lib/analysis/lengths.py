"""How much of long documents a transformer reads, and what that does to its scores."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd

from lib.analysis.answers import gap
from lib.analysis.comparisons import comparison_table
from lib.analysis.display import percent, score, spelled, with_metrics
from lib.analysis.findings import best_group, difference_of
from lib.analysis.names import display_name
from lib.analysis.pairs import Pair, pairs_of
from lib.analysis.predictions import Predictions, group_of
from lib.analysis.references import reference_scores
from lib.analysis.scores import shares_of
from lib.analysis.stats import mean_and_interval
from lib.metrics import SHARE

WHOLE = "tfidf"  # the reference that reads whole documents, and the one that reads as much
SAME = "tfidf_same_text"
WINDOWS = "windows"  # the truncation that reads several windows of a document
READ = {  # truncation -> what is read of a document that is longer, of so many tokens
    "head": "the first {max_length} tokens",
    "tail": "the last {max_length} tokens",
    "head_tail": "{max_length} tokens from the head and the tail",
    WINDOWS: "up to {windows} windows of {max_length} tokens",
}


def by_length(p: Predictions, *, by: str, bins: int = 4, max_length: int) -> pd.DataFrame:
    """Test accuracy by document length, in bins of equally many documents, with the share that
    is truncated; of the references, TF-IDF on the whole text alone."""
    rows = []
    for group in p.groups(by):
        if group.is_reference and group.name != WHOLE:
            continue
        runs = group.counted_once
        edges = np.quantile(group.tokens, np.linspace(0, 1, bins + 1))
        bin_of = np.clip(np.searchsorted(edges, group.tokens, side="right") - 1, 0, bins - 1)
        for i in range(bins):
            inside = bin_of == i
            if not inside.any():  # documents of one length share a bin
                continue
            lengths = group.tokens[inside]
            right = runs.right[:, inside].astype(float)
            row = {
                by: display_name(group.name),
                "tokens": f"{lengths.min()}–{lengths.max()}",
                "documents": int(inside.sum()),
                "truncated": percent((lengths > max_length).mean(), 0),
            }
            sample = shares_of(runs, right.mean(1), right)
            row |= mean_and_interval("accuracy", sample, SHARE)
            rows.append(row)
    return with_metrics(pd.DataFrame(rows), {"accuracy": "accuracy"})


def most_read(config: Mapping) -> int:
    """The most tokens of a document that a run of this configuration reads: of windows, without
    the special tokens that each further one needs, which are two or three."""
    if config["truncation"] != WINDOWS:
        return config["max_length"]
    stride = config["stride"] or config["max_length"]
    return config["max_length"] + (config["windows"] - 1) * stride


def read_in_words(config: Mapping) -> str:
    """What a run of this configuration reads of a longer document: `the first 256 tokens`."""
    return READ[config["truncation"]].format(**config)


def share_read_of(p: Predictions) -> float:
    """The mean share of a test document that the trained runs read; they are of one
    configuration but for their seeds."""
    config = next(iter(p.trained.values()))["config"]
    tokens = p.frame.loc[p.frame["split"] == "test", "tokens"]
    tokens = tokens[tokens > 0]
    if not len(tokens):
        return 1.0
    return float((np.minimum(tokens, most_read(config)) / tokens).mean())


def share_read(
    p: Predictions, *, by: str, max_length: int, what: str = "text", metric: str = "accuracy"
) -> str:
    """How much of the test documents, of which `what` is one, the transformer reads, and what
    TF-IDF scores on as much."""
    tokens = p.groups(by)[0].tokens
    config = next(iter(p.trained.values()))["config"]
    if config["truncation"] == WINDOWS:
        return (
            f"Of a {what} longer than {max_length} tokens, up to {config['windows']} windows of as "
            f"many are read: on average {percent(share_read_of(p))} of a {what}."
        )
    if (tokens <= max_length).all():
        return f"The transformer reads every {what} of test to its end."
    share = (np.minimum(tokens, max_length) / tokens).mean()
    text = (
        f"The transformer reads at most {max_length} tokens, on average {percent(share, 0)} of a "
        f"{what}; {percent((tokens > max_length).mean(), 0)} of the {what}s are longer."
    )
    scores = reference_scores(p, metric=metric)
    names = [display_name(name) for name in (SAME, WHOLE)]
    if not scores.keys() >= {*names}:
        return text
    same, whole = (score(scores[name], metric) for name in names)
    return f"{text} TF-IDF on the same text reaches {same}, on the whole text {whole}."


def whole_and_longer(p: Predictions, *, by: str, max_length: int, what: str = "text") -> str:
    """What the group that dev chooses gets right of the test documents that it reads to their end,
    and of the longer ones, beside TF-IDF on whole texts."""
    group = best_group(p, by=by)
    who = spelled(group) if len(p.only(p.trained).groups(by)) > 1 else "it"
    p = p.keep(lambda run: str(run["config"][by]) == group)
    p = p.only({key: run for key, run in p.runs.items() if not _reads_less(run)})
    is_test = p.frame["split"] == "test"
    is_longer = is_test & (p.frame["tokens"] > max_length)
    if not is_longer.any() or is_longer[is_test].all():
        return f"{'No' if is_longer.any() else 'Every'} {what} of test is read to its end."
    pairs: list[Pair] = []
    numbers = []
    shares = []
    for left_out in (is_longer, is_test & ~is_longer):
        part = dataclasses.replace(p, frame=p.frame[~left_out])
        pairs += pairs_of(part, by=by, metric="accuracy")
        right = group_of(part, by, group).right
        numbers.append(f"{right.shape[1]:,}")
        shares.append(percent(right.mean()))
    table = comparison_table(pairs, [pair.name for pair in pairs])
    gaps = []
    for i in range(len(pairs)):
        row = difference_of(table.iloc[[i]], group, display_name(WHOLE), "accuracy")
        gaps.append(gap(row, "accuracy", "TF-IDF on whole texts"))
    return (
        f"Of the {numbers[0]} {what}s that it reads to their end, {who} gets "
        f"{shares[0]} right, {gaps[0]}; of the {numbers[1]} longer ones {shares[1]}, {gaps[1]}."
    )


def _reads_less(run: dict) -> bool:
    """Whether a run is a reference other than TF-IDF on whole texts."""
    return run["config"].get("reference") not in (None, WHOLE)
