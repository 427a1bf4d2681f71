"""Sweeps: the runs of a search space, shared by any number of processes through an Optuna storage.

A sweep has slots, each a cell of the space (or, for `tpe`, a cell that the sampler names when the
slot is taken). Every process that works on a sweep takes one slot after the other, and takes over
the slots of processes that died.
"""

import hashlib
import itertools
import json
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Literal

import psutil
import yaml
from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lib.runs.config import RunConfig
from lib.errors import InputError, explain, nearest
from lib.metrics import METRICS
from lib.runs.pool import beginnings, run
from lib.runs.store import ROOT, Run, Runs, store
from lib.runs.tracking import check_tracker

GRACE = 60.0  # seconds without a sign of life after which a worker on another machine is taken for dead
WORST = -1e30  # the value of a run without a score: it diverged in its first epoch


class Sweep(BaseModel):
    """What is searched, and how. Raises InputError."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^\w[\w.-]*$")
    base: dict[str, Any]  # fields of RunConfig
    space: dict[str, list[Any]]  # field -> its values
    search: Literal["grid", "random", "tpe", "halving"] = "grid"
    trials: int | None = Field(None, ge=1)  # of random and tpe; None: as many as there are cells
    eta: int = Field(3, ge=2)  # halving: one in so many cells goes on, with so many times the epochs
    seed: int = 0
    tracker: str = "tensorboard"  # of each run (see `lib.runs.tracking`)

    def __init__(self, **values):
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise explain(error, type(self).model_fields) from None
        for field, choices in self.space.items():
            if field not in RunConfig.model_fields:
                raise InputError(f"space: unknown parameter {field!r}.{nearest(field, RunConfig.model_fields)}")
            if not choices:
                raise InputError(f"space: {field} has no values")
        for cell in self.cells():
            self.config(cell)

    @classmethod
    def of(cls, base: RunConfig, space: dict[str, list], study: str, **options) -> "Sweep":
        """A sweep around a configuration, named after the study and what is searched."""
        about = {"base": base.model_dump(exclude_defaults=True), "space": space} | options
        said = {name: value for name, value in about.items() if name != "tracker"}
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:8]
        return cls(name=f"{study}-{digest}", **about)

    def cells(self) -> list[dict]:
        """Every combination of the space's values; for `random`, `trials` of them, drawn without
        replacement."""
        cells = [dict(zip(self.space, values, strict=True)) for values in itertools.product(*self.space.values())]
        if self.search == "random":
            return random.Random(self.seed).sample(cells, min(self.trials or len(cells), len(cells)))
        return cells

    def config(self, cell: dict) -> RunConfig:
        return RunConfig(**self.base | cell)

    def rungs(self) -> list[int]:
        """After how many epochs halving chooses, the last being the end; one rung for every
        other search."""
        rungs = [self.config(self.cells()[0]).epochs]
        while self.search == "halving" and rungs[0] > 1 and self.eta ** len(rungs) <= len(self.cells()):
            rungs.insert(0, max(1, rungs[0] // self.eta))
        return rungs


def score(finished: Run) -> float:
    """The best dev score of a run over all its evaluations, the higher the better."""
    metric = finished.config.select_by
    if not finished.status["chosen_epoch"]:
        return WORST
    values = finished.history[f"dev_{metric}"]
    return float(values.max()) if METRICS[metric].higher_is_better else -float(values.min())


def storage_of(spec: Sweep, url: str | None):
    """The storage at a database URL, or a journal file in the run store."""
    import optuna
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend
    from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if url:
        try:
            for pause in (0.3, 1, 3):  # of workers that start together on an empty database, one makes the tables
                with suppress(IntegrityError, ProgrammingError):
                    return RDBStorage(url)
                time.sleep(pause * random.random())
            return RDBStorage(url)
        except (SQLAlchemyError, ImportError) as error:
            shown = re.sub(r"://[^@/]*@", "://…@", url)  # without a password
            raise InputError(f"The storage {shown} cannot be used: {str(error).splitlines()[0]}") from None
    folder = store() / "sweeps"
    folder.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(folder / f"{spec.name}.journal")))


def open_study(spec: Sweep, storage, rung: int, slots: int):
    """The Optuna study of one rung. Raises InputError where a study of that name searches
    something else."""
    import optuna

    about = spec.model_dump(exclude={"tracker"}) | {"rung": rung}
    sampler = optuna.samplers.TPESampler(seed=spec.seed + os.getpid() % 1000, constant_liar=True)
    study = optuna.create_study(
        study_name=f"{spec.name}-{rung}", storage=storage, direction="maximize", sampler=sampler, load_if_exists=True
    )
    if study.user_attrs.setdefault("spec", about) != about:
        raise InputError(f"The sweep {spec.name} exists with another specification; give this one another name")
    study.set_user_attr("spec", about)
    study.set_user_attr("slots", slots)
    return study


def _me() -> dict:
    return {"host": socket.gethostname(), "pid": os.getpid(), "born": psutil.Process().create_time()}


@contextmanager
def signs_of_life(trial):
    """Meanwhile, write the time into a trial every quarter of `GRACE`, for workers on other
    machines to see."""
    done = threading.Event()

    def write():
        while not done.wait(GRACE / 4):
            with suppress(Exception):  # a database that is out of reach for a moment must not end a run
                trial.set_user_attr("sign", time.time())

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _alive(trial, heard: dict) -> bool:
    """Whether the worker of a trial lives: a process here, or one elsewhere whose signs of life
    change. For how long they have not is told by this machine's clock alone: those of two
    machines differ, time zones included. `heard` keeps each trial's last sign, and when it came."""
    worker = trial.user_attrs.get("worker")
    if worker is None or worker["host"] != socket.gethostname():
        sign, now = trial.user_attrs.get("sign"), time.monotonic()
        if heard.setdefault(trial.number, (sign, now))[0] != sign:
            heard[trial.number] = sign, now
        return now - heard[trial.number][1] < GRACE
    try:
        process = psutil.Process(worker["pid"])  # a killed one stays as a zombie until its parent waits for it
        return process.create_time() == worker["born"] and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def take(study, cells: list[dict], heard: dict):
    """The next trial for this process, or None where none is left to take; frees the slots of dead
    processes first.

    Called under a lock that all processes of a storage share. An empty cell is left to the sampler;
    `heard` is this process's memory of others (see `_alive`).
    """
    from optuna.trial import TrialState

    done, waiting = set(), set()
    for trial in study.get_trials(deepcopy=False):
        slot, attrs = trial.user_attrs.get("slot"), trial.user_attrs
        if trial.state == TrialState.COMPLETE or "error" in attrs:
            done.add(slot)
        elif trial.state == TrialState.WAITING:
            waiting.add(slot)
        elif trial.state == TrialState.RUNNING:
            if _alive(trial, heard):
                waiting.add(slot)
            else:
                study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
    for slot, cell in enumerate(cells):
        if slot not in done | waiting:
            study.enqueue_trial(cell, user_attrs={"slot": slot})
    if not any(t.state == TrialState.WAITING for t in study.get_trials(deepcopy=False)):
        return None
    trial = study.ask()
    if trial.user_attrs.get("slot") in done or "slot" not in trial.user_attrs:  # another machine was faster
        study.tell(trial, state=TrialState.FAIL)
        return None
    trial.set_user_attr("worker", _me())
    return trial


