"""The workers of a Dask cluster, started here or by others, as an engine of `lib.many.pool`."""

import asyncio
import json
import logging
import os
import sys
import uuid
from functools import cached_property
from pathlib import Path

import dask
import torch
from distributed import Client, KilledWorker, Scheduler, SpecCluster, as_completed
from distributed.deploy.subprocess import SubprocessWorker

from lib.errors import InputError
from lib.many.workers import (
    TRIM,
    Driver,
    Job,
    Outcome,
    read_files,
    read_run,
    train_job,
    versions,
    write_run,
)
from lib.runs.keys import content_of
from lib.runs.paths import KEY_LENGTH
from lib.runs.store import Run, load_run, store

ANSWER = 10  # seconds that a scheduler has to answer
DEATHS = 3  # workers that a run may kill before it counts as failed
FETCHED_IN = 600  # seconds in which a model arrives, or its worker counts as gone
CHANGES = {  # of Dask's own settings, of a cluster that is started here
    "distributed.scheduler.allowed-failures": DEATHS - 1,
    "distributed.scheduler.worker-saturation": 1.0,  # a run waits at the scheduler, for any worker
    "distributed.worker.daemon": False,  # a run may start processes of its own
    "distributed.worker.profile.enabled": False,
    "distributed.nanny.pre-spawn-environ": {TRIM: None},  # it costs up to half the pace
}


class LocalWorker(SubprocessWorker):
    """A worker process of this machine with an environment of its own; a nanny replaces it when it
    dies. It is started by a command: an unguarded script of a user's is not run again."""

    def __init__(self, *arguments, environment: dict[str, str], log: Path, **options):
        super().__init__(*arguments, **options)
        self.environment = environment
        self.log = log

    async def _start(self) -> None:
        specification = json.dumps({"cls": self.worker_class, "opts": self.worker_kwargs})
        command = [sys.executable, "-m", "dask", "spec", self.scheduler, "--spec", specification]
        with self.log.open("a", encoding="utf-8") as log:
            self.process = await asyncio.create_subprocess_exec(
                *command, env=self.environment, stdout=log, stderr=log
            )


