"""Sentences of the study of optimizers: the answer, and whether what its original claims holds."""

import numpy as np

from lib.analysis.comparisons import SIGNIFICANT, TOO_FEW, differences
from lib.analysis.display import (
    count,
    difference_interval,
    distance,
    listed,
    percent,
    percents,
    spelled,
    title,
)
from lib.analysis.findings import difference_of
from lib.analysis.names import short_name
from lib.analysis.numbers import plain_number
from lib.analysis.predictions import Predictions
from lib.analysis.references import beside_best_reference, best_reference
from lib.analysis.stats import LEVEL, adjusted, mcnemar
from lib.analysis.tables import by_group
from lib.runs.verdict import LEARNED
from notebooks.eurlex_optimizers import references_ahead, tuned
from notebooks.eurlex_optimizers_runs import STEP, of_default, published_scores, rates_of

VARIANTS = ("adam", "amsgrad", "adamw")
OTHERS = ("adagrad", "adadelta")
ORIGINAL = "DistilBERT on 15,449 acts of EURLex-4K"  # what it fine-tuned


def answer(p: Predictions, *, by: str = "optimizer", metric: str = "P@1") -> str:
    """What every optimizer, the best reference and others that are ahead of all optimizers score,
    the highest first, after how many epochs; optimizers that are not significantly behind the best
    one stand together."""
    references = references_ahead(p, by=by, metric=metric)
    p = beside_best_reference(p, metric=metric)
    reference = best_reference(p, metric=metric)
    scores = by_group(p, by=by, metrics=[metric]).set_index(by)[metric]
    trained = scores.drop(reference).sort_values(ascending=False, kind="stable")
    table = differences(p, by=by, metric=metric)
    top = trained.index[0]
    level = [top]
    for name in trained.index[1:]:
        verdict = difference_of(table, top, name, metric)["verdict"]
        if verdict not in (SIGNIFICANT, TOO_FEW):
            level.append(name)
    epochs = count(max(run["last_epoch"] for run in p.trained.values()), "epoch")
    references = {reference: scores[reference]} | references
    clauses = [(value, f"{short_name(r)} {percent(value, 0)}") for r, value in references.items()]
    if len(level) == len(trained) > 1:
        return (
            f"No optimizer is shown ahead: {title(metric)} {percents(trained, 0)} after {epochs}; "
            f"{'; '.join(text for _, text in clauses)}."
        )
    clauses.append((scores[top], f"{listed(map(spelled, level))} {percents(trained[level], 0)}"))
    for name in trained.index.drop(level):
        clauses.append((scores[name], f"{spelled(name)} {percent(scores[name], 0)}"))
    ordered = sorted(clauses, key=lambda clause: clause[0], reverse=True)
    return f"{title(metric)} after {epochs}: {'; '.join(text for _, text in ordered)}."


def edges(p: Predictions, *, factors: list[float], epochs: int) -> str:
    """How the grid was extended, and whether the best learning rate of each optimizer lies
    inside; where tuning took fewer epochs than the final runs' `epochs`, that, too."""
    extended = []
    outside = []
    for optimizer, run in tuned(p).items():
        rates = rates_of(p, optimizer)
        best = run["config"]["learning_rate"]
        if len(rates) > len(factors):
            extended.append(
                f"{spelled(optimizer)} ({len(rates)} rates, {plain_number(rates[0])} to "
                f"{plain_number(rates[-1])})"
            )
        if best in (rates[0], rates[-1]):
            outside.append(f"{spelled(optimizer)} ({plain_number(best)})")
    text = f"Each optimizer was tuned on dev at {len(factors)} learning rates"
    tuning_epochs = next(iter(p.trained.values()))["config"]["epochs"]
    if tuning_epochs < epochs:
        text += f", in runs of {count(tuning_epochs, 'epoch')} instead of {epochs}"
    if extended:
        text += f", and further by factors of {STEP:g} where its best was an edge: "
        text += listed(extended)
    if outside:
        return f"{text}. The best of {listed(outside)} **still lies at the edge** of its grid."
    return f"{text}. Each best one lies inside its grid."


def _holds(holds: bool) -> str:
    return "**holds**" if holds else "**does not hold**"


