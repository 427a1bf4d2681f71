"""Checkpoints: everything a run needs to go on, written whole and checked when read; no pickle.

And which of them a run may go on from, and what of the machine has changed since.
"""

import dataclasses
import re
import time
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from lib.errors import InputError
from lib.runs.files import file_digests, read_json, sync, whole_folder, write_json
from lib.runs.keys import Prepared
from lib.runs.part_files import remove, remove_left_over
from lib.runs.store import store
from lib.training import Progress

NEWEST = 2  # checkpoints of a run that are kept: the last, and one more, should that be torn
MINUTES = 5.0  # between checkpoints, unless something else is asked for
OLD_DEFAULT = "an epoch or 5 minutes"
OLD_WORDS = re.compile(r"(\d+(?:\.\d+)?) ?(epoch|step|minute)s?")


@dataclasses.dataclass
class CheckpointTimer:
    """Whether a checkpoint is due: after so many minutes, or so many steps or epochs."""

    minutes: float = 0.0  # 0: not by time
    steps: int = 0  # 0: not by steps
    epochs: int = 0  # 0: not by epochs
    last: float = dataclasses.field(default_factory=lambda: time.monotonic())  # of the last one

    @classmethod
    def of(cls, every: float | str) -> "CheckpointTimer":
        """From a number of minutes; 0 never writes a checkpoint.

        The words of earlier versions are understood, and said to be old: `2 epochs`,
        `100 steps`, `10 minutes`, `never` and `an epoch or 5 minutes`. Raises InputError.
        """
        minutes = _number(every)
        if minutes is not None:
            return cls(minutes=minutes)
        words = OLD_WORDS.fullmatch(str(every))
        if not words and every not in (OLD_DEFAULT, "never"):
            raise InputError(f"checkpoint_every is {every!r}; it wants minutes, a number such as 5")
        print(f"checkpoint_every: {every!r} is an old way to say it; it wants minutes", flush=True)
        if every == OLD_DEFAULT:
            return cls(minutes=MINUTES)
        if every == "never":
            return cls()
        count, unit = float(words[1]), words[2]
        if unit == "minute":
            return cls(minutes=count)
        number = max(1, round(count))
        return cls(steps=number) if unit == "step" else cls(epochs=number)

    def is_due(self, step: int, steps_per_epoch: int) -> bool:
        if self.steps:
            return step % self.steps == 0
        if self.epochs:
            return step % (steps_per_epoch * self.epochs) == 0
        return self.minutes > 0 and time.monotonic() - self.last >= 60 * self.minutes

    def written(self) -> None:
        self.last = time.monotonic()


def _number(every: float | str) -> float | None:
    """A number of minutes that is not negative; None for anything else."""
    if isinstance(every, bool):
        return None
    try:
        minutes = float(every)
    except (TypeError, ValueError):
        return None
    return minutes if minutes >= 0 else None


@dataclasses.dataclass
class Record:
    """What a run has brought so far, beside its weights."""

    history: list[dict] = dataclasses.field(default_factory=list)  # a row an epoch
    predictions: list[pd.DataFrame] = dataclasses.field(default_factory=list)
    chosen_epoch: int = 0  # 0: none yet
    best_score: float = float("-inf")  # of the chosen epoch
    best_weights: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)
    environment: dict = dataclasses.field(default_factory=dict)  # that computed all this


@dataclasses.dataclass
class TrainingState:
    """What a checkpoint holds: weights, the optimizer's state, progress, and the record."""

    model: dict[str, torch.Tensor]
    optimizer: dict  # as the optimizer's `state_dict` has it
    progress: Progress
    record: Record


def save_checkpoint(folder: Path, state: TrainingState) -> None:
    """Write a checkpoint to `folder`: it is there whole, or not at all. Raises OSError."""
    remove_left_over(folder.parent)
    try:
        with whole_folder(folder) as part:
            _write_files(part, state)
    except OSError:  # another process with the same beginning was faster: its files are the same
        if not is_whole(folder):
            raise


def _write_files(folder: Path, state: TrainingState) -> None:
    """Write a checkpoint's files, and have the system put them on the disk."""
    save_file(_tensors(state), folder / "state.safetensors")
    predictions = state.record.predictions
    if predictions:
        table = pd.concat(predictions, ignore_index=True)
        table.to_parquet(folder / "predictions.parquet", index=False)
    write_json(folder / "progress.json", _numbers(state))
    write_json(folder / "manifest.json", file_digests(folder, leave_out="manifest.json"))
    for path in [*folder.iterdir(), folder]:
        sync(path)


