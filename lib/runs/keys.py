"""What a run depends on: its data, its backbone, and the key of them and its configuration."""

import dataclasses
import hashlib
import itertools
import json
import os
from functools import cached_property, lru_cache
from pathlib import Path

import pandas as pd
import torch

from lib import training
from lib.backbones import fingerprint, resolve_backbone
from lib.data import Corpus, load_corpus
from lib.datasets import DATASETS
from lib.devices import default_device, resolve_precision
from lib.errors import InputError, nearest, shown
from lib.optim import plan_steps
from lib.reading.options import Reading
from lib.runs.config import (
    CHOOSES_SETTINGS,
    DATA_FIELDS,
    MANY_LABELS,
    READ_BY_REFERENCE,
    RunConfig,
)
from lib.runs.files import cached_tensors, content_digest, digest, file_digest, write_text
from lib.runs.paths import KEY_LENGTH
from lib.runs.published import located, published_page
from lib.runs.seal import is_whole
from lib.runs.store import model_folder, store
from lib.tokenization import Tokens, encode, is_single, reading_of, tokenize


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A configuration with what it names: made once, and passed down."""

    config: RunConfig
    corpus: Corpus
    key: str

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return self.key[:KEY_LENGTH]

    @property
    def folder(self) -> Path:
        return store() / self.name

    @property
    def is_finished(self) -> bool:
        """Whether the store has the run, and whole: a damaged one is trained again."""
        return is_whole(self.folder)

    @cached_property
    def settings_by_step(self) -> list[dict]:
        """Of the optimizer; none for a reference. Raises InputError."""
        if self.config.is_reference:
            return []
        return planned_steps(self.config, len(self.corpus.train))

    @property
    def steps_per_epoch(self) -> int:
        return len(self.settings_by_step) // self.config.epochs


def planned_steps(config: RunConfig, train_rows: int) -> list[dict]:
    """The optimizer's settings at each step of a run that learns from so many rows. Raises
    InputError."""
    return plan_steps(
        config.schedule,
        config.optimizer,
        learning_rate=config.learning_rate,
        steps_per_epoch=-(-train_rows // config.batch_size),
        epochs=config.epochs,
        **config.schedule_args,
    )


def run_key(config: RunConfig, corpus: Corpus) -> str:
    """SHA-256 over what the result depends on.

    Names of datasets and backbones count by their content, fields only where they differ from
    their defaults: a new field leaves old keys alone.
    """
    return hash_inputs(key_inputs(config, content_of(config, corpus)))


def content_of(config: RunConfig, corpus: Corpus | None = None) -> dict:
    """What a configuration names, by content: data, backbone, teacher, precision and version, and
    a file of predictions."""
    corpus = corpus or corpus_of(config)
    content = {"data": corpus.fingerprint, "version": training.VERSION}
    if config.reference not in (None, *READ_BY_REFERENCE):
        content["reference"] = file_digest(file_of(config.reference))
    if config.reference in CHOOSES_SETTINGS and corpus.num_labels > MANY_LABELS:
        content["settings_for"] = MANY_LABELS
    if "backbone" in fields_read(config):
        content["backbone"] = fingerprint(resolve_backbone(config.backbone))
    if "precision" in fields_read(config):
        content["precision"] = resolve_precision(config.precision, default_device())
    if config.distil:
        content["teacher"] = fingerprint(model_folder(config.distil.teacher))
    return content


def file_of(reference: str) -> Path:
    """The file of predictions that a reference names. Raises InputError where there is none."""
    path = Path(os.path.expanduser(reference))
    if not path.is_file():
        raise InputError(
            f"reference = {shown(reference)} is no file, and no reference that is computed."
            f"{nearest(reference, READ_BY_REFERENCE)}"
        )
    return path


def key_inputs(config: RunConfig, content: dict) -> dict:
    """What a run's key hashes: the content, and the fields that differ from their defaults."""
    fields = fields_read(config)
    inputs = config.model_dump(include=fields, exclude_defaults=True)
    if config.distil and "distil" in fields:
        inputs["distil"]["teacher"] = content["teacher"]
    by_content = ("data", "version", "backbone", "precision", "reference", "settings_for")
    return inputs | {name: content[name] for name in by_content if name in content}


def fields_read(config: RunConfig) -> set[str]:
    """The fields, but for the data's, that the result of a configuration depends on."""
    return {*RunConfig.model_fields} - {*DATA_FIELDS} - config.idle_fields()


def hash_inputs(inputs: dict) -> str:
    return content_digest(json.dumps(inputs, sort_keys=True).encode())


