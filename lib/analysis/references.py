"""Which of a study's references its answer is measured by."""

from lib.analysis.groups import Group
from lib.analysis.predictions import Predictions
from lib.analysis.scores import run_scores
from lib.errors import InputError
from lib.metrics import METRICS
from lib.runs.baselines import NO_MODEL, reference_name


def best_reference(p: Predictions, *, metric: str) -> str:
    """The name of the group of the reference that is best on dev, among those that learn; of equal
    ones, the one that `lib.runs.baselines.references` gives first.

    `lib.analysis.scores.display_name` shows it as pages do; its test score is in any table of `p`
    by group. Raises InputError where there is no such reference.
    """
    groups = learning_references(p)
    scores = {group.name: float(run_scores(p, group)[metric].iloc[0]) for group in groups}
    if not scores:
        raise InputError("These runs have no reference that learns: add references(config)")
    choose = max if METRICS[metric].higher_is_better else min
    return choose(scores, key=scores.get)


def learning_references(p: Predictions) -> list[Group]:
    """The references that learn, scored on dev."""
    groups = p.only(p.references).groups("reference", split="dev")
    return [group for group in groups if group.name not in NO_MODEL]


def beside_best_reference(p: Predictions, *, metric: str) -> Predictions:
    """The trained runs and the best reference alone: a smaller family of comparisons."""
    best = best_reference(p, metric=metric)
    runs = {
        key: run
        for key, run in p.runs.items()
        if key in p.trained or reference_name(run["config"]) == best
    }
    return p.only(runs)
