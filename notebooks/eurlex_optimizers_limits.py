"""Sentences of the study of optimizers that keep a reader from a wrong conclusion: how much of a
text is read, whether training was long enough, and what near-duplicates are worth."""

from collections.abc import Iterable

import pandas as pd

from lib.analysis import lengths
from lib.analysis.answers import gap
from lib.analysis.comparisons import SIGNIFICANT, differences
from lib.analysis.display import count, distance, listed, percent, spelled, title
from lib.analysis.findings import best_group, difference_of
from lib.analysis.names import display_name
from lib.analysis.predictions import Predictions
from lib.analysis.references import best_reference, reference_scores
from lib.analysis.tables import without_rows

WHOLE = display_name(lengths.WHOLE)
SAME = display_name(lengths.SAME)


def share_read(p: Predictions, *, max_length: int, metric: str = "P@1") -> str:
    """How much of an act the transformer reads, what TF-IDF scores on as much, and whether TF-IDF
    leads because it reads more."""
    options = {"max_length": max_length, "what": "legal act", "metric": metric}
    text = lengths.share_read(p, by="optimizer", **options)
    are_there = {WHOLE, SAME} <= reference_scores(p, metric=metric).keys()
    if not are_there or lengths.share_read_of(p) == 1:
        return text
    return f"{text} {_lead_of_tfidf(p, metric)}".strip()


def _lead_of_tfidf(p: Predictions, metric: str) -> str:
    """Whether TF-IDF is ahead of the optimizer that dev chooses also where it reads no more;
    nothing where it does not lead on whole texts. The two comparisons are one family."""
    group = best_group(p, by="optimizer", metric=metric)
    compared = p.keep(lambda run: run["config"]["optimizer"] == group)
    references = {lengths.WHOLE, lengths.SAME}
    others = {k for k, run in p.references.items() if run["config"]["reference"] not in references}
    compared = compared.only({k: run for k, run in compared.runs.items() if k not in others})
    table = differences(compared, by="optimizer", metric=metric)
    whole, same = (difference_of(table, name, group, metric) for name in (WHOLE, SAME))
    if not _is_ahead(whole):
        return ""
    beside = gap(same, metric, spelled(group), ("above", "below"))
    if _is_ahead(same):
        return f"On as little text, TF-IDF is {beside}, so truncation does not explain its lead."
    return f"On as little text, TF-IDF is {beside}, so truncation may explain its lead."


def _is_ahead(gain: dict) -> bool:
    return gain["verdict"] == SIGNIFICANT and gain["value"] > 0


def dev_curves(
    history: pd.DataFrame, runs: Iterable[str], *, metric: str = "P@1"
) -> dict[str, list[float]]:
    """The dev score of some runs after every epoch, by their keys, as history.csv has it."""
    of_runs = history[history["run"].isin(list(runs))].sort_values("epoch")
    scores = of_runs.groupby("run", sort=True)[f"dev_{metric}"]
    return {key: [round(float(score), 6) for score in curve] for key, curve in scores}


def still_improving(p: Predictions, *, curves: dict[str, list[float]], metric: str = "P@1") -> str:
    """Of which optimizers every run has its best dev score after the last epoch, and how much that
    epoch brought; `curves` as `dev_curves` gives them."""
    gains: dict[str, list[float]] = {}  # of the last epoch, by optimizer
    stopped = set()
    for key, run in p.trained.items():
        curve = curves.get(key, [])
        optimizer = run["config"]["optimizer"]
        if len(curve) < 2 or curve[-1] <= max(curve[:-1]):
            stopped.add(optimizer)
        if len(curve) > 1:
            gains.setdefault(optimizer, []).append(curve[-1] - curve[-2])
    epochs = count(max(run["last_epoch"] for run in p.trained.values()), "epoch")
    if not gains:
        return f"After {epochs}, nothing tells whether training was long enough."
    optimizers = list(dict.fromkeys(run["config"]["optimizer"] for run in p.trained.values()))
    rising = [name for name in optimizers if name not in stopped]
    if not rising:
        return f"**After {epochs} no optimizer still improves** on dev with every seed."
    means = sorted((sum(gains[name]) / len(gains[name]), spelled(name)) for name in rising)
    brought = [f"{distance(mean, metric)} ({name})" for mean, name in means]
    ends = " to ".join(dict.fromkeys([brought[0], brought[-1]]))  # one where one rises
    who = f"{len(rising)} of {count(len(optimizers), 'optimizer')}"
    if len(rising) == len(optimizers):
        who = f"all {len(optimizers)} optimizers" if rising[1:] else "the optimizer"
    return (
        f"**After {epochs} {who} still improve{'' if rising[1:] else 's'} on dev.** The last epoch "
        f"is the best with every seed: in {title(metric)}, it brought {ends}. Longer training may "
        "score higher."
    )


def near_duplicates(
    p: Predictions, *, rows: list[int], by: str = "optimizer", metric: str = "P@1"
) -> str:
    """What is left of the scores of the group that dev chooses and of the best reference without
    the test documents that have near-duplicates."""
    table = without_rows(p, by=by, metrics=[metric], rows=rows).set_index(by)
    names = [best_group(p, by=by, metric=metric), best_reference(p, metric=metric)]
    every = table[metric]
    rest = table[f"{metric}, without"]
    texts = []
    verb = ""
    for name in names:
        before, verb = verb, "falls" if rest[name] < every[name] else "rises"
        ends = f"from {percent(every[name])} to {percent(rest[name])} ({spelled(name)})"
        texts.append(ends if verb == before else f"{verb} {ends}")
    flattered = sum(rest[name] < every[name] for name in names)
    what = ("**Near-duplicates score no higher.**", "", "**Near-duplicates score higher.**")
    documents = p.frame.loc[p.frame["split"] == "test", "row"].nunique()
    share = percent(len(rows) / documents, 0)
    sentence = (
        f"Without the {len(rows):,} of {count(documents, 'test document')} ({share}) that nearly "
        f"repeat one of train or dev, {title(metric)} {listed(texts)}."
    )
    return f"{what[flattered]} {sentence}".strip()
