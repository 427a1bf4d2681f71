"""Sentences on a page: pure functions from predictions to text, so that `verify` can compute
them again."""

import numpy as np

from lib.analysis.predictions import Predictions
from lib.analysis.tables import (
    NAMES,
    best,
    by_group,
    differences,
    imbalance,
    label,
    overshoot,
    pairs_of,
)
from lib.analysis.verdicts import detectable_of, needed
from lib.metrics import METRICS
from lib.runs.health import ONE_POINT


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def score(value: float, metric: str) -> str:
    """A score as a sentence has it: a share in percent, another number as it is."""
    return (
        f"{value:.3g}".replace("-", "−")
        if METRICS[metric].kind in ("number", "signed")
        else percent(value)
    )


def apart(value: float, metric: str) -> str:
    """A difference of two scores."""
    if METRICS[metric].kind in ("number", "signed"):
        return f"{value:+.3f}".replace("-", "−")
    return f"{points(value)} points"


def points(value: float) -> str:
    """A difference of two shares, in percentage points."""
    return f"{100 * value:+.1f}".replace("-", "−") if abs(value) >= 0.0005 else "0.0"


def titled(name: str) -> str:
    """A metric or field as a sentence names it."""
    names = {
        "mcc": "MCC",
        "r2": "R²",
        "spearman": "Spearman correlation",
        "pearson": "Pearson correlation",
    }
    return names.get(name, name.replace("_", " ").replace("f1", "F1"))


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _listed(items) -> str:
    *most, last = items
    return f"{', '.join(most)} and {last}" if most else last


def _between(row, name: str) -> str:
    return f"95 % interval {points(row[f'{name}_low'])} to {points(row[f'{name}_high'])}"


def best_group(p: Predictions, *, by: str, metric: str = "accuracy") -> str:
    """The name of the trained group with the highest mean score on dev: chosen without a look at
    test."""
    table = by_group(p, by=by, metrics=[metric], split="dev")
    table = table[~table[by].isin(NAMES.values())]
    return table.loc[table[metric].idxmax(), by]


def leader(p: Predictions, *, by: str, metric: str = "accuracy") -> str:
    """Which group leads on test, and over which others its lead stands."""
    table = by_group(p, by=by, metrics=[metric])
    table = table[~table[by].isin(NAMES.values())].sort_values(
        metric, ascending=False, kind="stable"
    )
    top, pairs = table.iloc[0], differences(p, by=by, metric=metric).to_dict("records")
    beaten, level = [], []
    for other in table[by].iloc[1:]:
        row = next(r for r in pairs if set(r["compared"].split(" − ")) == {top[by], other})
        if row["compared"].split(" − ")[0] == other:
            low, high = -row[f"{metric}_high"], -row[f"{metric}_low"]
            row = row | {metric: -row[metric], f"{metric}_low": low, f"{metric}_high": high}
        text = f"{other} ({points(row[metric])} points, {_between(row, metric)})"
        (beaten if row["stands"] == "yes" else level).append(text)
    name = titled(metric)
    sentence = (
        f"**{top[by][0].upper()}{top[by][1:]}** has the highest mean test {name}, {percent(top[metric])} "
        f"(95 % interval {percent(top[f'{metric}_low'])} to {percent(top[f'{metric}_high'])}; "
        f"{count(top['seeds'], 'seed')}, {count(top['documents'], 'document')})"
    )
    if beaten:
        sentence += f"; its lead stands over {_listed(beaten)}"
    if level:
        sentence += f"; {'but ' if beaten else ''}its lead does **not** stand over {_listed(level)}"
    return sentence + "."


