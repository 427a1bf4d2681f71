"""The one way to write a file whole, to digest content, and to keep something computed on disk."""

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from lib.errors import reason_of, system_error
from lib.runs.part_files import part_beside, put_in_place, remove, remove_left_over

Tensors = dict[str, torch.Tensor]


@contextmanager
def failures_named(path: Path) -> Iterator[None]:
    """Meanwhile, what the system refuses is an OSError that names `path`, whatever library says so.

    A full disk is an exception of another kind in almost every library that writes a file.
    """
    try:
        yield
    except Exception as error:
        refusal = system_error(error)
        if refusal is None:
            raise
        if refusal is error and refusal.filename is not None:
            raise
        raise OSError(refusal.errno, reason_of(refusal), str(path)) from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; at the end it becomes `path`, in one step.

    Whoever reads `path` sees the old file or the new one, also after a power cut. Nothing is left
    where writing fails; what a killed process left of the same file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_left_over(path.parent, path.name)
    part = part_beside(path)
    try:
        with failures_named(path):
            yield part
            sync(part)
            os.replace(part, path)
            sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, made_as: Path | None = None) -> Iterator[Path]:
    """A new folder beside `path` to write to; at the end it takes the place of `path`, or that of
    what is there. It is made under a name like `made_as`, if that is given.

    Nothing is left where writing fails; what a killed process left of the same folder is removed.
    """
    beside = made_as or path
    beside.parent.mkdir(parents=True, exist_ok=True)
    remove_left_over(beside.parent, beside.name)
    part = part_beside(beside)
    try:
        with failures_named(path):
            part.mkdir()
            yield part
            put_in_place(part, path)
            sync(path.parent)
    finally:
        remove(part)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole, as UTF-8, with the same bytes on every system."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value) -> None:
    """Write a value as JSON, whole."""
    write_text(path, json_text(value))


def json_text(value) -> str:
    """A value as `write_json` writes it."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def read_json(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def sync(path: Path) -> None:
    """Have the system put a file on the disk, or where it can, a folder's list of names."""
    is_folder = stat.S_ISDIR(path.stat().st_mode)
    try:
        handle = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    except PermissionError:
        if is_folder:  # Windows opens no folder
            return
        raise
    try:
        os.fsync(handle)
    except OSError:
        if not is_folder:  # some shared file systems sync no folder
            raise
    finally:
        os.close(handle)


def digest(*parts) -> str:
    """SHA-256 over words, bytes, tensors and texts, in hexadecimal; what they are, in their order.

    Each part is preceded by its length, so that no two lists of parts give the same bytes.
    """
    state = hashlib.sha256()
    for part in parts:
        if isinstance(part, torch.Tensor):
            data = part.contiguous().numpy().tobytes()
        elif isinstance(part, bytes):
            data = part
        else:
            data = str(part).encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()


def content_digest(content: bytes) -> str:
    """The SHA-256 of what a file holds, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_digests(folder: Path, leave_out: str = "") -> dict[str, str]:
    """The SHA-256 of each file in a folder, by name."""
    return {
        path.name: file_digest(path)
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != leave_out
    }


def cached_tensors(folder: Path | None, key: str, make: Callable[[], Tensors]) -> Tensors:
    """What `make` gives, by name, from the cache in a folder; without a folder, made anew.

    `key` names everything that the tensors depend on (see `digest`). A file of the cache holds the
    digest of its content; one that is damaged is said, and made again. So is one that cannot be
    written: what was made is used all the same.
    """
    if folder is None:
        return make()
    path = Path(folder) / f"{key[:32]}.safetensors"
    if path.exists():
        tensors = _read_tensors(path, key)
        if tensors is not None:
            return tensors
        print(f"The cache {path} is damaged, or of an earlier version: made again", flush=True)
    tensors = {name: tensor.contiguous() for name, tensor in make().items()}
    try:
        with whole_file(path) as part:
            remove_left_over(path.parent)
            save_file(tensors, part, metadata={"digest": _content_digest(key, tensors)})
    except OSError as error:
        reason = reason_of(error)
        print(f"The cache {path} cannot be written ({reason}): made for this time", flush=True)
        return tensors
    return load_file(path)


def _read_tensors(path: Path, key: str) -> Tensors | None:
    """The tensors of a cache's file; None where they are not those that were written."""
    try:
        with safe_open(path, "pt") as file:
            written = (file.metadata() or {}).get("digest")
        tensors = load_file(path)
    except (SafetensorError, ValueError):
        return None
    return tensors if _content_digest(key, tensors) == written else None


def _content_digest(key: str, tensors: Tensors) -> str:
    """The digest of a cache's tensors, with their names, types and shapes, and its key."""
    parts: list = [key]
    for name, tensor in sorted(tensors.items()):
        parts += [name, tensor.dtype, tuple(tensor.shape), tensor]
    return digest(*parts)
