"""Tables by class: scores, confusions, what an imbalance does, and labels rare and frequent."""

import numpy as np
import pandas as pd

from lib.analysis.display import with_metrics
from lib.analysis.groups import Group
from lib.analysis.predictions import Predictions, group_of
from lib.analysis.resampling import resample_confusions, resample_ratios
from lib.analysis.scores import display_name
from lib.analysis.stats import mean_and_interval
from lib.metrics import METRICS, class_scores, confusion, confusion_scores
from lib.runs.baselines import NO_MODEL

FEWEST = 20  # documents, below which there is no score of labels of like frequency
SHARES = METRICS["share"].limits


def confusions(group: Group, num_labels: int) -> np.ndarray:
    """Confusion counts (runs, num_labels, num_labels) of each run of a group."""
    return np.stack([confusion(group.labels, row, num_labels) for row in group.predicted])


def by_class(p: Predictions, *, by: str, metric: str = "f1") -> pd.DataFrame:
    """A score of every class on test, mean over seeds with its 95 % interval, a row for each
    group and class."""
    rows = []
    num_labels = len(p.label_names)
    for group in p.groups(by):
        if group.name in NO_MODEL:
            continue
        scores = class_scores(confusions(group, num_labels))[metric]
        drawn = resample_confusions(group.labels, group.predicted, num_labels)
        resampled = class_scores(drawn)[metric]
        for i, name in enumerate(p.label_names):
            documents = int((group.labels == i).sum())
            row = {by: display_name(group.name), "class": name, "documents": documents}
            row |= mean_and_interval(metric, scores[:, i], resampled[:, :, i], SHARES)
            rows.append(row)
    return with_metrics(pd.DataFrame(rows), {metric: metric})


def confusion_table(p: Predictions, *, by: str, group: str) -> pd.DataFrame:
    """Of the test documents of each class (rows, the index `gold`), the mean number over seeds
    that got each label (columns)."""
    counts = confusions(group_of(p, by, group), len(p.label_names)).mean(0)
    gold = pd.Index(p.label_names, name="gold")
    table = pd.DataFrame(counts, index=gold, columns=list(p.label_names))
    return with_metrics(table, {}, literal=p.label_names)


def imbalance(p: Predictions, *, by: str, group: str, ratio: int = 10) -> pd.DataFrame:
    """Micro and macro F1 of the same predictions when one class is made `ratio` times as frequent
    as each other one.

    Documents are weighted instead of drawn, which is what endless resampling would converge to.
    """
    num_labels = len(p.label_names)
    runs = group_of(p, by, group)
    counts = confusions(runs, num_labels)
    drawn = resample_confusions(runs.labels, runs.predicted, num_labels)
    rows = []
    for majority in [None, *range(num_labels)]:
        weights = np.ones(num_labels)
        name = "none (balanced)"
        if majority is not None:
            weights[majority] = ratio
            name = p.label_names[majority]
        scores = _reweighted(counts, weights)
        resampled = _reweighted(drawn, weights)
        row = {"majority class": name}
        for metric in ("micro_f1", "macro_f1"):
            row |= mean_and_interval(metric, scores[metric], resampled[metric], SHARES)
        rows.append(row)
    return with_metrics(pd.DataFrame(rows), {"micro_f1": "micro_f1", "macro_f1": "macro_f1"})


def _reweighted(counts: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """The scores of confusion counts (..., classes, classes) whose classes count as `weights`."""
    shares = counts / np.maximum(counts.sum(-1, keepdims=True), 1)
    return confusion_scores(shares * weights[:, None])


def by_frequency(p: Predictions, *, by: str, edges: list[int]) -> pd.DataFrame:
    """Scores over labels of like frequency in train, with 95 % intervals; `edges` are the least
    numbers of train documents of each bin.

    R@5: of the times that such a label is gold on test, the share in which it is among the first
    five. P@1: of the documents whose first predicted label is such a one, the share in which it is
    gold. No score from fewer documents than `FEWEST`.
    """
    counts = np.append(p.train_counts, 0)
    rows = []
    for group in p.groups(by):
        frequency = np.where(
            group.labels >= 0, counts[np.minimum(group.labels, len(counts) - 1)], -1
        )  # (rows, most) of each gold label
        ranked_first = counts[group.ranked[:, :, 0]]  # (runs, rows)
        hit = (group.ranked[:, :, :, None] == group.labels[:, None, :]).any(2)  # (runs, rows, most)
        for low, high in zip(edges, [*edges[1:], np.inf], strict=True):
            gold = (frequency >= low) & (frequency < high)
            claimed = (ranked_first >= low) & (ranked_first < high)
            row = {
                by: display_name(group.name),
                "train documents": f"{low}–{high - 1:.0f}" if high < np.inf else f"{low} and more",
                "times gold": int(gold.sum()),
                "times first": claimed.sum(1).mean(),
            }
            of_gold = np.tile(gold.sum(1), (len(hit), 1))
            row |= _ratio("R@5", (hit & gold).sum(2), of_gold)
            row |= _ratio("P@1", group.right & claimed, claimed)
            rows.append(row)
    return with_metrics(pd.DataFrame(rows), {"R@5": "R@5", "P@1": "P@1"})


def _ratio(metric: str, hits: np.ndarray, of: np.ndarray) -> dict[str, float]:
    """A ratio of sums over documents (runs, rows), or none from too few documents."""
    if (of > 0).sum(1).min() < FEWEST:
        return {metric: np.nan, f"{metric}_low": np.nan, f"{metric}_high": np.nan}
    hits = hits.astype(float)
    of = of.astype(float)
    values = hits.sum(1) / of.sum(1)
    return mean_and_interval(metric, values, resample_ratios(hits, of), SHARES)
