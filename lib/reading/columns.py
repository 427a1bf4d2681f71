"""Which column is meant by a name or a number, and names for columns that share one."""

import unicodedata
from collections.abc import Iterable
from typing import Annotated

from pydantic import BeforeValidator

LONG_NAME = 40  # characters that hardly any column's name has
DELIMITERS = (";", "\t", "|", ",")  # the comma last: names and texts have some, too
TITLE = "; if it is a title, remove what stands above the names of the columns"


def as_text(value):
    """A column's number as text, several with commas between them; anything else as it is."""
    items = value if isinstance(value, list | tuple) else [value]
    if items and all(isinstance(item, str) or type(item) is int for item in items):
        return ",".join(map(str, items))
    return value


ColumnText = Annotated[str, BeforeValidator(as_text)]  # a column or several, as settings name them


def column_at(name: str, columns: Iterable[str]) -> str | None:
    """The column that is meant by a name, by a name but for white space around it, or by a number
    from 1; None where there is none."""
    if name in columns:
        return name
    names = list(columns)
    alike = [other for other in names if _as_seen(other) == _as_seen(name)]
    if len(alike) == 1:
        return alike[0]
    if name.isdecimal() and 1 <= int(name) <= len(names):
        return names[int(name) - 1]
    return None


def _as_seen(name: str) -> str:
    """A name without what is not seen: white space, byte-order marks, how accents are written."""
    return unicodedata.normalize("NFC", name.strip("\ufeff").strip())


def columns_at(name: str, columns: Iterable[str]) -> list[str]:
    """The column that is meant, or several with commas between them; none if one is missing."""
    names = list(columns)
    single_column = column_at(name, names)
    if single_column is not None:
        return [single_column]
    pieces = [column_at(piece.strip(), names) for piece in name.split(",")]
    return [] if None in pieces else pieces


def missing_column(name: str, columns: Iterable[str]) -> str:
    """Of several columns the first that is missing; all of them, as given, if all are."""
    names = list(columns)
    pieces = [piece.strip() for piece in name.split(",")]
    missing = [piece for piece in pieces if column_at(piece, names) is None]
    return name if len(missing) == len(pieces) else missing[0]


def joined(cells: Iterable):
    """The texts of several columns in one row, and of lists in them, as one, each on a line of its
    own; None where all are blank, and what is no text as it is."""
    texts = []
    for cell in cells:
        if isinstance(cell, list) and all(isinstance(text, str) for text in cell):
            cell = "\n".join(cell)
        if cell is None or (isinstance(cell, str) and not cell.strip()):
            continue
        if not isinstance(cell, str):
            return cell
        texts.append(cell)
    return "\n".join(texts) if texts else None


def cell_text(cell) -> str:
    """A cell as text, without white space around it; empty where nothing is there, which a table
    may say by a number that is none."""
    return "" if cell is None or cell != cell else str(cell).strip()


def distinct_names(names: list[str]) -> list[str]:
    """Names of columns, each once: one that is there several times gets its number."""
    return [
        numbered_name(name, number) if names.count(name) > 1 else name
        for number, name in enumerate(names, 1)
    ]


def numbered_name(name: str, number: int) -> str:
    return f"{name} (column {number})".lstrip()


def shorten(name: str) -> str:
    """A name as a message shows it."""
    return repr(name if len(name) <= LONG_NAME else f"{name[:LONG_NAME]}…")


# ---- delimiters


def shown_delimiter(delimiter: str) -> str:
    """A delimiter as a message names it and a setting takes it."""
    return "'tab'" if delimiter == "\t" else repr(delimiter)


def delimiter_hint(name: str, way: str = "set delimiter:", *, used: str = "") -> str:
    """What to say of a table whose only column has this name, where that holds a delimiter other
    than the one `used`; else empty. `way`: to say which the delimiter is."""
    for delimiter in DELIMITERS:
        if delimiter in name and delimiter != used:
            shown = shown_delimiter(delimiter)
            asks = f"Is the delimiter {shown}? Then {way} {shown}"
            return f"its only column is {shorten(name)}. {asks}"
    return ""
