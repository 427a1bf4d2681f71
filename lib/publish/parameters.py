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

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, create_model

from lib.datasets import is_own
from lib.errors import InputError, nearest
from lib.publish.places import places_of, published
from lib.publish.settings import read_value, read_yaml
from lib.reading.columns import ColumnText
from lib.runs.paths import NOTEBOOKS

COLUMNS = ("text", "text_pair", "label")  # parameters that name a column, perhaps by its number
FILES = ("reference_files",)  # lists of files, of which a single one may stand alone
UNTYPED = ("checkpoint_every", "freeze")  # numbers or words, which those who use them check
ENGINE = ("workers", "cluster")  # who trains: no part of what a page shows
PLAIN_WORD = re.compile(r"[\w@%+=:,./…-]+")  # that a shell takes as it is, in any script
OWN = "own"  # how the folders of pages begin that Git ignores: those of one's own files
LONGEST = 80  # characters of one piece of a folder's name
TYPE_NAMES = {int: "whole number", float: "number", str: "text", bool: "true or false"}


def notebook_of(name: str) -> Path:
    """The notebook of a study. Raises InputError where there is none."""
    studies = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    if name not in studies:
        raise InputError(f"There is no study {name!r}.{nearest(name, studies)}")
    return NOTEBOOKS / f"{name}.ipynb"


def defaults(notebook: Path) -> dict:
    """The parameters cell of a notebook: name -> literal value, in order. Raises InputError.

    The cell is read as Python, for papermill's inspection gives no types, and leaves out a line
    with a second = in it.
    """
    source = parameters_cell(notebook)
    values = {}
    try:
        for statement in ast.parse(source).body:
            name = _assigned_name(statement)
            if name:
                values[name] = ast.literal_eval(statement.value)
    except SyntaxError as error:
        raise InputError(
            f"{notebook.name}, line {error.lineno} of the parameters cell is no Python: {error.msg}"
        ) from None
    except ValueError:
        raise InputError(f"{notebook.name}: the parameter {name} has no literal value") from None
    return values


def _assigned_name(statement: ast.stmt) -> str | None:
    """The name that a statement gives a value to, unless it starts with an underscore."""
    if isinstance(statement, ast.AnnAssign) and statement.value:
        target = statement.target
    elif isinstance(statement, ast.Assign):
        target = statement.targets[0]
    else:
        return None
    is_parameter = isinstance(target, ast.Name) and not target.id.startswith("_")
    return target.id if is_parameter else None


def parameters_cell(notebook: Path) -> str:
    """The source of the cell with the tag `parameters`. Raises InputError."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{notebook.name} is no notebook that can be read") from None
    if len(tagged) != 1:
        raise InputError(
            f"{notebook.name} has {len(tagged)} cells with the tag 'parameters'; one is needed"
        )
    return "".join(tagged[0]["source"])


def type_of(name: str, default) -> typing.Any:
    """The type that a parameter's default asks for; of a list, with the type of its items."""
    if default is None or name in UNTYPED:
        return typing.Any
    if name in COLUMNS:
        return ColumnText
    if name in FILES:
        return typing.Annotated[list, BeforeValidator(_as_list)]
    if isinstance(default, list) and default:
        return list[_strict(item_type(default))]
    return _strict(type(default))


def item_type(values: list) -> type:
    """The type of a list's items: that of the first, but float where one is."""
    some_float = any(isinstance(value, float) for value in values)
    return float if some_float else type(values[0])


def _strict(kind: type) -> typing.Any:
    """A number that may be written as text, as a shell does, but is not true or false."""
    return typing.Annotated[kind, BeforeValidator(_no_truth)] if kind in (int, float) else kind


def _no_truth(value):
    if isinstance(value, bool):
        raise ValueError("true and false are no numbers")
    return value


def _as_list(value):
    return [value] if isinstance(value, str) and value else value


def model_of(allowed: dict) -> type[BaseModel]:
    """A model with a field for each parameter, made from their defaults."""
    fields = {name: (type_of(name, default), default) for name, default in allowed.items()}
    config = ConfigDict(extra="forbid", protected_namespaces=())
    return create_model("Parameters", __config__=config, **fields)


