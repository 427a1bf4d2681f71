"""Errors that a user can mend, and what messages say and hide.

A message is one sentence with the place, the value and the way out, and has no password in it.
"""

import difflib
import os
import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

SHOWN = 120  # characters of a value that a message quotes

# passwords and tokens, and what a message has in their place
HIDDEN = "…"
IN_A_URL = re.compile(r"(\w[\w+.-]*://)[^\s'\"<>]*@")  # user, password, to the last @
SECRET = (
    r"(?:passw(?:or)?d|passphrase|pwd|secret|credential|token(?!s|iz)"
    r"|(?:api|access|private)[_-]?key)"
)
VALUE = r"""(?:"[^"]*"|'[^']*'|[^\s,;&)'"]+)"""
NAMED = re.compile(rf"(?i)(\b[\w-]*{SECRET}[\w-]*['\"]?\s*[:=]\s*){VALUE}")
BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}")
SECRET_NAME = re.compile(rf"(?i){SECRET}|_key$")
FOLDERS = ("PWD", "OLDPWD")  # a shell's variables that only sound like passwords
SHORTEST = 4  # characters of a secret of the environment; a shorter one may be part of any word


class InputError(ValueError):
    """A mistake in what was given (data, parameters, files); the command line prints it without
    a traceback."""


class StoppedError(Exception):
    """Someone asked for a stop (Ctrl-C, SIGTERM), and nothing is lost; the message says how to
    go on."""


class LockedError(Exception):
    """Another process is at work on the same thing."""


def system_error(error: BaseException | None) -> OSError | None:
    """The operating system's error that an exception is or was raised from; None where it is none,
    or only tells that nobody reads what is printed any more.

    Libraries that are written in Rust (safetensors, tokenizers) tell it in their message alone.
    """
    while error is not None and not isinstance(error, InputError | StoppedError):
        if isinstance(error, BrokenPipeError):
            return None
        if isinstance(error, OSError):
            return error
        match = re.search(r"\(os error (\d+)\)", str(error))
        if match:
            number = int(match[1])
            return OSError(number, os.strerror(number))
        error = error.__cause__
    return None


def reason_of(error: OSError) -> str:
    """Why the operating system refused something: "no space left on device"."""
    if error.errno:
        return os.strerror(error.errno).lower()
    return str(error).lower()


def first_line(error: BaseException) -> str:
    """The first line of an error's message; its kind, where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def nearest(name: str, choices: Iterable[str]) -> str:
    """A proposal to end a message with: " Did you mean …?", or else " Choose from …."."""
    names = [str(choice) for choice in choices]
    close = difflib.get_close_matches(str(name)[:SHOWN], names, n=1, cutoff=0.6)
    if not close:
        return f" Choose from {', '.join(names)}."
    has_blanks = close[0] != close[0].strip()
    return f" Did you mean {repr(close[0]) if has_blanks else close[0]}?"


def lookup(table: dict, name: str, what: str):
    """`table[name]`; raises InputError that lists the choices."""
    if not isinstance(name, str) or name not in table:
        raise InputError(f"Unknown {what} {shown(name)}.{nearest(name, table)}")
    return table[name]


def shown(value) -> str:
    """A value as a message quotes it: escaped, and cut where it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


class Strict(BaseModel):
    """Frozen settings, none of them unknown. Raises InputError, one sentence of what is wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, /, **values):
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise explain(error, type(self).model_fields) from None


def explain(error: ValidationError, names: Iterable[str]) -> InputError:
    """The first complaint of a pydantic model with fields `names`, as one sentence."""
    first = error.errors()[0]
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return InputError(f"Unknown parameter {shown(name)}.{nearest(name, names)}")
    if first["type"] == "missing":
        return InputError(f"{name} is missing")
    message = first["msg"].removeprefix("Value error, ")
    return InputError(f"{name} = {shown(first['input'])}: {message[0].lower()}{message[1:]}")


def without_passwords(text: str) -> str:
    """A message without the passwords and tokens in it: of URLs, of `password=…`, and those that
    the environment gives."""
    for secret in _of_environment():
        text = text.replace(secret, HIDDEN)
    text = IN_A_URL.sub(rf"\1{HIDDEN}@", text)
    text = NAMED.sub(rf"\1{HIDDEN}", text)
    return BEARER.sub(rf"\1 {HIDDEN}", text)


def _of_environment() -> list[str]:
    """The secrets that the environment gives, the longest first."""
    secrets = set()
    for name, value in os.environ.items():
        if SECRET_NAME.search(name) and name not in FOLDERS:
            secrets.add(value)
        if "://" in value and "@" in value:
            secrets |= _of_url(value)
    return sorted((each for each in secrets if len(each) >= SHORTEST), key=len, reverse=True)


def _of_url(url: str) -> set[str]:
    try:
        password = urlsplit(url).password or ""
    except ValueError:  # no URL
        return set()
    return {password, unquote(password)}
