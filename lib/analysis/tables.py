"""The tables that studies share: pure functions from predictions to a tidy DataFrame.

Columns `x`, `x_sd`, `x_low`, `x_high` of a metric are shown as one. Each function of `TABLES` can
be named on a page, and `verify` then computes it again from the published predictions.
"""

import dataclasses

import numpy as np
import pandas as pd

from lib.analysis.cells import by_cell
from lib.analysis.classes import by_class, by_frequency, confusion_table, imbalance
from lib.analysis.comparisons import best_that_stands, differences
from lib.analysis.display import with_metrics
from lib.analysis.predictions import Predictions, group_of
from lib.analysis.resampling import bootstrap
from lib.analysis.scores import display_name, resampled_scores, run_scores
from lib.analysis.stats import mean_and_interval, standard_deviation
from lib.metrics import METRICS, cross_entropy
from lib.runs.baselines import NAMES, NO_MODEL


def by_group(
    p: Predictions,
    *,
    by: str,
    metrics: list[str],
    split: str = "test",
    epoch: str = "chosen",
    verdict: bool = False,
) -> pd.DataFrame:
    """Mean over seeds, standard deviation over seeds, and a 95 % interval over documents and seeds,
    for each group.

    With `verdict`, the best test score is bold where its difference from every other model stands
    (see `differences`), and a note says by which test, in which family, for which n.
    """
    rows = []
    for group in p.groups(by, split=split, epoch=epoch):
        scores = run_scores(p, group)
        resampled = resampled_scores(p, group, metrics)
        name = display_name(group.name)
        row = {by: name, "seeds": len(group.seeds), "documents": len(group.labels)}
        for metric in metrics:
            limits = METRICS[metric].limits
            row |= {metric: np.nan, f"{metric}_sd": standard_deviation(scores[metric])}
            row |= mean_and_interval(metric, scores[metric], resampled[metric], limits)
        rows.append(row)
    table = with_metrics(pd.DataFrame(rows), {metric: metric for metric in metrics})
    if verdict:
        _mark_best(p, table, by, metrics)
    return table


def _mark_best(p: Predictions, table: pd.DataFrame, by: str, metrics: list[str]) -> None:
    """Make the best score of each column bold, where it stands against every other."""
    compared = [differences(p, by=by, metric=metric, verdict=True) for metric in metrics]
    table.attrs["bold"] = []
    for metric, pairs in zip(metrics, compared, strict=True):
        row = best_that_stands(table, pairs, by=by, metric=metric)
        if row is not None:
            table.attrs["bold"].append((row, metric))
    note = compared[0].attrs.get("note", "").replace("Bold: it stands.", "")
    note = note.replace("of this table", "of a column")
    table.attrs["note"] = (
        f"Bold: the best, where its difference from every other model stands.{note}"
    )


def by_run(p: Predictions, *, by: str, metrics: list[str]) -> pd.DataFrame:
    """One row a trained run: its key, chosen and last epoch, and test scores at both."""
    chosen = _scores_by_run(p, by, "chosen")
    last = _scores_by_run(p, by, "last")
    rows = []
    for key, run in p.trained.items():
        if key not in chosen:
            continue
        config = run["config"]
        row = {"run": key, by: str(config[by]), "seed": config["seed"]}
        row["chosen epoch"] = run["chosen_epoch"]
        row |= {metric: chosen[key][metric] for metric in metrics}
        if key in last:
            row |= {f"{metric}, last epoch": last[key][metric] for metric in metrics}
        rows.append(row)
    at_last = {f"{metric}, last epoch": metric for metric in metrics}
    return with_metrics(pd.DataFrame(rows), {metric: metric for metric in metrics} | at_last)


def _scores_by_run(p: Predictions, by: str, epoch: str) -> dict[str, dict]:
    """Test scores of each run after an epoch, by its key."""
    scores = {}
    for group in p.groups(by, epoch=epoch):
        rows = run_scores(p, group).to_dict("records")
        scores |= dict(zip(group.runs, rows, strict=True))
    return scores


def by_epoch(
    p: Predictions,
    *,
    by: str,
    metrics: list[str],
    split: str = "dev",
    published: dict | None = None,
) -> pd.DataFrame:
    """Mean and standard deviation over seeds after every epoch.

    `published` puts figures of another study beside ours: group -> the first metric after each
    epoch, in percent.
    """
    rows = []
    last = max(run["last_epoch"] for run in p.runs.values())
    original = f"{metrics[0]}, original"
    for epoch in range(1, last + 1):
        for group in p.groups(by, split=split, epoch=epoch):
            if group.name in NAMES:
                continue
            row = {by: group.name, "epoch": epoch, "seeds": len(group.seeds)}
            scores = run_scores(p, group)
            for metric in metrics:
                row[metric] = scores[metric].mean()
                row[f"{metric}_sd"] = standard_deviation(scores[metric])
            if published is not None:
                known = published.get(group.name, [])
                row[original] = known[epoch - 1] / 100 if epoch <= len(known) else np.nan
            rows.append(row)
    table = pd.DataFrame(rows).sort_values([by, "epoch"], kind="stable", ignore_index=True)
    return with_metrics(table, {metric: metric for metric in metrics} | {original: metrics[0]})


