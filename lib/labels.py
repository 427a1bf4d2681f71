"""Labels: from the cells of a column to class ids, lists of them, or real numbers; and the
vocabulary, which is train's own."""

import math
import re
from collections import Counter

import numpy as np

from lib.errors import InputError
from lib.readers import Reading, Table
from lib.roles import with_decimal_points

IGNORED = "-100"  # as a class label: torch's cross-entropy passes over such rows without a word
SHOWN = 10  # names that a message lists
NOT_IN_TRAIN = "(not in train)"

LabelLists = list[list[str]]


def task_of(table: Table, column: str) -> str:
    """The task that is asked for; `auto` is multilabel where cells hold lists or a separator is
    set."""
    reading = table.reading
    if reading.task != "auto":
        return reading.task
    first_cells = table.column(column)[:1]
    if reading.label_separator or any(isinstance(value, list) for value in first_cells):
        return "multilabel"
    return "classification"


def encode_labels(
    tables: dict[str, Table], column: str, task: str, names: tuple[str, ...] | None = None
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The labels of each split, and the label names: those of the tables' reading, or those given,
    or those that occur; of a regression, the column.

    A split's labels are (rows,) int64 ids, (rows, most) int64 id lists padded with −1, or (rows,)
    float64 numbers. Raises InputError.
    """
    if task == "regression":
        return {split: numbers(table, column) for split, table in tables.items()}, (column,)
    lists = {split: label_lists(table, column, task) for split, table in tables.items()}
    listed = tables["train"].reading.labels
    names = listed or names
    if task == "multilabel":
        if listed:
            for split, table in tables.items():
                _refuse_unknown(table, column, lists[split], names)
        names = names or names_of(lists["train"])
        return {split: class_lists(rows, names) for split, rows in lists.items()}, names
    names = names or names_of([row for rows in lists.values() for row in rows])
    ids = {split: class_ids(tables[split], column, rows, names) for split, rows in lists.items()}
    return ids, names


# ---- from cells to labels


def label_lists(table: Table, column: str, task: str) -> LabelLists:
    """The label names of each row. A row without any is refused, and then has an empty list."""
    lists = []
    for row, value in enumerate(table.column(column)):
        labels = _labels_in(value, table.reading.label_separator)
        problem = _problem_of(value, labels, column, task, table.reading)
        if problem:
            table.refuse(row, problem)
            labels = []
        lists.append(labels)
    return lists


def _labels_in(value, separator: str | None) -> list[str]:
    """The names in a cell, each once, in their order."""
    if isinstance(value, list):
        names = [str(item) for item in value if item is not None]
    elif value is None or value != value:  # not a number: how a table says that nothing is there
        names = []
    else:
        names = str(value).split(separator) if separator else [str(value)]
    if separator:
        names = [name.strip() for name in names]
    return list(dict.fromkeys(name for name in names if name.strip()))


def _problem_of(value, labels: list[str], column: str, task: str, reading: Reading) -> str:
    """Why a cell holds no label of the task; empty where it does."""
    if not labels:
        return f": column {column!r} has no label"
    if isinstance(value, dict):
        return f": column {column!r} has an object, which is no label"
    if task != "classification":
        return ""
    if len(labels) > 1:
        listed = ", ".join(labels)
        return (
            f": column {column!r} has {len(labels)} labels ({listed}); "
            "for several set task: multilabel"
        )
    if reading.labels is not None:
        return ""
    label = labels[0]
    if label == IGNORED:
        return (
            f": label {IGNORED} in column {column!r} marks a row to leave out; "
            "remove the row, or set on_bad_rows: quarantine"
        )
    if _is_fraction(label):
        return (
            f": label {label} in column {column!r} is a fraction, not a class; "
            "set task: regression for real numbers, or list the classes with labels: […]"
        )
    return ""


def _is_fraction(label: str) -> bool:
    """Whether a label is a number, but not a whole and finite one."""
    try:
        return float(label) % 1 != 0
    except ValueError:
        return False


def names_of(lists: LabelLists) -> tuple[str, ...]:
    """The names that occur, sorted; numbers in numeric order."""
    names = {name for labels in lists for name in labels}
    numeric = all(re.fullmatch(r"-?\d{1,400}", name) for name in names)
    return tuple(sorted(names, key=int if numeric else None))


def class_ids(table: Table, column: str, lists: LabelLists, names: tuple[str, ...]) -> np.ndarray:
    """Label ids (rows,) int64 from names, or from ids where a whole number is given and no name
    looks like it; −1 for a row that is refused."""
    ids = {name: i for i, name in enumerate(names)}
    numbered = {str(i): i for i in range(len(names))}
    if ids.keys().isdisjoint(numbered):
        ids |= numbered
    labels = np.full(len(lists), -1, dtype=np.int64)
    for row, names_in_row in enumerate(lists):
        if not names_in_row:
            continue
        if names_in_row[0] in ids:
            labels[row] = ids[names_in_row[0]]
        else:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            table.refuse(
                row,
                f": unknown label {names_in_row[0]!r} in column {column!r}; "
                f"the labels are {', '.join(names[:SHOWN])}{more}",
            )
    return labels


def class_lists(lists: LabelLists, names: tuple[str, ...]) -> np.ndarray:
    """Label ids (rows, most) int64, padded with −1; a name that is not among `names` gets the id
    after the last, so that it counts as a label nobody can predict."""
    ids = {name: i for i, name in enumerate(names)}
    most = max(map(len, lists), default=0)
    padded = np.full((len(lists), most), -1, dtype=np.int64)
    for row, labels in enumerate(lists):
        padded[row, : len(labels)] = sorted(ids.get(name, len(names)) for name in labels)
    return padded


def _refuse_unknown(table: Table, column: str, lists: LabelLists, names: tuple[str, ...]) -> None:
    for row, labels in enumerate(lists):
        unknown = set(labels) - set(names)
        if unknown:
            table.refuse(row, f": unknown label {min(unknown)!r} in column {column!r}")


def numbers(table: Table, column: str) -> np.ndarray:
    """Real numbers (rows,) float64, not a number for a row that is refused."""
    values = np.full(len(table.lines), np.nan)
    for row, value in enumerate(with_decimal_points(table.column(column))):
        text = "" if value is None else str(value).strip()
        values[row] = _finite(text)
        if math.isnan(values[row]):
            problem = f"{text!r}, which is no number" if text else "no label"
            table.refuse(row, f": column {column!r} has {problem}")
    if np.nanmax(values, initial=-np.inf) == np.nanmin(values, initial=np.inf):
        raise InputError(f"{table.path.name}: column {column!r} has the same number in every row")
    return values


def _finite(text: str) -> float:
    """The number that a text says, or not a number."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


# ---- the vocabulary is train's own


def check_classes(labels: np.ndarray, names: tuple[str, ...], *, dataset: str, column: str) -> None:
    """Refuse a train split with fewer than two labels."""
    if len(np.unique(labels[labels >= 0])) < 2:
        only = names[int(labels.flat[0])] if len(labels) else "none"
        raise InputError(
            f"{dataset}: column {column!r} of train has one class only ({only}); "
            "at least two are needed"
        )


def train_lists(
    labels: dict[str, np.ndarray], names: tuple[str, ...], *, fixed: bool
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Label lists by split, padded alike, and their names; unless the names are fixed, renumbered
    so that only train's labels have one. Any other label has the id after the last."""
    known = np.arange(len(names)) if fixed else np.unique(labels["train"])
    known = known[(known >= 0) & (known < len(names))]
    new_ids = np.full(len(names) + 2, len(known))  # by old id; the last entry is the padding's
    new_ids[known] = np.arange(len(known))
    new_ids[-1] = -1
    most = max(lists.shape[1] for lists in labels.values())
    renumbered = {}
    for split, lists in labels.items():
        padding = ((0, 0), (0, most - lists.shape[1]))
        renumbered[split] = new_ids[np.pad(lists, padding, constant_values=-1)]
    return renumbered, tuple(names[i] for i in known)


def train_classes(
    labels: dict[str, np.ndarray], names: tuple[str, ...], *, fixed: bool, corpus_name: str
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Class ids by split, and their names; unless the names are fixed, renumbered so that train's
    classes come first, followed by one name for all that dev or test has beside. Says how many
    rows that are."""
    known = np.unique(labels["train"])
    strange = 0
    for split in ("dev", "test"):
        counts = Counter(labels[split][~np.isin(labels[split], known)].tolist())
        strange += counts.total()
        if counts:
            listed = ", ".join(names[i] for i in sorted(counts))
            print(
                f"{corpus_name}: {counts.total()} rows of {split} have a class that train lacks "
                f"({listed}); they count as wrong",
                flush=True,
            )
    if fixed or len(known) == len(names):
        return labels, names
    new_ids = np.full(len(names), len(known))
    new_ids[known] = np.arange(len(known))
    renumbered = {split: new_ids[ids] for split, ids in labels.items()}
    known_names = tuple(names[i] for i in known)
    return renumbered, (*known_names, NOT_IN_TRAIN) if strange else known_names
