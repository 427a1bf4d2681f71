"""Who trains a run, where several processes could."""

import os
import signal
import time
from collections import Counter
from contextlib import redirect_stdout
from functools import partial

import pytest

from lib.errors import LockedError
from lib.many import locks
from lib.many.locks import locked
from lib.many.pool import run_all
from lib.runs.store import store
from tests.conftest import exit_code, start_child


def test_two_processes_with_the_same_runs_train_each_once(base, tmp_path):
    configs = [base.with_(seed=seed) for seed in range(1, 7)]

    def work(output):
        with output.open("w") as file, redirect_stdout(file):
            run_all(configs, "none")

    outputs = [tmp_path / f"driver-{number}" for number in range(2)]
    drivers = [start_child(partial(work, output)) for output in outputs]
    assert [exit_code(driver) for driver in drivers] == [0, 0]
    lines = [line for output in outputs for line in output.read_text().splitlines()]
    assert sum("epoch 1/" in line for line in lines) == 6
    assert Counter(line.split(":")[0] for line in lines)["6 runs"] == 2
    assert len(list(store().glob("*/status.json"))) == 6


def test_a_lock_of_a_killed_process_is_free(tmp_path):
    def hold():
        with locked(tmp_path / "lock", "a run", wait=True, signals=[]):
            os.kill(os.getpid(), signal.SIGKILL)

    assert exit_code(start_child(hold)) == -signal.SIGKILL
    with locked(tmp_path / "lock", "a run", wait=True, signals=[]):
        assert str(os.uname().nodename) in (tmp_path / "lock").read_text()
    assert not (tmp_path / "lock").exists()


def test_a_lock_without_signs_of_life_is_taken_over_after_a_time(tmp_path, monkeypatch, capsys):
    """As is one of a dead process of another host, which cannot be asked about."""
    monkeypatch.setattr(locks, "LEASE", 0.6)

    def hold():
        signals = []
        with locked(tmp_path / "lock", "a run", wait=True, signals=signals):
            (tmp_path / "held").touch()
            while not signals:
                time.sleep(0.02)
        os._exit(7)

    holder = start_child(hold)
    while not (tmp_path / "held").exists():
        time.sleep(0.02)
    with (
        pytest.raises(LockedError),
        locked(tmp_path / "lock", "a run", wait=False, signals=[]),
    ):
        pass
    os.kill(holder, signal.SIGSTOP)
    with locked(tmp_path / "lock", "a run", wait=True, signals=[]):
        os.kill(holder, signal.SIGCONT)
        assert exit_code(holder) == 7  # it gave way
    assert "another process trains a run; waiting for it" in capsys.readouterr().out


def test_a_lock_of_a_process_that_was_killed_while_it_made_it(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "WRITTEN_IN", 0.3)
    (tmp_path / "lock").touch()
    with pytest.raises(LockedError), locked(tmp_path / "lock", "a run", wait=False, signals=[]):
        pass
    with locked(tmp_path / "lock", "a run", wait=True, signals=[]):
        assert (tmp_path / "lock").read_text()