def sweet_spot(p: Predictions, *, metric: str = "P@1", near: float = 1e-4) -> str:
    """The original's first claim: Adam and its variants do best near `near`."""
    chosen = tuned(p, metric=metric)
    rates = {name: chosen[name]["config"]["learning_rate"] for name in VARIANTS if name in chosen}
    claim = f"Claim: Adam and its variants train best near {plain_number(near)}."
    if not rates:
        return f"{claim} None was tried here."
    texts = listed(f"{plain_number(rate)} for {spelled(name)}" for name, rate in rates.items())
    chosen_near = [near / 3 <= rate <= near * 3 for rate in rates.values()]
    text = f"of the learning rates tried, dev chooses {texts}"
    if not all(chosen_near) and not _worse_near(p, near, metric):
        return (
            f"{claim} Here it is **not decided**: {text}, but by itself no such run is "
            f"significantly better on dev than one near {plain_number(near)} (McNemar's exact "
            "test)."
        )
    return f"{claim} Here it {_holds(all(chosen_near))}: {text}."


def _worse_near(p: Predictions, near: float, metric: str) -> bool:
    """Whether of any of the variants the run that dev chooses is significantly better on dev than
    its best run at a learning rate near `near`; also where there is none."""
    right = {key: group.right[0] for key, _, group in p.single("dev")}  # at the last epoch
    p_values = []
    for name in VARIANTS:
        runs = p.where(optimizer=name)
        if not runs.trained:
            continue
        best = tuned(runs, metric=metric)[name]
        is_near = {
            key: near / 3 <= run["config"]["learning_rate"] <= near * 3
            for key, run in runs.trained.items()
        }
        [key] = [key for key, run in runs.trained.items() if run is best]
        others = [right[other] for other in is_near if is_near[other]]
        if not is_near[key]:
            nearest = max(others, key=np.mean, default=None)
            p_values.append(0.0 if nearest is None else mcnemar(right[key], nearest))
    return min(adjusted(p_values)) < 1 - LEVEL


def failing(p: Predictions, *, rates: dict[str, float]) -> str:
    """The original's second claim: Adagrad and Adadelta fail at every learning rate; from the runs
    of each optimizer's best cell. `rates` are the default ones."""
    texts = []
    for name in OTHERS:
        runs = list(p.where(optimizer=name).trained.values())
        if not runs:
            continue
        learned = sum(run["outcome"] == LEARNED for run in runs)
        rate = runs[0]["config"]["learning_rate"]
        holds = "**holds in part**" if 0 < learned < len(runs) else _holds(not learned)
        texts.append(
            f"{holds} for {spelled(name)}: at {plain_number(rate)}, "
            f"{of_default(rate / rates[name])}, {learned or 'none'} of {count(len(runs), 'run')} "
            f"{'learns' if learned <= 1 else 'learn'}"
        )
    if not texts:
        return "Claim: Adagrad and Adadelta fail to train. Neither was tried here."
    return (
        "Claim: Adagrad and Adadelta fail to train. Here, at the rate that dev chooses, it "
        f"{'; and it '.join(texts)}."
    )


def decoupled(p: Predictions, *, metric: str = "P@1") -> str:
    """The original's third claim: with weight decay, AdamW does better than Adam."""
    texts = []
    for decay in sorted({run["config"]["weight_decay"] for run in p.trained.values()} - {0.0}):
        runs = p.where(optimizer=["adam", "adamw"], weight_decay=decay)
        table = differences(runs, by="optimizer", metric=metric)
        gain = difference_of(table, "adamw", "adam", metric)
        interval = difference_interval(gain["low"], gain["high"], metric)
        side = "above" if gain["value"] > 0 else "below"
        size = distance(gain["value"], metric)
        texts.append(f"with a decay of {decay:g}, AdamW is {size} {side} Adam ({interval})")
    return (
        "Claim: AdamW does better than Adam with weight decay. Here it is **not tested at equal "
        f"tuning**: in {title(metric)}, {listed(texts)}, at the learning rate that AdamW was tuned "
        "to; Adam with decay was not tuned."
    )


def published(p: Predictions, *, by: str = "optimizer", metric: str = "P@1") -> str:
    """The best score that the original published, beside the best one of an optimizer here."""
    every = published_scores()
    theirs = every.loc[every[metric].idxmax()]
    epochs = count(theirs["epoch"], "epoch")
    here = by_group(p.only(p.trained), by=by, metrics=[metric])[metric].max()
    return (
        f"Published, and **not comparable**: {title(metric)} {percent(theirs[metric])} "
        f"({ORIGINAL}, {epochs} with {spelled(theirs['optimizer'])}, its settings chosen on test "
        f"among {count(len(every), 'run')}). Here the highest mean of an optimizer is "
        f"{percent(here)}."
    )
