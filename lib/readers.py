"""Tables from files, row by row, with the line of everything that is wrong in them."""

import codecs
import csv
import dataclasses
import gzip
import io
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from lib.errors import InputError, explain, nearest

FORMATS = (".parquet", ".csv", ".tsv", ".txt", ".json", ".jsonl")
SUFFIXES = FORMATS + tuple(f"{suffix}.gz" for suffix in FORMATS[1:])
UTF16 = (b"\xff\xfe", b"\xfe\xff")
IGNORED = "-100"  # as a class label: torch's cross-entropy passes over such rows without a word


class Reading(BaseModel):
    """How files are read, and what their columns mean. Raises InputError."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dev_file: str | None = None  # beside the train file; None: the folder's, or rows of train
    test_file: str | None = None
    text_pair: str | None = None  # column of a second text, read together with the first
    delimiter: str | None = None  # of CSV; None: a tab for .tsv and .txt, else a comma
    encoding: str = "utf-8"  # a byte-order mark is skipped
    quotes: bool = True  # a field in double quotes may hold delimiters and line breaks; else they are plain characters
    header: bool = True  # the first line names the columns; else they are numbered from 1
    labels: tuple[str, ...] | None = (
        None  # all classes, in the order of their ids; None: those that occur
    )
    label_separator: str | None = None  # between the labels of a document that can have several
    task: Literal["auto", "classification", "multilabel", "regression"] = "auto"
    on_bad_rows: Literal["stop", "quarantine"] = (
        "stop"  # at the first, or leave them out and list them
    )

    def __init__(self, **values):
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise explain(error, type(self).model_fields) from None

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value):
        value = {"\\t": "\t", "tab": "\t"}.get(value, value)
        if value is not None and len(value) != 1:
            raise ValueError("a delimiter is one character, or tab")
        return value

    @field_validator("encoding")
    @classmethod
    def _known(cls, value):
        try:
            "".encode(value)
        except LookupError:
            raise ValueError(
                "no such encoding is known; for example utf-8, latin-1, cp1252, utf-16"
            ) from None
        return value

    @field_validator("labels")
    @classmethod
    def _each_once(cls, value):
        for i, name in enumerate(value or ()):
            if name in value[:i] or not name.strip():
                raise ValueError(
                    "a class has no name"
                    if not name.strip()
                    else f"the class {name!r} is there twice"
                )
        return value

    @field_validator("task")
    @classmethod
    def _fits(cls, value, info):
        given = [name for name in ("labels", "label_separator") if info.data.get(name)]
        if value == "regression" and given:
            raise ValueError(f"real numbers have no {given[0]}; leave out one of the two")
        return value


PLAIN = Reading()
TOO_MUCH = "a number of thousands of digits, or thousands of nested brackets"


@dataclasses.dataclass(frozen=True)
class BadRow:
    """A row that cannot be used."""

    file: str
    line: int
    reason: str


@dataclasses.dataclass
class Table:
    """The columns of one file, with the line that each row came from."""

    path: Path
    columns: dict[str, list]
    lines: list[int]
    bad: list[BadRow] = dataclasses.field(default_factory=list)
    reading: Reading = PLAIN

    def refuse(self, row: int, reason: str) -> None:
        """Raise InputError that names the row's line; or put the row aside, if it is to be
        quarantined."""
        refuse(self.path, self.lines[row], reason, self.bad, self.reading)

    def column(self, name: str) -> list:
        if name not in self.columns:
            if numbered := column_at(name, self.columns):
                return self.columns[numbered]
            only = next(iter(self.columns)) if len(self.columns) == 1 else ""
            if found := next((sign for sign in ";\t|," if sign in only), None):
                shown = "tab" if found == "\t" else found
                raise InputError(
                    f"{self.path.name} has no column {name!r}: its only column is {only!r}. "
                    f"Is the delimiter {shown!r}? Then set delimiter: {shown!r}"
                )
            raise InputError(
                f"{self.path.name} has no column {name!r}.{nearest(name, self.columns)}"
            )
        return self.columns[name]


def is_whole(text: str) -> bool:
    """Whether a text can be encoded: JSON and standard input can have halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def column_at(number: str, columns: Iterable[str]) -> str | None:
    """The column with a number, from 1; None where there is none."""
    columns = list(columns)
    return (
        columns[int(number) - 1]
        if number.isdecimal() and 1 <= int(number) <= len(columns)
        else None
    )


