"""Random configurations, and bits flipped in a finished run, in its caches and in a page."""

import dataclasses
import math
import os
import random
import shutil
from pathlib import Path

import pandas as pd
import pytest

from lib.analysis.predictions import Predictions
from lib.many.pool import run
from lib.runs.config import RunConfig
from lib.runs.files import digest
from lib.runs.store import Run, load_run
from tests.conftest import digests, save_learnable, save_tiny
from tests.fuzz_files import FaultError

ODD = (2**62, 2**31, -1, 0, 1, True, math.inf, math.nan, 1e308, "", "x" * 5000, "a\0b", "\ud800")
ODD += (None, [], [1], {}, {"self": 1}, {"gamma": 0.5}, "mean", 0.5, 3, "1e-3", b"x")
MEASURED = ("environment.json", "cost.csv", "numbers.csv")  # of a page: times, which no run tells
USUAL = {
    "head": ("native", "cls", "mean", "lstm", "weighted_average", "men"),
    "optimizer": ("adam", "adamw", "sgd", "adagrad", "adadelta", "amsgrad"),
    "schedule": ("constant", "linear", "cosine", "one_cycle", "multistep", "exponential"),
    "schedule_args": (
        {},
        *({"gamma": value} for value in (0.5, 0, 1e200)),
        *({"milestones": value} for value in ([1], [2, 1], [-1], "12")),
        *({"warmup_ratio": value} for value in (0.5, 2, "x")),
        *({"pct_start": value} for value in (0.3, 0.5, 1)),
        *({"div_factor": value} for value in (0, 1e300)),
    ),
    "learning_rate": (1e-3, 1e-300, 1e30, "1e-4"),
    "weight_decay": (0.0, 0.01, 1e30),
    "batch_size": (1, 3, 8, 1000),
    "accumulation": (1, 2, 7),
    "batching": ("random", "grouped", "packed", "grouped_packed"),
    "epochs": (1, 2, 3),
    "max_length": (3, 16, 64, 65),
    "truncation": ("head", "tail", "head_tail", "windows"),
    "stride": (1, 5, 62, 99, None),
    "windows": (1, 2, 9),
    "layers": (1, 2, 3, None),
    "freeze": ("backbone", 1, 2, 9, None),
    "layer_decay": (0.5, 1e-300),
    "gradient_checkpointing": (True, False),
    "adapter": ("lora", None),
    "lora_rank": (1, 8, 100),
    "folds": (2, 3, None),
    "fold": (1, 2, 3),
    "class_weight": ("balanced", None),
    "select_by": ("loss", "last", "accuracy", "f1", "macro_f1", "p@1", "rmse"),
    "train_rows": (2, 16, None),
    "dev_rows": (2, 12, None),
    "test_rows": (2, 21, 100, None),
    "label_smoothing": (0.0, 0.5),
    "focal_gamma": (0.0, 2.0, 1e30),
    "stop_after": (1, 2),
    "patience": (1, 2),
    "prior_bias": (True, False),
    "health": (True, False),
    "reference": ("tfidf", "majority"),
}