def beyond_baseline(
    p: Predictions, *, by: str, metric: str = "accuracy", baseline: str = "tfidf_linear"
) -> str:
    """What fine-tuning adds to the baseline, for the group that dev chooses."""
    group = best_group(p, by=by, metric=metric)
    rows = differences(p, by=by, metric=metric).to_dict("records")
    row = next(r for r in rows if r["compared"] == f"{label(baseline)} − {group}")
    low, high = -row[f"{metric}_high"], -row[f"{metric}_low"]
    verdict = "stands" if row["stands"] == "yes" else "does not stand"
    change = apart(-row[metric], metric)
    ends = (
        (points(low), points(high))
        if change.endswith("points")
        else (apart(low, metric), apart(high, metric))
    )
    return (
        f"Against {label(baseline)}, fine-tuning with the {titled(by)} that dev chooses ({group}) changes test "
        f"{titled(metric)} by {change} (95 % interval {ends[0]} to {ends[1]}): the difference {verdict}."
    )


def result(p: Predictions, *, by: str, metric: str = "accuracy") -> str:
    """What the fine-tuned model scores on test, beside every reference, and whether it is
    better."""
    rows = by_group(p, by=by, metrics=[metric]).to_dict("records")
    own, pairs = rows[0], differences(p, by=by, metric=metric).to_dict("records")
    sentence = (
        f"The fine-tuned model reaches a test {titled(metric)} of **{score(own[metric], metric)}** (95 % interval "
        f"{score(own[f'{metric}_low'], metric)} to {score(own[f'{metric}_high'], metric)}; "
        f"{count(own['seeds'], 'seed')}, {count(own['documents'], 'document')})"
    )
    for row in rows[1:]:
        sentence += f"; {row[by]} {score(row[metric], metric)}"
        pair = next((r for r in pairs if r["compared"] == f"{row[by]} − {own[by]}"), None)
        if pair:
            sentence += ", and the difference " + (
                "stands" if pair["stands"] == "yes" else "does **not** stand"
            )
    group = next(group for group in p.groups(by) if group.name == own[by])
    alike = (
        sum(len(np.unique(predicted)) == 1 for predicted in group.predicted)
        if p.task == "classification"
        else 0
    )
    if alike:
        sentence += (
            f". **{alike} of {count(own['seeds'], 'seed')} learned nothing**: every document is given the same class; "
            "more epochs or another learning rate may help"
        )
    return sentence + "."


def verdict(p: Predictions, *, by: str, metric: str = "accuracy") -> str:
    """Which differences between the trained groups stand."""
    rows = [
        r
        for r in differences(p, by=by, metric=metric).to_dict("records")
        if not r["compared"].startswith("TF-IDF")
    ]
    standing = [
        f"{r['compared']} ({points(r[metric])}, {_between(r, metric)})"
        for r in rows
        if r["stands"] == "yes"
    ]
    if not standing:
        widest = max(rows, key=lambda r: r[f"{metric}_high"] - r[f"{metric}_low"])
        return (
            f"None of the {len(rows)} differences between the {by}s stands; the widest 95 % interval, of "
            f"{widest['compared']}, reaches from {points(widest[f'{metric}_low'])} to "
            f"{points(widest[f'{metric}_high'])} points."
        )
    return (
        f"Of {len(rows)} differences between the {by}s, {len(standing)} stand{'s' * (len(standing) == 1)}: "
        + ("; ".join(standing) + ".")
    )


def outlook(p: Predictions, *, by: str, metric: str = "accuracy") -> str:
    """What it would take to tell apart the groups that cannot be told apart, and what this study
    could have told."""
    stands = differences(p, by=by, metric=metric).set_index("compared")["stands"] == "yes"
    parts, least = [], []
    for one, other, _, values, resampled in pairs_of(p, by=by, metric=metric):
        if NAMES.keys() & {one.name, other.name}:
            continue
        least.append(detectable_of(values, resampled))
        if not stands[f"{one.name} − {other.name}"]:
            documents, seeds, times = needed(values, resampled, len(one.labels))
            ways = [f"{documents:,} documents with these seeds"] if documents else []
            ways += [f"{count(seeds, 'seed')} on these documents"] if seeds else []
            both = (
                f"{times} times the documents and the seeds"
                if times
                else "more than a thousandfold"
            )
            enough = documents == len(one.labels)
            told = "no more, were it the only question" if enough else " or ".join(ways) or both
            parts.append(
                f"{one.name} − {other.name} ({apart(float(values.mean()), metric)}) takes {told}"
            )
    if not least:
        return "There are no two groups to compare."
    reach = [apart(value, metric).removeprefix("+") for value in (min(least), max(least))]
    reach = (
        reach[0] if reach[0] == reach[1] else f"{reach[0].removesuffix(' points')} to {reach[1]}"
    )
    whole = f"These documents and seeds tell a true difference from {reach} on (four times in five, before Holm)"
    return (
        f"{whole}. To tell as much as was seen here: {'; '.join(parts)}."
        if parts
        else f"{whole}; every one stands."
    )


