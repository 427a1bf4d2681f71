"""Tests and intervals against scipy, brute force and by hand."""

from itertools import combinations, pairwise, product

import numpy as np
import pytest
from scipy import stats as oracle
from scipy.integrate import quad
from sklearn.metrics import f1_score

from lib.analysis import stats, verdicts
from lib.errors import InputError


def made_up(rows: int, *accuracies: float, seed: int = 0) -> np.ndarray:
    """Which documents each of some models gets right, (models, rows)."""
    return (
        np.random.default_rng(seed).random((len(accuracies), rows)) < np.array(accuracies)[:, None]
    )


def test_document_intervals_are_scipys_and_lie_around_the_score():
    right = made_up(400, 0.95)[0].astype(float)
    for method in ("percentile", "BCa"):
        low, high = verdicts.documents_interval(np.mean, right, method=method, seed=3)
        rng = np.random.default_rng(3)
        theirs = oracle.bootstrap(
            (right,), np.mean, n_resamples=2000, method=method, rng=rng
        ).confidence_interval
        assert (low, high) == pytest.approx(tuple(theirs), abs=1e-12) and low < right.mean() < high
    labels, predicted = np.arange(60) % 3, np.where(np.arange(60) % 7, np.arange(60) % 3, 0)

    def macro(a, b):
        return f1_score(a, b, average="macro", labels=[0, 1, 2], zero_division=0)

    low, high = verdicts.documents_interval(macro, labels, predicted, resamples=200)
    assert low < macro(labels, predicted) < high
    assert verdicts.documents_interval(np.mean, np.ones(50)) == (1.0, 1.0)
    with pytest.raises(
        InputError, match="method = 'bca' is no bootstrap interval; there are percentile and BCa"
    ):
        verdicts.documents_interval(np.mean, right, method="bca")


def test_bca_leans_towards_where_a_skewed_score_is_rare():
    right = np.append(np.zeros(3), np.ones(297))  # three errors in 300
    percentile, bca = (
        verdicts.documents_interval(np.mean, right, method=m) for m in ("percentile", "BCa")
    )
    exact = oracle.binomtest(297, 300).proportion_ci()
    assert bca[0] < percentile[0] and abs(bca[0] - exact.low) < abs(percentile[0] - exact.low)


def test_randomization_is_exact_for_few_documents_and_near_the_sign_test_for_many():
    one, other = np.array([3.0, 2, 5, 1, 4, 2, 2]), np.array([1.0, 2, 3, 2, 1, 0, 1])
    flips = [np.mean(np.array(signs) * (one - other)) for signs in product((1, -1), repeat=7)]
    seen = np.mean(one - other)
    tails = [
        np.mean([f >= seen - 1e-12 for f in flips]),
        np.mean([f <= seen + 1e-12 for f in flips]),
    ]
    assert verdicts.randomization(np.mean, one, other) == pytest.approx(min(1, 2 * min(tails)))
    one, other = made_up(1000, 0.9, 0.87, seed=4).astype(float)
    swapped = verdicts.randomization(np.mean, one, other)
    assert swapped == pytest.approx(stats.mcnemar(one[None] > 0, other[None] > 0), abs=0.03)
    assert verdicts.randomization(np.mean, one, one) == 1


def test_the_paired_bootstrap_agrees_with_the_normal():
    apart = np.random.default_rng(0).normal(0.02, 0.01, size=20_000)
    assert verdicts.paired_bootstrap(apart) == pytest.approx(2 * oracle.norm.sf(2), abs=0.005)
    assert verdicts.paired_bootstrap(apart) == verdicts.paired_bootstrap(-apart)
    assert (
        verdicts.paired_bootstrap(np.zeros(100)) == 1
        and verdicts.paired_bootstrap(np.ones(99)) == 0.02
    )