def by_length(p: Predictions, *, by: str, bins: int = 4, max_length: int) -> pd.DataFrame:
    """Test accuracy by document length, in bins of equally many documents, with the share that
    is truncated."""
    rows = []
    for group in p.groups(by):
        if group.name in NO_MODEL:
            continue
        edges = np.quantile(group.tokens, np.linspace(0, 1, bins + 1))
        bin_of = np.clip(np.searchsorted(edges, group.tokens, side="right") - 1, 0, bins - 1)
        for i in range(bins):
            inside = bin_of == i
            if not inside.any():  # documents of one length share a bin
                continue
            lengths = group.tokens[inside]
            labels = group.labels[inside]
            predicted = group.predicted[:, inside]
            resampled = bootstrap(labels, predicted, len(p.label_names), ("accuracy",))
            row = {
                by: display_name(group.name),
                "tokens": f"{lengths.min()}–{lengths.max()}",
                "documents": int(inside.sum()),
                "truncated": f"{(lengths > max_length).mean():.0%}",
            }
            accuracies = (predicted == labels).mean(1)
            limits = METRICS["accuracy"].limits
            row |= mean_and_interval("accuracy", accuracies, resampled["accuracy"], limits)
            rows.append(row)
    return with_metrics(pd.DataFrame(rows), {"accuracy": "accuracy"})


def without_rows(p: Predictions, *, by: str, metrics: list[str], rows: list[int]) -> pd.DataFrame:
    """`by_group` on test, and again without the documents of some rows, such as those that
    leaked from train."""
    left_out = (p.frame["split"] == "test") & p.frame["row"].isin(rows)
    every = by_group(p, by=by, metrics=metrics)
    rest = by_group(dataclasses.replace(p, frame=p.frame[~left_out]), by=by, metrics=metrics)
    leaked = every["documents"] - rest["documents"]
    table = every[[by, "seeds", "documents"]].assign(leaked=leaked)
    columns = {}
    for metric in metrics:
        for column, scores in ((metric, every), (f"{metric}, without", rest)):
            columns[column] = metric
            for end in ("", "_low", "_high"):
                table[f"{column}{end}"] = scores[f"{metric}{end}"]
    return with_metrics(table, columns)


def overshoot(p: Predictions, *, by: str) -> pd.DataFrame:
    """For each group: the epoch with the lowest mean dev loss, that loss, the last one, and how
    many seeds rose; of the runs that came to the last epoch."""
    last = max(run["last_epoch"] for run in p.runs.values())
    p = dataclasses.replace(
        p, runs={key: run for key, run in p.runs.items() if run["last_epoch"] == last}
    )
    rows = []
    for name in [group.name for group in p.groups(by) if group.name not in NAMES]:
        losses = np.array([_losses(p, by, name, epoch) for epoch in range(1, last + 1)])
        mean = losses.mean(1)  # (epochs,) of losses (epochs, runs)
        rose = int((losses[-1] > losses.min(0)).sum())
        rows.append(
            {
                by: name,
                "lowest at epoch": int(mean.argmin()) + 1,
                "lowest dev loss": mean.min(),
                "last dev loss": mean[-1],
                "last": last,
                "seeds whose loss rose": f"{rose} of {losses.shape[1]}",
            }
        )
    return with_metrics(pd.DataFrame(rows), {"lowest dev loss": "loss", "last dev loss": "loss"})


def _losses(p: Predictions, by: str, name: str, epoch: int) -> list[float]:
    """The dev loss of each run of a group after an epoch."""
    group = next(g for g in p.groups(by, split="dev", epoch=epoch) if g.name == name)
    return [cross_entropy(logits, group.labels) for logits in group.logits]


def predicted_numbers(p: Predictions, *, by: str, group: str) -> pd.DataFrame:
    """Given and predicted number of each test document, the mean over seeds."""
    runs = group_of(p, by, group)
    return pd.DataFrame({"given": runs.labels, "predicted": runs.logits[:, :, 0].mean(0)})


FUNCTIONS = (
    predicted_numbers,
    by_group,
    by_run,
    by_epoch,
    by_class,
    by_length,
    by_cell,
    by_frequency,
    confusion_table,
    imbalance,
    differences,
    overshoot,
    without_rows,
)
TABLES = {function.__name__: function for function in FUNCTIONS}
