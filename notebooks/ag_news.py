"""The study of learning-rate schedules: scores at the last epoch, dev loss that rises again, scores
by class and what averages tell."""

import numpy as np
import pandas as pd
from scipy.special import softmax

from lib.analysis import captions
from lib.analysis.classes import confusions
from lib.analysis.columns import score_as
from lib.analysis.comparisons import comparison_table, differences, mark_significant
from lib.analysis.decisions import scores_by_class
from lib.analysis.display import escape, with_metrics
from lib.analysis.groups import Group
from lib.analysis.jackknife import confusion_values
from lib.analysis.names import MINUS, display_name
from lib.analysis.pairs import run_by_run, with_common_seeds
from lib.analysis.predictions import Predictions, collect, group_of
from lib.analysis.scores import shares_of
from lib.analysis.stats import Sample, mean_and_interval
from lib.analysis.tables import by_group
from lib.confusions import cross_entropy
from lib.datasets import is_generated
from lib.metrics import METRICS, SHARE
from lib.publish.page import show_text
from lib.references.baselines import NO_MODEL, references
from lib.runs.config import RunConfig
from lib.runs.keys import corpus_of

CAPTIONS = {  # of the tables and figures by their names
    "by_schedule": f"{captions.SCORES}, after the last epoch, where the schedules have done all "
    "that they do; beside it at the epoch with the best macro F1 on dev. An ensemble is the mean "
    "of a schedule's logits over its seeds.",
    "test_accuracy": f"After the last epoch. {captions.DOTS_BESIDE}",
    "differences": f"{captions.DIFFERENCES} After the last epoch. Runs of one seed start alike "
    "and read the same batches; these intervals do not use that, but take all runs as independent.",
    "differences_chosen": "Differences of the schedules at the epoch that dev chooses.",
    "learning_curves": captions.CURVES,
    "losses": "Solid: dev loss; dashed: train loss; faint: each seed. The ring marks the lowest "
    "mean dev loss, the number how far it has risen by the last epoch, if it has.",
    "overshoot": "Mean dev loss over seeds, in nats.",
    "after_score": "What macro F1 on test gains from the epoch that dev chooses to the last one, "
    "run by run.",
    "after_loss": "What test accuracy gains from the epoch with the lowest dev loss to the last "
    "one, run by run.",
    "confusion_matrix": "Share of each gold class, and the mean number of test documents over "
    "seeds, at the epoch that dev chooses.",
    "f1_by_class": f"{captions.DOTS} Numbers: F1 in percent.",
    "imbalance": "F1 of the same test predictions with one class weighted tenfold.",
    "kept_right": captions.KEPT_RIGHT,
    "risk_coverage": captions.RISK_COVERAGE,
    "runs": "Test scores of each run at its chosen and at its last epoch.",
    "epochs": "Dev scores after each epoch, mean over seeds.",
    "classes": "Test F1 by class after the epoch that dev chooses, mean over seeds.",
}
STOPS = {"score": "dev's choice", "loss": "lowest dev loss"}  # epochs where training could end


def configs(base: RunConfig, schedules: dict[str, dict], seeds: list[int]) -> list[RunConfig]:
    """A run for each seed and each schedule (its name and its arguments), and the references."""
    return trained_configs(base, schedules, seeds) + references(base)


def trained_configs(
    base: RunConfig, schedules: dict[str, dict], seeds: list[int]
) -> list[RunConfig]:
    """The same without the references."""
    return [
        base.with_(schedule=name, schedule_args=schedules[name], seed=seed)
        for seed in seeds
        for name in schedules
    ]


def by_class(p: Predictions, *, by: str) -> pd.DataFrame:
    """F1 of every class on test, mean over seeds with its 95 % interval, a row for each group and
    class."""
    rows = []
    for group in p.groups(by):
        if group.name in NO_MODEL:
            continue
        runs = group.counted_once
        scores, f1_values = scores_by_class(runs, len(p.label_names))
        for i, name in enumerate(p.label_names):
            documents = int((group.labels == i).sum())
            row = {by: display_name(group.name), "class": name, "documents": documents}
            sample = shares_of(runs, scores["f1"][:, i], f1_values[:, :, i])
            rows.append(row | mean_and_interval("f1", sample, SHARE))
    table = pd.DataFrame(rows)
    table.attrs["drawn"] = True
    return with_metrics(table, {"f1": "f1"})


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
            row |= mean_and_interval(metric, _reweighted(runs, weights, metric), SHARE)
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