def prefix_hashes(prepared: Prepared) -> list[str]:
    """A name for the state after each epoch: runs that share it have trained alike until then.

    It is the hash of what the run depends on, with the schedule replaced by the steps it has
    planned so far. None for a reference.
    """
    if prepared.config.is_reference:
        return []
    config = prepared.config
    without_schedule = config.with_(
        epochs=1, schedule="constant", schedule_args={}, select_by="macro_f1", stop_after=None
    )
    key = run_key(without_schedule, prepared.corpus)
    state = hashlib.sha256(key.encode() + config.select_by.encode())
    steps = prepared.steps_per_epoch
    hashes = []
    for epoch in range(config.epochs):
        settings = prepared.settings_by_step[epoch * steps : (epoch + 1) * steps]
        state.update(json.dumps(settings).encode())
        hashes.append(state.hexdigest()[:KEY_LENGTH])
    return hashes


@lru_cache(maxsize=4)
def _load_corpus(data_dir: str | None, files: tuple, **fields) -> Corpus:
    """The corpus of `files`, as `identity_of` tells them; says what was understood of a user's
    own, where runs are trained."""
    corpus = load_corpus(data_dir=data_dir, **fields)
    if fields["dataset"] not in DATASETS and not published_page():
        _tell_labels(files, f"{Path(corpus.name).name}: {corpus.labels}")
    return corpus


@lru_cache
def _tell_labels(_files: tuple, line: str) -> None:
    """Say what was understood, once of the same files: other folds of them are other corpora."""
    print(line, flush=True)


def corpus_of(config: RunConfig) -> Corpus:
    """The corpus that a configuration names, read once a process as long as its files stay what
    they are."""
    config = located(config)
    fields = {name: getattr(config, name) for name in DATA_FIELDS}
    data_dir = os.environ.get("DATA_DIR")
    files = identity_of(config.dataset, data_dir, config.reading)
    corpus = _load_corpus(data_dir, files, **fields)
    if corpus.bad_rows:
        _list_bad_rows(corpus)
    return corpus


def identity_of(dataset: str, data_dir: str | None, reading: Reading) -> tuple:
    """Name, size, time and inode of each file that a corpus is read from: another where one was
    changed."""
    folder = DATASETS[dataset].folder if dataset in DATASETS else None
    if dataset in DATASETS:
        names = [os.path.join(data_dir, folder)] if data_dir and folder else []
    else:
        names = [dataset]
    names += [reading.dev_file, reading.test_file]
    identity = []
    for path in [os.path.expanduser(name) for name in names if name]:
        files = [path]
        if os.path.isdir(path):
            files = sorted([*Path(path).glob("*"), *Path(path).glob("*/*")])
        for file in files:
            if os.path.isfile(file):
                status = os.stat(file)
                identity.append((str(file), status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(identity)


def _list_bad_rows(corpus: Corpus) -> None:
    """Write the rows that were left out to a file of the store, and say so, once."""
    name = Path(corpus.name).name
    path = store() / "quarantine" / f"{name}-{corpus.fingerprint[:8]}.csv"
    if path.exists():
        return
    write_text(path, pd.DataFrame(corpus.bad_rows).to_csv(index=False))
    rows = len(corpus.bad_rows)
    print(f"{name}: {rows} rows cannot be used and are left out: {path}", flush=True)


def tokens_of(config: RunConfig, corpus: Corpus | None = None) -> Tokens:
    """The tokens that a configuration trains on, kept in the store; `corpus` is its own, if that
    is at hand."""
    config = located(config)
    reading = reading_of(config.model_dump())
    corpus = corpus or corpus_of(config)
    return tokenize(corpus, config.backbone, **reading, encode_texts=_encode_once)


def _encode_once(texts: list, backbone: str, **reading) -> tuple:
    """`lib.tokenization.encode`, kept in the store by what it depends on."""

    def make() -> dict[str, torch.Tensor]:
        ids, mask, lengths = encode(texts, backbone, **reading)
        return {"ids": ids, "mask": mask, "lengths": torch.from_numpy(lengths)}

    single = is_single(texts)
    key = digest(
        "tokens",
        fingerprint(resolve_backbone(backbone)),
        *reading.values(),
        "single" if single else "pairs",
        *(texts if single else itertools.chain.from_iterable(texts)),
    )
    tensors = cached_tensors(store() / "tokens", key, make)
    return tensors["ids"], tensors["mask"], tensors["lengths"].numpy()
