"""Corpora: where texts and labels come from, and how they are split.

A corpus is named by a row of `DATASETS`, by a folder with
`{train,dev,test}.{parquet,csv,tsv,txt,json,jsonl}`, or by one such file. What a split lacks is
carved from train: stratified, seeded, and with equal texts kept on one side.
"""

import dataclasses
import filecmp
import hashlib
import json
import os
from collections import Counter
from functools import cached_property
from pathlib import Path

import numpy as np

from lib.backbones import probe_hub
from lib.errors import InputError, lookup
from lib.labels import cells, class_ids, class_lists, names_of, numbers, task_of
from lib.readers import PLAIN, SUFFIXES, BadRow, Reading, Table, is_whole, read_table
from lib.sources import DATASETS, Dataset

SPLITS = ("train", "dev", "test")
DEV_NAMES = ("dev", "validation", "valid", "val")


@dataclasses.dataclass(frozen=True)
class Split:
    """Documents with their labels; `rows` are positions in the source, counted from 0.

    With several labels a document, `labels` are id lists padded with −1, and the id `num_labels`
    stands for any label that train does not have. Real numbers are float64.
    """

    texts: list[str]
    labels: np.ndarray  # (rows,) or (rows, most) int64, or (rows,) float64
    rows: np.ndarray  # (rows,) int64
    true_labels: np.ndarray | None = (
        None  # like labels, known only where a generator added label noise
    )
    pairs: list[str] | None = None  # the second text of each document
    lines: np.ndarray | None = None  # (rows,) of the file that they were read from

    def __len__(self):
        return len(self.texts)

    @property
    def documents(self) -> list:
        """Texts, or pairs of them."""
        return self.texts if self.pairs is None else list(zip(self.texts, self.pairs, strict=True))

    @property
    def whole_texts(self) -> list[str]:
        """Texts, pairs put together in one."""
        return self.texts if self.pairs is None else [f"{a}\n{b}" for a, b in self.documents]

    def take(self, index: np.ndarray) -> "Split":
        def some(values):
            return (
                None
                if values is None
                else [values[i] for i in index]
                if isinstance(values, list)
                else values[index]
            )

        return Split(
            **{field.name: some(getattr(self, field.name)) for field in dataclasses.fields(self)}
        )


@dataclasses.dataclass(frozen=True)
class Corpus:
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
        by_task = {"multilabel": "micro_f1", "regression": "spearman"}
        return by_task.get(self.task, "f1" if self.num_labels == 2 else "macro_f1")

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over label names, texts and labels of all splits, in order."""
        digest = hashlib.sha256(json.dumps(self.label_names).encode())
        for name in SPLITS:
            split = getattr(self, name)
            digest.update(f"\0{name}\0{len(split)}".encode())
            digest.update(
                split.labels.astype("<f8" if self.task == "regression" else "<i8").tobytes()
            )
            for text in [*split.texts, *(split.pairs or [])]:
                digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
        return digest.hexdigest()


def check_texts(table: Table, column: str) -> list[str]:
    """The texts of a column; refuses rows without one."""
    texts = table.column(column)
    for row, value in enumerate(texts):
        if not isinstance(value, str):
            table.refuse(
                row,
                f": column {column!r} is not text"
                if value is not None
                else f": column {column!r} is empty",
            )
        elif not value.strip():
            table.refuse(row, f": column {column!r} is empty")
        elif "\0" in value:
            table.refuse(row, f": column {column!r} has a NUL byte")
        elif not is_whole(value):
            table.refuse(row, f": column {column!r} has half a character (a lone surrogate)")
    return texts


def to_splits(
    tables: dict[str, Table], text: str, label: str, names: tuple[str, ...] | None, reading: Reading
) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Splits from tables, and the label names: those given, or those that occur."""
    task = task_of(tables["train"], label, reading)
    texts = {split: check_texts(table, text) for split, table in tables.items()}
    if task == "regression":
        names, labels = (label,), {split: numbers(table, label) for split, table in tables.items()}
    else:
        found = {split: cells(table, label, task) for split, table in tables.items()}
        names = reading.labels or names
        if task == "multilabel":
            if reading.labels:
                for split, table in tables.items():
                    for row, parts in enumerate(found[split]):
                        if strange := set(parts) - set(names):
                            table.refuse(
                                row, f": unknown label {min(strange)!r} in column {label!r}"
                            )
            names = names or names_of(found["train"])
            labels = {split: class_lists(parts, names) for split, parts in found.items()}
        else:
            names = names or names_of([parts for split in found.values() for parts in split])
            labels = {
                split: class_ids(tables[split], label, parts, names)
                for split, parts in found.items()
            }
    splits = {}
    for split, table in tables.items():
        pairs = check_texts(table, reading.text_pair) if reading.text_pair else None
        whole = Split(
            texts[split],
            labels[split],
            np.arange(len(texts[split])),
            None,
            pairs,
            np.array(table.lines),
        )
        bad = {row.line for row in table.bad}
        splits[split] = (
            whole.take(np.flatnonzero(~np.isin(whole.lines, list(bad)))) if bad else whole
        )
    return splits, names


