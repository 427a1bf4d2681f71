"""The seal of a finished run: its status, written last, with digests of its files and of itself.

What trackers keep, checkpoints (which have digests of their own) and files that are made from a
run later (results, model card, exports) are not sealed. A run of an earlier version has no seal,
and is read as it is.
"""

import json
import os
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from lib.errors import InputError
from lib.runs.files import (
    content_digest,
    digest,
    file_digest,
    json_text,
    read_json,
    sync,
    write_json,
)

STATUS = "status.json"
WRITTEN_FIRST = ("config.json", "environment.json")  # before a run is trained
WRITTEN_LAST = ("history.jsonl", "predictions.parquet")  # where it has any
LAST_BYTES = {".jsonl": b"}\n", ".parquet": b"PAR1"}  # of a file that is not cut off
MODEL = "model"
SETTLED = 2e9  # nanoseconds: a younger file may change without its times telling


def seal(folder: Path, status: dict) -> None:
    """Write a run's status with the digests of its files, once all of these are on the disk."""
    digests = {}
    unread = {}
    for name in _names_to_seal(folder):
        path = folder / name
        sync(path)
        digests[name] = file_digest(path)
        if _is_weights(name):
            unread[name] = _size_and_time(path)
    for place in (folder / MODEL, folder, folder.parent):
        if place.is_dir():
            sync(place)
    _write_status(folder, status | {"files": digests, "unread": unread})


def _names_to_seal(folder: Path) -> list[str]:
    """What a run consists of, as paths below its folder."""
    names = list(WRITTEN_FIRST)
    names += [name for name in WRITTEN_LAST if (folder / name).is_file()]
    model_files = [path for path in sorted((folder / MODEL).rglob("*")) if path.is_file()]
    return names + [path.relative_to(folder).as_posix() for path in model_files]


def _is_weights(name: str) -> bool:
    """Whether a file is so large that it is read only when it is used."""
    return name.endswith(".safetensors")


def _size_and_time(path: Path) -> list[int]:
    facts = path.stat()
    return [facts.st_size, facts.st_mtime_ns]


def _write_status(folder: Path, status: dict) -> None:
    as_read = json.loads(json.dumps(status))
    as_read.pop("seal", None)
    write_json(folder / STATUS, as_read | {"seal": _seal_of(as_read)})


def _seal_of(content: dict) -> str:
    """The digest of what a status says, but for its seal."""
    return digest(json.dumps(content, sort_keys=True))


def seal_without_model(folder: Path, model_on: str) -> None:
    """Say in the seal of a run whose model is elsewhere where that is."""
    status = read_status(folder)
    files = {
        name: written
        for name, written in status["files"].items()
        if not name.startswith(f"{MODEL}/")
    }
    _write_status(folder, status | {"files": files, "unread": {}, "model_on": model_on})


def replace_sealed(folder: Path, name: str, value: dict) -> None:
    """Write another JSON file in the place of a sealed one, which is whole at every moment.

    Until it is there, the seal holds the digests of both.
    """
    status = read_status(folder)
    if "files" not in status:
        write_json(folder / name, value)
        return
    before = status["files"][name]
    after = content_digest(json_text(value).encode("utf-8"))
    _write_status(folder, status | {"files": status["files"] | {name: [before, after]}})
    write_json(folder / name, value)
    _write_status(folder, status | {"files": status["files"] | {name: after}})


# Reading


def read_status(folder: Path) -> dict:
    """What a run's status says. Raises InputError where it is missing, or not what was written."""
    try:
        status = read_json(folder / STATUS)
    except (ValueError, FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise damaged(folder, STATUS) from None
    if not isinstance(status, dict):
        raise damaged(folder, STATUS)
    if "files" not in status and "seal" not in status:
        return status
    written = status.get("seal")
    content = {name: value for name, value in status.items() if name != "seal"}
    if written != _seal_of(content):
        raise damaged(folder, STATUS)
    return status


def read_sealed(folder: Path, name: str) -> bytes | None:
    """The content of a run's file; None where the run has none of that name.

    Raises InputError where it is missing, or not what was written.
    """
    files = read_status(folder).get("files")
    if files is not None and name not in files:
        return None
    try:
        content = (folder / name).read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        if files is None:
            return None
        raise damaged(folder, name) from None
    if files is not None and content_digest(content) not in _either(files[name]):
        raise damaged(folder, name)
    return content


def _either(written: str | list[str]) -> list[str]:
    """The digests that a file may have: one, or two where it is being replaced."""
    return [written] if isinstance(written, str) else written


def is_whole(folder: Path) -> bool:
    """Whether a run is finished, and its files are what was written (see `damage`)."""
    return damage(folder) is None


def damage(folder: Path, *, weights: bool = False) -> str | None:
    """The first file of a finished run that is missing or not what was written; None where all are.

    Weights are read where that is asked for, or where size or time of change are not those that
    they were sealed with: they are large, and checked when they are loaded.
    """
    try:
        status = read_status(folder)
    except InputError:
        return STATUS
    if "files" not in status:
        return _unreadable(folder)
    for name, written in status["files"].items():
        path = folder / name
        if not path.is_file():
            return name
        if not weights and status["unread"].get(name) == _size_and_time(path):
            continue
        if _digest_once(path) not in _either(written):
            return name
    return None


def _unreadable(folder: Path) -> str | None:
    """The first file that cannot be read of a run that has no seal."""
    for name in WRITTEN_FIRST:
        try:
            read_json(folder / name)
        except (OSError, ValueError):
            return name
    for name in WRITTEN_LAST:
        path = folder / name
        if path.is_file() and not path.read_bytes().endswith(LAST_BYTES[path.suffix]):
            return name
    return None


def _digest_once(path: Path) -> str:
    """The SHA-256 of a file; of one that has settled, computed once for each state of it."""
    facts = path.stat()
    state = (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)
    changed = max(facts.st_mtime_ns, facts.st_ctime_ns)
    if time.time_ns() - changed < SETTLED:
        return file_digest(path)
    return _digest_of_state(path, state)


@lru_cache(maxsize=4096)
def _digest_of_state(path: Path, state: tuple[int, ...]) -> str:
    return file_digest(path)


def check_run(folder: Path) -> None:
    """Raises InputError where a finished run is damaged; its weights are not read."""
    name = damage(folder)
    if name:
        raise damaged(folder, name)


def check_model(folder: Path) -> None:
    """Raises InputError where a finished run is damaged, its weights among it."""
    name = damage(folder, weights=True)
    if name is None:
        return
    if _is_weights(name):  # whoever looks next for the run reads them, too
        with suppress(OSError):
            os.utime(folder / name)
    raise damaged(folder, name)


def damaged(folder: Path, name: str) -> InputError:
    """The error that says which file of a run is damaged."""
    return InputError(
        f"The run {folder} is damaged: {describe_damage(folder, name)}; the command that trained "
        "it trains it again"
    )


def describe_damage(folder: Path, name: str) -> str:
    """Which file of a run is wrong, and how."""
    how = "is not what was written" if (folder / name).exists() else "is missing"
    return f"its {name} {how}"
