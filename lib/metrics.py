"""Metrics: one table, and the scores of a whole split that it is computed from.

`METRICS` names every quantity that a page, a figure or a configuration can name. Whatever formats,
draws, bounds or selects a metric reads its row; adding a metric is adding one. A row's functions
are keyed by what they are computed from:

- `confusion`: confusion counts (..., classes, classes), gold label in rows: one label a document
  (`lib.confusions`);
- `ranking`: `Ranking`, the best labels of each document, where it can have several; numerator and
  denominator by document, so that the score of a set of documents is the ratio of their sums
  (`lib.rankings`);
- `propensity`: the same, weighted by the labels' inverse propensities;
- `decisions`: `Decisions`, how often each label is given and right, if a document can have several;
- `numbers`: predicted and true real numbers (rows,).
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import numpy as np

from lib import confusions, rankings
from lib.confusions import class_scores as class_scores  # which a metric of one's own may read
from lib.confusions import divide
from lib.errors import InputError, nearest

INPUTS = {  # what the scores of a task are computed from, without its training data
    "classification": ("confusion",),
    "multilabel": ("ranking", "decisions"),
    "regression": ("numbers",),
}
INFINITY = float("inf")
DENSE = 1000  # classes up to which confusion counts have a place for each pair of them
# The limits of a metric, by its kind
SHARE = (0.0, 1.0)
SIGNED = (-1.0, 1.0)
ERROR = (0.0, INFINITY)


@dataclasses.dataclass(frozen=True)
class Metric:
    """A row of `METRICS`."""

    title: str  # in sentences, headers and on axes
    kind: Literal["share", "number", "signed", "loss", "small", "p"] = "share"  # how it is shown
    limits: tuple[float, float] = SHARE
    higher_is_better: bool = True
    functions: Mapping[str, Callable] = dataclasses.field(default_factory=dict)  # by their input
    in_history: bool = True  # in a run's history even if it does not choose its epoch
    classes: int | None = None  # defined for so many classes only; None: for any number

    def defined_for(self, source: str, num_labels: int) -> bool:
        """Whether it is computed from `source` where there are so many labels."""
        return source in self.functions and self.classes in (None, num_labels)


# The scores of a split


def confusion_scores(counts: np.ndarray, num_labels: int | None = None) -> dict[str, np.ndarray]:
    """Every metric of confusion counts (..., classes, classes), each (...); `num_labels`, where
    the counts are those of fewer classes."""
    num_labels = num_labels or counts.shape[-1]
    return {
        name: metric.functions["confusion"](counts)
        for name, metric in METRICS.items()
        if metric.defined_for("confusion", num_labels)
    }


def classification_scores(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The loss and all scores of logits (rows, num_labels) and gold labels (rows,).

    Ties go to the lower label.
    """
    num_labels = logits.shape[1]
    predicted = logits.argmax(1)
    if num_labels <= DENSE:
        counts = confusions.confusion(labels, predicted, num_labels)
    else:  # of the classes that occur: no metric asks for others
        occurring, ids = np.unique(np.concatenate([labels, predicted]), return_inverse=True)
        counts = confusions.confusion(*np.split(ids, 2), len(occurring))
    scores = {name: float(value) for name, value in confusion_scores(counts, num_labels).items()}
    return {"loss": confusions.cross_entropy(logits, labels)} | scores


