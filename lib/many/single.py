"""The finished run of one configuration, from the store or trained now."""

import shutil
import signal
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext, suppress

from lib.devices import ONE_PROCESS, OneProcess
from lib.errors import InputError, StoppedError, reason_of, system_error
from lib.fast import parallel
from lib.fast.launch import BACKENDS, launch, resolve_backend
from lib.garbage import search_for_garbage
from lib.many.locks import locked
from lib.references.baselines import baseline_predictions
from lib.references.from_file import predicted_in_file
from lib.runs.config import READ_BY_REFERENCE, RunConfig
from lib.runs.files import write_json
from lib.runs.keys import Prepared, corpus_of, run_key
from lib.runs.machine import environment
from lib.runs.part_files import remove
from lib.runs.published import published_page, published_runs
from lib.runs.seal import STATUS, damage, describe_damage, replace_sealed, seal
from lib.runs.store import Run, store
from lib.session.building import check_settings
from lib.session.checkpoints import MINUTES, CheckpointTimer
from lib.session.session import Session, train
from lib.session.tracking import check_tracker, tracking


def run(
    config: RunConfig,
    keep: Collection[str] = (),
    tracker: str = "tensorboard",
    *,
    checkpoint_every: float | str = MINUTES,
    backend: str | None = None,
    processes: int | None = None,
    wait: bool = True,
) -> Run:
    """The finished run of a configuration, from the store, or trained now.

    A run that diverges is a result too. A killed one goes on from its last checkpoint, written
    every so many minutes, to the same bytes; for one that another process trains, `wait`.
    `keep`: prefix hashes to leave a checkpoint of. `tracker` (see `lib.session.tracking`) logs what
    is trained now. `backend` (see `lib.fast.launch.BACKENDS`) sets the precision, and trains with
    so many `processes`. Raises InputError, StoppedError, LockedError, ChildProcessError.
    """
    check_tracker(tracker)
    timer = CheckpointTimer.of(checkpoint_every)
    team = parallel.processes() or ONE_PROCESS
    config, number = with_backend(config, backend, processes)
    if published_page():
        return published_runs(published_page(), [config])[0]
    prepared = prepare(config)
    if team.agree(prepared.is_finished):
        if team.leads:
            tidy(prepared)
        return Run(prepared.folder)
    if number > 1 and team.size == 1 and not prepared.config.is_reference:
        arguments = {"keep": sorted(keep), "tracker": tracker, "every": checkpoint_every}
        arguments["fields"] = config.model_dump(mode="json")
        launch(run_together, arguments, processes=number, sharded=BACKENDS[backend].sharded)
        return Run(prepared.folder)
    with refusals_told(prepared), stoppable() as signals:
        train_once(prepared, keep, tracker, timer, signals, team, wait=wait)
    if signals:
        raise StoppedError("after a run; the same command goes on with the next")
    return Run(prepared.folder)


def prepare(config: RunConfig) -> Prepared:
    """Read what a configuration names. Raises InputError where something of it is wrong."""
    corpus = corpus_of(config)
    if config.is_reference and config.reference not in READ_BY_REFERENCE:
        predicted_in_file(config, corpus)  # what is wrong there is said before anything trains
    prepared = Prepared(config, corpus, run_key(config, corpus))
    if not prepared.is_finished and not config.is_reference:
        check_settings(prepared)  # what is wrong there is told before anything trains
        _ = prepared.settings_by_step  # torch's optimizers take a second to come
    return prepared


@contextmanager
def refusals_told(prepared: Prepared) -> Iterator[None]:
    """Meanwhile, what the system refuses (a full disk, a folder that is gone) is an InputError."""
    try:
        yield
    except Exception as error:
        refusal = system_error(error)
        if refusal is None:
            raise
        place = f"The run {prepared.name} could not be kept in {store()} ({reason_of(refusal)})"
        way_out = "mend that, and the same command goes on from its last checkpoint"
        raise InputError(f"{place}; {way_out}") from error


def run_together(fields: dict, keep: list[str], tracker: str, every: float | str) -> None:
    """`run` in each of several processes, from what JSON can hold."""
    run(RunConfig(**fields), keep, tracker, checkpoint_every=every)


