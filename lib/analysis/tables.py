"""The numbers on a page: pure functions from predictions to a table or a sentence.

A table is a tidy DataFrame; columns `x`, `x_sd`, `x_low`, `x_high` are shown as one. Each function
here can be named on a page, and `verify` then computes it again from the published predictions.
"""

import dataclasses
from collections import Counter

import numpy as np
import pandas as pd

from lib.analysis.predictions import HEALTH, Group, Predictions
from lib.analysis.stats import (
    RESAMPLES,
    bootstrap,
    bootstrap_numbers,
    cells,
    chance,
    draws,
    judge,
    limits,
    mcnemar,
    resample_confusions,
    resample_ratios,
)
from lib.metrics import (
    METRICS,
    class_scores,
    classification_scores,
    confusion,
    confusion_scores,
    cross_entropy,
    decision_scores,
    document_scores,
    ranking_scores,
    regression_scores,
)
from lib.runs.baselines import NAMES, NO_MODEL


def label(name: str) -> str:
    return NAMES.get(name, name)


def _sd(values) -> float:
    """Standard deviation over seeds; not a number for one seed."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def run_scores(p: Predictions, group: Group) -> pd.DataFrame:
    """The scores of each run of a group, a row a run."""
    if p.task == "regression":
        return pd.DataFrame(
            [regression_scores(values[:, 0], group.labels) for values in group.logits]
        )
    if group.ranked is None:
        return pd.DataFrame(
            [classification_scores(logits, group.labels) for logits in group.logits]
        )
    rows = []
    for ranked, logits in zip(group.ranked, group.logits, strict=True):
        f1 = decision_scores(ranked, logits > 0, group.labels, len(p.label_names))
        rows.append(ranking_scores(ranked, group.labels, p.weights) | f1)
    return pd.DataFrame(rows)


def _resampled(p: Predictions, group: Group, metrics: list[str]) -> dict[str, np.ndarray]:
    """Each metric of every run of a group in every resample of documents, (resamples, runs)."""
    if p.task == "regression":
        return bootstrap_numbers(group.labels, group.logits[:, :, 0], tuple(metrics))
    if group.ranked is None:
        return bootstrap(group.labels, group.predicted, len(p.label_names), tuple(metrics))
    parts = [document_scores(ranked, group.labels, p.weights) for ranked in group.ranked]
    found = {}
    for metric in metrics:
        if metric in parts[0]:
            tops, bottoms = (np.stack([part[metric][i] for part in parts]) for i in (0, 1))
            found[metric] = resample_ratios(tops, bottoms)
    if missing := set(metrics) - set(found):
        f1 = [
            decision_scores(
                ranked, logits > 0, group.labels, len(p.label_names), draws(len(group.labels))
            )
            for ranked, logits in zip(group.ranked, group.logits, strict=True)
        ]
        found |= {metric: np.stack([each[metric] for each in f1], axis=1) for metric in missing}
    return found


def by_group(
    p: Predictions,
    *,
    by: str,
    metrics: list[str],
    split: str = "test",
    epoch: str = "chosen",
    verdict: bool = False,
) -> pd.DataFrame:
    """Mean over seeds, standard deviation over seeds, and a 95 % interval over documents and seeds,
    for each group.

    With `verdict`, the best test score is bold where its difference from every other model stands
    (see `differences`), and a note says by which test, in which family, for which n.
    """
    rows = []
    for group in p.groups(by, split=split, epoch=epoch):
        scored, resampled = run_scores(p, group), _resampled(p, group, metrics)
        row = {by: label(group.name), "seeds": len(group.seeds), "documents": len(group.labels)}
        for metric in metrics:
            row |= {metric: np.nan, f"{metric}_sd": _sd(scored[metric])}
            row |= cells(metric, scored[metric], resampled[metric], *limits(metric))
        rows.append(row)
    table = pd.DataFrame(rows)
    if verdict:
        pairs = {metric: differences(p, by=by, metric=metric, verdict=True) for metric in metrics}
        table.attrs["bold"] = [
            (i, m) for m in metrics if (i := _standing(table, pairs[m], by, m)) is not None
        ]
        told = (
            pairs[metrics[0]]
            .attrs["note"]
            .replace("Bold: it stands.", "")
            .replace("of this table", "of a column")
        )
        table.attrs["note"] = (
            f"Bold: the best, where its difference from every other model stands.{told}"
        )
    return table


def _standing(table: pd.DataFrame, pairs: pd.DataFrame, by: str, metric: str) -> int | None:
    """The row of the best score, if it stands against every other that `pairs` compares."""
    sign = 1 if METRICS[metric].higher_is_better else -1
    named = (
        {name for compared in pairs["compared"] for name in compared.split(" − ")}
        if len(pairs)
        else set()
    )
    rows = (sign * table[metric][table[by].isin(named)]).sort_values(ascending=False, kind="stable")
    own = [
        row
        for row in pairs.to_dict("records")
        if len(rows) and table[by][rows.index[0]] in row["compared"].split(" − ")
    ]
    whole = len(own) == len(named) - 1 and all(row["stands"] == "yes" for row in own)
    return int(rows.index[0]) if own and whole else None


def by_run(p: Predictions, *, by: str, metrics: list[str]) -> pd.DataFrame:
    """One row a trained run: its key, chosen and last epoch, and test scores at both."""

    def scored(epoch: str) -> dict[str, dict]:
        groups = p.groups(by, epoch=epoch)
        return {
            k: row
            for g in groups
            for k, row in zip(g.runs, run_scores(p, g).to_dict("records"), strict=True)
        }

    chosen, last, rows = scored("chosen"), scored("last"), []
    for key, run in p.runs.items():
        config = run["config"]
        if key in chosen and config["backbone"] not in NAMES:
            row = {
                "run": key,
                by: str(config[by]),
                "seed": config["seed"],
                "chosen epoch": run["chosen_epoch"],
            }
            row |= {metric: chosen[key][metric] for metric in metrics}
            rows.append(
                row
                | {f"{metric}, last epoch": last[key][metric] for metric in metrics if key in last}
            )
    return pd.DataFrame(rows)


def by_epoch(
    p: Predictions,
    *,
    by: str,
    metrics: list[str],
    split: str = "dev",
    published: dict | None = None,
) -> pd.DataFrame:
    """Mean and standard deviation over seeds after every epoch.

    `published` puts figures of another study beside ours: group -> the first metric after each
    epoch, in percent.
    """
    rows = []
    last = max(run["last_epoch"] for run in p.runs.values())
    for epoch in range(1, last + 1):
        for group in p.groups(by, split=split, epoch=epoch):
            if group.name not in NAMES:
                row = {by: group.name, "epoch": epoch, "seeds": len(group.seeds)}
                scored = run_scores(p, group)
                for metric in metrics:
                    row |= {metric: scored[metric].mean(), f"{metric}_sd": _sd(scored[metric])}
                if published is not None:
                    known = published.get(group.name, [])
                    row[f"{metrics[0]}, original"] = (
                        known[epoch - 1] / 100 if epoch <= len(known) else np.nan
                    )
                rows.append(row)
    return pd.DataFrame(rows).sort_values([by, "epoch"], kind="stable", ignore_index=True)


def by_class(p: Predictions, *, by: str, metric: str = "f1") -> pd.DataFrame:
    """A score of every class on test, mean over seeds with its 95 % interval, a row for each
    group and class."""
    rows = []
    for group in p.groups(by):
        if group.name not in NO_MODEL:
            counts = np.stack(
                [confusion(group.labels, row, len(p.label_names)) for row in group.predicted]
            )
            resampled = class_scores(
                resample_confusions(group.labels, group.predicted, len(p.label_names))
            )[metric]
            for i, name in enumerate(p.label_names):
                found = class_scores(counts)[metric][:, i]
                row = {
                    by: label(group.name),
                    "class": name,
                    "documents": int((group.labels == i).sum()),
                }
                rows.append(row | cells(metric, found, resampled[:, :, i], *limits()))
    return pd.DataFrame(rows)


def confusion_table(p: Predictions, *, by: str, group: str) -> pd.DataFrame:
    """Of the test documents of each class (rows), the mean number over seeds that got each label
    (columns)."""
    found = next(g for g in p.groups(by) if g.name == group)
    counts = np.mean(
        [confusion(found.labels, row, len(p.label_names)) for row in found.predicted], axis=0
    )
    return pd.DataFrame(counts, columns=list(p.label_names)).assign(gold=p.label_names)[
        ["gold", *p.label_names]
    ]


def imbalance(p: Predictions, *, by: str, group: str, ratio: int = 10) -> pd.DataFrame:
    """Micro and macro F1 of the same predictions when one class is made `ratio` times as frequent
    as each other one.

    Documents are weighted instead of drawn, which is what endless resampling would converge to.
    """
    found, n = next(g for g in p.groups(by) if g.name == group), len(p.label_names)
    weighted = resample_confusions(found.labels, found.predicted, n)
    plain = np.stack([confusion(found.labels, row, n) for row in found.predicted])
    rows = []
    for majority in [None, *range(n)]:
        weights = np.ones(n) if majority is None else np.where(np.arange(n) == majority, ratio, 1.0)

        def reweigh(counts, weights=weights):
            share = counts / np.maximum(counts.sum(-1, keepdims=True), 1)
            return confusion_scores(share * weights[:, None])

        row = {"majority class": "none (balanced)" if majority is None else p.label_names[majority]}
        for metric in ("micro_f1", "macro_f1"):
            row |= cells(metric, reweigh(plain)[metric], reweigh(weighted)[metric], *limits())
        rows.append(row)
    return pd.DataFrame(rows)


def pairs_of(p: Predictions, *, by: str, metric: str):
    """Every pair of groups with a model, as (one, other, their runs that are paired, their
    differences (runs,), the same in every resample of documents (resamples, runs)). Seeds that
    only one of two groups has are left out."""
    groups = [group for group in p.groups(by) if group.name not in NO_MODEL]
    resampled = [_resampled(p, group, [metric])[metric] for group in groups]
    values = [run_scores(p, group)[metric].to_numpy() for group in groups]
    for i in range(len(groups)):
        for j in range(i):
            a, b = _shared(groups[i].seeds, groups[j].seeds)
            if a:
                yield (
                    groups[i],
                    groups[j],
                    (a, b),
                    values[i][a] - values[j][b],
                    resampled[i][:, a] - resampled[j][:, b],
                )


def judged(p: Predictions, pairs: list, metric: str, names: list[str]) -> list[dict]:
    """A row for each pair of `pairs_of`, with its name, its difference and interval, and whether
    it stands in this family (see `differences`)."""
    rows, chances, (least, most) = [], [], limits(metric)
    for name, (one, other, (a, b), apart, resampled) in zip(names, pairs, strict=True):
        row = {"compared": name, "documents": len(one.labels), "seeds": len(apart)}
        rows.append(row | cells(metric, apart, resampled, least - most, most - least))
        chances.append((mcnemar(*_better(p, one, other, a, b)), chance(apart, resampled)))
    mcnemars, others = ([pair[i] for pair in chances] for i in (0, 1))
    clear = [row[f"{metric}_low"] > 0 or row[f"{metric}_high"] < 0 for row in rows]
    for row, (p_value, stands) in zip(rows, judge(clear, mcnemars, others), strict=True):
        row |= {"p (Holm)": p_value, "stands": "yes" if stands else "no"}
    return rows


def differences(
    p: Predictions, *, by: str, metric: str = "accuracy", verdict: bool = False
) -> pd.DataFrame:
    """Every pair of groups on the same test documents: difference of the means over seeds, with its
    95 % interval.

    Runs of the same seed are paired, on the same documents; a group of one run, such as a baseline,
    is paired with each of the other's; seeds that only one of two groups has are left out. `p` is
    the larger of two, each adjusted by Holm over all pairs of the table: McNemar's test of which
    documents are right (their first label is gold), which speaks of these models, and the p-value
    that goes with the interval, which speaks of other seeds too. A difference stands where the
    interval leaves out zero and p is below 0.05; with `verdict` it is then bold, and a note names
    test, family and n.
    """
    pairs = list(pairs_of(p, by=by, metric=metric))
    rows = judged(
        p, pairs, metric, [f"{label(one.name)} − {label(other.name)}" for one, other, *_ in pairs]
    )
    table = pd.DataFrame(rows)
    if verdict and rows:
        table.attrs["bold"] = [(i, metric) for i, row in enumerate(rows) if row["stands"] == "yes"]
        table.attrs["note"] = verdict_note(
            table, "the sign test of which is nearer" if p.task == "regression" else "McNemar's"
        )
    return table


def verdict_note(table: pd.DataFrame, test: str, family: str = "") -> str:
    """What a verdict rests on: test, family (left out: the table's pairs) and n."""
    few, many = int(table["seeds"].min()), int(table["seeds"].max())
    pairs = f"{len(table)} pair{'s' * (len(table) > 1)}"
    seeds = (
        f"{few} to {many} pairs of runs" if few < many else f"{few} pair{'s' * (few > 1)} of runs"
    )
    return (
        f"Bold: it stands. Tests: {test}, exact, run by run (of several, twice the median p), and Student's t over "
        f"seeds and {RESAMPLES:,} bootstrap resamples of documents, whose interval is shown; p, the larger of both "
        f"after Holm, is below 0.05. "
        f"Family: the {family or f'{pairs} of this table'}. n: {table['documents'].iloc[0]:,} "
        f"documents, {seeds}."
    )


def _better(p: Predictions, one: Group, other: Group, a: list[int], b: list[int]):
    """Which documents each of two groups does right, runs paired: booleans (pairs, rows). Of
    numbers, the nearer one is right, so that McNemar's test becomes the sign test."""
    if p.task != "regression":
        return one.right[a], other.right[b]
    far = [
        np.abs(group.logits[:, :, 0] - group.labels)[runs] for group, runs in ((one, a), (other, b))
    ]
    return far[0] < far[1], far[1] < far[0]


def _shared(one: list[int], other: list[int]) -> tuple[list[int], list[int]]:
    """Positions of the runs to pair: those of the same seed, or every run with the only one of
    the other group."""
    if 1 in (len(one), len(other)):
        runs = range(max(len(one), len(other)))
        return [i % len(one) for i in runs], [i % len(other) for i in runs]
    both = [seed for seed in one if seed in other]
    return [one.index(seed) for seed in both], [other.index(seed) for seed in both]


def by_length(p: Predictions, *, by: str, bins: int = 4, max_length: int) -> pd.DataFrame:
    """Test accuracy by document length, in bins of equally many documents, with the share that
    is truncated."""
    rows = []
    for group in p.groups(by):
        if group.name not in NO_MODEL:
            edges = np.quantile(group.tokens, np.linspace(0, 1, bins + 1))
            place = np.clip(np.searchsorted(edges, group.tokens, side="right") - 1, 0, bins - 1)
            for i in range(bins):
                kept = place == i
                lengths = group.tokens[kept]
                resampled = bootstrap(
                    group.labels[kept], group.predicted[:, kept], len(p.label_names), ("accuracy",)
                )
                each = (group.predicted[:, kept] == group.labels[kept]).mean(1)
                row = {by: label(group.name), "tokens": f"{lengths.min()}–{lengths.max()}"}
                row |= {
                    "documents": int(kept.sum()),
                    "truncated": f"{(lengths > max_length).mean():.0%}",
                }
                rows.append(row | cells("accuracy", each, resampled["accuracy"], *limits()))
    return pd.DataFrame(rows)


def without_rows(p: Predictions, *, by: str, metrics: list[str], rows: list[int]) -> pd.DataFrame:
    """`by_group` on test, and again without the documents of some rows, such as those that
    leaked from train."""
    out = (p.frame["split"] == "test") & p.frame["row"].isin(rows)
    table = by_group(p, by=by, metrics=metrics)
    rest = by_group(dataclasses.replace(p, frame=p.frame[~out]), by=by, metrics=metrics)
    found = table[[by, "seeds", "documents"]].assign(leaked=table["documents"] - rest["documents"])
    for metric in metrics:
        for name, part in ((metric, table), (f"{metric}, without", rest)):
            for end in ("", "_low", "_high"):
                found[f"{name}{end}"] = part[f"{metric}{end}"]
    return found


FEWEST = 20


def cell_of(run: dict) -> tuple:
    """What tells apart the runs of a grid: optimizer, learning rate and weight decay."""
    return tuple(run["config"][name] for name in ("optimizer", "learning_rate", "weight_decay"))


def best(p: Predictions, *, by: str = "optimizer", metric: str = "P@1") -> Predictions:
    """Of every group, the runs of its best cell: the one whose first seed has the highest score
    on dev. A run that diverged is worse than any other."""
    chosen: dict[str, tuple[float, tuple]] = {}
    trained = [run for run in p.runs.values() if run["config"]["backbone"] not in NAMES]
    for run in trained:
        if run["config"]["seed"] == min(other["config"]["seed"] for other in trained):
            alone = p.keep(lambda other, run=run: other is run).groups(by, split="dev")
            group = next((group for group in alone if group.name not in NAMES), None)
            score = float(run_scores(p, group)[metric][0]) if group else 0.0
            score -= run.get("outcome", run["status"]) == "diverged"
            if score > chosen.get(run["config"][by], (-2.0,))[0]:
                chosen[run["config"][by]] = score, cell_of(run)
    return p.keep(lambda run: cell_of(run) == chosen[run["config"][by]][1])


def _end(run: dict) -> str:
    """How a run ended, and in what health."""
    stop = run["config"].get("stop_after")
    return f"dropped after epoch {stop}" if stop else run.get("outcome", run["status"])


def by_cell(
    p: Predictions,
    *,
    by: list[str],
    metrics: list[str],
    epoch: str = "last",
    split: str = "test",
    ranked: bool = False,
) -> pd.DataFrame:
    """One row for each combination of the fields `by` that was run, the highest first if
    `ranked`: how its runs ended and in what health, and scores with their 95 % intervals; a run
    that diverged before it could be scored has none. `reason` says why runs diverged."""
    rows = []
    all_cells = [
        tuple(r["config"][f] for f in by)
        for r in p.runs.values()
        if r["config"]["backbone"] not in NAMES
    ]
    distinct = list(dict.fromkeys(all_cells))
    for cell in distinct:
        part = p.where(**dict(zip(by, cell, strict=True)))
        own = [run for run in part.runs.values() if run["config"]["backbone"] not in NAMES]
        ends = Counter(_end(run) for run in own)
        row = dict(
            zip(by, (f"{v:g}" if isinstance(v, float) else str(v) for v in cell), strict=True)
        )
        row |= {
            "seeds": len(own),
            "outcome": ", ".join(f"{end}" + f" ({n})" * (len(own) > 1) for end, n in ends.items()),
        }
        found = next(
            (g for g in part.groups(by[0], split=split, epoch=epoch) if g.name not in NAMES), None
        )
        resampled = _resampled(p, found, metrics) if found else {}
        for metric in metrics:
            row |= {metric: np.nan, f"{metric}_low": np.nan, f"{metric}_high": np.nan}
            row |= (
                cells(metric, run_scores(p, found)[metric], resampled[metric], *limits(metric))
                if found
                else {}
            )
        for name in HEALTH:
            seen = [run["health"][name] for run in own if "health" in run]
            row |= {name: np.mean(seen) if seen else np.nan}
        rows.append(row | {"reason": next((run["reason"] for run in own if "reason" in run), "")})
    places = list(dict.fromkeys(cell[0] for cell in all_cells))
    table = pd.DataFrame(rows)
    if not ranked:  # together what shares the first field
        order = sorted(
            range(len(rows)), key=lambda i: (places.index(distinct[i][0]), *distinct[i][1:])
        )
        table = table.iloc[order].reset_index(drop=True)
    if ranked:
        table = table.sort_values(metrics[0], ascending=False, kind="stable", ignore_index=True)
    return table.drop(columns=[name for name in ("reason", *HEALTH) if not table[name].any()])


def by_frequency(p: Predictions, *, by: str, edges: list[int]) -> pd.DataFrame:
    """Scores over labels of like frequency in train, with 95 % intervals; `edges` are the least
    numbers of train documents of each bin.

    R@5: of the times that such a label is gold on test, the share in which it is among the first
    five. P@1: of the documents whose first predicted label is such a one, the share in which it is
    gold. No score from fewer documents than `FEWEST`.
    """
    rows, counts = [], np.append(p.train_counts, 0)
    for group in p.groups(by):
        often = np.where(group.labels >= 0, counts[np.minimum(group.labels, len(counts) - 1)], -1)
        got = np.stack(
            [(ranked[:, :, None] == group.labels[:, None, :]).any(1) for ranked in group.ranked]
        )
        first = np.stack([counts[ranked[:, 0]] for ranked in group.ranked])
        for low, high in zip(edges, [*edges[1:], np.inf], strict=True):
            wanted, claimed = (often >= low) & (often < high), (first >= low) & (first < high)
            bin_ = f"{low}–{high - 1:.0f}" if high < np.inf else f"{low} and more"
            row = {by: label(group.name), "train documents": bin_, "times gold": int(wanted.sum())}
            row["times first"] = claimed.sum(1).mean()
            parts = {
                "R@5": ((got & wanted).sum(2), np.tile(wanted.sum(1), (len(got), 1))),
                "P@1": (group.right & claimed, claimed),
            }
            for metric, (tops, bottoms) in parts.items():
                row |= {metric: np.nan, f"{metric}_low": np.nan, f"{metric}_high": np.nan}
                if (bottoms > 0).sum(1).min() >= FEWEST:
                    tops, bottoms = tops.astype(float), bottoms.astype(float)
                    row |= cells(
                        metric,
                        tops.sum(1) / bottoms.sum(1),
                        resample_ratios(tops, bottoms),
                        *limits(),
                    )
            rows.append(row)
    return pd.DataFrame(rows)


def overshoot(p: Predictions, *, by: str) -> pd.DataFrame:
    """For each group: the epoch with the lowest mean dev loss, that loss, the last one, and how
    many seeds rose; of the runs that came to the last epoch."""
    last = max(run["last_epoch"] for run in p.runs.values())
    whole = {key: run for key, run in p.runs.items() if run["last_epoch"] == last}
    p, rows = dataclasses.replace(p, runs=whole), []
    for name in [group.name for group in p.groups(by) if group.name not in NAMES]:
        losses = []
        for epoch in range(1, last + 1):
            group = next(g for g in p.groups(by, split="dev", epoch=epoch) if g.name == name)
            losses.append([cross_entropy(logits, group.labels) for logits in group.logits])
        losses = np.array(losses)  # (epochs, runs)
        mean = losses.mean(1)
        row = {by: name, "lowest at epoch": int(mean.argmin()) + 1, "lowest dev loss": mean.min()}
        row |= {"last dev loss": mean[-1], "last": last}
        rows.append(
            row
            | {
                "seeds whose loss rose": f"{int((losses[-1] > losses.min(0)).sum())} of {losses.shape[1]}"
            }
        )
    return pd.DataFrame(rows)


def predicted_numbers(p: Predictions, *, by: str, group: str) -> pd.DataFrame:
    """Given and predicted number of each test document, the mean over seeds."""
    found = next(g for g in p.groups(by) if g.name == group)
    return pd.DataFrame({"given": found.labels, "predicted": found.logits[:, :, 0].mean(0)})


FUNCTIONS = (
    predicted_numbers,
    by_group,
    by_run,
    by_epoch,
    by_class,
    by_length,
    by_cell,
    by_frequency,
    confusion_table,
    imbalance,
    differences,
    overshoot,
    without_rows,
)
TABLES = {function.__name__: function for function in FUNCTIONS}
