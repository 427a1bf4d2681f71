"""The rows of text with delimiters: which delimiter a file has, and what cannot be read."""

import csv
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from lib.errors import InputError
from lib.reading.columns import (
    DELIMITERS,
    TITLE,
    delimiter_hint,
    distinct_names,
    shown_delimiter,
)
from lib.reading.joined_lines import Joins
from lib.reading.lines import lines_of
from lib.reading.options import LONGEST_TEXT, Reading, Rows

SAMPLE_LINES, SAMPLE_SIZE = 200, 2**20  # lines, or characters, that tell a delimiter
FIRST_LINE = re.compile(r'"?sep=([^"\\\w])"?\s*', re.IGNORECASE)  # as Excel says its delimiter

PARTED_BY_SPACES = re.compile(r'"[^"]*"( "[^"]*")+\s*')

FASTTEXT = re.compile(r"__label__[^\s,;|]+\s")
LABELS = re.compile(r"(__label__\S*\s*)*")
UNCLOSED = {  # by what the csv module says
    "unexpected end of data": "never closed",
    "field larger than": f"not closed in {LONGEST_TEXT:,} characters",
}
ESCAPE = "set escape: backslash"

csv.field_size_limit(LONGEST_TEXT)


def delimited_rows(path: Path, reading: Reading, usual: str) -> Rows:
    """(line, values by column) of each row, or (line, reason) where it cannot be one. `usual`: the
    delimiter, unless another is said or plainly meant."""
    if reading.header and FASTTEXT.match(next(lines_of(path, reading), "")):
        yield from _fasttext_rows(path, reading)
        return
    skipped, delimiter = _find_delimiter(path, reading, usual)
    records = _records(path, reading, delimiter, skipped)
    first = next(records, None)
    if first is None:
        raise InputError(f"{path.name} is empty")
    _, _, names = first
    if not names:
        raise InputError(f"{path.name} begins with an empty line")
    if not reading.header:
        names = [str(number) for number in range(1, len(names) + 1)]
        records = itertools.chain([first], records)
    else:
        start = list(itertools.islice(records, 2))
        records = itertools.chain(start, records)
        if _are_numbered(names, [fields for _, _, fields in start]):
            names = ["", *names]
    columns = distinct_names(names)
    joins = Joins(path, delimiter)
    remember = joins.recent.append
    width = len(names)
    for line, last, fields in records:
        if last == line:
            remember(fields)
        else:
            joins.check(line, last, fields)
        if len(fields) != width:
            if not fields:  # an empty line is no row
                continue
            fields = _fit(fields, names) or fields
        if len(fields) == width:
            yield line, dict(zip(columns, fields, strict=True))
        else:
            yield line, _ragged(fields, names, reading, delimiter)
    joins.tell()


def _fasttext_rows(path: Path, reading: Reading) -> Rows:
    """Rows of fastText's form: a mark and a label, perhaps several such, and the text."""
    for number, line in enumerate(lines_of(path, reading), 1):
        labels = LABELS.match(line)[0]
        names = labels.replace("__label__", "").split()
        label = names[0] if len(names) == 1 else names
        yield number, {"label": label, "text": line[len(labels) :].rstrip("\r\n")}


def _fit(fields: list[str], names: list[str]) -> list[str] | None:
    """A row's fields, without or with such as are empty and have no name; else None."""
    extra = fields[len(names) :]
    missing = names[len(fields) :]
    if any(extra) or any(missing):
        return None
    return fields[: len(names)] + [""] * len(missing)


def _are_numbered(names: list[str], rows: list[list[str]]) -> bool:
    """Whether rows begin with their numbers, without a name, as R's write.table has them."""
    return bool(rows) and all(
        len(fields) == len(names) + 1 and fields[0] == str(number)
        for number, fields in enumerate(rows, 1)
    )


def _ragged(fields: list[str], names: list[str], reading: Reading, delimiter: str) -> str:
    """Why a row with another number of fields than the header cannot be read."""
    named_by = "header" if reading.header else "first line"
    reason = f" has {len(fields)} fields; the {named_by} has {len(names)}"
    if reading.escape is None and any(field.endswith("\\") for field in fields[:-1]):
        return f"{reason}; if a backslash makes the next character a plain one, {ESCAPE}"
    if len(names) > 1:
        return reason
    hint = delimiter_hint(names[0], used=delimiter)
    if hint:
        return f"{reason}: {hint}"
    return reason + TITLE if reading.header else reason


