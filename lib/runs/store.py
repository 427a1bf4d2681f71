"""The store: finished runs as folders, alone and as the runs of a study."""

import dataclasses
import io
import json
import math
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open

from lib.errors import InputError
from lib.fast.labelling import Compute, for_labelling, sorted_logits
from lib.models import CLASSIFIER_FILE, load_model
from lib.reading.options import Reading
from lib.runs.config import Distillation, RunConfig
from lib.runs.paths import KEY_LENGTH, store
from lib.runs.seal import MODEL, STATUS, check_model, check_run, damaged, read_sealed, read_status
from lib.runs.verdict import judge
from lib.tokenization import encode, reading_of

EVALUATION_BATCH = 128  # documents


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished (or diverged) run in the store.

    Whatever is read of it raises InputError where it is not what was written (`lib.runs.seal`).
    """

    folder: Path

    @property
    def status(self) -> dict:
        return read_status(self.folder)

    @property
    def key(self) -> str:
        return self.status["key"]

    @property
    def name(self) -> str:
        """The beginning of its key, as pages and the store name it."""
        return self.key[:KEY_LENGTH]

    @property
    def fields(self) -> dict:
        """The configuration as it was written, whatever version of this code wrote it."""
        return self._read("config.json", json.loads)

    @property
    def config(self) -> RunConfig:
        """Raises InputError where another version of this code wrote the run."""
        try:
            return RunConfig(**self.fields)
        except InputError as error:
            raise InputError(
                f"The run {self.folder} was written by another version of this code ({error}); "
                "use that version, or move the folder away and train it again"
            ) from None

    @property
    def environment(self) -> dict:
        """The hardware and versions that it was trained with."""
        return self._read("environment.json", json.loads)

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch; empty for a baseline."""
        return pd.DataFrame(self.history_rows)

    @property
    def history_rows(self) -> list[dict]:
        """The history as it was written, one dictionary an epoch; empty for a baseline."""
        return self._read("history.jsonl", _json_lines, default=[])

    @property
    def verdict(self) -> dict[str, str]:
        """How the run ended, and why, if it diverged (`lib.runs.verdict.judge`).

        Empty where its health was not watched.
        """
        return judge(self.history, self.status)

    @property
    def predictions(self) -> pd.DataFrame:
        """One row a split, epoch and document. Raises InputError where the run has none."""
        return self._read("predictions.parquet", _parquet)

    def _read(self, name: str, parse: Callable[[bytes], Any], default=None):
        """A file of the run, parsed; `default` where it has none of that name."""
        content = read_sealed(self.folder, name)
        if content is None and default is not None:
            return default
        if content is None:
            raise InputError(f"The run {self.folder} has no {name}")
        try:
            return parse(content)
        except (ValueError, OSError):  # pyarrow says it by either
            raise damaged(self.folder, name) from None

    @cached_property
    def model(self) -> tuple:
        """The chosen epoch's model, and what is said of it. Raises InputError."""
        if not (self.folder / "model").is_dir():
            ended = f"{self.status['status']}, {self.config.backbone}"
            raise InputError(f"The run {self.name} ({ended}) has no model")
        check_model(self.folder)
        return load_model(self.folder / "model")

    @cached_property
    def _compute(self) -> Compute:
        return for_labelling(self.model[0])

    def predict(self, texts: list) -> tuple[list, np.ndarray]:
        """Labels (rows) and probabilities (rows, num_labels) for texts, or pairs of texts.

        By the chosen epoch's model. With several labels a document, its labels are a list of those
        whose probability is above a half. For a regression, the numbers as they are, and as an
        array (rows, 1). Raises InputError.
        """
        texts = [texts] if isinstance(texts, str) or texts is None else list(texts)
        check_texts(texts)
        settings = self.model[1]
        names = settings["label_names"]
        if not texts:
            return [], np.empty((0, len(names)))
        logits = self.logits_of(texts)[0].double()
        task = settings.get("task", "classification")
        if task == "regression":
            return logits[:, 0].tolist(), logits.numpy()
        if task == "multilabel":
            probabilities = logits.sigmoid().numpy()
            labels = [[names[i] for i in np.flatnonzero(row > 0.5)] for row in probabilities]
            return labels, probabilities
        return [names[i] for i in logits.argmax(1)], logits.softmax(1).numpy()

    def logits_of(self, texts: list) -> tuple[torch.Tensor, np.ndarray]:
        """Logits (rows, num_labels), float32, and the length of each text in tokens before
        truncation (rows,), in the order of the texts."""
        ids, mask, lengths = encode(texts, self.folder / MODEL, **reading_of(self.model[1]))
        return self._logits(ids, mask), lengths

    def _logits(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return sorted_logits(self._compute, ids, mask)


def _json_lines(content: bytes) -> list[dict]:
    return [json.loads(line) for line in content.decode("utf-8").splitlines()]


def _parquet(content: bytes) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(content))