def test_the_hierarchical_bootstrap_has_the_variance_of_both():
    rng = np.random.default_rng(0)
    values = np.array([0.9, 0.92, 0.93, 0.89])
    together = values + 0.01 * rng.normal(
        size=(50_000, 1)
    )  # documents that are the same for all runs
    found = verdicts.hierarchical(together)
    assert found.mean() == pytest.approx(values.mean(), abs=1e-3)
    assert found.var() == pytest.approx(values.var() / 4 + 0.01**2, rel=0.05)
    assert verdicts.hierarchical(together, shared=False).var() == pytest.approx(
        values.var() / 4 + 0.01**2 / 4, rel=0.05
    )


def test_stochastic_order_by_the_integral_and_at_its_ends():
    rng = np.random.default_rng(1)
    one, other = rng.normal(0.3, 1, size=7), rng.normal(0, 1, size=5)

    def apart(u):
        return np.sort(one)[min(int(u * 7), 6)] - np.sort(other)[min(int(u * 5), 4)]

    places = sorted({i / 7 for i in range(8)} | {i / 5 for i in range(6)})
    pieces = [
        quad(lambda u: np.array(apart(u)) ** 2 * (apart(u) < 0), a, b)[0]
        for a, b in pairwise(places)
    ]
    whole = [quad(lambda u: apart(u) ** 2, a, b)[0] for a, b in pairwise(places)]
    assert verdicts.stochastic_order(one, other, level=0.5) == pytest.approx(
        sum(pieces) / sum(whole)
    )
    assert (
        verdicts.stochastic_order([3, 4, 5], [0, 1, 2]) == 0
        and verdicts.stochastic_order([0, 1], [3, 4]) == 1
    )
    assert verdicts.stochastic_order([1, 2, 3], [1, 2, 3], level=0.5) == 0.5
    both = [verdicts.stochastic_order(a, b, level=0.5) for a, b in ((one, other), (other, one))]
    assert sum(both) == pytest.approx(1)


def test_expected_best_by_brute_force():
    values = [0.5, 0.9, 0.2, 0.7]
    for n in range(1, 5):
        apart = np.mean([max(some) for some in combinations(values, n)])
        again = np.mean([max(some) for some in product(values, repeat=n)])
        assert verdicts.expected_best(values)[n - 1] == pytest.approx(apart)
        assert verdicts.expected_best(values, biased=True)[n - 1] == pytest.approx(again)


def test_detectable_differences_are_detected_four_times_in_five():
    for runs in (3, 5):  # the power of a t-test of so many pairs
        apart = np.random.default_rng(0).normal(
            verdicts.detectable(1.0, 0.0, runs), 1, size=(40_000, runs)
        )
        assert (oracle.ttest_1samp(apart, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(
            0.8, abs=0.008
        )
    assert verdicts.detectable_share(1000, 0.1) == pytest.approx(
        (1.959964 + 0.841621) * 0.01, abs=1e-6
    )
    assert verdicts.detectable_share(4000, 0.1) == pytest.approx(
        verdicts.detectable_share(1000, 0.1) / 2
    )


def test_the_documents_of_a_run_are_counted_once():
    rng = np.random.default_rng(3)
    ours, own, shared = (
        rng.normal(0, 0.02, size=4),
        rng.normal(0, 0.01, (50_000, 4)),
        rng.normal(0, 0.03, (50_000, 1)),
    )
    between, alone, alike = stats.parts(ours, ours + own + shared)
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
    assert stats.chance(apart, np.broadcast_to(apart, (100, 4))) == pytest.approx(
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
    documents, seeds, both = verdicts.needed(values, resampled, 1000)
    between, own, drawn = stats.parts(values, resampled)

    def least(number, count=3):
        return verdicts.detectable(between + own * 1000 / number, drawn * 1000 / number, count)

    assert least(documents) <= 0.008 < least(documents - 1) and 1000 < documents < 1_000_000
    assert seeds is None  # the documents alone hide it
    assert least(1000 * both, 3 * both) <= 0.008 < least(1000 * (both - 1), 3 * (both - 1))
    assert verdicts.needed(values * 0 + 0.05, resampled, 1000) == (1000, 3, 1)
    assert verdicts.needed(np.array([0.02]), 0.02 + resampled[:, :1] - 0.004, 1000)[1] is None
    assert verdicts.needed(np.zeros(3), resampled, 1000) == (None, None, None)
