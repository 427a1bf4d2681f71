"""Checkpoints: everything a run needs to go on, written in one piece and checked when read; no
pickle."""

import dataclasses
import hashlib
import json
import os
import re
import shutil
import time
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from lib.errors import InputError
from lib.training import Progress

KEPT = 2  # checkpoints of a run: the newest, and the one before, should the newest be torn
OFTEN = "an epoch or 5 minutes"
BRIEF = 30.0  # seconds of training that the default does not write a checkpoint for


class Due:
    """Whether a checkpoint is due. `every`: so many epochs, steps or minutes (`2 epochs`, `100
    steps`), `never`, or `an epoch or 5 minutes`, whichever is first, but not for an epoch of
    seconds. Raises InputError."""

    def __init__(self, every: str):
        found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(epoch|step|minute)s?", every)
        if not found and every not in (OFTEN, "never"):
            wanted = f"'1 epoch', '100 steps', '10 minutes', 'never' or {OFTEN!r}"
            raise InputError(f"checkpoint_every is {every!r}; it wants {wanted}")
        self.every, self.count, self.unit = every, float(found[1]) if found else 0.0, found[2] if found else ""
        self.last = time.monotonic()

    def __call__(self, step: int, steps_per_epoch: int) -> bool:
        seconds, epoch_ends = time.monotonic() - self.last, step % steps_per_epoch == 0
        told = {
            "step": lambda: step % max(1, round(self.count)) == 0,
            "epoch": lambda: epoch_ends and step // steps_per_epoch % max(1, round(self.count)) == 0,
            "minute": lambda: seconds >= 60 * self.count,
            "": lambda: self.every == OFTEN and (seconds >= 300 or (epoch_ends and seconds >= BRIEF)),
        }
        return told[self.unit]()

    def written(self) -> None:
        self.last = time.monotonic()


@dataclasses.dataclass
class Record:
    """What a run has found so far, beside its weights: a row of history an epoch, predictions,
    and the best epoch's weights."""

    history: list[dict] = dataclasses.field(default_factory=list)
    parts: list[pd.DataFrame] = dataclasses.field(default_factory=list)  # predictions
    chosen: int = 0  # epoch
    best: float = float("-inf")  # score of the chosen epoch
    weights: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)  # of the chosen epoch
    environment: dict = dataclasses.field(default_factory=dict)  # that computed all this


KNOWN = ("history", "chosen", "best", "environment")


def _flat(prefix: str, tensors: dict) -> dict[str, torch.Tensor]:
    return {f"{prefix}.{name}": tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _digests(folder: Path) -> dict[str, str]:
    digests = {}
    for path in sorted(folder.iterdir()):
        if path.name != "manifest.json":
            with path.open("rb") as file:
                digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def save_checkpoint(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress, record: Record
) -> None:
    """Write a checkpoint to `folder`: it is there whole, or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for stale in folder.parent.glob("*.part"):  # of a killed process; none that lives writes here, but for our name
        if not _alive(stale):
            shutil.rmtree(stale, ignore_errors=True)
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    tensors = _flat("model", model.state_dict())
    if record.chosen < len(record.history) or progress.seconds:  # else the best weights are the model's
        tensors |= _flat("best", record.weights)
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= _flat(f"optimizer.{i}", state)
    done = {"losses": progress.losses[: progress.step], "norms": progress.norms[: progress.step]}
    tensors |= _flat("progress", done)  # the plan of who goes on from here may be longer
    save_file(tensors, part / "state.safetensors")
    if record.parts:
        pd.concat(record.parts, ignore_index=True).to_parquet(part / "predictions.parquet", index=False)
    about = {name: getattr(progress, name) for name in ("step", "seconds", "parts", "halved")}
    about |= {name: getattr(record, name) for name in KNOWN}
    (part / "progress.json").write_text(json.dumps(about))
    (part / "manifest.json").write_text(json.dumps(_digests(part)))
    for path in [*part.iterdir(), part]:
        _sync(path)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        part.rename(folder)
    except OSError:  # another process with the same beginning was faster: its files are the same
        if not (folder / "manifest.json").exists():
            raise
        shutil.rmtree(part)
    _sync(folder.parent)


def _alive(part: Path) -> bool:
    try:
        os.kill(int(part.name.split(".")[-2]), 0)
        return True
    except (ProcessLookupError, ValueError, IndexError):
        return False
    except PermissionError:
        return True


def save_newest(folder: Path, *state) -> None:
    """Write a checkpoint named after its step below `folder`, and remove all but the last
    `KEPT`."""
    save_checkpoint(folder / f"step-{state[2].step:09d}", *state)
    for old in sorted(folder.glob("step-?????????"))[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def load_newest(places: dict[Path, int], model: nn.Module, optimizer: torch.optim.Optimizer):
    """Of folders and their steps, put back the state of the whole checkpoint that came furthest:
    (folder, progress, record), or None where none is whole."""
    for folder in sorted(places, key=places.get, reverse=True):
        if found := load_checkpoint(folder, model, optimizer):
            return folder, *found
    return None


def load_checkpoint(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Progress, Record] | None:
    """Put weights and optimizer state back; returns the rest, or None where the files are not
    whole."""
    try:
        whole = json.loads((folder / "manifest.json").read_text()) == _digests(folder)
    except FileNotFoundError:  # none, or another process that needed it no longer has just removed it
        if not folder.exists():
            return None
        whole = False
    except (OSError, ValueError):
        whole = False
    if not whole:
        print(f"The checkpoint {folder} is damaged and is left out", flush=True)
        return None
    groups: dict[str, dict] = {"model": {}, "best": {}, "optimizer": {}, "progress": {}}
    for name, tensor in load_file(folder / "state.safetensors").items():
        kind, rest = name.split(".", 1)
        groups[kind][rest] = tensor
    model.load_state_dict(groups["model"])
    states: dict[int, dict] = {}
    for name, tensor in groups["optimizer"].items():
        i, field = name.split(".", 1)
        states.setdefault(int(i), {})[field] = tensor
    optimizer.load_state_dict(optimizer.state_dict() | {"state": states})
    about = json.loads((folder / "progress.json").read_text())
    record = Record(**{name: about.pop(name) for name in KNOWN})
    record.weights = groups["best"] or (groups["model"] if record.chosen else {})
    if (folder / "predictions.parquet").exists():
        record.parts = [pd.read_parquet(folder / "predictions.parquet")]
    return Progress(**about, **groups["progress"]), record
