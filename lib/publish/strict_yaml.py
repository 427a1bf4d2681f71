"""YAML, read strictly: the scalars of YAML 1.2's core schema, and nothing that hides something.

1e-5 is a number; yes, no, on, off and dates are words. A name that is there twice, aliases and tags
are refused, and so is what no setting needs: a large file, deep nesting, numbers without end.
"""

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from lib.errors import InputError, shown
from lib.reading.options import is_whole

CONSTANTS = (
    dict.fromkeys(("", "~", "null", "Null", "NULL"))
    | dict.fromkeys(("true", "True", "TRUE"), True)
    | dict.fromkeys(("false", "False", "FALSE"), False)
)
WHOLE_NUMBER = re.compile("[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
BASES = {"0o": 8, "0x": 16}
NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
NO_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
MOST_BYTES = 1_000_000  # of a file; reading so many takes some seconds
DEEPEST = 30  # values within values
MOST_DIGITS = 20  # of a whole number, as many as 64 bits need


class TooMuchError(MarkedYAMLError):
    """What no setting needs: endless numbers, deep nesting, halves of characters."""


def _refused(event: Event, problem: str, kind: type = MarkedYAMLError) -> MarkedYAMLError:
    return kind(problem=problem, problem_mark=event.start_mark)


def parse(text: str):
    """The value of a YAML text. Raises YAMLError."""
    events = YAML(typ="safe", pure=True).parse(text)
    values = []
    for event in events:
        if isinstance(event, DocumentStartEvent):
            if values:
                raise _refused(event, "another document starts; there is one in a file")
            values.append(_value(next(events), events, 0))
    return values[0] if values else None


def _value(event: Event, events: Iterator[Event], depth: int):
    """The value that starts with `event`, inside `depth` others; takes what belongs to it from
    `events`."""
    if depth > DEEPEST:
        raise _refused(event, f"values are nested deeper than {DEEPEST} times", TooMuchError)
    if isinstance(event, AliasEvent):
        elsewhere = f"*{event.anchor} stands for what is written elsewhere"
        raise _refused(event, f"{elsewhere}; write that out, or quote the word")
    if event.tag is not None:
        raise _refused(
            event, "a word that starts with ! is a tag, and there are none; quote the word"
        )
    if isinstance(event, ScalarEvent):
        return _scalar(event)
    if isinstance(event, SequenceStartEvent):
        return _list(events, depth)
    return _mapping(events, depth)


def _list(events: Iterator[Event], depth: int) -> list:
    values = []
    for event in events:
        if isinstance(event, SequenceEndEvent):
            break
        values.append(_value(event, events, depth + 1))
    return values


def _mapping(events: Iterator[Event], depth: int) -> dict:
    values: dict = {}
    lines: dict[str, int] = {}
    for event in events:
        if isinstance(event, MappingEndEvent):
            break
        name = _value(event, events, depth) if isinstance(event, ScalarEvent) else None
        if not isinstance(name, str):
            raise _refused(event, "a name is a word")
        if name in lines:
            raise _refused(event, f"{name} is there already, in line {lines[name]}")
        lines[name] = event.start_mark.line + 1
        values[name] = _value(next(events), events, depth + 1)
    return values


def _scalar(event: ScalarEvent):
    """A quoted scalar is text; a plain one what it looks like."""
    text = event.value
    is_plain = event.implicit[0]
    if is_plain and text in CONSTANTS:
        return CONSTANTS[text]
    if is_plain and WHOLE_NUMBER.fullmatch(text):
        if len(text) > MOST_DIGITS:
            raise _too_large(event)
        return int(text, BASES.get(text[:2], 10))
    if is_plain and NUMBER.fullmatch(text):
        if not math.isfinite(float(text)):
            raise _too_large(event)
        return float(text)
    if is_plain and NO_NUMBER.fullmatch(text):
        return float(text.replace(".", ""))
    if "\0" in text or not is_whole(text):
        problem = "\\0 or half a character (a surrogate) is written in a text"
        raise _refused(event, problem, TooMuchError)
    return text


def _too_large(event: ScalarEvent) -> MarkedYAMLError:
    problem = f"{event.value:.30}… is too large a number; quote it, if it is a word"
    return _refused(event, problem, TooMuchError)


def read_value(name: str, text: str):
    """A value from the command line, read as YAML; a sign such as | or ; stands for itself.
    Raises InputError."""
    if text and not any(char.isalnum() or char in "[]{}\"'" for char in text):
        return text
    try:
        return parse(text)
    except TooMuchError as error:
        raise InputError(f"{name}: {error.problem}") from None
    except YAMLError:
        raise InputError(f"{name}: {shown(text)} is not YAML; a list is written [1, 2]") from None


def read_yaml(path: Path) -> dict:
    """The mapping in a YAML file. Raises InputError with the line of what is wrong."""
    try:
        values = parse(_read(path))
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        if "\\t" in problem:
            problem = "a tab; indent with spaces"
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{path.name}{line} is not YAML: {' '.join(problem.split())}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path.name} has no `name: value` lines, but {type(values).__name__}")
    return values


def _read(path: Path) -> str:
    """The text of a settings file. Raises InputError."""
    if not os.path.lexists(path):
        raise InputError(f"There is no file {path}")
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no file that can be read"
        raise InputError(f"{path} is {kind}; name a YAML file")
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror.lower()}") from None
    if len(content) > MOST_BYTES:
        raise InputError(f"{path.name} is larger than {MOST_BYTES:,} bytes; settings are not")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path.name} is not UTF-8") from None
