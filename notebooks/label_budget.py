"""The study of label budgets: what each number of labelled texts is worth, and from which on
fine-tuning pays."""

import dataclasses
from math import ceil

import numpy as np
import pandas as pd

from lib.analysis import captions
from lib.analysis.comparisons import SIGNIFICANT, TOO_FEW, comparison_table, mark_significant
from lib.analysis.display import difference, listed, with_metrics
from lib.analysis.pairs import Pair, pairs_of
from lib.analysis.predictions import Predictions, collect
from lib.analysis.scores import display_name, run_scores, sample_of
from lib.analysis.stats import mean_and_interval
from lib.errors import InputError
from lib.metrics import METRICS
from lib.runs.baselines import BASELINES
from lib.runs.config import RunConfig
from lib.runs.keys import corpus_of
from lib.runs.published import page_runs, published_page
from lib.sources import DATASETS
from lib.vocabulary import NOT_IN_TRAIN

DEV_SHARE = 5  # one labelled text in so many is dev
FEWEST = 10  # labelled texts
REFERENCES = ("tfidf_linear",)
BY_TASK = {"classification": "accuracy", "multilabel": "micro_f1", "regression": "spearman"}
SIZE = "labelled texts"  # column
FIRST = "fine-tuned"
LARGER = "fine-tuned, larger model"

CAPTIONS = {  # of the tables and figures by their names
    "scores": "Mean over samples of labelled texts, with the 95 % interval over other samples and "
    "other test documents.",
    "by_size": "Mean over samples ± half of the 95 % interval, over other samples and other test "
    "documents. A fifth of the labelled texts is dev, which chooses for every method.",
    "minutes": "Computing time of a run to learn, choose and label the test set: the median over "
    "samples, on the machine that made this page. Numbers: labelled texts.",
    "doubling": "Curves a − b·n^−c through all sizes and samples. Right: a curve that has not seen "
    "the largest size, beside what was measured there. ± half of the 95 % interval, over refits "
    "without one sample.",
    "leads": captions.differences(),
}


def plan(base: RunConfig, sizes: list[int]) -> tuple[RunConfig, list[int]]:
    """The configuration, its classes named so that every sample has the same; and the numbers of
    labelled texts, ascending: those that the corpus has, and all of it (0) where more are asked
    for. Of a page, those of its runs. Raises InputError."""
    page = published_page()
    if page:
        configs = [run.config for run in page_runs(page).values()]
        of_page = {config.train_rows + config.dev_rows for config in configs}
        return base.with_(reading=configs[0].reading), sorted(of_page)
    corpus = corpus_of(base)
    available = len(corpus.train) + len(corpus.dev)
    planned = {size for size in sizes if 0 < size < available}
    if len(planned) < len(set(sizes)):
        planned.add(available)
    if min(planned, default=0) < FEWEST:
        raise InputError(
            f"sizes = {sizes}: each wants {FEWEST} labelled texts or more, or 0 for all "
            f"{available:,}"
        )
    named = DATASETS.get(base.dataset)
    if corpus.task != "regression" and not (named and named.label_names):
        names = [name for name in corpus.label_names if name != NOT_IN_TRAIN]
        base = base.with_(reading=base.reading.model_dump() | {"labels": names})
    return base, sorted(planned)


def configs(
    base: RunConfig,
    sizes: list[int],
    seeds: list[int],
    *,
    least_steps: int,
    larger: RunConfig | None = None,
    larger_up_to: int = 0,
) -> list[RunConfig]:
    """The runs of every size and seed, the largest size first: fine-tuning, for `least_steps` or
    more; the larger model alike, up to a size; and the references."""
    runs = []
    for size in reversed(sizes):
        for seed in seeds:
            dev_rows = size // DEV_SHARE
            sample = {"train_rows": size - dev_rows, "dev_rows": dev_rows, "subset_seed": seed}
            models = [base, larger] if larger and size <= larger_up_to else [base]
            for model in models:
                steps_per_epoch = ceil(sample["train_rows"] / model.batch_size)
                epochs = max(model.epochs, ceil(least_steps / steps_per_epoch))
                runs.append(model.with_(**sample, seed=seed, epochs=epochs))
            runs += [base.with_(**sample).baseline(name) for name in REFERENCES]
    return runs


def at_size(p: Predictions, size: int) -> Predictions:
    """The runs of so many labelled texts; the seed of each is its sample's."""
    runs = {}
    for key, run in p.runs.items():
        config = run["config"]
        if config["train_rows"] + config["dev_rows"] == size:
            runs[key] = run | {"config": config | {"seed": config["subset_seed"]}}
    return p.only(runs)


def metric_of(runs) -> str:
    """What a task is judged by here."""
    return BY_TASK[collect(runs).task]


def sizes_of(p: Predictions) -> list[int]:
    configs_of_runs = [run["config"] for run in p.runs.values()]
    return sorted({config["train_rows"] + config["dev_rows"] for config in configs_of_runs})


