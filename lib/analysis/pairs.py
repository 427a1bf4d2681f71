"""Pairs of groups of runs on the same documents, and the differences of their mean scores."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from lib.analysis.groups import Group
from lib.analysis.names import MINUS, display_name
from lib.analysis.predictions import Predictions
from lib.analysis.scores import sample_of
from lib.analysis.stats import Estimate, difference_of_means, mcnemar, mean_of, paired_difference
from lib.errors import InputError
from lib.references.baselines import NAMES, NO_MODEL

RIGHT_OR_WRONG = ("accuracy", "micro_precision", "micro_recall", "micro_f1")


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two groups on the same documents, and the difference of their mean scores."""

    one: Group
    other: Group
    metric: str
    estimate: Estimate
    shared: int  # runs of one that are the same model as a run of the other
    p: float  # before the family is known; not a number without a test

    @property
    def name(self) -> str:
        return MINUS.join(self.sides)

    @property
    def sides(self) -> tuple[str, str]:
        return display_name(self.one.name), display_name(self.other.name)

    @property
    def turned(self) -> "Pair":
        """The same the other way round."""
        estimate = dataclasses.replace(self.estimate, value=-self.estimate.value)
        return dataclasses.replace(self, one=self.other, other=self.one, estimate=estimate)

    @property
    def is_tested(self) -> bool:
        return bool(np.isfinite(self.p)) and not self.is_same_model

    @property
    def has_interval(self) -> bool:
        return bool(np.isfinite(self.estimate.error))

    @property
    def is_same_model(self) -> bool:
        return self.shared == len(self.one.runs) == len(self.other.runs)

    @property
    def seeds(self) -> int | str:
        """The number of runs, of those groups that have seeds."""
        numbers = [len(group.runs) for group in (self.one, self.other) if group.has_seeds]
        if len(set(numbers)) > 1:
            return " and ".join(map(str, numbers))
        return numbers[0] if numbers else 1


def pairs_of(p: Predictions, *, by: str, metric: str, paired: bool = False) -> Iterator[Pair]:
    """Every pair of groups with a model, but those of two references of `lib.references.baselines`,
    which no study is about.

    Runs that are the same model are counted once. `paired`: the runs of one seed belong together,
    as two choices among the epochs of one training do; seeds that only one of two groups has are
    then left out.
    """
    groups = [group for group in p.groups(by) if group.name not in NO_MODEL]
    _check_documents(groups)
    if not paired:
        groups = [group.counted_once for group in groups]
    samples = [sample_of(p, group, metric) for group in groups]
    for i in range(len(groups)):
        for j in range(i):
            if {groups[i].name, groups[j].name} <= NAMES.keys():  # two references that we make
                continue
            if not paired:
                estimate = difference_of_means(samples[i], samples[j])
                yield _pair(p, groups[i], groups[j], metric, estimate)
                continue
            one, other = with_common_seeds(groups[i], groups[j])
            if one.runs:
                yield run_by_run(p, one, other, metric)


def run_by_run(p: Predictions, one: Group, other: Group, metric: str) -> Pair:
    """Two groups whose runs belong together in their order, as two choices among the epochs of one
    training do."""
    change = paired_difference(sample_of(p, one, metric), sample_of(p, other, metric))
    return _pair(p, one, other, metric, mean_of(change))


def _check_documents(groups: list[Group]) -> None:
    """Raises InputError where groups have other test documents."""
    for group in groups[1:]:
        if not np.array_equal(group.labels, groups[0].labels):
            raise InputError(
                f"{display_name(groups[0].name)} and {display_name(group.name)} were not scored on "
                "the same test documents, so their scores cannot be compared; narrow the runs "
                "with where=…"
            )


def _pair(p: Predictions, one: Group, other: Group, metric: str, estimate: Estimate) -> Pair:
    shared = len(set(one.models) & set(other.models))
    p_value = float("nan")
    if np.isfinite(estimate.error):
        p_value = estimate.p_value()
    elif len(one.runs) == len(other.runs) == 1 and _is_right_or_wrong(p, metric):
        p_value = mcnemar(one.right[0], other.right[0])
    return Pair(one, other, metric, estimate, shared, p_value)


def _is_right_or_wrong(p: Predictions, metric: str) -> bool:
    """Whether a metric is the share of the documents whose first label is right."""
    if p.task == "multilabel":
        return metric == "P@1"
    return p.task == "classification" and metric in RIGHT_OR_WRONG


def with_common_seeds(one: Group, other: Group) -> tuple[Group, Group]:
    """Two groups without the runs of seeds that only one of them has, in the first one's order."""
    common = [seed for seed in one.seeds if seed in other.seeds]
    groups = []
    for group in (one, other):
        groups.append(group.only([group.seeds.index(seed) for seed in common]))
    return groups[0], groups[1]
