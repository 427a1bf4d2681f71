"""The original studies' bugs, off and on: tables and sentences from predictions, as on every page.

A bug says which run, after which epoch, stands for each seed with the bug off and on; the rest is
the same for all of them. Two are made in training (`lib.analysis.bugs`), two are settings, and two
are ways to choose among runs.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd

from lib.analysis.bugs import UNMASKED, WRONG_PAD
from lib.analysis.findings import _listed, count, percent, points
from lib.analysis.predictions import Predictions
from lib.analysis.searches import dev_scores
from lib.analysis.tables import (
    by_group,
    by_run,
    cell_of,
    differences,
    judged,
    pairs_of,
    run_scores,
    verdict_note,
)
from lib.analysis.verdicts import detectable_of
from lib.errors import InputError, lookup
from lib.runs.baselines import NAMES

HEAD = "weighted_average"  # of the runs that are about something else than heads
SPOKEN = {"cls": "cls", "weighted_average": "weighted average", "lstm": "LSTM"}
DEFAULTS = {
    "adagrad": {"off": 0.01, "on": 1.0},
    "adadelta": {"off": 1.0, "on": 0.01},
}  # PyTorch's, the original's
HOW = ("with T²", "without")
ORDER = ("either", "labels alone", "other half chooses", "off", "on")  # of what a bug can be


@dataclasses.dataclass(frozen=True)
class Pick:
    """The run, after an epoch, that stands for a seed; `rest` names the one for the documents
    outside `_half`."""

    what: str
    bug: str  # of ORDER
    seed: int
    at: tuple[str, int]  # run, epoch
    rest: tuple[str, int] | None = None


def _trained(p: Predictions) -> dict[str, dict]:
    """The trained runs that have predictions."""
    return {
        k: r
        for k, r in p.runs.items()
        if r["config"]["backbone"] not in NAMES and r["chosen_epoch"]
    }


def _cells(p: Predictions) -> dict[str, dict]:
    """The runs that differ in optimizer, learning rate and seed alone."""
    return {
        k: r
        for k, r in _trained(p).items()
        if r["config"]["head"] == HEAD and not r["config"]["distil"]
    }


def _base(p: Predictions) -> tuple:
    """The cell that the heads are compared at."""
    found = [cell_of(run) for run in _trained(p).values() if run["config"]["head"] == "cls"]
    if not found:
        raise InputError(
            "No run of the head cls has predictions, beside which the others are compared; train it, too"
        )
    return found[0]


def _pick(what: str, bug: str, key: str, run: dict) -> Pick:
    return Pick(what, bug, run["config"]["seed"], (key, run["chosen_epoch"]))


def _by_head(p: Predictions, off: str, on: str) -> list[Pick]:
    picks, base, states = [], _base(p), {off: "off", on: "on"}
    for key, run in _trained(p).items():
        head = run["config"]["head"]
        clean = head.removesuffix(WRONG_PAD).removesuffix(UNMASKED)
        state = "either" if head == "cls" else states.get(head.removeprefix(clean))
        if clean in SPOKEN and state and cell_of(run) == base and not run["config"]["distil"]:
            picks.append(_pick(SPOKEN[clean], state, key, run))
    return picks


def padding_read(p: Predictions, metric: str) -> list[Pick]:
    """Heads that average, or step through, padding as if it were text."""
    return _by_head(p, "", UNMASKED)


def wrong_pad(p: Predictions, metric: str) -> list[Pick]:
    """The same heads, padded with the right token and with the token that begins every document."""
    return _by_head(p, UNMASKED, UNMASKED + WRONG_PAD)


def first_evaluation(p: Predictions, metric: str) -> list[Pick]:
    """Cells ranked by their best evaluation on dev, or by their first; either way the winner is
    taken at its best."""
    runs, table, picks = _cells(p), dev_scores(p, metric), []
    table = table[table["run"].isin(list(runs))]
    ranks = {"off": table, "on": table[table["epoch"] == 1]}
    for bug, seen in ranks.items():
        best = seen.groupby("run")[metric].max()
        for seed in _seeds(runs):
            key = max(
                (k for k, r in runs.items() if r["config"]["seed"] == seed),
                key=lambda k: best.get(k, 0.0),
            )
            picks.append(_pick("winner of the grid", bug, key, runs[key]))
    return picks


def no_square(p: Predictions, metric: str) -> list[Pick]:
    """Students that learn from soft labels with the factor T², without it, and from the labels
    alone."""
    students = {key: run for key, run in _trained(p).items() if run["config"]["distil"]}
    soft = {
        key: run["config"]["distil"]["weights"].get("soft", 0.0) for key, run in students.items()
    }
    if len({*soft.values()} - {0.0}) != 2:
        raise InputError(
            "Two weights of soft labels are needed, with and without T²; at temperature 1 they are the same"
        )
    states = {0.0: "labels alone", max(soft.values()): "off"}
    return [
        _pick("student", states.get(soft[key], "on"), key, run) for key, run in students.items()
    ]


def swapped_rates(p: Predictions, metric: str, factors: list[float] = (1.0,)) -> list[Pick]:
    """Adagrad and Adadelta at factors of the default that is theirs, and of the other's; dev
    chooses the factor."""
    picks, best = [], dev_scores(p, metric).groupby("run")[metric].max()
    for optimizer, defaults in DEFAULTS.items():
        runs = {
            key: run for key, run in _cells(p).items() if run["config"]["optimizer"] == optimizer
        }
        for bug, default in defaults.items():
            cells: dict[float, list[str]] = {}
            for key, run in runs.items():
                rate = run["config"]["learning_rate"]
                if any(np.isclose(rate, default * factor) for factor in factors):
                    cells.setdefault(rate, []).append(key)
            chosen = max(cells.values(), key=lambda keys: best[keys].mean(), default=[])
            picks += [_pick(optimizer.title(), bug, key, runs[key]) for key in chosen]
    return picks


def test_chooses(p: Predictions, metric: str) -> list[Pick]:
    """The epoch, or epoch, optimizer and learning rate, that dev chooses; that the test
    documents choose which score it; and that one half of them chooses for the other, an honest
    score of as many choices by half the documents."""
    runs, base, picks = _cells(p), _base(p), []
    dev = dev_scores(p, metric).set_index(["run", "epoch"])[metric].to_dict()
    tested = {(key, epoch): group for key, epoch, group in p.single("test") if (key, epoch) in dev}
    whole, one, other = {}, {}, {}
    for at, group in tested.items():
        half = _half(group.labels)
        for scores, rows in ((whole, slice(None)), (one, half), (other, ~half)):
            part = dataclasses.replace(
                group, labels=group.labels[rows], logits=group.logits[:, rows]
            )
            scores[at] = float(run_scores(p, part)[metric].iloc[0])
    subjects = {"epoch": [key for key, run in runs.items() if cell_of(run) == base]}
    subjects["epoch and cell"] = list(runs)
    for what, keys in subjects.items():
        for seed in _seeds(runs):
            tried = [at for at in tested if at[0] in keys and runs[at[0]]["config"]["seed"] == seed]
            picks += [
                Pick(what, bug, seed, max(tried, key=by.get))
                for bug, by in (("off", dev), ("on", whole))
            ]
            picks.append(
                Pick(
                    what,
                    "other half chooses",
                    seed,
                    max(tried, key=other.get),
                    max(tried, key=one.get),
                )
            )
    return picks


def _half(labels: np.ndarray) -> np.ndarray:
    """A random half of the test documents, always the same, with half of each label: booleans
    (rows,)."""
    half = np.zeros(len(labels), bool)
    half[np.lexsort((np.random.default_rng(0).random(len(labels)), labels))[::2]] = True
    return half


def _seeds(runs: dict[str, dict]) -> list[int]:
    return list(dict.fromkeys(run["config"]["seed"] for run in runs.values()))


PICKS: dict[str, Callable] = {
    f.__name__: f
    for f in (padding_read, wrong_pad, first_evaluation, no_square, swapped_rates, test_chooses)
}


def variants(p: Predictions, bug: str, metric: str = "accuracy", **settings) -> Predictions:
    """The test predictions that a bug is about, as runs of their own with the fields `what` and
    `bug` (of `ORDER`).

    Raises InputError for a task that is not classification.
    """
    if p.task != "classification":
        raise InputError(
            f"The bugs of the original studies are shown on classification; the task is {p.task}"
        )
    picks = lookup(PICKS, bug, "bug")(p, metric, **settings)
    places = list(dict.fromkeys(pick.what for pick in picks))
    picks = sorted(picks, key=lambda pick: (places.index(pick.what), ORDER.index(pick.bug)))
    test = p.frame[p.frame["split"] == "test"]
    parts = {
        at: rows.reset_index(drop=True)
        for at, rows in test.groupby(["run", "epoch"], observed=True)
    }
    frames, runs = [], {}
    for pick in picks:
        name, rows = f"{pick.what}, {pick.bug}, {pick.seed}", parts[pick.at]
        if pick.rest:
            half = _half(rows["label"].to_numpy())
            rows = pd.concat([rows[half], parts[pick.rest][~half]]).sort_index()
        frames.append(rows.assign(run=name, epoch=1))
        config = {"backbone": p.runs[pick.at[0]]["config"]["backbone"], "seed": pick.seed}
        config |= {"what": pick.what, "bug": pick.bug, "at": pick.at}
        runs[name] = {"config": config, "status": "finished", "chosen_epoch": 1, "last_epoch": 1}
    return dataclasses.replace(p, frame=pd.concat(frames, ignore_index=True), runs=runs)


def _subjects(found: Predictions) -> list[str]:
    return list(dict.fromkeys(run["config"]["what"] for run in found.runs.values()))


def bug_scores(p: Predictions, *, bug: str, metric: str = "accuracy", **settings) -> pd.DataFrame:
    """Test scores with a bug off and on: mean and standard deviation over seeds, 95 % interval
    (`by_group`)."""
    found, tables = variants(p, bug, metric, **settings), []
    for what in _subjects(found):
        table = by_group(found.where(what=what), by="bug", metrics=[metric])
        table.insert(0, "what", what)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def bug_effects(p: Predictions, *, bug: str, metric: str = "accuracy", **settings) -> pd.DataFrame:
    """What a bug changes, on the same test documents and seed by seed, with intervals and
    verdicts as those of `lib.analysis.tables.differences`; the family is this table. Detectable:
    the smallest true difference that these seeds and documents tell from zero four times in
    five, before Holm."""
    found = variants(p, bug, metric, **settings)
    pairs = [
        (what, pair)
        for what in _subjects(found)
        for pair in pairs_of(found.where(what=what), by="bug", metric=metric)
    ]
    names = [f"{one.name} − {other.name}" for _, (one, other, *_) in pairs]
    rows = [
        {"what": what} | row | {f"{metric}, detectable": detectable_of(*pair[3:])}
        for (what, pair), row in zip(
            pairs, judged(found, [pair for _, pair in pairs], metric, names), strict=True
        )
    ]
    table = pd.DataFrame(rows, columns=None if rows else ["what", "compared", metric, "stands"])
    table.attrs["bold"] = [(i, metric) for i, row in enumerate(rows) if row["stands"] == "yes"]
    if rows:
        table.attrs["note"] = verdict_note(table, "McNemar's")
    return table


def _setting(config: dict) -> str:
    """What a run of this study was."""
    told = (
        f"{config['head'].replace('_', ' ')}, {config['optimizer']} at {config['learning_rate']:g}"
    )
    return told + (
        f", student ({', '.join(f'{k} {v:g}' for k, v in config['distil']['weights'].items())})"
        if config["distil"]
        else ""
    )


def every_run(p: Predictions, *, metrics: list[str]) -> pd.DataFrame:
    """`lib.analysis.tables.by_run` of all runs, by what they were."""
    runs = {
        k: run | {"config": run["config"] | {"setting": _setting(run["config"])}}
        for k, run in p.runs.items()
    }
    return by_run(dataclasses.replace(p, runs=runs), by="setting", metrics=metrics)


TABLES = {function.__name__: function for function in (bug_scores, bug_effects, every_run)}


def _told(row: dict, metric: str) -> str:
    """A difference with its interval and verdict."""
    low, high = (points(row[f"{metric}{end}"]) for end in ("_low", "_high"))
    text = f"{points(row[metric])} points (95 % interval {low} to {high})"
    least = points(row[f"{metric}, detectable"]).removeprefix("+")
    told = f" (one of {least} points would, four times in five)" if least != "0.0" else ""
    return text + (", which stands" if row["stands"] == "yes" else f", which does not stand{told}")


def _effects(p: Predictions, bug: str, metric: str, **settings) -> dict[tuple[str, str], dict]:
    rows = bug_effects(p, bug=bug, metric=metric, **settings).to_dict("records")
    return {(row["what"], row["compared"]): row for row in rows}


def _heads(p: Predictions, metric: str, bug: str) -> tuple[bool, str]:
    found, standing, told = variants(p, bug, metric), [], []
    for state in ("off", "on"):
        rows = differences(found.where(bug=[state, "either"]), by="what", metric=metric).to_dict(
            "records"
        )
        clear = [row for row in rows if row["stands"] == "yes"]
        standing.append({(row["compared"], row[metric] > 0) for row in clear})
        listed = ", ".join(f"{row['compared']} {points(row[metric])} points" for row in clear)
        told.append(
            f"{len(clear)} of {len(rows)} with the bug {state}" + (f" ({listed})" if listed else "")
        )
    effects = _effects(p, bug, metric)
    moved = "; ".join(
        f"of the {what} by {_told(row, metric)}" for (what, _), row in effects.items()
    )
    claim = f"The differences between the heads that stand are {told[0]}, and {told[1]}."
    return standing[0] != standing[1], f"{claim} The bug itself changes the accuracy {moved}"


def _ranking(p: Predictions, metric: str, bug: str) -> tuple[bool, str]:
    runs = variants(p, bug, metric).runs.values()
    won = {
        (r["config"]["bug"], r["config"]["seed"]): p.runs[r["config"]["at"][0]]["config"]
        for r in runs
    }
    parts = []
    for seed in dict.fromkeys(seed for _, seed in won):
        names = [
            f"{won[bug, seed]['optimizer']} at {won[bug, seed]['learning_rate']:g}"
            for bug in ("on", "off")
        ]
        if names[0] != names[1]:
            parts.append(f"{names[0]} instead of {names[1]} with seed {seed}")
    told = f"The first evaluation ranks another cell first in {len(parts)} of {count(len(won) // 2, 'seed')}"
    told += f" ({'; '.join(parts)})" if parts else ""
    effect = _effects(p, bug, metric)["winner of the grid", "on − off"]
    return bool(parts), f"{told}. Its winner's test accuracy differs by {_told(effect, metric)}"


def _soft(p: Predictions, metric: str, bug: str) -> tuple[bool, str]:
    rows = _effects(p, bug, metric)
    gains = [rows["student", f"{state} − labels alone"] for state in ("off", "on")]
    told = ", and ".join(
        f"{how} by {_told(gain, metric)}" for how, gain in zip(HOW, gains, strict=True)
    )
    ends = [gain["stands"] == "yes" and gain[metric] > 0 for gain in gains]
    effect = _told(rows["student", "on − off"], metric)
    text = f"Beside the labels alone, soft labels change the accuracy {told}. Leaving T² out changes it by {effect}"
    return ends[0] != ends[1], text


def _rates(p: Predictions, metric: str, bug: str, **settings) -> tuple[bool, str]:
    table = bug_scores(p, bug=bug, metric=metric, **settings)
    reference = next(
        group for group in p.keep(lambda run: False).groups("backbone") if group.name == "majority"
    )
    level, ends, parts = float(run_scores(p, reference)[metric].iloc[0]), [], []
    for state, whose in (("off", "PyTorch's"), ("on", "the original's")):
        rows = table[table["bug"] == state].set_index("what").to_dict("index")
        trains = [name for name, row in rows.items() if row[f"{metric}_low"] > level]
        ends.append(set(trains))
        names = [name.title() for name in DEFAULTS]
        scored = _listed(
            f"{n} {percent(rows[n][metric]) if n in rows else 'without a score'}" for n in names
        )
        told = f"{_listed(trains) if trains else 'neither'} train{'s' * (len(trains) < 2)}"
        parts.append(f"from {whose} default {told} ({scored})")
    text = f"A run trains if its interval is above the majority class's {percent(level)}: {'; '.join(parts)}"
    return ends[0] != ends[1], text


def _selection(p: Predictions, metric: str, bug: str) -> tuple[bool, str]:
    rows, parts, changed = _effects(p, bug, metric), [], []
    for what in ("epoch", "epoch and cell"):
        more, unseen = rows[what, "on − off"], rows[what, "on − other half chooses"]
        changed.append(more["stands"] == "yes")
        parts.append(
            f"where test chooses the {what}, the reported accuracy is apart from the honest one by "
            f"{_told(more, metric)}, and {points(unseen[metric])} points from what the same choice scores on documents "
            "that had no say"
        )
    text = "; ".join(parts)
    return any(changed), text[0].upper() + text[1:]


CLAIMS: dict[
    str, tuple[str, str, Callable]
] = {  # bug -> what it is, whose, and whether the claim changes
    "padding_read": ("Heads that read padding", "the heads are level (IMDB heads)", _heads),
    "wrong_pad": ("The wrong pad token", "the heads are level (IMDB heads)", _heads),
    "first_evaluation": (
        "Ranking by the first evaluation",
        "which cell is the best (grid search)",
        _ranking,
    ),
    "no_square": ("No factor T²", "soft labels help a student (CSV and YAML plugin)", _soft),
    "swapped_rates": (
        "Swapped default rates",
        "Adagrad and Adadelta fail to train (EURLex optimizers)",
        _rates,
    ),
    "test_chooses": (
        "Test documents choose",
        "the reported score (AG News, EURLex optimizers)",
        _selection,
    ),
}


def _settings(bug: str, factors: list[float] | None) -> dict:
    return {"factors": factors} if bug == "swapped_rates" and factors else {}


def claim(
    p: Predictions, *, bug: str, metric: str = "accuracy", factors: list[float] | None = None
) -> str:
    """Whether a bug changes what its study claims, here."""
    what, claimed, judge = lookup(CLAIMS, bug, "bug")
    changes, told = judge(p, metric, bug, **_settings(bug, factors))
    return f"**{what}.** Claim: {claimed}. {told}. The claim **{'changes' if changes else 'does not change'}** here."


def claims(p: Predictions, *, metric: str = "accuracy", factors: list[float] | None = None) -> str:
    """How many of the bugs change their study's claim here, and whose effect on the score stands
    by itself."""
    changed, effects = [], []
    for bug, (what, _, judge) in CLAIMS.items():
        settings, name = _settings(bug, factors), what[0].lower() + what[1:]
        changed += [name] if judge(p, metric, bug, **settings)[0] else []
        rows = _effects(p, bug, metric, **settings)
        clear = [
            row
            for (_, compared), row in rows.items()
            if compared == "on − off" and row["stands"] == "yes"
        ]
        effects += [name] if clear else []
    names = [f" ({', '.join(found)})" if found else "" for found in (changed, effects)]
    return (
        f"**{len(changed)} of {len(CLAIMS)}** bugs of the original studies change here what their study "
        f"claims{names[0]}; {len(effects)} of {len(CLAIMS)} change the test accuracy itself by a difference that "
        f"stands{names[1]}."
    )


FINDINGS = {function.__name__: function for function in (claims, claim)}