def at_last_epoch(p: Predictions) -> Predictions:
    """The same runs, each at its last epoch instead of the one that dev chooses."""
    return p.only({key: run | {"chosen_epoch": run["last_epoch"]} for key, run in p.runs.items()})


def at_lowest_loss(p: Predictions) -> Predictions:
    """The same runs, each at the epoch with its lowest dev loss."""
    lowest: dict[str, tuple[float, int]] = {}
    for key, epoch, group in p.single("dev"):
        loss = cross_entropy(group.logits[0], group.labels)
        lowest[key] = min(lowest.get(key, (loss, epoch)), (loss, epoch))
    epochs = {key: lowest[key][1] if key in lowest else 0 for key in p.runs}
    return p.only({key: run | {"chosen_epoch": epochs[key]} for key, run in p.runs.items()})


def by_schedule(p: Predictions, *, by: str, metric: str = "accuracy") -> pd.DataFrame:
    """Test scores at the last epoch, with the verdict of `by_group`, and at the one that dev
    chooses; also of each schedule's ensemble."""
    how = {"by": by, "ensembles": True}
    table = by_group(at_last_epoch(p), metrics=[metric, "macro_f1"], verdict=True, **how)
    chosen = by_group(p, metrics=[metric], **how).set_index(by).reindex(table[by])
    column = f"{metric}, epoch chosen on dev"
    beside = score_as(column, chosen, metric).reset_index(drop=True)
    table[list(beside)] = beside
    table.attrs["metrics"] |= {column: metric}
    return table


def trained_differences(
    p: Predictions, *, by: str, metric: str = "accuracy", epoch: str = "last"
) -> pd.DataFrame:
    """The differences between schedules at the last epoch, or at the one that dev chooses."""
    runs = p.only(p.trained)
    return differences(
        at_last_epoch(runs) if epoch == "last" else runs, by=by, metric=metric, verdict=True
    )


def overshoot(p: Predictions, *, by: str) -> pd.DataFrame:
    """For each group: the epoch with the lowest mean dev loss, that loss, the last one, and how
    many seeds rose; of the runs that came to the last epoch."""
    last = max(run["last_epoch"] for run in p.runs.values())
    p = p.only({key: run for key, run in p.trained.items() if run["last_epoch"] == last})
    groups = {epoch: p.groups(by, split="dev", epoch=epoch) for epoch in range(1, last + 1)}
    rows = []
    for i, group in enumerate(groups[last]):
        losses = np.array([losses_of(groups[epoch][i]) for epoch in groups])  # (epochs, runs)
        mean = losses.mean(1)
        rose = int((losses[-1] > losses.min(0)).sum())
        rows.append(
            {
                by: group.name,
                "lowest at epoch": int(mean.argmin()) + 1,
                "lowest dev loss": mean.min(),
                "last dev loss": mean[-1],
                "seeds whose loss rose": f"{rose} of {losses.shape[1]}",
            }
        )
    return with_metrics(pd.DataFrame(rows), {"lowest dev loss": "loss", "last dev loss": "loss"})


def losses_of(group: Group) -> list[float]:
    """The mean cross-entropy of each run."""
    return [cross_entropy(logits, group.labels) for logits in group.logits]


def training_on(p: Predictions, *, by: str, stop: str, metric: str = "accuracy") -> pd.DataFrame:
    """For each group, what the last epoch scores on test above an earlier `stop` of the same runs,
    a row of STOPS: the runs of a seed belong together."""
    p = p.only(p.trained)
    earlier = {g.name: g for g in (p if stop == "score" else at_lowest_loss(p)).groups(by)}
    pairs = []
    for last in at_last_epoch(p).groups(by):
        if last.name in earlier:
            one, other = with_common_seeds(last, earlier[last.name])
            if one.runs:
                pairs.append(run_by_run(p, one, other, metric))
    names = [f"{pair.one.name}: last{MINUS}{STOPS[stop]}" for pair in pairs]
    table = comparison_table(pairs, names)
    table.insert(0, by, [pair.one.name for pair in pairs])
    mark_significant(table, metric)
    table.attrs["shown"] = [by, metric, "p", "verdict"]
    return table


def show_errors(runs, config, *, by: str, group: str, count: int = 6) -> None:
    """Quote the test documents that a group gets wrong with the highest mean confidence.

    Only of a generated corpus: other texts are not ours to publish. Says where the given label
    itself is the noise.
    """
    corpus = corpus_of(config) if is_generated(config.dataset) else None
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
        "### Wrong with the highest confidence",
        "",
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