def refuse(path: Path, line: int, reason: str, bad: list[BadRow], reading: Reading) -> None:
    if reading.on_bad_rows == "stop":
        raise InputError(
            f"{path.name}, {'row' if path.suffix == '.parquet' else 'line'} {line}{reason}"
        )
    bad.append(BadRow(path.name, line, reason.lstrip(": ")))


def kind_of(path: Path) -> str:
    """The format's suffix, without .gz. Raises InputError."""
    suffixes = [suffix.lower() for suffix in path.suffixes] or [""]
    kind = suffixes[-2] if suffixes[-1] == ".gz" and len(suffixes) > 1 else suffixes[-1]
    if kind not in FORMATS or suffixes[-2:] == [".parquet", ".gz"]:
        raise InputError(
            f"{path.name} is none of the formats that are read: {', '.join(FORMATS)}, all but the first "
            "also with .gz"
        )
    return kind


def open_bytes(path: Path):
    """The file's bytes as a stream, unpacked. Raises InputError where it cannot be opened."""
    try:
        return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")
    except FileNotFoundError:
        raise InputError(f"There is no file {path}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror.lower()}") from None


def lines_of(path: Path, reading: Reading) -> Iterator[str]:
    """The lines of a text file, ends included. Raises InputError with the line that cannot be
    decoded."""
    encoding = codecs.lookup(reading.encoding).name
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    with open_bytes(path) as stream:
        try:
            start = stream.peek(2)[:2]
            if start in UTF16 and "16" not in encoding:
                raise InputError(
                    f"{path.name} is UTF-16 (its first bytes are 0x{start.hex()}); set encoding: utf-16"
                )
            with io.TextIOWrapper(stream, encoding=encoding, newline="") as text:
                for number, line in enumerate(text, 1):
                    if "\0" in line:
                        raise InputError(
                            f"{path.name}, line {number} has a NUL byte: the file is damaged or not text; if it is "
                            "UTF-16, set encoding: utf-16"
                        )
                    yield line
        except UnicodeError:
            raise _undecodable(path, reading.encoding) from None
        except (OSError, EOFError) as error:
            raise InputError(f"{path.name} cannot be unpacked: {error}") from None


def _undecodable(path: Path, encoding: str) -> InputError:
    """Which line of a file is not in the encoding said."""
    place = byte = ""
    with open_bytes(path) as stream:
        for number, line in enumerate(stream, 1):
            try:
                line.decode(encoding)
            except UnicodeError as error:
                place = f", line {number}"
                byte = (
                    f" (byte 0x{line[error.start]:02x})"
                    if isinstance(error, UnicodeDecodeError)
                    else ""
                )
                break
    return InputError(
        f"{path.name}{place} is not {encoding.upper()}{byte}; say what it is, for example "
        "encoding: latin-1, or convert it: iconv -f latin1 -t utf-8"
    )