def states(study) -> dict[str, int]:
    """How many slots are finished, running and failed."""
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    return {
        "finished": sum(t.state == TrialState.COMPLETE for t in trials),
        "running": sum(t.state == TrialState.RUNNING for t in trials),
        "failed": sum("error" in t.user_attrs for t in trials),
    }


def _line(study, slots: int, name: str, start: float, first: int) -> str:
    """Progress of a rung: counts, the best so far, and how long it will take at the pace since
    this process came."""
    n = states(study)
    line = f"{name}: {n['finished']}/{slots} finished, {n['running']} running, {n['failed']} failed"
    if n["finished"]:
        best = study.best_trial
        told = " ".join(f"{field}={value}" for field, value in best.params.items())
        line += f", best {best.value:.4f} ({told})"
    if n["finished"] > first:
        left = (slots - n["finished"] - n["failed"]) * (time.perf_counter() - start) / (n["finished"] - first)
        line += f", about {left / 60:.1f} min to go"
    return line


def _work(spec: Sweep, storage, study, cells: list[dict], rung: int, last: bool) -> None:
    """Take slots of a rung and run them until all are finished, by this process or others."""
    from optuna.exceptions import UpdateFinishedTrialError
    from sqlalchemy import select, table, text

    lock = FileLock(store() / "sweeps" / f"{study.study_name}.lock")
    start, first, heard = time.perf_counter(), states(study)["finished"], {}
    while True:
        with lock, storage.engine.begin() if hasattr(storage, "engine") else nullcontext() as database:
            if database:  # shared by workers with other stores: they queue for the one row of this table
                database.execute(select(text("*")).select_from(table("version_info")).with_for_update()).all()
            trial = take(study, cells, heard)
        if trial is None:
            n = states(study)
            if n["finished"] + n["failed"] >= len(cells):
                return
            time.sleep(0.5)
            continue
        cell = {field: trial.suggest_categorical(field, values) for field, values in spec.space.items()}
        config = spec.config(cell)
        try:
            with signs_of_life(trial):  # the first cell reads the data
                keep = () if last else {beginnings(config)[rung - 1]}
                finished = run(config if last else config.with_(stop_after=rung), keep, spec.tracker)
            trial.set_user_attr("run", finished.key[:16])
            trial.set_user_attr("status", finished.verdict.get("outcome", finished.status["status"]))
        except InputError as error:
            trial.set_user_attr("error", str(error))
            study.tell(trial, state=_failed(), skip_if_finished=True)
            print(f"{cell}: {error}", flush=True)
            continue
        except UpdateFinishedTrialError:  # it was silent for so long (a stopped process) that others took the slot over
            continue
        study.tell(trial, score(finished), skip_if_finished=True)
        print(_line(study, len(cells), spec.name if last else f"{study.study_name} epochs", start, first), flush=True)


