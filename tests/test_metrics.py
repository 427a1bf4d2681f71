"""Scores against scikit-learn, scipy and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from lib import metrics
from lib.analysis import stats


@given(st.integers(2, 6), st.integers(1, 60), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_scores_equal_scikit_learn(num_labels, rows, seed):
    rng = np.random.default_rng(seed)
    labels, logits = rng.integers(num_labels, size=rows), rng.normal(size=(rows, num_labels))
    predicted, ids = logits.argmax(1), list(range(num_labels))
    found = metrics.classification_scores(logits, labels)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted))
    for average in ("macro", "micro"):
        wanted = sk.precision_recall_fscore_support(
            labels, predicted, labels=ids, average=average, zero_division=0
        )
        got = [found[f"{average}_{name}"] for name in ("precision", "recall", "f1")]
        assert got == pytest.approx(list(wanted[:3]))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert found["loss"] == pytest.approx(sk.log_loss(labels, chances, labels=ids))
    by_class = metrics.class_scores(metrics.confusion(labels, predicted, num_labels))
    wanted = sk.precision_recall_fscore_support(labels, predicted, labels=ids, zero_division=0)
    for name, values in zip(("precision", "recall", "f1", "support"), wanted, strict=True):
        assert by_class[name] == pytest.approx(values)


def test_scores_by_hand():
    # gold 0 0 1 1, predicted 0 1 1 1: class 0 has precision 1, recall 1/2; class 1 precision 2/3, recall 1
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


def test_the_interval_of_one_run_agrees_with_scipy():
    from scipy.stats import bootstrap

    rng = np.random.default_rng(3)
    labels = rng.integers(3, size=300)
    predicted = np.where(rng.random(300) < 0.8, labels, (labels + 1) % 3)
    resampled = stats.bootstrap(labels, predicted[None], 3, ("accuracy",), resamples=4000)[
        "accuracy"
    ]
    hits = (labels == predicted).astype(float)
    theirs = bootstrap(
        (hits,), np.mean, n_resamples=4000, method="percentile", rng=1
    ).confidence_interval
    assert stats.interval(np.array([hits.mean()]), resampled) == pytest.approx(
        (theirs.low, theirs.high), abs=0.006
    )


@pytest.mark.parametrize(("spread", "documents"), [(0.02, 4000), (0.0, 400), (0.01, 1000)])
def test_the_interval_over_three_seeds_covers(spread, documents):
    """The truth is a mean accuracy of 0.9; runs differ by their seed, and share their documents."""
    rng, covered = np.random.default_rng(0), []
    for _ in range(400):
        ability = 0.9 + spread * rng.normal(size=3)
        hits = rng.random((3, documents)) < ability[:, None]
        draws = rng.integers(documents, size=(200, documents))
        resampled = hits[:, draws].mean(-1).T
        low, high = stats.interval(hits.mean(1), resampled)
        covered.append(low <= 0.9 <= high)
    assert 0.92 <= np.mean(covered) <= 0.99


def test_bootstrap_draws_the_same_documents_for_all_runs():
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=50)
    predicted = np.stack([labels, labels ^ (rng.random(50) < 0.3)])
    counts = stats.resample_confusions(labels, predicted, 2, resamples=20)
    assert (counts.sum((-2, -1)) == 50).all()
    assert (
        counts.sum(-1)[:, 0] == counts.sum(-1)[:, 1]
    ).all()  # equal gold counts in every resample


def test_more_seeds_narrow_the_interval_of_their_mean():
    rng = np.random.default_rng(0)
    values = rng.normal(size=12) * 0.01 + 0.9
    resampled = values + rng.normal(size=(500, 1)) * 0.001
    wide, narrow = stats.interval(values[:3], resampled[:, :3]), stats.interval(values, resampled)
    assert narrow[1] - narrow[0] < wide[1] - wide[0]


def test_mcnemar_and_holm_by_hand():
    from scipy.stats import binomtest

    one, other = np.ones((1, 20), dtype=bool), np.ones((1, 20), dtype=bool)
    other[0, :9], one[0, 9] = (
        False,
        False,
    )  # nine documents that only the first gets right, one only the second
    assert stats.mcnemar(one, other) == pytest.approx(binomtest(9, 10).pvalue)
    assert stats.mcnemar(one, one) == 1
    assert stats.mcnemar(np.repeat(one, 3, 0), other) == pytest.approx(2 * binomtest(9, 10).pvalue)
    assert stats.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert stats.holm([0.9, 0.8]) == [1.0, 1.0]


def test_ratios_are_resampled_like_confusions():
    rng = np.random.default_rng(1)
    labels = rng.integers(2, size=80)
    predicted = np.stack([labels ^ (rng.random(80) < 0.2), labels ^ (rng.random(80) < 0.4)])
    counts = stats.resample_confusions(labels, predicted, 2, resamples=30)
    ratios = stats.resample_ratios(
        (predicted == labels).astype(float), np.ones((2, 80)), resamples=30
    )
    assert ratios == pytest.approx(metrics.confusion_scores(counts)["accuracy"])