def carve(split: Split, rows: int, seed: int, *, or_more: bool = False) -> tuple[Split, Split]:
    """Take `rows` documents out of a split, stratified by label: (what is left, what was taken), in
    source order.

    Equal texts stay on one side, so the number taken can differ by a few; the text of a class that
    has no other is left. Documents with several labels or a number are taken without strata.
    `or_more`: one of each class at least. Raises InputError where it cannot be done.
    """
    from sklearn.model_selection import train_test_split

    first = {}
    group = np.array([first.setdefault(text, i) for i, text in enumerate(split.documents)])
    groups, strata = np.unique(group), None
    if split.labels.ndim == 1 and split.labels.dtype.kind != "f":
        size = Counter(split.labels[groups].tolist())
        groups = groups[[size[label] > 1 for label in split.labels[groups].tolist()]]
        strata = split.labels[groups]
    classes = 1 if strata is None else len(np.unique(strata))
    rows = max(rows, classes, 1) if or_more else rows
    if not 0 < classes <= rows <= len(groups) - classes:
        within = "" if strata is None else f" in {classes} classes that have more than one text"
        raise InputError(
            f"Cannot split off {rows:,} rows, stratified by label: there are {len(groups):,} different texts{within}, "
            "and both sides need one of each; is it the right label column, and the right number of rows?"
        )
    _, taken = train_test_split(groups, test_size=rows, random_state=seed, stratify=strata)
    out = np.isin(group, taken)
    return split.take(np.flatnonzero(~out)), split.take(np.flatnonzero(out))


def find_files(path: Path, reading: Reading) -> dict[str, Path]:
    """The file of each split that there is. Raises InputError."""
    files = {"train": path} if path.is_file() else {}
    for split, stems in (
        () if files else (("train", ("train",)), ("dev", DEV_NAMES), ("test", ("test",)))
    ):
        found = [
            path / (stem + suffix)
            for stem in stems
            for suffix in SUFFIXES
            if (path / (stem + suffix)).is_file()
        ]
        if len(found) > 1:
            raise InputError(
                f"{path.name} has several files for {split}: {', '.join(f.name for f in found)}; keep one"
            )
        files |= {split: found[0]} if found else {}
    if "train" not in files:
        raise InputError(
            f"The folder {path} has no train file; name one train{{{','.join(SUFFIXES)}}}"
        )
    files |= {
        name: Path(file)
        for name, file in (("dev", reading.dev_file), ("test", reading.test_file))
        if file
    }
    for i, (one, file) in enumerate(files.items()):
        for other, before in list(files.items())[:i]:
            if file.is_file() and file.samefile(before):
                raise InputError(f"{file.name} is given both as {other} and as {one}")
            if file.is_file() and filecmp.cmp(file, before, shallow=False):
                raise InputError(
                    f"{before.name} ({other}) and {file.name} ({one}) are the same, byte for byte"
                )
    return files


