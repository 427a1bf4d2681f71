"""The study of the original studies' bugs: its runs, and tables of each bug off and on."""

import dataclasses

import pandas as pd
from matplotlib.figure import Figure

from lib.analysis import captions
from lib.analysis.comparisons import comparison_table, mark_significant
from lib.analysis.display import title as metric_title
from lib.analysis.display import with_metrics, words
from lib.analysis.pairs import MINUS, pairs_of
from lib.analysis.predictions import Predictions
from lib.analysis.tables import by_group, by_run
from lib.errors import InputError, lookup
from lib.heads import HEADS
from lib.runs.config import RunConfig
from lib.runs.store import Run, Runs
from notebooks.audit_heads import UNMASKED, padded_heads
from notebooks.audit_picks import DEFAULTS, PAIRED, PICKS, STATES, Pick, half_of
from plots.intervals import interval_rows
from plots.style import GREY, add_title, styled

ON_OFF = f"on{MINUS}off"

CAPTIONS = {  # of the tables and figures by their names
    "padding_read": f"{captions.SCORES}; so in all tables below.",
    "padding_read_effects": captions.differences(),
    "wrong_pad": "Unmasked heads, padded with the padding token (off) and with the token that "
    "begins every document (on).",
    "first_evaluation": "The cell that wins on dev, scored on test. Every seed is a search of its "
    "own.",
    "test_chooses": "The epoch of the common configuration, and the epoch and cell among all "
    "optimizers and learning rates.",
    "runs": captions.LAST_EPOCH,
    "effects": "Dots: mean over seeds, full where the difference is significant among those of "
    "its own bug. Bars: 95 % interval over test documents and seeds.",
}


# ---- its runs


def register_heads(max_length: int) -> None:
    """Make the faulty heads, which pad to `max_length` tokens, rows of `lib.heads.HEADS`."""
    HEADS.update(padded_heads(max_length))


def head_configs(base: RunConfig, seeds: list[int]) -> list[RunConfig]:
    """The heads that are compared, clean and unmasked; those of the grid are of another list."""
    heads = ["cls", "lstm"]
    heads += [name for name in padded_heads(base.max_length) if UNMASKED in name]
    return [base.with_(head=head, seed=seed) for head in heads for seed in seeds]


def grid_configs(
    base: RunConfig, rates: list[float], factors: list[float], seeds: list[int]
) -> list[RunConfig]:
    """The cells of the grid that is searched: `base`'s optimizer at its learning rate and at
    `rates`, and Adagrad and Adadelta at factors of both default learning rates."""
    cells = [(base.optimizer, rate) for rate in [base.learning_rate, *rates]]
    for optimizer, defaults in DEFAULTS.items():
        cells += [(optimizer, rate * factor) for rate in defaults.values() for factor in factors]
    configs = []
    for optimizer, rate in cells:
        cell = {"optimizer": optimizer, "learning_rate": float(f"{rate:.6g}")}
        configs += [base.with_(**cell, test_every_epoch=True, seed=seed) for seed in seeds]
    return configs


def student_configs(
    base: RunConfig, grid: Runs, *, layers: list[int], temperature: float, soft: float, hard: float
) -> list[RunConfig]:
    """Students of the runs of `base`'s own cell, which have these layers of their teacher: from the
    labels alone, and with soft labels, with the factor T² and without."""
    cell = (base.optimizer, base.learning_rate)
    teachers = [run for run in grid if (run.config.optimizer, run.config.learning_rate) == cell]
    of_labels = {"hard": 1.0}
    with_square = {"soft": soft, "hard": hard}
    without = {"soft": soft / temperature**2, "hard": hard}
    return [
        _student(base, teacher, layers, temperature, weights)
        for weights in (of_labels, with_square, without)
        for teacher in teachers
    ]


def _student(
    base: RunConfig, teacher: Run, layers: list[int], temperature: float, weights: dict[str, float]
) -> RunConfig:
    distil = {"teacher": teacher.key[:16], "student_layers": layers}
    distil |= {"temperature": temperature, "weights": weights}
    return base.with_(layers=None, seed=teacher.config.seed, distil=distil)


# ---- its tables


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
    """Test scores with a bug off and on: mean over seeds and 95 % interval (`by_group`)."""
    tables = []
    for what, runs in _by_subject(variants(p, bug, metric, **settings)).items():
        table = by_group(runs, by="bug", metrics=[metric])
        table.insert(0, "what", what)
        tables.append(table)
    return with_metrics(pd.concat(tables, ignore_index=True), {metric: metric})


def bug_effects(p: Predictions, *, bug: str, metric: str = "accuracy", **settings) -> pd.DataFrame:
    """What a bug changes, on the same test documents, with intervals and verdicts as those of
    `lib.analysis.comparisons.differences`; the family is this table. Where a bug is a way to choose
    among the same runs (`PAIRED`), it is compared seed by seed."""
    runs = variants(p, bug, metric, **settings)
    subjects = []
    pairs = []
    for what, of_subject in _by_subject(runs).items():
        for pair in pairs_of(of_subject, by="bug", metric=metric, paired=bug in PAIRED):
            subjects.append(what)
            pairs.append(pair)
    table = comparison_table(pairs, [pair.name for pair in pairs])
    table.insert(0, "what", subjects)
    mark_significant(table, metric)
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


@styled
def effect_intervals(table: pd.DataFrame, *, by: str, within: str, metric: str) -> Figure:
    """Differences of a score with 95 % intervals, a row each, in a colour for each of `by`;
    those that are not significant are hollow. `table` has the columns of
    `lib.analysis.comparisons.differences`, and names each row by `by` and `within`."""
    figure = Figure(figsize=(9.6, 1.1 + 0.36 * len(table)))
    ax = figure.subplots()
    names = [f"{row[by]}: {row[within]}" for row in table.to_dict("records")]
    interval_rows(ax, table, by, metric, names)
    ax.axvline(0, color=GREY, linewidth=1, zorder=1)
    ax.xaxis.set_major_formatter(
        lambda value, _: f"{100 * value:+.0f}".replace("-", "−").replace("+0", "0")
    )
    ax.set_xlabel(f"difference of test {metric_title(metric)} in points, with 95 % interval")
    add_title(figure, "Test accuracy with each bug, less that without")
    return figure
