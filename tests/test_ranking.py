"""Ranking scores against a brute-force oracle and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, ndcg_score

from lib import metrics as ranking


def sparse_case(rng, rows, labels, most, unseen=True):
    """Scores full of ties, and padded gold labels of which some are unseen in train."""
    scores = rng.integers(0, 4, size=(rows, labels)).astype(float)
    gold = np.full((rows, most), -1)
    for row in gold:
        size = rng.integers(0, most + 1)
        row[:size] = rng.permutation(labels + 2 * unseen)[:size]
    return scores, gold


def oracle(scores, gold, weights, k):
    """The definitions, document by document, with sets and loops."""
    labels = scores.shape[1]
    p, r, n, top, best, dtop, dbest = [], [], [], 0.0, 0.0, 0.0, 0.0
    for s, g in zip(scores, gold, strict=True):
        wanted = {int(x) for x in g if x >= 0}
        ranked = sorted(range(labels), key=lambda i: (-s[i], i))[:k]
        gains = [i in wanted for i in ranked]
        p.append(sum(gains) / k)
        if wanted:
            r.append(sum(gains) / len(wanted))
            ideal = sum(1 / np.log2(i + 2) for i in range(min(k, len(wanted))))
            n.append(sum(1 / np.log2(i + 2) for i, gain in enumerate(gains) if gain) / ideal)
        worth = sorted((weights[min(x, labels)] for x in wanted), reverse=True)[:k]
        top += sum(weights[i] for i, gain in zip(ranked, gains, strict=True) if gain)
        best += sum(worth)
        dtop += sum(
            weights[x] / np.log2(i + 2)
            for i, (x, gain) in enumerate(zip(ranked, gains, strict=True))
            if gain
        )
        dbest += sum(w / np.log2(i + 2) for i, w in enumerate(worth))
    return {
        "P": np.mean(p),
        "R": np.mean(r),
        "nDCG": np.mean(n),
        "PSP": top / best,
        "PSnDCG": dtop / dbest,
    }


def test_thousands_of_random_cases_equal_the_oracle():
    rng = np.random.default_rng(0)
    for _ in range(2000):
        labels, rows = int(rng.integers(5, 12)), int(rng.integers(1, 6))
        scores, gold = sparse_case(rng, rows, labels, int(rng.integers(1, 5)))
        gold[0, 0] = 0 if (gold[0] < 0).all() else gold[0, 0]
        weights = ranking.inverse_propensity(
            ranking.label_counts(rng.integers(-1, labels, size=(30, 3)), labels), 30
        )
        found = ranking.ranking_scores(ranking.top_k(scores, 5), gold, weights)
        for k in (1, 3, 5):
            for name, value in oracle(scores, gold, weights, k).items():
                assert found[f"{name}@{k}"] == pytest.approx(value), (name, k)


@given(st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_the_order_of_rows_does_not_matter_and_ndcg_is_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    scores, gold = sparse_case(rng, 20, 9, 4, unseen=False)
    scores = scores + rng.permuted(
        np.tile(np.arange(9) / 100, (20, 1)), axis=1
    )  # scikit-learn has no rule for ties
    gold[(gold < 0).all(1), 0] = 3
    weights = ranking.inverse_propensity(ranking.label_counts(gold, 9), 20)
    found = ranking.ranking_scores(ranking.top_k(scores, 5), gold, weights)
    turned = rng.permutation(20)
    again = ranking.ranking_scores(ranking.top_k(scores[turned], 5), gold[turned], weights)
    assert again == pytest.approx(found)
    dense = np.zeros((20, 10))
    np.put_along_axis(dense, gold % 10, 1, axis=1)
    for k in (1, 3, 5):
        assert found[f"nDCG@{k}"] == pytest.approx(ndcg_score(dense[:, :9], scores, k=k))
    ranked = ranking.top_k(scores, 9)
    chosen = np.take_along_axis(scores, ranked, axis=1) > 2
    ours = ranking.decision_scores(ranked, chosen, gold, 9)
    for average in ("micro", "macro"):
        assert ours[f"{average}_f1"] == pytest.approx(
            f1_score(dense[:, :9], scores > 2, average=average, zero_division=0)
        )


def test_propensity_by_hand():
    train = np.array([[0, 1], [0, -1], [0, -1], [1, -1]])
    c = (np.log(4) - 1) * 2.5**0.55
    wanted = [1 + c * (n + 1.5) ** -0.55 for n in (3, 2, 0, 0)]
    assert ranking.inverse_propensity(ranking.label_counts(train, 3), 4) == pytest.approx(wanted)


def test_ties_go_by_label_index():
    scores = np.array([[1.0, 2, 2, 2, 0], [0, 0, 0, 0, 0]])
    assert ranking.top_k(scores, 2).tolist() == [[1, 2], [0, 1]]


def test_a_large_label_space_needs_no_dense_matrix():
    rng = np.random.default_rng(0)
    gold = np.stack([np.sort(rng.choice(4000, 5, replace=False)) for _ in range(500)])
    ranked = np.where(rng.random((500, 5)) < 0.3, gold, rng.integers(0, 4000, size=(500, 5)))
    weights = ranking.inverse_propensity(ranking.label_counts(gold, 4000), 500)
    once = ranking.ranking_scores(ranked, gold, weights)
    tiled = ranking.ranking_scores(np.tile(ranked, (200, 1)), np.tile(gold, (200, 1)), weights)
    assert tiled == pytest.approx(once) and 0.25 < once["P@5"] < 0.35