def headroom(p: Predictions, *, by: str) -> str:
    """How far the chosen group is from the ceiling that label noise sets."""
    table = by_group(p, by=by, metrics=["accuracy"]).set_index(by)["accuracy"]
    chosen = best_group(p, by=by)
    return (
        f"{percent(1 - table[label('noise_ceiling')])} of the test labels were replaced on purpose, so no model can be "
        f"expected above {percent(table[label('noise_ceiling')])}; {chosen} reaches {percent(table[chosen])}."
    )


def overshooting(p: Predictions, *, by: str) -> str:
    """Whether dev loss rises again before the last epoch, by group."""
    parts = []
    for row in overshoot(p, by=by).to_dict("records"):
        rise = row["last dev loss"] - row["lowest dev loss"]
        if row["lowest at epoch"] < row["last"]:
            parts.append(
                f"with {row[by]} it is lowest after epoch {row['lowest at epoch']} and {rise:.3f} higher at the end "
                f"({row['seeds whose loss rose']} seeds rose)"
            )
        else:
            parts.append(f"with {row[by]} it is lowest at the end")
    return f"Mean dev loss: {'; '.join(parts)}."


def averaging(p: Predictions, *, by: str, ratio: int = 10) -> str:
    """How far micro and macro F1 part when one class dominates."""
    table = imbalance(p, by=by, group=best_group(p, by=by), ratio=ratio)
    skewed = table.iloc[1:]
    gap = skewed["micro_f1"] - skewed["macro_f1"]
    micro, macro = skewed["micro_f1"], skewed["macro_f1"]
    widest = skewed.loc[gap.abs().idxmax()]
    return (
        f"On balanced classes micro F1 is {percent(table['micro_f1'][0])} and macro F1 "
        f"{percent(table['macro_f1'][0])}. With one class {ratio} times as frequent as each other, the same "
        f"predictions score between {percent(micro.min())} and {percent(micro.max())} micro but "
        f"{percent(macro.min())} to {percent(macro.max())} macro, depending on the class; the two part most where "
        f"{widest['majority class']} dominates, by {points(widest['micro_f1'] - widest['macro_f1'])} points: there the "
        "micro average tells mostly how well that one class is recognised."
    )


VARIANTS, OTHERS = ("adam", "amsgrad", "adamw"), ("adagrad", "adadelta")


def _trained(p: Predictions) -> list[dict]:
    return [run for run in p.runs.values() if run["config"]["backbone"] not in NAMES]


def _ends(p: Predictions, *optimizers: str) -> dict[str, list[dict]]:
    """How the trained runs ended: outcome -> runs; of some optimizers, or of all."""
    found: dict[str, list[dict]] = {}
    for run in _trained(p):
        if run["config"]["optimizer"] in (optimizers or VARIANTS + OTHERS):
            found.setdefault(run["outcome"], []).append(run)
    return found


def _held(holds: bool) -> str:
    return "holds" if holds else "does not hold"


def _rates(runs: list[dict]) -> str:
    named = (f"{run['config']['optimizer']} at {run['config']['learning_rate']:g}" for run in runs)
    return _listed(dict.fromkeys(named))


