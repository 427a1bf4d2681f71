"""Runs on the workers of a cluster: on this machine, and on workers with stores of their own."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from lib.errors import InputError
from lib.heads import HEADS, ClsHead
from lib.many import cluster as engine
from lib.many import workers
from lib.many.added_rows import added_rows
from lib.many.pool import run_all
from lib.many.search import Sweep, sweep
from lib.many.single import prepare, run
from lib.runs import keys
from lib.runs.store import store
from tests.conftest import digests
from tests.loopback import loopback


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """The file of a scheduler whose two workers have stores of their own."""
    with loopback(tmp_path_factory.mktemp("cluster")) as file:
        yield file


@pytest.fixture
def configs(base):
    """Two seeds, a run that shares a beginning with one of them, and a baseline."""
    dropped = {"schedule": "multistep", "schedule_args": {"milestones": [2]}}
    seeds = [base.with_(seed=seed) for seed in (1, 2)]
    return [*seeds, base.with_(**dropped), base.baseline("majority")]


def alone(configs, tmp_path, monkeypatch) -> list:
    """The same runs, trained by this process into another store."""
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "alone"))
    return run_all(configs, "none")


def test_workers_with_other_stores_give_the_same_bytes(
    configs, scheduler, tmp_path, monkeypatch, capsys
):
    runs = run_all(configs, "none", cluster=str(scheduler), models=True)
    out = capsys.readouterr().out
    assert "runs: 4/4 finished, 0 failed, best 0." in out
    assert "4 runs: 4 trained, 0 from the store" in out and "epoch 1/" not in out
    assert not list((store() / "locks").glob("driver-*"))
    assert "goes on after epoch 2" in "".join(
        log.read_text() for log in scheduler.parent.glob("worker-?/logs/*.log")
    )
    for ours, theirs in zip(runs, alone(configs, tmp_path, monkeypatch), strict=True):
        assert ours.predictions.equals(theirs.predictions)
        if not ours.config.is_reference:
            assert digests(ours) == digests(theirs)


def test_a_teacher_is_sent_where_it_is_needed(base, tiny, scheduler, capsys):
    teacher = run(base.with_(epochs=1, seed=7), tracker="none")
    distil = {"teacher": teacher.key[:16], "student_layers": [0], "weights": {"soft": 1.0}}
    student = base.with_(epochs=1, distil=distil)
    (taught,) = run_all([student], "none", cluster=str(scheduler))
    assert "1 trained" in capsys.readouterr().out
    assert not (taught.folder / "model").exists()  # nobody asked for it
    assert taught.key == prepare(student).key


def test_a_search_on_a_cluster_brings_the_best_model_home(base, scheduler):
    fields = base.with_(select_by="accuracy").model_dump(exclude_defaults=True)
    space = {"learning_rate": [1e-3, 1e-4], "seed": [3]}
    spec = Sweep(name="far", base=fields, space=space, search="halving", eta=2, tracker="none")
    runs = sweep(spec, cluster=str(scheduler))
    assert len(runs) == 1 and (runs[0].folder / "model").is_dir()


def test_a_run_that_a_worker_cannot_train_is_named_and_the_others_go_on(base, scheduler, capsys):
    told_late = base.with_(freeze="backbone")  # needs another head than the native one
    with pytest.raises(InputError, match="needs a head") as error:
        run_all([told_late, base.with_(seed=5)], "none", cluster=str(scheduler))
    assert "\n" not in str(error.value)
    assert "1/2 finished, 1 failed" in capsys.readouterr().out


@pytest.fixture
def driver():
    return workers.Driver(workers.versions(), "locks/driver-none")


def job_of(config) -> workers.Job:
    return workers.Job(0, config, prepare(config).key, "a run")


def test_a_worker_with_other_versions_says_which(base, driver):
    other = workers.Driver(driver.versions | {"torch": "1.0"}, driver.marker)
    outcome = workers._train_job(job_of(base), other)
    assert outcome.kind == "refused"
    assert "(the driver has 1.0); install the same there" in outcome.message


def test_a_run_goes_to_another_worker_where_one_refuses_it(base, scheduler, monkeypatch, capsys):
    real = engine.versions
    monkeypatch.setattr(engine, "versions", lambda: real() | {"torch": "1.0"})
    with pytest.raises(InputError, match=r"^No worker can be used: tcp://.* has torch .*; tcp://"):
        run_all([base.with_(seed=11)], "none", cluster=str(scheduler))
    assert capsys.readouterr().out.count("install the same there") == 2


def test_a_model_is_fetched_after_the_driver_was_started_again(base, scheduler):
    config = base.with_(seed=12, epochs=1)
    (far,) = run_all([config], "none", cluster=str(scheduler))
    assert not (far.folder / "model").exists() and far.status["model_on"].startswith("tcp://")
    (near,) = run_all([config], "none", cluster=str(scheduler), models=True)
    assert (near.folder / "model").is_dir() and "model_on" not in near.status


def test_a_worker_with_other_data_says_so(base, folder, driver, monkeypatch):
    job = job_of(base)
    with (folder / "train.csv").open("a", encoding="utf-8") as file:
        file.write("ka na,yes\n")
    keys._load_corpus.cache_clear()  # as in a worker that has just started
    there = workers._train_job(job, driver).content
    keys._load_corpus.cache_clear()
    monkeypatch.setattr(engine, "content_of", lambda config: there | {"data": "other"})
    assert "its data differs" in engine.different_content(job, there)


def test_what_differs_on_a_worker_is_named(base):
    there = workers.content_of(base) | {"precision": "bf16"}
    sentence = engine.different_content(job_of(base), there)
    assert sentence.endswith("its precision differs; name it in the configuration")


def test_an_unreachable_scheduler_is_one_sentence(base, monkeypatch):
    monkeypatch.setattr(engine, "ANSWER", 0.5)
    with pytest.raises(InputError, match=r"^No scheduler answers at cluster = tcp://127.0.0.1:9 "):
        run_all([base], "none", cluster="tcp://127.0.0.1:9")
    with pytest.raises(InputError, match=r"^No scheduler answers at cluster = nowhere "):
        run_all([base], "none", cluster="nowhere")


def test_rows_of_modules_go_to_workers_and_rows_of_cells_are_refused(base, monkeypatch):
    class OwnHead(ClsHead):
        pass

    monkeypatch.setitem(HEADS, "own", OwnHead)
    config = base.with_(head="own")
    assert added_rows(config) == {"head": OwnHead} and added_rows(base) == {}
    monkeypatch.setattr(OwnHead, "__module__", "__main__")
    with pytest.raises(InputError, match=r"The head 'own' is defined in a notebook's cell"):
        added_rows(config)


def test_workers_of_this_machine_have_their_share(monkeypatch):
    monkeypatch.setenv(workers.TRIM, "65536")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    monkeypatch.setattr("torch.get_num_threads", lambda: 8)
    environments = [engine.environment_of(number, 3) for number in range(3)]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in environments] == ["4", "5", "4"]
    assert {one["OMP_NUM_THREADS"] for one in environments} == {"2"}
    assert all(workers.TRIM not in one for one in environments)


SCRIPT = """
import sys
from lib import RunConfig, run_all
fields = eval(sys.argv[1])
run_all([RunConfig(**fields, seed=seed) for seed in range(1, 4)], "none", workers=2)
"""


def worker_processes(driver: subprocess.Popen) -> list[psutil.Process]:
    """The processes in which a driver's workers train."""
    below = psutil.Process(driver.pid).children(recursive=True)
    return [one for one in below if "spawn_main" in " ".join(one.cmdline())]


def test_a_killed_worker_is_replaced_and_its_run_goes_on(base, tmp_path, monkeypatch):
    """An unguarded script, too: workers do not run it again."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    fields = base.with_(epochs=3).model_dump(exclude_defaults=True)
    command = [sys.executable, str(script), repr(fields)]
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as driver:
        while not list(store().glob("*/config.json")):
            assert driver.poll() is None
            time.sleep(0.02)
        worker_processes(driver)[0].send_signal(signal.SIGKILL)
        out, _ = driver.communicate(timeout=120)
    assert driver.returncode == 0
    assert out.splitlines()[-1] == "3 runs: 3 trained, 0 from the store"
    assert len(list(store().glob("*/status.json"))) == 3
    assert "MALLOC" not in out
