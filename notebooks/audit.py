"""The study of the original studies' bugs: its runs, and tables of each bug off and on."""

import dataclasses

import numpy as np
import pandas as pd

from lib.analysis import captions
from lib.analysis.comparisons import OPEN, SIGNIFICANT, comparison_table, level_of, mark_significant
from lib.analysis.display import spelled, with_metrics
from lib.analysis.names import SPELLED
from lib.analysis.numbers import plain_number
from lib.analysis.pairs import pairs_of
from lib.analysis.predictions import Predictions
from lib.analysis.tables import by_group, by_run
from lib.errors import InputError, lookup
from lib.heads import HEADS
from lib.runs.config import RunConfig
from lib.runs.store import Run, Runs
from notebooks.audit_heads import UNMASKED, head_name, padded_heads
from notebooks.audit_picks import DEFAULTS, PAIRED, PICKS, STATES, Pick, half_of

BUGS = {  # its name, and what its study claims; what a bug changes is the quantity claimed
    "padding_read": ("Heads read padding", "the heads are level"),
    "wrong_pad": ("Wrong pad token", "the heads are level"),
    "first_evaluation": ("Ranked by the first evaluation", "the winner is the best cell"),
    "no_square": ("No factor T²", "soft labels help a student"),
    "swapped_rates": ("Swapped default rates", "Adagrad and Adadelta fail to train"),
    "test_chooses": ("Test documents choose", "the reported score"),
}
CHANGES = {SIGNIFICANT: "yes", OPEN: "not seen"}  # whether the claim changes, by the verdict

CAPTIONS = {  # of the tables and figures by their names
    "effects": "Test accuracy with the bug, less that without it, in points; detectable: "
    "the true effect that these runs would find with 80 % power, if any. A bug changes its study's "
    "claim where its effect on what is claimed is significant.",
    "effects_figure": "Dots: mean over seeds, full where significant. Bars: 95 % intervals, which "
    "hold together; where there are two panels, their scales differ.",
    "padding_read": "The quantity claimed is a head's distance from CLS, which the bug leaves "
    "alone.",
    "wrong_pad": "Unmasked heads, padded with the padding token (off) and with the token that "
    "begins every document (on).",
    "first_evaluation": "The cell that wins on dev, scored on test. Every seed is a search of its "
    "own.",
    "test_chooses": "The epoch of the common configuration, and the epoch and cell among all "
    "optimizers and learning rates.",
    "runs": captions.LAST_EPOCH,
}


# ---- its runs


def register_heads(max_length: int) -> None:
    """Make the faulty heads, which pad to `max_length` tokens, rows of `lib.heads.HEADS`, and their
    names rows of `lib.analysis.names.SPELLED`."""
    faulty = padded_heads(max_length)
    HEADS.update(faulty)
    SPELLED.update({head: head_name(head) for head in faulty})


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
    distil = {"teacher": teacher.name, "student_layers": layers}
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
    places = list(dict.fromkeys(pick.what for pick in picks))
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


def settings_of(bug: str, factors: list[float] | None) -> dict:
    """What a bug's picks are told beside the metric."""
    return {"factors": factors} if bug == "swapped_rates" and factors else {}


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


def effects(
    p: Predictions, *, metric: str = "accuracy", factors: list[float] | None = None
) -> pd.DataFrame:
    """What each bug changes of what its study claims, on the same test documents, and the smallest
    change that these runs would find with 80 % power, none where no change of a share is so large;
    the intervals hold over the whole table.

    Where a bug is a way to choose among the same runs (`PAIRED`), it is compared seed by seed.
    """
    pairs = []
    rows = []
    for bug, (name, claim) in BUGS.items():
        runs = variants(p, bug, metric, **settings_of(bug, factors))
        for what, of_subject in _by_subject(runs).items():
            for pair in pairs_of(of_subject, by="bug", metric=metric, paired=bug in PAIRED):
                if pair.sides == ("on", "off"):
                    pairs.append(pair)
                    rows.append({"name": name, "bug": f"{name}: {what}", "claim": claim})
    table = comparison_table(pairs, [row["bug"] for row in rows]).drop(columns="compared")
    for column in ("claim", "bug", "name"):
        table.insert(0, column, [row[column] for row in rows])
    level = level_of(pairs)
    visible = [pair.estimate.detectable(level) if pair.is_tested else np.nan for pair in pairs]
    table["smallest visible"] = pd.Series(visible).where(lambda effect: effect <= 1)
    table["changes"] = table["verdict"].replace(CHANGES)
    mark_significant(table, metric)
    table.attrs["note"] = (
        f"Bold: significant. The intervals of these {len(pairs)} rows hold together (Šidák)."
    )
    table.attrs["metrics"] |= {"smallest visible": metric}
    table.attrs["headers"] = {"smallest visible": "detectable (points)"}
    table.attrs["shown"] = ["bug", "claim", metric, "smallest visible", "changes"]
    return table


def reference_table(p: Predictions, *, metrics: list[str]) -> pd.DataFrame:
    """The scores of the references, which have no bug."""
    return by_group(p.only(p.references), by="reference", metrics=metrics)


def setting_of(config: dict) -> str:
    """What a run of this study was."""
    optimizer = spelled(config["optimizer"])
    text = f"{head_name(config['head'])}, {optimizer} at {plain_number(config['learning_rate'])}"
    if config["distil"]:
        weights = [f"{name} {weight:g}" for name, weight in config["distil"]["weights"].items()]
        text += f", student ({', '.join(weights)})"
    return text


def every_run(p: Predictions, *, metrics: list[str]) -> pd.DataFrame:
    """`lib.analysis.tables.by_run` of all runs, by what they were."""
    settings = {key: setting_of(run["config"]) for key, run in p.runs.items()}
    return by_run(p.with_field("setting", settings), by="setting", metrics=metrics)
