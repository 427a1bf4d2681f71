"""A run: one configuration, trained once, kept under the hash of everything its result depends on."""

import dataclasses
import hashlib
import json
import math
import os
import platform
import shutil
import time
from collections.abc import Collection
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from safetensors import safe_open

from lib import training
from lib.backbones import fingerprint, resolve_backbone
from lib.baselines import BASELINES
from lib.checkpoints import load_checkpoint, save_checkpoint
from lib.config import DATA_FIELDS, RunConfig, make_config
from lib.data import Corpus, load_corpus
from lib.errors import InputError
from lib.health import outcome, prior_loss
from lib.loaders import make_loader
from lib.models import build_model, load_model, save_model
from lib.optim import make_optimizer, plan
from lib.predictions import Predictions, to_frame
from lib.ranking import inverse_propensity, top_k
from lib.tokenization import Tokens, encode, tokenize

ROOT = Path(__file__).resolve().parent.parent
EVALUATION_BATCH = 128  # documents


def store() -> Path:
    """The folder of all runs: RUNS_DIR, or `runs/` beside `lib/`."""
    return Path(os.environ.get("RUNS_DIR") or ROOT / "runs")


@lru_cache(maxsize=4)
def _load(data_dir, **arguments) -> Corpus:
    return load_corpus(data_dir=data_dir, **arguments)


def corpus_of(config: RunConfig) -> Corpus:
    """The corpus that a configuration names, read once a process."""
    return _load(os.environ.get("DATA_DIR"), **{name: getattr(config, name) for name in DATA_FIELDS})


def tokens_of(config: RunConfig) -> Tokens:
    """The tokens that a configuration trains on, cached in the store."""
    options = {"max_length": config.max_length, "truncation": config.truncation, "cache": store() / "tokens"}
    return tokenize(corpus_of(config), config.backbone, **options)


def run_key(config: RunConfig, corpus: Corpus) -> str:
    """SHA-256 over what the result depends on. Names of datasets and backbones count by their content."""
    about: dict = {"data": corpus.fingerprint, "version": training.VERSION}
    if config.backbone in BASELINES:
        about |= {"baseline": config.backbone}
    else:
        by_content = {*DATA_FIELDS, "backbone"}
        about |= config.model_dump(exclude=by_content, exclude_defaults=True)  # a new field with a default keeps keys
        about["backbone"] = fingerprint(resolve_backbone(config.backbone))
        about["precision"] = training.resolve_precision(config.precision, training.default_device())
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


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
    return {"device": device, "threads": torch.get_num_threads(), "python": platform.python_version()} | versions


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
        return make_config(self._json("config.json"))

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch; empty for a baseline."""
        path = self.folder / "history.jsonl"
        return pd.DataFrame([json.loads(line) for line in path.read_text().splitlines()] if path.exists() else [])

    @property
    def predictions(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "predictions.parquet")

    def predict(self, texts: list[str], batch_size: int = EVALUATION_BATCH) -> tuple[list[str], np.ndarray]:
        """Labels and probabilities (rows, num_labels) for texts, by the chosen epoch's model."""
        model, about = load_model(self.folder / "model")
        reading = {name: about[name] for name in ("max_length", "truncation")}
        ids, mask, _ = encode(texts, self.folder / "model", **reading)
        dataset = torch.utils.data.TensorDataset(ids, mask, torch.zeros(len(texts), dtype=torch.int32))
        result = training.evaluate(model, make_loader(dataset, batch_size=batch_size), precision="fp32")
        logits = torch.from_numpy(result.logits).double()
        return [about["label_names"][i] for i in logits.argmax(1)], logits.softmax(1).numpy()


def load_run(name: str | Path) -> Run:
    """A run by its folder or by (the beginning of) its key. Raises InputError."""
    found = [Path(name)] if Path(name).is_dir() else sorted(store().glob(f"{str(name)[:16]}*")) if name else []
    found = [folder for folder in found if (folder / "status.json").is_file()]
    if len(found) != 1:
        raise InputError(f"{name} is the folder or key of {len(found) or 'no'} finished run{'s' * (len(found) > 1)}")
    return Run(found[0])