def read_folder(path: Path, text: str, label: str, names: tuple[str, ...] | None, reading: Reading):
    """The splits found in a folder or single file, the label names, the files, and the rows that
    were left out."""
    files = find_files(path, reading)
    tables = {split: read_table(file, reading) for split, file in files.items()}
    splits, names = to_splits(tables, text, label, names, reading)
    if (path / "labels.json").is_file():
        meaning = read_meaning(path / "labels.json")
        names = tuple(meaning.get(name, name) for name in names)
    return splits, names, files, tuple(row for table in tables.values() for row in table.bad)


def read_meaning(path: Path) -> dict[str, str]:
    """The names of label ids, from a JSON mapping or a list in their order. Raises InputError."""
    try:
        meaning = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name} is not JSON: {error}") from None
    if not isinstance(meaning, dict | list):
        raise InputError(
            f"{path.name} is neither a mapping from labels to their names nor a list of names"
        )
    return {
        str(i): str(name)
        for i, name in (meaning.items() if isinstance(meaning, dict) else enumerate(meaning))
    }


def read_hub(entry: Dataset, text: str, label: str):
    """The splits of a Hub dataset at its pinned revision; a clear InputError where the Hub is
    out of reach."""
    probe_hub()
    import datasets

    try:
        print(
            f"Reading {entry.hub} at {entry.revision[:7]} from the Hugging Face Hub or its cache",
            flush=True,
        )
        loaded = datasets.load_dataset(entry.hub, revision=entry.revision)
    except Exception as error:
        raise InputError(
            f"The dataset {entry.hub} is neither in the Hugging Face cache nor can the Hub be reached "
            f"({type(error).__name__}). Go online once, or set DATA_DIR to a folder that holds "
            f"{entry.folder}/train.parquet and {entry.folder}/test.parquet."
        ) from None
    tables = {}
    for name, table in loaded.items():
        if name in ("train", "test", *DEV_NAMES):
            path, lines = Path(f"{entry.hub} {name}.parquet"), list(range(1, len(table) + 1))
            tables["dev" if name in DEV_NAMES else name] = Table(path, table.to_dict(), lines)
    return to_splits(tables, text, label, entry.label_names, PLAIN)[0]


def read_source(
    dataset: str, data_dir, text: str, label: str, names: tuple[str, ...] | None, reading: Reading
):
    """The splits as their source has them, the label names, a description of the source for the
    page, and the rows that were left out."""
    entry = DATASETS.get(dataset, Dataset(""))
    if entry.make:
        splits = {}
        for name, rows, seed in (("train", entry.make_rows[0], 1), ("test", entry.make_rows[1], 2)):
            made = entry.make(rows, seed)
            texts, labels, true = (
                pad(part) if isinstance(part[0], list) else part for part in made
            )
            splits[name] = Split(texts, np.array(labels), np.arange(rows), np.array(true))
        return splits, entry.label_names, f"{entry.about} (lib/demo)", ()
    if entry.folder and (data_dir or not entry.hub):
        path = Path(data_dir or "") / entry.folder
        if not data_dir or not path.is_dir():
            raise InputError(
                f"The dataset {dataset} is read from a folder {entry.folder!r} below DATA_DIR, "
                + (f"and {data_dir} has none." if data_dir else "which is not set.")
                + " Run with DATA_DIR=… set to the folder above it."
            )
        splits, names, files, bad = read_folder(path, text, label, entry.label_names, reading)
        found = ", ".join(file.name for file in files.values())
        return splits, names, f"{entry.about}; read from $DATA_DIR/{entry.folder}: {found}", bad
    if entry.hub:
        splits, at = (
            read_hub(entry, text, label),
            f"{entry.hub} on the Hugging Face Hub at {entry.revision[:7]}",
        )
        return splits, entry.label_names, f"{entry.about}; {at}", ()
    if os.path.exists(os.path.expanduser(dataset)):
        splits, names, files, bad = read_folder(
            Path(dataset).expanduser(), text, label, names, reading
        )
        return (
            splits,
            names,
            f"the file{'s' * (len(files) > 1)} {', '.join(file.name for file in files.values())}",
            bad,
        )
    if os.sep in dataset or dataset.lower().endswith(SUFFIXES):
        raise InputError(f"There is no file or folder {dataset}")
    return lookup(DATASETS, dataset, "dataset (nor is there such a folder or file)")


