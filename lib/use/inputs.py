"""The texts of a file that is to be labelled: read as the run's own data was, row by row.

A row that cannot be used stops the reading; or it is counted, and stays a row, without a text.
"""

import csv
import dataclasses
import io
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from lib.errors import InputError, nearest, shown
from lib.reading.bad_rows import BadRows
from lib.reading.columns import column_at, columns_at, delimiter_hint, joined, missing_column
from lib.reading.folders import find_files
from lib.reading.formats import format_of, settings_used, stream
from lib.reading.lines import lines_of
from lib.reading.options import BadRow, BadRowError, Reading, is_whole
from lib.runs.config import RunConfig

STANDARD_INPUT = "-"
LINES_OR_TABLE = ".txt"  # the suffix of files that may be either
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
    """How a file is read: as the data of a run was, but for what is not None. Raises InputError
    where pairs of texts are given to a run of single ones."""
    changes = {name: value for name, value in overrides.items() if value is not None}
    if changes.get("text_pair") and not config.reading.text_pair:
        raise InputError(
            f"--text-pair {shown(changes['text_pair'])}: the run has learned from single texts; "
            "leave it out"
        )
    return Reading(**config.reading.model_dump() | changes)


def is_table(source: str, config: RunConfig) -> bool:
    """Whether a file has columns, by its format; one of .txt has, where a run's own data was such a
    table. Else it has a text a line."""
    if source == STANDARD_INPUT:
        return False
    suffix = _format_if_any(Path(source))
    return suffix == _format_of_data(config) if suffix == LINES_OR_TABLE else suffix is not None


def _format_if_any(path: Path) -> str | None:
    try:
        return format_of(path)
    except InputError:
        return None


def _format_of_data(config: RunConfig) -> str | None:
    """The format of a run's train file; None where that is not known (any more)."""
    path = Path(config.dataset).expanduser()
    if path.is_dir():
        try:
            path = find_files(path, config.reading)["train"][0]
        except InputError:
            return None
    return _format_if_any(path)


def describe_reading(source: str, column: str | None, reading: Reading) -> str:
    """How a file is read, in a line."""
    if column is None:
        return f"Reads {name_of(source)}: a text a line, {reading.encoding}"
    columns = f"the column {column!r}"
    if reading.text_pair:
        columns = f"the columns {column!r} and {reading.text_pair!r}"
    how = [", ".join(settings_used(_format_if_any(Path(source)), reading))]
    if reading.on_bad_rows != "stop":
        how.append("a bad row gets an empty label")
    said = "; ".join(filter(None, how))
    return f"Reads {columns} of {name_of(source)}" + (f": {said}" if said else "")


def name_of(source: str) -> str:
    """A source, as a message names it."""
    return "standard input" if source == STANDARD_INPUT else Path(source).name


def rows_of(
    source: str,
    column: str | None,
    reading: Reading,
    keep: Iterable[str] = (),
    bad_rows: BadRows | None = None,
) -> Iterator[Row]:
    """The rows of a file: its lines themselves, or a column of a table with the columns `keep`.

    `-` is standard input. A blank text is a row. Raises InputError; where `reading` does not stop
    at bad rows, they are blank and added to `bad_rows`.
    """
    bad_rows = bad_rows or BadRows()
    if column is None:
        if keep or reading.text_pair:
            wanted = ", ".join(keep) or reading.text_pair
            raise InputError(
                f"{name_of(source)} has a text a line, and no column {wanted!r}: "
                "name the column of the texts with --text"
            )
        rows = _line_rows(source, reading, bad_rows)
    elif source == STANDARD_INPUT:
        raise InputError("--text names a column of a file; standard input has a text a line")
    else:
        rows = _table_rows(Path(source), column, reading, keep, bad_rows)
    return _naming_options(rows)


