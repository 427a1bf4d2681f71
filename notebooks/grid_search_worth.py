"""Whether the search was worth it: the cell that dev chose, and the default cell, with fresh seeds
on test."""

from typing import Any

import pandas as pd

from lib.analysis.comparisons import (
    EQUAL,
    OPEN,
    SIGNIFICANT,
    TOO_FEW,
    comparison_table,
    mark_significant,
)
from lib.analysis.display import (
    count,
    difference_interval,
    distance,
    listed,
    score,
    title,
    words,
)
from lib.analysis.findings import difference_of, facts_of
from lib.analysis.names import short_name
from lib.analysis.numbers import differ_as_written, plain_number
from lib.analysis.pairs import pairs_of
from lib.analysis.predictions import Predictions
from lib.analysis.references import beside_best_reference, best_reference
from lib.analysis.scores import dev_scores
from lib.analysis.stats import LEVEL, adjusted, mcnemar
from lib.analysis.tables import by_group, by_run

TUNED = "tuned"  # what the cell is called that dev chooses
DEFAULT = "default"
WORTH = {  # what the answer begins with, by the verdict on tuned − default
    EQUAL: "No.",
    OPEN: "No gain shown.",
    TOO_FEW: "Not tested.",
}


def tuned_and_default(
    p: Predictions, *, tuned: dict[str, Any], default: dict[str, Any]
) -> Predictions:
    """The runs of two cells, `cell` in their configuration saying which, and the references.

    A cell that is both is the tuned one.
    """
    cells = {}
    for key, run in p.runs.items():
        if key not in p.trained:
            cells[key] = ""
        for name, cell in ((DEFAULT, default), (TUNED, tuned)):
            if key in p.trained and cell.items() <= run["config"].items():
                cells[key] = name
    return p.with_field("cell", cells)


def test_scores(
    p: Predictions, *, tuned: dict[str, Any], default: dict[str, Any], metrics: list[str]
) -> pd.DataFrame:
    """`by_group` of the tuned cell, the default cell and the references."""
    runs = tuned_and_default(p, tuned=tuned, default=default)
    return by_group(runs, by="cell", metrics=metrics, verdict=True, ensembles=True)


def test_runs(
    p: Predictions, *, tuned: dict[str, Any], default: dict[str, Any], metrics: list[str]
) -> pd.DataFrame:
    """`by_run` of the tuned and the default cell."""
    runs = tuned_and_default(p, tuned=tuned, default=default)
    return by_run(runs, by="cell", metrics=metrics)


def answer(p: Predictions, *, tuned: dict[str, Any], default: dict[str, Any], metric: str) -> str:
    """Whether the search was worth it: the test scores of the tuned cell, the default cell and the
    best reference, in at most 20 words. A gain that leaves the tuned cell significantly below that
    reference is no yes."""
    runs = tuned_and_default(p, tuned=tuned, default=default)
    scores = by_group(runs, by="cell", metrics=[metric]).set_index("cell")[metric]
    reference = best_reference(p, metric=metric)
    of_reference = score(scores[reference], metric)
    against = f"{reference} {of_reference}"
    text = f"{title(metric)} is {score(scores[TUNED], metric)}"
    if DEFAULT not in scores:
        return f"No. The search chooses the default cell: its {text}; {against}."
    gain = _gain(runs, TUNED, DEFAULT, metric)
    of_default = score(scores[DEFAULT], metric)
    beyond = _gain(runs, TUNED, reference, metric)
    if _is_significant(gain, above=True) and _is_significant(beyond, above=False):
        both = f"{title(metric)} {score(scores[TUNED], metric)} against {of_default}"
        below = f"significantly below {short_name(reference)} ({of_reference})"
        return f"Better than the defaults ({both}), but {below}."
    worth = WORTH.get(gain["verdict"], "Yes." if gain["value"] > 0 else "No.")
    text += f", at the defaults {of_default}"
    return f"{worth} After the search {text}; {against}."


def best(p: Predictions, *, tuned: dict[str, Any], default: dict[str, Any], metric: str) -> dict:
    """The tuned cell beside the best reference, as facts of a page."""
    runs = tuned_and_default(p, tuned=tuned, default=default)
    table = by_group(runs, by="cell", metrics=[metric]).set_index("cell")
    return facts_of(table, {"best": TUNED, "reference": best_reference(p, metric=metric)}, metric)


