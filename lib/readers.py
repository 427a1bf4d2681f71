"""Tables from files, with the line of everything that is wrong in them."""

import csv
import dataclasses
import io
import json
from pathlib import Path

import numpy as np

from lib.errors import InputError, nearest

SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl")


@dataclasses.dataclass(frozen=True)
class Table:
    """The columns of one file, with the line that each row came from."""

    path: Path
    columns: dict[str, list]
    lines: list[int]

    def at(self, row: int) -> str:
        return f"{self.path.name}, {'row' if self.path.suffix == '.parquet' else 'line'} {self.lines[row]}"

    def column(self, name: str) -> list:
        if name not in self.columns:
            raise InputError(f"{self.path.name} has no column {name!r}.{nearest(name, self.columns)}")
        return self.columns[name]


def read_table(path: Path) -> Table:
    """Read a Parquet, CSV, TSV or JSON-lines file; raises InputError with the line of the first bad row."""
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path.name} is none of the formats that are read: {', '.join(SUFFIXES)}")
    if path.suffix == ".parquet":
        import pyarrow.parquet

        try:
            columns = pyarrow.parquet.read_table(path).to_pydict()
        except (OSError, ValueError) as error:
            raise InputError(f"{path.name} cannot be read as Parquet: {str(error).splitlines()[0]}") from None
        return Table(path, columns, list(range(1, len(next(iter(columns.values()), [])) + 1)))
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path.name}, line {line} is not UTF-8 (byte 0x{error.object[error.start]:02x}); "
            f"convert it first, for example: iconv -f latin1 -t utf-8 {path.name}"
        ) from None
    rows, lines, line = [], [], 0
    csv.field_size_limit(2**31 - 1)
    try:
        if path.suffix == ".jsonl":
            for line, content in enumerate(text.split("\n"), 1):
                if content.strip():
                    rows.append(json.loads(content))
                    lines.append(line)
                    if not isinstance(rows[-1], dict):
                        raise InputError(f"{path.name}, line {line} is no JSON object with a name for each column")
            names = list(rows[0]) if rows else []
            columns = {name: [row.get(name) for row in rows] for name in names}
        else:
            delimiter = "\t" if path.suffix == ".tsv" else ","
            reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
            names, line = next(reader, []), reader.line_num
            for row in reader:
                if row and len(row) != len(names):
                    raise InputError(f"{path.name}, line {line + 1} has {len(row)} fields; the header has {len(names)}")
                if row:
                    rows.append(row)
                    lines.append(line + 1)
                line = reader.line_num
            columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    except (csv.Error, json.JSONDecodeError) as error:
        place = line if path.suffix == ".jsonl" else reader.line_num
        raise InputError(f"{path.name}, line {place} cannot be read: {error}") from None
    return Table(path, columns, lines)


def label_ids(table: Table, column: str, names: tuple[str, ...]) -> np.ndarray:
    """Label ids (rows,) from names, or from ids where a whole number is given and no name looks like it."""
    ids = {name: i for i, name in enumerate(names)}
    if not set(ids) & {str(i) for i in range(len(names))}:
        ids |= {str(i): i for i in range(len(names))}
    values = named(table, column)
    for row, value in enumerate(values):
        if value not in ids:
            raise InputError(
                f"{table.at(row)}: unknown label {value!r} in column {column!r}; the labels are {', '.join(names)}"
            )
    return np.array([ids[value] for value in values], dtype=np.int64)


def named(table: Table, column: str) -> list[str]:
    """The labels of a column as text; raises InputError where one is missing."""
    values = table.column(column)
    for row, value in enumerate(values):
        if value is None or value != value or not str(value).strip():
            raise InputError(f"{table.at(row)}: column {column!r} has no label")
    return [str(value) for value in values]


def is_multilabel(table: Table, column: str) -> bool:
    """Whether a column holds lists of labels instead of one label each."""
    return any(isinstance(value, list) for value in table.column(column)[:1])


def label_lists(table: Table, column: str, names: tuple[str, ...]) -> np.ndarray:
    """Label ids (rows, most), padded with −1, from lists of names; a name that is not among `names` gets the id after
    the last, so that it counts as a label nobody can predict."""
    ids = {name: i for i, name in enumerate(names)}
    lists = [[ids.get(str(name), len(names)) for name in value] for value in table.column(column)]
    padded = np.full((len(lists), max(map(len, lists), default=0)), -1, dtype=np.int64)
    for row, found in enumerate(lists):
        if not found:
            raise InputError(f"{table.at(row)}: column {column!r} has no label")
        padded[row, : len(found)] = sorted(found)
    return padded


def names_in(table: Table, label: str) -> tuple[str, ...]:
    """The label names that occur, numbers in numeric order."""
    if is_multilabel(table, label):
        found = {str(name) for names in table.column(label) for name in names}
    else:
        found = set(named(table, label))
    numeric = all(value.lstrip("-").isdigit() for value in found)
    return tuple(sorted(found, key=int if numeric else None))
