"""Trackers: what TensorBoard's own reader finds, what is closed, what is said, and what stays as
it was."""

import importlib.util
import os
import random
import sys
import threading

import numpy as np
import pytest
import torch

from lib.errors import InputError
from lib.publish.strict_yaml import read_yaml
from lib.session.tracking import TRACKERS, check_tracker, tracking

CONFIG = {
    "optimizer": "adamw",
    "learning_rate": 1e-4,
    "epochs": 3,
    "health": True,
    "patience": None,
}
CONFIG |= {"schedule_args": {"gamma": 0.5}, "labels": ["no", "yes"]}
TEXT = {"patience": "null", "schedule_args": '{"gamma": 0.5}', "labels": '["no", "yes"]'}


def reader(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder)).Reload()


def scalars(folder) -> dict:
    """[(step, value), …] by tag of the one run whose events are below `folder`."""
    [file] = folder.glob("tensorboard/*/events.*")
    found = reader(file)
    return {
        tag: [(event.step, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def around() -> tuple:
    """All of the process that training could notice."""
    numbers = (
        random.getstate(),
        np.random.get_state()[1].tobytes(),
        torch.get_rng_state().numpy().tobytes(),
    )
    kinds = torch.get_default_dtype(), torch.get_float32_matmul_precision(), torch.empty(0).device
    switches = (
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_num_interop_threads(),
    )
    return *numbers, *kinds, *switches, torch.get_num_threads(), dict(os.environ)


@pytest.fixture
def home(tmp_path):
    """A run's folder in a store."""
    folder = tmp_path / "runs" / "0123456789abcdef"
    folder.mkdir(parents=True)
    return folder


def test_steps_epochs_and_configuration_come_back(home):
    losses = np.linspace(2, 0.1, 7)
    with tracking("tensorboard", home, run="imdb/bert seed 1", config=CONFIG) as log:
        for step, loss in enumerate(losses, 1):
            log({"train_loss": loss, "learning_rate": 1e-4 / step}, step)
        log(
            {
                "dev_P@1": np.float32(0.75),
                "dev_loss": torch.tensor(0.5),
                "epoch": 1,
                "unknown": None,
            },
            7,
        )
    assert [path.name for path in (home / "tensorboard").iterdir()] == ["imdb_bert seed 1"]
    single = np.float32  # which TensorBoard keeps
    assert scalars(home) == {
        "train_loss": [(step, single(loss)) for step, loss in enumerate(losses, 1)],
        "learning_rate": [(step, single(1e-4 / step)) for step in range(1, 8)],
        "dev_P@1": [(7, 0.75)],
        "dev_loss": [(7, 0.5)],
        "epoch": [(7, 1)],
    }
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    [file] = home.glob("tensorboard/*/*/hparams.yml")
    assert read_yaml(file) == CONFIG | TEXT
    [file] = home.glob("tensorboard/*/*/events.*")
    content = reader(file).PluginTagToContent("hparams")["_hparams_/session_start_info"]
    shown = HParamsPluginData.FromString(content).session_start_info.hparams
    assert {
        key: getattr(value, value.WhichOneof("kind")) for key, value in shown.items()
    } == CONFIG | TEXT


def test_one_process_tracks_one_run_after_another_and_training_notices_nothing(home):
    torch.manual_seed(3)
    before = around()
    for i, name in enumerate(("tensorboard", "none", "tensorboard")):
        with tracking(name, home / str(i), run="run", config=CONFIG) as log:
            log({"train_loss": i}, i)
    assert around() == before
    assert scalars(home / "0") == {"train_loss": [(0, 0)]} and scalars(home / "2") == {
        "train_loss": [(2, 2)]
    }


def test_none_writes_nothing_and_needs_nothing(home, monkeypatch):
    for package in ("accelerate", *(row.package for row in TRACKERS.values() if row)):
        monkeypatch.setitem(sys.modules, package, None)  # importing it raises
    with tracking("none", home, run="run", config=CONFIG) as log:
        log({"train_loss": 1.0}, 1)
    assert [path.name for path in home.parent.rglob("*")] == [home.name]


@pytest.mark.parametrize("error", [ArithmeticError, KeyboardInterrupt])
def test_a_run_that_ends_early_is_closed(home, error):
    threads = threading.active_count()
    with (
        pytest.raises(error, match="at step 2"),
        tracking("tensorboard", home, run="run", config=CONFIG) as log,
    ):
        log({"train_loss": 0.5}, 1)
        raise error("at step 2")
    assert threading.active_count() == threads  # the writer's own is gone
    assert scalars(home) == {"train_loss": [(1, 0.5)]}


@pytest.mark.parametrize("broken", ["log", "store_init_configuration", "finish"])
def test_a_tracker_that_fails_warns_once_and_costs_no_run(home, broken, monkeypatch):
    from accelerate.tracking import TensorBoardTracker

    calls, whole = [], getattr(TensorBoardTracker, broken)

    def fail(tracker, *values):
        calls.append(values)
        if broken == "log" and len(calls) == 1:
            return whole(tracker, *values)
        if broken == "finish":
            whole(tracker)
        raise OSError("No space left on device")

    monkeypatch.setattr(TensorBoardTracker, broken, fail)
    told = (
        "The tracker tensorboard failed, and run is not tracked any further: OSError: No "
        "space left on device"
    )
    with (
        pytest.warns(RuntimeWarning) as warned,
        tracking("tensorboard", home, run="run", config=CONFIG) as log,
    ):
        for step in (1, 2, 3, 4):
            log({"train_loss": 0.5}, step)
    assert [str(warning.message) for warning in warned] == [told]
    steps = {"log": [1], "store_init_configuration": [], "finish": [1, 2, 3, 4]}[broken]
    assert [step for step, _ in scalars(home).get("train_loss", [])] == steps
    assert len(calls) == (2 if broken == "log" else 1)


def test_a_tracker_that_does_not_start_is_an_input_error(home):
    (home / "tensorboard").write_text("")
    before = around()
    with (
        pytest.raises(
            InputError,
            match="tensorboard did not start; mend that, or go without .tracker: none.: .*Error",
        ),
        tracking("tensorboard", home, run="run", config=CONFIG),
    ):
        raise AssertionError("trained")
    assert around() == before


def test_only_known_and_installed_trackers_pass(monkeypatch, tmp_path):
    check_tracker("tensorboard")
    with pytest.raises(InputError, match="Unknown tracker 'tensorbord'. Did you mean tensorboard?"):
        check_tracker("tensorbord")
    (tmp_path / "left_by_wandb").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(TRACKERS, "wandb", TRACKERS["wandb"]._replace(package="left_by_wandb"))
    with pytest.raises(InputError, match="needs the package left_by_wandb"):
        check_tracker("wandb")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "aim" else find(name)
    )
    told = (
        "The tracker aim needs the package aim, which is not installed: pip install aim, or "
        "go without (tracker: none)."
    )
    with (
        pytest.raises(InputError) as caught,
        tracking("aim", tmp_path / "run", run="run", config={}),
    ):
        raise AssertionError("trained")
    assert str(caught.value) == told and not (tmp_path / "run").exists()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    check_tracker("none")
    with pytest.raises(InputError, match="pip install accelerate"):
        check_tracker("tensorboard")


def test_mlflow_has_its_own_place_and_names(home, monkeypatch):
    from accelerate import tracking as theirs

    seen = []

    class Recorder(theirs.GeneralTracker):
        name, requires_logging_directory, tracker = "recorder", False, None

        def __init__(self, project, run_name):
            seen.append((project, run_name))

        def start(self):
            seen.append(os.environ["MLFLOW_TRACKING_URI"])

        def log(self, values, step):
            seen.append((values, step))

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(theirs, "MLflowTracker", Recorder)
    monkeypatch.setitem(TRACKERS, "mlflow", TRACKERS["mlflow"]._replace(package="accelerate"))
    with tracking("mlflow", home, run="seed 1", config=CONFIG) as log:
        log({"dev_P@1": 1, "dev_nDCG@5": 0.5}, 3)
    local = f"sqlite:///{home.parent.resolve()}/mlflow/mlflow.db"
    assert seen == [
        ("finetuning-notebooks", "seed 1"),
        local,
        ({"dev_P_at_1": 1, "dev_nDCG_at_5": 0.5}, 3),
    ]
    assert "MLFLOW_TRACKING_URI" not in os.environ
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example")
    with tracking("mlflow", home, run="seed 1", config=CONFIG):
        assert seen[-1] == os.environ["MLFLOW_TRACKING_URI"] == "http://tracking.example"
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://tracking.example"
