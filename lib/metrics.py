"""Metrics: one table, and the scores of a whole split that it is computed from.

`METRICS` names every quantity that a page, a figure or a configuration can name. Whatever formats,
draws, bounds or selects a metric reads its row; adding a metric is adding one. A row's functions
are keyed by what they are computed from:

- `confusion`: confusion counts (..., classes, classes), gold label in rows: one label a document;
- `ranking`: `Ranking`, the best labels of each document, where it can have several; numerator and
  denominator by document, so that the score of a set of documents is the ratio of their sums;
- `propensity`: the same, weighted by the labels' inverse propensities;
- `decisions`: `Decisions`, how often each label is given and right, if a document can have several;
- `numbers`: predicted and true real numbers (rows,).
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import numpy as np
import torch

from lib.errors import InputError, nearest

INPUTS = {  # what the scores of a task are computed from, without its training data
    "classification": ("confusion",),
    "multilabel": ("ranking", "decisions"),
    "regression": ("numbers",),
}
KS = (1, 2, 3, 4, 5)  # ranks after which a ranking is cut
PROPENSITY_A, PROPENSITY_B = 0.55, 1.5  # of Jain et al. 2016, the values used for EURLex
INFINITY = float("inf")
DENSE = 1000  # classes up to which confusion counts have a place for each pair of them
AT_ONCE = 2**20  # logits of which a loss is computed together: they stay in the processor's cache
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


# One label a document: functions of confusion counts (..., classes, classes)


def confusion(labels: np.ndarray, predicted: np.ndarray, num_labels: int) -> np.ndarray:
    """Counts (num_labels, num_labels): gold label in rows, predicted label in columns."""
    cells = labels.astype(np.int64) * num_labels + predicted
    return np.bincount(cells, minlength=num_labels**2).reshape(num_labels, num_labels)


def divide(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """`top / bottom`, 0 where the denominator is 0, as scikit-learn's `zero_division=0`."""
    quotient = np.zeros(np.broadcast_shapes(np.shape(top), np.shape(bottom)))
    return np.divide(top, bottom, out=quotient, where=bottom > 0)


