"""What a worker process of a cluster does for the process that hands out the runs (the driver)."""

import os
import threading
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from lib.errors import InputError, LockedError, StoppedError
from lib.many.added_rows import add_rows
from lib.many.single import prepare, run
from lib.runs.config import RunConfig
from lib.runs.files import content_digest, whole_folder
from lib.runs.keys import content_of, corpus_of
from lib.runs.machine import environment
from lib.runs.paths import KEY_LENGTH, ROOT
from lib.runs.seal import check_run, is_whole, seal_without_model
from lib.runs.store import load_run, store

PACKAGES = ("torch", "transformers", "tokenizers", "numpy")  # which a run's bytes depend on
TRIM = "MALLOC_TRIM_THRESHOLD_"  # in a worker's environment, it costs up to half the pace
SLOW = (
    f"has {TRIM} in its environment, as Dask's nanny sets it, and trains up to half as slow "
    "again; start it with --no-nanny (docs/scaling.md)"
)
ONE_AT_A_TIME = threading.Lock()  # a worker with several threads trains one run after the other


@dataclass(frozen=True)
class Job:
    """A run to train, as a worker is told it."""

    number: int  # its position among the runs
    config: RunConfig
    key: str
    title: str
    keep: tuple[str, ...] = ()  # prefix hashes to leave a checkpoint of
    options: dict = field(default_factory=dict)  # of `lib.many.single.run`
    rows: dict = field(default_factory=dict)  # see `lib.many.added_rows`

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return self.key[:KEY_LENGTH]


@dataclass(frozen=True)
class Driver:
    """What a worker must have in common with the driver."""

    versions: dict[str, str]
    marker: str  # a file of the driver's store: a worker that sees it has the same store


@dataclass(frozen=True)
class Outcome:
    """How a job ended: finished, failed, locked by another process, refused by a worker that is not
    as the driver is, or for want of its teacher."""

    kind: str
    message: str = ""
    files: dict[str, bytes] | None = None  # of the run, where the driver has another store
    content: dict | None = None  # of a job whose key is another one on the worker
    worker: str = ""  # its address
    remark: str = ""  # on the worker


@cache
def versions() -> dict[str, str]:
    """Of the packages that a run's bytes depend on, and of this project's code."""
    sources = [path.read_bytes() for path in sorted((ROOT / "lib").rglob("*.py"))]
    machine = environment()
    packages = {name: machine[name] for name in PACKAGES}
    return packages | {"lib": content_digest(b"".join(sources))[:12]}


def train_job(job: Job, driver: Driver) -> Outcome:
    """Train a run into the worker's own store."""
    from distributed import get_worker

    remark = SLOW if TRIM in os.environ else ""
    with ONE_AT_A_TIME:
        outcome = _train_job(job, driver)
    return replace(outcome, worker=get_worker().address, remark=remark)


def _train_job(job: Job, driver: Driver) -> Outcome:
    differing = [
        f"{name} {there} (the driver has {driver.versions[name]})"
        for name, there in versions().items()
        if there != driver.versions[name]
    ]
    if differing:
        return Outcome("refused", f"has {', '.join(differing)}; install the same there")
    add_rows(job.config, job.rows)
    teacher = job.config.distil.teacher if job.config.distil else None
    try:
        if teacher and not Path(teacher).is_dir() and not has_run(teacher):
            return Outcome("lacks teacher", teacher)
        if prepare(job.config).key != job.key:
            return Outcome("refused", content=content_of(job.config, corpus_of(job.config)))
        log = store() / "logs" / f"{job.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as lines, redirect_stdout(lines):
            finished = run(job.config, job.keep, **job.options)
    except InputError as error:
        return Outcome("failed", str(error))
    except (LockedError, StoppedError) as reason:
        return Outcome("locked", str(reason))
    is_shared = (store() / driver.marker).exists()
    return Outcome("finished", files=None if is_shared else read_files(finished.folder))


def has_run(name: str) -> bool:
    """Whether a run is in this process's store, with its model."""
    try:
        return (load_run(name).folder / "model").is_dir()
    except InputError:
        return False


def read_files(folder: Path, *, model: bool = False) -> dict[str, bytes]:
    """A run's files by their names below its folder; with `model`, those of its model, too."""
    paths = [path for path in folder.iterdir() if path.is_file()]
    if model:
        paths += [path for path in (folder / "model").rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def read_run(name: str) -> dict[str, bytes] | None:
    """All files of a run of this worker's store; None where it has none."""
    return read_files(load_run(name).folder, model=True) if has_run(name) else None


def write_run(name: str, files: dict[str, bytes], model_on: str = "") -> None:
    """Write a run into this process's store, whole and as its seal tells it, unless it is there;
    `model_on` names the worker that has its model, where this is not among the files.

    Raises InputError.
    """
    folder = store() / name
    if is_whole(folder) and (model_on or (folder / "model").is_dir()):
        return
    try:
        with whole_folder(folder, store() / "incoming" / name) as part:
            for place, content in files.items():
                path = part / place
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            if model_on:
                seal_without_model(part, model_on)
            check_run(part)
    except OSError:
        if not is_whole(folder):  # else another process was faster: its files are the same
            raise