def document_scores(
    ranked: np.ndarray, gold: np.ndarray, weights: np.ndarray | None = None
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Numerator and denominator by document, (rows,) each, of every metric of ranked labels."""
    ranking = rankings.Ranking.of(ranked, gold, weights)
    sources = ("ranking",) if weights is None else ("ranking", "propensity")
    return {
        name: metric.functions[source](ranking)
        for source in sources
        for name, metric in METRICS.items()
        if source in metric.functions
    }


def ranking_scores(
    ranked: np.ndarray, gold: np.ndarray, weights: np.ndarray | None = None
) -> dict[str, float]:
    """The scores of `document_scores` over all documents."""
    ratios = document_scores(ranked, gold, weights)
    return {name: float(divide(top.sum(), bottom.sum())) for name, (top, bottom) in ratios.items()}


def decision_scores(
    ranked: np.ndarray, given: np.ndarray, gold: np.ndarray, num_labels: int
) -> dict[str, float]:
    """The metrics of decisions: of the ranked labels, those `given` (rows, k) booleans."""
    decisions = rankings.Decisions.of(ranked, given, gold, num_labels)
    return {
        name: metric.functions["decisions"](decisions)
        for name, metric in METRICS.items()
        if "decisions" in metric.functions
    }


# Real numbers: functions of predicted and true numbers (rows,)


def root_mean_squared_error(values: np.ndarray, labels: np.ndarray) -> float:
    return float(((values - labels) ** 2).mean()) ** 0.5


def mean_absolute_error(values: np.ndarray, labels: np.ndarray) -> float:
    return float(np.abs(values - labels).mean())


def explained_variance(values: np.ndarray, labels: np.ndarray) -> float:
    """R²; 0 where all true numbers are the same."""
    spread = float(labels.var())
    return 1 - float(((values - labels) ** 2).mean()) / spread if spread else 0.0


def pearson(values: np.ndarray, labels: np.ndarray) -> float:
    """Pearson's correlation; with a constant it counts as 0."""
    a, b = values - values.mean(), labels - labels.mean()
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size else 0.0


def spearman(values: np.ndarray, labels: np.ndarray) -> float:
    from scipy.stats import rankdata

    return pearson(rankdata(values), rankdata(labels))


def regression_scores(values: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The mean squared error as loss, and all scores, of predictions and numbers (rows,)."""
    values = values.astype(np.float64)
    labels = labels.astype(np.float64)
    scores = {"loss": float(((values - labels) ** 2).mean())}
    for name, metric in METRICS.items():
        if "numbers" in metric.functions:
            scores[name] = metric.functions["numbers"](values, labels)
    return scores


def _macro(score: str) -> Callable:
    return partial(confusions.mean_over_classes, score=score)


def scores_of(
    logits: np.ndarray,
    labels: np.ndarray,
    ranked: np.ndarray | None = None,
    *,
    num_labels: int | None = None,
    weights: np.ndarray | None = None,
) -> dict[str, float]:
    """All scores of a split, whatever its task, from logits (rows, num_labels), or predicted
    numbers (rows, 1), and gold labels.

    Where a document can have several labels, `logits` (rows, k) are those of the labels in
    `ranked`, `weights` their inverse propensities, if these are known, and there is no loss.
    """
    if ranked is not None:
        scores = ranking_scores(ranked, labels, weights)
        return scores | decision_scores(ranked, logits > 0, labels, num_labels)
    if labels.dtype.kind == "f":
        return regression_scores(logits[:, 0], labels)
    return classification_scores(logits, labels)


METRICS: dict[str, Metric] = {
    "accuracy": Metric("accuracy", functions={"confusion": confusions.accuracy}),
    "macro_precision": Metric("macro precision", functions={"confusion": _macro("precision")}),
    "macro_recall": Metric("macro recall", functions={"confusion": _macro("recall")}),
    "macro_f1": Metric(
        "macro F1", functions={"confusion": _macro("f1"), "decisions": rankings.decided_macro_f1}
    ),
    "micro_precision": Metric("micro precision", functions={"confusion": confusions.accuracy}),
    "micro_recall": Metric("micro recall", functions={"confusion": confusions.accuracy}),
    "micro_f1": Metric(
        "micro F1",
        functions={"confusion": confusions.accuracy, "decisions": rankings.decided_micro_f1},
    ),
    "weighted_f1": Metric(
        "weighted F1", functions={"confusion": confusions.weighted_f1}, in_history=False
    ),
    "mcc": Metric(
        "MCC", "signed", SIGNED, functions={"confusion": confusions.matthews}, in_history=False
    ),
    "f1": Metric(
        "F1", functions={"confusion": confusions.second_class_f1}, in_history=False, classes=2
    ),
    "rmse": Metric("RMSE", "number", ERROR, False, {"numbers": root_mean_squared_error}),
    "mae": Metric("mean absolute error", "number", ERROR, False, {"numbers": mean_absolute_error}),
    "r2": Metric("R²", "signed", (-INFINITY, 1.0), functions={"numbers": explained_variance}),
    "pearson": Metric("Pearson correlation", "signed", SIGNED, functions={"numbers": pearson}),
    "spearman": Metric("Spearman correlation", "signed", SIGNED, functions={"numbers": spearman}),
    "loss": Metric("loss", "loss", ERROR, higher_is_better=False),
    # what tables show beside scores: no function gives them from a split's logits alone
    "precision": Metric("precision"),
    "recall": Metric("recall"),
    "share": Metric("share"),  # of anything
    "ece": Metric("ECE", higher_is_better=False),  # expected calibration error
    "p": Metric("p", "p", higher_is_better=False),
    "embedding_cosine": Metric("embedding cosine", "small", SIGNED),
    "gradient_norm": Metric("gradient norm", "small", ERROR),
}
AT_RANKS = {  # by what they are computed from, each at the ranks `KS`
    "ranking": {"P": rankings.precision_at, "R": rankings.recall_at, "nDCG": rankings.ndcg_at},
    "propensity": {"PSP": rankings.propensity_precision_at, "PSnDCG": rankings.propensity_ndcg_at},
}
for _source, _functions in AT_RANKS.items():
    for _k in rankings.KS:
        for _name, _function in _functions.items():
            _at_k = {_source: partial(_function, k=_k)}
            METRICS[f"{_name}@{_k}"] = Metric(f"{_name}@{_k}", functions=_at_k)


def metrics_of(task: str) -> tuple[str, ...]:
    """The metrics that a run of a task can be judged and its epoch chosen by."""
    return tuple(
        name
        for name, metric in METRICS.items()
        if any(source in metric.functions for source in INPUTS[task])
    )


def check_metric(name: str, task: str, num_labels: int) -> None:
    """Raises InputError where a metric cannot choose the epoch of a task's run."""
    choices = metrics_of(task)
    if name not in (*choices, "loss", "last"):
        raise InputError(f"select_by = {name!r} is no metric of {task}.{nearest(name, choices)}")
    wanted = METRICS[name].classes if name in METRICS else None
    if wanted not in (None, num_labels) and task == "classification":
        raise InputError(
            f"select_by = {name!r} is for two classes, that of the second; there are {num_labels}: "
            "macro_f1?"
        )
