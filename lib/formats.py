"""The rows of a file, by its format: Parquet, JSON, JSON lines, and text with delimiters.

Each format's function gives (line, row): the values by column, or, where the line is no row, the
reason as text, which `refuse` puts behind the place.
"""

import codecs
import csv
import gzip
import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

from lib.errors import InputError
from lib.readers import PLAIN, BadRow, Reading, Table, refuse

FORMATS = (".parquet", ".csv", ".tsv", ".txt", ".json", ".jsonl")
SUFFIXES = FORMATS + tuple(f"{suffix}.gz" for suffix in FORMATS[1:])
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
TOO_MUCH = "a number of thousands of digits, or thousands of nested brackets"

Rows = Iterator[tuple[int, dict | str]]


def format_of(path: Path) -> str:
    """The suffix that names a file's format, without .gz. Raises InputError."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    if packed:
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    if suffix not in FORMATS or (packed and suffix == ".parquet"):
        raise InputError(
            f"{path.name} is none of the formats that are read: {', '.join(FORMATS)}, all but the "
            "first also with .gz"
        )
    return suffix


# ---- bytes and lines


def open_bytes(path: Path):
    """The file's bytes as a stream, unpacked. Raises InputError where it cannot be opened."""
    try:
        if path.suffix.lower() == ".gz":
            return gzip.open(path)
        return path.open("rb")
    except FileNotFoundError:
        raise InputError(f"There is no file {path}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror.lower()}") from None


def lines_of(path: Path, reading: Reading) -> Iterator[str]:
    """The lines of a text file, ends included. Raises InputError with the line that cannot be
    decoded."""
    encoding = codecs.lookup(reading.encoding).name
    if encoding == "utf-8":
        encoding = "utf-8-sig"  # skips a byte-order mark
    with open_bytes(path) as packed:
        try:
            _check_mark(path, packed.peek(2)[:2], encoding)
            with io.TextIOWrapper(packed, encoding=encoding, newline="") as text:
                for number, line in enumerate(text, 1):
                    if "\0" in line:
                        raise InputError(
                            f"{path.name}, line {number} has a NUL byte: the file is damaged or "
                            "not text; if it is UTF-16, set encoding: utf-16"
                        )
                    yield line
        except UnicodeError:
            raise _undecodable(path, reading.encoding) from None
        except (OSError, EOFError) as error:
            raise InputError(f"{path.name} cannot be unpacked: {error}") from None


def _check_mark(path: Path, start: bytes, encoding: str) -> None:
    """Refuse a file that begins as UTF-16 does, unless that is what it is said to be."""
    if start in UTF16_MARKS and "16" not in encoding:
        raise InputError(
            f"{path.name} is UTF-16 (its first bytes are 0x{start.hex()}); set encoding: utf-16"
        )


def _undecodable(path: Path, encoding: str) -> InputError:
    """The error that a file is not in the encoding said, with the first such line and byte."""
    place, byte = _first_undecodable(path, encoding)
    return InputError(
        f"{path.name}{place} is not {encoding.upper()}{byte}; say what it is, for example "
        "encoding: latin-1, or convert it: iconv -f latin1 -t utf-8"
    )


