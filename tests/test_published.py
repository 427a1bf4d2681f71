"""The runs of a published page in the place of the store's: what they are, and that none is
trained."""

import dataclasses
import os
from types import SimpleNamespace

import pandas as pd
import pytest

from lib.analysis import tables
from lib.analysis.predictions import Predictions, collect
from lib.errors import InputError
from lib.many import single
from lib.many.pool import run, run_all
from lib.many.search import Sweep, dropped, sweep
from lib.publish.page import compute
from lib.runs.config import RunConfig
from lib.runs.published import page_runs, published_page, runs_of_page
from lib.runs.store import store


@pytest.fixture(autouse=True)
def no_training(monkeypatch):
    def fail(*_):
        pytest.fail("a run was prepared")

    monkeypatch.setattr(single, "prepare", fail)
    monkeypatch.setattr("lib.many.pool.prepare", fail)


def test_the_runs_of_a_page_are_given_in_the_order_they_are_asked_for(page):
    runs = page_runs(page)
    configs = [published.config for published in runs.values()]
    with runs_of_page(page):
        assert [r.name for r in run_all(configs[::-1], "none")] == list(runs)[::-1]
        assert run(configs[1], tracker="none") is runs[list(runs)[1]]
        assert run(configs[1].with_(lora_rank=16), tracker="none") is runs[list(runs)[1]]
    assert [path.name for path in store().iterdir()] == ["locations"]  # as the fixture put it


def test_a_published_run_says_what_a_run_says(page):
    *trained, baseline = page_runs(page).values()
    first = trained[0]
    assert first.key.startswith(first.name) and len(first.key) == 64
    assert first.fields == first.config.model_dump() and first.config.head == "cls"
    assert first.status["status"] == "finished" and first.status["last_epoch"] == 3
    assert first.status["data"]["rows"] == {"train": 48, "dev": 12, "test": 21}
    assert first.status["label_names"] == ["no", "yes"]
    assert first.verdict == {} and first.environment["threads"] == 1
    history = first.history
    assert list(history["epoch"]) == [1, 2, 3] and list(history["step"]) == [6, 12, 18]
    assert {"train_loss", "dev_loss", "learning_rate", "dev_macro_f1"} <= set(history)
    assert not {"run", "head", "seed"} & set(history)
    assert baseline.config.reference == "tfidf" and not len(baseline.history)
    with pytest.raises(InputError, match=f"The run {first.name} .* has no models"):
        _ = first.model


def test_tables_are_computed_from_published_predictions(page):
    with runs_of_page(page):
        runs = run_all([published.config for published in page_runs(page).values()], "none")
        predictions = collect(runs)
        table = compute(tables.by_group, predictions, {"by": "head", "metrics": ["accuracy"]})
        few = collect(runs[2:])
        histories = runs.history
    assert predictions.frame.equals(Predictions.read(page / "predictions.parquet").frame)
    published = pd.read_csv(page / "by_head.csv")
    assert table["accuracy"].round(6).tolist() == published["accuracy"].tolist()
    assert list(few.runs) == [r.name for r in runs[2:]]
    assert set(few.frame["run"]) == set(few.runs) and len(few.frame) < len(predictions.frame)
    assert len(histories) == 12 and set(histories["head"]) == {"cls", "mean"}


def test_a_run_that_a_page_lacks(page):
    config = next(iter(page_runs(page).values())).config.with_(seed=9)
    for ask in (run, lambda one, tracker: run_all([one], tracker)):
        with runs_of_page(page), pytest.raises(InputError) as error:
            ask(config, tracker="none")
        assert str(error.value).startswith("The page has no run of {'dataset': ")
        assert "'seed': 9" in str(error.value)
        assert str(error.value).endswith("publish it anew from the store")
    (page / "predictions.parquet").unlink()
    page_runs.cache_clear()
    with runs_of_page(page), pytest.raises(InputError, match="has no predictions.parquet"):
        run(config, tracker="none")


def test_runs_are_those_of_a_page_only_meanwhile(page, tmp_path):
    assert published_page() is None
    with runs_of_page(page):
        with pytest.raises(KeyError), runs_of_page(tmp_path):
            assert published_page() == tmp_path
            raise KeyError
        assert published_page() == page
    assert published_page() is None and "PUBLISHED_PAGE" not in os.environ


@pytest.fixture
def searched(tmp_path):
    """A page of a halving search over four learning rates: two of them stopped after epoch 1."""
    base = {"dataset": "data", "backbone": "tiny", "epochs": 2, "select_by": "accuracy"}
    space = {"learning_rate": [1e-4, 1e-3, 1e-2, 1e-1]}
    spec = Sweep(name="rates", base=base, space=space, search="halving", eta=2)
    configs = [spec.config(cell) for cell in spec.cells()]
    configs = [configs[0].with_(stop_after=1), *configs[1:3], configs[3].with_(stop_after=1)]
    runs = {}
    rows = []
    curves = [[0.2], [0.4, 0.5], [0.45, 0.9], [0.1]]
    for i, (config, curve) in enumerate(zip(configs, curves, strict=True)):
        name = str(i) * 16
        status = {"status": "finished", "chosen_epoch": len(curve), "last_epoch": len(curve)}
        runs[name] = {"config": config.model_dump()} | status
        for epoch, score in enumerate(curve, 1):
            rows.append({"run": name, "epoch": epoch, "step": epoch, "dev_accuracy": score})
    frame = pd.DataFrame({"run": list(runs), "split": "dev", "epoch": 1, "label": 0})
    folder = tmp_path / "searched"
    folder.mkdir()
    Predictions(frame, runs, ("no", "yes")).write(folder / "predictions.parquet")
    pd.DataFrame(rows).to_csv(folder / "history.csv", index=False)
    return SimpleNamespace(folder=folder, spec=spec)


def test_a_search_of_a_page_gives_the_best_first(searched):
    with runs_of_page(searched.folder):
        assert [r.config.learning_rate for r in sweep(searched.spec)] == [1e-2, 1e-3]
        assert [r.config.learning_rate for r in dropped(searched.spec)] == [1e-4, 1e-1]
    assert not store().exists()


def test_a_grid_that_a_page_has_not(searched):
    other = Sweep(**searched.spec.model_dump() | {"space": {"learning_rate": [7.0]}})
    with runs_of_page(searched.folder), pytest.raises(InputError, match="no runs of the search"):
        sweep(other)


def test_runs_are_told_apart_by_their_whole_configuration(page):
    published = next(iter(page_runs(page).values()))
    assert dataclasses.replace(published, name="other").config == published.config
    assert RunConfig(**published.fields) == published.config
