"""The study of pooling heads: learning rates that dev chooses, whether heads differ, and accuracy
by length."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lib.analysis import captions
from lib.analysis.comparisons import EQUAL, SIGNIFICANT, TOO_FEW, differences
from lib.analysis.display import (
    difference,
    difference_interval,
    distance,
    listed,
    signed,
    spelled,
    spelled_in,
    with_metrics,
)
from lib.analysis.findings import outlook
from lib.analysis.label_errors import learned_nothing
from lib.analysis.predictions import Predictions
from lib.analysis.scores import best_dev_scores
from lib.analysis.tables import by_group
from lib.errors import InputError
from lib.runs.config import RunConfig
from plots.intervals import class_intervals

ORIGINAL = {  # its test accuracy after its last epoch: RoBERTa-base, 25,000 reviews, 512 tokens
    "cls": 0.9560,
    "weighted_average": 0.9542,
    "lstm": 0.9552,
    "transformer": 0.9549,
}
ORIGINAL_SETTING = (
    "The original's: RoBERTa-base, 512 tokens, 25,000 reviews to learn from, three epochs, one "
    "run, without an interval."
)
CAPTIONS = {  # of the tables and figures by their names
    "by_head": f"{captions.SCORES}, each run at its best epoch on dev.",
    "test_accuracy": captions.DOTS_BESIDE,
    "differences": f"{captions.DIFFERENCES} Runs of one seed read the same batches; these "
    "intervals take all runs as independent.",
    "learning_curves": captions.CURVES,
    "by_length": "Test accuracy by length, in quarters of the test documents.",
    "accuracy_by_length": f"{captions.DOTS} Numbers: percent. Grey: TF-IDF, which reads whole "
    "reviews; the others read what fits.",
    "truncation": "What a long review keeps: its head, its tail, a quarter from the head and the "
    "rest from the tail, or its first windows, over which logits are averaged. The head's "
    "learning rate is the same for all.",
    "truncation_differences": captions.DIFFERENCES,
    "cost": "Parameters, and documents trained per second.",
    "runs": captions.LAST_EPOCH,
}


def tuning_configs(
    base: RunConfig, heads: list[str], rates: list[float], tuning_seeds: list[int], seeds: list[int]
) -> list[RunConfig]:
    """The runs that choose each head's learning rate, none where there is one rate alone. Raises
    InputError where a seed that chooses would be counted again."""
    again = sorted({*tuning_seeds} & {*seeds})
    if again and len(rates) > 1:
        raise InputError(
            f"tuning_seeds and seeds both have {listed(map(str, again))}: runs that chose a "
            "learning rate are not counted again; name other tuning_seeds"
        )
    if len(rates) == 1:
        return []
    return [
        base.with_(head=head, learning_rate=rate, seed=seed)
        for head in heads
        for rate in rates
        for seed in tuning_seeds
    ]


def tuning_caption(tuning_seeds: list[int]) -> str:
    """What the table of learning rates holds, by how many seeds have chosen them."""
    text = "Dev accuracy by learning rate"
    if len(tuning_seeds) == 1:
        return f"{text}, of one seed alone, which is not counted again."
    return f"{text}, mean over {len(tuning_seeds)} seeds, which are not counted again."


def _dev_scores(p: Predictions, by: str, metric: str) -> pd.DataFrame:
    """The best dev score of each group (row) at each learning rate (column, ascending), mean over
    seeds; a run without a score counts as 0."""
    configs = [run["config"] for run in p.trained.values()]
    scores = pd.DataFrame(configs)[[by, "learning_rate"]]
    scores[metric] = list(best_dev_scores(p, metric).values())
    table = scores.pivot_table(index=by, columns="learning_rate", values=metric)
    return table.loc[list(dict.fromkeys(scores[by]))]


def tuning(p: Predictions, *, by: str = "head", metric: str = "accuracy") -> pd.DataFrame:
    """Dev scores of each group by learning rate, and the rate that they choose; in the note,
    whose is an edge of the grid."""
    scores = _dev_scores(p, by, metric)
    table = scores.rename(columns="{:g}".format).reset_index().rename_axis(columns=None)
    metrics = {column: metric for column in table if column != by}
    chosen = scores.idxmax(axis=1)
    table["chosen"] = [f"{rate:g}" for rate in chosen]
    table = with_metrics(table, metrics)
    at_edge = [spelled(name) for name, rate in chosen.items() if rate in scores.columns[[0, -1]]]
    if at_edge:
        table.attrs["note"] = (
            f"The best rate of {listed(at_edge)} is an edge of its grid: one beyond may be better."
        )
    return table


def chosen_rates(p: Predictions, *, by: str = "head", metric: str = "accuracy") -> dict[str, float]:
    """The learning rate of each group that its runs choose on dev; of equal ones, the lowest."""
    return _dev_scores(p, by, metric).idxmax(axis=1).to_dict()


def configs(
    base: RunConfig, rates: dict[str, float], seeds: list[int], truncations: list[str], head: str
) -> list[RunConfig]:
    """Every head at its learning rate on the first of `truncations`, and one `head` on each.
    Raises InputError."""
    if head not in rates:
        raise InputError(
            f"truncation_head is {head}, whose learning rate nobody chose; take one of heads: "
            f"{listed(rates)}"
        )
    cells = [(name, truncations[0]) for name in rates]
    cells += [(head, truncation) for truncation in truncations[1:]]
    return [
        base.with_(head=name, truncation=truncation, learning_rate=rates[name], seed=seed)
        for name, truncation in cells
        for seed in seeds
    ]


def by_head(p: Predictions, *, by: str, metric: str = "accuracy") -> pd.DataFrame:
    """`by_group` with the learning rate of each head, and what the original published."""
    table = by_group(p, by=by, metrics=[metric], verdict=True, ensembles=True)
    rates = {run["config"][by]: f"{run['config']['learning_rate']:g}" for run in p.trained.values()}
    table["learning rate"] = [rates.get(name, "") for name in table[by]]
    published = [ORIGINAL.get(name, np.nan) for name in table[by]]
    if np.isfinite(published).any():
        table["original"] = published
        table.attrs["metrics"] |= {"original": metric}
        table.attrs["note"] = f"{ORIGINAL_SETTING} {table.attrs['note']}"
    return table


def verdict(p: Predictions, *, by: str, metric: str = "accuracy") -> str:
    """Whether the original's finding holds, that heads do not differ: only where all are shown to
    be within 1 point."""
    rows = differences(p.only(p.trained), by=by, metric=metric).to_dict("records")
    claim = f"The original's finding, that {by}s do not differ,"
    stuck = [spelled(g.name) for g in p.only(p.trained).groups(by) if learned_nothing(g).all()]
    if stuck:
        return f"{claim} is not tested: {listed(stuck)} learned nothing."
    if all(row["verdict"] == TOO_FEW for row in rows):
        return f"{claim} is not tested: {TOO_FEW}."
    significant = [row for row in rows if row["verdict"] == SIGNIFICANT]
    if not significant:
        equal = [spelled_in("compared", row["compared"]) for row in rows if row["verdict"] == EQUAL]
        none = _none_significant(rows, metric)
        if len(equal) == len(rows):
            return f"{claim} **holds**: {none}, and all are within 1 point."
        shown = f"only {listed(equal)} {'is' if len(equal) == 1 else 'are'}" if equal else "none is"
        return f"{claim} stays open: {none}, but {shown} shown to be within 1 point."
    texts = []
    for row in significant:
        interval = difference_interval(row[f"{metric}_low"], row[f"{metric}_high"], metric)
        name = spelled_in("compared", row["compared"])
        texts.append(f"{name} ({signed(row[metric], metric)}, {interval})")
    return (
        f"{claim} **does not hold**: {len(significant)} of {len(rows)} differences "
        f"{'is' if len(significant) == 1 else 'are'} significant: {'; '.join(texts)}."
    )


def _none_significant(rows: list[dict], metric: str) -> str:
    """That no difference is significant, with what they are and how wide their intervals are."""
    values = sorted(row[metric] for row in rows)
    halves = sorted(row[f"{metric}_high"] - row[metric] for row in rows)
    if len(rows) == 1:
        text = f"{signed(values[0], metric)} ± {distance(halves[0], metric)}"
        return f"the one difference ({text}) is not significant"
    least = signed(halves[0], metric).removeprefix("+")
    most = signed(halves[-1], metric).removeprefix("+")
    text = f"{signed(values[0], metric)} to {difference(values[-1], metric)}"
    return f"none of {len(rows)} differences ({text}, each ± {least} to {most}) is significant"


def open_pairs(p: Predictions, *, by: str) -> str:
    """`lib.analysis.findings.outlook` of the trained groups alone."""
    return outlook(p.only(p.trained), by=by)


def trained_differences(p: Predictions, *, by: str, metric: str = "accuracy") -> pd.DataFrame:
    """The differences between the trained groups alone."""
    return differences(p.only(p.trained), by=by, metric=metric, verdict=True)


def accuracy_by_length(table: pd.DataFrame, *, by: str) -> Figure:
    """Accuracy with 95 % intervals by bin of document length; `table` from
    `notebooks.imdb_heads.by_length`."""
    reviews = table["tokens"] + ", " + table["truncated"] + " cut"
    return class_intervals(
        table.assign(reviews=reviews),
        by=by,
        metric="accuracy",
        within="reviews",
        text="tokens, share cut",
        title="Accuracy by document length",
    )
