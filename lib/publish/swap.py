"""A folder put in the place of another one, so that at every moment one of them stands whole."""

import contextlib
import ctypes
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from lib.errors import InputError
from lib.runs.store import store

UNIQUE = 12  # characters of the part of a name that no other has
PART = ".part"  # ends the name of a folder that is being made
OLD = ".old.part"  # of one that is being replaced
STALE = 24 * 3600  # seconds after which such a folder is taken for a killed process's
PAUSES = (0.1, 0.5, 1, 3, 5)  # seconds, after which a page is read again
AT_FDCWD = -100  # of Linux: paths are relative to the working directory
RENAME_EXCHANGE = 2  # of Linux: two names change places in one step


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write to under a name of its own; at the end it is put in the place of `folder`.

    Where writing fails, `folder` stays as it was. Who comes meanwhile with the same store, waits.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with lock_of(folder):
        restore_under_lock(folder)
        remove_stale(folder)
        unique = uuid.uuid4().hex[:UNIQUE]
        part = folder.with_name(f".{folder.name}.{unique}{PART}")
        part.mkdir()
        try:
            yield part
            put_in_place(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def read_unchanged(files: Callable[[], Iterable[Path]], read: Callable):
    """What `read` gives; it is asked again where a file was replaced while it read, as a page is
    that another process publishes. Raises InputError where they never stay."""
    for pause in PAUSES:
        before = _states(files())
        try:
            result = read()
        except (InputError, OSError):
            if _states(files()) == before:
                raise
        else:
            if _states(files()) == before:
                return result
        time.sleep(pause)
    raise InputError("The pages are published again and again; wait for that, and try again")


def _states(files: Iterable[Path]) -> dict[Path, tuple]:
    """What tells a file that was replaced from what it was; of one that is not there, nothing."""
    states = {}
    for path in files:
        with contextlib.suppress(OSError):
            status = path.stat()
            states[path] = (status.st_ino, status.st_mtime_ns)
    return states


def restore(folder: Path) -> None:
    """Put back what was there, where a process was killed between two renames."""
    if not folder.exists() and left_over(folder, OLD):
        with lock_of(folder):
            restore_under_lock(folder)


def restore_under_lock(folder: Path) -> None:
    for old in left_over(folder, OLD):
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(folder)


def lock_of(folder: Path) -> FileLock:
    """The lock of whoever changes a folder."""
    locks = store() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    return FileLock(locks / f"page-{folder.parent.name}-{folder.name}.lock")


def put_in_place(part: Path, folder: Path) -> None:
    """Make `part` `folder`; what was there goes, or is left at `part`."""
    if not folder.exists():
        part.rename(folder)
    elif not exchange(part, folder):
        old = part.with_name(part.name.removesuffix(PART) + OLD)
        folder.rename(old)  # after a kill here `restore` puts it back
        try:
            part.rename(folder)
        except OSError:
            old.rename(folder)
            raise
        shutil.rmtree(old, ignore_errors=True)


def exchange(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; False where the system cannot."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "renameat2"):
        return False
    paths = (os.fsencode(one), os.fsencode(other))
    return library.renameat2(AT_FDCWD, paths[0], AT_FDCWD, paths[1], RENAME_EXCHANGE) == 0


def left_over(folder: Path, ending: str) -> list[Path]:
    """What stands beside a folder for its processes, or was left there by killed ones."""
    return list(folder.parent.glob(f".{folder.name}.{'?' * UNIQUE}{ending}"))


def remove_stale(folder: Path) -> None:
    """Remove what killed processes left half made, a day ago or more."""
    for part in left_over(folder, PART):
        if time.time() - part.stat().st_mtime > STALE:
            shutil.rmtree(part, ignore_errors=True)
