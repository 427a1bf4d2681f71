"""Workers: processes that train the cells of a search, each as many as it gets."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from lib.errors import InputError
from lib.runs.slots import count_slots, is_complete, signs_of_life, sweep_folder, take_slot
from lib.runs.store import ROOT, Run, store


@dataclass(frozen=True)
class Worker:
    """What this process needs to train the cells of a study, one after the other."""

    study: Any  # optuna.Study
    storage: Any  # its Optuna storage
    cells: list[dict]
    space: dict[str, list]
    train: Callable[[dict], tuple[Run, float]]  # a cell's finished run, and its value
    title: str  # of its lines of progress
    last_signs: dict = field(default_factory=dict)
    start: float = field(default_factory=time.perf_counter)

    def work(self) -> None:
        """Take slots and train their cells until all are finished, by this process or others."""
        finished_before = count_slots(self.study)["finished"]
        while True:
            trial = self.next_trial()
            if trial is not None:
                if self.train_trial(trial):
                    print(self.progress(finished_before), flush=True)
            elif is_complete(self.study):
                return
            else:
                time.sleep(0.5)

    def next_trial(self):
        """`take_slot` under the lock of this store, and of the database where there is one."""
        from sqlalchemy import select, table, text

        lock = FileLock(sweep_folder() / f"{self.study.study_name}.lock")
        engine = getattr(self.storage, "engine", None)
        with lock, engine.begin() if engine else nullcontext() as database:
            if database:  # workers with other stores queue for the one row of this table
                row = select(text("*")).select_from(table("version_info")).with_for_update()
                database.execute(row).all()
            return take_slot(self.study, self.cells, self.last_signs)

    def train_trial(self, trial) -> bool:
        """Train a trial's cell and tell the study its value, or why it cannot be trained; whether
        there is a run."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        cell = {
            name: trial.suggest_categorical(name, values) for name, values in self.space.items()
        }
        try:
            with signs_of_life(trial):  # the first cell reads the data
                run, value = self.train(cell)
            trial.set_user_attr("run", run.key[:16])
            trial.set_user_attr("status", run.verdict.get("outcome", run.status["status"]))
        except InputError as error:
            trial.set_user_attr("error", str(error))
            self.study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
            print(f"{cell}: {error}", flush=True)
            return False
        except UpdateFinishedTrialError:  # a process that was stopped for so long that others
            return False  # have taken its slot over
        self.study.tell(trial, value, skip_if_finished=True)
        return True

    def progress(self, finished_before: int) -> str:
        """Counts, the best cell so far, and how long the rest takes at this process's pace."""
        counts, slots = count_slots(self.study), len(self.cells)
        line = f"{self.title}: {counts['finished']}/{slots} finished, "
        line += f"{counts['running']} running, {counts['failed']} failed"
        if counts["finished"]:
            best = self.study.best_trial
            settings = " ".join(f"{name}={value}" for name, value in best.params.items())
            line += f", best {best.value:.4f} ({settings})"
        since_start = counts["finished"] - finished_before
        if since_start > 0:
            seconds_each = (time.perf_counter() - self.start) / since_start
            left = slots - counts["finished"] - counts["failed"]
            line += f", about {left * seconds_each / 60:.1f} min to go"
        return line


def start_workers(specification: Path, *, workers: int, storage: str | None) -> None:
    """Start `python -m lib sweep` so many times on this machine, each with its share of the
    threads, and wait for all.

    A killed one loses nothing: the others take over its slot, or the caller does.
    """
    command = [sys.executable, "-m", "lib", "sweep", str(specification)]
    if storage:
        command += ["--storage", storage]
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // workers))}
    options = {"cwd": ROOT, "env": os.environ | threads, "text": True, "encoding": "utf-8"}
    with ExitStack() as stack:
        processes = [
            stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, **options))
            for _ in range(workers)
        ]
        for process in processes:
            stack.callback(process.terminate)
        printers = [
            threading.Thread(target=_print_lines, args=(process.stdout,), daemon=True)
            for process in processes
        ]
        for printer in printers:
            printer.start()
        for process, printer in zip(processes, printers, strict=True):
            process.wait()
            printer.join()


def _print_lines(lines) -> None:
    """Print a worker's lines as they come, also into a notebook, but the last: the best run's
    folder is told by who started it."""
    for line in lines:
        if not line.startswith(str(store())):
            print(line, end="", flush=True)
