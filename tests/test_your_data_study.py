"""What the study of a table of one's own says of its model, and of numbers."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from lib.analysis import label_errors
from lib.analysis.predictions import group_of
from lib.analysis.tables import by_group
from lib.runs.config import RunConfig
from lib.runs.paths import ROOT
from lib.runs.published import runs_of_page
from notebooks import your_data as study
from tests.synthetic import classifiers, regressors, taggers
from tests.test_findings import with_baseline


def test_the_answer_is_beside_the_best_reference():
    p = with_baseline(classifiers(), "near").keep(lambda run: run["config"]["head"] == "far")
    model, reference = by_group(p, by="head", metrics=["accuracy"])["accuracy"]
    assert study.result(p, by="head") == (
        f"Yes: fine-tuning reaches accuracy {100 * model:.1f} % on 600 test texts, significantly "
        f"better than TF-IDF ({100 * reference:.1f} %)."
    )
    assert len(study.result(p, by="head").split()) <= 20


def test_the_answer_of_a_worse_model_and_of_too_few_seeds():
    p = with_baseline(classifiers(), "far").keep(lambda run: run["config"]["head"] == "near")
    assert study.result(p, by="head").startswith("No: fine-tuning reaches accuracy ")
    assert "significantly worse than TF-IDF (" in study.result(p, by="head")
    two = [*p.trained][:2]
    p = p.only({key: run for key, run in p.runs.items() if key in [*two, *p.references]})
    assert study.result(p, by="head").startswith("Not tested, fewer than 3 seeds: fine-tuning")


def test_a_model_that_gives_every_document_the_same_class_is_named():
    where = {"by": "head", "group": "far"}
    assert study.caution(classifiers(), **where) == ""
    assert "**3 of 3 seeds learned nothing**" in study.caution(alike(classifiers()), **where)


def test_predicted_numbers_are_means_over_seeds_and_drawn():
    p = regressors()
    table = study.predicted_numbers(p, by="head", group="rough")
    group = group_of(p, "head", "rough")
    assert table["given"].to_numpy() == pytest.approx(group.labels)
    assert table["predicted"].to_numpy() == pytest.approx(np.mean(group.logits[:, :, 0], axis=0))
    dots = study.number_scatter(table).axes[0].lines[1]
    assert dots.get_xdata() == pytest.approx(table["given"].to_numpy())


def test_the_metric_that_chooses_is_shown_first_and_once():
    assert study.metrics_of("multilabel", "macro_f1") == ["macro_f1", "micro_f1", "P@1"]


def test_classes_that_test_lacks_are_named_with_what_it_means():
    p = classifiers()
    assert study.caution(p, by="head", group="far") == ""
    four = p.frame.assign(logit_2=-9.0, logit_3=-9.0)
    p = dataclasses.replace(p, frame=four, label_names=("no", "yes", "a|b", "(not in train)"))
    assert study.caution(p, by="head", group="far").endswith(
        "Test has no document of 1 of 4 classes (a\\|b): macro F1 is the mean over those that "
        "test has, or that are predicted."
    )


def alike(p):
    """The same predictions, those of every document being the same."""
    logits = {name: 0.0 for name in p.frame if name.startswith("logit_")} | {"logit_0": 5.0}
    if p.task == "regression":
        logits["logit_0"] = 0.3
    return dataclasses.replace(p, frame=p.frame.assign(**logits))


@pytest.mark.parametrize(
    ("p", "group"), [(classifiers(), "far"), (taggers(), "tags"), (regressors(), "exact")]
)
def test_a_model_that_learned_nothing_names_no_labels(p, group):
    where = {"by": "head", "group": group}
    assert "note" not in label_errors.label_errors(p, **where).attrs
    table = label_errors.label_errors(alike(p), **where)
    assert len(table) == 0 and table.attrs["note"] == label_errors.NOT_SAID
    assert label_errors.suspects(alike(p), **where) == label_errors.NOT_SAID
    assert "learned nothing**" in study.caution(alike(p), **where)


def test_runs_that_learned_nothing_are_not_asked_which_labels_are_wrong():
    p = classifiers()
    first = next(key for key, run in p.runs.items() if run["config"]["head"] == "far")
    of_first = p.frame["run"] == first
    frame = p.frame.copy()
    frame.loc[of_first, ["logit_0", "logit_1"]] = [9.0, -9.0]
    table = label_errors.label_errors(dataclasses.replace(p, frame=frame), by="head", group="far")
    others = label_errors.label_errors(
        p.only({k: r for k, r in p.runs.items() if k != first}), by="head", group="far"
    )
    assert len(table) and table.equals(others)


def test_what_a_page_is_of_is_known_where_its_data_is_not():
    with runs_of_page(ROOT / "results" / "your_data" / "demo"):
        kind = study.kind_of(RunConfig(dataset="/no/such/table.csv"))
    assert kind == study.Kind("classification", num_labels=4, metric="macro_f1")


def test_a_reliability_diagram_begins_where_the_data_do():
    table = pd.DataFrame({"probabilities": "as trained", "decisions": [900, 12_000]})
    table = table.assign(confidence=[0.55, 0.95], right=[0.52, 0.97])
    above, below = study.reliability_diagram(table).axes
    assert above.get_ylim() == above.get_xlim() == (0.5, 1.01)
    assert below.yaxis.get_major_formatter()(10_000, 0) == "10,000"


def test_a_bin_of_few_decisions_is_hollow():
    table = pd.DataFrame({"probabilities": "as trained", "decisions": [3, 900]})
    table = table.assign(confidence=[0.55, 0.95], right=[0.33, 0.97])
    hollow = study.reliability_diagram(table).axes[0].lines[-1]
    assert hollow.get_xdata() == [0.55] and hollow.get_markerfacecolor() == "white"
