"""The study of label budgets: what each number of labelled texts is worth, and from which on
fine-tuning pays."""

import dataclasses
from collections.abc import Iterator
from pathlib import PurePath

import numpy as np
import pandas as pd

from lib.analysis import captions
from lib.analysis.columns import score_as
from lib.analysis.display import count, escape, listed, score, spelled, with_metrics
from lib.analysis.findings import facts_of
from lib.analysis.groups import Group
from lib.analysis.predictions import Predictions, collect
from lib.analysis.scores import run_scores, sample_of
from lib.analysis.stats import mean_and_interval
from lib.metrics import METRICS
from lib.references.baselines import reference_name

EMBEDDINGS = "embeddings"  # of the only model, else: MiniLM-L6's embeddings
REFERENCES = {
    "tfidf": "TF-IDF",
    "tfidf_same_text": "TF-IDF, same text",
    "embedding_linear": EMBEDDINGS,
    "embedding_ridge": EMBEDDINGS,
    "majority": "majority class",
    "train_mean": "mean of train",
}
ONE_ANSWER = ("majority class", "mean of train")
IN_TABLE = ("TF-IDF, same text", *ONE_ANSWER)  # and nowhere else
FINE_TUNED = "fine-tuned"  # of the only model
SAME_NAME = ("first model", "larger model")  # where their own names do not tell them apart
SIZE = "labelled texts"  # column

CAPTIONS = {  # of the tables and figures by their names
    "scores": "Mean over samples of labelled texts; bars: 95 % interval; small dots: each sample.",
    "by_size": "Test scores by number of labelled texts, a fifth of which is dev. TF-IDF reads "
    "whole texts, or the same text as the transformer.",
    "leads": f"{captions.DIFFERENCES} Methods are compared sample by sample, each sample by its "
    "mean over all sizes that both were tried at.",
    "minutes": "Time of the quickest sample's run to learn, choose and label the test set (whose "
    "embeddings are made once), in seconds on the machine that ran it (environment.json).",
    "doubling": "Curves a − b·n^−c through all sizes and samples: what twice the largest number "
    "would add, and what a curve without that number predicts for it, beside what was measured. "
    "Here ± is over refits that leave out one sample.",
    "leads_by_size": f"{captions.DIFFERENCES} Methods are compared sample by sample, at each size "
    "alone. That shows large leads only: at which sizes one is significant is partly chance.",
}


def at_size(p: Predictions, size: int) -> Predictions:
    """The runs of so many labelled texts; the seed of each is its sample's."""
    configs = {key: run["config"] for key, run in p.runs.items() if _size_of(run) == size}
    return p.with_field("seed", {key: config["subset_seed"] for key, config in configs.items()})


def sizes_of(p: Predictions) -> list[int]:
    return sorted({*map(_size_of, p.runs.values())})


def _size_of(run: dict) -> int:
    return run["config"]["train_rows"] + run["config"]["dev_rows"]


def largest_size(p: Predictions) -> int:
    """The most labelled texts that every model was tried with."""
    sizes: dict[str, set[int]] = {}
    for run in p.trained.values():
        sizes.setdefault(run["config"]["backbone"], set()).add(_size_of(run))
    return max(set.intersection(*sizes.values()))


def up_to(p: Predictions, size: int) -> Predictions:
    """The runs of so many labelled texts or fewer."""
    return p.only({key: run for key, run in p.runs.items() if _size_of(run) <= size})


def method_names(p: Predictions) -> dict[str, str]:
    """What each group is called, by the backbone or the reference that it is; the model that the
    largest size has is the first. Of several models, embeddings are named after theirs."""
    backbones = {}
    for size in sizes_of(p)[::-1]:
        backbones |= {run["config"]["backbone"]: None for run in at_size(p, size).trained.values()}
    models = dict(zip(backbones, _model_names([*backbones]), strict=True))
    references = {}
    for run in p.references.values():
        reference = reference_name(run["config"])
        name = REFERENCES[reference]
        if name == EMBEDDINGS and len(models) > 1:
            name = f"{models[run['config']['backbone']]}'s {EMBEDDINGS}"
        references[reference] = name
    return models | references


def _model_names(backbones: list[str]) -> list[str]:
    if len(backbones) == 1:
        return [FINE_TUNED]
    names = [PurePath(spelled(backbone)).name for backbone in backbones]
    if len({*names}) < len(names) or {*names} & {*REFERENCES.values()}:
        return [*SAME_NAME]
    return names


def in_words(method: str) -> str:
    """A method as a sentence names it, as Markdown."""
    return "fine-tuning" if method == FINE_TUNED else escape(method)


def models_of(p: Predictions) -> list[str]:
    """What the fine-tuned models are called, the first one first."""
    return [name for group, name in method_names(p).items() if group not in REFERENCES]


