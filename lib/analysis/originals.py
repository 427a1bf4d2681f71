"""The original studies' bugs, off and on: tables from predictions, as on every page."""

import dataclasses

import pandas as pd

from lib.analysis.bug_picks import PICKS, STATES, Pick, half_of
from lib.analysis.comparisons import compare_pairs, comparison_table, mark_verdicts, pairs_of
from lib.analysis.display import with_metrics, words
from lib.analysis.predictions import Predictions
from lib.analysis.stats import detectable_of
from lib.analysis.tables import by_group, by_run
from lib.errors import InputError, lookup


def variants(p: Predictions, bug: str, metric: str = "accuracy", **settings) -> Predictions:
    """The test predictions that a bug is about, as runs of their own with the fields `what` and
    `bug` (of `STATES`).

    Raises InputError for a task that is not classification.
    """
    if p.task != "classification":
        raise InputError(
            f"The bugs of the original studies are shown on classification; the task is {p.task}"
        )
    picks = lookup(PICKS, bug, "bug")(p, metric, **settings)
    places = subjects_of(picks)
    picks = sorted(picks, key=lambda pick: (places.index(pick.what), STATES.index(pick.bug)))
    test = p.frame[p.frame["split"] == "test"]
    rows_at = {
        at: rows.reset_index(drop=True)
        for at, rows in test.groupby(["run", "epoch"], observed=True)
    }
    frames = []
    runs = {}
    for pick in picks:
        name = f"{pick.what}, {pick.bug}, {pick.seed}"
        frames.append(_rows(pick, rows_at).assign(run=name, epoch=1))
        config = {
            "backbone": p.runs[pick.at[0]]["config"]["backbone"],
            "seed": pick.seed,
            "what": pick.what,
            "bug": pick.bug,
            "at": pick.at,
        }
        runs[name] = {"config": config, "status": "finished", "chosen_epoch": 1, "last_epoch": 1}
    return dataclasses.replace(p, frame=pd.concat(frames, ignore_index=True), runs=runs)


def _rows(pick: Pick, rows_at: dict[tuple[str, int], pd.DataFrame]) -> pd.DataFrame:
    """The test predictions of a pick: of one run and epoch, or half of them of another."""
    rows = rows_at[pick.at]
    if pick.rest is None:
        return rows
    half = half_of(rows["label"].to_numpy())
    return pd.concat([rows[half], rows_at[pick.rest][~half]]).sort_index()


def subjects_of(picks: list[Pick]) -> list[str]:
    """What the picks are about, in order."""
    return list(dict.fromkeys(pick.what for pick in picks))


def _by_subject(p: Predictions) -> dict[str, Predictions]:
    """The variants of each subject."""
    names = dict.fromkeys(run["config"]["what"] for run in p.runs.values())
    return {name: p.where(what=name) for name in names}


def bug_scores(p: Predictions, *, bug: str, metric: str = "accuracy", **settings) -> pd.DataFrame:
    """Test scores with a bug off and on: mean and standard deviation over seeds, 95 % interval
    (`by_group`)."""
    tables = []
    for what, runs in _by_subject(variants(p, bug, metric, **settings)).items():
        table = by_group(runs, by="bug", metrics=[metric])
        table.insert(0, "what", what)
        tables.append(table)
    return with_metrics(pd.concat(tables, ignore_index=True), {metric: metric})


def bug_effects(p: Predictions, *, bug: str, metric: str = "accuracy", **settings) -> pd.DataFrame:
    """What a bug changes, on the same test documents and seed by seed, with intervals and
    verdicts as those of `lib.analysis.comparisons.differences`; the family is this table.
    Detectable: the smallest true difference that these seeds and documents tell from zero four
    times in five, before Holm."""
    runs = variants(p, bug, metric, **settings)
    subjects = []
    pairs = []
    for what, of_subject in _by_subject(runs).items():
        for pair in pairs_of(of_subject, by="bug", metric=metric):
            subjects.append(what)
            pairs.append(pair)
    if not pairs:
        table = pd.DataFrame(columns=["what", "compared", metric, "stands"])
    else:
        table = comparison_table(
            compare_pairs(runs, pairs, metric, [pair.name for pair in pairs]), metric
        )
        table.insert(0, "what", subjects)
        table[f"{metric}, detectable"] = [
            detectable_of(pair.values, pair.resampled) for pair in pairs
        ]
    columns = {metric: metric, "p (Holm)": "p", f"{metric}, detectable": metric}
    with_metrics(table, columns)
    mark_verdicts(table, metric, "McNemar's")
    return table


def _setting(config: dict) -> str:
    """What a run of this study was."""
    text = f"{words(config['head'])}, {config['optimizer']} at {config['learning_rate']:g}"
    if config["distil"]:
        weights = [f"{name} {weight:g}" for name, weight in config["distil"]["weights"].items()]
        text += f", student ({', '.join(weights)})"
    return text


def every_run(p: Predictions, *, metrics: list[str]) -> pd.DataFrame:
    """`lib.analysis.tables.by_run` of all runs, by what they were."""
    runs = {
        key: run | {"config": run["config"] | {"setting": _setting(run["config"])}}
        for key, run in p.runs.items()
    }
    return by_run(dataclasses.replace(p, runs=runs), by="setting", metrics=metrics)


TABLES = {function.__name__: function for function in (bug_scores, bug_effects, every_run)}
