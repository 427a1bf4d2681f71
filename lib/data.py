"""Corpora: where texts and labels come from, and how they are split.

A corpus is named by a row of `DATASETS`, by a folder with `{train,dev,test}.{parquet,csv,tsv,jsonl}`, or by one such
file. What a split lacks is carved from train: stratified, seeded, and with equal texts kept on one side.
"""

import dataclasses
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np

from lib.backbones import probe_hub
from lib.demo import ACT_LABELS, acts, news, reviews
from lib.errors import InputError, lookup
from lib.readers import SUFFIXES, Table, is_multilabel, label_ids, label_lists, names_in, read_table

SPLITS = ("train", "dev", "test")
DEV_NAMES = ("dev", "validation", "valid", "val")


@dataclasses.dataclass(frozen=True)
class Split:
    """Documents with their labels; `rows` are positions in the source, counted from 0.

    With several labels a document, `labels` are id lists padded with −1, and the id `num_labels` stands for any label
    that train does not have.
    """

    texts: list[str]
    labels: np.ndarray  # (rows,) or (rows, most) int64
    rows: np.ndarray  # (rows,) int64
    true_labels: np.ndarray | None = None  # like labels, known only where a generator added label noise

    def __len__(self):
        return len(self.texts)

    def take(self, index: np.ndarray) -> "Split":
        true = None if self.true_labels is None else self.true_labels[index]
        return Split([self.texts[i] for i in index], self.labels[index], self.rows[index], true)


@dataclasses.dataclass(frozen=True)
class Corpus:
    name: str
    source: str  # where it came from, for the page: never a machine path
    label_names: tuple[str, ...]
    train: Split
    dev: Split
    test: Split

    @property
    def num_labels(self) -> int:
        return len(self.label_names)

    @property
    def multilabel(self) -> bool:
        return self.train.labels.ndim == 2

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over label names, texts and labels of all splits, in order."""
        digest = hashlib.sha256(json.dumps(self.label_names).encode())
        for name in SPLITS:
            split = getattr(self, name)
            digest.update(f"\0{name}\0{len(split)}".encode())
            digest.update(split.labels.astype("<i8").tobytes())
            for text in split.texts:
                digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
        return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A row of `DATASETS`: a generator, or a folder below DATA_DIR and its twin on the Hub."""

    about: str
    label_names: tuple[str, ...] | None = None
    make: Callable | None = None  # (rows, seed) -> texts, labels, true labels
    make_rows: tuple[int, int] = (4000, 1000)  # of train and test, where they are generated
    folder: str | None = None
    hub: str | None = None
    revision: str | None = None  # of the Hub's repository: a commit
    label: str = "label"  # column


NEWS_LABELS = ("World", "Sports", "Business", "Sci/Tech")

DATASETS = {
    "demo_news": Dataset("a made-up demo corpus of short news items, generated from a seed", NEWS_LABELS, news),
    "ag_news": Dataset(
        "AG News: 120,000 news items in four classes, with the official test set (Zhang et al. 2015)",
        NEWS_LABELS,
        folder="ag_news",
        hub="fancyzhx/ag_news",
        revision="eb185aade064a813bc0b7f42de02595523103ca4",
    ),
    "ag_news_26k": Dataset(
        "a 26,843-row sample of AG News' train set, with the official test set of 7,600 rows (Zhang et al. 2015)",
        NEWS_LABELS,
        folder="ag_news_26k",
    ),
    "demo_reviews": Dataset(
        "a made-up demo corpus of long film reviews, generated from a seed", ("negative", "positive"), reviews
    ),
    "imdb": Dataset(
        "IMDB: 25,000 film reviews to train on and 25,000 to test, the official split (Maas et al. 2011)",
        ("negative", "positive"),
        folder="imdb",
        hub="stanfordnlp/imdb",
        revision="e6281661ce1c48d982bc483cf8a173c1bbeb5d31",
    ),
    "demo_acts": Dataset(
        "a made-up demo corpus of legal acts with several labels each, generated from a seed", ACT_LABELS, acts
    ),
    "eurlex57k": Dataset(
        "EURLEX57K: 57,000 legal acts of the European Union with EUROVOC concepts, the official split "
        "(Chalkidis et al. 2019)",
        folder="eurlex57k",
        label="labels",
    ),
    "eurlex4k_10k": Dataset(
        "the 10,251 documents of EURLex-4K (Loza Mencía and Fürnkranz 2008) whose text was recovered, not its split",
        folder="eurlex4k_10k",
        label="labels",
    ),
}


