"""From a group's predictions to the scores of its runs, and what each document adds to them."""

import numpy as np
import pandas as pd

from lib.analysis.groups import Group
from lib.analysis.jackknife import confusion_values, decision_values, number_values, ratio_values
from lib.analysis.predictions import Predictions
from lib.analysis.stats import Sample
from lib.metrics import METRICS, SHARE, document_scores, scores_of


def run_scores(p: Predictions, group: Group) -> pd.DataFrame:
    """The scores of each run of a group, a row a run, a column a metric."""
    options = {"num_labels": len(p.label_names), "weights": p.weights}
    all_ranked = [None] * len(group.runs) if group.ranked is None else group.ranked
    rows = [
        scores_of(logits, group.labels, ranked, **options)
        for logits, ranked in zip(group.logits, all_ranked, strict=True)
    ]
    return pd.DataFrame(rows)


def sample_of(p: Predictions, group: Group, metric: str) -> Sample:
    """The scores of a group's runs with the jackknife values of the documents."""
    return Sample(
        run_scores(p, group)[metric].to_numpy(),
        _document_values(p, group, metric),
        group.has_seeds,
        METRICS[metric].limits == SHARE,
    )


def shares_of(group: Group, scores: np.ndarray, values: np.ndarray) -> Sample:
    """A sample of shares (runs,) with their jackknife values (runs, rows), of a group's runs."""
    return Sample(scores, values, group.has_seeds)


def _document_values(p: Predictions, group: Group, metric: str) -> np.ndarray:
    """Jackknife values (runs, rows) of a metric."""
    num_labels = len(p.label_names)
    functions = METRICS[metric].functions
    if p.task == "regression":
        values = [number_values(metric, run[:, 0], group.labels) for run in group.logits]
        return np.stack(values)
    if p.task == "classification":
        function = functions["confusion"]
        return confusion_values(function, group.labels, group.predicted, num_labels)
    if "decisions" in functions:
        function = functions["decisions"]
        values = [
            decision_values(function, ranked, logits > 0, group.labels, num_labels)
            for ranked, logits in zip(group.ranked, group.logits, strict=True)
        ]
        return np.stack(values)
    ratios = [document_scores(ranked, group.labels, p.weights)[metric] for ranked in group.ranked]
    return ratio_values(np.stack([top for top, _ in ratios]), np.stack([low for _, low in ratios]))


def dev_scores(p: Predictions, metric: str) -> pd.DataFrame:
    """The dev score of every trained run after every epoch: its key, the epoch, the score."""
    trained = p.trained
    rows = [
        {"run": key, "epoch": epoch, metric: run_scores(p, group)[metric][0]}
        for key, epoch, group in p.single("dev")
        if key in trained
    ]
    return pd.DataFrame(rows, columns=["run", "epoch", metric])


def best_dev_scores(p: Predictions, metric: str) -> dict[str, float]:
    """The highest dev score of every trained run by its key; 0 for one without a score."""
    best = dev_scores(p, metric).groupby("run")[metric].max()
    return {key: best.get(key, 0.0) for key in p.trained}