# ---- records


def _records(
    path: Path, reading: Reading, delimiter: str, skipped: int
) -> Iterator[tuple[int, int, list[str]]]:
    """The fields of each row, with its first and its last line: a quoted field may have line
    breaks. So many lines at the beginning are `skipped`."""
    lines = itertools.islice(lines_of(path, reading), skipped, None)
    records = _reader(lines, reading, delimiter, strict=True)
    line = skipped + 1
    try:
        for fields in records:
            last = records.line_num + skipped
            yield line, last, fields
            line = last + 1
    except csv.Error as error:
        reached = records.line_num + skipped
        raise _malformed(path, error, reading, begun=line, reached=reached) from None


def _reader(lines: Iterator[str], reading: Reading, delimiter: str, *, strict: bool):
    quoting = csv.QUOTE_MINIMAL if reading.quotes else csv.QUOTE_NONE
    return csv.reader(
        lines, delimiter=delimiter, escapechar=reading.escape, quoting=quoting, strict=strict
    )


def _malformed(
    path: Path, error: csv.Error, reading: Reading, *, begun: int, reached: int
) -> InputError:
    """The error that a row, begun in one line, cannot be read in another."""
    way_out = "if quotes are plain characters in this file, set quotes: false"
    row = list(itertools.islice(lines_of(path, reading), begun - 1, reached))
    if reading.escape is None and any('\\"' in line for line in row):
        way_out = f"quotes in this row have a backslash before them: {ESCAPE}"
    elif PARTED_BY_SPACES.fullmatch(row[0]):
        way_out = "if a space parts the columns, set delimiter: ' '"
    for words, closed in UNCLOSED.items():
        if words in str(error):
            place = f"{path.name}, line {begun}"
            return InputError(f"{place}: a quote is opened in this row and {closed}; {way_out}")
    row = f" (of a row that begins in line {begun})" if reached > begun else ""
    return InputError(f"{path.name}, line {reached}{row} cannot be read: {error}; {way_out}")


# ---- the delimiter


def _find_delimiter(path: Path, reading: Reading, usual: str) -> tuple[int, str]:
    """How many lines come before the table, and its delimiter: the one that is said, or the usual,
    unless most rows do not fit it and one other fits them. Raises InputError where several do."""
    sample = _sample(path, reading)
    start = sample[0] if sample else ""
    if start.lstrip().startswith(('{"', "[{")):
        raise InputError(f"{path.name} is JSON, whatever its name says; name it .json")
    first_line = FIRST_LINE.fullmatch(start)
    skipped = int(first_line is not None)
    if reading.delimiter or first_line:
        return skipped, reading.delimiter or first_line[1]
    usual_share = _fit_share(sample, reading, usual)
    is_named_so = usual == "\t" and usual_share == 1  # .tsv
    if is_named_so or (reading.header and usual_share >= 0.5):
        return 0, usual
    others = [other for other in DELIMITERS if other not in (usual, reading.label_separator)]
    shares = {other: _fit_share(sample, reading, other) for other in others}
    fitting = [other for other in others if shares[other] > 0.9 and shares[other] >= usual_share]
    if fitting and usual_share == 1:
        fitting.append(usual)
    if len(fitting) > 1:
        several = " or ".join(map(shown_delimiter, fitting))
        ways = " or ".join(f"delimiter: {shown_delimiter(other)}" for other in fitting)
        raise InputError(f"{path.name}: its columns may be parted by {several}; set {ways}")
    return 0, fitting[0] if fitting else usual


def _sample(path: Path, reading: Reading) -> list[str]:
    """The first lines of a file."""
    lines = []
    size = 0
    for line in lines_of(path, reading):
        lines.append(line)
        size += len(line)
        if len(lines) == SAMPLE_LINES or size > SAMPLE_SIZE:
            break
    return lines


def _fit_share(sample: list[str], reading: Reading, delimiter: str) -> float:
    """The share of rows with as many fields as the first; 0 where these are one."""
    try:
        rows = [row for row in _reader(iter(sample), reading, delimiter, strict=False) if row]
    except csv.Error:
        return 0.0
    if not rows or len(rows[0]) < 2:
        return 0.0
    if len(rows) > 2:
        rows.pop()  # the sample may end within it
    names, *others = rows
    if reading.header and _are_numbered(names, others[:2]):
        return sum(len(row) == len(names) + 1 for row in others) / len(others)
    return sum(len(row) == len(names) for row in rows) / len(rows)
