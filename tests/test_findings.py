"""Sentences say what their tables say, in the unit of their metric."""

import pytest

from lib.analysis import comparisons, findings, tables
from tests.synthetic import classifiers, regressors


def with_baseline(p, name: str):
    """The same predictions, one head's first run being a baseline."""
    group = next(key for key, run in p.runs.items() if run["config"]["head"] == name)
    runs = {
        key: run for key, run in p.runs.items() if run["config"]["head"] != name or key == group
    }
    config = runs[group]["config"] | {"reference": "tfidf"}
    return p.only(runs | {group: runs[group] | {"config": config}})


def test_a_difference_is_given_from_either_side():
    table = comparisons.differences(classifiers(), by="head")
    one = findings.difference_of(table, "far", "near", "accuracy")
    other = findings.difference_of(table, "near", "far", "accuracy")
    assert one["value"] == -other["value"] > 0
    assert (one["low"], one["high"]) == (-other["high"], -other["low"])
    with pytest.raises(LookupError, match="far and nobody are not compared"):
        findings.difference_of(table, "far", "nobody", "accuracy")


def test_what_a_model_adds_to_the_baseline():
    p = with_baseline(classifiers(), "near")
    text = findings.beyond_baseline(p, by="head")
    assert text.startswith("With the head that dev chooses (far), test accuracy is ")
    assert " points higher than TF-IDF, whole text (95 % interval +" in text
    assert text.endswith("; significant).")
    alone = p.keep(lambda run: run["config"]["head"] == "far" or run["config"].get("reference"))
    text = findings.beyond_baseline(alone, by="head")
    assert text.startswith("Test accuracy of tiny is ")
    assert " points higher than that of TF-IDF, whole text (95 % interval +" in text


def test_of_errors_the_lowest_is_the_best():
    assert findings.best_group(regressors(), by="head", metric="rmse") == "exact"


def test_what_it_takes_to_tell_a_single_group_apart_is_nothing():
    alone = classifiers().keep(lambda run: run["config"]["head"] == "far")
    assert findings.outlook(alone, by="head") == "There are no two groups to compare."


def test_the_facts_of_a_page_are_what_dev_chooses_scored_on_test():
    p = with_baseline(classifiers(), "near")
    facts = findings.best_beside_reference(p, by="head")
    table = tables.by_group(p, by="head", metrics=["accuracy"]).set_index("head")
    assert facts["best"]["name"] == "far" and facts["metric"] == "accuracy"
    assert facts["reference"]["name"] == "TF-IDF, whole text"
    for role, row in (("best", "far"), ("reference", "TF-IDF, whole text")):
        for fact, column in (("score", "accuracy"), ("low", "accuracy_low")):
            assert facts[role][fact] == pytest.approx(table.loc[row, column], abs=1e-6)
    assert "reference" not in findings.best_beside_reference(classifiers(), by="head")
    few = classifiers().keep(lambda run: run["config"]["seed"] == 1)
    assert findings.best_beside_reference(few, by="head")["best"]["low"] is None
