"""What the study of a table of one's own says of its model, and of numbers."""

import dataclasses

import numpy as np
import pytest

from lib.analysis.predictions import group_of
from notebooks import your_data as study
from tests.synthetic import classifiers, regressors
from tests.test_findings import with_baseline


def test_what_a_model_scores_beside_the_references():
    p = with_baseline(classifiers(), "near")
    result = study.result(p.keep(lambda run: run["config"]["head"] == "far"), by="head")
    assert "TF-IDF + linear SVM" in result and result.endswith("(a significant difference).")
    assert "learned nothing" not in result


def test_a_model_that_gives_every_document_the_same_class_is_named():
    p = classifiers()
    alike = dataclasses.replace(p, frame=p.frame.assign(logit_0=1.0, logit_1=0.0))
    assert "**3 of 3 seeds learned nothing**" in study.result(alike, by="head")


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
