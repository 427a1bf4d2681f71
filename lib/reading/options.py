"""How a table is read, what its columns mean, and what becomes of a row that cannot be used."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from lib.errors import InputError, Strict, nearest
from lib.reading.columns import (
    LONG_NAME,
    ColumnText,
    column_at,
    columns_at,
    delimiter_hint,
    joined,
    missing_column,
    numbered_name,
    shorten,
)

LONGEST_TEXT = 2**22  # characters of a text, or of a line of a file
FIRST_LINES = 20  # among which the names of the columns may stand
WORKBOOK = ".xlsx"
BY_ROW = (".parquet", ".json", WORKBOOK)  # formats whose rows are counted, not their lines

Rows = Iterator[tuple[int, dict | str]]  # line, and values by column, or why it is no row


class Reading(Strict):
    """How files are read, and what their columns mean. Raises InputError."""

    dev_file: str | None = None  # beside the train file; None: the folder's, or rows of train
    test_file: str | None = None  # likewise
    text_pair: ColumnText | None = None  # column of a second text, read together with the first
    # Of CSV; None: a tab for .tsv and .txt, else a comma, unless the rows plainly have another.
    delimiter: str | None = None
    encoding: str = "utf-8"  # a byte-order mark says it, too
    # A field in double quotes may hold delimiters and line breaks; else quotes are characters.
    quotes: bool = True
    escape: str | None = None  # makes the next character a plain one; None: quotes are doubled
    header: bool = True  # the first line names the columns; else they are numbered from 1
    sheet: str | None = None  # of an Excel workbook; None: the only one
    # All classes, in the order of their ids; None: those that occur.
    labels: tuple[str, ...] | None = None
    label_separator: str | None = None  # between the labels of a document that can have several
    task: Literal["auto", "classification", "multilabel", "regression"] = "auto"
    split: str | None = None  # column that says train, dev or test of each row
    group: str | None = None  # column; rows that have the same there stay on one side of a split
    # At the first bad row, stop; or leave all of them out and list them.
    on_bad_rows: Literal["stop", "quarantine"] = "stop"
    # Classes with fewer rows are left out, or together the class "other"; None: all are learned.
    min_rows_per_class: int | None = Field(None, ge=2)
    rare_classes: Literal["drop", "other"] = "drop"

    @field_validator("delimiter")
    @classmethod
    def _check_delimiter(cls, value):
        if value in ("\\t", "tab"):
            return "\t"
        if value is not None and len(value) != 1:
            raise ValueError("a delimiter is one character, or tab: write tabs for a longer one")
        if value is not None and value in '"\r\n\0':
            raise ValueError("a quote, a line break or NUL cannot part columns")
        return value

    @field_validator("escape")
    @classmethod
    def _check_escape(cls, value, info):
        if value == "backslash":
            value = "\\"
        if value is None:
            return value
        if len(value) != 1 or value in '",;|\0' or value.isspace():
            raise ValueError("an escape is one character, or backslash; no quote, comma or blank")
        if value == info.data.get("delimiter"):
            raise ValueError("it cannot be the delimiter, too")
        return value

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, value):
        try:
            "".encode(value)
        except LookupError:
            raise ValueError(
                "no such encoding is known; for example utf-8, latin-1, cp1252, utf-16"
            ) from None
        return value

    @field_validator("labels")
    @classmethod
    def _check_labels(cls, value):
        for position, name in enumerate(value or ()):
            if not name.strip():
                raise ValueError("a class has no name")
            if name in value[:position]:
                raise ValueError(f"the class {name!r} is there twice")
        return value

    @field_validator("task")
    @classmethod
    def _check_task(cls, value, info):
        if value == "regression":
            for name in ("labels", "label_separator"):
                if info.data.get(name):
                    raise ValueError(f"real numbers have no {name}; leave out one of the two")
        return value

    @field_validator("rare_classes")
    @classmethod
    def _check_rare_classes(cls, value, info):
        if value != "drop" and info.data.get("min_rows_per_class", 0) is None:
            raise ValueError("no class is rare without min_rows_per_class; set it, too, such as 10")
        return value


PLAIN = Reading()


def check_sheet(paths: Sequence[Path], sheet: str | None) -> None:
    """Raise InputError where a sheet is named, and no file is a workbook."""
    if sheet and all(path.suffix.lower() != WORKBOOK for path in paths):
        raise InputError(f"sheet = {sheet!r}: {paths[0].name} is no Excel workbook; leave it out")


# ---- rows that cannot be used


@dataclasses.dataclass(frozen=True)
class BadRow:
    """A row that cannot be used."""

    file: str
    line: int
    reason: str


class BadRowError(InputError):
    """The first row that cannot be used, where the reading stops at it."""


def refuse(path: Path, line: int, reason: str, *, reading: Reading, bad_rows: list[BadRow]) -> None:
    """Raise BadRowError that names the line; or add the row to `bad_rows`, if such rows are to be
    left out.

    `reason` goes on from "FILE, line N": it begins with a blank or a colon.
    """
    if reading.on_bad_rows == "stop":
        counts_rows = not path.suffix or any(suffix in path.suffixes for suffix in BY_ROW)
        unit = "row" if counts_rows else "line"
        raise BadRowError(f"{path.name}, {unit} {line}{reason}")
    bad_rows.append(BadRow(path.name, line, reason.lstrip(": ")))


# ---- columns and texts


@dataclasses.dataclass
class Table:
    """The columns of one file, with the line that each row came from."""

    path: Path
    columns: dict[str, list]
    lines: list[int]
    bad_rows: list[BadRow] = dataclasses.field(default_factory=list)
    reading: Reading = PLAIN
    # by column, where the file names the classes that its numbers stand for
    class_names: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def refuse(self, row: int, reason: str) -> None:
        """Refuse a row by its position, counted from 0 (see `refuse`)."""
        refuse(self.path, self.lines[row], reason, reading=self.reading, bad_rows=self.bad_rows)

    def find(self, name: str) -> str | None:
        """The column that is meant by a name or a number from 1; None where there is none."""
        return column_at(name, self.columns)

    def column(self, name: str) -> list:
        """The values of a column, by its name or its number from 1. Raises InputError."""
        resolved = self.find(name)
        if resolved is None:
            raise self._no_column(name)
        return self.columns[resolved]

    def columns_named(self, name: str) -> list[str]:
        """The column that is meant, or several (`columns_at`). Raises InputError."""
        names = columns_at(name, self.columns)
        if not names:
            raise self._no_column(missing_column(name, self.columns))
        return names

    def _no_column(self, name: str) -> InputError:
        """The error that a column is missing or not the only one, and what may be meant."""
        file = self.path.name
        names = list(self.columns)
        same = [str(i) for i, other in enumerate(names, 1) if other == numbered_name(name, i)]
        if same:
            return InputError(
                f"{file} has the column {name!r} {len(same)} times: {', '.join(same)}; name the "
                "one that is meant by its number"
            )
        message = f"{file} has no column {name!r}"
        for line, *cells in zip(self.lines[:FIRST_LINES], *self.columns.values(), strict=False):
            if name in cells and not name.isdecimal():
                return InputError(f"{message}, but line {line} has it: remove what is above")
        if len(names) == 1:
            beginning = names[0] if self.reading.header else str(self.columns[names[0]][0])
            hint = delimiter_hint(beginning)
            if hint:
                return InputError(f"{message}: {hint}")
        if any(len(other) > LONG_NAME for other in names):
            return InputError(
                f"{message}: its columns would be {', '.join(map(shorten, names))}. If its first "
                "line is a row, set header: false and name columns by their numbers, from 1"
            )
        return InputError(f"{message}.{nearest(name, names)}")


def is_whole(text: str) -> bool:
    """Whether a text can be encoded: JSON and standard input can have halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_texts(table: Table, column: str) -> list[str]:
    """The texts of a column, or of several joined; refuses rows without. Raises InputError."""
    values = [table.column(name) for name in table.columns_named(column)]
    texts = [joined(cells) for cells in zip(*values, strict=True)]
    for row, value in enumerate(texts):
        problem = _problem_of(value)
        if problem:
            table.refuse(row, f": column {column!r} {problem}")
    return texts


def _problem_of(value) -> str:
    """What is wrong with a cell that should be a text; empty where nothing is."""
    if value is None:
        return "is empty"
    if not isinstance(value, str):
        return "is not text"
    if not value.strip():
        return "is empty"
    if "\0" in value:
        return "has a NUL byte"
    if len(value) > LONGEST_TEXT:
        return f"has {len(value):,} characters; a text has {LONGEST_TEXT:,} at most"
    if not is_whole(value):
        return "has half a character (a lone surrogate)"
    return ""
