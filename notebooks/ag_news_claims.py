"""Sentences of the study of learning-rate schedules: whether they differ, and what its original
claims."""

from pathlib import Path

import numpy as np

from lib.analysis.answers import compared, gap
from lib.analysis.comparisons import OPEN, SIGNIFICANT, TOO_FEW, differences
from lib.analysis.display import (
    distance,
    escape,
    listed,
    percent,
    spelled,
    title,
)
from lib.analysis.findings import (
    above_reference,
    best_group,
    difference_in,
    difference_of,
    outlook,
)
from lib.analysis.pairs import with_common_seeds
from lib.analysis.predictions import Predictions
from lib.analysis.references import best_reference
from lib.analysis.tables import by_group
from notebooks.ag_news import (
    at_last_epoch,
    imbalance,
    losses_of,
    overshoot,
    trained_differences,
    training_on,
)

FALLING = "exponential"  # the schedule whose scores peak early, as the original has it
STEADY = "constant"  # the schedule that never changes its learning rate
CURE = "multistep"  # and the one that it names against that
CLAIMED = "macro_f1"  # what it claims this of
PUBLISHED = {  # test accuracies of models that learned from 120,000 items, in percent
    "the original's RoBERTa-base, its epoch chosen on test": 95.86,
    "BERT-base": 94.5,
}


def answer(p: Predictions, *, by: str, what: str, documents: str) -> str:
    """`lib.analysis.answers.compared` at the last epoch."""
    return compared(at_last_epoch(p), by=by, what=what, documents=documents)


def open_pairs(p: Predictions, *, by: str) -> str:
    """`lib.analysis.findings.outlook` of the schedules at the last epoch."""
    return outlook(at_last_epoch(p.only(p.trained)), by=by)


def beyond(p: Predictions, *, by: str, metric: str = "accuracy") -> str:
    """What fine-tuning adds to the best reference after the last epoch, with the schedule that dev
    chooses."""
    group = best_group(p, by=by, metric=metric)
    gain = above_reference(at_last_epoch(p), group, by=by, metric=metric)
    return (
        f"With the schedule that dev chooses ({spelled(group)}), test {title(metric)} ends "
        f"{gap(gain, metric, escape(best_reference(p, metric=metric)))}."
    )


def before_drop(p: Predictions, *, by: str) -> str:
    """Whether the runs of two schedules are the same until one of them drops its learning rate."""
    trained = p.only(p.trained)
    [cured, *_] = trained.where(**{by: CURE}).runs.values()
    drop = min(cured["config"]["schedule_args"]["milestones"])
    furthest = 0.0  # apart, of the mean dev losses of a seed's two runs after an epoch
    for epoch in range(1, drop + 1):
        groups = {group.name: group for group in trained.groups(by, split="dev", epoch=epoch)}
        if {STEADY, CURE} <= groups.keys():
            pair = with_common_seeds(groups[STEADY], groups[CURE])
            steady, dropping = (np.array(losses_of(group)) for group in pair)
            furthest = max(furthest, np.abs(steady - dropping).max(initial=0.0))
    same = "do the same"
    if furthest:
        same += f" but for rounding (dev losses of a seed part by {furthest:.1g} nats at most)"
    until = "its first epoch" if drop == 1 else f"epoch {drop}"
    return f"{CURE.capitalize()} drops after {until}: up to there, it and {STEADY} {same}."


def same_models(p: Predictions, *, by: str) -> str:
    """Which runs are the same model at the epoch that dev chooses."""
    names_of: dict[tuple[str, int], list[str]] = {}  # by model and seed
    for group in p.only(p.trained).groups(by):
        for seed, model in zip(group.seeds, group.models, strict=True):
            names_of.setdefault((model, seed), []).append(group.name)
    seeds_of: dict[str, list[str]] = {}  # by the names of those that are one model
    for (_, seed), names in names_of.items():
        if len(names) > 1:
            seeds_of.setdefault(listed(names), []).append(str(seed))
    number = sum(map(len, names_of.values()))
    text = f"At the epoch that dev chooses, the {number} runs are {len(names_of)} models"
    alike = [f"{names} are one with seed {listed(seeds)}" for names, seeds in seeds_of.items()]
    return f"{text}: {'; '.join(alike)}." if alike else f"{text}."


def _holds(row: dict, sign: int) -> str:
    """Whether a claimed difference holds."""
    if row["verdict"] == TOO_FEW:
        return "is not tested"
    if row["verdict"] == OPEN:
        return "is not confirmed"
    holds = row["verdict"] == SIGNIFICANT and sign * row["value"] > 0
    return "**holds**" if holds else "**does not hold**"


def _chosen_last(p: Predictions, by: str) -> tuple[int, int]:
    """Of how many runs with the falling schedule dev chooses the last epoch, and of how many
    runs."""
    runs = p.where(**{by: FALLING}).trained.values()
    return sum(run["chosen_epoch"] == run["last_epoch"] for run in runs), len(runs)


