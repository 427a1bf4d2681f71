"""Sentences on a page: pure functions from predictions to text, so that `verify` can compute
them again."""

from lib.analysis.comparisons import MINUS, differences, pairs_of
from lib.analysis.display import (
    count,
    difference,
    difference_interval,
    listed,
    percent,
    score,
    score_interval,
    title,
    words,
)
from lib.analysis.predictions import Predictions
from lib.analysis.scores import display_name
from lib.analysis.stats import detectable_of, needed
from lib.analysis.tables import by_group
from lib.runs.baselines import NAMES


def best_group(p: Predictions, *, by: str, metric: str = "accuracy") -> str:
    """The name of the trained group with the highest mean score on dev: chosen without a look at
    test."""
    table = by_group(p, by=by, metrics=[metric], split="dev")
    table = table[~table[by].isin(NAMES.values())]
    return table.loc[table[metric].idxmax(), by]


def difference_of(rows: list[dict], one: str, other: str, metric: str) -> dict:
    """How much `one` is above `other`, its interval and verdict, from rows of `differences`."""
    for row in rows:
        low = row[f"{metric}_low"]
        high = row[f"{metric}_high"]
        if row["compared"] == f"{one}{MINUS}{other}":
            return {"value": row[metric], "low": low, "high": high, "stands": row["stands"]}
        if row["compared"] == f"{other}{MINUS}{one}":
            return {"value": -row[metric], "low": -high, "high": -low, "stands": row["stands"]}
    raise LookupError(f"{one} and {other} are not compared")


def leader(p: Predictions, *, by: str, metric: str = "accuracy") -> str:
    """Which group leads on test, and over which others its lead stands."""
    table = by_group(p, by=by, metrics=[metric])
    table = table[~table[by].isin(NAMES.values())]
    table = table.sort_values(metric, ascending=False, kind="stable")
    top = table.iloc[0]
    rows = differences(p, by=by, metric=metric).to_dict("records")
    beaten = []
    level = []
    for other in table[by].iloc[1:]:
        lead = difference_of(rows, top[by], other, metric)
        interval = difference_interval(lead["low"], lead["high"], metric)
        text = f"{other} ({difference(lead['value'], metric)}, {interval})"
        (beaten if lead["stands"] == "yes" else level).append(text)
    sentence = (
        f"**{top[by][0].upper()}{top[by][1:]}** has the highest mean test {title(metric)}, "
        f"{score(top[metric], metric)} ({score_interval(top, metric)}; "
        f"{count(top['seeds'], 'seed')}, {count(top['documents'], 'document')})"
    )
    if beaten:
        sentence += f"; its lead stands over {listed(beaten)}"
    if level:
        sentence += f"; {'but ' if beaten else ''}its lead does **not** stand over {listed(level)}"
    return sentence + "."


def beyond_baseline(
    p: Predictions, *, by: str, metric: str = "accuracy", baseline: str = "tfidf_linear"
) -> str:
    """What fine-tuning adds to the baseline, for the group that dev chooses."""
    group = best_group(p, by=by, metric=metric)
    reference = display_name(baseline)
    rows = differences(p, by=by, metric=metric).to_dict("records")
    gain = difference_of(rows, group, reference, metric)
    verdict = "stands" if gain["stands"] == "yes" else "does not stand"
    return (
        f"Against {reference}, fine-tuning with the {words(by)} that dev chooses ({group}) changes "
        f"test {title(metric)} by {difference(gain['value'], metric)} "
        f"({difference_interval(gain['low'], gain['high'], metric)}): the difference {verdict}."
    )


def outlook(p: Predictions, *, by: str, metric: str = "accuracy") -> str:
    """What it would take to tell apart the groups that cannot be told apart, and what this study
    could have told."""
    pairs = [
        pair
        for pair in pairs_of(p, by=by, metric=metric)
        if not NAMES.keys() & {pair.one.name, pair.other.name}
    ]
    if not pairs:
        return "There are no two groups to compare."
    stands = differences(p, by=by, metric=metric).set_index("compared")["stands"] == "yes"
    smallest = [detectable_of(pair.values, pair.resampled) for pair in pairs]
    least = difference(min(smallest), metric).removeprefix("+")
    most = difference(max(smallest), metric).removeprefix("+")
    reach = least if least == most else f"{least.removesuffix(' points')} to {most}"
    text = (
        f"These documents and seeds tell a true difference from {reach} on (four times in five, "
        "before Holm)"
    )
    open_pairs = [pair for pair in pairs if not stands[pair.name]]
    if not open_pairs:
        return f"{text}; every one stands."
    takes = "; ".join(_takes(pair, metric) for pair in open_pairs)
    return f"{text}. To tell as much as was seen here: {takes}."


def _takes(pair, metric: str) -> str:
    """How much data it would take to tell a pair apart."""
    rows = len(pair.one.labels)
    documents, seeds, times = needed(pair.values, pair.resampled, rows)
    ways = []
    if documents:
        ways.append(f"{documents:,} documents with these seeds")
    if seeds:
        ways.append(f"{count(seeds, 'seed')} on these documents")
    text = " or ".join(ways)
    if documents == rows:
        text = "no more, were it the only question"
    elif not ways:
        text = f"{times} times the documents and the seeds" if times else "more than a thousandfold"
    return f"{pair.name} ({difference(float(pair.values.mean()), metric)}) takes {text}"


def headroom(p: Predictions, *, by: str) -> str:
    """How far the chosen group is from the ceiling that label noise sets."""
    table = by_group(p, by=by, metrics=["accuracy"]).set_index(by)["accuracy"]
    chosen = best_group(p, by=by)
    ceiling = table[display_name("noise_ceiling")]
    return (
        f"{percent(1 - ceiling)} of the test labels were replaced on purpose, so no model can be "
        f"expected above {percent(ceiling)}; {chosen} reaches {percent(table[chosen])}."
    )