def with_backend(
    config: RunConfig, backend: str | None, processes: int | None
) -> tuple[RunConfig, int]:
    """The configuration with its backend's precision, and how many processes train it."""
    precision, number = resolve_backend(
        backend,
        processes,
        precision=config.precision,
        batch_size=config.batch_size,
        started=parallel.processes(),
    )
    return config.with_(precision=precision), number


def run_lock(prepared: Prepared, *, wait: bool = True, signals: list[int] | None = None):
    """The lock of a run (`lib.many.locks.locked`)."""
    path = store() / "locks" / f"{prepared.name}.lease"
    return locked(path, prepared.name, wait=wait, signals=[] if signals is None else signals)


def tidy(prepared: Prepared) -> None:
    """Bring a finished run up to its latest name, and remove what a kill left of its training."""
    finished = Run(prepared.folder)
    latest = prepared.config.as_recorded()
    if finished.config != latest:  # the same content under another name
        # a store that can only be read keeps the first name
        with suppress(OSError), run_lock(prepared):
            replace_sealed(prepared.folder, "config.json", latest.model_dump())
    if finished.status["status"] == "finished":
        remove(prepared.folder / "checkpoint")


def train_once(
    prepared: Prepared,
    keep: Collection[str],
    tracker: str,
    timer: CheckpointTimer,
    signals: list[int],
    team: OneProcess,
    *,
    wait: bool,
) -> None:
    """Train a run into the store, unless another process has done so meanwhile."""
    folder = prepared.folder
    config = prepared.config
    lock = run_lock(prepared, wait=wait, signals=signals)
    with lock if team.leads else nullcontext():
        if not team.agree(prepared.is_finished):
            start = time.perf_counter()
            if team.leads:
                clear(prepared)
                write_json(folder / "config.json", config.as_recorded().model_dump())
                write_json(folder / "environment.json", environment(team.size))
            if prepared.config.is_reference:
                status = write_baseline(prepared)
            else:
                tracker = tracker if team.leads else "none"
                with tracking(
                    tracker, folder, run=prepared.name, config=config.model_dump()
                ) as log:
                    session = Session(
                        prepared, log=log, timer=timer, signals=signals, keep=keep, processes=team
                    )
                    status = train(session)
                    weights = sum(weight.numel() for weight in session.model.parameters())
                    del session
                search_for_garbage(weights)
            if team.leads:
                status |= describe_data(prepared)
                status["seconds"] = time.perf_counter() - start
                seal(folder, status)
                if status["status"] == "finished":
                    remove(folder / "checkpoint")
        team.agree(True)  # the others wait until the leading process has written all


def describe_data(prepared: Prepared) -> dict:
    """What a run's status says of its key and data."""
    corpus = prepared.corpus
    rows = {name: len(getattr(corpus, name)) for name in ("train", "dev", "test")}
    data = {"source": corpus.source, "fingerprint": corpus.fingerprint, "rows": rows}
    return {"key": prepared.key, "label_names": corpus.label_names, "data": data}


def clear(prepared: Prepared) -> None:
    """Make the folder of a run that is not finished, with nothing in it but its checkpoints.

    One that was finished is damaged, which is said.
    """
    folder = prepared.folder
    folder.mkdir(parents=True, exist_ok=True)
    wrong = damage(folder)
    if wrong and (folder / STATUS).exists():
        reason = describe_damage(folder, wrong)
        print(f"    the run {prepared.name} is damaged ({reason}): trained again", flush=True)
    for path in sorted(folder.iterdir(), key=lambda path: path.name != STATUS):  # the status first
        if path.name == "checkpoint" and path.is_dir():
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def stoppable() -> Iterator[list[int]]:
    """Meanwhile, Ctrl-C and SIGTERM are noted in the list that is given.

    A second one ends the process at once.
    """
    signals: list[int] = []

    def note(number, frame):
        if signals:
            raise StoppedError("at once; the same command goes on from the last checkpoint")
        signals.append(number)
        print("Stopping after this step; once more to stop at once", flush=True)

    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    handlers = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def write_baseline(prepared: Prepared) -> dict:
    """Write a reference's predictions; returns what its status says."""
    predictions, choice = baseline_predictions(prepared.config, prepared.corpus)
    predictions.to_parquet(prepared.folder / "predictions.parquet", index=False)
    status = {"status": "finished", "chosen_epoch": 1, "last_epoch": 1}
    if choice:
        print(f"{prepared.config.reference}: {choice}", flush=True)
        status["choice"] = choice
    return status
