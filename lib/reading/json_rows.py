"""The rows of JSON in the forms that tables are saved in: an object a line, a list of objects, a
list of them under one name, and columns."""

import itertools
import json
import re
from collections.abc import Iterable
from pathlib import Path

from lib.errors import InputError
from lib.reading.columns import distinct_names
from lib.reading.lines import lines_of
from lib.reading.options import Reading, Rows

Line = tuple[int, str]  # its number, from 1

LONGEST_FILE = 2**28  # characters of a file that is read as a whole
WHITE_SPACE = re.compile(r"\s*")
TOO_MUCH = "a number of thousands of digits, or thousands of nested brackets"
NAMED = "{text: .[0], label: .[1]}"  # how jq names what is in a list
NO_OBJECT = " is no JSON object with a name for each column"


def json_rows(path: Path, reading: Reading) -> Rows:
    """(position from 1, or line, and values by column) of each row, or (position, reason)."""
    beginning, filled = _filled_lines(path, lines_of(path, reading, longest=LONGEST_FILE))
    if len(beginning) > 1 and isinstance(_parse(beginning[0][1]), dict):
        return _rows_of_lines(filled)  # a list over many lines begins with a bracket
    return _rows_of_text(path, filled)


def json_lines_rows(path: Path, reading: Reading) -> Rows:
    """(line, values by column) of each line, or (line, reason)."""
    beginning, filled = _filled_lines(path, lines_of(path, reading))
    if beginning[0][1].lstrip().startswith("["):
        return json_rows(path, reading)
    return _rows_of_lines(filled)


def _filled_lines(path: Path, lines: Iterable[str]) -> tuple[list[Line], Iterable[Line]]:
    """The first two lines that are not blank, and all. Raises InputError if there is none."""
    filled = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    beginning = list(itertools.islice(filled, 2))
    if not beginning:
        raise InputError(f"{path.name} is empty")
    return beginning, itertools.chain(beginning, filled)


def _rows_of_lines(lines: Iterable[Line]) -> Rows:
    for number, line in lines:
        row = _parse(line)
        yield number, row if isinstance(row, dict | str) else NO_OBJECT


def _parse(line: str):
    """What a line says in JSON; the reason as text where it says nothing, or is a text."""
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        return f" is not JSON: {error.msg}"
    except (ValueError, RecursionError):
        return f" is not JSON that can be read: it has {TOO_MUCH}"
    return NO_OBJECT if isinstance(value, str) else value


# ---- a file as a whole


def _rows_of_text(path: Path, lines: Iterable[Line]) -> Rows:
    rows = _records(path, _values_in(path, lines))
    for position, row in enumerate(rows, 1):
        yield position, row if isinstance(row, dict) else NO_OBJECT


def _values_in(path: Path, lines: Iterable[Line]) -> list:
    """The JSON values of a file, one after the other. Raises InputError with the line."""
    numbers = []
    texts = []
    size = 0
    for number, line in lines:
        numbers.append(number)
        texts.append(line)
        size += len(line)
        if size > LONGEST_FILE:
            raise InputError(
                f"{path.name} has more than {LONGEST_FILE:,} characters; save it as JSON lines, an "
                "object a line, which are read one by one: jq -c '.[]'"
            )
    text = "".join(texts)
    decoder = json.JSONDecoder()
    values = []
    end = 0
    try:
        while (start := WHITE_SPACE.match(text, end).end()) < len(text):
            value, end = decoder.raw_decode(text, start)
            values.append(value)
    except json.JSONDecodeError as error:
        line = numbers[min(error.lineno, len(numbers)) - 1]
        raise InputError(f"{path.name}, line {line} is not JSON: {error.msg}") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path.name} is not JSON that can be read: it has {TOO_MUCH}") from None
    return values


def _records(path: Path, values: list) -> list:
    """The rows that a file's values are. Raises InputError where they are none."""
    value = values[0] if len(values) == 1 else values
    if isinstance(value, dict):
        return _records_of_object(path, value)
    if value == [] or (isinstance(value, list) and any(isinstance(row, dict) for row in value)):
        return value
    raise InputError(
        f"{path.name} is no JSON list of objects with a name for each column; of a list of lists, "
        f"make one: jq -c '.[] | {NAMED}' {path.name} > one.jsonl"
    )


def _records_of_object(path: Path, value: dict) -> list:
    """Rows from one object: lists of records under a name, columns, or rows under names."""
    lists = {name: cell for name, cell in value.items() if _is_list_of_objects(cell)}
    if len(lists) == 1:
        return next(iter(lists.values()))
    if len(lists) > 1:
        longest = max(lists, key=lambda name: len(lists[name]))
        raise InputError(
            f"{path.name} has several lists of rows: {', '.join(map(repr, lists))}; save each to a "
            f"file of its own: jq '.[\"{longest}\"]' {path.name} > one.json"
        )
    if _is_split(value):
        columns = distinct_names(["" if name is None else str(name) for name in value["columns"]])
        return [dict(zip(columns, row, strict=True)) for row in value["data"]]
    cells = list(value.values())
    if cells and all(isinstance(cell, list) for cell in cells):
        return _records_of_columns(path, value)
    if cells and all(isinstance(cell, dict) for cell in cells):
        return _records_of_objects(path, value)
    return [value]


def _is_split(value: dict) -> bool:
    """Whether an object has the columns' names and, apart, rows with a value for each."""
    columns, rows = value.get("columns"), value.get("data")
    if not isinstance(columns, list) or not isinstance(rows, list):
        return False
    return all(isinstance(row, list) and len(row) == len(columns) for row in rows)


def _is_list_of_objects(value) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _records_of_columns(path: Path, columns: dict[str, list]) -> list[dict]:
    lengths = {name: len(cells) for name, cells in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name!r} {length}" for name, length in lengths.items())
        raise InputError(
            f"{path.name} has columns of different lengths: {listed}; if each is a list of rows, "
            f"make a table of one: jq -c '.[\"{next(iter(columns))}\"][] | {NAMED}' {path.name} > "
            "one.jsonl"
        )
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _records_of_objects(path: Path, value: dict[str, dict]) -> list[dict]:
    """Rows from columns whose cells are under the rows' numbers, or from rows under numbers."""
    inner = list(dict.fromkeys(key for cells in value.values() for key in cells))
    outer_are_rows = all(key.isdecimal() for key in value)
    inner_are_rows = all(key.isdecimal() for key in inner)
    if inner_are_rows == outer_are_rows:
        raise InputError(
            f"{path.name} is one JSON object of objects, which may be rows or columns; save it as "
            "JSON lines, an object a line"
        )
    if outer_are_rows:
        return list(value.values())
    return [{name: cells.get(key) for name, cells in value.items()} for key in inner]
