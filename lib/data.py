"""Corpora: texts with their labels in train, dev and test.

A corpus is named by a row of `lib.sources.DATASETS`, by a folder or by a file. What a split lacks
is carved from train: stratified, seeded, and with equal texts kept on one side.
"""

import dataclasses
import hashlib
import json
from collections import Counter
from functools import cached_property
from pathlib import Path

import numpy as np

from lib.bad_rows import counts_bad_rows
from lib.errors import InputError
from lib.labels import check_classes, encode_labels, task_of, train_classes, train_lists
from lib.readers import PLAIN, BadRow, Reading, check_texts
from lib.sources import Source, open_source

SPLITS = ("train", "dev", "test")
MOST_DEV_ROWS = 5000  # where their number is not said


@dataclasses.dataclass(frozen=True)
class Split:
    """Documents with their labels; `rows` are positions in the source, counted from 0.

    With several labels a document, `labels` are id lists padded with −1, and the id `num_labels`
    stands for any label that train does not have. Real numbers are float64.
    """

    texts: list[str]
    labels: np.ndarray  # (rows,) or (rows, most) int64, or (rows,) float64
    rows: np.ndarray  # (rows,) int64
    true_labels: np.ndarray | None = None  # like labels, where a generator added label noise
    pairs: list[str] | None = None  # the second text of each document
    lines: np.ndarray | None = None  # (rows,) of the file that they were read from

    def __len__(self):
        return len(self.texts)

    @property
    def documents(self) -> list:
        """Texts, or pairs of them."""
        if self.pairs is None:
            return self.texts
        return list(zip(self.texts, self.pairs, strict=True))

    @property
    def whole_texts(self) -> list[str]:
        """Texts, pairs put together in one."""
        if self.pairs is None:
            return self.texts
        return [f"{first}\n{second}" for first, second in self.documents]

    def take(self, index: np.ndarray) -> "Split":
        """The documents at these positions, in their order."""
        fields = {}
        for field in dataclasses.fields(self):
            values = getattr(self, field.name)
            if isinstance(values, list):
                fields[field.name] = [values[i] for i in index]
            elif values is not None:
                fields[field.name] = values[index]
        return Split(**fields)


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


@counts_bad_rows
def load_corpus(
    dataset: str,
    *,
    data_dir: str | Path | None = None,
    text: str = "text",
    label: str = "label",
    label_names: tuple[str, ...] | None = None,
    train_rows: int | None = None,
    dev_rows: int | None = None,
    test_rows: int | None = None,
    split_seed: int = 0,
    reading: Reading = PLAIN,
) -> Corpus:
    """Load a corpus by its name in `DATASETS`, or from a folder or file, whose columns `text` and
    `label` are named (or numbered from 1, where there is no header).

    `data_dir` (default: the environment's DATA_DIR) is where the folders of named datasets are;
    without it they come from the Hub. Row limits take a stratified subset; `dev_rows` without a dev
    file defaults to a tenth of train, at most 5,000. Raises InputError.
    """
    source = open_source(
        dataset, data_dir=data_dir, text=text, label=label, label_names=label_names, reading=reading
    )
    task = task_of(source.tables["train"], source.label)
    splits, names = to_splits(source, task)
    if task != "regression":
        check_classes(splits["train"].labels, names, dataset=dataset, column=source.label)
    splits = carve_splits(
        splits, train_rows=train_rows, dev_rows=dev_rows, test_rows=test_rows, seed=split_seed
    )
    labels = {name: split.labels for name, split in splits.items()}
    if task == "multilabel":
        labels, names = train_lists(labels, names, fixed=bool(reading.labels))
    elif task == "classification":
        fixed = bool(reading.labels or source.label_names)
        labels, names = train_classes(labels, names, fixed=fixed, corpus_name=Path(dataset).name)
    splits = {
        name: dataclasses.replace(split, labels=labels[name]) for name, split in splits.items()
    }
    return Corpus(dataset, source.description, names, **splits, bad_rows=source.bad_rows)


