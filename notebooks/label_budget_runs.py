"""The runs of the study of label budgets: which samples of texts are labelled, and who learns from
them."""

import dataclasses
from math import ceil

from lib.datasets import DATASETS
from lib.errors import InputError
from lib.metrics import METRICS
from lib.reading.vocabulary import NOT_IN_TRAIN
from lib.references.baselines import BY_TASK
from lib.runs.config import RunConfig
from lib.runs.keys import corpus_of
from lib.runs.published import page_runs, published_page

DEV_SHARE = 5  # one labelled text in so many is dev
FEWEST = 10  # labelled texts
METRIC = {"classification": "accuracy", "multilabel": "micro_f1", "regression": "spearman"}


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is trained: a configuration whose classes are named, so that every sample has the same;
    the numbers of labelled texts, ascending; the metric; and the names of the references."""

    base: RunConfig
    sizes: list[int]
    metric: str
    references: tuple[str, ...]


def plan_of(
    base: RunConfig, sizes: list[int], *, metric: str = "auto", most_test_rows: int = 0
) -> Plan:
    """The sizes that the corpus has, and all of it (0) where more is asked for; at most so many
    test documents (0: all). Of a page, what its runs have. Raises InputError."""
    page = published_page()
    if page:
        configs_of_page = [run.config for run in page_runs(page).values()]
        return _plan_of_page(base, configs_of_page)
    corpus = corpus_of(base)
    if 0 < most_test_rows < len(corpus.test):
        base = base.with_(test_rows=most_test_rows)
        corpus = corpus_of(base)
    drawn = corpus_of(base.with_(subset_seed=0))  # from train, whatever dev rows there are beside
    available = len(drawn.train) + len(drawn.dev)
    planned = {size for size in sizes if 0 < size < available}
    if len(planned) < len(set(sizes)):
        planned.add(available)
    if min(planned, default=0) < FEWEST:
        raise InputError(
            f"sizes = {sizes}: each wants {FEWEST} labelled texts or more, or 0 for all "
            f"{available:,}"
        )
    named = DATASETS.get(base.dataset)
    if corpus.task != "regression" and not (named and named.label_names):
        base = with_classes(base)
    metric = METRIC[corpus.task] if metric == "auto" else metric
    if not METRICS[metric].higher_is_better:
        raise InputError(f"metric = {metric!r}: this study wants one of which more is better")
    return Plan(base, sorted(planned), metric, BY_TASK[corpus.task])


def with_classes(base: RunConfig) -> RunConfig:
    """The configuration with the classes of its corpus named, the rare ones among them."""
    reading = base.reading.model_dump()
    every_class = {"min_rows_per_class": None, "rare_classes": "drop"}
    corpus = corpus_of(base.with_(reading=reading | every_class))
    names = [name for name in corpus.label_names if name != NOT_IN_TRAIN]
    return base.with_(reading=reading | {"labels": names})


def _plan_of_page(base: RunConfig, of_page: list[RunConfig]) -> Plan:
    sizes = sorted({config.train_rows + config.dev_rows for config in of_page})
    references = {config.reference: config for config in of_page if config.is_reference}
    metric = next(iter(references.values())).select_by
    base = base.with_(reading=of_page[0].reading, test_rows=of_page[0].test_rows)
    return Plan(base, sizes, metric, tuple(references))


def cost_caption(plan: Plan, least_steps: int) -> str:
    """Why the time of fine-tuning hardly grows with the labelled texts, as far as it does not."""
    alike = []
    for size in plan.sizes:
        steps_per_epoch = ceil((size - size // DEV_SHARE) / plan.base.batch_size)
        if plan.base.epochs * steps_per_epoch <= least_steps:
            alike.append(size)
    if len(alike) < 2:
        return ""
    return (
        f" Up to {alike[-1]:,} texts fine-tuning takes the same least number of steps, so its time "
        "hardly depends on their number; the rest is the machine's load."
    )


def configs(
    plan: Plan,
    seeds: list[int],
    *,
    least_steps: int,
    larger: RunConfig | None = None,
    larger_up_to: int = 0,
) -> list[RunConfig]:
    """The runs of every size and seed, the largest size first: fine-tuning, for `least_steps` or
    more; the larger model alike, up to a size; and the references."""
    runs = []
    for size in reversed(plan.sizes):
        for seed in seeds:
            dev_rows = size // DEV_SHARE
            sample = {"train_rows": size - dev_rows, "dev_rows": dev_rows, "subset_seed": seed}
            models = [plan.base, larger] if larger and size <= larger_up_to else [plan.base]
            for model in models:
                steps_per_epoch = ceil(sample["train_rows"] / model.batch_size)
                epochs = max(model.epochs, ceil(least_steps / steps_per_epoch))
                runs.append(model.with_(**sample, seed=seed, epochs=epochs))
            base = plan.base.with_(**sample, select_by=plan.metric)
            runs += [base.baseline(name) for name in plan.references]
    return runs
