"""Sweeps: every cell once, whoever dies; halving goes on instead of starting again."""

import os
import shutil
import sys
from collections import Counter

import pytest

from lib.analysis.cells import by_cell
from lib.analysis.predictions import collect
from lib.errors import InputError
from lib.many import tpe
from lib.many.pool import run, run_all
from lib.many.report import Report, best_dev_score
from lib.many.search import Sweep, dropped, sweep
from lib.many.workers import Job
from lib.runs.config import RunConfig
from lib.runs.store import Runs, store
from lib.session import session


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


def test_a_grid_runs_every_cell_once_and_ranks_by_the_best_evaluation(spec, capsys):
    spec = Sweep(**spec)
    runs = sweep(spec)
    assert len(runs) == 6
    assert {(r.config.batch_size, r.config.learning_rate) for r in runs} == {
        (cell["batch_size"], cell["learning_rate"]) for cell in spec.cells()
    }
    scores = [max(r.history["dev_accuracy"]) for r in runs]
    assert scores == sorted(scores, reverse=True) and scores[0] == best_dev_score(runs[0])
    assert capsys.readouterr().out.count("run 6/6: batch_size=16 learning_rate=0.0001") == 1
    assert [r.key for r in sweep(spec)] == [r.key for r in runs]
    assert "run 1/6" not in capsys.readouterr().out


def test_one_process_searches_without_dask_and_two_say_that_they_need_it(spec, monkeypatch):
    monkeypatch.delitem(sys.modules, "lib.many.cluster", raising=False)
    for name in ("dask", "distributed"):
        monkeypatch.setitem(sys.modules, name, None)  # as where it is not installed
    spec = Sweep(**spec | {"space": {"batch_size": [16, 32]}})
    runs = sweep(spec)
    assert len(runs) == 2 and len(run_all([runs[0].config])) == 1
    with pytest.raises(InputError, match="^workers = 2 needs Dask, .* no module dask here;"):
        sweep(spec, workers=2)


def test_a_cell_that_cannot_run_is_counted_and_the_rest_goes_on(spec, capsys):
    spec["space"] = {"layers": [1, 99], "learning_rate": [1e-3]}
    runs = sweep(Sweep(**spec))
    assert len(runs) == 1 and "layers is 99; the backbone" in capsys.readouterr().out


def test_random_and_tpe_take_so_many_trials(spec):
    for kind in ("random", "tpe"):
        chosen = Sweep(**spec | {"name": kind, "search": kind, "trials": 3})
        assert len(sweep(chosen)) == 3
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
    assert not list((store() / "checkpoints").iterdir())
    left = dropped(spec)
    assert [len(r.history) for r in left] == [2] + [1] * 3
    assert (
        len({(r.config.batch_size, r.config.learning_rate) for r in [*runs, *left]}) == 6
    )  # each cell once
    table = by_cell(
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
        ({"space": {"batch_size": [8, 16, 8]}}, "space: batch_size has 8 twice"),
        (
            {"search": "halving", "space": {"epochs": [1, 2]}},
            "space: halving trains all cells for the same epochs of one backbone",
        ),
        ({"search": "gird"}, "search = 'gird'"),
        ({"spaces": {}}, "Unknown parameter 'spaces'. Did you mean space?"),
    ],
)
def test_a_wrong_specification_is_refused(spec, change, message):
    with pytest.raises(InputError) as error:
        Sweep(**spec | change)
    assert message in str(error.value)


def test_a_name_stands_for_one_specification_of_tpe(spec):
    spec |= {"search": "tpe", "trials": 1}
    sweep(Sweep(**spec))
    with pytest.raises(InputError, match="exists with another specification"):
        sweep(Sweep(**spec | {"space": {"batch_size": [8]}}))


def cells_of(runs) -> set:
    return {(run.config.batch_size, run.config.learning_rate) for run in runs}


def test_tpe_proposes_no_cell_twice_and_goes_on_with_its_journal(spec, capsys):
    small = {"batch_size": [8, 16], "learning_rate": [1e-3, 1e-5]}
    spec |= {"search": "tpe", "space": small, "seed": 2**40}
    first = sweep(Sweep(**spec | {"trials": 3}))
    assert len(cells_of(first)) == 3
    journal = store() / "sweeps" / "tiny.journal"
    spec["trials"] = 8  # of four cells
    with journal.open("a") as file:
        file.write('{"op_code": 5, "worker_')
    shutil.rmtree(first[0].folder)  # the best one is trained again, not passed over
    capsys.readouterr()
    runs = sweep(Sweep(**spec))
    assert len(cells_of(runs)) == len(runs) == 4
    out = capsys.readouterr().out
    assert "tiny.journal is torn: its last 23 bytes are no whole line and go" in out
    assert "trial 4/4: batch_size=" in out and "trial 3/4" not in out
    assert out.count("run 1/") == 2  # the best of the first three, and the fourth
    assert runs[0].predictions.equals(first[0].predictions)
    assert cells_of(sweep(Sweep(**spec))) == cells_of(runs)


def test_a_cell_that_a_stopped_search_had_asked_for_is_trained_first(spec):
    spec = Sweep(**spec | {"search": "tpe", "trials": 1})
    study = tpe.open_study(spec, store() / "sweeps" / "tiny.journal")
    asked = tpe.ask(study, spec, []).params
    (only,) = sweep(spec)
    assert {name: getattr(only.config, name) for name in asked} == asked


def test_a_search_whose_best_run_has_gone_trains_it_again(spec, capsys):
    spec = Sweep(**spec)
    runs = sweep(spec)
    shutil.rmtree(runs[0].folder)
    capsys.readouterr()
    assert [run.key for run in sweep(spec)] == [run.key for run in runs]
    assert capsys.readouterr().out.count("run ") == 1


def test_a_diverged_run_comes_last_and_counts_as_diverged(spec):
    spec["space"] = {"learning_rate": [1e-5, 1e30], "optimizer": ["sgd"]}
    runs = sweep(Sweep(**spec))
    assert [run.status["status"] for run in runs] == ["finished", "diverged"]
    report = Report("tiny", 1, 1)
    report.add(Job(0, runs[1].config, runs[1].key, "steep"), runs[1])
    assert report.summary() == "tiny: 1/1 finished, 0 failed, 1 diverged, about 0.0 min to go"


def test_a_space_of_millions_is_refused_as_a_grid_and_sampled_at_random(spec):
    rates = [i * 1e-6 for i in range(1, 4001)]
    seeds = list(range(16_000))
    space = {"learning_rate": rates, "seed": seeds}
    with pytest.raises(InputError, match="64,000,000 cells, and 10,000 are the most; give it"):
        Sweep(**spec | {"space": space}).cells()
    drawn = Sweep(**spec | {"space": space, "search": "random", "trials": 3}).cells()
    assert len(drawn) == 3 and all(cell["seed"] in seeds for cell in drawn)


def test_the_cells_of_a_space_are_in_order(spec):
    spec = Sweep(**spec)
    assert [tuple(cell.values()) for cell in spec.cells()] == [
        (size, rate) for size in (8, 16) for rate in (1e-3, 1e-5, 1e-4)
    ]
