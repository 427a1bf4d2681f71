"""Where a run can go on from, and what has changed since."""

from pathlib import Path

from lib.runs.checkpoints import step_of, steps_in
from lib.runs.keys import Prepared
from lib.runs.store import store


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


def environment_changes(there: dict, here: dict) -> list[str]:
    """In what the environment of a checkpoint differs from this one, in words."""
    there = {"processes": 1} | there
    return [
        f"{name} {value} (now {here.get(name, 1)})"
        for name, value in there.items()
        if here.get(name, 1) != value
    ]
