"""Several labels a document: the best of them in order, which of these are given, and the scores of
both.

Gold labels are id lists padded with −1 (rows, most); an id from `num_labels` on is a label that
train never had: it counts in every denominator and is never hit. No dense (documents × labels)
matrix is made but for the scores that a ranking is taken from.
"""

import dataclasses

import numpy as np
import torch

from lib.confusions import divide

KS = (1, 2, 3, 4, 5)  # ranks after which a ranking is cut
PROPENSITY_A, PROPENSITY_B = 0.55, 1.5  # of Jain et al. 2016, the values used for EURLex


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


def inverse_propensity(counts: np.ndarray, rows: int) -> np.ndarray:
    """1 / p of each label, and of an unseen one at the end, (num_labels + 1,).

    1 / p = 1 + C (n + b)^−a with C = (ln N − 1)(b + 1)^a, for a label in n of N train documents
    (Jain et al. 2016); `counts` are the `label_counts` of train's `rows`.
    """
    a, b = PROPENSITY_A, PROPENSITY_B
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
