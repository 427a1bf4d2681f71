"""Who trains a run: one process at a time, on this machine or on another that shares the store."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import SoftFileLease, Timeout

from lib.errors import LockedError

LEASE = 60.0  # seconds without a sign of life after which a lock of another host is taken over
POLL = 0.2  # seconds between looks at a lock that is waited for


@contextmanager
def locked(path: Path, what: str, *, wait: bool, signals: list[int]) -> Iterator[None]:
    """Hold a lock, whose file names host and process; says so where another process has it.

    A dead process of this host holds nothing; one of another host, or one that is stopped, holds it
    for `LEASE` seconds more. A process that lost its lock in this way gets a signal in `signals`,
    which ends its training. Raises LockedError without `wait`.
    """

    def give_way(loss) -> None:
        print(f"    another process has taken over {what}: this one was stopped for too long")
        signals.append(signal.SIGTERM)

    path.parent.mkdir(parents=True, exist_ok=True)
    lease = SoftFileLease(path, lease_duration=LEASE, on_compromise=give_way)
    try:
        lease.acquire(timeout=0)
    except Timeout:
        if not wait:
            raise LockedError(f"another process trains {what}") from None
        print(f"    another process trains {what}; waiting for it", flush=True)
        lease.acquire(poll_interval=POLL)
    try:
        yield
    finally:
        lease.release()
