"""The study of optimizers: which cell dev chooses, the health of all, and labels rare and
frequent."""

import numpy as np
import pandas as pd

from lib.analysis import captions, cells
from lib.analysis.cells import CELL as CELL
from lib.analysis.cells import cell_of
from lib.analysis.comparisons import SIGNIFICANT, differences
from lib.analysis.display import count, percent, with_metrics
from lib.analysis.findings import difference_of
from lib.analysis.groups import Group
from lib.analysis.jackknife import ratio_values
from lib.analysis.names import display_name
from lib.analysis.predictions import HEALTH, Predictions
from lib.analysis.references import best_reference, learning_references, reference_scores
from lib.analysis.scores import dev_scores, shares_of
from lib.analysis.stats import mean_and_interval, no_score
from lib.metrics import SHARE
from lib.references.baselines import reference_name
from lib.runs.verdict import GAIN, LEARNED, ONE_LABEL

FEWEST = 20  # documents, below which there is no score of labels of like frequency
STARTS_AT = "output layer starts at"  # column
STARTS = {"True": "label shares", "False": "even guesses"}  # by `prior_bias`
HEALTH_METRICS = {  # what these columns hold
    "dev_loss": "loss",
    "embedding_cosine": "embedding_cosine",
    "top_label_share": "share",
    "gradient_norm": "gradient_norm",
}

CAPTIONS = {  # of the tables and figures by their names
    "best": "Each optimizer at the learning rate that dev chose for it, with seeds that had no "
    "part in the choice. A gold label that train never had counts as a miss. Dev chooses the "
    "settings of the linear models, C by the 200 most frequent labels where there are more.",
    "best_p_at_1": captions.DOTS_BESIDE,
    "differences": "Differences in points of P@1 on the same test documents, "
    f"{captions.CHOSEN_REFERENCE} among them.",
    "best_curves": captions.CURVES,
    "grid": "Every cell that was tuned, one run each: how it ended, and dev P@1. Its CSV file also "
    "has dev loss, the mean gradient norm and the health of the embeddings (mean pairwise cosine, "
    "effective rank, share of dev with the same first label), all of the last epoch.",
    "by_learning_rate": "Above: these runs, tuned for fewer epochs, one a dot, hollow where it "
    "did not learn; grey: the best reference. Below: the original's, after 25 epochs of DistilBERT "
    "on EURLex-4K, on test, all filled. "
    "Runs of one learning rate stand side by side.",
    "weight_decay": "Adam and AdamW at the learning rate that dev chose for AdamW.",
    "embeddings": "The embeddings of the same dev documents after every epoch, by how a run ended: "
    "median and range over all tuned runs. Effective rank 1 and cosine 1: all are one point. "
    "Dots of one epoch stand side by side.",
    "starts": "Adam with the output layer's bias at the label shares, and with torch's own start "
    "at even guesses, from which every label is first made unlikely in every document. One run "
    "each.",
    "tail": "Propensity-scored: a hit on a rare label counts more (A = 0.55, B = 1.5).",
    "by_frequency": "By how many train documents have a label. R@5: of the times that such a label "
    "is gold, how often it is among the first five. P@1: of the documents whose first predicted "
    "label is such a one, how many have it.",
    "by_frequency_figure": "Dots: mean over seeds. Bars: 95 % interval. Numbers: R@5 in "
    f"percent. Grey: {captions.CHOSEN_REFERENCE}.",
    "best_f1": "At a threshold of 0.5 (decision 0 for linear models), among the five labels "
    "that are kept.",
}


def outcomes_caption(epochs: int, seeds: int) -> str:
    """What is said below the figure of outcomes, whose runs have so many epochs and seeds a cell:
    also by what rule a run has learned."""
    return (
        f"{count(epochs, 'epoch')} and {count(seeds, 'seed')} a cell: dev P@1, how the run ended, "
        "and the learning rate. ×1 is PyTorch's default. Learned or at prior is not told by P@1: a "
        f"run has learned if dev loss is at least {percent(GAIN, 0)} below that of the label "
        f"shares, and fewer than {percent(ONE_LABEL, 0)} of the documents have the same first "
        "label (all rules stand at the top of this page)."
    )


def references_ahead(p: Predictions, *, by: str, metric: str) -> dict[str, float]:
    """The test scores of references of another kind than the best one that are significantly above
    every trained group, each compared beside these alone."""
    kinds = {best_reference(p, metric=metric).partition(",")[0]}
    test = reference_scores(p, metric=metric)
    ahead = {}
    for name in learning_references(p, metric=metric):
        kind = name.partition(",")[0]
        if kind in kinds:
            continue
        kinds.add(kind)
        of_reference = {k: r for k, r in p.runs.items() if _is_called(r, name)}
        table = differences(p.only(p.trained | of_reference), by=by, metric=metric)
        groups = p.only(p.trained).groups(by)
        gains = [difference_of(table, name, group.name, metric) for group in groups]
        if all(gain["verdict"] == SIGNIFICANT and gain["value"] > 0 for gain in gains):
            ahead[name] = test[name]
    return ahead