def environment_of(worker: int, workers: int) -> dict[str, str]:
    """The environment of one of so many workers of this machine: its share of the threads, or its
    own GPU."""
    variables = {name: value for name, value in os.environ.items() if name != TRIM}
    variables["OMP_NUM_THREADS"] = str(max(1, torch.get_num_threads() // workers))
    variables["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    variables["DASK_INTERNAL_INHERIT_CONFIG"] = dask.config.serialize(dask.config.global_config)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = visible.split(",") if visible else list(map(str, range(torch.cuda.device_count())))
    if devices:
        variables["CUDA_VISIBLE_DEVICES"] = devices[worker % len(devices)]
    return variables


def start_local(workers: int) -> SpecCluster:
    """A cluster of so many single-threaded workers, each a process of this machine."""
    logs = store() / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    arguments = {"nthreads": 1, "memory_limit": 0, "host": "127.0.0.1", "dashboard": False}
    arguments["local_directory"] = str(store() / "dask")
    scheduler = {"host": "127.0.0.1", "dashboard": False, "port": 0}  # not for other machines
    scheduler["dashboard_address"] = "127.0.0.1:0"  # its server for files has a port all the same
    logging.getLogger("distributed.batched").setLevel(logging.ERROR)  # a worker that has left
    with dask.config.set(CHANGES):
        specifications = {}
        for number in range(workers):
            options = {"worker_kwargs": arguments | {"name": f"worker-{number}"}}
            options["environment"] = environment_of(number, workers)
            options["log"] = logs / f"worker-{number}.log"
            specifications[number] = {"cls": LocalWorker, "options": options}
        return SpecCluster(
            workers=specifications,
            scheduler={"cls": Scheduler, "options": scheduler},
            silence_logs=logging.ERROR,
        )


def explain(error: BaseException) -> str:
    """Why a run could not be trained, where it was not for its configuration."""
    if isinstance(error, KilledWorker):
        deaths = error.allowed_failures + 1
        return f"its worker died {deaths} times; {error.last_worker.address} was the last"
    if isinstance(error, ModuleNotFoundError):
        return f"a worker has no module {error.name}: install this project there"
    return f"{type(error).__name__}: {error}"


def different_content(job: Job, there: dict) -> str:
    """What a run depends on that is another on a worker than here."""
    content = content_of(job.config)
    names = [name for name in content if content[name] != there.get(name)]
    advice = "name it in the configuration" if names == ["precision"] else "give it the same"
    return f"would train another run: its {', '.join(names) or 'key'} differs; {advice}"


class Cluster:
    """Hands runs to the workers of a cluster: to so many of this machine's, or of `address`, a
    scheduler's address or file."""

    is_remote = True

    def __init__(self, workers: int, address: str | None):
        self.workers = workers
        self.address = address
        self.local: SpecCluster | None = None
        self.jobs: dict = {}  # the jobs of runs that are under way, by their futures
        self.places: dict[str, str] = {}  # a worker that has a run or a shared beginning, by name
        self.slow: set[str] = set()  # workers that were said to be slow
        self.refused: dict[str, str] = {}  # workers that are not as the driver is, and why
        self.sent: set[tuple[int, str]] = set()  # which teachers were sent for which jobs

    @cached_property
    def client(self) -> Client:
        """The connection, made when the first run is handed out. Raises InputError."""
        if self.address is None:
            self.local = start_local(self.workers)
            return Client(self.local)
        try:
            if Path(self.address).is_file():
                return Client(scheduler_file=self.address, timeout=ANSWER)
            return Client(self.address, timeout=ANSWER)
        except (OSError, ValueError, ImportError) as error:
            raise InputError(
                f"No scheduler answers at cluster = {self.address} ({error or 'in time'}); start "
                "one with `dask scheduler`, and name its address or its scheduler file"
            ) from None

    @property
    def size(self) -> int:
        """How many workers there are."""
        return max(self.workers, len(self.workers_there()))

    @cached_property
    def done(self) -> as_completed:
        self.client  # noqa: B018  which it needs
        return as_completed()

    @cached_property
    def driver(self) -> Driver:
        marker = Path("locks") / f"driver-{uuid.uuid4().hex[:8]}"
        (store() / marker).parent.mkdir(parents=True, exist_ok=True)
        (store() / marker).touch()
        return Driver(versions(), str(marker))

    def submit(self, job: Job, beginnings: list[str]) -> None:
        """Hand a run out, preferably to the worker that has the furthest of its beginnings."""
        there = self.workers_there()
        if self.address and not there and not self.jobs:
            print(f"No worker is connected to {self.address} yet: waiting for one", flush=True)
        known = [self.places[name] for name in beginnings if self.places.get(name) in there]
        where = {"workers": known[-1:], "allow_other_workers": True} if known else {}
        if self.refused:
            where = {"workers": [name for name in there if name not in self.refused]}
            if not where["workers"]:
                raise InputError(f"No worker can be used: {'; '.join(self.refused.values())}")
        name = f"{job.name}-{uuid.uuid4().hex[:8]}"
        future = self.client.submit(train_job, job, self.driver, key=name, pure=False, **where)
        self.jobs[future] = job
        self.done.add(future)

    def next(self, report) -> tuple[Job, Outcome]:
        """The next run that has ended, and how. Raises InputError where the scheduler is gone."""
        future = next(self.done)
        if future.status == "lost" and self.client.status == "running":
            self.done.add(future)  # its worker died with the outcome: Dask has it trained again
            return self.next(report)
        job = self.jobs.pop(future)
        if future.status in ("cancelled", "lost"):
            raise InputError("The cluster's scheduler is gone; the same command goes on")
        error = future.exception()
        if error is not None:
            return job, Outcome("failed", explain(error))
        return job, self.settle(job, future.result())

    def settle(self, job: Job, outcome: Outcome) -> Outcome:
        """What a worker says of a run, with its files in this store; a run that a worker refuses
        is locked, and goes to another."""
        if outcome.kind == "refused":
            reason = outcome.message
            if outcome.content is not None:
                reason = different_content(job, outcome.content)
            self.refused[outcome.worker] = f"{outcome.worker} {reason}"
            print(f"The worker {self.refused[outcome.worker]}", flush=True)
            return Outcome("locked", reason)
        if outcome.remark and outcome.worker not in self.slow:
            self.slow.add(outcome.worker)
            print(f"The worker {outcome.worker} {outcome.remark}", flush=True)
        for name in [job.key, *job.keep]:
            self.places[name] = outcome.worker
        if outcome.files is None:
            return outcome
        try:
            write_run(job.name, outcome.files, model_on=outcome.worker)
        except InputError as error:
            return Outcome("failed", str(error))
        return outcome

    def send_teacher(self, job: Job, name: str) -> None:
        """Write a run of this store, with its model, into the stores of the workers. Raises
        InputError where that does not help."""
        if (job.number, name) in self.sent:
            raise InputError(f"{job.title}: no worker finds its teacher {name} in its store")
        self.sent.add((job.number, name))
        teacher = load_run(name)
        self.client.run(write_run, teacher.name, read_files(teacher.folder, model=True))

    def fetch_model(self, key: str) -> bool:
        """Bring a run with its model into this store, from the worker that trained it; whether it
        is there."""
        name = key[:KEY_LENGTH]
        folder = store() / name
        if (folder / "model").is_dir():
            return True
        address = self.places.get(key) or Run(folder).status.get("model_on")
        if address not in self.workers_there():
            return False
        task = self.client.submit(read_run, name, workers=[address], pure=False)
        try:
            files = task.result(timeout=FETCHED_IN)
        except TimeoutError:
            return False
        if files is not None:
            write_run(name, files)
        return files is not None

    def workers_there(self) -> list[str]:
        """The addresses of the workers that are connected now."""
        return list(self.client.scheduler_info(n_workers=-1)["workers"])

    def close(self) -> None:
        """End the connection, and the workers that were started here."""
        if "driver" in vars(self):
            (store() / self.driver.marker).unlink(missing_ok=True)
        if "client" in vars(self):
            self.client.close()
        if self.local:
            self.local.close()
