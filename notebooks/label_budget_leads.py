"""How far fine-tuning is ahead in the study of label budgets: once over all sizes, which is what
its answer says, and at each size alone."""

import pandas as pd

from lib.analysis.answers import gap
from lib.analysis.comparisons import (
    EQUAL,
    SIGNIFICANT,
    TOO_FEW,
    comparison_table,
    mark_significant,
)
from lib.analysis.display import distance, listed, score
from lib.analysis.findings import difference_of
from lib.analysis.groups import Group
from lib.analysis.pairs import Pair, run_by_run, with_common_seeds
from lib.analysis.predictions import Predictions
from lib.analysis.scores import sample_of
from lib.analysis.stats import mean_of, mean_run_by_run, paired_difference
from notebooks.label_budget import (
    SIZE,
    best_on_dev,
    groups_by_method,
    in_words,
    largest_size,
    method_names,
    models_of,
    references_of,
    scores,
    sizes_of,
    up_to,
)

AVERAGED = "sizes"  # column: over how many a difference is averaged


def compared_methods(p: Predictions) -> list[tuple[str, str]]:
    """Which methods are compared, as the one less the other: each model and every reference, and
    a larger model and the first."""
    first, *larger = models_of(p)
    pairs = [(first, reference) for reference in references_of(p)]
    for model in larger:
        pairs += [(model, other) for other in (first, *references_of(p))]
    return pairs


def groups_by_size(p: Predictions) -> dict[str, dict[int, Group]]:
    """The runs of each method at each size."""
    groups: dict[str, dict[int, Group]] = {method: {} for method in method_names(p).values()}
    for size, _, group in groups_by_method(p):
        groups[group.name][size] = group
    return groups


def leads(p: Predictions, *, metric: str) -> pd.DataFrame:
    """How far each model is ahead of every other method, averaged over the sizes that both were
    tried at, sample by sample; the differences are one family."""
    groups = groups_by_size(p)
    pairs = []
    sizes = []
    for one, other in compared_methods(p):
        common = [size for size in groups[one] if size in groups[other]]
        by_size = [(groups[one][size], groups[other][size]) for size in common]
        pair = averaged_pair(p, by_size, metric)
        if pair:
            pairs.append(pair)
            sizes.append(len(common))
    table = comparison_table(pairs, [pair.name for pair in pairs])
    table.insert(1, AVERAGED, sizes)
    mark_significant(table, metric)
    return table


def averaged_pair(p: Predictions, by_size: list[tuple[Group, Group]], metric: str) -> Pair | None:
    """Two methods, of which the samples that have runs of both at every size are compared by their
    means over sizes; None without such a sample."""
    seeds = [{*one.seeds} & {*other.seeds} for one, other in by_size]
    common = sorted(set.intersection(*seeds)) if seeds else []
    if not common:
        return None
    differences = []
    for groups in by_size:
        one, other = (group.only([group.seeds.index(s) for s in common]) for group in groups)
        differences.append(
            paired_difference(sample_of(p, one, metric), sample_of(p, other, metric))
        )
    estimate = mean_of(mean_run_by_run(differences))
    return Pair(one, other, metric, estimate, shared=0, p=estimate.p_value())


def leads_by_size(p: Predictions, *, metric: str) -> pd.DataFrame:
    """The same at each size alone; these differences are one family, too."""
    groups = groups_by_size(p)
    rows = []
    for one, other in compared_methods(p):
        for size in groups[one]:
            if size not in groups[other]:
                continue
            pair = with_common_seeds(groups[one][size], groups[other][size])
            if pair[0].runs:
                rows.append((size, run_by_run(p, *pair, metric)))
    rows.sort(key=lambda row: row[0])
    pairs = [pair for _, pair in rows]
    table = comparison_table(pairs, [pair.name for pair in pairs])
    table.insert(0, SIZE, [size for size, _ in rows])
    mark_significant(table, metric)
    return table.drop(columns=["documents", "seeds"])