def _is_called(run: dict, reference: str) -> bool:
    return display_name(reference_name(run["config"]) or "") == reference


def tuned(p: Predictions, *, metric: str = "P@1") -> dict[str, dict]:
    """The run of each optimizer that dev chooses: of those that learned the one with the highest
    score, or where none did, the one with the lowest dev loss."""
    scores = dev_scores(p, metric).groupby("run")[metric].last()
    standings = {key: _standing(run, scores.get(key, 0.0)) for key, run in p.trained.items()}
    chosen: dict[str, str] = {}
    for key, run in p.trained.items():
        best = chosen.setdefault(run["config"]["optimizer"], key)
        if standings[key] > standings[best]:
            chosen[run["config"]["optimizer"]] = key
    return {optimizer: p.runs[key] for optimizer, key in chosen.items()}


def _standing(run: dict, score: float) -> tuple[bool, float]:
    """What ranks the runs of an optimizer. The score of one that did not learn is a constant's."""
    if run["outcome"] == LEARNED:
        return True, score
    loss = run.get("health", {}).get("dev_loss", np.inf)
    return False, -np.inf if np.isnan(loss) else -loss


def best(p: Predictions, *, tuning_seed: int, metric: str = "P@1") -> Predictions:
    """Of each optimizer the runs of the cell that dev chooses among those with the tuning seed,
    which is not counted again."""
    cell_by_optimizer = {
        optimizer: cell_of(run)
        for optimizer, run in tuned(p.where(seed=tuning_seed), metric=metric).items()
    }
    return p.keep(
        lambda run: (
            run["config"]["seed"] != tuning_seed
            and cell_of(run) == cell_by_optimizer[run["config"]["optimizer"]]
        )
    )


def reference_on_dev(p: Predictions, *, metric: str = "P@1") -> float:
    """The dev score of the best reference."""
    return learning_references(p, metric=metric)[best_reference(p, metric=metric)]


def by_cell(
    p: Predictions, *, by: list[str], metrics: list[str], split: str = "test"
) -> pd.DataFrame:
    """`lib.analysis.cells.by_cell`, and the mean health of each cell's runs after their last
    epoch."""
    table = cells.by_cell(p, by=by, metrics=metrics, split=split)
    rows = [_health(p.where(**cell)) for cell in cells.in_groups(cells.cells_of(p, by))]
    health = pd.DataFrame(rows)
    for name in HEALTH:
        if health[name].any():
            table[name] = health[name]
    if "reason" in table:  # the last column
        table["reason"] = table.pop("reason")
    if "prior_bias" in table:
        table = table.replace({"prior_bias": STARTS}).rename(columns={"prior_bias": STARTS_AT})
    fields = [STARTS_AT if name == "prior_bias" else name for name in by]
    table.attrs["shown"] = [*fields, "outcome", *metrics]
    return with_metrics(table, {metric: metric for metric in metrics} | HEALTH_METRICS)


def _health(p: Predictions) -> dict[str, float]:
    row = {}
    for name in HEALTH:
        values = [run["health"][name] for run in p.trained.values() if "health" in run]
        row[name] = np.mean(values) if values else np.nan
    return row


def by_frequency(p: Predictions, *, by: str, edges: list[int]) -> pd.DataFrame:
    """Scores over labels of like frequency in train, with 95 % intervals; `edges` are the least
    numbers of train documents of each bin.

    R@5: of the times that such a label is gold on test, the share in which it is among the first
    five. P@1: of the documents whose first predicted label is such a one, the share in which it is
    gold. No score from fewer documents than `FEWEST`.
    """
    counts = np.append(p.train_counts, 0)
    rows = []
    for every in p.groups(by):
        group = every.counted_once
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
            row |= _ratio(group, "R@5", (hit & gold).sum(2), of_gold)
            row |= _ratio(group, "P@1", group.right & claimed, claimed)
            rows.append(row)
    table = pd.DataFrame(rows)
    table.attrs["drawn"] = True
    return with_metrics(table, {"R@5": "R@5", "P@1": "P@1"})


def _ratio(group: Group, metric: str, hits: np.ndarray, of: np.ndarray) -> dict[str, float]:
    """A ratio of sums over documents (runs, rows), or none from too few documents."""
    if (of > 0).sum(1).min() < FEWEST:
        return no_score(metric)
    hits = hits.astype(float)
    of = of.astype(float)
    values = hits.sum(1) / of.sum(1)
    return mean_and_interval(metric, shares_of(group, values, ratio_values(hits, of)), SHARE)


def not_learned(p: Predictions) -> tuple[list[dict], list[dict], list[dict]]:
    """The runs that did not learn; the health of those that predict a constant, and of the rest."""
    failed = [run for run in p.trained.values() if run["outcome"] != LEARNED]
    measured = [run["health"] for run in failed if "health" in run]
    constant = [health for health in measured if health["top_label_share"] >= ONE_LABEL]
    return failed, constant, [health for health in measured if health not in constant]


def longest(runs: list[dict]) -> str:
    """The epochs of the longest of some runs, in words."""
    return count(max((run["last_epoch"] for run in runs), default=0), "epoch")
