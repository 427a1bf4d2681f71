"""Slots: who trains which cell of a search, agreed through an Optuna storage.

A study of the storage has a slot for each of its cells; its trials are attempts at slots. Every
process that works on the study takes one slot after the other, and takes over the slots of
processes that died (see `lib.runs.workers`).
"""

import os
import random
import re
import socket
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from lib.errors import InputError
from lib.runs.store import store

GRACE = 60.0  # seconds without a sign of life after which a worker elsewhere is taken for dead


def sweep_folder() -> Path:
    """The folder of the store that holds journals, locks and specifications of searches."""
    folder = store() / "sweeps"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def open_storage(name: str, url: str | None):
    """The Optuna storage at a database URL; without one, the journal `name` in the run store.

    Raises InputError where the database cannot be used.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if url is None:
        return JournalStorage(JournalFileBackend(str(sweep_folder() / f"{name}.journal")))
    try:
        return _open_database(url)
    except (SQLAlchemyError, ImportError) as error:
        without_password = re.sub(r"://[^@/]*@", "://…@", url)
        reason = str(error).splitlines()[0]
        raise InputError(f"The storage {without_password} cannot be used: {reason}") from None


def _open_database(url: str):
    """Open a database. Of workers that start together on an empty one, one makes the tables, and
    the others try again."""
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    for pause in (0.3, 1, 3):
        with suppress(IntegrityError, ProgrammingError):
            return RDBStorage(url)
        time.sleep(pause * random.random())
    return RDBStorage(url)


def open_study(storage, specification: dict, *, rung: int, slots: int):
    """The Optuna study `name-rung` of a specification (its `name` and `seed` among it).

    Raises InputError where a study of that name has another specification.
    """
    import optuna

    name = specification["name"]
    seed = specification["seed"] + os.getpid() % 1000  # processes that share a study differ
    study = optuna.create_study(
        study_name=f"{name}-{rung}",
        storage=storage,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True),
        load_if_exists=True,
    )
    specification = specification | {"rung": rung}
    if study.user_attrs.setdefault("spec", specification) != specification:
        raise InputError(
            f"The sweep {name} exists with another specification; give this one another name"
        )
    study.set_user_attr("spec", specification)
    study.set_user_attr("slots", slots)
    return study


@contextmanager
def signs_of_life(trial):
    """Meanwhile, write the time into a trial every quarter of `GRACE`, for workers on other
    machines to see."""
    done = threading.Event()

    def write():
        while not done.wait(GRACE / 4):
            with suppress(Exception):  # a database out of reach for a moment must not end a run
                trial.set_user_attr("sign", time.time())

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def is_alive(trial, last_signs: dict) -> bool:
    """Whether the worker of a trial lives: a process of this machine, or one elsewhere whose signs
    of life change.

    For how long they have not changed is measured by this machine's clock alone: those of two
    machines differ, time zones included. `last_signs` is this process's memory: each trial's last
    sign, and when it was seen first.
    """
    worker = trial.user_attrs.get("worker")
    if worker is None or worker["host"] != socket.gethostname():
        sign, now = trial.user_attrs.get("sign"), time.monotonic()
        if last_signs.setdefault(trial.number, (sign, now))[0] != sign:
            last_signs[trial.number] = sign, now
        return now - last_signs[trial.number][1] < GRACE
    try:
        process = psutil.Process(worker["pid"])
        # a killed one stays as a zombie until its parent waits for it
        return process.create_time() == worker["born"] and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def take_slot(study, cells: list[dict], last_signs: dict):
    """The next trial for this process, or None where none is left to take.

    Frees the slots of dead processes first. Called under a lock that all processes of a storage
    share. An empty cell is left to the sampler; `last_signs` as in `is_alive`.
    """
    from optuna.trial import TrialState

    ended, taken = set(), set()
    for trial in study.get_trials(deepcopy=False):
        slot = trial.user_attrs.get("slot")
        if trial.state == TrialState.COMPLETE or "error" in trial.user_attrs:
            ended.add(slot)
        elif trial.state == TrialState.WAITING:
            taken.add(slot)
        elif trial.state == TrialState.RUNNING:
            if is_alive(trial, last_signs):
                taken.add(slot)
            else:
                study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
    for slot, cell in enumerate(cells):
        if slot not in ended | taken:
            study.enqueue_trial(cell, user_attrs={"slot": slot})
    if not any(t.state == TrialState.WAITING for t in study.get_trials(deepcopy=False)):
        return None
    trial = study.ask()
    if trial.user_attrs.get("slot") in ended or "slot" not in trial.user_attrs:
        study.tell(trial, state=TrialState.FAIL)  # another machine was faster
        return None
    born = psutil.Process().create_time()
    worker = {"host": socket.gethostname(), "pid": os.getpid(), "born": born}
    trial.set_user_attr("worker", worker)
    return trial


def count_slots(study) -> dict[str, int]:
    """How many slots are finished, running and failed."""
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    return {
        "finished": sum(trial.state == TrialState.COMPLETE for trial in trials),
        "running": sum(trial.state == TrialState.RUNNING for trial in trials),
        "failed": sum("error" in trial.user_attrs for trial in trials),
    }


def is_complete(study) -> bool:
    """Whether every slot is finished or failed."""
    counts = count_slots(study)
    return counts["finished"] + counts["failed"] >= study.user_attrs["slots"]


def finished_trials(study) -> list:
    """The finished trials of a study, the best value first, equal ones in the order of slots."""
    from optuna.trial import TrialState

    trials = [t for t in study.get_trials(deepcopy=False) if t.state == TrialState.COMPLETE]
    return sorted(trials, key=lambda trial: (-trial.value, trial.user_attrs["slot"]))
