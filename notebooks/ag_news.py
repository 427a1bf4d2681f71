"""The study of learning-rate schedules: scores by class, what averages tell, and dev loss that
rises again."""

import dataclasses

import numpy as np
import pandas as pd
from scipy.special import softmax

from lib.analysis import captions
from lib.analysis.classes import SHARES, confusions
from lib.analysis.display import escape, percent, points, with_metrics
from lib.analysis.findings import best_group
from lib.analysis.groups import Group
from lib.analysis.jackknife import confusion_values
from lib.analysis.predictions import Predictions, collect, group_of
from lib.analysis.scores import display_name, shares_of
from lib.analysis.stats import Sample, mean_and_interval
from lib.metrics import METRICS, class_scores, cross_entropy
from lib.publish.page import show_text
from lib.runs.baselines import NAMES, NO_MODEL, references
from lib.runs.config import RunConfig
from lib.runs.keys import corpus_of

CAPTIONS = {  # of the tables and figures by their names
    "by_schedule": f"{captions.SCORES}. Each run is scored at "
    "the epoch with the best macro F1 on dev.",
    "test_accuracy": f"{captions.DOTS} Grey: references that are not fine-tuned (without the "
    "majority class). Whether two schedules differ, the paired table below tells.",
    "differences": captions.differences(),
    "learning_curves": f"{captions.CURVES} Constant and multistep are one line until the drop: up "
    "to there they are the same run.",
    "losses": "Solid: dev loss; dashed: train loss; faint: each seed. The ring marks the lowest "
    "mean dev loss, the number how far it has risen by the last epoch.",
    "learning_rate": "The learning rate in each epoch.",
    "confusion_matrix": "Share of each gold class, and the mean number of test documents over "
    "seeds.",
    "f1_by_class": captions.DOTS,
    "imbalance": "F1 of the same test predictions with one class weighted tenfold; 95 % intervals "
    "over documents and seeds.",
    "averages": "Each position on the horizontal axis makes another class the majority, ten to "
    "one.",
    "runs": "Test scores of each run at its chosen and at its last epoch.",
    "epochs": "Dev scores after each epoch, mean ± standard deviation over seeds.",
    "overshoot": "Mean dev loss over seeds, in nats.",
    "classes": "Test F1 by class, mean over seeds.",
}


def configs(base: RunConfig, schedules: dict[str, dict], seeds: list[int]) -> list[RunConfig]:
    """A run for each seed and each schedule (its name and its arguments), and the references."""
    runs = [
        base.with_(schedule=name, schedule_args=schedules[name], seed=seed)
        for seed in seeds
        for name in schedules
    ]
    return runs + references(base)


def by_class(p: Predictions, *, by: str, metric: str = "f1") -> pd.DataFrame:
    """A score of every class on test, mean over seeds with its 95 % interval, a row for each
    group and class."""
    rows = []
    num_labels = len(p.label_names)
    for group in p.groups(by):
        if group.name in NO_MODEL:
            continue
        runs = group.counted_once
        scores = class_scores(confusions(runs, num_labels))[metric]
        values = confusion_values(
            lambda counts: class_scores(counts)[metric], runs.labels, runs.predicted, num_labels
        )
        for i, name in enumerate(p.label_names):
            documents = int((group.labels == i).sum())
            row = {by: display_name(group.name), "class": name, "documents": documents}
            sample = shares_of(runs, scores[:, i], values[:, :, i])
            row |= mean_and_interval(metric, sample, SHARES)
            rows.append(row)
    return with_metrics(pd.DataFrame(rows), {metric: metric})


def imbalance(p: Predictions, *, by: str, group: str, ratio: int = 10) -> pd.DataFrame:
    """Micro and macro F1 of the same predictions when one class is made `ratio` times as frequent
    as each other one: the documents are weighted."""
    num_labels = len(p.label_names)
    runs = group_of(p, by, group).counted_once
    rows = []
    for majority in [None, *range(num_labels)]:
        weights = np.ones(num_labels)
        name = "none (balanced)"
        if majority is not None:
            weights[majority] = ratio
            name = p.label_names[majority]
        row = {"majority class": name}
        for metric in ("micro_f1", "macro_f1"):
            row |= mean_and_interval(metric, _reweighted(runs, weights, metric), SHARES)
        rows.append(row)
    return with_metrics(pd.DataFrame(rows), {"micro_f1": "micro_f1", "macro_f1": "macro_f1"})


def _reweighted(runs: Group, weights: np.ndarray, metric: str) -> Sample:
    """A score of runs whose classes count as `weights` (classes,)."""
    num_labels = len(weights)

    def score_of(counts: np.ndarray) -> np.ndarray:
        shares = counts / np.maximum(counts.sum(-1, keepdims=True), 1)
        return METRICS[metric].functions["confusion"](shares * weights[:, None])

    values = confusion_values(score_of, runs.labels, runs.predicted, num_labels)
    return shares_of(runs, score_of(confusions(runs, num_labels)), values)