def _first_undecodable(path: Path, encoding: str) -> tuple[str, str]:
    """Line and byte as a message has them; empty where lines alone can be decoded."""
    with open_bytes(path) as packed:
        for number, line in enumerate(packed, 1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                return f", line {number}", f" (byte 0x{line[error.start]:02x})"
            except UnicodeError:
                return f", line {number}", ""
    return "", ""


# ---- rows


def stream(
    path: Path, reading: Reading = PLAIN, bad_rows: list[BadRow] | None = None
) -> Iterator[tuple[int, dict]]:
    """The rows of a file, one at a time: (line, values by column). Raises InputError with the
    line of a bad row, or adds it to `bad_rows`."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file in it")
    if bad_rows is None:
        bad_rows = []
    for line, row in _rows_of(path, reading):
        if isinstance(row, str):
            refuse(path, line, row, reading=reading, bad_rows=bad_rows)
        else:
            yield line, row


def _rows_of(path: Path, reading: Reading) -> Rows:
    suffix = format_of(path)
    if suffix == ".parquet":
        return _parquet_rows(path)
    if suffix == ".json":
        return _json_rows(path, reading)
    if suffix == ".jsonl":
        return _json_lines_rows(path, reading)
    return _delimited_rows(path, reading, reading.delimiter or ("," if suffix == ".csv" else "\t"))


def _parquet_rows(path: Path) -> Rows:
    import pyarrow.parquet

    open_bytes(path).close()  # says in our words where it cannot be opened
    try:
        batches = pyarrow.parquet.ParquetFile(path).iter_batches()
        rows = itertools.chain.from_iterable(batch.to_pylist() for batch in batches)
        yield from enumerate(rows, 1)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path.name} cannot be read as Parquet: {reason}") from None


def _json_rows(path: Path, reading: Reading) -> Rows:
    text = "".join(lines_of(path, reading))
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path.name}, line {error.lineno} is not JSON: {error.msg}") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path.name} is not JSON that can be read: it has {TOO_MUCH}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path.name} is no JSON list of objects with a name for each column")
    yield from enumerate(rows, 1)


def _json_lines_rows(path: Path, reading: Reading) -> Rows:
    for number, line in enumerate(lines_of(path, reading), 1):
        if line.strip():
            yield number, _json_object(line)


def _json_object(line: str) -> dict | str:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        return f" is not JSON: {error.msg}"
    except (ValueError, RecursionError):
        return f" is not JSON that can be read: it has {TOO_MUCH}"
    return row if isinstance(row, dict) else " is no JSON object with a name for each column"


def _delimited_rows(path: Path, reading: Reading, delimiter: str) -> Rows:
    records = _records(path, reading, delimiter)
    first = next(records, None)
    if first is None:
        raise InputError(f"{path.name} is empty")
    _, names = first
    if not names:
        raise InputError(f"{path.name} begins with an empty line")
    if not reading.header:
        names = [str(number) for number in range(1, len(names) + 1)]
        records = itertools.chain([first], records)
    for position, name in enumerate(names):
        if name in names[:position]:
            places = f"{names.index(name) + 1} and {position + 1}"
            raise InputError(f"{path.name} has the column {name!r} twice: {places}")
    named_by = "header" if reading.header else "first line"
    for line, fields in records:
        if len(fields) == len(names):
            yield line, dict(zip(names, fields, strict=True))
        elif fields:  # an empty line is no row
            yield line, f" has {len(fields)} fields; the {named_by} has {len(names)}"


def _records(path: Path, reading: Reading, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The fields of each row, with the line where it begins: a quoted field may have line
    breaks."""
    csv.field_size_limit(2**31 - 1)
    quoting = csv.QUOTE_MINIMAL if reading.quotes else csv.QUOTE_NONE
    lines = lines_of(path, reading)
    records = csv.reader(lines, delimiter=delimiter, strict=True, quoting=quoting)
    line = 1
    try:
        for fields in records:
            yield line, fields
            line = records.line_num + 1
    except csv.Error as error:
        raise _malformed(path, error, begun=line, reached=records.line_num) from None


def _malformed(path: Path, error: csv.Error, *, begun: int, reached: int) -> InputError:
    """The error that a row, begun in one line, cannot be read in another."""
    way_out = "if quotes are plain characters in this file, set quotes: false"
    if "unexpected end of data" in str(error):
        return InputError(
            f"{path.name}, line {begun}: a quote is opened in this row and never closed; {way_out}"
        )
    row = f" (of a row that begins in line {begun})" if reached > begun else ""
    return InputError(f"{path.name}, line {reached}{row} cannot be read: {error}; {way_out}")


def read_table(path: Path, reading: Reading = PLAIN) -> Table:
    """All rows of a file (see `stream`); raises InputError where it has none."""
    table = Table(path, columns={}, lines=[], reading=reading)
    for line, row in stream(path, reading, table.bad_rows):
        for name in row:
            if name not in table.columns:
                table.columns[name] = [None] * len(table.lines)  # rows before lack this column
        for name, values in table.columns.items():
            values.append(row.get(name))
        table.lines.append(line)
    if not table.lines:
        usable = " that can be used" if table.bad_rows else ""
        raise InputError(f"{path.name} has no rows{usable}")
    return table
