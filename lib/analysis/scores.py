"""From a group's predictions to the scores of each of its runs, on all documents and resampled."""

import numpy as np
import pandas as pd

from lib.analysis.groups import Group
from lib.analysis.predictions import Predictions
from lib.analysis.resampling import bootstrap, bootstrap_numbers, draws, resample_ratios
from lib.metrics import (
    classification_scores,
    decision_scores,
    document_scores,
    ranking_scores,
    regression_scores,
)
from lib.runs.baselines import NAMES


def display_name(group: str) -> str:
    """A group as a page names it: a baseline by its title."""
    return NAMES.get(group, group)


def run_scores(p: Predictions, group: Group) -> pd.DataFrame:
    """The scores of each run of a group, a row a run, a column a metric."""
    if p.task == "regression":
        rows = [regression_scores(values[:, 0], group.labels) for values in group.logits]
    elif p.task == "classification":
        rows = [classification_scores(logits, group.labels) for logits in group.logits]
    else:
        rows = []
        for ranked, logits in zip(group.ranked, group.logits, strict=True):
            scores = ranking_scores(ranked, group.labels, p.weights)
            scores |= decision_scores(ranked, logits > 0, group.labels, len(p.label_names))
            rows.append(scores)
    return pd.DataFrame(rows)


def resampled_scores(p: Predictions, group: Group, metrics: list[str]) -> dict[str, np.ndarray]:
    """Each metric of every run of a group in every resample of documents, (resamples, runs)."""
    if p.task == "regression":
        return bootstrap_numbers(group.labels, group.logits[:, :, 0], tuple(metrics))
    if p.task == "classification":
        return bootstrap(group.labels, group.predicted, len(p.label_names), tuple(metrics))
    return _resampled_multilabel(p, group, metrics)


def _resampled_multilabel(
    p: Predictions, group: Group, metrics: list[str]
) -> dict[str, np.ndarray]:
    ratios = [document_scores(ranked, group.labels, p.weights) for ranked in group.ranked]
    resampled = {}
    for metric in set(metrics) & set(ratios[0]):
        numerators = np.stack([run[metric][0] for run in ratios])
        denominators = np.stack([run[metric][1] for run in ratios])
        resampled[metric] = resample_ratios(numerators, denominators)
    of_decisions = set(metrics) - set(resampled)
    if of_decisions:
        runs = [
            decision_scores(
                ranked, logits > 0, group.labels, len(p.label_names), draws(len(group.labels))
            )
            for ranked, logits in zip(group.ranked, group.logits, strict=True)
        ]
        for metric in of_decisions:
            resampled[metric] = np.stack([run[metric] for run in runs], axis=1)
    return resampled


def dev_scores(p: Predictions, metric: str) -> pd.DataFrame:
    """The dev score of every trained run after every epoch: its key, the epoch, the score."""
    trained = p.trained
    rows = [
        {"run": key, "epoch": epoch, metric: run_scores(p, group)[metric][0]}
        for key, epoch, group in p.single("dev")
        if key in trained
    ]
    return pd.DataFrame(rows, columns=["run", "epoch", metric])