@dataclasses.dataclass(frozen=True)
class Material:
    """What is damaged: the store of some finished runs with its caches, and a page."""

    root: Path
    config: RunConfig  # of a plain run
    frozen: RunConfig  # of a run that trains on embedded documents
    student: RunConfig  # of a run that learns from the first one
    page: Path

    @classmethod
    def make(cls, root: Path) -> "Material":
        from tests.tiny_study import publish, save_notebook

        data = str(save_learnable(root / "data"))
        backbone = str(save_tiny(root / "bert"))
        config = RunConfig(
            dataset=data,
            backbone=backbone,
            epochs=1,
            max_length=16,
            batch_size=8,
            dev_rows=12,
            learning_rate=1e-3,
            precision="fp32",
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RUNS_DIR", str(root / "runs"))
            plain = run(config, tracker="none")
            frozen = config.with_(freeze="backbone", head="mean")
            student = config.with_(distil={"teacher": str(plain.folder)})
            for other in (frozen, student):
                run(other, tracker="none")
            save_notebook(root / "notebooks")
            page = publish(root, "tiny", backbone=backbone, dataset=data, epochs=1)
        return cls(root, config, frozen, student, page)

    @property
    def is_sealed(self) -> bool:
        return "files" in self.run_of(self.config).status

    def run_of(self, config: RunConfig) -> Run:
        """A finished run of the material."""
        for path in sorted((self.root / "runs").glob("*/status.json")):
            if Run(path.parent).config == config:
                return Run(path.parent)
        raise LookupError("no such run")


def random_config(dice: random.Random, base: RunConfig) -> dict:
    """Fields of a configuration: some that are usual, and sometimes an odd one."""
    fields = base.model_dump()
    for name in dice.sample(list(USUAL), k=dice.randint(1, 5)):
        fields[name] = dice.choice(USUAL[name])
    if dice.random() < 0.3:
        fields[dice.choice(list(RunConfig.model_fields))] = dice.choice(ODD)
    return fields


def train_random(material: Material, dice: random.Random, folder: Path) -> str:
    """Train a random configuration."""
    os.environ["RUNS_DIR"] = str(folder / "runs")
    finished = run(RunConfig(**random_config(dice, material.config)), tracker="none")
    status = finished.status["status"]
    if status == "finished" and len(finished.history):
        losses = finished.history["train_loss"]
        if not losses.map(math.isfinite).all():
            raise FaultError("a loss is no number, and the run is said to be finished")
    return status


def flip_in(dice: random.Random, folder: Path) -> str:
    """Flip one bit in one file of a folder; returns the file's name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    path = dice.choice(files)
    content = bytearray(path.read_bytes())
    content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    path.write_bytes(content)
    return str(path.relative_to(folder))


def everything_of(finished: Run) -> str:
    """A digest of all that is read of a run."""
    labels, probabilities = finished.predict(["kana lobe", "mido", "kabe kabe nufu"])
    tables = [frame.to_csv() for frame in (finished.history, finished.predictions)]
    facts = [finished.status, finished.fields, finished.environment, finished.config]
    return digest(*facts, *tables, labels, probabilities.tobytes())


def flip_run(material: Material, dice: random.Random, folder: Path) -> str:
    """Flip a bit of a finished run, and read it; sometimes, ask for the run again instead."""
    original = material.run_of(material.config)
    copy = folder / "runs" / original.folder.name
    shutil.copytree(original.folder, copy)
    name = flip_in(dice, copy)
    if dice.random() < 0.1:
        os.environ["RUNS_DIR"] = str(copy.parent)
        again = run(material.config, tracker="none")
        if digests(again) != digests(original):
            raise FaultError(f"{name}: the same command gives another run")
        return "trained again"
    if everything_of(load_run(copy)) != everything_of(original):
        raise FaultError(f"{name}: the run is read as another one")
    return "read as it was"


def flip_cache(material: Material, dice: random.Random, folder: Path) -> str:
    """Flip a bit of a cache, and train a run that reads it."""
    config = dice.choice([material.config, material.frozen, material.student])
    store = folder / "runs"
    for name in ("tokens", "features", "teachers"):
        if (material.root / "runs" / name).is_dir():
            shutil.copytree(material.root / "runs" / name, store / name)
    name = flip_in(dice, store)
    os.environ["RUNS_DIR"] = str(store)
    if digests(run(config, tracker="none")) != digests(material.run_of(config)):
        raise FaultError(f"{name}: another run came of it")
    return "the same run"


def flip_page(material: Material, dice: random.Random, folder: Path) -> str:
    """Flip a bit of a page, and verify it."""
    from lib.publish.verify import verify

    page = folder / material.page.parent.name / material.page.name
    shutil.copytree(material.page, page)
    os.environ["RUNS_DIR"] = str(material.root / "runs")  # which notes where the page's data is
    name = flip_in(dice, page)
    check = verify(page)
    if check.wrong:
        return "found"
    if check.moved:
        return "a last digit moved, which is counted"
    is_named = any(line.startswith(f"{Path(name).stem}:") for line in check.unchecked)
    if name in MEASURED or is_named:
        return "not compared"
    if name.endswith(".parquet"):
        before, after = (Predictions.read(path / name) for path in (material.page, page))
        pd.testing.assert_frame_equal(before.frame, after.frame)
        if before.runs == after.runs:
            return "read as it was"
    raise FaultError(f"{name}: the page passes as it was")
