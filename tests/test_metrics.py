"""Scores against scikit-learn, a brute-force oracle and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as oracle
from sklearn import metrics as sk

from lib import confusions, metrics, rankings
from lib.metrics import classification_scores, regression_scores


@given(st.integers(2, 6), st.integers(1, 60), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_scores_equal_scikit_learn(num_labels, rows, seed):
    rng = np.random.default_rng(seed)
    labels, logits = rng.integers(num_labels, size=rows), rng.normal(size=(rows, num_labels))
    predicted, ids = logits.argmax(1), list(range(num_labels))
    found = metrics.classification_scores(logits, labels)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted))
    for average in ("macro", "micro"):  # over the classes that occur, as scikit-learn has them
        wanted = sk.precision_recall_fscore_support(
            labels, predicted, average=average, zero_division=0
        )
        got = [found[f"{average}_{name}"] for name in ("precision", "recall", "f1")]
        assert got == pytest.approx(list(wanted[:3]))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert found["loss"] == pytest.approx(sk.log_loss(labels, chances, labels=ids))
    by_class = confusions.class_scores(confusions.confusion(labels, predicted, num_labels))
    wanted = sk.precision_recall_fscore_support(labels, predicted, labels=ids, zero_division=0)
    for name, values in zip(("precision", "recall", "f1", "support"), wanted, strict=True):
        assert by_class[name] == pytest.approx(values)


def test_a_class_that_neither_test_nor_a_prediction_has_does_not_count():
    labels = np.array([0, 1, 3, 3])
    perfect = np.eye(5)[labels]
    assert metrics.classification_scores(perfect, labels)["macro_f1"] == 1
    one_wrong = np.eye(5)[[0, 1, 3, 2]]  # class 2 is predicted, so it counts, with 0
    wanted = sk.f1_score(labels, one_wrong.argmax(1), average="macro")
    assert metrics.classification_scores(one_wrong, labels)["macro_f1"] == pytest.approx(wanted)
    assert wanted == pytest.approx((1 + 1 + 2 / 3) / 4)


def test_a_loss_in_parts_is_that_of_the_whole(monkeypatch):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(50, 7)), rng.integers(7, size=50)
    whole = confusions.cross_entropy(logits, labels)
    monkeypatch.setattr(confusions, "AT_ONCE", 40)
    assert confusions.cross_entropy(logits, labels) == whole


def test_thousands_of_classes_have_the_same_scores(monkeypatch):
    rng = np.random.default_rng(0)
    labels, logits = rng.integers(9, size=40), rng.normal(size=(40, 30))
    every = metrics.classification_scores(logits, labels)
    monkeypatch.setattr(metrics, "DENSE", 10)
    assert metrics.classification_scores(logits, labels) == pytest.approx(every)
    two = np.array([0, 49_999])
    logits = np.zeros((2, 50_000), np.float32)
    logits[[0, 1], two] = 1
    both = metrics.classification_scores(logits, two)
    assert both["macro_f1"] == 1 and "f1" not in both


def test_documents_without_a_label_have_no_recall():
    gold = np.full((3, 2), -1)
    scores = metrics.ranking_scores(np.zeros((3, 1), int), gold)
    assert scores["P@1"] == scores["R@1"] == scores["nDCG@1"] == 0


def test_scores_by_hand():
    # gold 0 0 1 1, predicted 0 1 1 1: class 0 has precision 1 and recall 1/2, class 1 2/3 and 1
    found = metrics.classification_scores(
        np.array([[2, 1], [1, 2], [0, 3], [0, 1.0]]), np.array([0, 0, 1, 1])
    )
    assert found["macro_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["macro_recall"] == pytest.approx(0.75)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found["micro_f1"] == found["accuracy"] == 0.75


def test_ties_go_to_the_lower_label():
    assert metrics.classification_scores(np.zeros((3, 2)), np.array([0, 0, 1]))[
        "accuracy"
    ] == pytest.approx(2 / 3)


def sparse_case(rng, rows, labels, most, unseen=True):
    """Scores full of ties, and padded gold labels of which some are unseen in train."""
    scores = rng.integers(0, 4, size=(rows, labels)).astype(float)
    gold = np.full((rows, most), -1)
    for row in gold:
        size = rng.integers(0, most + 1)
        row[:size] = rng.permutation(labels + 2 * unseen)[:size]
    return scores, gold


def ranking_oracle(scores, gold, weights, k):
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
        weights = rankings.inverse_propensity(
            rankings.label_counts(rng.integers(-1, labels, size=(30, 3)), labels), 30
        )
        found = metrics.ranking_scores(rankings.top_k(scores, 5), gold, weights)
        for k in (1, 3, 5):
            for name, value in ranking_oracle(scores, gold, weights, k).items():
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
    weights = rankings.inverse_propensity(rankings.label_counts(gold, 9), 20)
    found = metrics.ranking_scores(rankings.top_k(scores, 5), gold, weights)
    turned = rng.permutation(20)
    again = metrics.ranking_scores(rankings.top_k(scores[turned], 5), gold[turned], weights)
    assert again == pytest.approx(found)
    dense = np.zeros((20, 10))
    np.put_along_axis(dense, gold % 10, 1, axis=1)
    for k in (1, 3, 5):
        assert found[f"nDCG@{k}"] == pytest.approx(sk.ndcg_score(dense[:, :9], scores, k=k))
    ranked = rankings.top_k(scores, 9)
    chosen = np.take_along_axis(scores, ranked, axis=1) > 2
    ours = metrics.decision_scores(ranked, chosen, gold, 9)
    for average in ("micro", "macro"):
        assert ours[f"{average}_f1"] == pytest.approx(
            sk.f1_score(dense[:, :9], scores > 2, average=average, zero_division=0)
        )


def test_propensity_by_hand():
    train = np.array([[0, 1], [0, -1], [0, -1], [1, -1]])
    c = (np.log(4) - 1) * 2.5**0.55
    wanted = [1 + c * (n + 1.5) ** -0.55 for n in (3, 2, 0, 0)]
    assert rankings.inverse_propensity(rankings.label_counts(train, 3), 4) == pytest.approx(wanted)


def test_ties_of_a_ranking_go_by_label_index():
    scores = np.array([[1.0, 2, 2, 2, 0], [0, 0, 0, 0, 0]])
    assert rankings.top_k(scores, 2).tolist() == [[1, 2], [0, 1]]


def test_a_large_label_space_needs_no_dense_matrix():
    rng = np.random.default_rng(0)
    gold = np.stack([np.sort(rng.choice(4000, 5, replace=False)) for _ in range(500)])
    ranked = np.where(rng.random((500, 5)) < 0.3, gold, rng.integers(0, 4000, size=(500, 5)))
    weights = rankings.inverse_propensity(rankings.label_counts(gold, 4000), 500)
    once = metrics.ranking_scores(ranked, gold, weights)
    tiled = metrics.ranking_scores(np.tile(ranked, (200, 1)), np.tile(gold, (200, 1)), weights)
    assert tiled == pytest.approx(once) and 0.25 < once["P@5"] < 0.35


@pytest.mark.parametrize("classes", [2, 4])
def test_metrics_by_name(classes):
    rng = np.random.default_rng(classes)
    labels, logits = rng.integers(classes, size=60), rng.normal(size=(60, classes))
    own, predicted = classification_scores(logits, labels), logits.argmax(1)
    assert own["mcc"] == pytest.approx(sk.matthews_corrcoef(labels, predicted))
    assert own["weighted_f1"] == pytest.approx(sk.f1_score(labels, predicted, average="weighted"))
    assert ("f1" in own) == (classes == 2)
    if classes == 2:
        assert own["f1"] == pytest.approx(sk.f1_score(labels, predicted))
    assert classification_scores(np.zeros((5, classes)), np.zeros(5, int))["mcc"] == 0


def test_numbers_scores():
    rng = np.random.default_rng(0)
    labels = rng.normal(size=50).round(1)
    values = labels + rng.normal(size=50)
    own = regression_scores(values, labels)
    assert own["pearson"] == pytest.approx(oracle.pearsonr(values, labels)[0])
    assert own["spearman"] == pytest.approx(oracle.spearmanr(values, labels)[0])
    assert own["r2"] == pytest.approx(sk.r2_score(labels, values))
    assert own["loss"] == pytest.approx(sk.mean_squared_error(labels, values))
    assert own["rmse"] ** 2 == pytest.approx(own["loss"])
    assert regression_scores(np.ones(50), labels)["pearson"] == 0