def to_splits(source: Source, task: str) -> tuple[dict[str, Split], tuple[str, ...]]:
    """The splits that a source has, without the rows that were refused, and the label names to
    show."""
    texts = {name: check_texts(table, source.text) for name, table in source.tables.items()}
    labels, names = encode_labels(source.tables, source.label, task, source.label_names)
    true_labels = {}
    if source.true_label:
        true_labels, _ = encode_labels(source.tables, source.true_label, task)
    splits = {}
    for name, table in source.tables.items():
        column = table.reading.text_pair
        pairs = check_texts(table, column) if column else None
        lines = np.array(table.lines)
        split = Split(
            texts[name],
            labels[name],
            rows=np.arange(len(lines)),
            true_labels=true_labels.get(name),
            pairs=pairs,
            lines=None if source.true_label else lines,  # what was generated has none
        )
        if table.bad_rows:
            refused = [row.line for row in table.bad_rows]
            split = split.take(np.flatnonzero(~np.isin(lines, refused)))
        splits[name] = split
    return splits, tuple(source.renamed.get(name, name) for name in names)


def carve_splits(
    splits: dict[str, Split],
    *,
    train_rows: int | None,
    dev_rows: int | None,
    test_rows: int | None,
    seed: int,
) -> dict[str, Split]:
    """Train, dev and test of at most so many rows; test and dev are carved from train where the
    source has none."""
    train = splits["train"]
    if "test" in splits:
        test = at_most(splits["test"], test_rows, seed)
    else:
        rows = test_rows or len(train) // 5
        train, test = carve(train, rows, seed, one_of_each=not test_rows)
    if "dev" in splits:
        dev = at_most(splits["dev"], dev_rows, seed)
    else:
        tenth = min(len(train), train_rows or len(train)) // 10
        rows = dev_rows or min(MOST_DEV_ROWS, tenth)
        train, dev = carve(train, rows, seed, one_of_each=not dev_rows)
    return {"train": at_most(train, train_rows, seed), "dev": dev, "test": test}


def at_most(split: Split, rows: int | None, seed: int) -> Split:
    """The split, or a stratified subset of so many rows where it has more."""
    if not rows or rows >= len(split):
        return split
    _, subset = carve(split, rows, seed)
    return subset


def carve(split: Split, rows: int, seed: int, *, one_of_each: bool = False) -> tuple[Split, Split]:
    """Take `rows` documents out of a split, stratified by label: (what is left, what was taken), in
    source order.

    Equal texts stay on one side, so the number taken can differ by a few; the text of a class that
    has no other is left. Documents with several labels or a number are taken without strata.
    `one_of_each`: at least one document of each class. Raises InputError where it cannot be done.
    """
    from sklearn.model_selection import train_test_split

    first_place = {}  # of each text
    group_of_row = np.array(
        [first_place.setdefault(text, row) for row, text in enumerate(split.documents)]
    )
    groups = np.unique(group_of_row)
    strata = None
    classes = 1
    if split.labels.ndim == 1 and split.labels.dtype.kind != "f":
        sizes = Counter(split.labels[groups].tolist())
        groups = groups[[sizes[label] > 1 for label in split.labels[groups].tolist()]]
        strata = split.labels[groups]
        classes = len(np.unique(strata))
    if one_of_each:
        rows = max(rows, classes, 1)
    if not 0 < classes <= rows <= len(groups) - classes:
        within = "" if strata is None else f" in {classes} classes that have more than one text"
        raise InputError(
            f"Cannot split off {rows:,} rows, stratified by label: there are {len(groups):,} "
            f"different texts{within}, and both sides need one of each; is it the right label "
            "column, and the right number of rows?"
        )
    _, taken = train_test_split(groups, test_size=rows, random_state=seed, stratify=strata)
    is_taken = np.isin(group_of_row, taken)
    return split.take(np.flatnonzero(~is_taken)), split.take(np.flatnonzero(is_taken))
