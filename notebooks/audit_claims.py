"""The original studies' bugs, off and on: whether what a study claims changes, in sentences."""

import dataclasses
from collections.abc import Callable

import numpy as np

from lib.analysis.comparisons import OPEN, SAME, SIGNIFICANT, differences
from lib.analysis.display import count, difference, difference_interval, listed, score, signed
from lib.analysis.pairs import MINUS
from lib.analysis.predictions import Predictions, group_of
from lib.analysis.scores import run_scores
from lib.analysis.stats import POWER
from lib.errors import lookup
from notebooks.audit import ON_OFF, bug_effects, bug_scores, variants
from notebooks.audit_picks import DEFAULTS, OTHER_HALF


def _change(row: dict, metric: str) -> str:
    """A difference with its interval and verdict."""
    if row["verdict"] == SAME:
        return f"{difference(0.0, metric)}: {SAME}"
    interval = difference_interval(row[f"{metric}_low"], row[f"{metric}_high"], metric)
    text = f"{difference(row[metric], metric)} ({interval})"
    if row["verdict"] != OPEN or not np.isfinite(row["detectable"]):
        return f"{text}: {row['verdict']}"
    least = difference(row["detectable"], metric).removeprefix("+")
    return f"{text}: {OPEN} (one of {least} would be found with {100 * POWER:.0f} % power)"


def _effects(p: Predictions, bug: str, metric: str, **settings) -> dict[tuple[str, str], dict]:
    """The rows of `bug_effects` by subject and comparison, with what their table can tell."""
    table = bug_effects(p, bug=bug, metric=metric, **settings)
    least = {"detectable": table.attrs["detectable"]}
    rows = table.to_dict("records")
    return {(row["what"], row["compared"]): row | least for row in rows}


def _heads(p: Predictions, metric: str, bug: str) -> tuple[bool, str]:
    runs = variants(p, bug, metric)
    directions = []
    texts = []
    for state in ("off", "on"):
        compared = differences(runs.where(bug=[state, "either"]), by="what", metric=metric)
        rows = compared[compared["verdict"] == SIGNIFICANT].to_dict("records")
        directions.append({(row["compared"], row[metric] > 0) for row in rows})
        text = f"{len(rows)} of {len(compared)} with the bug {state}"
        if rows:
            each = [f"{row['compared']} {difference(row[metric], metric)}" for row in rows]
            text += f" ({', '.join(each)})"
        texts.append(text)
    effects = _effects(p, bug, metric)
    moved = [f"of the {what} by {_change(row, metric)}" for (what, _), row in effects.items()]
    text = (
        f"Significant differences between the heads: {texts[0]}, and {texts[1]}. The bug "
        f"itself changes the accuracy {'; '.join(moved)}"
    )
    return directions[0] != directions[1], text


def _ranking(p: Predictions, metric: str, bug: str) -> tuple[bool, str]:
    winners: dict[int, dict[str, str]] = {}  # seed -> state of the bug -> cell
    for run in variants(p, bug, metric).runs.values():
        cell = p.runs[run["config"]["at"][0]]["config"]
        name = f"{cell['optimizer']} at {cell['learning_rate']:g}"
        winners.setdefault(run["config"]["seed"], {})[run["config"]["bug"]] = name
    changed = [
        f"{names['on']} instead of {names['off']} with seed {seed}"
        for seed, names in winners.items()
        if names["on"] != names["off"]
    ]
    text = (
        f"The first evaluation ranks another cell first in {len(changed)} of "
        f"{count(len(winners), 'seed')}"
    )
    if changed:
        text += f" ({'; '.join(changed)})"
    effect = _change(_effects(p, bug, metric)["winner of the grid", ON_OFF], metric)
    return bool(changed), f"{text}. Its winner's test accuracy differs by {effect}"


def _soft(p: Predictions, metric: str, bug: str) -> tuple[bool, str]:
    rows = _effects(p, bug, metric)
    with_square = rows["student", f"off{MINUS}labels alone"]
    without = rows["student", f"on{MINUS}labels alone"]
    helps = [row["verdict"] == SIGNIFICANT and row[metric] > 0 for row in (with_square, without)]
    text = (
        f"Beside the labels alone, soft labels change the accuracy with T² by "
        f"{_change(with_square, metric)}, and without by {_change(without, metric)}. "
        f"Leaving T² out changes it by {_change(rows['student', ON_OFF], metric)}"
    )
    return helps[0] != helps[1], text


