"""Experiment trackers by name, through accelerate.

They show what a run logs, while the run's own files hold it.
"""

import importlib.util
import json
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from lib.errors import InputError, lookup, without_passwords
from lib.fast.environment import alone

PROJECT = "finetuning-notebooks"  # unless WANDB_PROJECT or MLFLOW_EXPERIMENT_NAME names another
STORABLE = (bool, int, float, str)  # all that accelerate promises to store


def _tensorboard(folder: Path, run: str):
    from accelerate.tracking import TensorBoardTracker

    return TensorBoardTracker(run.replace("/", "_"), folder / "tensorboard"), {}


def _aim(folder: Path, run: str):
    from accelerate.tracking import AimTracker

    quiet = {"system_tracking_interval": None, "capture_terminal_logs": False}
    return AimTracker(run, _shared(folder, "aim"), experiment=PROJECT, **quiet), {}


def _mlflow(folder: Path, run: str):
    from accelerate.tracking import MLflowTracker

    variables = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{_shared(folder, 'mlflow')}/mlflow.db",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    return MLflowTracker(PROJECT, run_name=run), variables


def _wandb(folder: Path, run: str):
    from accelerate.tracking import WandBTracker

    project = os.environ.get("WANDB_PROJECT", PROJECT)
    home = _shared(folder, "wandb")
    return WandBTracker(project, name=run), {"WANDB_DIR": str(home.parent)}


def _trackio(folder: Path, run: str):
    from accelerate.tracking import TrackioTracker

    # embed: a server in an open notebook
    quiet = {"embed": False, "auto_log_cpu": False, "auto_log_gpu": False}
    home = _shared(folder, "trackio")
    return TrackioTracker(PROJECT, name=run, **quiet), {"TRACKIO_DIR": str(home)}


def _shared(folder: Path, name: str) -> Path:
    """The folder of the store where a tracker keeps its one database of all runs."""
    home = folder.resolve().parent / name
    home.mkdir(parents=True, exist_ok=True)
    return home


class Tracker(NamedTuple):
    """A row of `TRACKERS`.

    `make(folder, run)` gives an accelerate tracker that does nothing before its start(), for the
    run named `run` that is kept in `folder`, and the environment variables that it wants.
    """

    make: Callable[[Path, str], tuple]
    package: str | None = None  # that it needs beside accelerate


TRACKERS: dict[str, Tracker | None] = {
    "tensorboard": Tracker(_tensorboard, "tensorboard"),
    "none": None,
    "aim": Tracker(_aim, "aim"),
    "mlflow": Tracker(_mlflow, "mlflow"),
    "wandb": Tracker(_wandb, "wandb"),
    "trackio": Tracker(_trackio, "trackio"),
}


def check_tracker(name: str) -> None:
    """Raises InputError where there is no such tracker, or its package is not installed."""
    row = lookup(TRACKERS, name, "tracker")
    if row is None:
        return
    for needed in filter(None, ("accelerate", row.package)):
        # a mere folder of that name, such as wandb leaves, is found without an origin
        if getattr(importlib.util.find_spec(needed), "origin", None) is None:
            raise InputError(
                f"The tracker {name} needs the package {needed}, which is not installed: "
                f"pip install {needed}, or go without (tracker: none)."
            )


class Log:
    """Logs to a tracker until it fails; then it warns once, and logs nothing more.

    A curve with a hole would pass for a whole one, and a dead server costs its timeout each time.
    """

    def __init__(self, name: str, tracker, run: str):
        self.name = name
        self.tracker = tracker
        self.run = run
        self.failed = False

    def attempt(self, action: Callable, *arguments) -> None:
        try:
            action(*arguments)
        except Exception as error:
            if not self.failed:
                warnings.warn(
                    f"The tracker {self.name} failed, and {self.run} is not tracked any further: "
                    f"{type(error).__name__}: {without_passwords(str(error))}",
                    RuntimeWarning,
                    stacklevel=3,
                )
            self.failed = True

    def __call__(self, values: dict, step: int) -> None:
        """Log numbers at a step; None is left out."""
        if self.failed:
            return
        numbers = {key: float(value) for key, value in values.items() if value is not None}
        if self.name == "mlflow":  # whose names have no @
            numbers = {key.replace("@", "_at_"): value for key, value in numbers.items()}
        self.attempt(self.tracker.log, numbers, step)


@contextmanager
def tracking(
    name: str, folder: Path, *, run: str, config: dict
) -> Iterator[Callable[[dict, int], None]]:
    """Open a tracker for the run kept in `folder`, yield log(values, step), and close it.

    Values are numbers, and None is left out; steps must not fall. TensorBoard's events go below
    `folder`; the others keep one database of all runs, in the store around it or where their own
    environment variables say. Raises InputError where the tracker does not start; when it fails
    later, there is one warning, and the rest of the run is not tracked.
    """
    check_tracker(name)
    if name == "none":
        yield lambda values, step: None
        return
    tracker, variables = TRACKERS[name].make(folder, run)
    log = Log(name, tracker, run)
    with ExitStack() as stack:
        for key in variables.keys() - os.environ.keys():
            os.environ[key] = variables[key]
            stack.callback(os.environ.pop, key, None)
        stack.enter_context(quiet_threads(name))
        _start(name, tracker, folder.parent / "locks" / f"{name}.lock")
        stack.callback(log.attempt, tracker.finish)
        storable = {
            key: value if isinstance(value, STORABLE) else json.dumps(value, default=str)
            for key, value in config.items()
        }
        log.attempt(tracker.store_init_configuration, storable)
        yield log


@contextmanager
def quiet_threads(package: str) -> Iterator[None]:
    """Meanwhile, a thread of a tracker's package that fails prints no traceback.

    A tracker that writes in a thread raises what failed there when it is called next, and `Log`
    says it.
    """
    before = threading.excepthook

    def hook(failure):
        if not type(failure.thread).__module__.startswith(f"{package}."):
            before(failure)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


def _start(name: str, tracker, lock: Path) -> None:
    from accelerate import PartialState

    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        # two processes that make one database at once break it
        with FileLock(lock), alone():
            PartialState()  # trackers ask it who logs; cpu=True would join an MPI job's processes
            tracker.start()
    except Exception as error:
        raise InputError(
            f"The tracker {name} did not start; mend that, or go without (tracker: none): "
            f"{type(error).__name__}: {without_passwords(str(error))}"
        ) from None
