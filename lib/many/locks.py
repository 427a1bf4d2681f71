"""Who trains a run: one process at a time, on this machine or on another that shares the store."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import SoftFileLease, Timeout

from lib.errors import LockedError, StoppedError

LEASE = 60.0  # seconds without a sign of life after which a lock of another host is taken over
WRITTEN_IN = 10.0  # seconds in which a lock that was made is written, too
POLL = 0.2  # seconds between looks at a lock that is waited for


def _acquired(lease: SoftFileLease, path: Path) -> bool:
    """Wait for a lock for a while. One that stays empty is of a process that was killed between
    making and writing it: it tells of nobody who could be asked, and is removed."""
    empty = _empty_file(path)
    try:
        lease.acquire(timeout=WRITTEN_IN, poll_interval=POLL)
    except Timeout:
        if empty is not None and empty == _empty_file(path):
            path.unlink(missing_ok=True)
        return False
    return True


def _empty_file(path: Path) -> tuple[int, int] | None:
    """What tells an empty file from another one of the same name; None for any other."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return None if facts.st_size else (facts.st_ino, facts.st_mtime_ns)


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
        while not _acquired(lease, path):
            if signals:
                raise StoppedError(
                    "while another process trains; the same command goes on"
                ) from None
    try:
        yield
    finally:
        lease.release()
