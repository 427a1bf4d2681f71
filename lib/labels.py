"""Labels from the cells of a column: one class, several, or a real number."""

import math
import re

import numpy as np

from lib.errors import InputError
from lib.readers import IGNORED, Reading, Table

SHOWN = 10  # names that a message lists


def task_of(table: Table, column: str, reading: Reading) -> str:
    """The task that is asked for; `auto` is multilabel where cells hold lists or a separator is
    set."""
    if reading.task != "auto":
        return reading.task
    lists = any(isinstance(value, list) for value in table.column(column)[:1])
    return "multilabel" if lists or reading.label_separator else "classification"


def cells(table: Table, column: str, task: str) -> list[list[str]]:
    """The labels of each row, as text. A row without any is refused, and then has an empty list."""
    found = []
    for row, value in enumerate(table.column(column)):
        if isinstance(value, list):
            parts = [str(part) for part in value if part is not None]
        else:
            text = "" if value is None or value != value else str(value)
            parts = (
                text.split(table.reading.label_separator)
                if table.reading.label_separator
                else [text]
            )
        parts = [part.strip() if table.reading.label_separator else part for part in parts]
        parts = list(dict.fromkeys(part for part in parts if part.strip()))
        if not parts or isinstance(value, dict):
            table.refuse(
                row, f": column {column!r} has {'an object, which is no' if parts else 'no'} label"
            )
            parts = []
        elif task == "classification" and (reason := _no_class(parts, column, table.reading)):
            table.refuse(row, reason)
            parts = []
        found.append(parts)
    return found


def _no_class(parts: list[str], column: str, reading: Reading) -> str:
    """Why a cell is no class label; empty where it is one."""
    if len(parts) > 1:
        return f": column {column!r} has {len(parts)} labels ({', '.join(parts)}); for several set task: multilabel"
    if reading.labels is not None:
        return ""
    if parts[0] == IGNORED:
        return f": label {IGNORED} in column {column!r} marks a row to leave out; remove the row, or set on_bad_rows: quarantine"  # noqa: E501
    try:
        fraction = float(parts[0]) % 1
    except ValueError:
        return ""
    if fraction:  # a fraction, or no finite number
        return (
            f": label {parts[0]} in column {column!r} is a fraction, not a class; set task: regression for real "
            "numbers, or list the classes with labels: […]"
        )
    return ""


def names_of(found: list[list[str]]) -> tuple[str, ...]:
    """The names that occur, numbers in numeric order."""
    names = {name for parts in found for name in parts}
    numeric = all(re.fullmatch(r"-?\d{1,400}", name) for name in names)
    return tuple(sorted(names, key=int if numeric else None))


def class_ids(
    table: Table, column: str, found: list[list[str]], names: tuple[str, ...]
) -> np.ndarray:
    """Label ids (rows,) from names, or from ids where a whole number is given and no name looks
    like it; −1 for a row that is refused."""
    ids = {name: i for i, name in enumerate(names)}
    if not set(ids) & {str(i) for i in range(len(names))}:
        ids |= {str(i): i for i in range(len(names))}
    labels = np.full(len(found), -1, dtype=np.int64)
    for row, parts in enumerate(found):
        if parts and parts[0] not in ids:
            listed = ", ".join(names[:SHOWN]) + (
                f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            )
            table.refuse(
                row, f": unknown label {parts[0]!r} in column {column!r}; the labels are {listed}"
            )
        elif parts:
            labels[row] = ids[parts[0]]
    return labels


def class_lists(found: list[list[str]], names: tuple[str, ...]) -> np.ndarray:
    """Label ids (rows, most), padded with −1; a name that is not among `names` gets the id after
    the last, so that it counts as a label nobody can predict."""
    ids = {name: i for i, name in enumerate(names)}
    padded = np.full((len(found), max(map(len, found), default=0)), -1, dtype=np.int64)
    for row, parts in enumerate(found):
        padded[row, : len(parts)] = sorted(ids.get(name, len(names)) for name in parts)
    return padded


def numbers(table: Table, column: str) -> np.ndarray:
    """Real numbers (rows,), not a number for a row that is refused."""
    values = np.full(len(table.lines), np.nan)
    for row, value in enumerate(table.column(column)):
        text = "" if value is None else str(value).strip()
        try:
            values[row] = float(text)
        except ValueError:
            values[row] = math.nan
        if not math.isfinite(values[row]):
            values[row] = math.nan
            table.refuse(
                row,
                f": column {column!r} has "
                + (f"{text!r}, which is no number" if text else "no label"),
            )
    if np.nanmax(values, initial=-np.inf) == np.nanmin(values, initial=np.inf):
        raise InputError(f"{table.path.name}: column {column!r} has the same number in every row")
    return values