def _tensors(state: TrainingState) -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint by name, on the CPU."""
    progress = state.progress
    record = state.record
    tensors = {f"model.{name}": tensor for name, tensor in state.model.items()}
    best_is_older = record.chosen_epoch < len(record.history) or progress.seconds
    if best_is_older:  # else the best weights are the model's
        tensors |= {f"best.{name}": tensor for name, tensor in record.best_weights.items()}
    for number, moments in state.optimizer["state"].items():
        for name, tensor in moments.items():
            tensors[f"optimizer.{number}.{name}"] = tensor
    # what is done so far: the plan of who goes on from here may be longer
    tensors["progress.losses"] = progress.losses[: progress.step]
    tensors["progress.norms"] = progress.norms[: progress.step]
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _numbers(state: TrainingState) -> dict:
    """What is no tensor, under the names that checkpoints have had from the first on."""
    progress = state.progress
    record = state.record
    return {
        "step": progress.step,
        "seconds": progress.seconds,
        "parts": progress.pieces,
        "halved": progress.halved,
        "history": record.history,
        "chosen": record.chosen_epoch,
        "best": record.best_score,
        "environment": record.environment,
    }


def save_newest(folder: Path, state: TrainingState) -> None:
    """Write a checkpoint named after its step below `folder`; the oldest ones go."""
    save_checkpoint(folder / f"step-{state.progress.step:09d}", state)
    for old in steps_in(folder)[:-NEWEST]:
        remove(old)


def steps_in(folder: Path) -> list[Path]:
    """The checkpoints of a run, the oldest first."""
    return sorted(folder.glob("step-?????????"))


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step-"))


def candidates(prepared: Prepared, prefix_hashes: list[str]) -> dict[Path, int]:
    """The checkpoints that a run may go on from, with their steps.

    Its own, and where they are, those of its first epochs that runs which begin alike have left.
    """
    config = prepared.config
    last = min(config.stop_after or config.epochs, config.epochs - 1)
    steps_by_folder = {}
    for epoch, name in enumerate(prefix_hashes[:last], 1):
        steps_by_folder[store() / "checkpoints" / name] = epoch * prepared.steps_per_epoch
    for path in steps_in(prepared.folder / "checkpoint"):
        steps_by_folder[path] = step_of(path)
    return steps_by_folder


def load_furthest(
    steps_by_folder: dict[Path, int],
) -> tuple[Path, TrainingState] | None:
    """The whole checkpoint that came furthest, with its folder; None where none is whole."""
    for folder in sorted(steps_by_folder, key=steps_by_folder.get, reverse=True):
        state = load_checkpoint(folder)
        if state is not None:
            return folder, state
    return None


def is_whole(folder: Path) -> bool:
    """Whether a checkpoint's files have the digests that it was written with."""
    try:
        return read_json(folder / "manifest.json") == file_digests(folder, "manifest.json")
    except (OSError, ValueError):
        return False


def load_checkpoint(folder: Path) -> TrainingState | None:
    """A checkpoint, or None where there is none or its files are not whole, which is said."""
    if not is_whole(folder):
        if folder.exists():  # else another process has just removed it
            print(f"The checkpoint {folder} is damaged and is left out", flush=True)
        return None
    groups: dict[str, dict] = {"model": {}, "best": {}, "optimizer": {}, "progress": {}}
    for name, tensor in load_file(folder / "state.safetensors").items():
        kind, _, rest = name.partition(".")
        groups[kind][rest] = tensor
    moments: dict[int, dict] = {}
    for name, tensor in groups["optimizer"].items():
        number, _, field = name.partition(".")
        moments.setdefault(int(number), {})[field] = tensor
    numbers = read_json(folder / "progress.json")
    progress = Progress(
        numbers["step"],
        **groups["progress"],
        seconds=numbers["seconds"],
        pieces=numbers["parts"],
        halved=numbers["halved"],
    )
    record = Record(
        history=numbers["history"],
        chosen_epoch=numbers["chosen"],
        best_score=numbers["best"],
        environment=numbers["environment"],
    )
    record.best_weights = groups["best"] or (groups["model"] if record.chosen_epoch else {})
    if (folder / "predictions.parquet").exists():
        record.predictions = [pd.read_parquet(folder / "predictions.parquet")]
    return TrainingState(groups["model"], {"state": moments}, progress, record)


def restore(state: TrainingState, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put weights and the optimizer's state back."""
    model.load_state_dict(state.model)
    optimizer.load_state_dict(optimizer.state_dict() | state.optimizer)


def environment_changes(there: dict, here: dict) -> list[str]:
    """In what the environment of a checkpoint differs from this one, in words."""
    there = {"processes": 1} | there
    return [
        f"{name} {value} (now {here.get(name, 1)})"
        for name, value in there.items()
        if here.get(name, 1) != value
    ]
