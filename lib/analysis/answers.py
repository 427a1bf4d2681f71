"""The first sentence of a page that compares groups of runs: whether they differ, how high they
score, and the best reference beside them; and how two groups differ, as a part of a sentence."""

from pathlib import Path

import pandas as pd

from lib.analysis.comparisons import (
    EQUAL,
    EQUAL_BY_KIND,
    SAME,
    SIGNIFICANT,
    TOO_FEW,
    differences,
)
from lib.analysis.display import (
    difference_interval,
    distance,
    escape,
    listed,
    percent,
    percents,
    spelled,
    words,
)
from lib.analysis.label_errors import learned_nothing
from lib.analysis.names import short_name
from lib.analysis.predictions import Predictions
from lib.analysis.references import best_reference, reference_scores
from lib.analysis.stats import MARGIN
from lib.analysis.tables import by_group


def compared(
    p: Predictions, *, by: str, what: str, documents: str, metric: str = "accuracy"
) -> str:
    """Whether the trained groups differ in a share, in at most about 20 words.

    `what` names the groups and `documents` the test documents, as several: `heads`, `reviews`. The
    differences between trained groups are one family (see `differences`); that they are equal is
    said only where all are shown to be within 1 point.
    """
    trained = p.only(p.trained)
    table = by_group(trained, by=by, metrics=[metric])
    number = f"{table['documents'].iloc[0]:,} {documents}"
    if len(table) == 1:  # nothing to compare: the model is what there is to name
        group = spelled(table[by].iloc[0])
        level = percents(table[metric])
        model = model_of(trained)
        start = f"{model} reaches {level} on {number} ({group} {words(by)}, no others tried)"
    else:
        stuck = [group.name for group in trained.groups(by) if learned_nothing(group).all()]
        if stuck:
            start = _learned(table.set_index(by)[metric], stuck, what, number)
        else:
            start = _difference(differences(trained, by=by, metric=metric), table, by, what, number)
    reference = best_reference(p, metric=metric)
    beside = percent(reference_scores(p, metric=metric)[reference])
    return f"{start}; {short_name(reference)} reaches {beside}."


def model_of(p: Predictions) -> str:
    """The pretrained model of the first trained run, as people name it, as Markdown."""
    first = next(iter(p.trained.values()))
    return escape(Path(spelled(first["config"]["backbone"])).name)


def _learned(scores: pd.Series, stuck: list[str], what: str, number: str) -> str:
    """The scores (by group) of those that learned, beside those whose runs did not."""
    names = listed(map(spelled, stuck))
    start = f"{names[0].upper()}{names[1:]} learned nothing ({percents(scores[stuck])})"
    others = scores.drop(stuck)
    if not len(others):
        return f"{start} on {number}"
    only = spelled(others.index[0]) if len(others) == 1 else f"the other {what}"
    return f"{start}; {only} reach{'es' * (len(others) == 1)} {percents(others)} on {number}"


def _difference(pairs: pd.DataFrame, table: pd.DataFrame, by: str, what: str, number: str) -> str:
    """The verdict on the pairs of several groups, and their scores."""
    [metric] = [name for name in pairs.attrs["metrics"] if name != "p"]
    level = percents(table[metric])
    verdicts = set(pairs["verdict"])
    if verdicts <= {EQUAL, SAME}:
        return f"No: {len(table)} {what} are within 1 point, {level} on {number}"
    if verdicts == {TOO_FEW}:
        return f"Not tested, for too few seeds: {len(table)} {what} reach {level} on {number}"
    if SIGNIFICANT not in verdicts:
        return f"No significant difference between {len(table)} {what}: {level} on {number}"
    significant = pairs[pairs["verdict"] == SIGNIFICANT]
    widest = significant.loc[significant[metric].abs().idxmax()]
    one, other = pairs.attrs["sides"][widest.name]
    worse, better = (one, other) if widest[metric] < 0 else (other, one)
    scores = table.set_index(by)[metric]
    return (
        f"Yes: {spelled(worse)} ({percent(scores[worse])}) is {distance(widest[metric], metric)} "
        f"worse than {spelled(better)} ({percent(scores[better])}) on {number}"
    )


def gap(
    row: dict, metric: str, than: str, sides: tuple[str, str] = ("higher than", "lower than")
) -> str:
    """How much higher or lower a score is than another one, or as `sides` say it, with the interval
    and the verdict; `row` as `lib.analysis.findings.difference_of` gives it."""
    if row["verdict"] == SAME:
        return f"as high as {than} (the same models)"
    side = sides[0] if row["value"] > 0 else sides[1]
    text = f"{distance(row['value'], metric)} {side} {than}"
    if text.startswith("0.0 points "):  # neither higher nor lower, to what is shown
        text = f"the same to 0.1 points as {than}"
    if row["verdict"] == TOO_FEW:
        return f"{text} (not tested, with {TOO_FEW})"
    return f"{text} ({difference_interval(row['low'], row['high'], metric)}; {verdict_of(row)})"


def verdict_of(row: dict) -> str:
    """The verdict of a difference as it stands beside its 95 % interval: where that reaches beyond
    what is called equal, also by which tests it is equal."""
    is_wide = max(abs(row["low"]), abs(row["high"])) > MARGIN
    if row["verdict"] in EQUAL_BY_KIND.values() and is_wide:
        return f"{row['verdict']} by two one-sided tests at 5 %, a 90 % interval"
    return row["verdict"]
