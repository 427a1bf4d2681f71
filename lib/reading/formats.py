"""The rows of a file, by its format, and the tables that they make.

Each format's function gives (line, row): the values by column, or, where the line is no row, the
reason as text, which `refuse` puts behind the place.
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from lib.errors import InputError
from lib.reading.arrow import arrow_rows, class_names_in, is_saved
from lib.reading.compressed import PACKINGS, check_is_file, check_whole, members_of, packing_of
from lib.reading.delimited import delimited_rows
from lib.reading.json_rows import json_lines_rows, json_rows
from lib.reading.options import PLAIN, WORKBOOK, BadRow, Reading, Rows, Table, refuse
from lib.reading.vocabulary import listed
from lib.reading.workbooks import workbook_rows

DELIMITED = (".csv", ".tsv", ".txt")
TEXT_FORMATS = (*DELIMITED, ".json", ".jsonl")
FORMATS = (".parquet", *TEXT_FORMATS, WORKBOOK)
SUFFIXES = FORMATS + tuple(f"{suffix}{packing}" for packing in PACKINGS for suffix in TEXT_FORMATS)


def format_of(path: Path) -> str:
    """The suffix that names a file's format, without that of its packing; of a ZIP archive that
    has none, its only member's. Raises InputError."""
    packing = packing_of(path)
    name = path.stem if packing else path.name
    suffix = Path(name).suffix.lower()
    if packing == ".zip" and suffix not in FORMATS and path.is_file():
        members = members_of(path)
        suffix = Path(members[0]).suffix.lower() if len(members) == 1 else suffix
    if suffix in (TEXT_FORMATS if packing else FORMATS):
        return suffix
    if suffix == ".xls":
        raise InputError(f"{path.name} is an old Excel workbook; save it as .xlsx or as CSV")
    raise InputError(
        f"{path.name} is none of the formats that are read: {', '.join(FORMATS)}; those of text "
        f"also with {', '.join(PACKINGS)}; call a table of text by its suffix, and save another as "
        "CSV or Parquet"
    )


def settings_used(suffix: str | None, reading: Reading) -> list[str]:
    """What of a reading matters to files of a format, in words."""
    settings = []
    if suffix in TEXT_FORMATS:
        settings.append(reading.encoding)
    if suffix in DELIMITED:
        delimiter = reading.delimiter
        settings.append(f"delimiter {delimiter!r}" if delimiter else "the usual delimiter")
        settings.append("quotes enclose fields" if reading.quotes else "quotes are characters")
    if suffix == WORKBOOK and reading.sheet:
        settings.append(f"sheet {reading.sheet!r}")
    if suffix in (*DELIMITED, WORKBOOK):
        settings.append("with a header" if reading.header else "without a header")
    return settings


def stream(
    path: Path, reading: Reading = PLAIN, bad_rows: list[BadRow] | None = None
) -> Iterator[tuple[int, dict]]:
    """The rows of a file, or of a saved dataset, one at a time: (line, values by column). Raises
    InputError with the line of a bad row, or adds it to `bad_rows`."""
    if not is_saved(path):
        check_is_file(path)
    if bad_rows is None:
        bad_rows = []
    try:
        for line, row in _rows_of(path, reading):
            if isinstance(row, str):
                refuse(path, line, row, reading=reading, bad_rows=bad_rows)
            else:
                yield line, row
    except InputError:
        check_whole(path)  # which is the error to tell, if there is one
        raise


def _rows_of(path: Path, reading: Reading) -> Rows:
    if is_saved(path):
        return arrow_rows(path)
    suffix = format_of(path)
    if suffix == ".parquet":
        return arrow_rows(path)
    if suffix == WORKBOOK:
        return workbook_rows(path, reading)
    if suffix == ".json":
        return json_rows(path, reading)
    if suffix == ".jsonl":
        return json_lines_rows(path, reading)
    return delimited_rows(path, reading, "," if suffix == ".csv" else "\t")


def read_table(path: Path, reading: Reading = PLAIN) -> Table:
    """All rows of a file (see `stream`); raises InputError where it has none."""
    return read_split([path], reading)


def read_split(files: Sequence[Path], reading: Reading) -> Table:
    """The rows of the files that a split is stored in, in their order. Raises InputError, also
    where a file has none.

    Of several files, lines are counted on from one to the next.
    """
    path = files[0]
    if len(files) > 1:
        name = re.sub(r"-\d+-of-", "-*-of-", path.name)
        if name == path.name:
            name = f"{path.parent.name}-*{path.suffix}"
        path = path.with_name(name)
    table = Table(path, columns={}, lines=[], reading=reading)
    for file in files:
        _add_rows(table, file)
        if is_saved(file) or file.suffix.lower() == ".parquet":
            _add_class_names(table, file)
    return table


def _add_rows(table: Table, path: Path) -> None:
    """Append the rows of a file to a table."""
    rows_before = len(table.lines)
    last_line = max((*table.lines, *(row.line for row in table.bad_rows)), default=0)
    bad_rows: list[BadRow] = []
    for line, row in stream(path, table.reading, bad_rows):
        for name in row:
            if name not in table.columns:
                table.columns[name] = [None] * len(table.lines)  # rows before lack this column
        for name, values in table.columns.items():
            values.append(row.get(name))
        table.lines.append(last_line + line)
    if len(table.lines) == rows_before:
        usable = " that can be used" if bad_rows else ""
        raise InputError(f"{path.name} has no rows{usable}")
    table.bad_rows += [dataclasses.replace(row, line=last_line + row.line) for row in bad_rows]


def _add_class_names(table: Table, path: Path) -> None:
    """Take over a file's names for its classes; refuse others than those of files before it."""
    for column, names in class_names_in(path).items():
        before = table.class_names.setdefault(column, names)
        if names != before:
            raise InputError(
                f"{path.name}: the classes of column {column!r} are {listed(names)}, in the "
                f"files before it {listed(before)}; save all with the same list of classes"
            )
