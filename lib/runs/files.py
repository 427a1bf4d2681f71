"""The one way to write a file whole, to digest content, and to keep something computed on disk."""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

PART = ".part"  # ends the name of what is not whole yet


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; at the end it becomes `path`, in one step.

    Whoever reads `path` sees the old file or the new one. Nothing is left where writing fails.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}{PART}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole, as UTF-8."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, value) -> None:
    """Write a value as JSON, whole."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def sync(path: Path) -> None:
    """Have the system put a file or folder on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
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


def file_digests(folder: Path, leave_out: str = "") -> dict[str, str]:
    """The SHA-256 of each file in a folder, by name."""
    digests = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != leave_out:
            with path.open("rb") as file:
                digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def cached_tensors(
    folder: Path | None, key: str, make: Callable[[], dict[str, torch.Tensor]]
) -> dict[str, torch.Tensor]:
    """What `make` gives, by name, from the cache in a folder; without a folder, made anew.

    `key` names everything that the tensors depend on (see `digest`).
    """
    if folder is None:
        return make()
    path = Path(folder) / f"{key[:32]}.safetensors"
    if not path.exists():
        with whole_file(path) as part:
            save_file({name: tensor.contiguous() for name, tensor in make().items()}, part)
    return load_file(path)


def remove(folder: Path) -> None:
    """Remove a folder with all in it; nothing where there is none."""
    shutil.rmtree(folder, ignore_errors=True)
