"""Corpora: texts with their labels in train, dev and test.

A corpus is named by a row of `lib.datasets.DATASETS`, by a folder or by a file. What a split lacks
is carved from train: stratified, seeded, and with equal texts kept on one side.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from lib.garbage import no_search_for_garbage
from lib.reading.bad_rows import counts_bad_rows
from lib.reading.carving import carve_splits
from lib.reading.columns import as_text
from lib.reading.folds import take_fold
from lib.reading.label_cells import LabelColumn, read_label_column
from lib.reading.labels import Encoded, encode_labels, task_of
from lib.reading.options import PLAIN, BadRow, Reading, check_texts
from lib.reading.rare import gather_rare
from lib.reading.splits import SPLITS, Split, part, read_groups, read_split_names, tell_straddling
from lib.reading.vocabulary import (
    check_classes,
    check_known,
    describe_labels,
    renumber_lists,
    train_classes,
    train_lists,
)
from lib.sources import Source, open_source


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Train, dev and test of one source, with the names of their labels."""

    name: str
    source: str  # where it came from, for the page: never a machine path
    label_names: tuple[str, ...]  # of regression: the column
    train: Split
    dev: Split
    test: Split
    bad_rows: tuple[BadRow, ...] = ()  # left out
    labels: str = ""  # what was understood of them, in a line
    notes: tuple[str, ...] = ()  # of this, what could be meant otherwise

    @property
    def num_labels(self) -> int:
        return len(self.label_names)

    @property
    def multilabel(self) -> bool:
        return self.train.labels.ndim == 2

    @property
    def task(self) -> str:
        """classification, multilabel or regression."""
        if self.multilabel:
            return "multilabel"
        return "regression" if self.train.labels.dtype.kind == "f" else "classification"

    @property
    def metric(self) -> str:
        """What the task is usually judged by: F1 of the second of two classes, macro F1 of more,
        micro F1 of several labels a document, Spearman's correlation of numbers."""
        if self.task == "multilabel":
            return "micro_f1"
        if self.task == "regression":
            return "spearman"
        return "f1" if self.num_labels == 2 else "macro_f1"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over label names, texts and labels of all splits, in order."""
        dtype = "<f8" if self.task == "regression" else "<i8"
        digest = hashlib.sha256(json.dumps(self.label_names).encode())
        for name in SPLITS:
            split = getattr(self, name)
            digest.update(f"\0{name}\0{len(split)}".encode())
            digest.update(split.labels.astype(dtype).tobytes())
            for text in [*split.texts, *(split.pairs or [])]:
                digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
        return digest.hexdigest()


@no_search_for_garbage()
def load_corpus(
    dataset: str,
    *,
    data_dir: str | Path | None = None,
    text: str | Sequence[str] = "text",
    label: str | Sequence[str] = "label",
    label_names: tuple[str, ...] | None = None,
    train_rows: int | None = None,
    dev_rows: int | None = None,
    test_rows: int | None = None,
    split_seed: int = 0,
    folds: int | None = None,
    fold: int | None = None,
    subset_seed: int | None = None,
    reading: Reading = PLAIN,
) -> Corpus:
    """A corpus by its name in `DATASETS`, or from a folder or file, whose columns `text` and
    `label` are named (or numbered from 1). Either may be several, as a list or with commas between
    them: texts are joined, labels are zeros and ones.

    `data_dir` (default: the environment's DATA_DIR) is where the folders of named datasets are;
    without it they come from the Hub. Row limits take a stratified subset; `dev_rows` without a dev
    file defaults to a tenth of train, at most 5,000. Of `folds`, test is the `fold`-th, from 1, and
    labels are those of all. With a `subset_seed`, train and dev are drawn together (see
    `lib.reading.carving.draw_labelled`). Raises InputError.
    """
    columns = {"text": as_text(text), "label": as_text(label), "label_names": label_names}
    source, task, splits, encoded = read_source(
        dataset, data_dir=data_dir, reading=reading, **columns
    )
    if task != "regression":
        is_open = reading.task == "auto" and not reading.labels
        named = {"dataset": dataset, "column": source.label, "is_open": is_open}
        check_classes(splits["train"].labels, encoded.names, **named)
    if folds:
        splits = take_fold(splits, folds, fold, test_rows=test_rows, seed=split_seed)
    options = {"train_rows": train_rows, "dev_rows": dev_rows, "test_rows": test_rows}
    splits = carve_splits(splits, **options, seed=split_seed, subset_seed=subset_seed)
    options = {"source": source, "dataset": dataset, "fixed": bool(reading.labels or folds)}
    splits, names = with_trains_names(splits, encoded.names, task, **options)
    labels = {name: split.labels for name, split in splits.items()}
    understood = describe_labels(labels, names, encoded.notes)
    said = {"bad_rows": source.bad_rows, "labels": understood, "notes": encoded.notes}
    return Corpus(dataset, source.description, names, **splits, **said)


@counts_bad_rows
def read_source(
    dataset: str, *, reading: Reading, **options
) -> tuple[Source, str, dict[str, Split], Encoded]:
    """A source (see `open_source`), its task, its splits and their labels. Raises InputError."""
    source = open_source(dataset, reading=reading, **options)
    column = read_label_column(source.tables, source.label, source.label_names)
    task = task_of(column, source.tables["train"].reading)
    splits, encoded = gather_rare(*to_splits(source, column, task), reading)
    return source, task, splits, encoded


def to_splits(source: Source, column: LabelColumn, task: str) -> tuple[dict[str, Split], Encoded]:
    """A source's splits, without rows that were refused, and their labels. Raises InputError."""
    texts = {name: check_texts(table, source.text) for name, table in source.tables.items()}
    encoded = encode_labels(source.tables, column, task, source.label_names)
    true_labels = {}
    if source.true_label:
        true_column = read_label_column(source.tables, source.true_label)
        true_labels = encode_labels(source.tables, true_column, task, source.label_names).ids
    splits = {}
    for name, table in source.tables.items():
        reading = table.reading
        lines = np.array(table.lines)
        split = Split(
            texts[name],
            encoded.ids[name],
            rows=np.arange(len(lines)),
            true_labels=true_labels.get(name),
            pairs=check_texts(table, reading.text_pair) if reading.text_pair else None,
            lines=None if source.true_label else lines,  # what was generated has none
            groups=read_groups(table) if reading.group else None,
            names=read_split_names(source.tables) if reading.split else None,
        )
        if table.bad_rows:
            refused = [row.line for row in table.bad_rows]
            split = split.take(np.flatnonzero(~np.isin(lines, refused)))
        splits[name] = split
    if splits["train"].names is not None:
        splits = part(splits["train"])
    tell_straddling(splits)
    return splits, encoded


def with_trains_names(
    splits: dict[str, Split],
    names: tuple[str, ...],
    task: str,
    *,
    source: Source,
    dataset: str,
    fixed: bool,
) -> tuple[dict[str, Split], tuple[str, ...]]:
    """The splits with labels numbered as train has them, and their names to show; unless these are
    fixed, only train's. Raises InputError where dev or test has none of train's."""
    names = tuple(source.renamed.get(name, name) for name in names)
    labels = {name: split.labels for name, split in splits.items()}
    true_labels = {name: split.true_labels for name, split in splits.items()}
    if task != "regression":
        check_known(labels, names, dataset=dataset, column=source.label)
    if task == "classification":
        fixed = fixed or bool(source.label_names)
        corpus_name = Path(dataset).name
        labels, names = train_classes(labels, names, fixed=fixed, corpus_name=corpus_name)
    elif task == "multilabel":
        new_ids, names = train_lists(labels["train"], names, fixed=fixed)
        labels = renumber_lists(labels, new_ids)
        if splits["train"].true_labels is not None:
            true_labels = renumber_lists(true_labels, new_ids)
    changed = {
        name: dataclasses.replace(split, labels=labels[name], true_labels=true_labels[name])
        for name, split in splits.items()
    }
    return changed, names