def beginnings(config: RunConfig) -> list[str]:
    """A name for the state after each epoch: runs that share it have trained alike until then, to the bit.

    It is the hash of what the run depends on, with the schedule replaced by the steps it has planned so far.
    """
    if config.backbone in BASELINES:
        return []
    corpus = corpus_of(config)
    plan, steps = plan_of(config, len(corpus.train))
    same = {"epochs": 1, "schedule": "constant", "schedule_args": {}, "select_by": "macro_f1"}
    digest = hashlib.sha256(run_key(config.with_(**same), corpus).encode() + config.select_by.encode())
    names = []
    for epoch in range(config.epochs):
        digest.update(json.dumps(plan[epoch * steps : (epoch + 1) * steps]).encode())
        names.append(digest.hexdigest()[:16])
    return names


def plan_of(config: RunConfig, rows: int) -> tuple[list[dict], int]:
    """The optimizer's settings at every step, and the number of steps in an epoch."""
    steps = -(-rows // config.batch_size)
    names = ("schedule", "optimizer", "learning_rate", "epochs")
    return plan(**{n: getattr(config, n) for n in names}, steps_per_epoch=steps, **config.schedule_args), steps


def run(config: RunConfig, keep: Collection[str] = ()) -> Run:
    """The finished run of a configuration, from the store, or trained now. A run that diverges is a result too.

    `keep` names beginnings (see `beginnings`) to leave a checkpoint of; a run goes on from the longest there is of its
    own. Two processes that ask for the same run train it once: the second waits. A dead process holds no lock.
    """
    corpus = corpus_of(config)
    key = run_key(config, corpus)
    folder = store() / key[:16]
    if (folder / "status.json").exists():
        return Run(folder)
    locks = store() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"{key[:16]}.lock"):
        if not (folder / "status.json").exists():
            shutil.rmtree(folder, ignore_errors=True)  # what a killed process left
            folder.mkdir(parents=True)
            start = time.perf_counter()
            write_json(folder / "config.json", config.model_dump())
            write_json(folder / "environment.json", environment())
            is_baseline = config.backbone in BASELINES
            result = _baseline(config, corpus, folder) if is_baseline else _train(config, corpus, folder, keep)
            rows = {name: len(getattr(corpus, name)) for name in ("train", "dev", "test")}
            data = {"source": corpus.source, "fingerprint": corpus.fingerprint, "rows": rows}
            about = {"key": key, "label_names": corpus.label_names, "data": data}
            write_json(folder / "status.json", result | about | {"seconds": time.perf_counter() - start})
    return Run(folder)


def _baseline(config: RunConfig, corpus: Corpus, folder: Path) -> dict:
    scores = BASELINES[config.backbone](corpus)
    parts = []
    for name in ("dev", "test"):
        values, ranked = scores[name], None
        if corpus.multilabel:
            ranked = top_k(values, training.TOP)
            values = np.take_along_axis(values, ranked, axis=1)
        parts.append(to_frame(name, 1, getattr(corpus, name), values, ranked))
    pd.concat(parts, ignore_index=True).to_parquet(folder / "predictions.parquet", index=False)
    return {"status": "finished", "chosen_epoch": 1, "last_epoch": 1}