def stream(
    path: Path, reading: Reading = PLAIN, bad: list[BadRow] | None = None
) -> Iterator[tuple[int, dict]]:
    """The rows of a file, one at a time: (line, value by column). Raises InputError with the
    line of a bad row, or puts it into `bad`."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file in it")
    kind = kind_of(path)
    bad = [] if bad is None else bad
    if kind == ".parquet":
        yield from _parquet(path)
    elif kind == ".json":
        yield from _json(path, reading)
    elif kind == ".jsonl":
        yield from _json_lines(path, reading, bad)
    else:
        yield from _delimited(
            path, reading, bad, reading.delimiter or ("," if kind == ".csv" else "\t")
        )


def _parquet(path: Path):
    import pyarrow.parquet

    open_bytes(path).close()
    try:
        file, row = pyarrow.parquet.ParquetFile(path), 0
        for batch in file.iter_batches():
            for values in batch.to_pylist():
                row += 1
                yield row, values
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path.name} cannot be read as Parquet: {str(error).splitlines()[0]}"
        ) from None


def _json(path: Path, reading: Reading):
    try:
        rows = json.loads("".join(lines_of(path, reading)))
    except json.JSONDecodeError as error:
        raise InputError(f"{path.name}, line {error.lineno} is not JSON: {error.msg}") from None
    except InputError:
        raise
    except (ValueError, RecursionError):
        raise InputError(f"{path.name} is not JSON that can be read: it has {TOO_MUCH}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path.name} is no JSON list of objects with a name for each column")
    yield from enumerate(rows, 1)


def _json_lines(path: Path, reading: Reading, bad: list[BadRow]):
    for number, line in enumerate(lines_of(path, reading), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                refuse(path, number, f" is not JSON: {error.msg}", bad, reading)
                continue
            except (ValueError, RecursionError):
                refuse(
                    path, number, f" is not JSON that can be read: it has {TOO_MUCH}", bad, reading
                )
                continue
            if isinstance(row, dict):
                yield number, row
            else:
                refuse(path, number, " is no JSON object with a name for each column", bad, reading)


def _delimited(path: Path, reading: Reading, bad: list[BadRow], delimiter: str):
    csv.field_size_limit(2**31 - 1)
    lines = lines_of(path, reading)
    quoting = csv.QUOTE_MINIMAL if reading.quotes else csv.QUOTE_NONE
    rows = csv.reader(lines, delimiter=delimiter, strict=True, quoting=quoting)
    line = 1  # where the row at hand begins: a quoted field may have line breaks
    try:
        first = next(rows, None)
        if first is None or first == []:
            raise InputError(
                f"{path.name} {'is empty' if first is None else 'begins with an empty line'}"
            )
        names = first if reading.header else [str(i) for i in range(1, len(first) + 1)]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise InputError(
                    f"{path.name} has the column {name!r} twice: {names.index(name) + 1} and {i + 1}"
                )
        if not reading.header:
            rows_left = itertools.chain([first], rows)
        else:
            rows_left, line = rows, rows.line_num + 1
        for row in rows_left:
            if row and len(row) != len(names):
                refuse(
                    path,
                    line,
                    f" has {len(row)} fields; the {'header' if reading.header else 'first line'} has "
                    f"{len(names)}",
                    bad,
                    reading,
                )
            elif row:
                yield line, dict(zip(names, row, strict=True))
            line = rows.line_num + 1
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            raise InputError(
                f"{path.name}, line {line}: a quote is opened in this row and never closed; if quotes are plain "
                "characters in this file, set quotes: false"
            ) from None
        begun = f" (of a row that begins in line {line})" if rows.line_num > line else ""
        raise InputError(
            f"{path.name}, line {rows.line_num}{begun} cannot be read: {error}; if quotes are plain characters in this "
            "file, set quotes: false"
        ) from None


def read_table(path: Path, reading: Reading = PLAIN) -> Table:
    """A whole file (see `stream`); raises InputError where it has no rows."""
    lines, bad, columns = [], [], {}
    for line, row in stream(path, reading, bad):
        for name in row:
            if name not in columns:
                columns[name] = [None] * len(lines)
        for name, values in columns.items():
            values.append(row.get(name))
        lines.append(line)
    if not lines:
        raise InputError(f"{path.name} has no rows" + (" that can be used" if bad else ""))
    return Table(path, columns, lines, bad, reading)
