"""One error for everything a user can mend: its message is one sentence with the place, the value and the way out."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A mistake in what was given (data, parameters, files); the command line prints it without a traceback."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """A proposal to end a message with: " Did you mean …?", or else " Choose from …."."""
    choices = [str(choice) for choice in choices]
    close = difflib.get_close_matches(str(name), choices, n=1, cutoff=0.6)
    return f" Did you mean {close[0]}?" if close else f" Choose from {', '.join(choices)}."


def lookup(table: dict, name: str, what: str):
    """`table[name]`; raises InputError that lists the choices."""
    if name not in table:
        raise InputError(f"Unknown {what} {name!r}.{nearest(name, table)}")
    return table[name]