def fixed_settings(p: Predictions) -> str:
    """What is not tuned: a model's learning rate, which is the same at every size, and the epochs;
    and what dev takes of the labelled texts."""
    names = method_names(p)
    rates = {}
    epochs = {}
    dev_rows = {}
    for run in p.trained.values():
        config = run["config"]
        rates[names[config["backbone"]]] = f"{config['learning_rate']:g}"
        epochs[_size_of(run)] = config["epochs"]
        dev_rows[_size_of(run)] = config["dev_rows"]
    texts = [f"{rate} for {in_words(name)}" for name, rate in rates.items()]
    least, most = min(epochs), max(epochs)
    start = f"{count(epochs[most], 'epoch')} with {most:,} texts"
    if epochs[least] != epochs[most]:
        start = f"{count(epochs[least], 'epoch')} with {least:,} texts"
        start += f", {epochs[most]} with {most:,}"
    return (
        f"The learning rate is not tuned: at every size it is {listed(texts)}, and one that is "
        f"tuned for a size may do better. Fine-tuning takes {start}. "
        f"Of {most:,} labelled texts about {dev_rows[most]:,} are dev."
    )


def references_of(p: Predictions) -> list[str]:
    """What the references are called that models are compared with."""
    names = [name for group, name in method_names(p).items() if group in REFERENCES]
    return [name for name in names if name not in IN_TABLE]


def groups_by_method(p: Predictions) -> Iterator[tuple[int, Predictions, Group]]:
    """Each method at each size: the size, the runs of that size, and those of the method, as a
    group that is named after it."""
    names = method_names(p)
    parted = [(size, at_size(p, size)) for size in sizes_of(p)]
    groups = [(size, runs, group) for size, runs in parted for group in runs.groups("backbone")]
    for method in dict.fromkeys(names.values()):
        for size, runs, group in groups:
            if names[group.name] == method:
                yield size, runs, dataclasses.replace(group, name=method)


def scores(p: Predictions, *, metric: str) -> pd.DataFrame:
    """A row for each method and size: its mean test score over samples, with the 95 % interval."""
    rows = []
    for size, of_size, group in groups_by_method(p):
        runs = group.counted_once
        row = {"method": group.name, SIZE: size, "samples": len(runs.seeds)}
        sample = sample_of(of_size, runs, metric)
        rows.append(row | mean_and_interval(metric, sample, METRICS[metric].limits))
    return with_metrics(pd.DataFrame(rows), {metric: metric})


def scores_by_sample(p: Predictions, *, metric: str) -> pd.DataFrame:
    """A row for each method, size and sample: its test score."""
    tables = []
    for size, of_size, group in groups_by_method(p):
        scores = run_scores(of_size, group)[metric]
        about = {"method": group.name, SIZE: size, "sample": group.seeds}
        tables.append(pd.DataFrame(about | {metric: scores}))
    return with_metrics(pd.concat(tables, ignore_index=True), {metric: metric})


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
    if len(models_of(p)) > 1:  # which leaves no room
        shown = [name for name in shown if name not in IN_TABLE]
    table.attrs["shown"] = shown
    for name in methods:
        if name in ONE_ANSWER:
            table.attrs["note"] = f"{name.capitalize()}: {score(table[name].mean(), metric)}."
    return table


def minutes(runs) -> pd.DataFrame:
    """Computing time of a run for each method and size, in minutes: that of the quickest sample,
    which other work on the machine disturbed least. `runs` are those of the store."""
    seconds = {run.name: run.status["seconds"] for run in runs}
    rows = []
    for size, _, group in groups_by_method(collect(runs)):
        if group.name not in IN_TABLE:
            taken = min(seconds[key] for key in group.runs) / 60
            rows.append({"method": group.name, SIZE: size, "minutes": taken})
    return pd.DataFrame(rows)


def seconds_by_size(times: pd.DataFrame, p: Predictions) -> pd.DataFrame:
    """The table of `minutes` in seconds, a row a size and a column a method, which is called as on
    the rest of the page."""
    methods = times["method"]
    for name in references_of(p):
        if name.endswith(EMBEDDINGS):
            methods = methods.replace(EMBEDDINGS, name)
    times = times.assign(method=methods, seconds=60 * times["minutes"])
    table = pd.DataFrame({SIZE: sorted(times[SIZE].unique())})
    for method, of_method in times.groupby("method", sort=False):
        of_sizes = of_method.set_index(SIZE)["seconds"].reindex(table[SIZE])
        table[f"{method} (s)"] = of_sizes.to_numpy()
    return with_metrics(table, {}, literal=[name for name in table if name != SIZE])


def best_on_dev(p: Predictions, names: list[str], *, metric: str) -> str:
    """The method, of these, with the best mean score on dev at the largest size."""
    of_size = at_size(p, largest_size(p))
    methods = method_names(p)
    dev_scores: dict[str, list[float]] = {}
    for key, epoch, group in of_size.single("dev"):
        run = of_size.runs[key]
        name = methods[reference_name(run["config"]) or run["config"]["backbone"]]
        if name in names and epoch == run["chosen_epoch"]:
            dev_scores.setdefault(name, []).append(run_scores(of_size, group)[metric][0])
    return max(dev_scores, key=lambda name: np.mean(dev_scores[name]))


def best(p: Predictions, *, metric: str) -> dict:
    """The model and the reference that are best on dev at the largest size, as facts of a page."""
    table = scores(p, metric=metric)
    largest = table[table[SIZE] == largest_size(p)].set_index("method")
    names = {
        "best": best_on_dev(p, models_of(p), metric=metric),
        "reference": best_on_dev(p, references_of(p), metric=metric),
    }
    return {**facts_of(largest, names, metric), "labelled_texts": largest_size(p)}
