"""How many rows cannot be used, said where the first of them stops the reading."""

import contextlib
import dataclasses
import functools
import io
from collections.abc import Callable

from lib.errors import InputError
from lib.reading.options import BadRowError, Reading


def counts_bad_rows(read: Callable) -> Callable:
    """Let a function that reads a source, which it returns first, say how many bad rows there are
    when it stops at one: it is called once more to leave them out."""

    @functools.wraps(read)
    def read_or_count(*arguments, reading: Reading, **options):
        try:
            return read(*arguments, reading=reading, **options)
        except BadRowError as error:
            first = str(error)
        count = _count(read, *arguments, reading=reading, **options)
        if count is None:
            raise InputError(f"{first} (on_bad_rows: quarantine leaves such rows out)")
        leave = "leaves it" if count == 1 else "leaves them"
        rows = "the only bad row" if count == 1 else f"{count:,} bad rows in all"
        raise InputError(f"{first} ({rows}; on_bad_rows: quarantine {leave} out)")

    return read_or_count


def _count(read: Callable, *arguments, reading: Reading, **options) -> int | None:
    """How many rows cannot be used; None where something else stops the reading before its end."""
    lenient = reading.model_copy(update={"on_bad_rows": "quarantine"})
    unread = io.StringIO()
    try:
        with contextlib.redirect_stdout(unread), contextlib.redirect_stderr(unread):
            source, *_ = read(*arguments, reading=lenient, **options)
    except InputError:
        return None
    return len(source.bad_rows)


@dataclasses.dataclass
class BadRows:
    """Rows that cannot be used: how many there were, and what is wrong with the first."""

    count: int = 0
    first: str = ""

    def add(self, problem: str) -> None:
        self.first = self.first or problem
        self.count += 1
