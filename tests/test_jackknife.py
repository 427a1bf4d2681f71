"""What each document adds to a score, against leaving out every document in turn."""

import numpy as np
import pytest

from lib import confusions, metrics
from lib.analysis import jackknife
from lib.metrics import METRICS


def left_out_one_by_one(score_of, rows: int) -> np.ndarray:
    """Jackknife values of `score_of(rows kept)`, the slow way."""
    every = np.arange(rows)
    others = np.array([score_of(every[every != row]) for row in every])
    return rows * score_of(every) - (rows - 1) * others


@pytest.fixture
def classified():
    """Labels (60,) and predictions (2, 60) of four classes, one of them rare."""
    rng = np.random.default_rng(0)
    labels = rng.choice(4, size=60, p=[0.4, 0.3, 0.27, 0.03])
    predicted = np.where(rng.random((2, 60)) < 0.7, labels, rng.integers(4, size=(2, 60)))
    return labels, predicted


@pytest.mark.parametrize("name", [n for n, row in METRICS.items() if "confusion" in row.functions])
def test_every_metric_of_a_confusion(name, classified):
    labels, predicted = classified
    if METRICS[name].classes == 2:
        labels, predicted = labels % 2, predicted % 2
    function = METRICS[name].functions["confusion"]
    values = jackknife.confusion_values(function, labels, predicted, 4)
    for run in range(2):

        def score_of(rows, run=run):
            return function(confusions.confusion(labels[rows], predicted[run, rows], 4))

        assert values[run] == pytest.approx(left_out_one_by_one(score_of, 60))


def test_of_accuracy_they_are_the_documents_that_are_right(classified):
    labels, predicted = classified
    values = jackknife.confusion_values(confusions.accuracy, labels, predicted, 4)
    assert values == pytest.approx((labels == predicted).astype(float))


def test_scores_by_class_and_many_classes_at_once(classified, monkeypatch):
    labels, predicted = classified

    def f1(counts):
        return confusions.class_scores(counts)["f1"]

    at_once = jackknife.confusion_values(f1, labels, predicted, 4)
    assert at_once.shape == (2, 60, 4)
    monkeypatch.setattr(jackknife, "CHUNK", 20)
    assert jackknife.confusion_values(f1, labels, predicted, 4) == pytest.approx(at_once)


def test_ratios_of_sums():
    rng = np.random.default_rng(1)
    tops = rng.integers(4, size=(2, 30)).astype(float)
    bottoms = tops + rng.integers(3, size=(2, 30))
    values = jackknife.ratio_values(tops, bottoms)
    for run in range(2):
        brute = left_out_one_by_one(
            lambda rows, run=run: tops[run, rows].sum() / bottoms[run, rows].sum(), 30
        )
        assert values[run] == pytest.approx(brute)


@pytest.mark.parametrize("name", ["micro_f1", "macro_f1"])
def test_decisions(name):
    rng = np.random.default_rng(2)
    ranked = np.stack([rng.permutation(6)[:4] for _ in range(40)])
    given = rng.random((40, 4)) < 0.5
    gold = np.where(rng.random((40, 3)) < 0.7, rng.integers(7, size=(40, 3)), -1)
    values = jackknife.decision_values(METRICS[name].functions["decisions"], ranked, given, gold, 6)
    brute = left_out_one_by_one(
        lambda rows: metrics.decision_scores(ranked[rows], given[rows], gold[rows], 6)[name], 40
    )
    assert values == pytest.approx(brute)


@pytest.mark.parametrize("name", [n for n, row in METRICS.items() if "numbers" in row.functions])
@pytest.mark.parametrize("ties", [False, True])
def test_numbers_linearised(name, ties):
    rng = np.random.default_rng(3)
    labels = rng.normal(size=400)
    values = labels + 0.5 * rng.normal(size=400) * (1 + labels**2) ** 0.5
    if ties:
        labels, values = labels.round(), values.round()
    ours = jackknife.number_values(name, values, labels)
    function = METRICS[name].functions["numbers"]
    brute = left_out_one_by_one(lambda rows: function(values[rows], labels[rows]), 400)
    assert np.var(ours) == pytest.approx(np.var(brute), rel=0.05)
    assert np.corrcoef(ours, brute)[0, 1] > 0.995
    assert ours.mean() == pytest.approx(function(values, labels))


def test_another_metric_of_numbers_is_left_out_one_by_one(monkeypatch):
    def worst(values, labels):
        return float(np.abs(values - labels).max())

    row = metrics.Metric("largest error", "number", functions={"numbers": worst})
    monkeypatch.setitem(METRICS, "worst", row)
    labels = np.zeros(4)
    values = np.array([1.0, 2.0, 3.0, 5.0])
    assert jackknife.number_values("worst", values, labels).tolist() == [5, 5, 5, 11]


def test_predictions_without_spread_add_nothing():
    labels = np.arange(5.0)
    for name in ("pearson", "spearman"):
        assert jackknife.number_values(name, np.ones(5), labels).tolist() == [0] * 5
    assert jackknife.number_values("rmse", labels, labels).tolist() == [0] * 5