def check_texts(texts: list) -> None:
    """Raises InputError where something is neither a text nor a pair of texts."""
    for text in texts:
        pieces = text if isinstance(text, tuple | list) else [text]
        if not all(isinstance(piece, str) for piece in pieces):
            raise InputError(f"predict wants texts, or pairs of texts; {text!r} is none")


def load_run(name: str | Path) -> Run:
    """A run by its folder or by (the beginning of) its key. Raises InputError where there is none,
    or it is damaged."""
    if Path(name).is_dir():
        folders = [Path(name)]
    else:
        folders = [
            f for f in sorted(store().glob("*")) if f.name.startswith(str(name)[:KEY_LENGTH])
        ]
    finished = [folder for folder in folders if (folder / STATUS).is_file()]
    if len(finished) != 1:
        number = f"{len(finished)} finished runs" if finished else "no finished run"
        raise InputError(f"{name} is the folder or key of {number}")
    check_run(finished[0])
    return Run(finished[0])


def model_folder(name: str | Path) -> Path:
    """The model of a finished run, by its key or folder, or its own folder. Raises InputError."""
    if (Path(name) / CLASSIFIER_FILE).is_file():
        folder = Path(name)
    else:
        folder = load_run(name).folder / MODEL
    if folder.name == MODEL and (folder.parent / STATUS).is_file():
        check_model(folder.parent)
    if not (folder / CLASSIFIER_FILE).is_file():
        raise InputError(f"The run {name} has no model")
    return folder


class Runs(list):
    """The runs of a study."""

    @property
    def history(self) -> pd.DataFrame:
        """All histories, one row a run and epoch, with the run's key and its plain fields.

        A field that the history follows through training (the learning rate) is the history's.
        """
        frames = []
        for run in self:
            history = run.history
            if not len(history):
                continue
            fields = {
                name: value
                for name, value in run.config
                if not isinstance(value, dict | Reading | Distillation) and name not in history
            }
            if run.verdict:
                fields["outcome"] = run.verdict["outcome"]
            frames.append(history.assign(run=run.name, **fields))
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    def cost(self, by: str) -> pd.DataFrame:
        """Parameters and measured speed of training, a row a group of runs.

        Times are of the machine that trained.
        """
        groups: dict[str, list[Run]] = {}
        for run in self:
            if len(run.history):
                groups.setdefault(str(getattr(run.config, by)), []).append(run)
        rows = []
        for name, runs in groups.items():
            speeds = np.concatenate([run.history.samples_per_second for run in runs])
            parameters = count_parameters(runs[0].folder / "model" / "model.safetensors")
            speed = float(np.median(speeds))
            rows.append({by: name, "parameters": parameters, "samples per second": speed})
        return pd.DataFrame(rows)


def count_parameters(path: Path) -> int:
    """How many numbers a file of weights has."""
    with safe_open(path, "pt") as weights:
        names = list(weights.keys())
        return sum(math.prod(weights.get_slice(name).get_shape()) for name in names)
