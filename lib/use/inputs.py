"""The texts of a file that is to be labelled: read as the run's own data was, row by row."""

import csv
import dataclasses
import io
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from lib.columns import column_at, columns_at, joined
from lib.errors import InputError, nearest
from lib.formats import SUFFIXES, stream
from lib.lines import lines_of
from lib.readers import Reading, is_whole
from lib.runs.config import RunConfig

STANDARD_INPUT = "-"
TABLES = tuple(suffix for suffix in SUFFIXES if not suffix.startswith(".txt"))  # have columns
OPTIONS = ("delimiter", "encoding", "quotes", "escape", "header", "sheet")  # in readers' messages


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a file: its text, or pair of texts, and the values that are kept beside it."""

    text: str | tuple[str, str]
    kept: dict[str, str] = dataclasses.field(default_factory=dict)  # by column

    @property
    def first(self) -> str:
        """The text, or the first of a pair."""
        return self.text if isinstance(self.text, str) else self.text[0]

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing to label: a text without a character that is seen."""
        texts = [self.text] if isinstance(self.text, str) else self.text
        return not all(text.strip() for text in texts)


def reading_of(config: RunConfig, **overrides) -> Reading:
    """How a file is read: as the data of a run was, but for what is not None. Every row counts."""
    changes = {name: value for name, value in overrides.items() if value is not None}
    return Reading(**config.reading.model_dump() | changes | {"on_bad_rows": "stop"})


def is_table(source: str) -> bool:
    """Whether a file has columns, by its name; else it has a text a line."""
    return source.lower().endswith(TABLES)


def describe_reading(source: str, column: str | None, reading: Reading) -> str:
    """How a file is read, in a line."""
    if column is None:
        return f"Reads {name_of(source)}: a text a line, {reading.encoding}"
    columns = f"the column {column!r}"
    if reading.text_pair:
        columns = f"the columns {column!r} and {reading.text_pair!r}"
    quotes = "quotes enclose fields" if reading.quotes else "quotes are characters"
    header = "with a header" if reading.header else "without a header"
    delimiter = f"delimiter {reading.delimiter!r}" if reading.delimiter else "the usual delimiter"
    how = ", ".join([reading.encoding, delimiter, quotes, header])
    return f"Reads {columns} of {name_of(source)}: {how}"


def name_of(source: str) -> str:
    """A source, as a message names it."""
    return "standard input" if source == STANDARD_INPUT else Path(source).name


def rows_of(
    source: str, column: str | None, reading: Reading, keep: Iterable[str] = ()
) -> Iterator[Row]:
    """The rows of a file: its lines themselves, or a column of a table with the columns `keep`.

    `-` is standard input. A blank text is a row. Raises InputError.
    """
    if column is None:
        if keep or reading.text_pair:
            wanted = ", ".join(keep) or reading.text_pair
            raise InputError(
                f"{name_of(source)} has a text a line, and no column {wanted!r}: "
                "name the column of the texts with --text"
            )
        return _line_rows(source, reading)
    if source == STANDARD_INPUT:
        raise InputError("--text names a column of a file; standard input has a text a line")
    return _table_rows(Path(source), column, reading, keep)


def _line_rows(source: str, reading: Reading) -> Iterator[Row]:
    lines = _standard_input(reading)
    if source != STANDARD_INPUT:
        lines = lines_of(Path(source), reading)
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        check_text(text, f"{name_of(source)}, line {number}")
        yield Row(text)


def _standard_input(reading: Reading) -> Iterator[str]:
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding=reading.encoding, errors="surrogateescape")
    return sys.stdin


def _table_rows(path: Path, column: str, reading: Reading, keep: Iterable[str]) -> Iterator[Row]:
    wanted = [column, reading.text_pair] if reading.text_pair else [column]
    texts: list[list[str]] | None = None  # the names of these columns in the file
    for line, row in _stream(path, reading):
        if texts is None:
            texts = [columns_at(name, row) or [_column(name, row, path)] for name in wanted]
            kept = [_column(name, row, path) for name in _names(keep, row)]
        place = f"{path.name}, line {line}"
        values = []
        for names, asked in zip(texts, wanted, strict=True):
            value = joined(row.get(name) for name in names) if names[1:] else row.get(names[0])
            value = "" if value is None else value
            check_text(value, place, f" in column {asked!r}")
            values.append(value)
        text = values[0] if len(values) == 1 else tuple(values)
        beside = {name: _written(row.get(name)) for name in kept}
        for name, value in beside.items():
            check_text(value, place, f" in column {name!r}")
        yield Row(text, beside)


def _stream(path: Path, reading: Reading) -> Iterator[tuple[int, dict]]:
    """The rows of a table; where they cannot be read as said, the options that say it otherwise."""
    try:
        yield from stream(path, reading)
    except InputError as error:
        if not any(word in str(error) for word in OPTIONS):
            raise
        raise InputError(
            f"{error} (options of predict: --no-quotes, --delimiter, --encoding, --escape, "
            "--no-header, --sheet)"
        ) from None


def _names(keep: Iterable[str], row: dict) -> list[str]:
    """The columns that are kept, once each: a name, or several with commas between them."""
    names: list[str] = []
    for words in keep:
        names += [words] if words in row else next(csv.reader([words], skipinitialspace=True))
    return list(dict.fromkeys(names))


def _column(wanted: str, row: dict, path: Path) -> str:
    """The name of a column that is named, or numbered from 1. Raises InputError."""
    name = column_at(wanted, row)
    if name is None:
        raise InputError(f"{path.name} has no column {wanted!r}.{nearest(wanted, row)}")
    return name


def _written(value) -> str:
    """A value that is kept, as CSV has it."""
    if value is None:
        return ""
    if isinstance(value, list | dict | bool):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def check_text(text, place: str, column: str = "") -> None:
    """Raises InputError where a value is no text that can be written again."""
    if not isinstance(text, str):
        raise InputError(f"{place} has no text{column}, but {text!r}")
    if "\0" in text:
        raise InputError(f"{place} has a NUL byte{column}")
    if not is_whole(text):
        raise InputError(f"{place} is not UTF-8, or has half a character")
