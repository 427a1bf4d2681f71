"""Checkpoints: everything a run needs to go on, written in one piece and checked when read; no pickle."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import nn


def _flat(prefix: str, tensors: dict) -> dict[str, torch.Tensor]:
    return {f"{prefix}.{name}": tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _digests(folder: Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.iterdir())
        if file.name != "manifest.json"
    }


def save_checkpoint(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, weights: dict, **progress
) -> None:
    """Write weights, optimizer state, the best epoch's weights, predictions (a DataFrame) and plain values.

    Random states are not among them: every step is seeded from the run's seed and its own number.
    """
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    tensors = _flat("model", model.state_dict()) | _flat("best", weights)
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= _flat(f"optimizer.{i}", state)
    save_file(tensors, part / "state.safetensors")
    progress.pop("predictions").to_parquet(part / "predictions.parquet", index=False)
    (part / "progress.json").write_text(json.dumps(progress))
    (part / "manifest.json").write_text(json.dumps(_digests(part)))
    for file in part.iterdir():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def load_checkpoint(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[dict, dict] | None:
    """Put weights and optimizer state back; returns (best weights, progress), or None where the files are not whole."""
    try:
        whole = json.loads((folder / "manifest.json").read_text()) == _digests(folder)
    except FileNotFoundError:  # none, or another process that needed it no longer has just removed it
        return None
    if not whole:
        print(f"The checkpoint {folder} is damaged and is left out", flush=True)
        return None
    groups: dict[str, dict] = {"model": {}, "best": {}, "optimizer": {}}
    for name, tensor in load_file(folder / "state.safetensors").items():
        kind, rest = name.split(".", 1)
        groups[kind][rest] = tensor
    model.load_state_dict(groups["model"])
    states: dict[int, dict] = {}
    for name, tensor in groups["optimizer"].items():
        i, field = name.split(".", 1)
        states.setdefault(int(i), {})[field] = tensor
    optimizer.load_state_dict(optimizer.state_dict() | {"state": states})
    progress = json.loads((folder / "progress.json").read_text())
    progress["predictions"] = pd.read_parquet(folder / "predictions.parquet")
    return groups["best"], progress