def sweet_spot(p: Predictions, *, metric: str = "P@1", near: float = 1e-4) -> str:
    """The original's first claim: Adam and its variants do best near `near`."""
    chosen = {}
    for run in _trained(best(p, metric=metric)):
        chosen[run["config"]["optimizer"]] = run["config"]["learning_rate"]
    rates = [chosen[name] for name in VARIANTS if name in chosen]
    holds = all(near / 3 <= rate <= near * 3 for rate in rates)
    told = _listed(f"{rate:g} for {name}" for name, rate in chosen.items() if name in VARIANTS)
    return (
        f"Claim: Adam and its variants train best near {near:g}. Here it **{_held(holds)}**: of the learning rates "
        f"tried, dev chooses {told}."
    )


def failing(p: Predictions) -> str:
    """The original's second claim: Adagrad and Adadelta fail at every learning rate."""
    ends = _ends(p, *OTHERS)
    learned, tried = ends.get("learned", []), sum(map(len, ends.values()))
    text = f"Claim: Adagrad and Adadelta fail to train. Here it **{_held(not learned)}**: "
    if learned:
        return text + f"{len(learned)} of their {tried} runs learned ({_rates(learned)})."
    return text + f"none of their {tried} runs learned ({_counted(ends)})."


def _counted(ends: dict[str, list[dict]]) -> str:
    return _listed(f"{len(runs)} {end}" for end, runs in ends.items())


def decoupled(p: Predictions, *, metric: str = "P@1") -> str:
    """The original's third claim: with weight decay, AdamW does better than Adam."""
    parts, holds = [], True
    for decay in sorted({run["config"]["weight_decay"] for run in _trained(p)} - {0.0}):
        row = differences(
            p.where(optimizer=["adam", "adamw"], weight_decay=decay), by="optimizer", metric=metric
        )
        row = next(
            r
            for r in row.to_dict("records")
            if set(r["compared"].split(" − ")) == {"adam", "adamw"}
        )
        sign = 1 if row["compared"].startswith("adamw") else -1
        low, high = sorted(sign * row[f"{metric}_{end}"] for end in ("low", "high"))
        ends = f"95 % interval {points(low)} to {points(high)}"
        parts.append(f"with {decay:g} it is {points(sign * row[metric])} points ({ends})")
        holds = holds and low > 0
    return (
        f"Claim: AdamW does better than Adam with weight decay. Here it **{_held(holds)}** "
        f"{'for every decay tried' if holds else 'throughout'}. AdamW − Adam in {metric}: {_listed(parts)}."
    )


def collapse(p: Predictions) -> str:
    """The original's explanation: a failed run puts all documents on one point."""
    ends = {end: runs for end, runs in _ends(p).items() if end != "learned"}
    failed = [run for runs in ends.values() for run in runs]
    point = sum(run["health"]["embedding_cosine"] > ONE_POINT for run in failed if "health" in run)
    holds = point == len(failed)
    return (
        f"Claim: a run fails because all documents fall on one point. Here it **{_held(holds)}** "
        f"{'for' if holds else 'as a rule: it is so in'} {point} of the {len(failed)} runs that did not learn (mean "
        f"cosine above {ONE_POINT}). They ended so: {_counted(ends)}."
    )


def start(p: Predictions) -> str:
    """Whether a run's end depends on where its output layer starts: at the label shares, or at
    even guesses."""
    ends: dict[tuple, dict[bool, str]] = {}
    for run in _trained(p):
        config = run["config"]
        ends.setdefault((config["optimizer"], config["learning_rate"]), {})[
            config["prior_bias"]
        ] = run["outcome"]
    both = {cell: found for cell, found in ends.items() if len(found) == 2}
    changed = sum(found[True] != found[False] for found in both.values())
    told = "; ".join(
        f"{name} at {rate:g} ended {found[True]} from the label shares and {found[False]} from even guesses"
        for (name, rate), found in both.items()
    )
    return (
        f"The start of the output layer decides how a run ends at **{changed} of {len(both)}** learning rates tried: "
        f"{told}."
    )


CLAIMS = (sweet_spot, failing, decoupled, collapse, start)
FINDINGS = {
    f.__name__: f
    for f in (
        leader,
        result,
        verdict,
        outlook,
        beyond_baseline,
        headroom,
        overshooting,
        averaging,
        *CLAIMS,
    )
}
