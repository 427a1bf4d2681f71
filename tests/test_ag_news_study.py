"""What the study of schedules says of its classes, its averages and its losses."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from lib.analysis.predictions import group_of
from notebooks import ag_news as study
from notebooks import ag_news_figures as figures
from tests.synthetic import classifiers
from tests.test_tables import say_what_their_columns_hold


def test_an_imbalance_is_that_of_repeated_documents():
    p = classifiers()
    group = group_of(p, "head", "near")
    table = study.imbalance(p, by="head", group="near", ratio=3).set_index("majority class")
    by_hand = []
    for row in group.predicted:
        share = np.bincount(group.labels)[group.labels]  # classes alike, then one three times
        weights = np.where(group.labels == 1, 3.0, 1.0) / share
        by_hand.append(sk.f1_score(group.labels, row, average="macro", sample_weight=weights))
    assert table.loc["yes", "macro_f1"] == pytest.approx(np.mean(by_hand))


def test_a_class_has_scikit_learns_score():
    p = classifiers()
    group = group_of(p, "head", "near")
    table = study.by_class(p, by="head").set_index(["head", "class"])
    by_hand = [sk.f1_score(group.labels, row, average=None) for row in group.predicted]
    names = [("near", name) for name in p.label_names]
    assert table.loc[names, "f1"].to_numpy() == pytest.approx(np.mean(by_hand, axis=0))


def test_a_loss_that_rises_again_is_told_with_its_epoch():
    p = classifiers()
    dev = p.frame[p.frame["split"] == "dev"]
    worse = dev.assign(epoch=2, logit_0=3 * dev["logit_1"], logit_1=3 * dev["logit_0"])
    runs = {key: run | {"last_epoch": 2} for key, run in p.runs.items()}
    p = dataclasses.replace(p, frame=pd.concat([p.frame, worse], ignore_index=True), runs=runs)
    table = study.overshoot(p, by="head").set_index("head")
    assert table.loc["far", "lowest at epoch"] == 1
    assert table.loc["far", "seeds whose loss rose"] == "3 of 3"
    assert table.loc["far", "last dev loss"] > table.loc["far", "lowest dev loss"]
    assert "with far it is lowest after epoch 1 and" in study.overshooting(p, by="head")


def test_its_tables_say_what_their_columns_hold_and_are_drawn():
    p = classifiers()
    skewed = study.imbalance(p, by="head", group="near")
    for table in (study.by_class(p, by="head"), study.overshoot(p, by="head"), skewed):
        say_what_their_columns_hold(table)
    assert len(figures.averages(skewed).axes[0].get_xticks()) == 3
    text = study.averaging(p, by="head")
    assert text.startswith("On balanced classes micro F1 is ") and "10 times as frequent" in text
