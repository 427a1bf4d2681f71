"""Files and folders that are not whole yet, and how a whole folder takes its place.

Their names tell which process writes them, so that what a killed one left can be removed.
"""

import ctypes
import glob
import os
import re
import shutil
import socket
import time
import uuid
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import psutil

PART = ".part"  # ends the name of what is not whole yet
OLD = ".old.part"  # of a folder that is being replaced
STALE = 24 * 3600  # seconds after which the part of a process that cannot be asked for is removed
SAME_START = 2  # seconds by which two readings of a process's start differ at most
AT_FDCWD = -100  # of Linux: paths are relative to the working directory
RENAME_EXCHANGE = 2  # of Linux: two names change places in one step
WRITER = re.compile(r"~(?P<host>[^~]+)~(?P<pid>\d+)~(?P<born>\d+)~[0-9a-f]{8}\.part$")


@lru_cache
def host_name() -> str:
    """This machine's name, of characters that a file name may have."""
    return re.sub(r"[^\w.-]", "_", socket.gethostname())[:40] or "unnamed"


def part_beside(path: Path) -> Path:
    """A name beside `path` that no other process uses, for what becomes `path` when it is whole."""
    born = int(psutil.Process().create_time())
    writer = f"{host_name()}~{os.getpid()}~{born}~{uuid.uuid4().hex[:8]}"
    return path.with_name(f"{path.name}~{writer}{PART}")


def remove_left_over(folder: Path, name: str | None = None) -> None:
    """Remove what killed processes left half written in a folder: of the file `name`, or all."""
    pattern = f"*{PART}" if name is None else f"{glob.escape(name)}~*{PART}"
    for part in folder.glob(pattern):
        with suppress(FileNotFoundError):  # another process has removed it meanwhile
            if is_left_over(part):
                remove(part)


def is_left_over(part: Path) -> bool:
    """Whether no process writes a part any more.

    A process of this machine is looked for. One of another machine cannot be, nor can one whose
    name an earlier version wrote: its part is left over when nobody has changed it for a day.
    """
    writer = WRITER.search(part.name)
    if writer is None or writer["host"] != host_name():
        return time.time() - part.stat().st_mtime > STALE
    return not is_running(int(writer["pid"]), int(writer["born"]))


def is_running(pid: int, born: int) -> bool:
    """Whether the process that had this number, and started then, still runs on this machine."""
    try:
        process = psutil.Process(pid)
        if abs(process.create_time() - born) > SAME_START:
            return False  # the number has passed to another process
        # a killed one stays as a zombie until its parent waits for it
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def remove(path: Path) -> None:
    """Remove a file, or a folder with all in it; nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def put_in_place(part: Path, folder: Path) -> None:
    """Make the folder `part` `folder`; what was there goes, or is left at `part`."""
    if not folder.exists():
        part.rename(folder)
    elif not exchange(part, folder):
        old = part.with_name(part.name.removesuffix(PART) + OLD)
        folder.rename(old)
        try:
            part.rename(folder)
        except OSError:
            old.rename(folder)
            raise
        remove(old)


def exchange(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; False where the system cannot."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "renameat2"):
        return False
    paths = (os.fsencode(one), os.fsencode(other))
    return library.renameat2(AT_FDCWD, paths[0], AT_FDCWD, paths[1], RENAME_EXCHANGE) == 0
