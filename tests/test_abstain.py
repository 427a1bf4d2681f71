"""When to leave a text to a person."""

import dataclasses

import numpy as np
import pytest

import plots
from lib.analysis import abstain
from lib.analysis.predictions import group_of
from lib.errors import InputError
from tests.synthetic import classifiers, taggers
from tests.test_tables import say_what_their_columns_hold

MODEL = {"by": "head", "group": "near"}


def unsure(p):
    """Predictions whose confidence differs from document to document, and that are righter the
    surer they are."""
    rng = np.random.default_rng(0)
    frame = p.frame.copy()
    strength = rng.exponential(2, len(frame))
    is_right = rng.random(len(frame)) < 1 / (1 + np.exp(-2 * strength))
    sign = np.where(is_right == (frame["label"] == 1), 1, -1)
    frame["logit_1"] = sign * strength
    frame["logit_0"] = -frame["logit_1"]
    return dataclasses.replace(p, frame=frame)


def test_the_lowest_confidence_by_hand():
    sure = np.array([0.9, 0.8, 0.8, 0.7, 0.6])
    right = np.array([True, True, False, True, True])
    assert abstain.lowest_confidence(sure, right, 1.0) == 0.9
    assert abstain.lowest_confidence(sure, right, 0.75) == 0.6
    assert abstain.lowest_confidence(sure, right, 0.67) == 0.6
    right[0] = right[1] = False  # of two equal ones no single one is kept
    assert abstain.lowest_confidence(sure, right, 0.5) == np.inf


def test_what_dev_chooses_is_checked_on_test():
    p = unsure(classifiers())
    table = abstain.kept_right(p, **MODEL)
    say_what_their_columns_hold(table)
    dev, test = group_of(p, "head", "near", "dev"), group_of(p, "head", "near")
    on_dev = abstain.sure_and_right(dev)
    sure, right = abstain.sure_and_right(test)
    limits = [abstain.lowest_confidence(*of_run, 0.95) for of_run in zip(*on_dev, strict=True)]
    row = table.set_index("right on dev").loc[0.95]
    kept = [right[run][sure[run] >= limit].mean() for run, limit in enumerate(limits)]
    assert row["right"] == pytest.approx(np.mean(kept)) == pytest.approx(0.95, abs=0.02)
    assert row["confidence"] == pytest.approx(np.mean(limits))
    assert row["right_low"] < 0.95 < row["right_high"]
    assert table["answered"].is_monotonic_decreasing
    text = abstain.when_to_abstain(p, **MODEL)
    assert text.startswith("Asked to be 95 % right on dev, the model answers ")


def test_the_surest_are_righter_and_all_are_its_accuracy():
    p = unsure(classifiers())
    curve = abstain.risk_coverage(p, **MODEL)
    say_what_their_columns_hold(curve)
    right = abstain.sure_and_right(group_of(p, "head", "near"))[1]
    assert curve["right"].iloc[-1] == pytest.approx(right.mean())
    assert curve["right"].iloc[0] > 0.97 > curve["right"].iloc[-1]
    figure = plots.risk_coverage(curve, abstain.kept_right(p, **MODEL))
    assert figure.axes[0].lines[0].get_ydata() == pytest.approx(curve["right"])
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "asked for on dev" in named


@pytest.mark.parametrize("seeds", [1, 2])
def test_of_few_seeds_the_shares_stand_without_intervals(seeds):
    p = unsure(classifiers()).keep(lambda run: run["config"]["seed"] <= seeds)
    table = abstain.kept_right(p, **MODEL)
    say_what_their_columns_hold(table)
    assert len(table["right_values"].dropna().iloc[0].split()) == seeds
    assert "interval" not in abstain.when_to_abstain(p, **MODEL)
    figure = plots.risk_coverage(abstain.risk_coverage(p, **MODEL), table)
    assert not np.isnan(figure.axes[0].lines[0].get_ydata()).any()


def test_what_cannot_be_kept_is_said():
    p = unsure(classifiers())
    wrong = dataclasses.replace(p, frame=p.frame.assign(label=1 - p.frame["label"]))
    table = abstain.kept_right(wrong, **MODEL, targets=(0.99,))
    assert table["answered"].item() == 0 and np.isnan(table["right"].item())
    told = "No confidence keeps 99 % right on dev, so no text could be answered."
    assert abstain.when_to_abstain(wrong, **MODEL, target=0.99) == told
    with pytest.raises(InputError, match="texts with one class each"):
        abstain.kept_right(taggers(), by="head", group="tags")
