"""Intervals, tests and power against scipy, brute force and by hand."""

import numpy as np
import pytest
from scipy import stats as oracle

from lib import metrics
from lib.analysis import resampling, stats


def test_the_interval_of_one_run_agrees_with_scipy():
    rng = np.random.default_rng(3)
    labels = rng.integers(3, size=300)
    predicted = np.where(rng.random(300) < 0.8, labels, (labels + 1) % 3)
    resampled = resampling.bootstrap(labels, predicted[None], 3, ("accuracy",), resamples=4000)[
        "accuracy"
    ]
    hits = (labels == predicted).astype(float)
    theirs = oracle.bootstrap(
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
    counts = resampling.resample_confusions(labels, predicted, 2, resamples=20)
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
    one, other = np.ones((1, 20), dtype=bool), np.ones((1, 20), dtype=bool)
    other[0, :9], one[0, 9] = (
        False,
        False,
    )  # nine documents that only the first gets right, one only the second
    assert stats.mcnemar(one, other) == pytest.approx(oracle.binomtest(9, 10).pvalue)
    assert stats.mcnemar(one, one) == 1
    assert stats.mcnemar(np.repeat(one, 3, 0), other) == pytest.approx(
        2 * oracle.binomtest(9, 10).pvalue
    )
    assert stats.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert stats.holm([0.9, 0.8]) == [1.0, 1.0]


def test_ratios_are_resampled_like_confusions():
    rng = np.random.default_rng(1)
    labels = rng.integers(2, size=80)
    predicted = np.stack([labels ^ (rng.random(80) < 0.2), labels ^ (rng.random(80) < 0.4)])
    counts = resampling.resample_confusions(labels, predicted, 2, resamples=30)
    ratios = resampling.resample_ratios(
        (predicted == labels).astype(float), np.ones((2, 80)), resamples=30
    )
    assert ratios == pytest.approx(metrics.confusion_scores(counts)["accuracy"])


def test_detectable_differences_are_detected_four_times_in_five():
    for runs in (3, 5):  # the power of a t-test of so many pairs
        apart = np.random.default_rng(0).normal(
            stats.detectable(1.0, 0.0, runs), 1, size=(40_000, runs)
        )
        assert (oracle.ttest_1samp(apart, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(
            0.8, abs=0.008
        )
    assert stats.detectable(0.0, 0.1 / 1000, 1) == pytest.approx(
        (1.959964 + 0.841621) * 0.01, abs=1e-6
    )
    assert stats.detectable(0.0, 0.1 / 4000, 1) == pytest.approx(
        stats.detectable(0.0, 0.1 / 1000, 1) / 2
    )


def test_the_documents_of_a_run_are_counted_once():
    rng = np.random.default_rng(3)
    ours, own, shared = (
        rng.normal(0, 0.02, size=4),
        rng.normal(0, 0.01, (50_000, 4)),
        rng.normal(0, 0.03, (50_000, 1)),
    )
    between, alone, alike = stats.variance_components(ours, ours + own + shared)
    assert alone == pytest.approx(0.01**2, rel=0.05) and alike == pytest.approx(0.03**2, rel=0.05)
    assert between + alone == pytest.approx(
        np.var(ours, ddof=1)
    )  # the spread holds what documents do to each run
    error, freedom = stats.student(between + alone, alike, 4)
    assert error**2 == pytest.approx(np.var(ours, ddof=1) / 4 + alike)
    assert freedom == pytest.approx(3 * error**2 / (np.var(ours, ddof=1) / 4))
    low, high = stats.interval(ours, ours + own + shared)
    assert high - low == pytest.approx(2 * oracle.t.ppf(0.975, freedom) * error)


def test_without_shared_documents_the_interval_is_that_of_students_t():
    apart = np.array([0.02, -0.01, 0.03, 0.01])
    low, high = stats.interval(apart, np.broadcast_to(apart, (100, 4)))
    assert (low, high) == pytest.approx(oracle.ttest_1samp(apart, 0).confidence_interval(0.95))
    assert stats.p_value(apart, np.broadcast_to(apart, (100, 4))) == pytest.approx(
        oracle.ttest_1samp(apart, 0).pvalue
    )


def test_runs_that_are_alike_by_luck_have_no_interval_of_nothing():
    resampled = 0.02 + 0.01 * np.random.default_rng(4).normal(size=(20_000, 3))
    low, high = stats.interval(np.full(3, 0.02), resampled)
    floor = oracle.chi2.ppf(0.05, 2) / 2 * 0.01**2  # of the spread that documents alone would bring
    assert (high - low) / 2 == pytest.approx(oracle.t.ppf(0.975, 2) * np.sqrt(floor / 3), rel=0.1)
    assert stats.interval(np.full(3, 0.02), np.full((100, 3), 0.02)) == pytest.approx((0.02, 0.02))


def test_what_is_needed_suffices_and_one_less_does_not():
    rng = np.random.default_rng(2)
    values = np.array([0.007, 0.009, 0.008])
    resampled = values + 0.01 * rng.normal(size=(2000, 1))
    documents, seeds, both = stats.needed(values, resampled, 1000)
    between, own, drawn = stats.variance_components(values, resampled)

    def least(number, count=3):
        return stats.detectable(between + own * 1000 / number, drawn * 1000 / number, count)

    assert least(documents) <= 0.008 < least(documents - 1) and 1000 < documents < 1_000_000
    assert seeds is None  # the documents alone hide it
    assert least(1000 * both, 3 * both) <= 0.008 < least(1000 * (both - 1), 3 * (both - 1))
    assert stats.needed(values * 0 + 0.05, resampled, 1000) == (1000, 3, 1)
    assert stats.needed(np.array([0.02]), 0.02 + resampled[:, :1] - 0.004, 1000)[1] is None
    assert stats.needed(np.zeros(3), resampled, 1000) == (None, None, None)