def method_names(p: Predictions) -> dict[str, str]:
    """What each group is called, by the backbone or the reference that it is; the model that all
    sizes have is the first."""
    backbones = {}
    for size in sizes_of(p)[::-1]:
        backbones |= {run["config"]["backbone"]: None for run in at_size(p, size).trained.values()}
    names = dict(zip(backbones, (FIRST, LARGER), strict=False))
    return names | {name: display_name(name) for name in REFERENCES}


def scores(p: Predictions, *, metric: str) -> pd.DataFrame:
    """A row for each method and size: its mean test score over samples, with the 95 % interval."""
    names = method_names(p)
    rows = []
    for size in sizes_of(p):
        of_size = at_size(p, size)
        for group in of_size.groups("backbone"):
            runs = group.counted_once
            row = {"method": names[group.name], SIZE: size, "samples": len(runs.seeds)}
            sample = sample_of(of_size, runs, metric)
            rows.append(row | mean_and_interval(metric, sample, METRICS[metric].limits))
    rows.sort(key=lambda row: list(names.values()).index(row["method"]))
    return with_metrics(pd.DataFrame(rows), {metric: metric})


def by_size(p: Predictions, *, metric: str) -> pd.DataFrame:
    """The same, a row a size and a column a method."""
    long = scores(p, metric=metric)
    table = pd.DataFrame({SIZE: sizes_of(p)})
    methods = list(dict.fromkeys(long["method"]))
    for method in methods:
        of_method = long[long["method"] == method].set_index(SIZE)
        for end in ("", "_low", "_high", "_values"):
            if f"{metric}{end}" in of_method:
                table[f"{method}{end}"] = table[SIZE].map(of_method[f"{metric}{end}"])
    return with_metrics(table, dict.fromkeys(methods, metric))


def minutes(runs, *, metric: str) -> pd.DataFrame:
    """Computing time of a run for each method and size, the median over samples in minutes, and
    the mean test score; `runs` are those of the store."""
    p = collect(runs)
    seconds = {run.key[:16]: run.status["seconds"] for run in runs}
    names = method_names(p)
    rows = []
    for size in sizes_of(p):
        of_size = at_size(p, size)
        for group in of_size.groups("backbone"):
            taken = float(np.median([seconds[key] for key in group.runs])) / 60
            score = run_scores(of_size, group)[metric].mean()
            row = {"method": names[group.name], SIZE: size, "minutes": taken, metric: score}
            rows.append(row)
    rows.sort(key=lambda row: list(names.values()).index(row["method"]))
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


def ahead_from(table: pd.DataFrame, method: str, metric: str) -> int | None:
    """The smallest size from which on fine-tuning is significantly ahead of a method at every
    size, from the rows of `leads`; None where it is not so at the largest."""
    smallest = None
    of_method = table[table["compared with"] == method]
    for row in of_method.sort_values(SIZE, ascending=False).to_dict("records"):
        if row["verdict"] != SIGNIFICANT or row[metric] < 0:
            break
        smallest = row[SIZE]
    return smallest


def best_reference(p: Predictions, *, metric: str) -> str:
    """The reference with the best mean score on dev at the largest size."""
    largest = at_size(p, sizes_of(p)[-1])
    of_name: dict[str, list[float]] = {}
    for key, _, group in largest.single("dev"):
        name = largest.runs[key]["config"]["backbone"]
        if name in BASELINES:
            of_name.setdefault(name, []).append(run_scores(largest, group)[metric][0])
    return max(of_name, key=lambda name: np.mean(of_name[name]))


SHORT = {"TF-IDF + linear SVM": "TF-IDF", "embeddings + logistic regression": "embeddings"}


def answer(p: Predictions, *, metric: str) -> str:
    """From how many labelled texts on fine-tuning beats each reference, and by how much the best
    one at the largest size."""
    table = leads(p, metric=metric)
    names = method_names(p)
    largest = sizes_of(p)[-1]
    best = names[best_reference(p, metric=metric)]
    last = table[(table[SIZE] == largest) & (table["compared with"] == best)].iloc[0]
    size = difference(abs(last[metric]), metric).lstrip("+")
    behind = "leads" if last[metric] >= 0 else "trails"
    end = f"at {largest:,} it {behind} {SHORT.get(best, best)} by {size}"
    methods = [names[name] for name in REFERENCES]
    if TOO_FEW in table["verdict"].tolist():
        return f"With {TOO_FEW}, nothing is tested: fine-tuning {end.replace(' it', '')}."
    from_size = {method: ahead_from(table, method, metric) for method in methods}
    beaten = [method for method in methods if from_size[method]]
    others = [SHORT.get(method, method) for method in methods if not from_size[method]]
    if not beaten:
        beats = "beats neither" if len(others) > 1 else "does not beat"
        return f"No: fine-tuning {beats} {' nor '.join(others)}; {end}."
    first, *rest = beaten
    sentence = f"Fine-tuning beats {SHORT.get(first, first)} from {from_size[first]:,} {SIZE} on"
    sentence += "".join(f", {SHORT.get(m, m)} from {from_size[m]:,}" for m in rest)
    if others:
        sentence += f", {listed(others)} nowhere"
    return f"{sentence}; {end}."