def peak(p: Predictions, *, by: str) -> str:
    """The original's first claim: scores peak before the last epoch."""
    claim = "The original saw its scores peak before the last epoch."
    table = training_on(p, by=by, stop="score", metric=CLAIMED)
    rows = table[table[by] == FALLING].to_dict("records")
    if not rows:
        return f"{claim} Here it is not tested: no run with {FALLING} reached the last epoch."
    chosen_last, runs = _chosen_last(p, by)
    if chosen_last == runs:
        seeds = f"all {runs} seeds" if runs > 1 else "its one seed"
        return (
            f"{claim} Here dev chooses the last epoch with {FALLING} in {seeds}: the peak **does "
            "not appear**."
        )
    row = difference_in(rows[0], CLAIMED)
    beside = gap(row, CLAIMED, "at the epoch that dev chooses")
    return (
        f"{claim} With {FALLING} this {_holds(row, -1)}: the last epoch's {title(CLAIMED)} is "
        f"{beside}."
    )


def cure(p: Predictions, *, by: str) -> str:
    """The original's second claim: the multistep schedule ends higher."""
    claim = f"That {CURE} cures it"
    table = trained_differences(p, by=by, metric=CLAIMED)
    try:
        row = difference_of(table, CURE, FALLING, CLAIMED)
    except LookupError:
        return f"{claim} is not tested: no run of one of them reached the last epoch."
    beside = gap(row, CLAIMED, f"{FALLING}'s", ("above", "below"))
    return f"{claim} {_holds(row, 1)}: {CURE}'s {title(CLAIMED)} ends {beside}."


def rise(p: Predictions, *, by: str, metric: str = "accuracy") -> str:
    """Whether test scores fall after the epoch with the lowest dev loss."""
    table = overshoot(p, by=by)
    rises = (table["last dev loss"] - table["lowest dev loss"]).set_axis(table[by])
    risen = rises[rises > 0]
    if not len(risen):
        return "Mean dev loss is lowest after the last epoch with every schedule."
    ends = {
        row[by]: difference_in(row, metric)
        for row in training_on(p, by=by, stop="loss", metric=metric).to_dict("records")
    }
    rose = listed(f"{name} (by {rise:.2f})" for name, rise in risen.items())
    text = f"After its lowest point mean dev loss rises with {rose}."
    name = title(metric)
    for schedule in risen.index.intersection([*ends]):
        above = gap(ends[schedule], metric, "at its own lowest dev loss")
        text += f" With {schedule}, {name} ends {above}."
    return text


def published(p: Predictions, *, by: str) -> str:
    """Published accuracies (percent) of other models on other data, beside ours."""
    last = at_last_epoch(p.only(p.trained))
    best = by_group(last, by=by, metrics=["accuracy"])["accuracy"].max()
    others = listed(f"{value:g} % ({name})" for name, value in PUBLISHED.items())
    return (
        f"Published, and **not comparable**, as they learned from 120,000 items: {others}. Here "
        f"the highest mean of a schedule is {percent(best)}."
    )


def other_backbone(p: Predictions, *, by: str, metric: str = "accuracy") -> str:
    """What another backbone reaches on the same texts with the same schedule, after the last
    epoch, beside the study's own, which comes first."""
    last = at_last_epoch(p.only(p.trained))
    table = by_group(last, by=by, metrics=[metric])
    own, other = table[by]
    row = difference_of(differences(last, by=by, metric=metric), own, other, metric)
    models = [escape(Path(spelled(name)).name) for name in (own, other)]
    beside = gap(row, metric, "it", ("above", "below"))
    return (
        f"{models[1]}, fine-tuned on the same texts, with {CURE}, too, ends at "
        f"{percent(table[metric].iloc[1])}: {models[0]} is {beside}. All embeddings here are "
        f"{models[0]}'s."
    )


def averaging(p: Predictions, *, by: str, ratio: int = 10) -> str:
    """How far micro and macro F1 part when one class dominates."""
    table = imbalance(p, by=by, group=best_group(p, by=by), ratio=ratio)
    skewed = table.iloc[1:]
    micro = skewed["micro_f1"]
    macro = skewed["macro_f1"]
    widest = skewed.loc[(micro - macro).abs().idxmax()]
    apart = widest["micro_f1"] - widest["macro_f1"]
    return (
        f"On balanced classes micro F1 is {percent(table['micro_f1'][0])} and macro F1 "
        f"{percent(table['macro_f1'][0])}. With one class {ratio} times as frequent as each other, "
        f"the same predictions score between {percent(micro.min())} and {percent(micro.max())} "
        f"micro but {percent(macro.min())} to {percent(macro.max())} macro, depending on the "
        f"class. The two part most where {escape(widest['majority class'])} dominates: there micro "
        f"F1 is {distance(apart, 'micro_f1')} {'above' if apart > 0 else 'below'} macro F1, and "
        "tells mostly how well that one class is recognised."
    )
