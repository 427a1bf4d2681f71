"""Whether quotes in a table join lines that are rows of their own."""

import re
import sys
from collections import deque
from pathlib import Path

from lib.errors import InputError

RECENT = 50  # rows that others are compared with
ENOUGH = 5  # of them
MANY_LINES = 6  # of a row that nothing can be compared with
LONG_ROW = 3  # lines of a row that is named, where so few others have several lines
FEW_ROWS = 3
MANY_TIMES = 10  # or where the others have so many times less


class Joins:
    """Looks whether a row of several lines is as many rows, joined by a pair of stray quotes."""

    def __init__(self, path: Path, delimiter: str):
        self.path = path
        self.delimiter = delimiter
        self.recent: deque[list[str]] = deque(maxlen=RECENT)  # rows of one line
        self.count = 0  # rows of several lines
        self.longest = (1, 0, 0)  # lines, first, last
        self.second_longest = (1, 0, 0)
        self.doubtful: list[tuple[int, int, list[str]]] = []  # first, last, fields

    def check(self, first: int, last: int, fields: list[str]) -> None:
        """Raise InputError where a row's lines look like rows; where there are too few others to
        tell, wait until `tell`."""
        if self._look_like_rows(fields):
            raise self._joined(first, last)
        if len(self.recent) < ENOUGH and len(self.doubtful) < FEW_ROWS:
            self.doubtful.append((first, last, fields))
        self.count += 1
        lengths = [self.longest, self.second_longest, (last - first + 1, first, last)]
        self.longest, self.second_longest = sorted(lengths, reverse=True)[:2]

    def _joined(self, first: int, last: int) -> InputError:
        return InputError(
            f"{self.path.name}, lines {first} to {last}: a pair of quotes makes them one row, but "
            "each looks like a row of its own; if quotes are plain characters in this file, set "
            "quotes: false; if not, save it as Parquet"
        )

    def _look_like_rows(self, fields: list[str]) -> bool:
        text = self.delimiter.join(fields)
        lines = [line.split(self.delimiter) for line in re.split(r"\r\n|\r|\n", text)]
        if len(fields) == 1 or any(len(line) != len(fields) for line in lines):
            return False
        if self.delimiter == "\t":
            return True
        recent = [row for row in self.recent if len(row) == len(fields)]
        if len(recent) < ENOUGH:
            return len(lines) >= MANY_LINES
        return any(
            _are_alike([line[column] for line in lines], [row[column] for row in recent])
            for column in range(len(fields))
        )

    def tell(self) -> None:
        """Look at the doubtful rows again, and name a row of many more lines than the others."""
        for first, last, fields in self.doubtful:
            if self._look_like_rows(fields):
                raise self._joined(first, last)
        lines, first, last = self.longest
        is_strange = self.count <= FEW_ROWS or lines >= MANY_TIMES * self.second_longest[0]
        if lines >= LONG_ROW and is_strange and len(self.recent) == RECENT:
            print(
                f"{self.path.name}: lines {first} to {last} are read as one row, which is in "
                "quotes; if quotes are plain characters in this file, set quotes: false",
                file=sys.stderr,
                flush=True,
            )


def _are_alike(values: list[str], known: list[str]) -> bool:
    """Whether values are of the few that a column has, or numbers as all of its own are."""
    classes = set(known)
    if len(classes) <= len(known) / 2:
        return sum(value in classes for value in values) >= 0.9 * len(values)
    return all(map(_is_number, known)) and all(map(_is_number, values))


def _is_number(value: str) -> bool:
    return re.fullmatch(r"[+-]?\d+([.,]\d+)?", value) is not None
