"""How a table is read, what its columns mean, and what becomes of a row that cannot be used."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from lib.errors import InputError, explain, nearest


class Reading(BaseModel):
    """How files are read, and what their columns mean. Raises InputError."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dev_file: str | None = None  # beside the train file; None: the folder's, or rows of train
    test_file: str | None = None  # likewise
    text_pair: str | None = None  # column of a second text, read together with the first
    delimiter: str | None = None  # of CSV; None: a tab for .tsv and .txt, else a comma
    encoding: str = "utf-8"  # a byte-order mark is skipped
    # A field in double quotes may hold delimiters and line breaks; else quotes are characters.
    quotes: bool = True
    header: bool = True  # the first line names the columns; else they are numbered from 1
    # All classes, in the order of their ids; None: those that occur.
    labels: tuple[str, ...] | None = None
    label_separator: str | None = None  # between the labels of a document that can have several
    task: Literal["auto", "classification", "multilabel", "regression"] = "auto"
    split: str | None = None  # column that says train, dev or test of each row
    group: str | None = None  # column; rows that have the same there stay on one side of a split
    # At the first bad row, stop; or leave all of them out and list them.
    on_bad_rows: Literal["stop", "quarantine"] = "stop"

    def __init__(self, **values):
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise explain(error, type(self).model_fields) from None

    @field_validator("delimiter")
    @classmethod
    def _check_delimiter(cls, value):
        if value in ("\\t", "tab"):
            return "\t"
        if value is not None and len(value) != 1:
            raise ValueError("a delimiter is one character, or tab")
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


PLAIN = Reading()


@dataclasses.dataclass(frozen=True)
class BadRow:
    """A row that cannot be used."""

    file: str
    line: int
    reason: str


def refuse(path: Path, line: int, reason: str, *, reading: Reading, bad_rows: list[BadRow]) -> None:
    """Raise InputError that names the line; or add the row to `bad_rows`, if such rows are to be
    left out.

    `reason` goes on from "FILE, line N": it begins with a blank or a colon.
    """
    if reading.on_bad_rows == "stop":
        unit = "row" if path.suffix == ".parquet" else "line"
        raise InputError(f"{path.name}, {unit} {line}{reason}")
    bad_rows.append(BadRow(path.name, line, reason.lstrip(": ")))


@dataclasses.dataclass
class Table:
    """The columns of one file, with the line that each row came from."""

    path: Path
    columns: dict[str, list]
    lines: list[int]
    bad_rows: list[BadRow] = dataclasses.field(default_factory=list)
    reading: Reading = PLAIN

    def refuse(self, row: int, reason: str) -> None:
        """Refuse a row by its position, counted from 0 (see `refuse`)."""
        refuse(self.path, self.lines[row], reason, reading=self.reading, bad_rows=self.bad_rows)

    def column(self, name: str) -> list:
        """The values of a column, by its name or its number from 1. Raises InputError."""
        resolved = name if name in self.columns else column_at(name, self.columns)
        if resolved is None:
            raise self._no_column(name)
        return self.columns[resolved]

    def _no_column(self, name: str) -> InputError:
        """The error that a column is missing, and whether the delimiter may be another."""
        message = f"{self.path.name} has no column {name!r}"
        if len(self.columns) == 1:
            (only,) = self.columns
            for delimiter in ";\t|,":
                if delimiter in only:
                    shown = "tab" if delimiter == "\t" else delimiter
                    return InputError(
                        f"{message}: its only column is {only!r}. "
                        f"Is the delimiter {shown!r}? Then set delimiter: {shown!r}"
                    )
        return InputError(f"{message}.{nearest(name, self.columns)}")


def column_at(number: str, columns: Iterable[str]) -> str | None:
    """The name of the column with a number, counted from 1; None where there is none."""
    names = list(columns)
    if number.isdecimal() and 1 <= int(number) <= len(names):
        return names[int(number) - 1]
    return None


def is_whole(text: str) -> bool:
    """Whether a text can be encoded: JSON and standard input can have halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_texts(table: Table, column: str) -> list[str]:
    """The texts of a column; refuses the rows without one."""
    texts = table.column(column)
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
    if not is_whole(value):
        return "has half a character (a lone surrogate)"
    return ""
