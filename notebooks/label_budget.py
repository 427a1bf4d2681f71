"""The study of label budgets: what each number of labelled texts is worth, and from which on
fine-tuning pays."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from lib.analysis import captions
from lib.analysis.answers import gap
from lib.analysis.columns import score_as
from lib.analysis.comparisons import SIGNIFICANT, TOO_FEW, comparison_table, mark_significant
from lib.analysis.display import listed, score, with_metrics
from lib.analysis.findings import difference_in, facts_of
from lib.analysis.groups import Group
from lib.analysis.pairs import Pair, pairs_of
from lib.analysis.predictions import Predictions, collect
from lib.analysis.scores import run_scores, sample_of
from lib.analysis.stats import mean_and_interval
from lib.metrics import METRICS
from lib.runs.baselines import reference_name

NAMES = {
    "tfidf": "TF-IDF",
    "tfidf_same_text": "TF-IDF, same text",
    "embedding_linear": "embeddings",
    "embedding_ridge": "embeddings",
    "majority": "majority class",
    "train_mean": "mean of train",
}
ONE_ANSWER = ("majority class", "mean of train")
IN_TABLE = ("TF-IDF, same text", *ONE_ANSWER)  # and nowhere else
FIRST = "fine-tuned"
LARGER = "fine-tuned, larger model"
SIZE = "labelled texts"  # column

CAPTIONS = {  # of the tables and figures by their names
    "scores": "Mean over samples of labelled texts; bars: 95 % interval.",
    "by_size": "Test scores by number of labelled texts, a fifth of which is dev. TF-IDF reads "
    "whole texts, or the same text as the transformer.",
    "minutes": "Time of a run to learn, choose and label the test set (whose embeddings are made "
    "once), on the machine that made this page: median over samples. Numbers: labelled texts.",
    "doubling": "Curves a − b·n^−c through all sizes and samples: what twice the largest number "
    "would add, and what a curve without that number foretells for it, beside what was measured. "
    "Here ± is over refits that leave out one sample.",
    "leads": f"{captions.DIFFERENCES} Methods are compared sample by sample.",
}


def at_size(p: Predictions, size: int) -> Predictions:
    """The runs of so many labelled texts; the seed of each is its sample's."""
    configs = {key: run["config"] for key, run in p.runs.items() if _size_of(run) == size}
    return p.with_field("seed", {key: config["subset_seed"] for key, config in configs.items()})


def sizes_of(p: Predictions) -> list[int]:
    return sorted({*map(_size_of, p.runs.values())})


def _size_of(run: dict) -> int:
    return run["config"]["train_rows"] + run["config"]["dev_rows"]


def method_names(p: Predictions) -> dict[str, str]:
    """What each group is called, by the backbone or the reference that it is; the model that the
    largest size has is the first."""
    backbones = {}
    for size in sizes_of(p)[::-1]:
        backbones |= {run["config"]["backbone"]: None for run in at_size(p, size).trained.values()}
    names = dict(zip(backbones, (FIRST, LARGER), strict=False))
    references = [reference_name(run["config"]) for run in p.references.values()]
    return names | {name: NAMES[name] for name in references}


def groups_by_method(p: Predictions) -> Iterator[tuple[str, int, Predictions, Group]]:
    """Each method at each size: its name, the size, the runs of that size, and those of it."""
    names = method_names(p)
    parted = [(size, at_size(p, size)) for size in sizes_of(p)]
    groups = [(size, runs, group) for size, runs in parted for group in runs.groups("backbone")]
    for method in dict.fromkeys(names.values()):
        for size, runs, group in groups:
            if names[group.name] == method:
                yield method, size, runs, group


def scores(p: Predictions, *, metric: str) -> pd.DataFrame:
    """A row for each method and size: its mean test score over samples, with the 95 % interval."""
    rows = []
    for method, size, of_size, group in groups_by_method(p):
        runs = group.counted_once
        row = {"method": method, SIZE: size, "samples": len(runs.seeds)}
        sample = sample_of(of_size, runs, metric)
        rows.append(row | mean_and_interval(metric, sample, METRICS[metric].limits))
    return with_metrics(pd.DataFrame(rows), {metric: metric})


def by_size(p: Predictions, *, metric: str) -> pd.DataFrame:
    """The same, a row a size and a column a method."""
    long = scores(p, metric=metric)
    table = pd.DataFrame({SIZE: sizes_of(p)})
    methods = list(dict.fromkeys(long["method"]))
    for method in methods:
        of_method = long[long["method"] == method].set_index(SIZE).reindex(table[SIZE])
        beside = score_as(method, of_method, metric).reset_index(drop=True)
        table[list(beside)] = beside
    table = with_metrics(table, dict.fromkeys(methods, metric))
    shown = [SIZE, *(name for name in methods if name not in ONE_ANSWER)]
    if LARGER in methods:
        shown = [name for name in shown if name not in IN_TABLE]
    table.attrs["shown"] = shown
    for name in methods:
        if name in ONE_ANSWER:
            table.attrs["note"] = f"{name.capitalize()}: {score(table[name].mean(), metric)}."
    return table


