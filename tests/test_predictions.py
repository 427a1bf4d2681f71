"""Runs by group, and the predictions of runs of the store, gathered once."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from lib.analysis import predictions
from lib.analysis.predictions import Predictions, collect, group_of
from lib.errors import InputError
from lib.many.pool import run_all
from lib.runs.config import RunConfig
from lib.runs.keys import tokens_of
from tests.synthetic import classifiers, taggers


def test_a_file_gives_back_what_was_written(tmp_path):
    for p in (classifiers(), taggers()):
        p.write(tmp_path / "p.parquet")
        again = Predictions.read(tmp_path / "p.parquet")
        assert again.frame.equals(p.frame) and again.runs == p.runs
        assert (again.label_names, again.train_rows) == (p.label_names, p.train_rows)
        assert np.array_equal(again.weights, p.weights) or p.weights is None


def test_groups_have_the_runs_of_a_field_by_seed():
    p = classifiers()
    groups = p.groups("head")
    assert [group.name for group in groups] == ["far", "near", "level"]
    far = group_of(p, "head", "far", "dev")
    assert far.seeds == [1, 2, 3] and far.predicted.shape == (3, 600)
    rows = p.frame[(p.frame["run"] == far.runs[1]) & (p.frame["split"] == "dev")]
    assert far.logits[1, :, 1].tolist() == rows["logit_1"].tolist()
    with pytest.raises(InputError, match="No runs have head 'fra'. Did you mean far?"):
        group_of(p, "head", "fra")
    with pytest.raises(InputError, match="Runs have no field 'hed'. Did you mean head?"):
        p.groups("hed")


def test_two_runs_of_a_seed_are_told_and_a_run_without_predictions_is_left_out():
    p = classifiers()
    key = next(iter(p.runs))
    config = p.runs[key]["config"] | {"seed": 2}
    with pytest.raises(InputError, match="head far: several runs with seed 2; narrow them"):
        dataclasses.replace(p, runs=p.runs | {key: p.runs[key] | {"config": config}}).groups("head")
    gone = dataclasses.replace(p, frame=p.frame[p.frame["run"] != key])
    assert group_of(gone, "head", "far").seeds == [2, 3]


def test_runs_of_the_store_are_collected_once(folder, monkeypatch):
    base = RunConfig(dataset=str(folder), dev_rows=12)
    runs = run_all([base.baseline(name) for name in ("tfidf", "majority")])
    p = collect(runs)
    assert collect(p) is p and collect(list(runs)) is p
    assert collect(runs[:1]) is not p and list(collect(runs[:1]).runs) == [runs[0].key[:16]]
    assert list(p.frame["run"].cat.categories) == [run.key[:16] for run in runs]
    assert list(p.frame)[:2] == ["run", "split"] and (p.frame["tokens"] == 0).all()


def test_collected_documents_have_their_lengths(folder, tiny):
    config = RunConfig(
        dataset=str(folder), backbone=tiny["bert"], max_length=8, dev_rows=12, epochs=1
    )
    p = collect(run_all([config], "none"))
    frame = p.frame[p.frame["split"] == "test"]
    assert frame["tokens"].tolist() == list(tokens_of(config).lengths["test"])
    assert p.train_rows == 48 and p.train_counts is None
    assert pd.unique(p.frame["tokens"]).max() > 8  # before truncation


def test_collect_is_one_place(monkeypatch):
    """Nothing of the runs is read again while their predictions are remembered."""
    calls = []
    monkeypatch.setattr(predictions, "_collect", lambda folders: calls.append(folders))
    collect([])
    assert calls == [()]


def test_runs_on_a_file_that_was_changed_since_are_named(base, folder):
    runs = run_all([base.with_(epochs=1)], "none")
    path = folder / "train.csv"
    path.write_text(path.read_text().replace("kana", "kabe"))
    with pytest.raises(InputError, match=r"^data is not what the run \w{16} was trained on"):
        collect(runs)
