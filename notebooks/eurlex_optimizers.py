"""The study of optimizers: the best cells, the health of all, and labels rare and frequent."""

import numpy as np
import pandas as pd

from lib.analysis import captions, cells
from lib.analysis.cells import cell_of, outcome_of
from lib.analysis.classes import SHARES
from lib.analysis.display import with_metrics
from lib.analysis.groups import Group
from lib.analysis.jackknife import ratio_values
from lib.analysis.predictions import HEALTH, Predictions
from lib.analysis.scores import display_name, run_scores, shares_of
from lib.analysis.stats import mean_and_interval
from lib.runs.baselines import NAMES
from lib.runs.outcomes import DIVERGED

CELL = ("optimizer", "learning_rate", "weight_decay")
FEWEST = 20  # documents, below which there is no score of labels of like frequency
HEALTH_METRICS = {  # what these columns hold
    "dev_loss": "loss",
    "embedding_cosine": "embedding_cosine",
    "top_label_share": "share",
    "gradient_norm": "gradient_norm",
}

CAPTIONS = {  # of the tables and figures by their names
    "best": "Of each optimizer the cell that the first seed's dev P@1 chooses, with more seeds if "
    "it learned: mean ± half of the 95 % interval over seeds and documents; of fewer than three "
    "seeds, the score of each. A gold label that train never had counts as a miss. The majority "
    "class predicts train's most frequent labels, in order; the linear model has a support vector "
    "machine for each label and reads whole documents.",
    "best_p_at_1": f"{captions.DOTS} Grey: references.",
    "differences": captions.differences().replace("points", "points of P@1", 1),
    "best_curves": captions.CURVES,
    "grid": "Every cell that was run, from the same start: how its runs ended, test P@1 (from "
    "three seeds on ± half of its 95 % interval), and the health of the embeddings after the last "
    "epoch (mean pairwise cosine, effective rank, share of dev with the same first label), with "
    "the mean gradient norm of that epoch.",
    "outcomes": "The verdict says how the runs of a cell ended; what it means stands at the top of "
    "this page.",
    "by_learning_rate": "Thin and dashed: the original's published curves at the same learning "
    "rates (DistilBERT, EURLex-4K, 25 epochs, P@1 on test), for their shape: its data is another.",
    "weight_decay": "Dots: these runs. Diamonds: the original's, on other data.",
    "embeddings": "The embeddings of the same dev documents after every epoch, a line a run: "
    "effective rank 1 and cosine 1 mean that all are one point. The colour is the verdict on the "
    "run.",
    "attention": "The mean over heads, for the first 48 tokens of the first dev document: a row "
    "says what a token looks at.",
    "starts": "Adam with the output layer's bias at the label shares (True), and with torch's own "
    "start at even guesses, from which every label is first made unlikely in every document.",
    "tail": "Propensity-scored: a hit on a rare label counts more (A = 0.55, B = 1.5).",
    "by_frequency": "By how many train documents have a label. R@5: of the times that such a label "
    "is gold, how often it is among the first five. P@1: of the documents whose first predicted "
    "label is such a one, how many have it.",
    "by_frequency_figure": "Dots: mean over seeds. Bars: 95 % interval. Grey: the linear model.",
    "best_f1": "At a threshold of 0.5 (decision 0 for the linear model), among the five labels "
    "that are kept.",
}


def best(p: Predictions, *, by: str = "optimizer", metric: str = "P@1") -> Predictions:
    """Of every group, the runs of its best cell: the one whose first seed has the highest score
    on dev. A run that diverged is worse than any other."""
    first_seed = min(run["config"]["seed"] for run in p.trained.values())
    best_of: dict[str, tuple[float, tuple]] = {}
    for run in p.trained.values():
        if run["config"]["seed"] != first_seed:
            continue
        alone = p.keep(lambda other, run=run: other is run).groups(by, split="dev")
        group = next((group for group in alone if group.name not in NAMES), None)
        score = float(run_scores(p, group)[metric][0]) if group else 0.0
        score -= outcome_of(run) == DIVERGED
        name = run["config"][by]
        if name not in best_of or score > best_of[name][0]:
            best_of[name] = score, cell_of(run)
    return p.keep(lambda run: cell_of(run) == best_of[run["config"][by]][1])


def by_cell(p: Predictions, *, by: list[str], metrics: list[str]) -> pd.DataFrame:
    """`lib.analysis.cells.by_cell`, and the mean health of each cell's runs after their last
    epoch."""
    table = cells.by_cell(p, by=by, metrics=metrics)
    rows = [_health(p.where(**cell)) for cell in cells.in_groups(cells.cells_of(p, by))]
    health = pd.DataFrame(rows)
    for name in HEALTH:
        if health[name].any():
            table[name] = health[name]
    if "reason" in table:  # the last column
        table["reason"] = table.pop("reason")
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
    return with_metrics(pd.DataFrame(rows), {"R@5": "R@5", "P@1": "P@1"})


def _ratio(group: Group, metric: str, hits: np.ndarray, of: np.ndarray) -> dict[str, float]:
    """A ratio of sums over documents (runs, rows), or none from too few documents."""
    if (of > 0).sum(1).min() < FEWEST:
        return {metric: np.nan, f"{metric}_low": np.nan, f"{metric}_high": np.nan}
    hits = hits.astype(float)
    of = of.astype(float)
    values = hits.sum(1) / of.sum(1)
    return mean_and_interval(metric, shares_of(group, values, ratio_values(hits, of)), SHARES)
