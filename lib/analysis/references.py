"""Which of a study's references its answer is measured by."""

from lib.analysis.names import display_name
from lib.analysis.predictions import Predictions
from lib.analysis.scores import run_scores
from lib.errors import InputError
from lib.metrics import METRICS
from lib.references.baselines import NO_MODEL, reference_name


def best_reference(p: Predictions, *, metric: str) -> str:
    """The reference that is best on dev, among those that learn, as tables name it; of equal ones,
    the one that is best on test, so that no study is helped by a tie. Raises InputError where
    there is none."""
    dev = learning_references(p, metric=metric)
    if not dev:
        raise InputError("These runs have no reference that learns: add references(config)")
    test = reference_scores(p, metric=metric)
    choose = max if METRICS[metric].higher_is_better else min
    return choose(dev, key=lambda name: (dev[name], test[name]))


def learning_references(p: Predictions, *, metric: str) -> dict[str, float]:
    """The dev scores of the references that learn, by their names in tables."""
    without_model = {display_name(name) for name in NO_MODEL}
    scores = reference_scores(p, metric=metric, split="dev")
    return {name: score for name, score in scores.items() if name not in without_model}


def reference_scores(p: Predictions, *, metric: str, split: str = "test") -> dict[str, float]:
    """The score of each reference that was scored on a split, by its name in tables."""
    groups = p.only(p.references).groups("reference", split=split)
    return {display_name(g.name): float(run_scores(p, g)[metric].iloc[0]) for g in groups}


def beside_best_reference(p: Predictions, *, metric: str) -> Predictions:
    """The trained runs and the best reference alone: a smaller family of comparisons."""
    return beside_reference(p, best_reference(p, metric=metric))


def beside_reference(p: Predictions, reference: str) -> Predictions:
    """The trained runs and one reference alone, which is named as tables name it."""
    runs = {
        key: run
        for key, run in p.runs.items()
        if key in p.trained or display_name(reference_name(run["config"])) == reference
    }
    return p.only(runs)