def class_scores(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall, F1 and support by class, each (..., classes)."""
    right = np.diagonal(counts, axis1=-2, axis2=-1).astype(float)
    predicted = counts.sum(-2)
    support = counts.sum(-1)
    return {
        "precision": divide(right, predicted),
        "recall": divide(right, support),
        "f1": divide(2 * right, predicted + support),
        "support": support,
    }


def accuracy(counts: np.ndarray) -> np.ndarray:
    """The share of documents with the right label; micro averages equal it."""
    return divide(np.trace(counts, axis1=-2, axis2=-1).astype(float), counts.sum((-2, -1)))


def mean_over_classes(counts: np.ndarray, score: str) -> np.ndarray:
    """The mean of a score over the classes that occur, as gold label or as predicted one: those
    that scikit-learn's macro averages count. Of F1, it is not the F1 of the mean precision and
    recall."""
    occurs = counts.sum(-1) + counts.sum(-2) > 0
    return divide(class_scores(counts)[score].sum(-1), occurs.sum(-1))


def weighted_f1(counts: np.ndarray) -> np.ndarray:
    """The mean of the classes' F1 scores, weighted by their documents."""
    support = counts.sum(-1).astype(float)
    return divide((class_scores(counts)["f1"] * support).sum(-1), support.sum(-1))


def matthews(counts: np.ndarray) -> np.ndarray:
    """Matthews' correlation coefficient, of any number of classes (Gorodkin 2004)."""
    gold = counts.sum(-1).astype(float)
    predicted = counts.sum(-2).astype(float)
    rows = gold.sum(-1)
    by_chance = (gold * predicted).sum(-1)
    spread = (rows**2 - (gold**2).sum(-1)) * (rows**2 - (predicted**2).sum(-1))
    return divide(accuracy(counts) * rows * rows - by_chance, np.sqrt(np.maximum(spread, 0)))


def second_class_f1(counts: np.ndarray) -> np.ndarray:
    """F1 of the second of two classes."""
    return class_scores(counts)["f1"][..., 1]


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood, in nats, of labels (rows,) under logits (rows, num_labels)."""
    from scipy.special import logsumexp  # scipy takes a while to import

    rows_at_once = max(1, AT_ONCE // logits.shape[1])
    losses = []
    for start in range(0, len(labels), rows_at_once):
        part = logits[start : start + rows_at_once].astype(np.float64)
        of_gold = part[np.arange(len(part)), labels[start : start + rows_at_once]]
        losses.append(logsumexp(part, axis=1) - of_gold)
    return float(np.mean(np.concatenate(losses)))


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
        counts = confusion(labels, predicted, num_labels)
    else:  # of the classes that occur: no metric asks for others
        occurring, ids = np.unique(np.concatenate([labels, predicted]), return_inverse=True)
        counts = confusion(*np.split(ids, 2), len(occurring))
    scores = {name: float(value) for name, value in confusion_scores(counts, num_labels).items()}
    return {"loss": cross_entropy(logits, labels)} | scores


# Several labels a document. Gold labels are id lists padded with −1 (rows, most); an id from
# `num_labels` on is a label that train never had: it counts in every denominator and is never hit.
# No dense (documents × labels) matrix is made but for the scores that a ranking is taken from.


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """The k best labels (rows, k) of scores (rows, labels), best first; ties go to the lower id."""
    k = min(k, scores.shape[1])
    values, labels = torch.from_numpy(scores).topk(min(k + 1, scores.shape[1]), dim=1)
    values = values.numpy()
    chosen = labels[:, :k].numpy()
    if values.shape[1] > k:
        for row in np.flatnonzero(values[:, k - 1] == values[:, -1]):  # the cut parts a tie
            above = np.flatnonzero(scores[row] > values[row, k - 1])
            level = np.flatnonzero(scores[row] == values[row, k - 1])[: k - len(above)]
            chosen[row] = np.concatenate([above, level])
    chosen.sort(axis=1)
    order = np.argsort(-np.take_along_axis(scores, chosen, axis=1), axis=1, kind="stable")
    return np.take_along_axis(chosen, order, axis=1)


def label_counts(labels: np.ndarray, num_labels: int) -> np.ndarray:
    """How many documents have each label, (num_labels,); of labels (rows,) or id lists."""
    return np.bincount(labels[(labels >= 0) & (labels < num_labels)], minlength=num_labels)


def label_shares(labels: np.ndarray, num_labels: int) -> np.ndarray:
    """The share of documents that have each label, (num_labels,)."""
    return label_counts(labels, num_labels) / len(labels)


def inverse_propensity(
    counts: np.ndarray, rows: int, *, a: float = PROPENSITY_A, b: float = PROPENSITY_B
) -> np.ndarray:
    """1 / p of each label, and of an unseen one at the end, (num_labels + 1,).

    1 / p = 1 + C (n + b)^−a with C = (ln N − 1)(b + 1)^a, for a label in n of N train documents
    (Jain et al. 2016); `counts` are the `label_counts` of train's `rows`.
    """
    return 1 + (np.log(rows) - 1) * (b + 1) ** a * (np.append(counts, 0) + b) ** -a


def hits(ranked: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """Whether each ranked label is a gold one: booleans (rows, k)."""
    is_hit = np.zeros(ranked.shape, dtype=bool)
    for column in gold.T:
        is_hit |= ranked == column[:, None]
    return is_hit


@dataclasses.dataclass(frozen=True)
class Ranking:
    """What the metrics of ranked labels are computed from."""

    hit: np.ndarray  # (rows, k) whether each ranked label, best first, is gold
    gold_count: np.ndarray  # (rows,) gold labels of each document
    gained: np.ndarray | None = None  # (rows, k) inverse propensity of each hit, else 0
    best_gains: np.ndarray | None = (
        None  # (rows, k) the largest inverse propensities of its gold labels
    )

    @classmethod
    def of(
        cls, ranked: np.ndarray, gold: np.ndarray, weights: np.ndarray | None = None
    ) -> "Ranking":
        """From label ids (rows, k), best first, gold id lists and `inverse_propensity`."""
        hit = hits(ranked, gold)
        gold_count = (gold >= 0).sum(1)
        if weights is None:
            return cls(hit, gold_count)
        gained = np.where(hit, weights[np.minimum(ranked, len(weights) - 1)], 0.0)
        gold_weights = np.where(gold >= 0, weights[np.minimum(gold, len(weights) - 1)], 0.0)
        best = -np.sort(-gold_weights, axis=1)
        width = ranked.shape[1]
        best = np.pad(best, ((0, 0), (0, max(0, width - best.shape[1]))))[:, :width]
        return cls(hit, gold_count, gained, best)


def discounts(k: int) -> np.ndarray:
    """1 / log2(rank + 1) of the ranks 1 to k."""
    return 1 / np.log2(np.arange(2, k + 2))


def precision_at(r: Ranking, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Hits among the first k, divided by k."""
    return r.hit[:, :k].sum(1) / k, np.ones(len(r.hit))


def recall_at(r: Ranking, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Hits among the first k, divided by the gold labels; documents without one are left out."""
    return r.hit[:, :k].sum(1) / np.maximum(r.gold_count, 1), (r.gold_count > 0).astype(float)


def ndcg_at(r: Ranking, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Discounted hits among the first k, divided by the largest sum there can be."""
    ideal = np.concatenate([[1.0], np.cumsum(discounts(max(*KS, r.hit.shape[1])))])
    hit = r.hit[:, :k]
    gained = hit @ discounts(hit.shape[1])
    return gained / ideal[np.minimum(r.gold_count, k)], (r.gold_count > 0).astype(float)


def propensity_precision_at(r: Ranking, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Inverse propensities of the hits among the first k, and of the best k gold labels."""
    return r.gained[:, :k].sum(1), r.best_gains[:, :k].sum(1)


def propensity_ndcg_at(r: Ranking, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The same two sums with each term discounted."""
    discount = discounts(r.gained[:, :k].shape[1])
    return r.gained[:, :k] @ discount, r.best_gains[:, :k] @ discount


def document_scores(
    ranked: np.ndarray, gold: np.ndarray, weights: np.ndarray | None = None
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Numerator and denominator by document, (rows,) each, of every metric of ranked labels."""
    ranking = Ranking.of(ranked, gold, weights)
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
    parts = document_scores(ranked, gold, weights)
    return {name: float(divide(top.sum(), bottom.sum())) for name, (top, bottom) in parts.items()}


@dataclasses.dataclass(frozen=True)
class Decisions:
    """How often each label is given, right and gold; the last entry is of all unseen labels."""

    right: np.ndarray  # (num_labels + 1,)
    given: np.ndarray
    gold: np.ndarray

    @classmethod
    def of(
        cls, ranked: np.ndarray, given: np.ndarray, gold: np.ndarray, num_labels: int
    ) -> "Decisions":
        """Of the ranked labels, those `given` (rows, k) booleans."""
        right = ranked[hits(ranked, gold) & given]
        counts = [
            np.bincount(np.minimum(ids, num_labels), minlength=num_labels + 1)
            for ids in (right, ranked[given], gold[gold >= 0])
        ]
        return cls(*counts)

    def without(self, other: "Decisions") -> "Decisions":
        """These, but for some documents' decisions."""
        right = self.right - other.right
        return Decisions(right, self.given - other.given, self.gold - other.gold)


def decided_micro_f1(d: Decisions) -> float:
    """F1 of all decisions together; unseen gold labels are misses."""
    total = d.given.sum() + d.gold.sum()
    return float(2 * d.right[:-1].sum() / total) if total else 0.0


def decided_macro_f1(d: Decisions) -> float:
    """Mean F1 over the labels of train; one that is neither given nor gold counts 0."""
    return float(divide(2 * d.right[:-1], (d.given + d.gold)[:-1]).mean())


def decision_scores(
    ranked: np.ndarray, given: np.ndarray, gold: np.ndarray, num_labels: int
) -> dict[str, float]:
    """The metrics of decisions: of the ranked labels, those `given` (rows, k) booleans."""
    decisions = Decisions.of(ranked, given, gold, num_labels)
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
    return partial(mean_over_classes, score=score)


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
    "accuracy": Metric("accuracy", functions={"confusion": accuracy}),
    "macro_precision": Metric("macro precision", functions={"confusion": _macro("precision")}),
    "macro_recall": Metric("macro recall", functions={"confusion": _macro("recall")}),
    "macro_f1": Metric(
        "macro F1", functions={"confusion": _macro("f1"), "decisions": decided_macro_f1}
    ),
    "micro_precision": Metric("micro precision", functions={"confusion": accuracy}),
    "micro_recall": Metric("micro recall", functions={"confusion": accuracy}),
    "micro_f1": Metric(
        "micro F1", functions={"confusion": accuracy, "decisions": decided_micro_f1}
    ),
    "weighted_f1": Metric("weighted F1", functions={"confusion": weighted_f1}, in_history=False),
    "mcc": Metric("MCC", "signed", SIGNED, functions={"confusion": matthews}, in_history=False),
    "f1": Metric("F1", functions={"confusion": second_class_f1}, in_history=False, classes=2),
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
for _k in KS:
    METRICS[f"P@{_k}"] = Metric(f"P@{_k}", functions={"ranking": partial(precision_at, k=_k)})
    METRICS[f"R@{_k}"] = Metric(f"R@{_k}", functions={"ranking": partial(recall_at, k=_k)})
    METRICS[f"nDCG@{_k}"] = Metric(f"nDCG@{_k}", functions={"ranking": partial(ndcg_at, k=_k)})
for _k in KS:
    weighted = {"propensity": partial(propensity_precision_at, k=_k)}
    METRICS[f"PSP@{_k}"] = Metric(f"PSP@{_k}", functions=weighted)
    weighted = {"propensity": partial(propensity_ndcg_at, k=_k)}
    METRICS[f"PSnDCG@{_k}"] = Metric(f"PSnDCG@{_k}", functions=weighted)


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
