"""Sentences of the study of optimizers: whether what its original claims holds here."""

import numpy as np

from lib.analysis.comparisons import SIGNIFICANT, TOO_FEW, differences
from lib.analysis.display import difference_interval, listed, points, title
from lib.analysis.findings import difference_of
from lib.analysis.predictions import Predictions
from lib.runs.outcomes import LEARNED, ONE_POINT
from notebooks.eurlex_optimizers import best

VARIANTS = ("adam", "amsgrad", "adamw")
OTHERS = ("adagrad", "adadelta")


def _by_outcome(p: Predictions, *optimizers: str) -> dict[str, list[dict]]:
    """The trained runs of some optimizers by how they ended."""
    runs: dict[str, list[dict]] = {}
    for run in p.trained.values():
        if run["config"]["optimizer"] in optimizers:
            runs.setdefault(run["outcome"], []).append(run)
    return runs


def _holds(holds: bool) -> str:
    return "**holds**" if holds else "**does not hold**"


def _counted(runs_by_outcome: dict[str, list[dict]]) -> str:
    return listed(f"{len(runs)} {outcome}" for outcome, runs in runs_by_outcome.items())


def sweet_spot(p: Predictions, *, metric: str = "P@1", near: float = 1e-4) -> str:
    """The original's first claim: Adam and its variants do best near `near`."""
    rates = {}
    for run in best(p, metric=metric).trained.values():
        if run["config"]["optimizer"] in VARIANTS:
            rates[run["config"]["optimizer"]] = run["config"]["learning_rate"]
    holds = all(near / 3 <= rate <= near * 3 for rate in rates.values())
    chosen = listed(f"{rate:g} for {name}" for name, rate in rates.items())
    return (
        f"Claim: Adam and its variants train best near {near:g}. Here it {_holds(holds)}: of the "
        f"learning rates tried, dev chooses {chosen}."
    )


def failing(p: Predictions) -> str:
    """The original's second claim: Adagrad and Adadelta fail at every learning rate."""
    ends = _by_outcome(p, *OTHERS)
    tried = sum(len(runs) for runs in ends.values())
    learned = [
        f"{run['config']['optimizer']} at {run['config']['learning_rate']:g}"
        for run in ends.get(LEARNED, [])
    ]
    text = (
        "Claim: Adagrad and Adadelta fail to train. "
        f"Here it {_holds(not learned)}: {len(learned) or 'none'} of their {tried} runs learned"
    )
    if learned:
        return f"{text} ({listed(dict.fromkeys(learned))})."
    return f"{text} ({_counted(ends)})."


def decoupled(p: Predictions, *, metric: str = "P@1") -> str:
    """The original's third claim: with weight decay, AdamW does better than Adam."""
    texts = []
    gains = []
    for decay in sorted({run["config"]["weight_decay"] for run in p.trained.values()} - {0.0}):
        runs = p.where(optimizer=["adam", "adamw"], weight_decay=decay)
        rows = differences(runs, by="optimizer", metric=metric).to_dict("records")
        gain = difference_of(rows, "adamw", "adam", metric)
        interval = difference_interval(gain["low"], gain["high"], metric)
        texts.append(f"with {decay:g} it is {points(gain['value'])} points ({interval})")
        gains.append(gain)
    holds = all(gain["verdict"] == SIGNIFICANT and gain["value"] > 0 for gain in gains)
    verdict = f"{_holds(holds)} {'for every decay tried' if holds else 'throughout'}"
    if any(np.isnan(gain["low"]) for gain in gains):
        verdict = f"is **not tested**, with {TOO_FEW}"
    return (
        f"Claim: AdamW does better than Adam with weight decay. Here it {verdict}. "
        f"AdamW − Adam in {title(metric)}: {listed(texts)}."
    )


def collapse(p: Predictions) -> str:
    """The original's explanation: a failed run puts all documents on one point."""
    ends = _by_outcome(p, *VARIANTS, *OTHERS)
    ends.pop(LEARNED, None)
    failed = [run for runs in ends.values() for run in runs]
    on_one_point = sum(
        run["health"]["embedding_cosine"] > ONE_POINT for run in failed if "health" in run
    )
    holds = on_one_point == len(failed)
    return (
        "Claim: a run fails because all documents fall on one point. "
        f"Here it {_holds(holds)} {'for' if holds else 'as a rule: it is so in'} {on_one_point} of "
        f"the {len(failed)} runs that did not learn (mean cosine above {ONE_POINT}). They ended "
        f"so: {_counted(ends)}."
    )


def start(p: Predictions) -> str:
    """Whether a run's end depends on where its output layer starts: at the label shares, or at
    even guesses."""
    outcomes: dict[tuple, dict[bool, str]] = {}
    for run in p.trained.values():
        config = run["config"]
        cell = config["optimizer"], config["learning_rate"]
        outcomes.setdefault(cell, {})[config["prior_bias"]] = run["outcome"]
    pairs = {cell: ends for cell, ends in outcomes.items() if len(ends) == 2}
    changed = sum(ends[True] != ends[False] for ends in pairs.values())
    texts = [
        f"{name} at {rate:g} ended {ends[True]} from the label shares and {ends[False]} from even "
        "guesses"
        for (name, rate), ends in pairs.items()
    ]
    return (
        f"The start of the output layer decides how a run ends at **{changed} of {len(pairs)}** "
        f"learning rates tried: {'; '.join(texts)}."
    )
