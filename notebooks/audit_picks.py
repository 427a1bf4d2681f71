"""The original studies' bugs, off and on: which runs show each.

A bug says which run, after which epoch, stands for each seed with the bug off and on; the rest is
the same for all of them. Two are made in training (`notebooks.audit_heads`), two are settings, and
two are ways to choose among runs.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from lib.analysis.cells import cell_of
from lib.analysis.groups import Group
from lib.analysis.predictions import Predictions
from lib.analysis.scores import dev_scores, run_scores
from lib.errors import InputError
from notebooks.audit_heads import UNMASKED, WRONG_PAD

HEAD = "weighted_average"  # of the runs that are about something else than heads
HEADS = {"cls": "CLS", "weighted_average": "weighted average", "lstm": "LSTM"}  # in tables
DEFAULTS = {  # PyTorch's, the original's
    "adagrad": {"off": 0.01, "on": 1.0},
    "adadelta": {"off": 1.0, "on": 0.01},
}
OTHER_HALF = "other half chooses"
STATES = ("either", "labels alone", OTHER_HALF, "off", "on")  # of a bug, as tables order them


@dataclasses.dataclass(frozen=True)
class Pick:
    """The run, after an epoch, that stands for a seed; `rest` names the one for the documents
    outside `half_of`."""

    what: str
    bug: str  # of STATES
    seed: int
    at: tuple[str, int]  # run, epoch
    rest: tuple[str, int] | None = None


def scored(p: Predictions) -> dict[str, dict]:
    """The trained runs that have predictions."""
    return {key: run for key, run in p.trained.items() if run["chosen_epoch"]}


def _cells(p: Predictions) -> dict[str, dict]:
    """The runs that differ in optimizer, learning rate and seed alone."""
    return {
        key: run
        for key, run in scored(p).items()
        if run["config"]["head"] == HEAD and not run["config"]["distil"]
    }


def _base(p: Predictions) -> tuple:
    """The cell that the heads are compared at."""
    for run in scored(p).values():
        if run["config"]["head"] == "cls":
            return cell_of(run)
    raise InputError(
        "No run of the head cls has predictions, beside which the others are compared; train it, "
        "too"
    )


def _pick(what: str, bug: str, key: str, run: dict) -> Pick:
    return Pick(what, bug, run["config"]["seed"], (key, run["chosen_epoch"]))


def _by_head(p: Predictions, off: str, on: str) -> list[Pick]:
    base = _base(p)
    states = {off: "off", on: "on"}
    picks = []
    for key, run in scored(p).items():
        head = run["config"]["head"]
        clean = head.removesuffix(WRONG_PAD).removesuffix(UNMASKED)
        state = "either" if head == "cls" else states.get(head.removeprefix(clean))
        is_compared = cell_of(run) == base and not run["config"]["distil"]
        if clean in HEADS and state and is_compared:
            picks.append(_pick(HEADS[clean], state, key, run))
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
    runs = _cells(p)
    table = dev_scores(p, metric)
    picks = []
    for bug, evaluations in (("off", table), ("on", table[table["epoch"] == 1])):
        best = evaluations.groupby("run")[metric].max()
        for seed in _seeds(runs):
            of_seed = [key for key, run in runs.items() if run["config"]["seed"] == seed]
            winner = max(of_seed, key=lambda key: best.get(key, 0.0))
            picks.append(_pick("winner of the grid", bug, winner, runs[winner]))
    return picks


def no_square(p: Predictions, metric: str) -> list[Pick]:
    """Students that learn from soft labels with the factor T², without it, and from the labels
    alone."""
    students = {key: run for key, run in scored(p).items() if run["config"]["distil"]}
    weights = {
        key: run["config"]["distil"]["weights"].get("soft", 0.0) for key, run in students.items()
    }
    if len({*weights.values()} - {0.0}) != 2:
        raise InputError(
            "Two weights of soft labels are needed, with and without T²; at temperature 1 they are "
            "the same"
        )
    states = {0.0: "labels alone", max(weights.values()): "off"}
    return [
        _pick("student", states.get(weights[key], "on"), key, run) for key, run in students.items()
    ]


def swapped_rates(p: Predictions, metric: str, factors: list[float] = (1.0,)) -> list[Pick]:
    """Adagrad and Adadelta at factors of the default that is theirs, and of the other's; dev
    chooses the factor."""
    best = dev_scores(p, metric).groupby("run")[metric].max()
    runs = _cells(p)
    picks = []
    for optimizer, defaults in DEFAULTS.items():
        for bug, default in defaults.items():
            by_rate: dict[float, list[str]] = {}
            for key, run in runs.items():
                rate = run["config"]["learning_rate"]
                is_tried = any(np.isclose(rate, default * factor) for factor in factors)
                if run["config"]["optimizer"] == optimizer and is_tried:
                    by_rate.setdefault(rate, []).append(key)
            chosen = max(by_rate.values(), key=lambda keys: best[keys].mean(), default=[])
            picks += [_pick(optimizer.title(), bug, key, runs[key]) for key in chosen]
    return picks


def test_chooses(p: Predictions, metric: str) -> list[Pick]:
    """The epoch, or epoch, optimizer and learning rate, that dev chooses; that the test
    documents choose which score it; and that one half of them chooses for the other, an honest
    score of as many choices by half the documents."""
    runs = _cells(p)
    base = _base(p)
    dev = dev_scores(p, metric).set_index(["run", "epoch"])[metric].to_dict()
    every, one_half, other_half = _test_scores(p, metric, dev)
    subjects = {
        "epoch": [key for key, run in runs.items() if cell_of(run) == base],
        "epoch and cell": list(runs),
    }
    picks = []
    for what, keys in subjects.items():
        for seed in _seeds(runs):
            of_seed = [key for key in keys if runs[key]["config"]["seed"] == seed]
            tried = [at for at in every if at[0] in of_seed]
            picks.append(Pick(what, "off", seed, max(tried, key=dev.get)))
            picks.append(Pick(what, "on", seed, max(tried, key=every.get)))
            by_other = max(tried, key=other_half.get)
            by_one = max(tried, key=one_half.get)
            picks.append(Pick(what, OTHER_HALF, seed, by_other, by_one))
    return picks


def _test_scores(p: Predictions, metric: str, scored_on_dev: dict) -> list[dict]:
    """The test score of each run and epoch, on all documents, on `half_of` them and on the rest."""
    scores: list[dict] = [{}, {}, {}]
    for key, epoch, group in p.single("test"):
        if (key, epoch) not in scored_on_dev:
            continue
        half = half_of(group.labels)
        for of_rows, rows in zip(scores, (slice(None), half, ~half), strict=True):
            of_rows[key, epoch] = _score(p, group, rows, metric)
    return scores


def _score(p: Predictions, group: Group, rows, metric: str) -> float:
    group = dataclasses.replace(group, labels=group.labels[rows], logits=group.logits[:, rows])
    return float(run_scores(p, group)[metric].iloc[0])


def half_of(labels: np.ndarray) -> np.ndarray:
    """A random half of the test documents, always the same, with half of each label: booleans
    (rows,)."""
    half = np.zeros(len(labels), bool)
    half[np.lexsort((np.random.default_rng(0).random(len(labels)), labels))[::2]] = True
    return half


def _seeds(runs: dict[str, dict]) -> list[int]:
    return list(dict.fromkeys(run["config"]["seed"] for run in runs.values()))


PAIRED = ("first_evaluation", "test_chooses")  # off and on are choices among the same runs

PICKS: dict[str, Callable] = {
    function.__name__: function
    for function in (
        padding_read,
        wrong_pad,
        first_evaluation,
        no_square,
        swapped_rates,
        test_chooses,
    )
}
