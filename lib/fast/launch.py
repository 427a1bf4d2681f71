"""Several processes of this machine for one run: which backends there are, how the processes are
started and watched, and what is said when one fails."""

import importlib
import json
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch.distributed.elastic.multiprocessing import (
    DefaultLogsSpecs,
    PContext,
    ProcessFailure,
    SignalException,
    start_processes,
)
from torch.distributed.elastic.multiprocessing.errors import record

from lib.errors import InputError, StoppedError, lookup, shown
from lib.fast.environment import timeout
from lib.fast.parallel import SHARDED, Processes, end


class Backend(NamedTuple):
    """A way to train: `auto` precision is bf16 where the device computes in it."""

    precision: str
    several: bool = False  # processes
    sharded: bool = False


BACKENDS = {
    "sp": Backend("fp32"),
    "sp-amp": Backend("auto"),
    "ddp": Backend("fp32", several=True),
    "ddp-amp": Backend("auto", several=True),
    "fsdp": Backend("fp32", several=True, sharded=True),
    "fsdp-amp": Backend("auto", several=True, sharded=True),
}
# glibc holds on to freed blocks of up to 32 MB, such as the weights of a layer that were gathered:
# on a CPU that would be more than sharding saves
RETURN_MEMORY = {"MALLOC_MMAP_THRESHOLD_": f"{2**23}", "MALLOC_TRIM_THRESHOLD_": f"{2**26}"}
MOST_HERE = 1024  # processes of one machine
POLL = 0.1  # seconds between looks at the processes
AT_ONCE = "at once; the same command goes on from the last checkpoint"
WORKER = "import sys; from lib.fast.launch import work; work(*sys.argv[1:])"


def resolve_backend(
    backend: str | None,
    processes: int | None,
    *,
    precision: str,
    batch_size: int,
    started: Processes | None = None,
) -> tuple[str, int]:
    """The precision of a run, and how many processes train it: with `ddp` and `fsdp` those that
    were `started` from outside, else `processes`, else one for each GPU. Raises InputError."""
    names = ", ".join(name for name, row in BACKENDS.items() if row.several)
    if processes is not None and (type(processes) is not int or not 1 <= processes <= MOST_HERE):
        raise InputError(
            f"processes = {shown(processes)}: it wants a whole number from 1 to {MOST_HERE:,}"
        )
    if backend is None:
        if processes not in (None, 1):
            raise InputError(f"processes = {processes} needs a backend of several: {names}")
        return precision, 1
    chosen = lookup(BACKENDS, backend, "backend")
    if not chosen.several and processes not in (None, 1):
        raise InputError(
            f"processes = {processes} needs a backend of several ({names}); {backend} has one"
        )
    if started and chosen.sharded != started.sharded:
        raise InputError(
            f"backend is {backend}, but these processes were started "
            f"{'with' if started.sharded else 'without'} accelerate's FSDP; leave backend out, "
            "or let it start the processes"
        )
    if not chosen.several:
        return chosen.precision, 1
    count = started.size if started else processes or torch.cuda.device_count() or 1
    if count > batch_size:
        raise InputError(f"processes = {count} is more than the batch has documents ({batch_size})")
    return chosen.precision, count


def launch(function: Callable, arguments: dict, *, processes: int, sharded: bool = False) -> None:
    """Call `function(**arguments)` in so many new processes of this machine, and wait for them.

    The function is imported there by the names of its module and its own; the arguments are what
    JSON can hold. Lines appear as they come; Ctrl-C and SIGTERM are passed on. Raises InputError
    or StoppedError with the sentence of a process that ended by one, ChildProcessError with the
    traceback of the first that failed otherwise.
    """
    # where the processes find each other: held open here, so that nobody can take its port
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    # by a command, not by multiprocessing: that would run an unguarded script of the user's again
    name = f"{function.__module__}:{function.__qualname__}"
    command = ("-c", WORKER, name, json.dumps(arguments))
    with tempfile.TemporaryDirectory() as folder, _own_signal_handlers():
        try:
            context = start_processes(
                name="lib",
                entrypoint=sys.executable,
                args=dict.fromkeys(range(processes), command),
                envs=_environments(processes, sharded, store.port),
                logs_specs=DefaultLogsSpecs(log_dir=folder),
            )
            failures, asked_to_stop = _wait(context)
        except SignalException:  # while they were being started
            raise StoppedError(AT_ONCE) from None
        if failures:
            _raise_failure(failures, processes, asked_to_stop)


def _environments(processes: int, sharded: bool, port: int) -> dict[int, dict[str, str]]:
    """The variables of each process, by its rank, as torchrun sets them, with its share of
    threads."""
    variables = {
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // processes)),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    if sharded:
        variables |= {SHARDED: "true"} | RETURN_MEMORY
    return {
        rank: variables | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)
    }


@contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Put back the handlers of this process, which torch's launcher replaces by its own, and keep
    its log quiet: what the processes have to say comes as an exception."""
    logging.getLogger("torch.distributed.elastic.multiprocessing.api").setLevel(logging.CRITICAL)
    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = "SIGTERM,SIGINT"
    numbers = (signal.SIGTERM, signal.SIGINT)
    if threading.current_thread() is not threading.main_thread():
        numbers = ()  # only the main thread has handlers
    handlers = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _wait(context: PContext) -> tuple[dict[int, ProcessFailure], bool]:
    """The failures of processes that have all ended, by rank, and whether they were told to."""
    try:
        return context.wait(period=POLL).failures, False
    except SignalException as asked:
        _stop(context, asked.sigval)
        return context.wait(period=POLL).failures, True


def _stop(context: PContext, number: signal.Signals) -> None:
    """Pass a signal on, and wait until all have written what they have; a second one, too."""
    try:
        context.close(number, timeout=int(timeout()))
    except SignalException as again:
        _stop(context, again.sigval)


def _raise_failure(
    failures: dict[int, ProcessFailure], processes: int, asked_to_stop: bool
) -> None:
    """Raise what processes failed of. The first one is the cause; the others lost a partner."""
    reports = {
        rank: failure.message
        for rank, failure in failures.items()
        if isinstance(failure.message, dict)
    }
    for error in (StoppedError, InputError):
        for report in reports.values():
            name, _, sentence = report["message"].partition(": ")
            if name == error.__name__:
                raise error(sentence)
    if asked_to_stop:
        raise StoppedError(AT_ONCE)
    reason = "no process says why: one of them was killed, perhaps for want of memory"
    if reports:
        first = min(reports, key=lambda rank: os.path.getmtime(failures[rank].error_file))
        reason = f"process {first}: {reports[first]['extraInfo']['py_callstack']}"
    killed = [
        f"process {rank} was killed ({failure.signal_name()})\n"
        for rank, failure in failures.items()
        if failure.exitcode < 0 and failure.exitcode != -signal.SIGTERM  # which ends the others
    ]
    raise ChildProcessError(
        f"Training on {processes} processes failed; the same command goes on from the last "
        f"checkpoint.\n{''.join(killed)}{reason}"
    )


def work(name: str, arguments: str) -> None:
    """What each process that `launch` starts does: the call, and a report if it fails."""
    status = 1
    try:
        record(_call)(name, json.loads(arguments))
        status = 0
    finally:
        end(status)  # not held up by others that wait in vain


def _call(name: str, arguments: dict) -> None:
    module, _, function = name.partition(":")
    getattr(importlib.import_module(module), function)(**arguments)
