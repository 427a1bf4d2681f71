"""How each kind of source of a corpus is read: generators of made-up texts, folders and files,
datasets of the Hugging Face Hub."""

import dataclasses
import os
from pathlib import Path

from lib.datasets import DATASETS, Dataset
from lib.errors import InputError, lookup
from lib.hub import HUB_NAME, hub_tables, pinned
from lib.reading.folders import find_files, named_files, read_label_names, tell_unread
from lib.reading.formats import SUFFIXES, read_split
from lib.reading.options import BadRow, Reading, Table
from lib.reading.roles import as_names, check_generated, check_roles, name_classes


@dataclasses.dataclass(frozen=True)
class Source:
    """What a corpus is made from: a table for each split that there is, and what is in them."""

    tables: dict[str, Table]  # by split
    text: str  # column
    label: str  # column
    description: str  # for the page: never a machine path
    label_names: tuple[str, ...] | None = None  # in the order of their ids; None: those that occur
    renamed: dict[str, str] = dataclasses.field(default_factory=dict)  # shown for a label name
    true_label: str | None = None  # column, where a generator added label noise

    @property
    def bad_rows(self) -> tuple[BadRow, ...]:
        """Each row once, with the first reason that was found."""
        rows: dict[tuple, BadRow] = {}
        for table in self.tables.values():
            for row in table.bad_rows:
                rows.setdefault((row.file, row.line), row)
        return tuple(rows.values())


def open_source(
    dataset: str,
    *,
    data_dir: str | Path | None,
    text: str,
    label: str,
    label_names: tuple[str, ...] | None,
    reading: Reading,
) -> Source:
    """The source of a named dataset, a folder or a file. Raises InputError.

    `data_dir`: the folder of named datasets' folders; None: the environment's DATA_DIR, if it is
    set.
    """
    data_dir = data_dir or os.environ.get("DATA_DIR")
    if dataset in DATASETS:
        entry = DATASETS[dataset]
        if entry.make:
            return generated_source(dataset, entry, reading)
        if entry.folder and (data_dir or not entry.hub):
            return named_folder_source(dataset, data_dir, text=text, reading=reading)
        return hub_source(entry, text=text, reading=reading)
    if os.path.exists(os.path.expanduser(dataset)):
        path = Path(dataset).expanduser()
        return file_source(path, text=text, label=label, label_names=label_names, reading=reading)
    if HUB_NAME.fullmatch(dataset) and not dataset.lower().endswith(SUFFIXES):
        name, revision = pinned(dataset)
        entry = Dataset(name, label_names, hub=name, revision=revision, label=label)
        return hub_source(entry, text=text, reading=reading)
    if os.sep in dataset or dataset.lower().endswith(SUFFIXES):
        raise InputError(f"There is no file or folder {dataset}")
    return lookup(DATASETS, dataset, "dataset (nor is there such a folder or file)")


# ---- generators


def generated_source(dataset: str, entry: Dataset, reading: Reading) -> Source:
    """Train and test of a generator, each from a seed of its own. Raises InputError where `reading`
    says what only holds of files."""
    train_rows, test_rows = entry.make_rows
    tables = {
        "train": _generated_table(entry, train_rows, seed=1),
        "test": _generated_table(entry, test_rows, seed=2),
    }
    has_lists = isinstance(tables["train"].columns["label"][0], list)
    task = "multilabel" if has_lists else "classification"
    check_generated(dataset, reading, task=task, labels=entry.label_names)
    return Source(
        tables=tables,
        text="text",
        label="label",
        description=f"{entry.about} (lib/demo)",
        label_names=entry.label_names,
        true_label="true_label",
    )


def _generated_table(entry: Dataset, rows: int, *, seed: int) -> Table:
    texts, labels, true_labels = entry.make(rows, seed)
    columns = {
        "text": texts,
        "label": [as_names(label, entry.label_names) for label in labels],
        "true_label": [as_names(label, entry.label_names) for label in true_labels],
    }
    lines = list(range(1, rows + 1))
    reading = Reading(labels=entry.label_names)
    return Table(Path("generated"), columns, lines, reading=reading)


# ---- folders and files


def file_source(
    path: Path, *, text: str, label: str, label_names: tuple[str, ...] | None, reading: Reading
) -> Source:
    """The files of a folder, or one file with those beside it. Raises InputError."""
    files = find_files(path, reading)
    tables = {split: read_split(files[split], reading) for split in files}
    if path.is_dir():
        tell_unread(files)
    check_roles(tables, text, label)
    names = ", ".join(table.path.name for table in tables.values())
    return Source(
        tables=tables,
        text=text,
        label=label,
        description=f"the file{'s' if len(tables) > 1 else ''} {names}",
        label_names=name_classes(tables, label, label_names),
        renamed=read_label_names(path),
    )


def named_folder(dataset: str, data_dir: str | Path | None) -> Path:
    """The folder of a named dataset below `data_dir`. Raises InputError where there is none."""
    path = Path(data_dir or "") / DATASETS[dataset].folder
    if not data_dir or not os.path.isdir(path):
        problem = f"and {data_dir} has none." if data_dir else "which is not set."
        raise InputError(
            f"The dataset {dataset} is read from a folder {path.name!r} below DATA_DIR, "
            f"{problem} Run with DATA_DIR=… set to the folder above it."
        )
    return path


def named_folder_source(
    dataset: str, data_dir: str | Path | None, *, text: str, reading: Reading
) -> Source:
    """The folder of a named dataset below `data_dir`. Raises InputError."""
    entry = DATASETS[dataset]
    path = named_folder(dataset, data_dir)
    source = file_source(
        path, text=text, label=entry.label, label_names=entry.label_names, reading=reading
    )
    names = ", ".join(table.path.name for table in source.tables.values())
    description = f"{entry.about}; read from $DATA_DIR/{entry.folder}: {names}"
    return dataclasses.replace(source, description=description)


# ---- the Hub


def hub_source(entry: Dataset, *, text: str, reading: Reading) -> Source:
    """A dataset of the Hub at its pinned revision, but for the files that `reading` names; a clear
    InputError where the Hub is out of reach."""
    tables = hub_tables(entry.hub, revision=entry.revision, folder=entry.folder, reading=reading)
    for split, files in named_files(reading).items():
        tables[split] = read_split(files, reading)
    check_roles(tables, text, entry.label)
    described = "" if entry.about == entry.hub else f"{entry.about}; "
    return Source(
        tables=tables,
        text=text,
        label=entry.label,
        description=f"{described}{entry.hub} on the Hugging Face Hub at {entry.revision[:7]}",
        label_names=name_classes(tables, entry.label, entry.label_names),
    )