def pad(lists: list[list[int]]) -> list[list[int]]:
    """Lists of equal length, filled up with −1."""
    most = max(map(len, lists))
    return [found + [-1] * (most - len(found)) for found in lists]


def train_vocabulary(splits: dict[str, Split], names: tuple[str, ...], fixed: bool):
    """Splits with several labels a document, padded alike and, unless the names are fixed,
    renumbered so that the vocabulary is train's own; and its names."""
    most = max(split.labels.shape[1] for split in splits.values())
    known = np.arange(len(names)) if fixed else np.unique(splits["train"].labels)
    known = known[(known >= 0) & (known < len(names))]
    table = np.full(len(names) + 2, len(known))  # by old id; the last entry is the padding's
    table[known], table[-1] = np.arange(len(known)), -1
    for name, split in splits.items():
        wide = np.pad(split.labels, ((0, 0), (0, most - split.labels.shape[1])), constant_values=-1)
        splits = splits | {name: dataclasses.replace(split, labels=table[wide])}
    return splits, tuple(names[i] for i in known)


NOT_IN_TRAIN = "(not in train)"


def train_classes(dataset: str, splits: dict[str, Split], names: tuple[str, ...], fixed: bool):
    """Splits with one label a document and, unless the names are fixed, renumbered so that the
    vocabulary is train's own, followed by one name for all that dev or test has beside; and the
    names. Says how many rows that are."""
    known, lost = np.unique(splits["train"].labels), 0
    for name in ("dev", "test"):
        strange = Counter(
            label for label in splits[name].labels.tolist() if label not in set(known.tolist())
        )
        lost += strange.total()
        if strange:
            listed = ", ".join(names[label] for label in sorted(strange))
            print(
                f"{dataset}: {strange.total()} rows of {name} have a class that train lacks ({listed}); they "
                "count as wrong",
                flush=True,
            )
    if fixed or len(known) == len(names):
        return splits, names
    table = np.full(len(names), len(known))
    table[known] = np.arange(len(known))
    splits = {
        name: dataclasses.replace(split, labels=table[split.labels])
        for name, split in splits.items()
    }
    return splits, (*(names[i] for i in known), *[NOT_IN_TRAIN] * bool(lost))


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
    data_dir = data_dir or os.environ.get("DATA_DIR") or None
    label = DATASETS[dataset].label if dataset in DATASETS else label
    splits, names, source, bad = read_source(dataset, data_dir, text, label, label_names, reading)
    train = splits["train"]
    if train.labels.dtype.kind != "f" and len(np.unique(train.labels[train.labels >= 0])) < 2:
        found = names[int(train.labels.flat[0])] if len(train) else "none"
        raise InputError(
            f"{dataset}: column {label!r} of train has one class only ({found}); at least two are needed"
        )
    if "test" not in splits:
        train, splits["test"] = carve(
            train, test_rows or len(train) // 5, split_seed, or_more=not test_rows
        )
    elif test_rows and test_rows < len(splits["test"]):
        _, splits["test"] = carve(splits["test"], test_rows, split_seed)
    if "dev" in splits and dev_rows and dev_rows < len(splits["dev"]):
        _, splits["dev"] = carve(splits["dev"], dev_rows, split_seed)
    elif "dev" not in splits:
        rows = dev_rows or min(5000, (train_rows or len(train)) // 10, len(train) // 10)
        train, splits["dev"] = carve(train, rows, split_seed, or_more=not dev_rows)
    if train_rows and train_rows < len(train):
        _, train = carve(train, train_rows, split_seed)
    splits = {name: splits[name] if name != "train" else train for name in SPLITS}
    if train.labels.ndim == 2:
        splits, names = train_vocabulary(splits, names, fixed=bool(reading.labels))
    elif train.labels.dtype.kind != "f":
        fixed = bool(
            label_names or reading.labels or (dataset in DATASETS and DATASETS[dataset].label_names)
        )
        splits, names = train_classes(Path(dataset).name, splits, names, fixed)
    return Corpus(dataset, source, tuple(names), **splits, bad_rows=bad)
