"""The tables that studies share: pure functions from predictions to a tidy DataFrame.

Columns `x`, `x_low`, `x_high`, `x_values` of a metric are shown as one; `x_sd` is not shown.
"""

import dataclasses

import numpy as np
import pandas as pd

from lib.analysis.classes import confusion_table as confusion_table
from lib.analysis.columns import score_as
from lib.analysis.comparisons import best_significant, differences
from lib.analysis.display import escape, with_metrics
from lib.analysis.ensembles import with_ensembles
from lib.analysis.names import display_name
from lib.analysis.predictions import Predictions
from lib.analysis.scores import run_scores, sample_of
from lib.analysis.stats import mean_and_interval, no_score, standard_deviation
from lib.metrics import METRICS


def by_group(
    p: Predictions,
    *,
    by: str,
    metrics: list[str],
    split: str = "test",
    epoch: str = "chosen",
    verdict: bool = False,
    ensembles: bool = False,
) -> pd.DataFrame:
    """Mean over seeds, standard deviation over seeds, and a 95 % interval over documents and seeds,
    for each group; the values instead of an interval where there are fewer than three seeds. Runs
    that are the same model are counted once. `attrs["seed_scores"]` has each run's score, by metric
    and group.

    With `ensembles`, the mean of each group's logits over its seeds has a row, too. With `verdict`,
    the best test score is bold where its difference from every other model is
    significant (see `differences`), and a note says what that rests on.
    """
    groups = p.groups(by, split=split, epoch=epoch)
    if ensembles:
        groups = with_ensembles(groups, len(p.label_names))
    rows = []
    seed_scores: dict[str, dict[str, list[float]]] = {metric: {} for metric in metrics}
    for group in groups:
        runs = group.counted_once
        row = {by: display_name(group.name), "seeds": runs.averaged or len(runs.seeds)}
        row["documents"] = len(runs.labels)
        for metric in metrics:
            sample = sample_of(p, runs, metric)
            if len(sample.scores) > 1:
                seed_scores[metric][row[by]] = sample.scores.tolist()
            row |= {metric: np.nan, f"{metric}_sd": standard_deviation(sample.scores)}
            row |= mean_and_interval(metric, sample, METRICS[metric].limits)
        rows.append(row)
    table = with_metrics(pd.DataFrame(rows), {metric: metric for metric in metrics})
    table.attrs["seed_scores"] = seed_scores
    if verdict:
        _mark_best(p, table, by, metrics)
    _add_notes(table, p, metrics, has_ensembles=any(group.averaged for group in groups))
    return table


def _add_notes(
    table: pd.DataFrame, p: Predictions, metrics: list[str], *, has_ensembles: bool
) -> None:
    """Say what F1 is of, and what an ensemble's interval is for."""
    notes = [table.attrs["note"]] if "note" in table.attrs else []
    if "f1" in metrics:
        notes.append(f"F1 is of the class {escape(p.label_names[1])}.")
    if has_ensembles:
        notes.append(
            "An ensemble is one model: its interval is for other test documents alone, and it is "
            "not compared."
        )
    if notes:
        table.attrs["note"] = " ".join(notes)


def _mark_best(p: Predictions, table: pd.DataFrame, by: str, metrics: list[str]) -> None:
    """Make the best score of each column bold, where it differs from every other."""
    compared = [differences(p, by=by, metric=metric) for metric in metrics]
    table.attrs["bold"] = []
    for metric, pairs in zip(metrics, compared, strict=True):
        row = best_significant(table, pairs, by=by, metric=metric)
        if row is not None:
            table.attrs["bold"].append((row, metric))
    if table.attrs["bold"]:
        table.attrs["note"] = "Bold: significantly better than every other model."


def by_run(p: Predictions, *, by: str, metrics: list[str]) -> pd.DataFrame:
    """One row a trained run: its key, chosen and last epoch, and test scores at both."""
    chosen = _scores_by_run(p, "chosen")
    last = _scores_by_run(p, "last")
    rows = []
    for key, run in p.trained.items():
        if key not in chosen:
            continue
        config = run["config"]
        row = {"run": key, by: str(config[by]), "seed": config["seed"]}
        if config.get("fold"):
            row["fold"] = config["fold"]
        row["chosen epoch"] = run["chosen_epoch"]
        row |= {metric: chosen[key][metric] for metric in metrics}
        if key in last:
            row |= {f"{metric}, last epoch": last[key][metric] for metric in metrics}
        rows.append(row)
    at_last = {f"{metric}, last epoch": metric for metric in metrics}
    table = with_metrics(pd.DataFrame(rows), {metric: metric for metric in metrics} | at_last)
    table.attrs["shown"] = ["run", by, "seed", metrics[0], f"{metrics[0]}, last epoch"]
    return table


def _scores_by_run(p: Predictions, epoch: str) -> dict[str, dict]:
    """Test scores of each run after its chosen or last epoch, by its key."""
    return {
        key: run_scores(p, group).iloc[0].to_dict()
        for key, number, group in p.single("test")
        if number == p.runs[key][f"{epoch}_epoch"]
    }


def by_epoch(p: Predictions, *, by: str, metrics: list[str]) -> pd.DataFrame:
    """Mean and standard deviation over seeds of dev scores after every epoch."""
    rows = []
    last = max(run["last_epoch"] for run in p.runs.values())
    for epoch in range(1, last + 1):
        for group in p.groups(by, split="dev", epoch=epoch):
            if group.is_reference:
                continue
            row = {by: group.name, "epoch": epoch, "seeds": len(group.seeds)}
            scores = run_scores(p, group)
            for metric in metrics:
                row[metric] = scores[metric].mean()
                row[f"{metric}_sd"] = standard_deviation(scores[metric])
            rows.append(row)
    table = pd.DataFrame(rows).sort_values([by, "epoch"], kind="stable", ignore_index=True)
    return with_metrics(table, {metric: metric for metric in metrics})


def without_rows(p: Predictions, *, by: str, metrics: list[str], rows: list[int]) -> pd.DataFrame:
    """`by_group` on test, and again without the documents of some rows, such as those that
    nearly repeat one of train; where none is left, a note says so."""
    left_out = (p.frame["split"] == "test") & p.frame["row"].isin(rows)
    every = by_group(p, by=by, metrics=metrics)
    rest = by_group(dataclasses.replace(p, frame=p.frame[~left_out]), by=by, metrics=metrics)
    is_empty = not len(rest)
    if is_empty:
        rest = every.assign(documents=0)
        for metric in metrics:
            rest = rest.assign(**no_score(metric))
        rest = rest.drop(columns=[f"{metric}_values" for metric in metrics], errors="ignore")
    repeated = every["documents"] - rest["documents"]
    table = every[[by, "seeds", "documents"]].assign(**{"near-duplicates": repeated})
    columns = {}
    for metric in metrics:
        for column, scores in ((metric, every), (f"{metric}, without", rest)):
            columns[column] = metric
            renamed = score_as(column, scores, metric)
            table[list(renamed)] = renamed
    if is_empty:
        table.attrs["note"] = (
            "Every test document has a near-duplicate in train or dev: without them, nothing "
            "remains to be scored."
        )
    return with_metrics(table, columns)
