"""The study of pooling heads: accuracy by length, and what a weighted average weighs."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lib.analysis import captions
from lib.analysis.comparisons import EQUAL, SIGNIFICANT, TOO_FEW, differences
from lib.analysis.display import (
    axis_label,
    difference_interval,
    listed,
    signed,
    with_metrics,
)
from lib.analysis.predictions import Predictions
from lib.analysis.scores import display_name, shares_of
from lib.analysis.stats import mean_and_interval
from lib.metrics import METRICS
from lib.models import load_model
from lib.runs.baselines import NO_MODEL
from lib.runs.config import RunConfig
from lib.runs.store import Run, model_folder
from plots.intervals import grouped_dots
from plots.style import COLOURS, GREY, add_legend, add_title, styled

ORIGINAL = {  # its test accuracy after each epoch, in percent
    "cls": [93.41, 95.32, 95.60],
    "weighted_average": [93.94, 95.33, 95.42],
    "lstm": [93.74, 94.67, 95.52],
}
CAPTIONS = {  # of the tables and figures by their names
    "by_head": f"{captions.SCORES}. Each run is scored at its best epoch on dev.",
    "test_accuracy": f"{captions.DOTS} Grey: references.",
    "differences": captions.differences(),
    "epochs": "Test accuracy after each epoch, and the original's: RoBERTa-base, 512 tokens, all "
    "of IMDB, one run. Its 95 % sampling error at 25,000 documents is about a quarter of a point.",
    "learning_curves": captions.CURVES,
    "by_length": "Test accuracy by length, in quarters of the test documents, with 95 % intervals.",
    "accuracy_by_length": "Dots: mean over seeds. Bars: 95 % interval. The TF-IDF model reads "
    "whole documents, the transformers what fits.",
    "truncation": "head when long documents keep their head, their tail, or a quarter from the "
    "head and the rest from the tail; n is the number of seeds.",
    "position_weights": "One line a seed; 1 is the weight that a plain mean gives. All weights "
    "start equal.",
    "cost": "Parameters, and documents trained per second.",
    "runs": captions.LAST_EPOCH,
}


def truncation_configs(
    base: RunConfig, head: str, truncations: list[str], seeds: list[int]
) -> list[RunConfig]:
    """A head's runs on documents that keep another part than the first of `truncations`."""
    return [
        base.with_(head=head, truncation=truncation, seed=seed)
        for truncation in truncations[1:]
        for seed in seeds
    ]


def by_length(p: Predictions, *, by: str, bins: int = 4, max_length: int) -> pd.DataFrame:
    """Test accuracy by document length, in bins of equally many documents, with the share that
    is truncated."""
    rows = []
    for group in p.groups(by):
        if group.name in NO_MODEL:
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
                "truncated": f"{(lengths > max_length).mean():.0%}",
            }
            sample = shares_of(runs, right.mean(1), right)
            row |= mean_and_interval("accuracy", sample, METRICS["accuracy"].limits)
            rows.append(row)
    return with_metrics(pd.DataFrame(rows), {"accuracy": "accuracy"})


def verdict(p: Predictions, *, by: str, metric: str = "accuracy") -> str:
    """Which differences between the trained groups are significant."""
    rows = differences(p, by=by, metric=metric).to_dict("records")
    rows = [row for row in rows if not row["compared"].startswith("TF-IDF")]
    significant = [row for row in rows if row["verdict"] == SIGNIFICANT]
    if all(row["verdict"] == TOO_FEW for row in rows):
        return f"None of the {len(rows)} differences between the {by}s is tested: {TOO_FEW}."
    if not significant:
        return f"None of the {len(rows)} differences between the {by}s is significant{_rest(rows)}."
    texts = []
    for row in significant:
        interval = difference_interval(row[f"{metric}_low"], row[f"{metric}_high"], metric)
        texts.append(f"{row['compared']} ({signed(row[metric], metric)}, {interval})")
    verb = "is" if len(significant) == 1 else "are"
    return (
        f"Of {len(rows)} differences between the {by}s, {len(significant)} {verb} significant: "
        f"{'; '.join(texts)}."
    )


def _rest(rows: list[dict]) -> str:
    """Which of the pairs that do not differ are equal, and what is left open."""
    equal = [row["compared"] for row in rows if row["verdict"] == EQUAL]
    if len(equal) == len(rows):
        return ", and all are within 1 point"
    if equal:
        return f"; within 1 point are {listed(equal)}, the others are left open"
    return "; none is shown to be within 1 point either"


def learned_weights(runs: list[Run]) -> pd.DataFrame:
    """The weight that each run's weighted average gives to each position, a row a run and
    position."""
    tables = []
    for run in runs:
        model, _ = load_model(model_folder(run.folder))
        weights = model.head.position[: run.config.max_length].detach().softmax(0).tolist()
        table = pd.DataFrame({"position": range(1, len(weights) + 1), "weight": weights})
        tables.append(table.assign(run=run.key[:16])[["run", "position", "weight"]])
    return pd.concat(tables, ignore_index=True)


@styled
def accuracy_by_length(table: pd.DataFrame, *, by: str) -> Figure:
    """Accuracy with 95 % intervals by bin of document length; `table` from
    `notebooks.imdb_heads.by_length`."""
    figure = Figure(figsize=(7.2, 3.8))
    ax = figure.subplots()
    bins = grouped_dots(ax, table, "accuracy", by=by, within="tokens")
    truncated = table.drop_duplicates("tokens").set_index("tokens").loc[bins, "truncated"]
    names = [f"{bin_}\n{share} cut" for bin_, share in zip(bins, truncated, strict=True)]
    ax.set_xticks(range(len(bins)), names)
    ax.set_xlabel("tokens in the document, and the share of documents that are truncated")
    ax.set_ylabel(axis_label("accuracy"))
    add_legend(figure, ax)
    add_title(figure, "Accuracy by document length")
    return figure


@styled
def position_weights(table: pd.DataFrame) -> Figure:
    """What a weighted average learned: the weight of each position relative to a plain mean, a
    line a seed; `table` from `notebooks.imdb_heads.learned_weights`."""
    figure = Figure(figsize=(7.2, 3.2))
    ax = figure.subplots()
    for i, (_, of_run) in enumerate(table.groupby("run", sort=False)):
        relative = of_run["weight"] * len(of_run)
        colour = COLOURS[i % len(COLOURS)]
        ax.plot(of_run["position"], relative, color=colour, linewidth=1, label=f"seed {i + 1}")
    ax.axhline(1, color=GREY, linewidth=1)
    ax.set_xlabel("position (token)")
    ax.set_ylabel("weight ÷ weight in a plain mean")
    add_legend(figure, ax)
    add_title(figure, "The learned weight of each position")
    return figure