def overshoot(p: Predictions, *, by: str) -> pd.DataFrame:
    """For each group: the epoch with the lowest mean dev loss, that loss, the last one, and how
    many seeds rose; of the runs that came to the last epoch."""
    last = max(run["last_epoch"] for run in p.runs.values())
    p = dataclasses.replace(
        p, runs={key: run for key, run in p.runs.items() if run["last_epoch"] == last}
    )
    rows = []
    for name in [group.name for group in p.groups(by) if group.name not in NAMES]:
        losses = np.array([_losses(p, by, name, epoch) for epoch in range(1, last + 1)])
        mean = losses.mean(1)  # (epochs,) of losses (epochs, runs)
        rose = int((losses[-1] > losses.min(0)).sum())
        rows.append(
            {
                by: name,
                "lowest at epoch": int(mean.argmin()) + 1,
                "lowest dev loss": mean.min(),
                "last dev loss": mean[-1],
                "last": last,
                "seeds whose loss rose": f"{rose} of {losses.shape[1]}",
            }
        )
    return with_metrics(pd.DataFrame(rows), {"lowest dev loss": "loss", "last dev loss": "loss"})


def _losses(p: Predictions, by: str, name: str, epoch: int) -> list[float]:
    """The dev loss of each run of a group after an epoch."""
    group = next(g for g in p.groups(by, split="dev", epoch=epoch) if g.name == name)
    return [cross_entropy(logits, group.labels) for logits in group.logits]


def overshooting(p: Predictions, *, by: str) -> str:
    """Whether dev loss rises again before the last epoch, by group."""
    texts = []
    for row in overshoot(p, by=by).to_dict("records"):
        rise = row["last dev loss"] - row["lowest dev loss"]
        if row["lowest at epoch"] < row["last"]:
            texts.append(
                f"with {row[by]} it is lowest after epoch {row['lowest at epoch']} and {rise:.3f} "
                f"higher at the end ({row['seeds whose loss rose']} seeds rose)"
            )
        else:
            texts.append(f"with {row[by]} it is lowest at the end")
    return f"Mean dev loss: {'; '.join(texts)}."


def averaging(p: Predictions, *, by: str, ratio: int = 10) -> str:
    """How far micro and macro F1 part when one class dominates."""
    table = imbalance(p, by=by, group=best_group(p, by=by), ratio=ratio)
    skewed = table.iloc[1:]
    micro = skewed["micro_f1"]
    macro = skewed["macro_f1"]
    widest = skewed.loc[(micro - macro).abs().idxmax()]
    return (
        f"On balanced classes micro F1 is {percent(table['micro_f1'][0])} and macro F1 "
        f"{percent(table['macro_f1'][0])}. With one class {ratio} times as frequent as each other, "
        f"the same predictions score between {percent(micro.min())} and {percent(micro.max())} "
        f"micro but {percent(macro.min())} to {percent(macro.max())} macro, depending on the "
        f"class; the two part most where {escape(widest['majority class'])} dominates, by "
        f"{points(widest['micro_f1'] - widest['macro_f1'])} points: there the micro average tells "
        "mostly how well that one class is recognised."
    )


def show_errors(runs, config, *, by: str, group: str, count: int = 6) -> None:
    """Quote the test documents that a group gets wrong with the highest mean confidence.

    Only of a generated corpus: other texts are not ours to publish. Says where the given label
    itself is the noise.
    """
    corpus = corpus_of(config) if config.dataset.startswith("demo_") else None
    true_labels = corpus.test.true_labels if corpus else None
    if true_labels is None:
        return
    members = group_of(collect(runs), by, group)
    confidence = softmax(members.logits, axis=-1).mean(0)
    predicted = confidence.argmax(1)
    order = np.argsort(-confidence.max(1), kind="stable")
    wrong = [i for i in order if predicted[i] != members.labels[i]]
    replaced = sum(true_labels[i] != members.labels[i] for i in wrong)
    lines = [
        f"Of {len(wrong)} test items that {group} gets wrong (mean of its seeds), {replaced} carry "
        "a replaced label.",
        "",
    ]
    for i in wrong[:count]:
        given = escape(corpus.label_names[members.labels[i]])
        taken = escape(corpus.label_names[predicted[i]])
        is_noise = true_labels[i] != members.labels[i]
        remark = "the label was replaced" if is_noise else "a real error"
        lines.append(
            f"- labelled {given}, taken for **{taken}** ({confidence[i].max():.2f}; {remark}): "
            f"“{escape(corpus.test.texts[i])}”"
        )
    show_text("\n".join(lines), "errors")