def to_split(table: Table, text: str, label: str, names: tuple[str, ...]) -> Split:
    texts = table.column(text)
    for row, value in enumerate(texts):
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            what = "is not text" if not isinstance(value, str) else "has a NUL byte" if "\0" in value else "is empty"
            raise InputError(f"{table.at(row)}: column {text!r} {what}; mend or remove this row")
    read = label_lists if is_multilabel(table, label) else label_ids
    return Split(texts, read(table, label, names), np.arange(len(texts)))


def carve(split: Split, rows: int, seed: int) -> tuple[Split, Split]:
    """Take `rows` documents out of a split, stratified by label: (what is left, what was taken), in source order.

    Equal texts stay on one side, so the number taken can differ by a few. Documents with several labels are taken
    without strata. Raises InputError where it cannot be done.
    """
    from sklearn.model_selection import train_test_split

    first = {}
    group = np.array([first.setdefault(text, i) for i, text in enumerate(split.texts)])
    groups = np.unique(group)
    strata = split.labels[groups] if split.labels.ndim == 1 else None
    rare = strata is not None and min(Counter(strata.tolist()).values(), default=2) < 2
    if not 0 < rows < len(groups) or rare:
        reason = "a class has a single text" if rare else f"there are {len(groups)} different texts"
        raise InputError(f"Cannot split off {rows} rows, stratified by label: {reason}")
    try:
        _, taken = train_test_split(groups, test_size=rows, random_state=seed, stratify=strata)
    except ValueError as error:
        raise InputError(f"Cannot split off {rows} rows, stratified by label: {error}") from None
    out = np.isin(group, taken)
    return split.take(np.flatnonzero(~out)), split.take(np.flatnonzero(out))


def read_folder(path: Path, text: str, label: str, names: tuple[str, ...] | None):
    """The splits found in a folder or single file, and the label names."""
    files = {"train": path} if path.is_file() else {}
    for split, stems in () if files else (("train", ("train",)), ("dev", DEV_NAMES), ("test", ("test",))):
        found = [path / (stem + suffix) for stem in stems for suffix in SUFFIXES if (path / (stem + suffix)).is_file()]
        if len(found) > 1:
            raise InputError(f"{path.name} has several files for {split}: {', '.join(f.name for f in found)}; keep one")
        files |= {split: found[0]} if found else {}
    if "train" not in files:
        raise InputError(f"The folder {path} has no train file; name one train{{{','.join(SUFFIXES)}}}")
    tables = {split: read_table(file) for split, file in files.items()}
    names = names or names_in(tables["train"], label)
    splits = {split: to_split(table, text, label, names) for split, table in tables.items()}
    if (path / "labels.json").is_file():  # what ids mean: a mapping, or a list in their order
        meaning = json.loads((path / "labels.json").read_text(encoding="utf-8"))
        meaning = meaning if isinstance(meaning, dict) else {str(i): name for i, name in enumerate(meaning)}
        names = tuple(meaning.get(name, name) for name in names)
    return splits, names, files


def read_hub(entry: Dataset, text: str, label: str):
    """The splits of a Hub dataset at its pinned revision; a clear InputError where the Hub is out of reach."""
    probe_hub()
    import datasets

    try:
        print(f"Reading {entry.hub} at {entry.revision[:7]} from the Hugging Face Hub or its cache", flush=True)
        loaded = datasets.load_dataset(entry.hub, revision=entry.revision)
    except Exception as error:
        raise InputError(
            f"The dataset {entry.hub} is neither in the Hugging Face cache nor can the Hub be reached "
            f"({type(error).__name__}). Go online once, or set DATA_DIR to a folder that holds "
            f"{entry.folder}/train.parquet and {entry.folder}/test.parquet."
        ) from None
    splits = {}
    for name, table in loaded.items():
        if name not in ("train", "test", *DEV_NAMES):
            continue
        as_table = Table(Path(f"{entry.hub} {name}.parquet"), table.to_dict(), list(range(1, len(table) + 1)))
        splits["dev" if name in DEV_NAMES else name] = to_split(as_table, text, label, entry.label_names)
    return splits