def _failed():
    from optuna.trial import TrialState

    return TrialState.FAIL


def sweep(spec: Sweep, *, workers: int = 1, storage: str | None = None) -> Runs:
    """The runs of a sweep, the best dev score first. Processes with the same specification and
    storage share the work; `workers` starts so many on this machine, each with its share of the
    threads. What is finished is not run again."""
    check_tracker(spec.tracker)
    beginnings(spec.config(spec.cells()[0]))  # reads the data: what is wrong with it is said before the name is taken
    opened = storage_of(spec, storage)
    cells, rungs = spec.cells(), spec.rungs()
    if spec.search == "tpe":
        cells = [{}] * min(spec.trials or len(cells), 10 * len(cells))
    for number, rung in enumerate(rungs):
        last = number == len(rungs) - 1
        study = open_study(spec, opened, rung, len(cells))
        n = states(study)
        if workers > 1 and n["finished"] + n["failed"] < len(cells):
            _start(spec, workers, storage)  # they work through all rungs
            workers = 1
        _work(spec, opened, study, cells, rung, last)
        if not last:
            cells = survivors(study, cells, spec.eta)
    return Runs(_runs(study))


def _start(spec: Sweep, workers: int, storage: str | None) -> None:
    """Start worker processes and wait for them. A killed one loses nothing: the others take over
    its slot, or the process that called this does."""
    path = store() / "sweeps" / f"{spec.name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(spec.model_dump(), sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", "lib", "sweep", str(path), *(["--storage", storage] if storage else [])]
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // workers))}
    told = {"stdout": subprocess.PIPE, "text": True, "encoding": "utf-8"}  # line by line, also into a notebook
    processes = [subprocess.Popen(command, env=os.environ | threads, cwd=ROOT, **told) for _ in range(workers)]
    tellers = [threading.Thread(target=_tell, args=(process.stdout,), daemon=True) for process in processes]
    try:
        for teller in tellers:
            teller.start()
        for process, teller in zip(processes, tellers, strict=True):
            process.wait()
            teller.join()
    finally:
        for process in processes:
            process.terminate()


def _tell(lines) -> None:
    """Print a worker's lines, but the last: the best run's folder is told by who started it."""
    for line in lines:
        if not line.startswith(str(store())):
            print(line, end="", flush=True)


def survivors(study, cells: list[dict], eta: int) -> list[dict]:
    """The best cells of a rung, one in `eta`; equal ones in the order of the space."""
    from optuna.trial import TrialState

    done = [t for t in study.get_trials(deepcopy=False) if t.state == TrialState.COMPLETE]
    value = {t.user_attrs["slot"]: t.value for t in done}
    order = sorted(value, key=lambda slot: (-value[slot], slot))
    return [cells[slot] for slot in sorted(order[: max(1, -(-len(cells) // eta))])]


def dropped(spec: Sweep, *, storage: str | None = None) -> Runs:
    """The runs that a halving sweep did not go on with, each as far as it was trained, those of
    later rungs first."""
    opened, cells, found = storage_of(spec, storage), spec.cells(), []
    for rung in spec.rungs()[:-1]:
        study = open_study(spec, opened, rung, len(cells))
        cells = survivors(study, cells, spec.eta)
        kept = [{field: getattr(spec.config(cell), field) for field in spec.space} for cell in cells]
        found[:0] = [r for r in _runs(study) if {field: getattr(r.config, field) for field in spec.space} not in kept]
    return Runs(found)


def _runs(study) -> list[Run]:
    from optuna.trial import TrialState

    done = [t for t in study.get_trials(deepcopy=False) if t.state == TrialState.COMPLETE]
    if not done:
        raise InputError(f"No cell of {study.user_attrs['spec']['name']} could be run; why is told above")
    keys = dict.fromkeys(t.user_attrs["run"] for t in sorted(done, key=lambda t: (-t.value, t.user_attrs["slot"])))
    runs = [Run(store() / key) for key in keys]
    elsewhere = [run.folder.name for run in runs if not (run.folder / "status.json").exists()]
    if elsewhere:
        print(f"{len(elsewhere)} runs are in another machine's store: {', '.join(elsewhere)}", flush=True)
    return [run for run in runs if run.folder.name not in elsewhere]
