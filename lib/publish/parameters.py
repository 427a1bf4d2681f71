"""The parameters of a study: its notebook's defaults, its profiles, and overrides of the right
type."""

import ast
import hashlib
import json
import os
import re
import shlex
import typing
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from lib.errors import InputError, nearest
from lib.publish.settings import read_value, read_yaml
from lib.runs.store import ROOT

NOTEBOOKS = ROOT / "notebooks"
COLUMNS = ("text", "text_pair", "label")  # parameters that name a column, perhaps by its number
UNTYPED = ("checkpoint_every",)  # minutes, or words: lib.runs.checkpoints reads it
LONGEST = 80  # characters of one piece of a folder's name
TYPE_NAMES = {int: "whole number", float: "number", str: "text", bool: "true or false"}


def defaults(notebook: Path) -> dict:
    """The parameters cell of a notebook: name -> literal value, in order. Raises InputError."""
    import nbformat

    cells = nbformat.read(notebook, as_version=4).cells
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise InputError(
            f"{notebook.name} has {len(tagged)} cells with the tag 'parameters'; one is needed"
        )
    values = {}
    for statement in ast.parse(tagged[0].source).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            values[statement.targets[0].id] = ast.literal_eval(statement.value)
    return values


def type_of(default) -> typing.Any:
    """The type that a parameter's default asks for; of a list, with the type of its items."""
    if not isinstance(default, list) or not default:
        return type(default)
    if any(isinstance(item, float) for item in default):
        return list[float]
    return list[type(default[0])]


def describe_type(default) -> str:
    """What `type_of` asks for, as a person says it."""
    if isinstance(default, list) and default:
        item = typing.get_args(type_of(default))[0]
        return f"a list of {TYPE_NAMES.get(item, 'value')}s"
    if isinstance(default, str | bool):
        return TYPE_NAMES[type(default)]
    return f"a {TYPE_NAMES.get(type(default), 'list' if default == [] else 'mapping')}"


def typed(name: str, value, default):
    """`value` as the type of the parameter's default; a default of None allows any. Raises
    InputError."""
    if default is None or name in UNTYPED:
        return value
    if name in COLUMNS and type(value) is int:
        return str(value)
    strict = False if isinstance(value, str) else None  # words from a shell may be numbers
    try:
        return TypeAdapter(type_of(default)).validate_python(value, strict=strict)
    except ValidationError:
        wanted = describe_type(default)
        raise InputError(
            f"The parameter {name} wants {wanted} like {default!r}; {value!r} is none"
        ) from None


def checked(values: dict, allowed: dict, where: str) -> dict:
    """Values with known names and right types. Raises InputError that proposes the nearest name."""
    for name in values:
        if name not in allowed:
            raise InputError(f"{where}: unknown parameter {name!r}.{nearest(name, allowed)}")
    return {name: typed(name, value, allowed[name]) for name, value in values.items()}


def profiles(study: str) -> dict[str, Path]:
    """The profiles of a study, by name."""
    return {file.stem: file for file in sorted((NOTEBOOKS / "params" / study).glob("*.yaml"))}


def read_profile(study: str, profile: str, allowed: dict) -> dict:
    """The parameters that a profile changes. Raises InputError."""
    files = profiles(study)
    if profile not in files:
        raise InputError(f"The study {study} has no profile {profile!r}.{nearest(profile, files)}")
    return checked(read_yaml(files[profile]), allowed, files[profile].name)


def folder_of(profile: str, overrides: dict) -> str:
    """The name of a page's folder below its study's: the profile and what overrides it; with a
    file of one's own, after that file."""
    pieces = [profile]
    changed = dict(overrides)
    dataset = Path(os.path.expanduser(overrides.get("dataset", "")))
    if "text" in overrides and dataset.exists():
        pieces = ["own", dataset.resolve().name.split(".")[0]]
        pieces += [profile] if profile != "small" else []
        for name in ("dataset", "text", "label"):
            changed.pop(name, None)
    if changed:
        pieces.append("_".join(f"{key}={value}" for key, value in changed.items()))
    names = [re.sub(r"[^\w=.-]+", "-", piece) for piece in pieces]
    if max(map(len, names)) > LONGEST:  # what is cut off makes the difference
        names.append(hashlib.sha256("--".join(pieces).encode()).hexdigest()[:8])
    return "--".join(name[:LONGEST] for name in names)


def as_words(overrides: dict) -> str:
    """Overrides as the words of a command line that gives them: `name=value …`, quoted."""
    words = []
    for name, value in overrides.items():
        text = str(value)
        if not isinstance(value, str) or read_as(name, text) != value:
            text = json.dumps(value, ensure_ascii=False)  # JSON is YAML
        words.append(shlex.quote(f"{name}={text}"))
    return " ".join(words)


def read_as(name: str, text: str):
    """What `name=text` gives on a command line; None where it is no YAML."""
    try:
        return read_value(name, text)
    except InputError:
        return None