def _train(config: RunConfig, corpus: Corpus, folder: Path, keep: Collection[str]) -> dict:
    tokens = tokens_of(config)
    options = {"head": config.head, "dropout": config.dropout, "label_names": corpus.label_names}
    shape = {"num_labels": corpus.num_labels, "layers": config.layers, "seed": config.seed}
    model = build_model(config.backbone, **shape, **options)
    optimizer = make_optimizer(
        config.optimizer, model, learning_rate=config.learning_rate, weight_decay=config.weight_decay
    )
    train = make_loader(tokens.train, batch_size=config.batch_size, batching=config.batching, seed=config.seed)
    dev, test = (make_loader(part, batch_size=EVALUATION_BATCH) for part in (tokens.dev, tokens.test))
    names, (steps, _) = beginnings(config), plan_of(config, len(corpus.train))
    history, parts, chosen, best, weights = [], [], 0, -np.inf, {}
    result = {"status": "finished"}
    for name in reversed(names[:-1]):
        if found := load_checkpoint(store() / "checkpoints" / name, model, optimizer):
            weights, progress = found
            history, chosen, best = progress["history"], progress["chosen"], progress["best"]
            parts = [progress["predictions"]]
            print(f"    goes on after epoch {len(history)}, which another run shares", flush=True)
            break

    def score_test(epoch: int) -> pd.DataFrame:
        found = training.evaluate(model, test, precision=config.precision)
        return to_frame("test", epoch, corpus.test, found.logits, found.ranked)

    try:
        fixed = {name: getattr(config, name) for name in ("clip_norm", "precision", "seed", "health")}
        for row, found in training.train_epochs(model, optimizer, steps, train, dev, done=len(history), **fixed):
            epoch, score = row["epoch"], found.scores[config.select_by]
            print(f"    epoch {epoch}/{config.epochs}: dev {config.select_by} {score:.4f}, "
                  f"{row['samples_per_second']:.0f} samples/s", flush=True)  # fmt: skip
            history.append(row)
            parts.append(to_frame("dev", epoch, corpus.dev, found.logits, found.ranked))
            score *= -1 if config.select_by == "loss" else 1
            if score > best:
                chosen, best = epoch, score
                weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
            if config.test_every_epoch and epoch < config.epochs:
                parts.append(score_test(epoch))
            if names[epoch - 1] in keep:
                state = {"history": history, "chosen": chosen, "best": best, "predictions": pd.concat(parts)}
                save_checkpoint(store() / "checkpoints" / names[epoch - 1], model, optimizer, weights, **state)
    except training.DivergedError as error:
        result = {"status": "diverged", "reason": str(error)}
    last = len(history)
    if last == config.epochs:
        parts.append(score_test(last))
    if chosen:
        model.load_state_dict(weights)
        if chosen != last and not config.test_every_epoch:
            parts.append(score_test(chosen))
        reading = {"max_length": config.max_length, "truncation": config.truncation}
        save_model(model, folder / "model", backbone=config.backbone, **reading, **options)
        pd.concat(parts, ignore_index=True).to_parquet(folder / "predictions.parquet", index=False)
    (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in history))
    if config.health:
        prior = prior_loss(corpus.train.labels, corpus.dev.labels, corpus.num_labels)
        judged = outcome(pd.DataFrame(history), prior, finished=result["status"] == "finished")
        result |= {"outcome": judged, "prior_loss": prior}
    return result | {"chosen_epoch": chosen, "last_epoch": last}


class Runs(list):
    """The runs of a study."""

    @property
    def history(self) -> pd.DataFrame:
        """All histories, one row a run and epoch, with the run's key and its configuration's plain fields.

        A field that the history follows through training (the learning rate) is the history's.
        """
        frames = []
        for run in self:
            own = run.history
            fields = {k: v for k, v in run.config if not isinstance(v, dict) and k not in own}
            frames += [own.assign(run=run.key[:16], **fields)] if len(own) else []
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    def cost(self, by: str) -> pd.DataFrame:
        """Parameters and measured speed of training, a row a group of runs; times are of the machine that trained."""
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
        lengths, weights = {}, None
        if config:
            corpus, tokens = corpus_of(config), tokens_of(config)
            for name in ("dev", "test"):
                lengths[name] = pd.Series(tokens.lengths[name], index=getattr(corpus, name).rows)
            if corpus.multilabel:
                weights = inverse_propensity(corpus.train.labels, corpus.num_labels)
        return Predictions.collect(self, lengths, weights)


def run_all(configs: list[RunConfig]) -> Runs:
    """Every configuration's run, in order; trains only what the store lacks, and says what it does in plain lines.

    Runs whose first epochs are the same (schedules that part later) train those epochs once.
    """
    runs, trained, start = Runs(), 0, time.perf_counter()
    models = [config for config in configs if config.backbone not in BASELINES]
    varying = [name for name in RunConfig.model_fields if len({repr(getattr(c, name)) for c in models}) > 1]
    missing = [not (store() / run_key(c, corpus_of(c))[:16] / "status.json").exists() for c in configs]
    names = [beginnings(config) if lacks else [] for config, lacks in zip(configs, missing, strict=True)]
    for i, config in enumerate(configs):
        if missing[i]:
            minutes = (time.perf_counter() - start) / max(1, trained) * sum(missing[i:]) / 60
            fields = " ".join(f"{name}={getattr(config, name)}" for name in varying if name != "schedule_args")
            eta = f", about {minutes:.1f} min to go" if trained else ""
            about = config.backbone if config.backbone in BASELINES else fields
            print(f"run {i + 1}/{len(configs)}: {about or config.backbone}{eta}", flush=True)
            trained += 1
        shared = [sum(a == b for a, b in zip(names[i], later, strict=False)) for later in names[i + 1 :]]
        runs.append(run(config, keep={names[i][n - 1] for n in shared if 0 < n < len(names[i])}))
    for name in {name for own in names for name in own}:
        shutil.rmtree(store() / "checkpoints" / name, ignore_errors=True)
    print(f"{len(configs)} runs: {trained} trained, {len(configs) - trained} from the store", flush=True)
    return runs
