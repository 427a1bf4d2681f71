"""From probabilities to decisions: a report by class, and thresholds for several labels."""

import numpy as np
import pandas as pd
from scipy.special import expit

from lib.analysis.classes import SHARES, confusions
from lib.analysis.display import difference_interval, signed, title, with_metrics
from lib.analysis.groups import Group
from lib.analysis.predictions import Predictions, group_of
from lib.analysis.resampling import draws, resample_confusions
from lib.analysis.stats import mean_and_interval
from lib.metrics import class_scores, decision_scores, divide, label_counts

MOST = 50  # classes in a report, the most frequent
ENOUGH = 5  # dev documents with a label, below which it gets the common threshold
HALF = "0.5 for all"
COMMON = "one for all, from dev"
BY_LABEL = "one a label, from dev"
WAYS = (HALF, COMMON, BY_LABEL)


def dense(group: Group, run: int, num_labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits (rows, num_labels), −inf where a label is not kept, and gold booleans alike: for
    few labels."""
    rows = np.arange(len(group.labels))[:, None]
    logits = np.full((len(rows), num_labels), -np.inf)
    logits[rows, group.ranked[run]] = group.logits[run]
    gold = np.zeros((len(rows), num_labels + 1), bool)  # the last: padding, and labels not in train
    gold[rows, np.where(group.labels < 0, num_labels, np.minimum(group.labels, num_labels))] = True
    return logits, gold[:, :num_labels]


def class_report(p: Predictions, *, by: str, group: str) -> pd.DataFrame:
    """Precision, recall and F1 of each class on test (up to 50, the most frequent first), mean
    over seeds, F1 with its 95 % interval; with several labels a document, at a probability of a
    half."""
    runs = group_of(p, by, group)
    num_labels = len(p.label_names)
    if runs.ranked is None:
        scores, f1_resampled = _class_scores(runs, num_labels)
    else:
        scores, f1_resampled = _label_scores(runs, num_labels)
    support = scores["support"]
    rows = []
    for i in np.argsort(-support, kind="stable")[:MOST]:
        row = {"class": p.label_names[i], "documents": int(support[i])}
        for metric in ("precision", "recall"):
            row[metric] = scores[metric][:, i].mean()
        row |= mean_and_interval("f1", scores["f1"][:, i], f1_resampled[:, :, i], SHARES)
        rows.append(row)
    metrics = ("precision", "recall", "f1")
    return with_metrics(pd.DataFrame(rows), {metric: metric for metric in metrics})


def _class_scores(group: Group, num_labels: int) -> tuple[dict, np.ndarray]:
    """Scores by name (runs, num_labels), `support` (num_labels,), and F1 resampled."""
    scores = class_scores(confusions(group, num_labels))
    scores["support"] = scores["support"][0]
    drawn = resample_confusions(group.labels, group.predicted, num_labels)
    return scores, class_scores(drawn)["f1"]


def _label_scores(group: Group, num_labels: int) -> tuple[dict, np.ndarray]:
    """The same where a document can have several labels."""
    weights = np.array(list(draws(len(group.labels))), np.float32)
    of_runs = []
    resampled = []
    for run in range(len(group.runs)):
        logits, gold = dense(group, run, num_labels)
        given = logits > 0
        counts = [part.astype(np.float32) for part in (given & gold, given, gold)]
        of_runs.append(_scores_of_counts(*(part.sum(0) for part in counts)))
        resampled.append(_scores_of_counts(*(weights @ part for part in counts))["f1"])
    scores = {name: np.stack([run[name] for run in of_runs]) for name in of_runs[0]}
    scores["support"] = scores["support"][0]
    return scores, np.stack(resampled, axis=1)


def _scores_of_counts(right: np.ndarray, given: np.ndarray, gold: np.ndarray) -> dict:
    """Scores of each label from how often it is given rightly, given, and gold."""
    return {
        "precision": divide(right, given),
        "recall": divide(right, gold),
        "f1": divide(2 * right, given + gold),
        "support": gold,
    }


def best_threshold(logits: np.ndarray, gold: np.ndarray) -> float:
    """The logit above which to say yes, so that F1 is highest, between the two scores that it
    parts; of logits and gold booleans of one shape."""
    order = np.argsort(-logits, axis=None, kind="stable")
    values = logits.ravel()[order]
    right = gold.ravel()[order]
    f1 = 2 * right.cumsum() / (np.arange(1, len(right) + 1) + right.sum())
    last_of_equals = np.append(values[1:] < values[:-1], True)  # equal scores stay together
    ends = np.flatnonzero(last_of_equals & np.isfinite(values))
    best = ends[f1[ends].argmax()]
    below = values[best] - 1
    if best + 1 < len(values) and np.isfinite(values[best + 1]):
        below = values[best + 1]
    return float((values[best] + below) / 2)


def tune(group: Group, run: int, num_labels: int) -> dict[str, np.ndarray]:
    """Thresholds (num_labels,) on logits that dev chooses: none, one for all labels, one for
    each."""
    logits, gold = dense(group, run, num_labels)
    common = np.full(num_labels, best_threshold(logits, gold))
    by_label = common.copy()
    for i in np.flatnonzero(gold.sum(0) >= ENOUGH):
        by_label[i] = best_threshold(logits[:, i], gold[:, i])
    return {HALF: np.zeros(num_labels), COMMON: common, BY_LABEL: by_label}


def thresholds(p: Predictions, *, by: str, group: str) -> pd.DataFrame:
    """F1 on test with thresholds that dev chose, and what they gain over one half: mean over
    seeds, 95 % intervals of the paired differences."""
    dev = group_of(p, by, group, "dev")
    test = group_of(p, by, group)
    num_labels = len(p.label_names)
    tuned = [tune(dev, run, num_labels) for run in range(len(test.runs))]
    metrics = ("micro_f1", "macro_f1")
    values = {}
    resampled = {}
    for way in WAYS:
        scores = []
        drawn = []
        for run, thresholds_of in enumerate(tuned):
            ranked = test.ranked[run]
            given = test.logits[run] > thresholds_of[way][ranked]
            decided = (ranked, given, test.labels, num_labels)
            scores.append(decision_scores(*decided))
            drawn.append(decision_scores(*decided, draws(len(test.labels))))
        for metric in metrics:
            values[way, metric] = np.array([run[metric] for run in scores])
            resampled[way, metric] = np.stack([run[metric] for run in drawn], axis=1)
    rows = []
    for way in WAYS:
        row = {"thresholds": way, "seeds": len(tuned)}
        for metric in metrics:
            row |= mean_and_interval(metric, values[way, metric], resampled[way, metric], SHARES)
            if way != HALF:
                gains = values[way, metric] - values[HALF, metric]
                drawn_gains = resampled[way, metric] - resampled[HALF, metric]
                row |= mean_and_interval(f"{metric}, gain", gains, drawn_gains)
        rows.append(row)
    columns = {metric: metric for metric in metrics}
    return with_metrics(pd.DataFrame(rows), columns | {f"{m}, gain": m for m in metrics})


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
    low = row[f"{metric}, gain_low"]
    high = row[f"{metric}, gain_high"]
    stands = "stands" if low > 0 or high < 0 else "does not stand"
    return (
        f"Thresholds tuned on dev ({row['thresholds'].split(',')[0]}) change test {title(metric)} "
        f"by {signed(row[f'{metric}, gain'], metric)} points against one half "
        f"({difference_interval(low, high, metric)}): the gain {stands}."
    )
