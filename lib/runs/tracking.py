"""Experiment trackers by name, through accelerate: they show what a run logs, while the run's
own files hold it."""

import importlib.util
import json
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock

from lib.errors import InputError, lookup

TRACKERS = {"tensorboard": "tensorboard", "none": None}  # with the package that each needs beside accelerate
TRACKERS |= {"aim": "aim", "mlflow": "mlflow", "wandb": "wandb", "trackio": "trackio"}
PROJECT = "finetuning-notebooks"  # unless WANDB_PROJECT or MLFLOW_EXPERIMENT_NAME names another
PLAIN = (bool, int, float, str)  # all that accelerate promises to store


def check_tracker(name: str) -> None:
    """Raises InputError where there is no such tracker, or its package is not installed; imports
    nothing."""
    package = lookup(TRACKERS, name, "tracker")
    for needed in ("accelerate", package) if package else ():
        # a mere folder of that name in the working directory, such as wandb leaves, is found without an origin
        if getattr(importlib.util.find_spec(needed), "origin", None) is None:
            told = f"The tracker {name} needs the package {needed}, which is not installed"
            raise InputError(f"{told}: pip install {needed}, or go without (tracker: none).")


@contextmanager
def tracking(name: str, folder: Path, *, run: str, config: dict) -> Iterator[Callable[[dict, int], None]]:
    """Open a tracker for the run kept in `folder`, yield log(values, step), and close it whatever
    happens meanwhile.

    Values are numbers, and None is left out; steps must not fall. TensorBoard's events go below
    `folder`; the others keep one database of all runs, in the store around it or where their own
    environment variables say. Raises InputError where the tracker does not start. When it fails
    later, there is one warning and the rest of the run is not tracked: a curve with a hole would
    pass for a whole one, and a dead server costs its timeout at every step.
    """
    check_tracker(name)
    if name == "none":
        yield lambda values, step: None
        return
    failed = False

    def attempt(action: Callable, *values) -> None:
        nonlocal failed
        try:
            action(*values)
        except Exception as error:
            if not failed:
                told = f"The tracker {name} failed, and {run} is not tracked any further"
                warnings.warn(f"{told}: {type(error).__name__}: {error}", RuntimeWarning, stacklevel=3)
            failed = True

    def log(values: dict, step: int) -> None:
        if not failed:
            known = {key: value for key, value in values.items() if value is not None}
            mended = {key.replace("@", "_at_") if name == "mlflow" else key: float(known[key]) for key in known}
            attempt(tracker.log, mended, step)

    from accelerate import PartialState

    tracker, variables = _tracker(name, folder, run)
    with ExitStack() as stack:
        for key in variables.keys() - os.environ.keys():
            os.environ[key] = variables[key]
            stack.callback(os.environ.pop, key, None)
        locks = folder.parent / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(locks / f"{name}.lock"):  # two processes that make one database at once break it
                PartialState()  # which trackers ask who logs; cpu=True would join the processes of an MPI job
                tracker.start()
        except Exception as error:
            told = f"The tracker {name} did not start; mend that, or go without (tracker: none)"
            raise InputError(f"{told}: {type(error).__name__}: {error}") from error
        stack.callback(attempt, tracker.finish)
        plain = {k: v if isinstance(v, PLAIN) else json.dumps(v, default=str) for k, v in config.items()}
        attempt(tracker.store_init_configuration, plain)
        yield log


def _tracker(name: str, folder: Path, run: str) -> tuple:
    """A tracker that does nothing before its start(), and the environment variables that keep it
    in the store."""
    from accelerate import tracking

    home = folder.resolve().parent / name
    if name == "tensorboard":
        return tracking.TensorBoardTracker(run.replace("/", "_"), folder / name), {}
    home.mkdir(parents=True, exist_ok=True)
    if name == "aim":
        quiet = {"system_tracking_interval": None, "capture_terminal_logs": False}
        return tracking.AimTracker(run, home, experiment=PROJECT, **quiet), {}
    if name == "mlflow":
        variables = {"MLFLOW_TRACKING_URI": f"sqlite:///{home}/mlflow.db", "MLFLOW_DISABLE_TELEMETRY": "true"}
        return tracking.MLflowTracker(PROJECT, run_name=run), variables
    if name == "wandb":
        project = os.environ.get("WANDB_PROJECT", PROJECT)
        return tracking.WandBTracker(project, name=run), {"WANDB_DIR": str(home.parent)}
    quiet = {"embed": False, "auto_log_cpu": False, "auto_log_gpu": False}  # embed: a server in an open notebook
    return tracking.TrackioTracker(PROJECT, name=run, **quiet), {"TRACKIO_DIR": str(home)}
