"""One error for everything a user can mend: its message is one sentence with the place, the
value and the way out."""

import difflib
from collections.abc import Iterable

from pydantic import ValidationError


class InputError(ValueError):
    """A mistake in what was given (data, parameters, files); the command line prints it without
    a traceback."""


class StoppedError(Exception):
    """Someone asked for a stop (Ctrl-C, SIGTERM), and nothing is lost; the message says how to
    go on."""


class LockedError(Exception):
    """Another process is at work on the same thing."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """A proposal to end a message with: " Did you mean …?", or else " Choose from …."."""
    names = [str(choice) for choice in choices]
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    if not close:
        return f" Choose from {', '.join(names)}."
    has_blanks = close[0] != close[0].strip()
    return f" Did you mean {repr(close[0]) if has_blanks else close[0]}?"


def lookup(table: dict, name: str, what: str):
    """`table[name]`; raises InputError that lists the choices."""
    if name not in table:
        raise InputError(f"Unknown {what} {name!r}.{nearest(name, table)}")
    return table[name]


def explain(error: ValidationError, names: Iterable[str]) -> InputError:
    """The first complaint of a pydantic model with fields `names`, as one sentence."""
    first = error.errors()[0]
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return InputError(f"Unknown parameter {name!r}.{nearest(name, names)}")
    if first["type"] == "missing":
        return InputError(f"{name} is missing")
    message = first["msg"].removeprefix("Value error, ")
    return InputError(f"{name} = {first['input']!r}: {message[0].lower()}{message[1:]}")
