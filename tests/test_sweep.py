"""Sweeps: every cell once, whoever dies; halving goes on instead of starting again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
import yaml

from lib import training
from lib.analysis import tables
from lib.errors import InputError
from lib.runs.config import RunConfig
from lib.runs.pool import run
from lib.runs.store import ROOT, Runs
from lib.runs.sweep import Sweep, dropped, open_study, score, signs_of_life, storage_of, sweep, take


@pytest.fixture
def spec(tiny, folder):
    base = {
        "dataset": str(folder),
        "backbone": tiny["bert"],
        "max_length": 16,
        "epochs": 2,
        "precision": "fp32",
        "dev_rows": 12,
        "select_by": "accuracy",
    }
    return {
        "name": "tiny",
        "base": base,
        "space": {"batch_size": [8, 16], "learning_rate": [1e-3, 1e-5, 1e-4]},
    }


def completed(spec: Sweep) -> dict[int, int]:
    """How many finished trials each slot has."""
    import optuna

    study = optuna.load_study(
        study_name=f"{spec.name}-{spec.rungs()[-1]}", storage=storage_of(spec, None)
    )
    counts = dict.fromkeys(range(len(spec.cells())), 0)
    for trial in study.get_trials(deepcopy=False):
        counts[trial.user_attrs["slot"]] += trial.state.name == "COMPLETE"
    return counts


def test_a_grid_runs_every_cell_once_and_ranks_by_the_best_evaluation(spec, capsys):
    spec = Sweep(**spec)
    runs = sweep(spec)
    assert set(completed(spec).values()) == {1} and len(runs) == 6
    assert {(r.config.batch_size, r.config.learning_rate) for r in runs} == {
        (cell["batch_size"], cell["learning_rate"]) for cell in spec.cells()
    }
    scores = [max(r.history["dev_accuracy"]) for r in runs]
    assert scores == sorted(scores, reverse=True) and scores[0] == score(runs[0])
    assert "6/6 finished, 0 running, 0 failed, best" in capsys.readouterr().out
    assert [r.key for r in sweep(spec)] == [r.key for r in runs] and set(
        completed(spec).values()
    ) == {1}


def test_a_cell_that_cannot_run_is_counted_and_the_rest_goes_on(spec, capsys):
    spec["space"] = {"layers": [1, 99], "learning_rate": [1e-3]}
    runs = sweep(Sweep(**spec))
    assert len(runs) == 1 and "1/2 finished, 0 running" in capsys.readouterr().out


def test_random_and_tpe_take_so_many_trials(spec):
    for search, name in (("random", "r"), ("tpe", "t")):
        chosen = Sweep(**spec | {"name": name, "search": search, "trials": 3})
        assert 1 <= len(sweep(chosen)) <= 3
    assert len(Sweep(**spec | {"search": "random", "trials": 3}).cells()) == 3


def test_halving_goes_on_with_the_better_cells_and_gives_the_same_bits(spec, monkeypatch):
    spec["base"]["epochs"] = 4
    spec = Sweep(**spec | {"search": "halving", "eta": 2})
    assert spec.rungs() == [1, 2, 4]
    trained = []
    original = training.train_epochs

    def counted(*arguments, **options):
        for row, *found in original(*arguments, **options):
            trained.append(row["epoch"])
            yield row, *found

    monkeypatch.setattr(training, "train_epochs", counted)
    runs = sweep(spec)
    assert (
        sorted(trained) == [1] * 6 + [2] * 3 + [3] * 2 + [4] * 2
    )  # 13 epochs; the grid would take 24
    assert len(runs) == 2 and all(len(r.history) == 4 for r in runs)
    left = dropped(spec)
    assert [len(r.history) for r in left] == [2] + [1] * 3
    assert (
        len({(r.config.batch_size, r.config.learning_rate) for r in [*runs, *left]}) == 6
    )  # each cell once
    table = tables.by_cell(
        Runs(runs + left).predictions, by=list(spec.space), metrics=["accuracy"], split="dev"
    )
    assert Counter(table["outcome"]) == {
        "finished": 2,
        "dropped after epoch 1": 3,
        "dropped after epoch 2": 1,
    }
    monkeypatch.setenv("RUNS_DIR", os.environ["RUNS_DIR"] + "-straight")
    assert run(runs[0].config).predictions.equals(runs[0].predictions)


def test_patience_stops_a_run_that_no_longer_improves(spec):
    base = RunConfig(
        **spec["base"]
        | {"epochs": 15, "batch_size": 8, "select_by": "loss", "learning_rate": 3e-2, "patience": 2}
    )
    done = run(base)
    assert (
        done.status["stopped"] == "patience"
        and len(done.history) == done.status["chosen_epoch"] + 2 < 15
    )
    whole = run(base.with_(patience=None))
    assert "stopped" not in whole.status and len(whole.history) == 15


def test_a_slot_of_a_dead_process_is_taken_again(spec):
    spec = Sweep(**spec)
    study, cells = open_study(spec, storage_of(spec, None), 2, 6), spec.cells()
    heard = {}
    trial = take(study, cells, heard)
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    trial.set_user_attr("worker", trial.user_attrs["worker"] | {"pid": dead.pid, "born": 1.0})
    slots = [take(study, cells, heard).user_attrs["slot"] for _ in range(6)]
    assert sorted(slots) == list(range(6)) and take(study, cells, heard) is None


def test_a_worker_on_another_machine_lives_while_it_gives_signs(spec, monkeypatch):
    monkeypatch.setattr("lib.runs.sweep.GRACE", 0.4)
    spec = Sweep(**spec | {"space": {"batch_size": [8]}})
    study, cells = open_study(spec, storage_of(spec, None), 2, 1), spec.cells()
    heard = {}
    trial = take(study, cells, heard)
    trial.set_user_attr("worker", trial.user_attrs["worker"] | {"host": "elsewhere"})
    with signs_of_life(trial):
        assert take(study, cells, heard) is None
        time.sleep(1.0)
        assert take(study, cells, heard) is None  # it is at work
    time.sleep(0.6)
    assert take(study, cells, heard).user_attrs["slot"] == 0  # it has gone silent


def test_a_database_that_is_not_there_is_one_sentence(spec):
    with pytest.raises(InputError, match=r"^The storage nosuch://host/db cannot be used: .*nosuch"):
        sweep(Sweep(**spec), storage="nosuch://host/db")
    with pytest.raises(
        InputError, match=r"^The storage sqlite:////no/such/folder/x.db cannot be used: "
    ):
        sweep(Sweep(**spec), storage="sqlite:////no/such/folder/x.db")


def test_a_sweep_without_a_run_says_so(spec):
    with pytest.raises(InputError, match=r"^No cell of tiny could be run; why is told above$"):
        sweep(Sweep(**spec | {"space": {"max_length": [3000]}}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"space": {"batchsize": [8]}},
            "space: unknown parameter 'batchsize'. Did you mean batch_size?",
        ),
        ({"space": {"batch_size": []}}, "space: batch_size has no values"),
        ({"space": {"batch_size": [8, "many"]}}, "batch_size = 'many'"),
        ({"search": "gird"}, "search = 'gird'"),
        ({"spaces": {}}, "Unknown parameter 'spaces'. Did you mean space?"),
    ],
)
def test_a_wrong_specification_is_refused(spec, change, message):
    with pytest.raises(InputError) as error:
        Sweep(**spec | change)
    assert message in str(error.value)


def test_a_name_stands_for_one_specification(spec):
    sweep(Sweep(**spec))
    with pytest.raises(InputError, match="exists with another specification"):
        sweep(Sweep(**spec | {"space": {"batch_size": [8]}}))


def test_three_workers_share_the_cells_and_one_may_be_killed(spec, tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(spec))
    command = [sys.executable, "-m", "lib", "sweep", str(path)]
    workers = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    journal = tmp_path / "runs" / "sweeps" / "tiny.journal"
    while not (journal.exists() and journal.read_text().count('"worker"') >= 2):
        time.sleep(0.05)
    workers[0].send_signal(signal.SIGKILL)
    outputs = [worker.communicate()[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [-signal.SIGKILL, 0, 0]
    assert set(completed(Sweep(**spec)).values()) == {1}
    folders = {output.splitlines()[-1] for output in outputs[1:]}
    assert len(folders) == 1 and json.loads(
        (tmp_path / "runs" / folders.pop() / "status.json").read_text()
    )
