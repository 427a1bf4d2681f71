"""Intervals, tests and power against scipy, statsmodels and by hand."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats as oracle
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_ind

from lib.analysis import stats
from lib.analysis.stats import Sample


def on_endless_documents(scores) -> Sample:
    """Runs whose scores no document varies."""
    scores = np.asarray(scores, float)
    return Sample(scores, np.tile(scores[:, None], 50))


def balanced(seed: int = 0, runs: int = 4, rows: int = 24) -> list[Sample]:
    """Two methods of several runs on the same documents, every kind of variance in them."""
    rng = np.random.default_rng(seed)
    document = rng.normal(size=rows)
    samples = []
    for mean in (0.0, 0.6):
        values = mean + document + 0.7 * rng.normal(size=rows)  # method × document
        values = values + 0.5 * rng.normal(size=(runs, 1)) + 0.6 * rng.normal(size=(runs, rows))
        samples.append(Sample(values.mean(1), values, is_share=False))
    return samples


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_standard_error_is_that_of_a_mixed_model(seed):
    """Restricted maximum likelihood with runs nested in methods and crossed with documents."""
    samples = balanced(seed)
    rows = [
        {"y": y, "method": m, "run": f"{m}{run}", "document": d, "cell": f"{m}-{d}"}
        for m, sample in enumerate(samples)
        for run, values in enumerate(sample.values)
        for d, y in enumerate(values)
    ]
    parts = {name: f"0 + C({name})" for name in ("run", "document", "cell")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells how it converges
        frame = pd.DataFrame(rows).assign(whole=1)
        fit = MixedLM.from_formula("y ~ method", frame, groups="whole", vc_formula=parts).fit()
    ours = stats.difference_of_means(samples[1], samples[0])
    assert ours.value == pytest.approx(fit.params["method"], abs=1e-6)
    assert ours.error == pytest.approx(fit.bse["method"], rel=2e-3)


@pytest.mark.parametrize("sizes", [(3, 3), (3, 5), (8, 4)])
def test_on_endless_documents_it_is_welchs_test(sizes):
    rng = np.random.default_rng(sum(sizes))
    one, other = (rng.normal(0.8, spread, n) for n, spread in zip(sizes, (0.01, 0.03), strict=True))
    ours = stats.difference_of_means(on_endless_documents(one), on_endless_documents(other))
    welch = oracle.ttest_ind(one, other, equal_var=False)
    assert ours.p_value() == pytest.approx(welch.pvalue)
    assert ours.freedom == pytest.approx(welch.df)
    assert ours.interval() == pytest.approx(tuple(welch.confidence_interval()))
    alone = stats.mean_of(on_endless_documents(one))
    assert alone.interval() == pytest.approx(
        tuple(oracle.ttest_1samp(one, 0).confidence_interval())
    )


@pytest.mark.parametrize(("right", "rows"), [(450, 500), (1400, 2000), (9500, 10_000)])
def test_without_chance_in_training_it_is_the_exact_binomial(right, rows):
    values = (np.arange(rows) < right).astype(float)[None]
    low, high = stats.mean_of(Sample(values.mean(1), values, has_seeds=False)).interval()
    exact = oracle.binomtest(right, rows).proportion_ci()
    assert (low, high) == pytest.approx((exact.low, exact.high), abs=3 / rows)


def test_two_models_without_chance_differ_as_mcnemars_exact_test_says():
    rng = np.random.default_rng(0)
    one = rng.random(4000) < 0.9
    other = np.where(rng.random(4000) < 0.04, ~one, one)
    samples = [Sample(v[None].mean(1), v[None].astype(float), False) for v in (one, other)]
    ours = stats.difference_of_means(*samples).p_value()
    assert ours == pytest.approx(stats.mcnemar(one, other), rel=0.2)


def test_seeds_that_do_not_vary_leave_the_documents_alone():
    """Copies of one run have no variance of their own: the documents' stays, whatever their
    number."""
    rng = np.random.default_rng(1)
    values = (rng.random((2, 1, 800)) < [[[0.9]], [[0.8]]]).astype(float)
    copies = [Sample(np.repeat(v.mean(1), 4), np.repeat(v, 4, axis=0)) for v in values]
    paired = values[0, 0] - values[1, 0]
    ours = stats.difference_of_means(*copies)
    assert ours.error == pytest.approx(np.std(paired, ddof=1) / np.sqrt(800))
    assert ours.freedom == pytest.approx(799)
    theirs = oracle.ttest_1samp(paired, 0)  # of the documents
    assert ours.p_value() == pytest.approx(theirs.pvalue)


def test_the_variance_by_hand():
    one, other = balanced(5, runs=3)
    rows = one.values.shape[1]
    covariance = np.cov(np.concatenate([one.values, other.values]))
    between_runs = ~np.eye(3, dtype=bool)
    of_one = covariance[:3, :3][between_runs].mean()
    of_other = covariance[3:, 3:][between_runs].mean()
    shared = of_one + of_other - 2 * covariance[:3, 3:].mean()
    spread = [np.var(sample.scores, ddof=1) / 3 for sample in (one, other)]
    ours = stats.difference_of_means(one, other)
    variance = sum(spread) + max(0, shared) / rows
    assert ours.error**2 == pytest.approx(variance)
    satterthwaite = sum(spread) ** 2 / sum(part**2 / 2 for part in spread)
    lost = sum(spread) / satterthwaite + max(0, shared) / rows / (rows - 1)
    assert ours.freedom == pytest.approx(variance / lost)


@pytest.mark.parametrize("runs", [1, 2])
def test_fewer_than_three_seeds_have_no_interval_but_their_values(runs):
    rng = np.random.default_rng(0)
    values = (rng.random((3, 100)) < 0.8).astype(float)
    few = Sample(values[:runs].mean(1), values[:runs])
    enough = Sample(values.mean(1), values)
    row = stats.mean_and_interval("accuracy", few)
    assert np.isnan(row["accuracy_low"]) and np.isnan(row["accuracy_high"])
    assert [float(v) for v in row["accuracy_values"].split()] == pytest.approx(few.scores)
    for estimate in (
        stats.difference_of_means(few, enough),
        stats.difference_of_means(enough, few),
    ):
        assert np.isnan(estimate.error) and np.isnan(estimate.detectable())
        assert estimate.p_unequal() == 1
    assert "accuracy_values" not in stats.mean_and_interval("accuracy", enough)
    one_document = Sample(enough.scores, values[:, :1])
    assert np.isnan(stats.mean_of(one_document).error)


def test_an_interval_ends_where_scores_end():
    values = (np.arange(200) < 199).astype(float)[None]
    row = stats.mean_and_interval("f1", Sample(values.mean(1), values, False), (0.0, 1.0))
    assert row["f1_high"] == 1.0 and row["f1_low"] < row["f1"] == 0.995


@pytest.mark.parametrize("family", [1, 3, 10])
def test_an_interval_leaves_out_zero_just_where_p_is_below_five_percent(family):
    rng = np.random.default_rng(family)
    level = stats.family_level(family)
    outcomes = set()
    for _ in range(40):
        estimates = [
            stats.Estimate(rng.normal(), 0.1 + rng.random(), 2 + 8 * rng.random())
            for _ in range(family)
        ]
        p_values = stats.adjusted([estimate.p_value() for estimate in estimates])
        for estimate, p_value in zip(estimates, p_values, strict=True):
            low, high = estimate.interval(level)
            assert (low > 0 or high < 0) == (p_value < 0.05)
            outcomes.add(p_value < 0.05)
    assert outcomes == {True, False}


def test_adjusted_p_values_by_hand():
    assert stats.adjusted([0.01, 0.5, 1.0]) == pytest.approx([1 - 0.99**3, 1 - 0.5**3, 1.0])
    assert stats.adjusted([]) == []
    assert stats.family_level(0) == stats.family_level(1) == 0.95


@pytest.mark.parametrize("gap", [0.0, 0.004, -0.02])
def test_equality_is_two_one_sided_tests(gap):
    rng = np.random.default_rng(3)
    one = rng.normal(0.9 + gap, 0.004, 5)
    other = rng.normal(0.9, 0.002, 5)
    ours = stats.difference_of_means(on_endless_documents(one), on_endless_documents(other))
    theirs, *_ = ttost_ind(one, other, -0.01, 0.01, usevar="unequal")
    assert ours.p_unequal() == pytest.approx(theirs)


@pytest.mark.parametrize("runs", [3, 5])
def test_detectable_differences_have_the_power_of_a_t_test(runs):
    error = 1 / np.sqrt(runs)
    ours = stats.Estimate(0.0, error, runs - 1).detectable()
    assert ours == pytest.approx(TTestPower().solve_power(nobs=runs, power=0.8, alpha=0.05))
    normal = oracle.norm.ppf(0.975) + oracle.norm.ppf(0.8)
    assert stats.Estimate(0.0, 0.01, np.inf).detectable() == pytest.approx(normal * 0.01)


def test_runs_that_are_all_right_may_still_be_wrong_elsewhere():
    everything_right = Sample(np.ones(3), np.ones((3, 50)))
    low, _ = stats.mean_of(everything_right).interval()
    assert 1 - low == pytest.approx(3 / 50, rel=0.15)  # the rule of three
    level = stats.difference_of_means(everything_right, everything_right)
    assert level.value == 0 and level.p_value() == 1
    assert level.p_unequal() > 0.05  # fifty documents do not show equality within a point


def test_rounding_is_no_difference():
    third = np.full((3, 30), 1 / 3)
    one = Sample(third.mean(1) + 1e-17, third + 1e-16, is_share=False)
    other = Sample(third.mean(1), third, is_share=False)
    ours = stats.difference_of_means(one, other)
    assert (ours.value, ours.error, ours.p_value()) == (0, 0, 1)


def test_pairs_of_runs_and_ratios():
    rng = np.random.default_rng(4)
    values = (rng.random((2, 5, 300)) < 0.8).astype(float)
    one, other = (Sample(v.mean(1), v) for v in values)
    change = stats.paired_difference(one, other)
    assert change.scores == pytest.approx(one.scores - other.scores)
    assert change.values.mean(1) == pytest.approx(change.scores)
    ratio = stats.ratio_of(one, other.only([0, 0, 1, 1, 2]))
    assert ratio.scores[1] == pytest.approx(one.scores[1] / other.scores[0])
    leave_out = [np.delete(v[1 if i == 0 else 0], 7).mean() for i, v in enumerate(values)]
    brute = 300 * ratio.scores[1] - 299 * leave_out[0] / leave_out[1]
    assert ratio.values[1, 7] == pytest.approx(brute, abs=0.01)


def test_mcnemar_by_hand():
    one = np.ones(20, dtype=bool)
    other = np.ones(20, dtype=bool)
    other[:9] = False  # nine that only the first gets right, one that only the second does
    one[9] = False
    assert stats.mcnemar(one, other) == pytest.approx(oracle.binomtest(9, 10).pvalue)
    assert stats.mcnemar(one, one) == 1


@pytest.mark.parametrize("spread", [0.0, 0.01])
def test_the_interval_of_a_mean_covers(spread):
    """The truth is an accuracy of 0.9; runs differ by their seed, and share their documents."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        ability = 0.9 + spread * rng.normal(size=3)
        hard = rng.random(500) + 0.05 * rng.normal(size=500)
        right = (hard + 0.02 * rng.normal(size=(3, 500)) < ability[:, None]).astype(float)
        low, high = stats.mean_of(Sample(right.mean(1), right)).interval()
        covered.append(low <= 0.9 <= high)
    assert 0.92 <= np.mean(covered) <= 0.985