def _rates(p: Predictions, metric: str, bug: str, **settings) -> tuple[bool, str]:
    table = bug_scores(p, bug=bug, metric=metric, **settings)
    majority = group_of(p.keep(lambda run: False), "backbone", "majority")
    level = float(run_scores(p, majority)[metric].iloc[0])
    which_train = []
    texts = []
    for state, whose in (("off", "PyTorch's"), ("on", "the original's")):
        rows = table[table["bug"] == state].set_index("what").to_dict("index")
        trains = [name for name, row in rows.items() if _lowest(row, metric) > level]
        which_train.append(set(trains))
        scores = []
        for name in (optimizer.title() for optimizer in DEFAULTS):
            known = score(rows[name][metric], metric) if name in rows else "without a score"
            scores.append(f"{name} {known}")
        verb = "trains" if len(trains) < 2 else "train"
        names = listed(trains) if trains else "neither"
        texts.append(f"from {whose} default {names} {verb} ({listed(scores)})")
    text = (
        "An optimizer trains if its interval (of fewer than three seeds, every score) is above "
        f"the majority class's {score(level, metric)}: "
        f"{'; '.join(texts)}"
    )
    return which_train[0] != which_train[1], text


def _lowest(row: dict, metric: str) -> float:
    """The lower end of an interval, or the lowest score of too few seeds for one."""
    values = row.get(f"{metric}_values")
    if isinstance(values, str):
        return min(float(value) for value in values.split())
    return row[f"{metric}_low"]


def _selection(p: Predictions, metric: str, bug: str) -> tuple[bool, str]:
    rows = _effects(p, bug, metric)
    changed = []
    texts = []
    for what in ("epoch", "epoch and cell"):
        beyond_dev = rows[what, ON_OFF]
        beyond_unseen = rows[what, f"on{MINUS}{OTHER_HALF}"][metric]
        changed.append(beyond_dev["verdict"] == SIGNIFICANT)
        texts.append(
            f"where test chooses the {what}, the reported accuracy is apart from the honest one by "
            f"{_change(beyond_dev, metric)}, and {signed(beyond_unseen, metric)} points from what "
            "the same choice scores on documents that had no say"
        )
    text = "; ".join(texts)
    return any(changed), text[0].upper() + text[1:]


@dataclasses.dataclass(frozen=True)
class Claim:
    """What a bug is, whose claim it touches, and whether the claim changes here."""

    name: str
    claimed: str
    judge: Callable[..., tuple[bool, str]]  # of predictions, metric and bug


CLAIMS = {
    "padding_read": Claim("Heads that read padding", "the heads are level (IMDB heads)", _heads),
    "wrong_pad": Claim("The wrong pad token", "the heads are level (IMDB heads)", _heads),
    "first_evaluation": Claim(
        "Ranking by the first evaluation", "which cell is the best (grid search)", _ranking
    ),
    "no_square": Claim("No factor T²", "soft labels help a student (CSV and YAML plugin)", _soft),
    "swapped_rates": Claim(
        "Swapped default rates", "Adagrad and Adadelta fail to train (EURLex optimizers)", _rates
    ),
    "test_chooses": Claim(
        "Test documents choose", "the reported score (AG News, EURLex optimizers)", _selection
    ),
}


def _settings(bug: str, factors: list[float] | None) -> dict:
    return {"factors": factors} if bug == "swapped_rates" and factors else {}


def claim(
    p: Predictions, *, bug: str, metric: str = "accuracy", factors: list[float] | None = None
) -> str:
    """Whether a bug changes what its study claims, here."""
    of_bug = lookup(CLAIMS, bug, "bug")
    changes, text = of_bug.judge(p, metric, bug, **_settings(bug, factors))
    verdict = "changes" if changes else "does not change"
    return f"**{of_bug.name}.** Claim: {of_bug.claimed}. {text}. The claim **{verdict}** here."


def claims(p: Predictions, *, metric: str = "accuracy", factors: list[float] | None = None) -> str:
    """How many of the bugs change their study's claim here, and whose effect on the score is
    significant by itself."""
    changed = []
    moved = []
    for bug, claim_of_bug in CLAIMS.items():
        settings = _settings(bug, factors)
        name = claim_of_bug.name[0].lower() + claim_of_bug.name[1:]
        if claim_of_bug.judge(p, metric, bug, **settings)[0]:
            changed.append(name)
        effects = _effects(p, bug, metric, **settings)
        on_off = [row for key, row in effects.items() if key[1] == ON_OFF]
        if any(row["verdict"] == SIGNIFICANT for row in on_off):
            moved.append(name)
    return (
        f"**{len(changed)} of {len(CLAIMS)}** bugs of the original studies change here what their "
        f"study claims{_in_brackets(changed)}; {len(moved)} of {len(CLAIMS)} change the test "
        f"accuracy itself significantly{_in_brackets(moved)}."
    )


def _in_brackets(names: list[str]) -> str:
    return f" ({', '.join(names)})" if names else ""
