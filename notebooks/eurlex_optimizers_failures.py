"""Sentences of the study of optimizers on runs that fail: what they predict, whether their
documents are one point, and where they started."""

import numpy as np

from lib.analysis.display import count, listed, percent, spelled
from lib.analysis.numbers import plain_number
from lib.analysis.predictions import Predictions
from lib.runs.verdict import AT_PRIOR, COLLAPSED, LEARNED, ONE_LABEL, ONE_POINT, ONE_RANK
from notebooks.eurlex_optimizers import longest, not_learned
from notebooks.eurlex_optimizers_runs import published_scores

VERBS = {AT_PRIOR: "did not learn"}  # of outcomes that are none


def collapse(p: Predictions, *, tuning_seed: int) -> str:
    """The original's explanation: a failed run puts all documents on one point. Its verdict is
    about the short tuning runs and the runs of full length together."""
    claim = "Claim: a run fails because all documents fall on one point."
    runs = list(p.trained.values())
    failed = [run for run in runs if run["outcome"] != LEARNED]
    if not failed:
        return f"{claim} Here it is not tested: every run learned."
    learned = [run for run in runs if run["outcome"] == LEARNED]
    tuning = [run for run in runs if run["config"]["seed"] == tuning_seed]
    full = [run for run in failed if run["config"]["seed"] != tuning_seed]
    on_point = sum(map(_is_one_point, failed))
    holds = "**holds in part**"
    if on_point == len(failed) and not any(map(_is_one_point, learned)):
        holds = "**holds**"
    elif not on_point:
        holds = "**does not hold**"
    sentences = [f"{claim} Here it {holds}.", _tuning_runs(tuning), _full_runs(full)]
    sentences.append(
        "With one seed a tuning cell, the counts have no interval; which of the two causes "
        "the other is not tested."
    )
    return " ".join(filter(None, sentences))


def _is_one_point(run: dict) -> bool:
    """Whether after its last epoch the documents of a run are one point."""
    return run.get("health", {}).get("embedding_cosine", 0.0) > ONE_POINT


def _tuning_runs(runs: list[dict]) -> str:
    """How many of the tuning runs that failed, and of the others, are one point; and how many of
    these are called collapsed, which takes more."""
    failed = [run for run in runs if run["outcome"] != LEARNED]
    if not failed:
        return "Every tuning run learned."
    learned = [run for run in runs if run["outcome"] == LEARNED]
    of_failed = [run for run in failed if _is_one_point(run)]
    of_learned = sum(map(_is_one_point, learned))
    text = (
        f"After {longest(failed)} of tuning, all documents are one point (mean cosine above "
        f"{ONE_POINT}) in {_some(len(of_failed), len(failed))} that did not learn"
    )
    if learned:
        text += f", and in {_some(of_learned, len(learned))} that learned"
    text += "."
    collapsed = sum(run["outcome"] == COLLAPSED for run in of_failed)
    if collapsed < len(of_failed):
        text += (
            f" Of these {len(of_failed)} the tables call {collapsed or 'none'} collapsed, which "
            f"also takes two such epochs, an effective rank below {ONE_RANK} and a dev loss at "
            "rest."
        )
    rest = [run for run in failed if run not in of_failed]
    slow = sum(run.get("health", {}).get("top_label_share", 1.0) < ONE_LABEL for run in rest)
    if slow:
        does = "it does" if slow == 1 else "they do"
        text += f" Of the other {len(rest)}, {slow} may be slow: {does} not predict a constant."
    return text


def _full_runs(failed: list[dict]) -> str:
    """Whether the runs of full length that failed are one point, and where none is, how far they
    are from it."""
    if not failed:
        return ""
    cells = dict.fromkeys(
        (run["config"]["optimizer"], run["config"]["weight_decay"]) for run in failed
    )
    names = listed(
        spelled(name) + (f" with a weight decay of {decay:g}" if decay else "")
        for name, decay in sorted(cells, key=lambda cell: -cell[1])  # "with" is of the first alone
    )
    on_point = sum(map(_is_one_point, failed))
    text = (
        f"Of the {count(len(failed), 'run')} of {longest(failed)} that did not learn ({names}), "
        f"{on_point or 'none'} {'is' if on_point <= 1 else 'are'} one point"
    )
    measured = [run["health"] for run in failed if "health" in run]
    if on_point or not measured:
        return f"{text}."
    cosine, rank, share = (
        np.mean([health[name] for health in measured])
        for name in ("embedding_cosine", "embedding_rank", "top_label_share")
    )
    return (
        f"{text}: on average the cosine is {cosine:.3f} and the effective rank {rank:.0f}, though "
        f"{percent(share, 0)} of dev have the same first label."
    )


def _some(number: int, of: int) -> str:
    return f"{number or 'none'} of the {count(of, 'run')}"


def fingerprint(p: Predictions) -> str:
    """What a constant prediction leaves: the same P@1 in run after run, also the original's."""
    failed, constant, _ = not_learned(p)
    scores = published_scores()["P@1"]
    most_frequent = scores.mode().iloc[0]
    return (
        f"**Of {count(len(failed), 'tuning run')} that had not learned after {longest(failed)}, "
        f"{len(constant)} predict a constant**, the same first label for nearly all documents. "
        f"{(scores == most_frequent).sum()} of the original's {len(scores)} runs end at the very "
        f"same P@1 of {100 * most_frequent:.2f} %, the mark of such a constant."
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
    texts = []
    for (name, rate), ends in pairs.items():
        from_shares, from_even = (VERBS.get(ends[start], ends[start]) for start in (True, False))
        both = f"{from_shares} from the label shares and {from_even} from even guesses"
        if from_shares == from_even:
            both = f"{from_shares} from both"
        texts.append(f"{spelled(name)} at {plain_number(rate)} {both}")
    return (
        f"The start of the output layer changes how a run ends at **{changed} of {len(pairs)}** "
        f"learning rates tried, with one short run each: {'; '.join(texts)}."
    )
