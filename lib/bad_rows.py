"""How many rows cannot be used, said where the first of them stops the reading."""

import contextlib
import functools
import io
from collections.abc import Callable

from lib.errors import InputError
from lib.readers import PLAIN, BadRowError, Reading


def counts_bad_rows(load: Callable) -> Callable:
    """Let a function that loads a corpus say how many bad rows there are when it stops at one: it
    is called once more to leave them out."""

    @functools.wraps(load)
    def load_or_count(*arguments, reading: Reading = PLAIN, **options):
        try:
            return load(*arguments, reading=reading, **options)
        except BadRowError as error:
            first = str(error)
        count = _count(load, *arguments, reading=reading, **options)
        leave = "leaves it" if count == 1 else "leaves them"
        rows = "the only bad row" if count == 1 else f"{count:,} bad rows in all"
        raise InputError(f"{first} ({rows}; on_bad_rows: quarantine {leave} out)")

    return load_or_count


def _count(load: Callable, *arguments, reading: Reading, **options) -> int:
    """How many rows cannot be used."""
    lenient = reading.model_copy(update={"on_bad_rows": "quarantine"})
    lenient._left_out = []
    unread = io.StringIO()
    with (
        contextlib.redirect_stdout(unread),
        contextlib.redirect_stderr(unread),
        contextlib.suppress(InputError),
    ):
        load(*arguments, reading=lenient, **options)
    return len({(row.file, row.line) for row in lenient._left_out})
