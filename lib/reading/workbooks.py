"""The rows of a sheet of an Excel workbook, with openpyxl where it is installed."""

import contextlib
import zipfile
from collections.abc import Iterator
from datetime import date, time
from pathlib import Path

from lib.errors import InputError, nearest
from lib.reading.columns import TITLE, distinct_names
from lib.reading.compressed import DAMAGED, HEAD, check_content, open_bytes, out_of_memory
from lib.reading.options import Reading, Rows

ERRORS = ("#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A")
LARGEST = 2**30  # bytes of an unpacked workbook


def workbook_rows(path: Path, reading: Reading) -> Rows:
    """(number in the sheet, values by column) of each row with a value. Raises InputError."""
    try:
        import openpyxl
    except ImportError:
        raise InputError(
            f"{path.name} is an Excel workbook, which openpyxl reads: pip install openpyxl, or "
            "save the sheet as CSV"
        ) from None
    _check_archive(path)
    try:
        with contextlib.closing(
            openpyxl.load_workbook(path, read_only=True, data_only=True)
        ) as workbook:
            sheet = _sheet(path, workbook, reading.sheet)
            yield from _rows_by_column(path, _filled_rows(sheet), reading)
    except InputError:
        raise
    except MemoryError:
        raise out_of_memory(path) from None
    except Exception as error:  # openpyxl passes on what damaged archives and XML raise
        raise InputError(
            f"{path.name} cannot be read as an Excel workbook: {error or type(error).__name__}; "
            "it is damaged, or locked by a password"
        ) from None


def _check_archive(path: Path) -> None:
    """Refuse what is no workbook by its first bytes, and one that would not fit in memory."""
    with open_bytes(path) as file:
        check_content(path, file.peek(HEAD)[:HEAD], wanted=b"PK\x03\x04")
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except DAMAGED as error:
        raise InputError(f"{path.name} is no whole Excel workbook: {error}") from None
    if size > LARGEST:
        raise InputError(f"{path.name} unpacks to {size:,} bytes; save the sheet as CSV")


def _sheet(path: Path, workbook, name: str | None):
    """The sheet with a name, or the only one that is not empty."""
    sheets = {sheet.title: sheet for sheet in workbook.worksheets}
    for sheet in sheets.values():
        sheet.reset_dimensions()  # what the file says of its size may be older than its rows
    if name is not None:
        if name not in sheets:
            raise InputError(f"{path.name} has no sheet {name!r}.{nearest(name, sheets)}")
        return sheets[name]
    filled = [sheet for sheet in sheets.values() if any(_filled_rows(sheet))]
    if len(filled) > 1:
        listed = ", ".join(repr(sheet.title) for sheet in filled)
        raise InputError(f"{path.name} has several sheets: {listed}; name one with sheet: …")
    if not filled:
        raise InputError(f"{path.name} is empty")
    return filled[0]


def _filled_rows(sheet) -> Iterator[tuple[int, tuple]]:
    """(number, cells up to the last that has a value) of each row that has one."""
    for number, cells in enumerate(sheet.iter_rows(values_only=True), 1):
        filled = [position for position, cell in enumerate(cells) if cell is not None]
        if filled:
            yield number, cells[: filled[-1] + 1]


def _rows_by_column(path: Path, rows: Iterator[tuple[int, tuple]], reading: Reading) -> Rows:
    first = next(rows, None)
    if first is None:
        raise InputError(f"{path.name} is empty")
    number, cells = first
    width = len(cells)
    names = [str(position) for position in range(1, width + 1)]
    first_row = "header" if reading.header else "first row"
    if reading.header:
        names = ["" if cell is None else str(cell) for cell in cells]
    else:
        yield number, dict(zip(names, map(_value, cells), strict=False))
    way_out = TITLE if width == 1 and reading.header else ""
    columns = distinct_names(names)
    for number, cells in rows:
        if len(cells) > width:
            problem = f" has {len(cells)} cells; the {first_row} has {width}"
            yield number, problem + way_out
        else:
            padded = [*map(_value, cells), *[None] * (width - len(cells))]
            yield number, dict(zip(columns, padded, strict=True))


def _value(cell):
    """A cell's value as other formats have it: dates as text, whole numbers without a fraction,
    nothing where Excel shows an error."""
    if cell in ERRORS:
        return None
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    return cell
