"""From probabilities to decisions: a report by class, thresholds for several labels, and labels
that may be wrong."""

import numpy as np
import pandas as pd
from scipy.special import expit, softmax

from lib.analysis.findings import count, percent, points, titled
from lib.analysis.predictions import Group, Predictions
from lib.analysis.stats import cells, draws, limits, resample_confusions
from lib.metrics import class_scores, confusion, decision_scores, label_counts

MOST = 50  # classes in a report, the most frequent
ENOUGH = 5  # dev documents with a label, below which it gets the common threshold
WAYS = ("0.5 for all", "one for all, from dev", "one a label, from dev")


def group_of(p: Predictions, by: str, group: str, split: str = "test") -> Group:
    return next(found for found in p.groups(by, split=split) if found.name == group)


def dense(group: Group, run: int, num_labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits (rows, num_labels), −inf where a label is not kept, and gold booleans alike: for
    few labels."""
    rows = np.arange(len(group.labels))[:, None]
    logits, gold = (
        np.full((len(rows), num_labels), -np.inf),
        np.zeros((len(rows), num_labels + 1), bool),
    )
    logits[rows, group.ranked[run]] = group.logits[run]
    gold[rows, np.where(group.labels < 0, num_labels, np.minimum(group.labels, num_labels))] = True
    return logits, gold[:, :num_labels]


def class_report(p: Predictions, *, by: str, group: str) -> pd.DataFrame:
    """Precision, recall and F1 of each class on test (up to 50, the most frequent first), mean
    over seeds, F1 with its 95 % interval; with several labels a document, at a probability of a
    half."""
    found, n = group_of(p, by, group), len(p.label_names)
    if found.ranked is None:
        scored = [class_scores(confusion(found.labels, row, n)) for row in found.predicted]
        resampled = class_scores(resample_confusions(found.labels, found.predicted, n))[
            "f1"
        ]  # (resamples, runs, n)
        support = scored[0]["support"]
    else:
        counts = [_label_counts(found, run, n) for run in range(len(found.runs))]
        scored, support = (
            [_f1(*(part.sum(0) for part in each)) for each in counts],
            counts[0][2].sum(0),
        )
        weights = np.array(list(draws(len(found.labels))), np.float32)
        resampled = np.stack(
            [_f1(*(weights @ part for part in each))["f1"] for each in counts], axis=1
        )
    rows = []
    for i in np.argsort(-support, kind="stable")[:MOST]:
        values = np.array([each["f1"][i] for each in scored])
        row = {"class": p.label_names[i], "documents": int(support[i])}
        row |= {
            name: np.mean([each[name][i] for each in scored]) for name in ("precision", "recall")
        }
        rows.append(row | cells("f1", values, resampled[:, :, i], *limits()))
    return pd.DataFrame(rows)


def _label_counts(
    group: Group, run: int, n: int, thresholds=0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True, claimed and gold labels of each document, (rows, n) float32 of zeros and ones."""
    logits, gold = dense(group, run, n)
    claimed = logits > thresholds
    return tuple(part.astype(np.float32) for part in (claimed & gold, claimed, gold))


def _f1(true, claimed, wanted) -> dict[str, np.ndarray]:
    def ratio(top, bottom):
        return np.divide(top, bottom, out=np.zeros(np.shape(top)), where=bottom > 0)

    return {
        "precision": ratio(true, claimed),
        "recall": ratio(true, wanted),
        "f1": ratio(2 * true, claimed + wanted),
    }


def best_threshold(logits: np.ndarray, gold: np.ndarray) -> float:
    """The logit above which to say yes, so that F1 is highest, between the two scores that it
    parts; of logits and gold booleans of one shape."""
    order = np.argsort(-logits, axis=None, kind="stable")
    values, right = logits.ravel()[order], gold.ravel()[order]
    f1 = 2 * right.cumsum() / (np.arange(1, len(right) + 1) + right.sum())
    ends = np.flatnonzero(
        np.append(values[1:] < values[:-1], True) & np.isfinite(values)
    )  # equal scores stay together
    at = ends[f1[ends].argmax()]
    after = (
        values[at + 1] if at + 1 < len(values) and np.isfinite(values[at + 1]) else values[at] - 1
    )
    return float((values[at] + after) / 2)


def tune(group: Group, run: int, n: int) -> dict[str, np.ndarray]:
    """Thresholds (n,) on logits that dev chooses: none, one for all labels, one for each."""
    logits, gold = dense(group, run, n)
    common = np.full(n, best_threshold(logits, gold))
    own = [
        best_threshold(logits[:, i], gold[:, i]) if gold[:, i].sum() >= ENOUGH else common[i]
        for i in range(n)
    ]
    return dict(zip(WAYS, (np.zeros(n), common, np.array(own)), strict=True))


def thresholds(p: Predictions, *, by: str, group: str) -> pd.DataFrame:
    """F1 on test with thresholds that dev chose, and what they gain over one half: mean over
    seeds, 95 % intervals of the paired differences."""
    dev, test, n = group_of(p, by, group, "dev"), group_of(p, by, group), len(p.label_names)
    tuned = [tune(dev, run, n) for run in range(len(test.runs))]
    scored: dict[str, dict[str, tuple]] = {}
    for way in WAYS:
        parts = []
        for run, ways in enumerate(tuned):
            chosen = test.logits[run] > ways[way][test.ranked[run]]
            args = (test.ranked[run], chosen, test.labels, n)
            parts.append((decision_scores(*args), decision_scores(*args, draws(len(test.labels)))))
        names = ("micro_f1", "macro_f1")
        scored[way] = {
            m: (np.array([a[m] for a, _ in parts]), np.stack([b[m] for _, b in parts], axis=1))
            for m in names
        }
    rows = []
    for way in WAYS:
        row = {"thresholds": way, "seeds": len(tuned)}
        for metric, (values, resampled) in scored[way].items():
            row |= cells(metric, values, resampled, *limits())
            if way != WAYS[0]:
                base, drawn = scored[WAYS[0]][metric]
                row |= cells(f"{metric}, gain", values - base, resampled - drawn)
        rows.append(row)
    return pd.DataFrame(rows)


def label_thresholds(p: Predictions, *, by: str, group: str) -> pd.DataFrame:
    """The probability above which each label is given, mean over seeds, the most frequent label
    in dev first."""
    dev, n = group_of(p, by, group, "dev"), len(p.label_names)
    tuned = np.mean([tune(dev, run, n)[WAYS[2]] for run in range(len(dev.runs))], axis=0)
    support = label_counts(dev.labels, n)
    order = np.argsort(-support, kind="stable")[:MOST]
    rows = [
        {
            "label": p.label_names[i],
            "dev documents": support[i],
            "threshold": f"{expit(tuned[i]):.2f}",
        }
        for i in order
    ]
    return pd.DataFrame(rows)


def label_errors(p: Predictions, *, by: str, group: str, most: int = 20) -> pd.DataFrame:
    """Dev documents whose label may be wrong, the surest first: the models, on the mean over seeds,
    believe in another.

    A class is believed in where its probability is a half or more, and reaches the mean that
    documents labelled so have (confident learning, Northcutt et al. 2021). With several labels a
    document each label is judged alone, at 95 %. Of numbers, those more than three standard
    deviations off.
    """
    dev, names, rows = group_of(p, by, group, "dev"), p.label_names, []
    position = p.frame[(p.frame["run"] == dev.runs[0]) & (p.frame["split"] == "dev")]
    position = position[position["epoch"] == p.runs[dev.runs[0]]["chosen_epoch"]]["row"].to_numpy()
    if p.task == "regression":
        values = dev.logits[:, :, 0].mean(0)
        off = (values - dev.labels) / (values - dev.labels).std()
        for i in np.argsort(-np.abs(off), kind="stable")[:most]:
            if abs(off[i]) > 3:
                given = {
                    "row": position[i],
                    "given": f"{dev.labels[i]:g}",
                    "believed": f"{values[i]:.4g}",
                }
                rows.append(given | {"standard deviations off": float(abs(off[i]))})
        return pd.DataFrame(rows, columns=["row", "given", "believed", "standard deviations off"])
    if p.task == "multilabel":
        parts = [dense(dev, run, len(names)) for run in range(len(dev.runs))]
        chance, gold = np.mean([expit(logits) for logits, _ in parts], axis=0), parts[0][1]
        sure = np.where(gold, 1 - chance, chance)
        for i, j in zip(
            *np.unravel_index(np.argsort(-sure, axis=None, kind="stable")[:most], sure.shape),
            strict=True,
        ):
            if sure[i, j] > 0.95:
                words = (
                    (names[j], f"not {names[j]}") if gold[i, j] else (f"not {names[j]}", names[j])
                )
                rows.append(
                    {
                        "row": position[i],
                        "given": words[0],
                        "believed": words[1],
                        "sureness": sure[i, j],
                    }
                )
        return pd.DataFrame(rows, columns=["row", "given", "believed", "sureness"])
    chance = softmax(dev.logits, axis=-1).mean(0)
    own = np.array(
        [
            chance[dev.labels == k, k].mean() if (dev.labels == k).any() else 1.0
            for k in range(len(names))
        ]
    )
    believed = chance.argmax(1)
    margin = chance.max(1) - chance[np.arange(len(chance)), dev.labels]
    for i in np.argsort(-margin, kind="stable"):
        sure = chance[i, believed[i]] >= max(own[believed[i]], 0.5)
        if believed[i] != dev.labels[i] and sure and len(rows) < most:
            row = {
                "row": position[i],
                "given": names[dev.labels[i]],
                "believed": names[believed[i]],
            }
            rows.append(row | {"sureness": chance[i, believed[i]]})
    return pd.DataFrame(rows, columns=["row", "given", "believed", "sureness"])


def tuned(p: Predictions, *, by: str, group: str) -> str:
    """What thresholds from dev gain on test."""
    table = thresholds(p, by=by, group=group)
    row = table.iloc[table["micro_f1"].iloc[1:].idxmax()]
    metric = "micro_f1"
    gain = points(row[f"{metric}, gain"])
    low, high = row[f"{metric}, gain_low"], row[f"{metric}, gain_high"]
    stands = "stands" if low > 0 or high < 0 else "does not stand"
    return (
        f"Thresholds tuned on dev ({row['thresholds'].split(',')[0]}) change test {titled(metric)} by "
        f"{gain} points against one half (95 % interval {points(low)} to {points(high)}): the gain {stands}."
    )


def suspects(p: Predictions, *, by: str, group: str) -> str:
    """How many dev labels the models do not believe."""
    found, rows = (
        len(label_errors(p, by=by, group=group, most=10**9)),
        len(group_of(p, by, group, "dev").labels),
    )
    return (
        f"{count(found, 'label')} of the {rows:,} dev documents ({percent(found / rows)}) may be wrong: the models are "
        "sure of another one."
    )


FUNCTIONS = (class_report, thresholds, label_thresholds, label_errors)
TABLES = {function.__name__: function for function in FUNCTIONS}
FINDINGS = {function.__name__: function for function in (tuned, suspects)}
