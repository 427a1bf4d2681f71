"""The folder of a page: written whole, under a lock, and read as long as it stays what it is."""

import contextlib
import glob
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from lib.errors import InputError
from lib.runs.files import whole_folder
from lib.runs.part_files import OLD, remove
from lib.runs.paths import store

PAUSES = (0.1, 0.5, 1, 3, 5)  # seconds, after which a page is read again


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write to, under a hidden name; at the end it is put in the place of `folder`, and
    at every moment one of them stands whole.

    Where writing fails, `folder` stays as it was. Who comes meanwhile with the same store, waits.
    """
    with lock_of(folder):
        restore_under_lock(folder)
        with whole_folder(folder, hidden(folder)) as part:
            yield part


def hidden(folder: Path) -> Path:
    """What stands for a folder while it is made: no page is looked for there."""
    return folder.with_name(f".{folder.name}")


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
    if not folder.exists() and replaced(folder):
        with lock_of(folder):
            restore_under_lock(folder)


def restore_under_lock(folder: Path) -> None:
    for old in replaced(folder):
        if folder.exists():
            remove(old)
        else:
            old.rename(folder)


def replaced(folder: Path) -> list[Path]:
    """What was in the place of a folder while a process was killed that replaced it."""
    return list(folder.parent.glob(f"{glob.escape(hidden(folder).name)}~*{OLD}"))


def lock_of(folder: Path) -> FileLock:
    """The lock of whoever changes a folder."""
    locks = store() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    return FileLock(locks / f"page-{folder.parent.name}-{folder.name}.lock")
