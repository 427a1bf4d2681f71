"""Many runs: what the store lacks is trained, and epochs that runs share are trained once.

By this process, or by the workers of a cluster.
"""

import heapq
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

from lib.errors import InputError, LockedError, StoppedError
from lib.many.added_rows import added_rows
from lib.many.report import Report, titles_of
from lib.many.shared_epochs import SharedBeginnings
from lib.many.single import prepare, run, tidy, with_backend
from lib.many.workers import Job, Outcome
from lib.runs.config import RunConfig
from lib.runs.keys import Prepared
from lib.runs.part_files import remove
from lib.runs.paths import KEY_LENGTH
from lib.runs.published import published_page, published_runs
from lib.runs.store import Run, Runs, store
from lib.session.tracking import check_tracker


class ThisProcess:
    """Trains runs one after the other, in their order."""

    is_remote = False
    size = 1

    def __init__(self, *, go_on: bool):
        self.go_on = go_on  # after a run that could not be trained
        self.jobs: list[tuple[int, Job]] = []

    def submit(self, job: Job, beginnings: list[str]) -> None:
        heapq.heappush(self.jobs, (job.number, job))

    def next(self, report: Report) -> tuple[Job, Outcome]:
        """Train the next run, and say how it ended."""
        job = heapq.heappop(self.jobs)[1]
        print(report.announce(job), flush=True)
        try:
            run(job.config, job.keep, **job.options)
        except LockedError as reason:
            return job, Outcome("locked", str(reason))
        except InputError as error:
            if not self.go_on:
                raise
            return job, Outcome("failed", str(error))
        return job, Outcome("finished")

    def fetch_model(self, key: str) -> bool:
        return (store() / key[:KEY_LENGTH] / "model").is_dir()

    def close(self) -> None:
        pass


def engine(workers: int = 1, cluster: str | None = None, *, go_on: bool = False):
    """Who trains: this process; so many workers of this machine; or those of a Dask cluster.

    With `go_on`, a run that this process cannot train does not end its work. Raises InputError.
    """
    if workers < 1:
        raise InputError(f"workers = {workers}; it wants 1 or more")
    if workers == 1 and not cluster:
        return ThisProcess(go_on=go_on)
    try:
        from lib.many.cluster import Cluster
    except ModuleNotFoundError as error:
        asked = f"cluster = {cluster}" if cluster else f"workers = {workers}"
        raise InputError(
            f"{asked} needs Dask, and there is no module {error.name} here; install dask and "
            "distributed, or take workers = 1: this process then trains all runs"
        ) from None

    return Cluster(workers, cluster or None)


class Work:
    """The runs of a list that the store lacks, handed to an engine until all have ended."""

    def __init__(
        self, prepared: list[Prepared], crew, *, keep: dict[int, str], name: str, options: dict
    ):
        self.prepared = prepared
        self.crew = crew
        self.keep = keep  # a state to leave a checkpoint of, by position
        self.options = options
        self.missing = [i for i, one in enumerate(prepared) if not one.is_finished]
        self.beginnings = SharedBeginnings(prepared, self.missing)
        self.first = {i: self.beginnings.first(i) for i in self.missing}
        self.rows = [added_rows(one.config) if crew.is_remote else {} for one in prepared]
        self.titles = titles_of([one.config for one in prepared])
        self.report = Report(name, len(prepared), len(self.missing))
        self.under_way: set[int] = set()
        self.locked: list[int] = []  # by other processes: looked at last

    def submit(self, i: int, *, wait: bool = False) -> None:
        """Hand a run to the engine; `wait` for another process that trains it."""
        states = set(self.beginnings.to_keep(i))
        if i in self.keep:
            states.add(self.keep[i])
        job = Job(
            number=i,
            config=self.prepared[i].config,
            key=self.prepared[i].key,
            title=self.titles[i],
            keep=tuple(sorted(states)),
            options=self.options | {"wait": wait},
            rows=self.rows[i],
        )
        self.under_way.add(i)
        self.crew.submit(job, self.beginnings.hashes[i])

    def ended(self) -> Iterator[tuple[int, str | None]]:
        """The runs by position as they end, with why one could not be trained."""
        for i in self.missing:
            if self.first[i] is None:
                self.submit(i)
        while self.under_way:
            job, outcome = self.crew.next(self.report)
            self.under_way.discard(job.number)
            if outcome.kind == "locked":
                self.locked.append(job.number)
            elif outcome.kind == "lacks teacher":
                self.crew.send_teacher(job, outcome.message)
                self.submit(job.number)
            else:
                yield job.number, self.settle(job, outcome)
            if not self.under_way:
                for i in self.locked:
                    self.submit(i, wait=True)
                self.locked = []

    def settle(self, job: Job, outcome: Outcome) -> str | None:
        """Count a run that has ended, and hand out those that go on from it; why it failed."""
        failure = outcome.message if outcome.kind == "failed" else None
        if failure:
            self.report.show(f"{job.title}: {failure}\n")
        self.report.add(job, None if failure else Run(self.prepared[job.number].folder))
        if self.crew.is_remote:
            self.report.show(self.report.summary())
        self.beginnings.finish(job.number, leave=job.keep if job.number in self.keep else ())
        for later in self.missing:
            if self.first[later] == job.number:
                self.submit(later)
        return failure