def _is_significant(gain: dict, *, above: bool) -> bool:
    return gain["verdict"] == SIGNIFICANT and (gain["value"] > 0) == above


def _gain(p: Predictions, one: str, other: str, metric: str) -> dict:
    return difference_of(_of_tuned(p, metric), one, other, metric)


def _of_tuned(p: Predictions, metric: str) -> pd.DataFrame:
    """The tuned cell less the default cell and the best reference: what the search is judged by,
    and a family of its own."""
    compared = pairs_of(beside_best_reference(p, metric=metric), by="cell", metric=metric)
    pairs = [
        pair if pair.sides[0] == TUNED else pair.turned for pair in compared if TUNED in pair.sides
    ]
    table = comparison_table(pairs, [pair.name for pair in pairs])
    mark_significant(table, metric)
    return table


def differences(
    p: Predictions, *, tuned: dict[str, Any], default: dict[str, Any], metric: str
) -> pd.DataFrame:
    """The tuned cell compared with the default cell and the best reference."""
    return _of_tuned(tuned_and_default(p, tuned=tuned, default=default), metric)


def gains(p: Predictions, *, tuned: dict[str, Any], default: dict[str, Any], metric: str) -> str:
    """How much better the tuned cell is than the default cell and than the best reference; where
    that is not the difference of their scores as the page writes them, why."""
    runs = tuned_and_default(p, tuned=tuned, default=default)
    scores = by_group(runs, by="cell", metrics=[metric]).set_index("cell")[metric]
    reference = best_reference(p, metric=metric)
    others = {reference: f"{reference} ("}
    if tuned != default:
        others = {DEFAULT: f"the default cell ({_cell(default)}; "} | others
    texts = []
    rounded = False
    for name, text in others.items():
        gain = _gain(runs, TUNED, name, metric)
        rounded |= not differ_as_written(scores[TUNED], scores[name], metric)
        size = distance(gain["value"], metric)
        better = "better" if gain["value"] > 0 else "worse"
        interval = difference_interval(gain["low"], gain["high"], metric)
        verdict = "" if gain["verdict"] == TOO_FEW else f", {gain['verdict']}"
        texts.append(f"{size} {better} than {text}{interval}{verdict})")
    why = " Differences are taken before scores are rounded." if rounded else ""
    return f"The tuned cell ({_cell(tuned)}) is {listed(texts)}.{why}"


def _cell(cell: dict[str, Any]) -> str:
    return ", ".join(f"{words(name)} {plain_number(value)}" for name, value in cell.items())


def optimism(p: Predictions, *, tuned: dict[str, Any], metric: str, search_seed: int) -> str:
    """What dev ranks first, how many cells it cannot be told from, and what fresh seeds of the
    same cell score on dev."""
    first = p.where(seed=search_seed)
    best = dev_scores(first, metric).groupby("run", sort=False)[metric].max()
    level = _as_good(first, best.idxmax())
    fresh = p.where(**tuned).keep(lambda run: run["config"]["seed"] != search_seed)
    again = by_group(fresh, by=next(iter(tuned)), metrics=[metric], split="dev").iloc[0]
    return (
        f"The best of {len(first.trained)} cells, {_cell(tuned)}, has a dev {title(metric)} of "
        f"{score(best.max(), metric)}; {count(int(again['seeds']), 'fresh seed')} of it reach "
        f"{score(again[metric], metric)} on dev. {count(level, 'other cell')} "
        f"{'is' if level == 1 else 'are'} not significantly different in which dev documents they "
        "get right (McNemar's exact test, adjusted)."
    )


def _as_good(p: Predictions, best: str) -> int:
    """How many other runs do not differ significantly from the best in which dev documents they
    get right, each after its chosen epoch."""
    right = {
        key: group.right[0]
        for key, epoch, group in p.single("dev")
        if key in p.trained and epoch == p.runs[key]["chosen_epoch"]
    }
    others = [of_run for key, of_run in right.items() if key != best]
    p_values = adjusted([mcnemar(right[best], of_run) for of_run in others])
    return sum(p_value >= 1 - LEVEL for p_value in p_values)
