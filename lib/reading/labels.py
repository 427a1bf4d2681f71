"""Labels: from the cells of a column to class ids, lists of them, or real numbers."""

import dataclasses
import math
import re
from collections.abc import Iterable

import numpy as np

from lib.errors import InputError
from lib.reading.columns import cell_text
from lib.reading.label_cells import LabelColumn, may_have_none
from lib.reading.options import Reading, Table
from lib.reading.vocabulary import (
    MARKS,
    LabelLists,
    listed,
    marks_a_row,
    names_of,
    on_one_line,
    unify_spelling,
    whole_number,
)

WITH_COMMAS = re.compile(r"[+-]?\d+(,\d+)+")
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
NUMBER_SHAPED = re.compile(r"[+-]?[.,]?\d[\d.,]*(e[+-]?\d+)?", re.IGNORECASE)
IGNORED = "-100"  # as a class label: torch's cross-entropy passes over such rows without a word


@dataclasses.dataclass(frozen=True)
class Encoded:
    """The labels of each split: (rows,) int64 ids, (rows, most) int64 id lists padded with −1, or
    (rows,) float64 numbers."""

    ids: dict[str, np.ndarray]  # by split
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()  # what was understood, and could be meant otherwise


def task_of(column: LabelColumn, reading: Reading) -> str:
    """The task asked for; `auto` is multilabel where cells hold lists or a separator is set."""
    if reading.task != "auto":
        return reading.task
    first = next((cell for cell in column.cells["train"] if cell is not None), None)
    if reading.label_separator or column.in_positions or isinstance(first, list):
        return "multilabel"
    return "classification"


def encode_labels(
    tables: dict[str, Table], column: LabelColumn, task: str, names: tuple[str, ...] | None = None
) -> Encoded:
    """The labels of each split, and the label names: those of the tables' reading, or those given,
    or those that occur; of a regression, the column. Raises InputError."""
    if task == "regression":
        cells = column.cells
        values = {
            split: numbers(table, column.name, cells[split]) for split, table in tables.items()
        }
        return Encoded(values, (column.name,))
    lists = {split: label_lists(table, column, split, task) for split, table in tables.items()}
    names = tables["train"].reading.labels or column.in_positions or names
    notes: list[str] = []
    if names:
        names = tuple(name.strip() for name in names)
    else:
        notes = unify_spelling(lists)
        if task == "classification":
            for mark in MARKS:
                notes += _without_marks(tables, column.name, lists, mark)
    if task == "multilabel":
        if tables["train"].reading.labels:
            for split, table in tables.items():
                _refuse_unknown(table, column.name, lists[split], names)
        names = names or names_of(lists["train"])
        ids = {split: class_lists(rows, names) for split, rows in lists.items()}
        return Encoded(ids, names, tuple(notes))
    names = names or names_of([row for rows in lists.values() for row in rows])
    ids = {
        split: class_ids(tables[split], column.name, rows, names) for split, rows in lists.items()
    }
    return Encoded(ids, names, tuple(notes))


def _without_marks(
    tables: dict[str, Table], column: str, lists: dict[str, LabelLists], mark: str
) -> list[str]:
    """Refuse rows that −1 or a dash marks as unlabelled; a note where it is read as a class."""
    if not any([mark] in rows for rows in lists.values()):
        return []
    if not marks_a_row(lists, mark):
        return [f"{mark} is read as a class"]
    for split, rows in lists.items():
        for row, labels in enumerate(rows):
            if labels == [mark]:
                tables[split].refuse(
                    row,
                    f": label {mark} in column {column!r} marks a row without a label; "
                    "remove the row, or set on_bad_rows: quarantine; if it is a class, list all "
                    "classes with labels: […]",
                )
                labels.clear()
    return []


# ---- from cells to labels


def label_lists(table: Table, column: LabelColumn, split: str, task: str) -> LabelLists:
    """The label names of each row; a row that is refused has an empty list."""
    lists = []
    for row, cell in enumerate(column.cells[split]):
        labels, problem = column.labels_in(cell, table.reading.label_separator)
        if not problem and not labels and not may_have_none(cell, task, table.reading):
            problem = "no label"
        problem = f": column {column.name!r} has {problem}" if problem else ""
        if not problem and task == "classification":
            problem = _problem_of(labels, column.name, table.reading)
        if problem:
            table.refuse(row, problem)
            labels = []
        lists.append(labels)
    return lists


def _problem_of(labels: list[str], column: str, reading: Reading) -> str:
    """Why the labels of a row are no class; empty where they are one."""
    if len(labels) > 1:
        return (
            f": column {column!r} has {len(labels)} labels ({', '.join(labels)}); "
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
    if _is_fraction(label) or WITH_COMMAS.fullmatch(label):
        several = "label_separator: ',' for several labels, " if "," in label else ""
        return (
            f": label {on_one_line(label)} in column {column!r} is a fraction, not a class; set "
            f"task: regression for real numbers, {several}or list the classes with labels: […]"
        )
    return ""


def _is_fraction(label: str) -> bool:
    """Whether a label is a finite number, but not a whole one: nan and inf are words."""
    number = _finite(label)
    return not math.isnan(number) and number % 1 != 0


# ---- from names to ids


def class_ids(table: Table, column: str, lists: LabelLists, names: tuple[str, ...]) -> np.ndarray:
    """Label ids (rows,) int64 from names, or from ids where a whole number is given and no name
    looks like it; −1 for a row that is refused."""
    ids = {name: i for i, name in enumerate(names)}
    numbered = {str(i): i for i in range(len(names))}
    if ids.keys().isdisjoint(numbered):
        ids |= numbered
    of_number = {whole_number(name): i for name, i in ids.items()}
    labels = np.full(len(lists), -1, dtype=np.int64)
    for row, names_in_row in enumerate(lists):
        if not names_in_row:
            continue
        name = names_in_row[0]
        label = ids.get(name, of_number.get(whole_number(name)))
        if label is not None:
            labels[row] = label
        else:
            table.refuse(
                row,
                f": unknown label {name!r} in column {column!r}; the labels are {listed(names)}",
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


# ---- real numbers


def numbers(table: Table, column: str, cells: Iterable) -> np.ndarray:
    """Real numbers (rows,) float64, not a number for a row that is refused."""
    values = np.full(len(table.lines), np.nan)
    for row, value in enumerate(_with_decimal_points(cells)):
        text = cell_text(value)
        values[row] = _finite(text)
        if math.isnan(values[row]):
            problem = f"{text!r}, which is no number" if text else "no label"
            table.refuse(row, f": column {column!r} has {problem}")
    if np.nanmax(values, initial=-np.inf) == np.nanmin(values, initial=np.inf):
        raise InputError(f"{table.path.name}: column {column!r} has the same number in every row")
    return values


def _with_decimal_points(cells: list) -> list:
    """Numbers in a column with points for their decimal commas, where all commas must be such: at
    least one has not three digits behind it, and no number has a point. Words stay as they are."""
    words = [cell for cell in cells if isinstance(cell, str)]
    texts = [word for word in words if NUMBER_SHAPED.fullmatch(word.strip())]
    with_comma = [text for text in texts if DECIMAL_COMMA.fullmatch(text.strip())]
    may_be_thousands = all(len(text.strip().split(",")[1]) == 3 for text in with_comma)
    if may_be_thousands or any("." in text for text in texts):
        return cells
    in_points = {text: text.replace(",", ".") for text in texts}
    return [in_points.get(cell, cell) if isinstance(cell, str) else cell for cell in cells]


def _finite(text: str) -> float:
    """The number that a text says, or not a number."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan
