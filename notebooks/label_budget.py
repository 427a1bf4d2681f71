"""The study of label budgets: what each number of labelled texts is worth, and from which on
fine-tuning pays."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pandas as pd

from lib.analysis import captions
from lib.analysis.columns import score_as
from lib.analysis.comparisons import SIGNIFICANT, TOO_FEW, comparison_table, mark_significant
from lib.analysis.display import difference, listed, with_metrics
from lib.analysis.findings import facts_of
from lib.analysis.groups import Group
from lib.analysis.pairs import Pair, pairs_of
from lib.analysis.predictions import Predictions, collect
from lib.analysis.scores import run_scores, sample_of
from lib.analysis.stats import mean_and_interval
from lib.metrics import METRICS
from lib.runs.baselines import reference_name

NAMES = {"tfidf": "TF-IDF", "embedding_linear": "embeddings", "embedding_ridge": "embeddings"}
FIRST = "fine-tuned"
LARGER = "fine-tuned, larger model"
SIZE = "labelled texts"  # column

CAPTIONS = {  # of the tables and figures by their names
    "scores": "Mean over samples of labelled texts; bars: 95 % interval.",
    "by_size": "Test scores by number of labelled texts, a fifth of which is dev.",
    "minutes": "Time of a run to learn, choose and label the test set (whose embeddings are made "
    "once), on the machine that made this page: median over samples. Numbers: labelled texts.",
    "doubling": "Curves a − b·n^−c through all sizes and samples: what twice the largest number "
    "would add, and what a curve without that number foretells for it, beside what was measured. "
    "Here ± is over refits that leave out one sample.",
    "leads": captions.DIFFERENCES,
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
    return with_metrics(table, dict.fromkeys(methods, metric))


def minutes(runs, *, metric: str) -> pd.DataFrame:
    """Computing time of a run for each method and size, the median over samples in minutes, and
    the mean test score; `runs` are those of the store."""
    p = collect(runs)
    seconds = {run.name: run.status["seconds"] for run in runs}
    rows = []
    for method, size, of_size, group in groups_by_method(p):
        taken = float(np.median([seconds[key] for key in group.runs])) / 60
        score = run_scores(of_size, group)[metric].mean()
        rows.append({"method": method, SIZE: size, "minutes": taken, metric: score})
    return with_metrics(pd.DataFrame(rows), {metric: metric})


def leads(p: Predictions, *, metric: str) -> pd.DataFrame:
    """How far fine-tuning is ahead of each other method at each size; the differences are one
    family."""
    pairs = []
    rows = []
    names = method_names(p)
    for size in sizes_of(p):
        for pair in pairs_of(at_size(p, size), by="backbone", metric=metric):
            ahead = _of_the_first(pair, names)
            if ahead:
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
    turned = dataclasses.replace(pair.estimate, value=-pair.estimate.value)
    return dataclasses.replace(pair, one=pair.other, other=pair.one, estimate=turned)


def sizes_ahead(table: pd.DataFrame, method: str, metric: str, unit: str = "") -> str:
    """At which sizes fine-tuning is significantly ahead of a method, in words, from the rows of
    `leads`: `at no size`, `from 200 on` or `at 100 and 800`; `unit` follows the numbers."""
    of_method = table[table["compared with"] == method].sort_values(SIZE)
    is_ahead = (of_method["verdict"] == SIGNIFICANT) & (of_method[metric] > 0)
    sizes = [f"{size:,}" for size in of_method[SIZE][is_ahead]]
    if not sizes:
        return "at no size"
    is_rest = is_ahead.iloc[-len(sizes) :].all() and len(sizes) > 1
    return f"from {sizes[0]}{unit} on" if is_rest else f"at {listed(sizes)}{unit}"


def best_reference(p: Predictions, *, metric: str) -> str:
    """The reference with the best mean score on dev at the largest size, as it is called here."""
    largest = at_size(p, sizes_of(p)[-1])
    of_name: dict[str, list[float]] = {}
    for key, _, group in largest.only(largest.references).single("dev"):
        name = NAMES[largest.runs[key]["config"]["reference"]]
        of_name.setdefault(name, []).append(run_scores(largest, group)[metric][0])
    return max(of_name, key=lambda name: np.mean(of_name[name]))


def best(p: Predictions, *, metric: str) -> dict:
    """Fine-tuning beside the best reference at the largest size, as facts of a page."""
    table = scores(p, metric=metric)
    largest = table[table[SIZE] == sizes_of(p)[-1]].set_index("method")
    names = {"best": FIRST, "reference": best_reference(p, metric=metric)}
    return facts_of(largest, names, metric)


def answer(p: Predictions, *, metric: str) -> str:
    """From how many labelled texts on fine-tuning beats each reference, and by how much the best
    one at the largest size."""
    table = leads(p, metric=metric)
    largest = sizes_of(p)[-1]
    best = best_reference(p, metric=metric)
    last = table[(table[SIZE] == largest) & (table["compared with"] == best)].iloc[0]
    gain = f"{difference(last[metric], metric)} at {largest:,}"
    if TOO_FEW in table["verdict"].tolist():
        return f"With {TOO_FEW}, nothing is tested: fine-tuning scores {gain} against {best}."
    if last["verdict"] != SIGNIFICANT:
        gain += ", not significant"
    references = [name for name in method_names(p).values() if name not in (FIRST, LARGER)]
    others = [name for name in references if name != best]
    ahead = {name: sizes_ahead(table, name, metric) for name in [*others, best]}
    first = next(iter(ahead))
    ahead[first] = sizes_ahead(table, first, metric, f" {SIZE}")
    if set(ahead.values()) == {"at no size"}:
        beats = "beats neither" if others else "does not beat"
        return f"No: fine-tuning {beats} {' nor '.join(ahead)} ({gain})."
    texts = ", ".join(f"{name} {sizes}" for name, sizes in ahead.items())
    return f"Fine-tuning beats {texts} ({gain})."