def _naming_options(rows: Iterator[Row]) -> Iterator[Row]:
    """Rows; where they cannot be read as said, the error names the options that say otherwise."""
    try:
        yield from rows
    except InputError as error:
        options = []
        if any(word in str(error) for word in OPTIONS):
            options.append("--no-quotes, --delimiter, --encoding, --escape, --no-header, --sheet")
        if isinstance(error, BadRowError):
            options.append("--on-bad-rows quarantine, which gives it an empty label")
        if not options:
            raise
        raise InputError(f"{error} (options of predict: {', '.join(options)})") from None


def _line_rows(source: str, reading: Reading, bad_rows: BadRows) -> Iterator[Row]:
    lines = _standard_input(reading)
    if source != STANDARD_INPUT:
        lines = lines_of(Path(source), reading)
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        problem = problem_of(text)
        if problem:
            _refuse(f"{name_of(source)}, line {number}{problem}", reading, bad_rows)
        yield Row("" if problem else text)


def _standard_input(reading: Reading) -> Iterator[str]:
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding=reading.encoding, errors="surrogateescape")
    return sys.stdin


def _table_rows(
    path: Path, column: str, reading: Reading, keep: Iterable[str], bad_rows: BadRows
) -> Iterator[Row]:
    wanted = [column, reading.text_pair] if reading.text_pair else [column]
    names: list[list[str]] | None = None  # of these columns in the file
    kept: list[str] = []
    unread: list[BadRow] = []  # since the last row
    for line, row in stream(path, reading, unread):
        if names is None:
            names = [columns_at(name, row) or [_column(name, row, path)] for name in wanted]
            kept = [_column(name, row, path) for name in _names(keep, row)]
        yield from _blank_rows(unread, kept, bad_rows)
        texts = [_text_in(row, own) for own in names]
        beside = {name: _written(row.get(name)) for name in kept}
        asked = [*zip(wanted, texts, strict=True), *beside.items()]
        problems = [problem_of(value, f" in column {name!r}") for name, value in asked]
        problem = next(filter(None, problems), "")
        if problem:
            _refuse(f"{path.name}, line {line}{problem}", reading, bad_rows)
            yield Row("", dict.fromkeys(kept, ""))
        else:
            yield Row(texts[0] if len(texts) == 1 else tuple(texts), beside)
    yield from _blank_rows(unread, kept, bad_rows)


def _text_in(row: dict, names: list[str]):
    """The text in a column of a row, or in several joined; a missing one is empty."""
    value = row.get(names[0])
    if names[1:] or isinstance(value, list):
        value = joined(row.get(name) for name in names)
    return "" if value is None else value


def _blank_rows(unread: list[BadRow], kept: list[str], bad_rows: BadRows) -> Iterator[Row]:
    """A row in the place of each that could not be read; they are forgotten."""
    for row in unread:
        bad_rows.add(f"{row.file}, line {row.line}: {row.reason}")
        yield Row("", dict.fromkeys(kept, ""))
    unread.clear()


def _refuse(problem: str, reading: Reading, bad_rows: BadRows) -> None:
    if reading.on_bad_rows == "stop":
        raise BadRowError(problem)
    bad_rows.add(problem)


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
        of_lines = " (--lines: a text a line)" if _format_if_any(path) == LINES_OR_TABLE else ""
        missing = missing_column(wanted, row)
        hint = delimiter_hint(next(iter(row)), "give --delimiter") if len(row) == 1 else ""
        if hint:
            raise InputError(f"{path.name} has no column {missing!r}: {hint}")
        raise InputError(f"{path.name} has no column {missing!r}.{nearest(missing, row)}{of_lines}")
    return name


def _written(value) -> str:
    """A value that is kept, as CSV has it."""
    if value is None:
        return ""
    if isinstance(value, list | dict | bool):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def problem_of(text, column: str = "") -> str:
    """Why a value is no text that can be written again, to put behind its place; empty where it
    is one."""
    if not isinstance(text, str):
        return f" has no text{column}, but {text!r}"
    if "\0" in text:
        return f" has a NUL byte{column}"
    return "" if is_whole(text) else " is not UTF-8, or has half a character"
