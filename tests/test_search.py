"""Sweeps: every cell once, whoever dies; halving goes on instead of starting again."""

import json
import os
import signal
import time
from collections import Counter
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

import pytest

from lib.analysis import tables
from lib.analysis.predictions import collect
from lib.errors import InputError
from lib.runs import search, session
from lib.runs.config import RunConfig
from lib.runs.pool import run
from lib.runs.search import Sweep, best_dev_score, dropped, sweep
from lib.runs.slots import open_storage, signs_of_life, take_slot
from lib.runs.store import Runs, store
from lib.runs.workers import start_workers
from tests.conftest import exit_code, start_child


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
        study_name=f"{spec.name}-{spec.rungs()[-1]}", storage=open_storage(spec.name, None)
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
    assert scores == sorted(scores, reverse=True) and scores[0] == best_dev_score(runs[0])
    assert "6/6 finished, 0 running, 0 failed, best" in capsys.readouterr().out
    assert [r.key for r in sweep(spec)] == [r.key for r in runs] and set(
        completed(spec).values()
    ) == {1}


def test_a_cell_that_cannot_run_is_counted_and_the_rest_goes_on(spec, capsys):
    spec["space"] = {"layers": [1, 99], "learning_rate": [1e-3]}
    runs = sweep(Sweep(**spec))
    assert len(runs) == 1 and "1/2 finished, 0 running" in capsys.readouterr().out


def test_random_and_tpe_take_so_many_trials(spec):
    for kind in ("random", "tpe"):
        chosen = Sweep(**spec | {"name": kind, "search": kind, "trials": 3})
        assert 1 <= len(sweep(chosen)) <= 3
    assert len(Sweep(**spec | {"search": "random", "trials": 3}).cells()) == 3


def test_halving_goes_on_with_the_better_cells_and_gives_the_same_bits(spec, monkeypatch):
    spec["base"]["epochs"] = 4
    spec = Sweep(**spec | {"search": "halving", "eta": 2})
    assert spec.rungs() == [1, 2, 4]
    trained = []
    original = session.train_epochs

    def counted(*arguments, **options):
        for row, *found in original(*arguments, **options):
            trained.append(row["epoch"])
            yield row, *found

    monkeypatch.setattr(session, "train_epochs", counted)
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
        collect(Runs(runs + left)), by=list(spec.space), metrics=["accuracy"], split="dev"
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
    study, cells = spec.open_study(open_storage(spec.name, None), 2, 6), spec.cells()
    heard = {}
    trial = take_slot(study, cells, heard)
    dead = start_child(lambda: None)
    assert exit_code(dead) == 0
    trial.set_user_attr("worker", trial.user_attrs["worker"] | {"pid": dead, "born": 1.0})
    slots = [take_slot(study, cells, heard).user_attrs["slot"] for _ in range(6)]
    assert sorted(slots) == list(range(6)) and take_slot(study, cells, heard) is None


def test_a_worker_on_another_machine_lives_while_it_gives_signs(spec, monkeypatch):
    monkeypatch.setattr("lib.runs.slots.GRACE", 0.4)
    spec = Sweep(**spec | {"space": {"batch_size": [8]}})
    study, cells = spec.open_study(open_storage(spec.name, None), 2, 1), spec.cells()
    heard = {}
    trial = take_slot(study, cells, heard)
    trial.set_user_attr("worker", trial.user_attrs["worker"] | {"host": "elsewhere"})
    with signs_of_life(trial):
        assert take_slot(study, cells, heard) is None
        time.sleep(1.0)
        assert take_slot(study, cells, heard) is None  # it is at work
    time.sleep(0.6)
    assert take_slot(study, cells, heard).user_attrs["slot"] == 0  # it has gone silent


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
        ({"space": {"select_by": ["loss", "last"]}}, "select_by = 'last': a search ranks runs by"),
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
    def work(output):
        with output.open("w") as file, redirect_stdout(file):
            print(sweep(Sweep(**spec))[0].folder)

    outputs = [tmp_path / f"worker-{number}" for number in range(3)]
    workers = [start_child(partial(work, output)) for output in outputs]
    journal = tmp_path / "runs" / "sweeps" / "tiny.journal"
    while not (journal.exists() and journal.read_text().count('"worker"') >= 2):
        time.sleep(0.01)
    os.kill(workers[0], signal.SIGKILL)
    assert [exit_code(worker) for worker in workers] == [-signal.SIGKILL, 0, 0]
    assert set(completed(Sweep(**spec)).values()) == {1}
    folders = {output.read_text().splitlines()[-1] for output in outputs[1:]}
    assert len(folders) == 1 and json.loads((Path(folders.pop()) / "status.json").read_text())


def test_worker_processes_do_the_work_of_the_one_that_starts_them(spec, monkeypatch, capsys):
    asked = []

    def start_one(specification, *, workers, storage):
        """One process instead of two, which take as long to import as all other tests here."""
        asked.append(workers)
        start_workers(specification, workers=1, storage=storage)

    monkeypatch.setattr(search, "start_workers", start_one)
    spec = Sweep(**spec | {"space": {"learning_rate": [1e-3, 1e-5]}})
    runs = sweep(spec, workers=2)
    assert asked == [2]
    assert set(completed(spec).values()) == {1} and len(runs) == 2
    study = spec.open_study(open_storage(spec.name, None), 2, 2)
    workers = {trial.user_attrs["worker"]["pid"] for trial in study.get_trials()}
    assert workers and os.getpid() not in workers
    lines = capsys.readouterr().out.splitlines()
    assert any("2/2 finished, 0 running, 0 failed, best" in line for line in lines)
    assert not any(line.startswith(str(store())) for line in lines)
