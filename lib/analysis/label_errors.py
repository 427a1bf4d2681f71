"""Labels that may be wrong: documents whose label the models do not believe, of dev, or of the
whole table where it was scored in folds."""

import numpy as np
import pandas as pd
from scipy.special import expit, softmax

from lib.analysis.display import count, percent, with_metrics
from lib.analysis.groups import Group
from lib.analysis.predictions import Predictions, group_of
from lib.metrics import explained_variance
from lib.thresholds import dense

SURE = 0.95  # probability at which one of several labels is believed
NOT_SAID = "Which labels may be wrong cannot be said: the model learned nothing."
DEVIATIONS = 3  # standard deviations beyond which a number is not believed


def label_errors(p: Predictions, *, by: str, group: str, most: int = 20) -> pd.DataFrame:
    """Documents whose label may be wrong, the surest first: the models, on the mean over seeds,
    believe in another (see `judged`).

    A class is believed in where its probability is a half or more, and reaches the mean that
    documents labelled so have (confident learning, Northcutt et al. 2021). With several labels a
    document each label is judged alone, at 95 %. Of numbers, those more than three standard
    deviations off. Runs that learned nothing are not asked; where none did, the table is empty,
    and its note says why.
    """
    dev = _learned(judged(p, by, group))
    doubted = {
        "classification": _doubted_classes,
        "multilabel": _doubted_labels,
        "regression": _doubted_numbers,
    }[p.task]
    places, *columns = doubted(dev, p.label_names) if dev.runs else ([], [], [], [])
    sureness = "standard deviations off" if p.task == "regression" else "sureness"
    names = ("given", "believed", sureness)
    table = pd.DataFrame({"row": dev.rows[places]} | dict(zip(names, columns, strict=True)))[:most]
    if not dev.runs:
        table.attrs["note"] = NOT_SAID
    return with_metrics(table, {"sureness": "share"})


def split_judged(p: Predictions) -> str:
    """Dev, which no run was scored on; test, where folds make it the whole table."""
    in_folds = any(run["config"].get("fold") for run in p.runs.values())
    return "test" if in_folds else "dev"


def judged(p: Predictions, by: str, group: str) -> Group:
    """The runs of a group on the documents whose labels are doubted."""
    return group_of(p, by, group, split_judged(p))


def learned_nothing(group: Group) -> np.ndarray:
    """Whether each run (runs,) tells no documents apart: every one is given the same class, or has
    the same label first; numbers are no nearer than their mean."""
    if group.ranked is not None:
        best = group.logits.argmax(-1)[:, :, None]
        first = np.take_along_axis(group.ranked, best, axis=2)[:, :, 0]
    elif group.labels.dtype.kind == "f":
        values = group.logits[:, :, 0]
        return np.array([explained_variance(row, group.labels) <= 0 for row in values])
    else:
        first = group.predicted
    return (first == first[:, :1]).all(1)


def _learned(group: Group) -> Group:
    """The runs of a group that learned something."""
    return group.only(np.flatnonzero(~learned_nothing(group)).tolist())


# Of the documents that are doubted, the surest first: their places, the given answers, those that
# the models believe in, and how sure they are


def _doubted_classes(dev: Group, label_names: tuple[str, ...]) -> tuple:
    chance = softmax(dev.logits, axis=-1).mean(0)
    names = np.array(label_names, object)
    mean_chance = np.array(  # of each class, over the documents labelled so
        [
            chance[dev.labels == i, i].mean() if (dev.labels == i).any() else 1.0
            for i in range(len(names))
        ]
    )
    believed = chance.argmax(1)
    needed = np.maximum(mean_chance[believed], 0.5)
    doubted = (believed != dev.labels) & (chance.max(1) >= needed)
    margin = chance.max(1) - chance[np.arange(len(chance)), dev.labels]
    order = np.argsort(-margin, kind="stable")
    order = order[doubted[order]]
    return order, names[dev.labels[order]], names[believed[order]], chance.max(1)[order]


def _doubted_labels(dev: Group, label_names: tuple[str, ...]) -> tuple:
    of_runs = [
        dense(logits, ranked, dev.labels, len(label_names))
        for logits, ranked in zip(dev.logits, dev.ranked, strict=True)
    ]
    chance = np.mean([expit(logits) for logits, _ in of_runs], axis=0)
    gold = of_runs[0][1]
    sureness = np.where(gold, 1 - chance, chance)  # of the other answer
    order = np.argsort(-sureness, axis=None, kind="stable")
    order = order[sureness.ravel()[order] > SURE]
    documents, labels = np.unravel_index(order, sureness.shape)
    yes = np.array(label_names, object)[labels]
    no = "not " + yes
    has_label = gold[documents, labels]
    given = np.where(has_label, yes, no)
    return documents, given, np.where(has_label, no, yes), sureness.ravel()[order]


def _doubted_numbers(dev: Group, _label_names: tuple[str, ...]) -> tuple:
    values = dev.logits[:, :, 0].mean(0)
    errors = values - dev.labels
    deviations = np.abs(errors / errors.std())
    order = np.argsort(-deviations, kind="stable")
    order = order[deviations[order] > DEVIATIONS]
    given = [f"{number:g}" for number in dev.labels[order]]
    believed = [f"{value:.4g}" for value in values[order]]
    return order, given, believed, deviations[order]


def suspects(p: Predictions, *, by: str, group: str) -> str:
    """How many labels the models do not believe."""
    runs = judged(p, by, group)
    if learned_nothing(runs).all():
        return NOT_SAID
    documents = len(runs.labels)
    number = len(label_errors(p, by=by, group=group, most=10**9))
    which = "dev documents" if split_judged(p) == "dev" else "documents"
    if not number:
        return f"For none of the {documents:,} {which} are the models sure of another answer."
    text = (
        f"{count(number, 'label')} of the {documents:,} {which} ({percent(number / documents)}) "
        "may be wrong and are worth checking: the models are sure of another "
    )
    if p.task != "classification":
        return f"{text}answer."
    labels = "dev labels" if split_judged(p) == "dev" else "labels"
    return (
        f"{text}label; but on average they disagree with {percent(1 - runs.right.mean())} of all "
        f"{labels}, so expect false alarms."
    )
