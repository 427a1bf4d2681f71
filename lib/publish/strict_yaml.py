"""YAML, read strictly: the scalars of YAML 1.2's core schema, and nothing that hides something.

1e-5 is a number; yes, no, on, off and dates are words. A name that is there twice, aliases and tags
are refused.
"""

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

from lib.errors import InputError

CONSTANTS = (
    dict.fromkeys(("", "~", "null", "Null", "NULL"))
    | dict.fromkeys(("true", "True", "TRUE"), True)
    | dict.fromkeys(("false", "False", "FALSE"), False)
)
WHOLE_NUMBER = re.compile("[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
BASES = {"0o": 8, "0x": 16}
NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
NO_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def parse(text: str):
    """The value of a YAML text. Raises YAMLError, or ValueError and RecursionError where it is
    too much."""
    events = YAML(typ="safe", pure=True).parse(text)
    values = []
    for event in events:
        if isinstance(event, DocumentStartEvent):
            if values:
                problem = "another document starts; there is one in a file"
                raise MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
            values.append(_value(next(events), events))
    return values[0] if values else None


def _value(event: Event, events: Iterator[Event]):
    """The value that starts with `event`; takes what belongs to it from `events`."""
    if isinstance(event, AliasEvent):
        raise MarkedYAMLError(
            problem=f"*{event.anchor} stands for what is written elsewhere; write that out, or "
            "quote the word",
            problem_mark=event.start_mark,
        )
    if event.tag is not None:
        raise MarkedYAMLError(
            problem="a word that starts with ! is a tag, and there are none; quote the word",
            problem_mark=event.start_mark,
        )
    if isinstance(event, ScalarEvent):
        return _scalar(event)
    if isinstance(event, SequenceStartEvent):
        return _list(events)
    return _mapping(events)


def _list(events: Iterator[Event]) -> list:
    values = []
    for event in events:
        if isinstance(event, SequenceEndEvent):
            break
        values.append(_value(event, events))
    return values


def _mapping(events: Iterator[Event]) -> dict:
    values: dict = {}
    lines: dict[str, int] = {}
    for event in events:
        if isinstance(event, MappingEndEvent):
            break
        name = _value(event, events) if isinstance(event, ScalarEvent) else None
        if not isinstance(name, str):
            raise MarkedYAMLError(problem="a name is a word", problem_mark=event.start_mark)
        if name in lines:
            problem = f"{name} is there already, in line {lines[name]}"
            raise MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        lines[name] = event.start_mark.line + 1
        values[name] = _value(next(events), events)
    return values


def _scalar(event: ScalarEvent):
    """A quoted scalar is text; a plain one what it looks like."""
    text = event.value
    is_plain = event.implicit[0]
    if not is_plain:
        return text
    if text in CONSTANTS:
        return CONSTANTS[text]
    if WHOLE_NUMBER.fullmatch(text):
        return int(text, BASES.get(text[:2], 10))
    if NUMBER.fullmatch(text):
        return float(text)
    if NO_NUMBER.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def read_value(name: str, text: str):
    """A value from the command line, read as YAML; a sign such as | or ; stands for itself.
    Raises InputError."""
    if text and not any(char.isalnum() or char in "[]{}\"'" for char in text):
        return text
    try:
        return parse(text)
    except (YAMLError, ValueError, RecursionError):
        raise InputError(f"{name}: {text!r} is not YAML; a list is written [1, 2]") from None


def read_yaml(path: Path) -> dict:
    """The mapping in a YAML file. Raises InputError with the line of what is wrong."""
    if not path.is_file():
        raise InputError(f"There is no file {path}")
    try:
        values = parse(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise InputError(f"{path.name} is not UTF-8") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        if "\\t" in problem:
            problem = "a tab; indent with spaces"
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{path.name}{line} is not YAML: {' '.join(problem.split())}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name} is not YAML that can be read: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path.name} has no `name: value` lines, but {type(values).__name__}")
    return values