def read_source(dataset: str, data_dir, text: str, label: str, label_names: tuple[str, ...] | None):
    """The splits as their source has them, the label names, and a description of the source for the page."""
    entry = DATASETS.get(dataset, Dataset(""))
    if entry.make:
        splits = {}
        for name, rows, seed in (("train", entry.make_rows[0], 1), ("test", entry.make_rows[1], 2)):
            made = entry.make(rows, seed)
            texts, labels, true = (pad(part) if isinstance(part[0], list) else part for part in made)
            splits[name] = Split(texts, np.array(labels), np.arange(rows), np.array(true))
        return splits, entry.label_names, f"{entry.about} (lib/demo)"
    if entry.folder and (data_dir or not entry.hub):
        path = Path(data_dir or "") / entry.folder
        if not data_dir or not path.is_dir():
            raise InputError(
                f"The dataset {dataset} is read from a folder {entry.folder!r} below DATA_DIR, "
                + (f"and {data_dir} has none." if data_dir else "which is not set.")
                + " Run with DATA_DIR=… set to the folder above it."
            )
        splits, names, files = read_folder(path, text, label, entry.label_names)
        found = ", ".join(file.name for file in files.values())
        return splits, names, f"{entry.about}; read from $DATA_DIR/{entry.folder}: {found}"
    if entry.hub:
        splits = read_hub(entry, text, label)
        return splits, entry.label_names, f"{entry.about}; {entry.hub} on the Hugging Face Hub at {entry.revision[:7]}"
    if Path(dataset).exists():
        splits, names, files = read_folder(Path(dataset), text, label, label_names)
        return splits, names, f"the files {', '.join(file.name for file in files.values())}"
    return lookup(DATASETS, dataset, "dataset (nor is there such a folder or file)")


def pad(lists: list[list[int]]) -> list[list[int]]:
    """Lists of equal length, filled up with −1."""
    most = max(map(len, lists))
    return [found + [-1] * (most - len(found)) for found in lists]


def train_vocabulary(splits: dict[str, Split], names: tuple[str, ...]) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Splits with several labels a document, padded alike and renumbered so that the vocabulary is train's own."""
    most = max(split.labels.shape[1] for split in splits.values())
    known = np.unique(splits["train"].labels)
    known = known[known >= 0]
    table = np.full(len(names) + 2, len(known))  # by old id; the last entry is the padding's
    table[known], table[-1] = np.arange(len(known)), -1
    for name, split in splits.items():
        wide = np.pad(split.labels, ((0, 0), (0, most - split.labels.shape[1])), constant_values=-1)
        splits = splits | {name: dataclasses.replace(split, labels=table[wide])}
    return splits, tuple(names[i] for i in known)


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
) -> Corpus:
    """Load a corpus by its name in `DATASETS`, or from a folder or file.

    `data_dir` (default: the environment's DATA_DIR) is where the folders of named datasets are; without it they come
    from the Hub. Row limits take a stratified subset; `dev_rows` without a dev file defaults to a tenth of train, at
    most 5,000. Raises InputError.
    """
    data_dir = data_dir or os.environ.get("DATA_DIR") or None
    label = DATASETS[dataset].label if dataset in DATASETS else label
    splits, names, source = read_source(dataset, data_dir, text, label, label_names)
    train = splits["train"]
    if len(names) < 2 or len(np.unique(train.labels[train.labels >= 0])) < 2:
        found = names[int(train.labels.flat[0])] if len(train) else "none"
        raise InputError(f"{dataset}: column {label!r} of train has one class only ({found}); at least two are needed")
    if "test" not in splits:
        train, splits["test"] = carve(train, test_rows or max(1, len(train) // 5), split_seed)
    elif test_rows and test_rows < len(splits["test"]):
        _, splits["test"] = carve(splits["test"], test_rows, split_seed)
    if "dev" in splits and dev_rows and dev_rows < len(splits["dev"]):
        _, splits["dev"] = carve(splits["dev"], dev_rows, split_seed)
    elif "dev" not in splits:
        rows = dev_rows or max(1, min(5000, (train_rows or len(train)) // 10))
        train, splits["dev"] = carve(train, rows, split_seed)
    if train_rows and train_rows < len(train):
        _, train = carve(train, train_rows, split_seed)
    splits = {name: splits[name] if name != "train" else train for name in SPLITS}
    if train.labels.ndim == 2:
        splits, names = train_vocabulary(splits, names)
    return Corpus(dataset, source, tuple(names), **splits)
