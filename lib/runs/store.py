"""The store: finished runs as folders, alone and as the runs of a study."""

import dataclasses
import json
import math
import os
import platform
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open

from lib import training
from lib.runs.baselines import BASELINES
from lib.runs.config import DATA_FIELDS, Distillation, RunConfig
from lib.data import Corpus, load_corpus
from lib.errors import InputError
from lib.runs.health import attention_maps, judge
from lib.loaders import make_loader
from lib.models import CLASSIFIER_FILE, load_model
from lib.fast.parallel import team
from lib.analysis.predictions import Predictions
from lib.metrics import label_counts
from lib.readers import Reading
from lib.tokenization import Tokens, encode, tokenize

ROOT = Path(__file__).resolve().parents[2]
EVALUATION_BATCH = 128  # documents


def store() -> Path:
    """The folder of all runs: RUNS_DIR, or `runs/` beside `lib/`."""
    return Path(os.environ.get("RUNS_DIR") or ROOT / "runs")


@lru_cache(maxsize=4)
def _load(data_dir, **arguments) -> Corpus:
    return load_corpus(data_dir=data_dir, **arguments)


def corpus_of(config: RunConfig) -> Corpus:
    """The corpus that a configuration names, read once a process."""
    corpus = _load(os.environ.get("DATA_DIR"), **{name: getattr(config, name) for name in DATA_FIELDS})
    if corpus.bad_rows:
        _list_bad_rows(corpus)
    return corpus


def _list_bad_rows(corpus: Corpus) -> None:
    """Write the rows that were left out to a file of the store, and say so, once."""
    path = store() / "quarantine" / f"{Path(corpus.name).name}-{corpus.fingerprint[:8]}.csv"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(corpus.bad_rows).to_csv(path, index=False)
        told = f"{len(corpus.bad_rows)} rows cannot be used and are left out: {path}"
        print(f"{Path(corpus.name).name}: {told}", flush=True)


def tokens_of(config: RunConfig) -> Tokens:
    """The tokens that a configuration trains on, cached in the store."""
    options = {"max_length": config.max_length, "truncation": config.truncation, "cache": store() / "tokens"}
    return tokenize(corpus_of(config), config.backbone, **options)


def write_json(path: Path, value) -> None:
    """Write in one piece: a reader sees the old file or the new one."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(part, path)


def environment() -> dict:
    """Hardware and versions."""
    names = ("torch", "transformers", "tokenizers", "numpy", "scikit-learn", "pandas", "pyarrow")
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), cpu)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else cpu
    versions = {name: version(name) for name in names}
    about = {"device": device, "threads": torch.get_num_threads(), "python": platform.python_version()}
    return about | versions | ({"processes": team().size} if team().size > 1 else {})


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished (or diverged) run in the store."""

    folder: Path

    def _json(self, name: str) -> dict:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    @property
    def status(self) -> dict:
        return self._json("status.json")

    @property
    def key(self) -> str:
        return self.status["key"]

    @property
    def config(self) -> RunConfig:
        """Raises InputError where another version of this code wrote the run."""
        try:
            return RunConfig(**self._json("config.json"))
        except InputError as error:
            raise InputError(
                f"The run {self.folder} was written by another version of this code ({error}); use that version, or "
                "move the folder away and train it again"
            ) from None

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch; empty for a baseline."""
        path = self.folder / "history.jsonl"
        return pd.DataFrame([json.loads(line) for line in path.read_text().splitlines()] if path.exists() else [])

    @property
    def verdict(self) -> dict[str, str]:
        """How the run ended, and why, if it diverged (`lib.runs.health.judge`); empty where its
        health was not watched."""
        return judge(self.history, self.status)

    @property
    def predictions(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "predictions.parquet")

    def attention(self, most: int = 48) -> np.ndarray:
        """What the chosen epoch's model attends to in the first dev document (layers, tokens,
        tokens), up to `most` tokens."""
        ids, mask = (tensor[0] for tensor in tokens_of(self.config).dev.tensors[:2])
        return attention_maps(load_model(self.folder / "model")[0], ids[mask.bool()][:most]).numpy()

    @cached_property
    def model(self) -> tuple:
        """The chosen epoch's model and what is said of it. Raises InputError."""
        if not (self.folder / "model").is_dir():
            raise InputError(f"The run {self.key[:16]} ({self.status['status']}, {self.config.backbone}) has no model")
        return load_model(self.folder / "model")

    def predict(self, texts: list, batch_size: int = EVALUATION_BATCH) -> tuple[list, np.ndarray]:
        """Labels (rows) and probabilities (rows, num_labels) for texts, or pairs of texts, by the
        chosen epoch's model.

        With several labels a document, its labels are a list of those whose probability is above a
        half. For a regression, the numbers as they are, and as an array (rows, 1). Raises
        InputError.
        """
        texts = [texts] if isinstance(texts, str) or texts is None else list(texts)
        for text in texts:
            if not all(isinstance(part, str) for part in (text if isinstance(text, tuple | list) else [text])):
                raise InputError(f"predict wants texts, or pairs of texts; {text!r} is none")
        model, about = self.model
        if not texts:
            return [], np.empty((0, len(about["label_names"])))
        reading = {name: about[name] for name in ("max_length", "truncation")}
        ids, mask, _ = encode(texts, self.folder / "model", **reading)
        dataset = torch.utils.data.TensorDataset(ids, mask, torch.zeros(len(texts), dtype=torch.int32))
        loader = make_loader(dataset, batch_size=batch_size)
        parts = [logits for logits, _ in training.logits_of(model, loader, precision="fp32")]
        logits, names = torch.cat(parts)[training.in_order(loader)].double(), about["label_names"]
        task = about.get("task", "classification")
        if task == "regression":
            return logits[:, 0].tolist(), logits.numpy()
        if task == "multilabel":
            chances = logits.sigmoid().numpy()
            return [[names[i] for i in np.flatnonzero(row > 0.5)] for row in chances], chances
        return [names[i] for i in logits.argmax(1)], logits.softmax(1).numpy()


