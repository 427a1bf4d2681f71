"""From probabilities to decisions: a report by class, and thresholds for several labels."""

import numpy as np
import pandas as pd
from scipy.special import expit

from lib.analysis.classes import confusions
from lib.analysis.display import difference_interval, distance, title, with_metrics
from lib.analysis.groups import Group
from lib.analysis.jackknife import confusion_values, decision_values, jackknife_values
from lib.analysis.predictions import Predictions, group_of
from lib.analysis.scores import shares_of
from lib.analysis.stats import Sample, mean_and_interval, paired_difference
from lib.confusions import class_scores, scores_of_counts
from lib.metrics import METRICS, SHARE, decision_scores
from lib.rankings import label_counts
from lib.thresholds import dense, thresholds_of

MOST = 50  # classes in a report, the most frequent
HALF = "0.5 for all"
COMMON = "one for all, from dev"
BY_LABEL = "one a label, from dev"
WAYS = (HALF, COMMON, BY_LABEL)
F1_METRICS = ("micro_f1", "macro_f1")


def class_report(p: Predictions, *, by: str, group: str) -> pd.DataFrame:
    """Precision, recall and F1 of each class on test (up to 50, the most frequent first), mean
    over seeds, F1 with its 95 % interval; with several labels a document, at a probability of a
    half."""
    runs = group_of(p, by, group)
    num_labels = len(p.label_names)
    if runs.ranked is None:
        scores, f1_values = scores_by_class(runs, num_labels)
    else:
        scores, f1_values = _label_scores(runs, num_labels)
    support = scores["support"]
    rows = []
    for i in np.argsort(-support, kind="stable")[:MOST]:
        row = {"class": p.label_names[i], "documents": int(support[i])}
        for metric in ("precision", "recall"):
            row[metric] = scores[metric][:, i].mean()
        sample = shares_of(runs, scores["f1"][:, i], f1_values[:, :, i])
        row |= mean_and_interval("f1", sample, SHARE)
        rows.append(row)
    metrics = ("precision", "recall", "f1")
    return with_metrics(pd.DataFrame(rows), {metric: metric for metric in metrics})


def scores_by_class(group: Group, num_labels: int) -> tuple[dict, np.ndarray]:
    """Scores by name (runs, num_labels), `support` (num_labels,), and the jackknife values of F1
    (runs, rows, num_labels)."""

    def f1_of(counts: np.ndarray) -> np.ndarray:
        return class_scores(counts)["f1"]

    scores = class_scores(confusions(group, num_labels))
    scores["support"] = scores["support"][0]
    return scores, confusion_values(f1_of, group.labels, group.predicted, num_labels)


def _label_scores(group: Group, num_labels: int) -> tuple[dict, np.ndarray]:
    """The same where a document can have several labels."""
    of_runs = []
    values = []
    for run in range(len(group.runs)):
        logits, gold = dense(group.logits[run], group.ranked[run], group.labels, num_labels)
        given = logits > 0
        counted = (given & gold, given, gold)
        scores = scores_of_counts(*(part.sum(0) for part in counted))
        left_out = scores_of_counts(*(part.sum(0) - part for part in counted))
        of_runs.append(scores)
        values.append(jackknife_values(scores["f1"], left_out["f1"]))
    scores = {name: np.stack([run[name] for run in of_runs]) for name in of_runs[0]}
    scores["support"] = scores["support"][0]
    return scores, np.stack(values)


def tune(group: Group, run: int, num_labels: int) -> dict[str, np.ndarray]:
    """Thresholds (num_labels,) on logits that dev chooses: none, one for all labels, one for
    each."""
    table = dense(group.logits[run], group.ranked[run], group.labels, num_labels)
    common, by_label = thresholds_of(*table)
    return {HALF: np.zeros(num_labels), COMMON: common, BY_LABEL: by_label}


def thresholds(p: Predictions, *, by: str, group: str) -> pd.DataFrame:
    """F1 on test with thresholds that dev chose, and what they gain over one half: mean over
    seeds; the 95 % intervals of the gains hold together."""
    dev = group_of(p, by, group, "dev")
    test = group_of(p, by, group)
    num_labels = len(p.label_names)
    tuned = [tune(dev, run, num_labels) for run in range(len(test.runs))]
    samples = {
        (way, metric): _decided(test, [of_run[way] for of_run in tuned], num_labels, metric)
        for way in WAYS
        for metric in F1_METRICS
    }
    gains = (len(WAYS) - 1) * len(F1_METRICS)
    rows = []
    for way in WAYS:
        row = {"thresholds": way, "seeds": len(tuned)}
        for metric in F1_METRICS:
            row |= mean_and_interval(metric, samples[way, metric], SHARE)
            if way != HALF:
                gain = paired_difference(samples[way, metric], samples[HALF, metric])
                row |= mean_and_interval(f"{metric}, gain", gain, family=gains)
        rows.append(row)
    columns = {metric: metric for metric in F1_METRICS}
    return with_metrics(pd.DataFrame(rows), columns | {f"{m}, gain": m for m in F1_METRICS})


def _decided(test: Group, thresholds_of: list[np.ndarray], num_labels: int, metric: str) -> Sample:
    """A metric of the decisions of each run at its own thresholds (num_labels,)."""
    function = METRICS[metric].functions["decisions"]
    scores = []
    values = []
    for run, limits in enumerate(thresholds_of):
        ranked = test.ranked[run]
        given = test.logits[run] > limits[ranked]
        scores.append(decision_scores(ranked, given, test.labels, num_labels)[metric])
        values.append(decision_values(function, ranked, given, test.labels, num_labels))
    return shares_of(test, np.array(scores), np.stack(values))


def label_thresholds(p: Predictions, *, by: str, group: str) -> pd.DataFrame:
    """The probability above which each label is given, mean over seeds, the most frequent label
    in dev first."""
    dev = group_of(p, by, group, "dev")
    num_labels = len(p.label_names)
    tuned = [tune(dev, run, num_labels)[BY_LABEL] for run in range(len(dev.runs))]
    probabilities = expit(np.mean(tuned, axis=0))
    support = label_counts(dev.labels, num_labels)
    rows = [
        {
            "label": p.label_names[i],
            "dev documents": support[i],
            "threshold": f"{probabilities[i]:.2f}",
        }
        for i in np.argsort(-support, kind="stable")[:MOST]
    ]
    return pd.DataFrame(rows)


def tuned(p: Predictions, *, by: str, group: str) -> str:
    """What thresholds from dev gain on test."""
    table = thresholds(p, by=by, group=group)
    metric = "micro_f1"
    row = table.iloc[table[metric].iloc[1:].idxmax()]
    gain = row[f"{metric}, gain"]
    low = row[f"{metric}, gain_low"]
    high = row[f"{metric}, gain_high"]
    verdict = ""
    if np.isfinite(low):
        verdict = f": the gain is {'' if low > 0 or high < 0 else 'not '}significant"
    return (
        f"Thresholds tuned on dev ({row['thresholds'].split(',')[0]}) "
        f"{'raise' if gain > 0 else 'lower'} test {title(metric)} by {distance(gain, metric)} "
        f"against one half ({difference_interval(low, high, metric)}){verdict}."
    )