def answer(p: Predictions, *, metric: str) -> str:
    """How far the model that dev chooses is ahead on average: of the other model and the best
    reference, or without another model of all references. No average goes beyond the largest size
    that all models have, and no score of one size stands beside it."""
    model = best_on_dev(p, models_of(p), metric=metric)
    others = [name for name in models_of(p) if name != model]
    reference = best_on_dev(p, references_of(p), metric=metric)
    than = [*others, reference] if others else references_of(p)
    p = up_to(p, largest_size(p))
    gains = gains_of(leads(p, metric=metric), model, metric)
    gains = {other: gain for other, gain in gains.items() if other in than}
    if not gains or TOO_FEW in [gain["verdict"] for gain in gains.values()]:
        return _untested(p, [model, *others, reference], metric)
    sizes = [f"{size:,}" for size in sizes_of(p)]
    over = f"Averaged over {sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else f"With {sizes[0]}"
    return f"{over} texts, {in_words(model)} is {leads_in_words(gains, metric)}."


def _untested(p: Predictions, names: list[str], metric: str) -> str:
    """What a model, named first, and others score at the largest size."""
    size = largest_size(p)
    reached = scores(p, metric=metric).set_index([SIZE, "method"])[metric][size]
    ends = [score(reached[names[0]], metric)]
    ends += [f"{in_words(name)} {score(reached[name], metric)}" for name in names[1:]]
    start = f"With {TOO_FEW}, nothing is tested; with {size:,} texts {in_words(names[0])}"
    return f"{start} reaches {', '.join(ends)}."


def gains_of(table: pd.DataFrame, model: str, metric: str) -> dict[str, dict]:
    """How far a model is ahead of each other method, with interval and verdict, from the table of
    `leads`."""
    gains = {}
    for sides in table.attrs["sides"]:
        if model in sides:
            [other] = {*sides} - {model}
            gains[other] = difference_of(table, model, other, metric)
    return gains


def leads_in_words(gains: dict[str, dict], metric: str) -> str:
    """How far a model is ahead of others, what is significant first: `14.5 points above TF-IDF,
    not significantly above embeddings`."""
    names: dict[str, list[str]] = {}
    for other, gain in sorted(gains.items(), key=lambda item: item[1]["verdict"] != SIGNIFICANT):
        side = "above" if gain["value"] > 0 else "below"
        start = f"not significantly {side}"
        if gain["verdict"] == SIGNIFICANT:
            size = distance(gain["value"], metric)
            start = f"{size.removesuffix(' points') if names else size} {side}"
        elif gain["verdict"] == EQUAL:
            start = "as good as"
        names.setdefault(start, []).append(in_words(other))
    return ", ".join(f"{start} {' or '.join(of_start)}" for start, of_start in names.items())


def average_lead(p: Predictions, *, backbone: str, metric: str) -> str:
    """How far a model is ahead of the references and of a smaller model, averaged over sizes, at
    which sizes its mean is above all references', and what all score with the most texts."""
    model = method_names(p)[backbone]
    gains = gains_of(leads(p, metric=metric), model, metric)
    smaller = [other for one, other in compared_methods(p) if one == model]
    gaps = [gap(gains[other], metric, in_words(other)) for other in smaller if other in gains]
    if not gaps:
        return f"No sample of {in_words(model)} has a score at every size."
    sizes = [size for size, groups in groups_by_size(p)[model].items() if groups.runs]
    return (
        f"Averaged over {len(sizes)} sizes up to {max(sizes):,} texts, {in_words(model)} scores "
        f"{listed(gaps)}; its mean is above all references' at {sizes_above(p, model, metric)}. "
        f"{scores_with(p, [model, *smaller], max(sizes), metric)}"
    )


def scores_with(p: Predictions, names: list[str], size: int, metric: str) -> str:
    """What methods score with so many texts, the highest first."""
    reached = scores(p, metric=metric).set_index([SIZE, "method"])[metric][size]
    reached = reached[[name for name in names if name in reached]]
    reached = reached.sort_values(ascending=False, kind="stable")
    texts = [f"{in_words(name)} {score(value, metric)}" for name, value in reached.items()]
    return f"With {size:,} texts the scores are: {listed(texts)}."


def sizes_above(p: Predictions, model: str, metric: str) -> str:
    """The sizes at which a model's mean is above all references', in words."""
    wide = scores(p, metric=metric).pivot(index=SIZE, columns="method", values=metric)
    wide = wide.dropna(subset=[model])
    is_above = wide[model] > wide[references_of(p)].max(axis=1)
    if is_above.all():
        return "every size"
    sizes = [f"{size:,}" for size in wide.index[is_above]]
    return f"{listed(sizes)} labelled texts" if sizes else "no size"