def load_run(name: str | Path) -> Run:
    """A run by its folder or by (the beginning of) its key. Raises InputError."""
    named = [Path(name)] if Path(name).is_dir() else sorted(store().glob("*"))
    found = [
        f for f in named if (f / "status.json").is_file() and (f == Path(name) or f.name.startswith(str(name)[:16]))
    ]
    if len(found) != 1:
        raise InputError(f"{name} is the folder or key of {len(found) or 'no'} finished run{'s' * (len(found) > 1)}")
    return Run(found[0])


def model_folder(name: str | Path) -> Path:
    """The model of a finished run, by its key or folder, or a model's own folder. Raises
    InputError."""
    if (Path(name) / CLASSIFIER_FILE).is_file():
        return Path(name)
    folder = load_run(name).folder / "model"
    if not (folder / CLASSIFIER_FILE).is_file():
        raise InputError(f"The run {name} has no model")
    return folder


class Runs(list):
    """The runs of a study."""

    def ended(self, *outcomes: str, **fields) -> "Runs":
        """The runs with one of these outcomes (see `lib.runs.health.outcome`) and these values
        in their configuration, the highest dev P@1 first."""
        found = [run for run in self if run.verdict.get("outcome") in outcomes]
        found = [run for run in found if all(getattr(run.config, name) == value for name, value in fields.items())]
        return Runs(sorted(found, key=lambda run: -run.history["dev_P@1"].max() if len(run.history) else 0.0))

    @property
    def history(self) -> pd.DataFrame:
        """All histories, one row a run and epoch, with the run's key and its configuration's plain
        fields.

        A field that the history follows through training (the learning rate) is the history's.
        """
        frames = []
        for run in self:
            own = run.history
            fields = {k: v for k, v in run.config if not isinstance(v, dict | Reading | Distillation) and k not in own}
            fields |= {"outcome": run.verdict["outcome"]} if run.verdict else {}
            frames += [own.assign(run=run.key[:16], **fields)] if len(own) else []
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    def cost(self, by: str) -> pd.DataFrame:
        """Parameters and measured speed of training, a row a group of runs; times are of the
        machine that trained."""
        rows: dict[str, list] = {}
        for run in self:
            if len(run.history):
                rows.setdefault(str(getattr(run.config, by)), []).append(run)
        table = []
        for name, runs in rows.items():
            with safe_open(runs[0].folder / "model" / "model.safetensors", "pt") as weights:
                size = sum(math.prod(weights.get_slice(key).get_shape()) for key in weights.keys())  # noqa: SIM118
            speed = float(np.median(np.concatenate([run.history.samples_per_second for run in runs])))
            table.append({by: name, "parameters": size, "samples per second": speed})
        return pd.DataFrame(table)

    @cached_property
    def predictions(self) -> Predictions:
        """All predictions, as they are published."""
        config = next((run.config for run in self if run.config.backbone not in BASELINES), None)
        lengths, train = {}, ()
        if config:
            corpus, tokens = corpus_of(config), tokens_of(config)
            for name in ("dev", "test"):
                lengths[name] = pd.Series(tokens.lengths[name], index=getattr(corpus, name).rows)
            train = (len(corpus.train),)
            if corpus.multilabel:
                train += (label_counts(corpus.train.labels, corpus.num_labels),)
        return Predictions.collect(self, lengths, *train)