def train_all(
    prepared: list[Prepared],
    crew,
    *,
    keep: dict[int, str] | None = None,
    name: str = "",
    **options,
) -> list[str | None]:
    """Train what the store lacks of these runs; why each could not be trained, or None.

    `crew` is an `engine`. A run that another process trains is left for last. The other options
    are those of `run`.
    """
    for one in prepared:
        if one.is_finished:
            tidy(one)
    failures: list[str | None] = [None] * len(prepared)
    work = Work(prepared, crew, keep=keep or {}, name=name, options=options)
    for i, failure in work.ended():
        failures[i] = failure
    return failures


def run_all(
    configs: list[RunConfig],
    tracker: str = "tensorboard",
    *,
    workers: int = 1,
    cluster: str | None = None,
    models: bool = False,
    **options,
) -> Runs:
    """Every configuration's run, in order; trains only what the store lacks, and says what it does.

    `workers` processes of this machine train them, each with its share of the threads or its own
    GPU; or those of the Dask cluster whose scheduler's address or file `cluster` is. `models`
    brings models home from workers that have other stores. The other options are those of `run`
    that say how to train: checkpoint_every, backend, processes. Runs whose first epochs are the
    same (schedules that part later) train those once. Raises InputError, also where some runs could
    not be trained, and StoppedError; the same command goes on.
    """
    check_tracker(tracker)
    backend, processes = options.get("backend"), options.get("processes")
    configs = [with_backend(config, backend, processes)[0] for config in configs]
    configs = [config for i, config in enumerate(configs) if config not in configs[:i]]
    page = published_page()
    if page:
        return published_runs(page, configs)
    prepared = [prepare(config) for config in configs]
    trained = sum(not one.is_finished for one in prepared)
    with closing(engine(workers, cluster)) as crew, interruptible():
        failures = list(filter(None, train_all(prepared, crew, tracker=tracker, **options)))
        if models:
            bring_models(crew, prepared, tracker=tracker, **options)
    if failures:
        others = f" (and {len(failures) - 1} more runs: see above)" if len(failures) > 1 else ""
        raise InputError(failures[0] + others)
    print(
        f"{len(configs)} runs: {trained} trained, {len(configs) - trained} from the store",
        flush=True,
    )
    return Runs(Run(one.folder) for one in prepared)


def bring_models(crew, prepared: list[Prepared], **options) -> None:
    """Have the models of runs in this store: from workers that have other stores, or trained again
    where they are gone. The options are those of `run`."""
    gone = [one for one in prepared if not _has_model(crew, one)]
    for one in gone:
        print(f"The model of {one.name} is gone; it is trained again", flush=True)
        remove(one.folder)
    if gone:
        train_all(gone, crew, **options)
        for one in gone:
            _has_model(crew, one)


def _has_model(crew, prepared: Prepared) -> bool:
    """Whether a run's model is in this store now, if it has one at all."""
    if prepared.config.is_reference or not prepared.is_finished:
        return True
    diverged_at_once = not Run(prepared.folder).status["chosen_epoch"]
    return diverged_at_once or crew.fetch_model(prepared.key)


@contextmanager
def interruptible() -> Iterator[None]:
    """Meanwhile, Ctrl-C and SIGTERM outside a run raise StoppedError."""

    def stop(number, frame):
        raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if is_main else None
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedError("the same command goes on with what is not finished") from None
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before)