def describe_type(default) -> str:
    """What `type_of` asks for, as a person says it."""
    if isinstance(default, list) and default:
        return f"a list of {TYPE_NAMES.get(item_type(default), 'value')}s"
    if isinstance(default, str | bool):
        return TYPE_NAMES[type(default)]
    return f"a {TYPE_NAMES.get(type(default), 'list' if default == [] else 'mapping')}"


def checked(values: dict, allowed: dict, where: str) -> dict:
    """Values with known names and right types, in their order. Raises InputError that proposes the
    nearest name, or says what a parameter wants."""
    try:
        parameters = model_of(allowed).model_validate(values)
    except ValidationError as error:
        problems = error.errors()
        for problem in problems:
            if problem["type"] == "extra_forbidden":
                name = problem["loc"][0]
                hint = nearest(name, allowed)
                raise InputError(f"{where}: unknown parameter {name!r}.{hint}") from None
        name = problems[0]["loc"][0]
        wanted = describe_type(allowed[name])
        raise InputError(
            f"The parameter {name} wants {wanted} like {allowed[name]!r}; {values[name]!r} is none"
        ) from None
    return {name: getattr(parameters, name) for name in values}


def profiles(study: str) -> dict[str, Path]:
    """The profiles of a study, by name."""
    return {file.stem: file for file in sorted((NOTEBOOKS / "params" / study).glob("*.yaml"))}


def read_profile(study: str, profile: str, allowed: dict) -> dict:
    """The parameters that a profile changes. Raises InputError."""
    files = profiles(study)
    if profile not in files:
        raise InputError(f"The study {study} has no profile {profile!r}.{nearest(profile, files)}")
    return checked(read_yaml(files[profile]), allowed, files[profile].name)


def without_engine(values: dict) -> dict:
    """Parameters but those that say who trains."""
    return {name: value for name, value in values.items() if name not in ENGINE}


def folder_of(profile: str, overrides: dict) -> str:
    """The name of a page's folder below its study's: the profile and what overrides it; with a
    file of one's own, after that file and its label, unless that is called `label`."""
    pieces = [profile]
    changed = dict(overrides)
    dataset = overrides.get("dataset", "")
    if "text" in overrides and is_own(dataset):
        pieces = [OWN, Path(os.path.expanduser(dataset)).resolve().name.split(".")[0]]
        for name in ("dataset", "text"):
            changed.pop(name)
        label = changed.pop("label", "label")
        pieces += [label] if label != "label" else []
        pieces += [profile] if profile != "small" else []
    shown = published(changed, places_of(changed))
    if changed:
        pieces.append("_".join(f"{key}={value}" for key, value in shown.items()))
    names = [re.sub(r"[^\w=.-]+", "-", piece) for piece in pieces]
    if max(map(len, names)) > LONGEST or shown != changed:  # what is left out may differ
        values = [*map(str, changed.values())] if shown != changed else []
        full_name = "--".join([*pieces, *values])
        names.append(hashlib.sha256(full_name.encode()).hexdigest()[:8])
    return "--".join(name[:LONGEST] for name in names)


def folder_as(name: str, dataset: str) -> str:
    """The name of a page's folder that is to be called `name`; of data of one's own, Git ignores
    it, for the page shows texts."""
    return name if not is_own(dataset) or name.startswith(f"{OWN}--") else f"{OWN}--{name}"


def as_words(overrides: dict) -> str:
    """Overrides as the words of a command line that gives them: `name=value …`, quoted."""
    words = []
    for name, value in overrides.items():
        text = str(value)
        if not isinstance(value, str) or read_as(name, text) != value:
            text = json.dumps(value, ensure_ascii=False)  # JSON is YAML
        if not text.isprintable():  # a tab or a line break would not survive being pasted
            text = json.dumps(value)
        word = f"{name}={text}"
        words.append(word if PLAIN_WORD.fullmatch(word) else shlex.quote(word))
    return " ".join(words)


def read_as(name: str, text: str):
    """What `name=text` gives on a command line; None where it is no YAML."""
    try:
        return read_value(name, text)
    except InputError:
        return None
