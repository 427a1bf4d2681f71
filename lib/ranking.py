"""Scores of ranked labels, for documents with several labels each.

Gold labels are id lists padded with −1 (rows, most); an id from `num_labels` on is a label that
train never had: it is counted in every denominator and can never be hit. Rankings are label ids
(rows, k), best first. No dense (documents × labels) matrix is made but for the scores that a
ranking is taken from.
"""

from collections.abc import Iterable

import numpy as np
import torch

A, B = 0.55, 1.5  # of the propensity model (Jain et al. 2016), the values used for EURLex


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """The k best labels (rows, k) of scores (rows, labels); equal scores in the order of their
    label ids."""
    k = min(k, scores.shape[1])
    values, found = torch.from_numpy(scores).topk(min(k + 1, scores.shape[1]), dim=1)
    values, chosen = values.numpy(), found[:, :k].numpy()
    for row in (
        np.flatnonzero(values[:, k - 1] == values[:, -1]) if values.shape[1] > k else ()
    ):  # the cut parts a tie
        above = np.flatnonzero(scores[row] > values[row, k - 1])
        level = np.flatnonzero(scores[row] == values[row, k - 1])[: k - len(above)]
        chosen[row] = np.concatenate([above, level])
    chosen.sort(axis=1)
    order = np.argsort(-np.take_along_axis(scores, chosen, axis=1), axis=1, kind="stable")
    return np.take_along_axis(chosen, order, axis=1)


def label_counts(labels: np.ndarray, num_labels: int) -> np.ndarray:
    """In how many documents each label occurs, (num_labels,), from padded id lists."""
    return np.bincount(labels[(labels >= 0) & (labels < num_labels)], minlength=num_labels)


def inverse_propensity(counts: np.ndarray, rows: int, *, a: float = A, b: float = B) -> np.ndarray:
    """1 / p of each label, and of an unseen one at the end (num_labels + 1,), from `label_counts`
    of train's `rows`.

    1 / p = 1 + C (n + b)^−a with C = (ln N − 1)(b + 1)^a, for a label in n of N train documents
    (Jain et al. 2016).
    """
    return 1 + (np.log(rows) - 1) * (b + 1) ** a * (np.append(counts, 0) + b) ** -a


def hits(ranked: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """Whether each ranked label is a gold one: booleans (rows, k)."""
    found = np.zeros(ranked.shape, dtype=bool)
    for column in gold.T:
        found |= ranked == column[:, None]
    return found


def document_scores(
    ranked: np.ndarray, gold: np.ndarray, weights: np.ndarray | None = None, ks=(1, 2, 3, 4, 5)
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each score, its numerator and denominator by document, (rows,) each: the score of a set
    of documents is the ratio of the two sums, so that a resample of documents is scored by
    weighting them.

    - P@k: hits among the first k, divided by k.
    - R@k: hits among the first k, divided by the number of gold labels.
    - nDCG@k: sum of 1 / log2(rank + 1) over the hits among the first k, divided by the largest sum
      there can be.
    - PSP@k: sum over documents of 1 / p of the hits among the first k, divided by the same sum for
      the best k gold labels of each (Jain et al. 2016).
    - PSnDCG@k: the same ratio with each term discounted by 1 / log2(rank + 1).

    Documents without a gold label count 0 for P@k and are left out of R@k and nDCG@k. `weights` is
    `inverse_propensity`, (num_labels + 1,); without it the last two scores are left out.
    """
    hit, size = hits(ranked, gold), (gold >= 0).sum(1)
    discount = 1 / np.log2(np.arange(2, max(*ks, ranked.shape[1]) + 2))
    some, ideal = (size > 0).astype(float), np.concatenate([[1.0], np.cumsum(discount)])
    found = {}
    for k in ks:
        found[f"P@{k}"] = (hit[:, :k].sum(1) / k, np.ones(len(hit)))
        found[f"R@{k}"] = (hit[:, :k].sum(1) / np.maximum(size, 1), some)
        found[f"nDCG@{k}"] = (
            hit[:, :k] @ discount[: hit[:, :k].shape[1]] / ideal[np.minimum(size, k)],
            some,
        )
    if weights is not None:
        gained = np.where(hit, weights[np.minimum(ranked, len(weights) - 1)], 0.0)
        best = -np.sort(
            -np.where(gold >= 0, weights[np.minimum(gold, len(weights) - 1)], 0.0), axis=1
        )
        best = np.pad(best, ((0, 0), (0, max(0, ranked.shape[1] - best.shape[1]))))[
            :, : ranked.shape[1]
        ]
        for k in ks:
            found[f"PSP@{k}"] = (gained[:, :k].sum(1), best[:, :k].sum(1))
            cut = discount[: gained[:, :k].shape[1]]
            found[f"PSnDCG@{k}"] = (gained[:, :k] @ cut, best[:, :k] @ cut)
    return found


def ranking_scores(
    ranked: np.ndarray, gold: np.ndarray, weights: np.ndarray | None = None, ks=(1, 2, 3, 4, 5)
) -> dict[str, float]:
    """The scores of `document_scores` over all documents."""
    parts = document_scores(ranked, gold, weights, ks)
    return {name: float(top.sum() / bottom.sum()) for name, (top, bottom) in parts.items()}


def f1_at_threshold(
    ranked: np.ndarray,
    chosen: np.ndarray,
    gold: np.ndarray,
    num_labels: int,
    draws: Iterable[np.ndarray] | None = None,
) -> dict[str, float | np.ndarray]:
    """Micro F1, and macro F1 over the labels of train, of the ranked labels that are `chosen`
    (rows, k) booleans.

    A label that is neither chosen nor gold anywhere counts 0 in the macro average, as in
    scikit-learn's `zero_division=0`; unseen gold labels count as misses in the micro average. With
    `draws`, how often each document (rows,) counts in each of several resamples, each score is an
    array (resamples,).
    """
    is_hit = hits(ranked, gold) & chosen
    places = {"true": (ranked, is_hit), "claimed": (ranked, chosen), "wanted": (gold, gold >= 0)}
    lists = {name: (np.nonzero(kept)[0], ids[kept]) for name, (ids, kept) in places.items()}
    found: dict[str, list] = {"micro_f1": [], "macro_f1": []}
    for weights in [np.ones(len(gold))] if draws is None else draws:
        n = {
            name: np.bincount(ids, weights[rows], minlength=num_labels)
            for name, (rows, ids) in lists.items()
        }
        total = n["claimed"].sum() + n["wanted"].sum()
        true, both = (
            n["true"][:num_labels],
            (n["claimed"] + n["wanted"][: len(n["claimed"])])[:num_labels],
        )
        found["micro_f1"].append(2 * true.sum() / total if total else 0.0)
        found["macro_f1"].append(
            np.divide(2 * true, both, out=np.zeros(num_labels), where=both > 0).mean()
        )
    return {
        name: float(values[0]) if draws is None else np.array(values)
        for name, values in found.items()
    }
