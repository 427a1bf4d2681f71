"""The environment variables by which torchrun, accelerate and `lib.fast.launch` tell a process of
the others that it trains with."""

import math
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from lib.errors import InputError, shown

TIMEOUT = 600  # seconds that a process waits for the others, unless PROCESS_TIMEOUT says otherwise
LONGEST_TIMEOUT = 1_000_000  # seconds
NAME_TIMEOUT = 15  # seconds that the name of the first process's machine may stay unknown
MOST_PROCESSES = 100_000
SET_BY = "torchrun and accelerate set it; leave WORLD_SIZE unset to train in one process"


def started_with_others() -> bool:
    """Whether this is one of several processes that train together. Raises InputError."""
    return variable("WORLD_SIZE", least=1, default=1) > 1


def check_environment(*, gpus: int) -> None:
    """Raises InputError where the variables by which one of several processes finds the others are
    missing or wrong: torch would wait for ever, or fail."""
    size = variable("WORLD_SIZE", least=1)
    variable("RANK", most=size - 1)
    local_size = variable("LOCAL_WORLD_SIZE", least=1, most=size, default=size)
    local_rank = variable("LOCAL_RANK", most=local_size - 1)
    if 0 < gpus <= local_rank:
        raise InputError(f"LOCAL_RANK is {local_rank}, but there are {gpus} GPUs, counted from 0")
    variable("MASTER_PORT", least=1, most=65535)
    _check_address(os.environ.get("MASTER_ADDR", ""))


def _check_address(host: str) -> None:
    """Raises InputError where the first process's machine has no address, for some time."""
    if not host.strip():
        raise InputError(f"MASTER_ADDR is not set; {SET_BY}")
    until = time.monotonic() + NAME_TIMEOUT
    while True:
        try:
            socket.getaddrinfo(host, None)
            return
        except (OSError, UnicodeError):  # a cluster may tell the names of its machines late
            if time.monotonic() > until:
                raise InputError(
                    f"MASTER_ADDR is {shown(host)}, which is no machine that is known here"
                ) from None
        time.sleep(1)


def variable(
    name: str, *, least: int = 0, most: int = MOST_PROCESSES, default: int | None = None
) -> int:
    """A whole number that an environment variable holds. Raises InputError."""
    text = os.environ.get(name)
    if text is None and default is not None:
        return default
    if text is None:
        raise InputError(f"{name} is not set; {SET_BY}")
    if re.fullmatch("[0-9]{1,9}", text) and least <= int(text) <= most:
        return int(text)
    raise InputError(
        f"The environment variable {name} is {shown(text)}; it wants a whole number from {least} "
        f"to {most}; {SET_BY}"
    )


@contextmanager
def alone() -> Iterator[None]:
    """Meanwhile, LOCAL_RANK is not set, unless this process is one of several: accelerate takes it
    for a sign of others, and would wait for them."""
    rank = None if started_with_others() else os.environ.pop("LOCAL_RANK", None)
    try:
        yield
    finally:
        if rank is not None:
            os.environ["LOCAL_RANK"] = rank


def timeout() -> float:
    """Seconds that processes wait for each other. Raises InputError."""
    text = os.environ.get("PROCESS_TIMEOUT", str(TIMEOUT))
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= LONGEST_TIMEOUT:
        raise InputError(
            f"The environment variable PROCESS_TIMEOUT is {shown(text)}; it wants a number of "
            f"seconds, above 0 and at most {LONGEST_TIMEOUT:,}"
        )
    return seconds