def minutes(runs, *, metric: str) -> pd.DataFrame:
    """Computing time of a run for each method and size, the median over samples in minutes, and
    the mean test score; `runs` are those of the store."""
    p = collect(runs)
    seconds = {run.name: run.status["seconds"] for run in runs}
    rows = []
    for method, size, of_size, group in groups_by_method(p):
        if method in IN_TABLE:
            continue
        taken = float(np.median([seconds[key] for key in group.runs])) / 60
        reached = run_scores(of_size, group)[metric].mean()
        rows.append({"method": method, SIZE: size, "minutes": taken, metric: reached})
    return with_metrics(pd.DataFrame(rows), {metric: metric})


def leads(p: Predictions, *, metric: str) -> pd.DataFrame:
    """How far fine-tuning is ahead of each other method at each size, sample by sample; the
    differences are one family."""
    pairs = []
    rows = []
    names = method_names(p)
    for size in sizes_of(p):
        for pair in pairs_of(at_size(p, size), by="backbone", metric=metric, paired=True):
            ahead = _of_the_first(pair, names)
            if ahead and names[ahead.other.name] not in IN_TABLE:
                pairs.append(ahead)
                rows.append({SIZE: size, "compared with": names[ahead.other.name]})
    table = comparison_table(pairs, [f"{FIRST} − {row['compared with']}" for row in rows])
    for place, column in enumerate((SIZE, "compared with")):
        table.insert(place, column, [row[column] for row in rows])
    mark_significant(table, metric)
    return table.drop(columns=["compared", "documents", "seeds"])


def _of_the_first(pair: Pair, names: dict[str, str]) -> Pair | None:
    """A pair as the first model less another; None where it is of others."""
    if names[pair.one.name] == FIRST:
        return pair
    if names[pair.other.name] != FIRST:
        return None
    return pair.turned


def sizes_ahead(table: pd.DataFrame, method: str, metric: str) -> str:
    """At which sizes fine-tuning is significantly ahead of a method, in words, from the rows of
    `leads`: `at no size`, `from 200 texts on` or `at 100 and 800 texts`."""
    of_method = table[table["compared with"] == method].sort_values(SIZE)
    is_ahead = (of_method["verdict"] == SIGNIFICANT) & (of_method[metric] > 0)
    sizes = [f"{size:,}" for size in of_method[SIZE][is_ahead]]
    if not sizes:
        return "at no size"
    is_rest = is_ahead.iloc[-len(sizes) :].all() and len(sizes) > 1
    return f"from {sizes[0]} texts on" if is_rest else f"at {listed(sizes)} texts"


def best_reference(p: Predictions, *, metric: str) -> str:
    """The reference with the best mean score on dev at the largest size, as it is called here."""
    largest = at_size(p, sizes_of(p)[-1])
    of_name: dict[str, list[float]] = {}
    for key, _, group in largest.only(largest.references).single("dev"):
        name = NAMES[largest.runs[key]["config"]["reference"]]
        if name in IN_TABLE:
            continue
        of_name.setdefault(name, []).append(run_scores(largest, group)[metric][0])
    return max(of_name, key=lambda name: np.mean(of_name[name]))


def best(p: Predictions, *, metric: str) -> dict:
    """Fine-tuning beside the best reference at the largest size, as facts of a page."""
    table = scores(p, metric=metric)
    largest = table[table[SIZE] == sizes_of(p)[-1]].set_index("method")
    names = {"best": FIRST, "reference": best_reference(p, metric=metric)}
    return facts_of(largest, names, metric)


def answer(p: Predictions, *, metric: str) -> str:
    """At how many labelled texts fine-tuning beats each reference, and what it and the best of them
    score at the largest size."""
    table = leads(p, metric=metric)
    largest = scores(p, metric=metric).set_index([SIZE, "method"])[metric][sizes_of(p)[-1]]
    best = best_reference(p, metric=metric)
    ends = (
        f"at {sizes_of(p)[-1]:,}: {score(largest[FIRST], metric)}, {best} "
        f"{score(largest[best], metric)}"
    )
    if TOO_FEW in table["verdict"].tolist():
        return f"With {TOO_FEW}, nothing is tested; fine-tuning {ends}."
    names = _references(p)
    where = [sizes_ahead(table, name, metric) for name in names]
    if len(set(where)) == 1:
        names = [" or ".join(names)]
    texts = [f"{name} {sizes}" for name, sizes in zip(names, where, strict=False)]
    return f"Fine-tuning significantly beats {', '.join(texts)}; {ends}."


def ahead(p: Predictions, *, metric: str) -> str:
    """How far fine-tuning is ahead of the best reference at the largest size, and where its mean is
    above all references'."""
    table = leads(p, metric=metric)
    largest = sizes_of(p)[-1]
    best = best_reference(p, metric=metric)
    last = table[(table[SIZE] == largest) & (table["compared with"] == best)].iloc[0]
    row = difference_in(last.to_dict(), metric)
    text = f"At {largest:,} labelled texts fine-tuning scores {gap(row, metric, best)}"
    names = _references(p)
    higher = table[table["compared with"].isin(names)].groupby(SIZE)[metric].min() > 0
    sizes = [f"{size:,}" for size in higher.index[higher]]
    where = f"{listed(sizes)} labelled texts" if sizes else "no size"
    if higher.all():
        where = "every size"
    return f"{text}; its mean is above all references' at {where}."


def _references(p: Predictions) -> list[str]:
    """What the references are called that fine-tuning is compared with."""
    names = dict.fromkeys(method_names(p).values())
    return [name for name in names if name not in (FIRST, LARGER, *IN_TABLE)]
