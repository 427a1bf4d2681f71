"""Files and folders of the machine that made a page: the page has their names, not their places.

`/home/me/reviews.csv` is published as `…/reviews.csv`. Where it was, the store notes, so that the
page can be made again where it was made.
"""

import os
import re
from pathlib import Path

from lib.runs.paths import ELSEWHERE, locations_file

NAMES_A_PLACE = re.compile(r"(^|_)(dataset|backbone|reference|teacher|file|folder|path)s?$")


def places_of(*settings: dict) -> dict[str, str]:
    """What the files and folders that settings name by whole paths are called on a page."""
    names: dict[str, str] = {}
    for values in settings:
        for path in _paths_in(values):
            if path not in names:
                names[path] = _new_name(path, names)
    return names


def _paths_in(values: dict) -> list[str]:
    paths: list[str] = []
    for name, value in values.items():
        if isinstance(value, dict):
            paths += _paths_in(value)
        elif NAMES_A_PLACE.search(name):
            items = value if isinstance(value, list | tuple) else [value]
            paths += [item for item in items if isinstance(item, str) and os.path.isabs(item)]
    return paths


def _new_name(path: str, names: dict[str, str]) -> str:
    name = ELSEWHERE + Path(path).name
    number = 1
    while name in names.values():
        number += 1
        name = f"{ELSEWHERE}{number}/{Path(path).name}"
    return name


def published(value, places: dict[str, str]):
    """A value, or all that is in it, with files and folders as a page names them."""
    if isinstance(value, dict):
        return {name: published(inner, places) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(published(inner, places) for inner in value)
    return places.get(value, value) if isinstance(value, str) else value


def without_places(text: str, places: dict[str, str]) -> str:
    """A text, with files and folders as a page names them; the longest paths first."""
    for path in sorted(places, key=len, reverse=True):
        text = text.replace(path, places[path])
    return text


def note_places(study: str, folder: str, places: dict[str, str]) -> None:
    """Note in the store where the files and folders of a page are."""
    from lib.runs.files import write_json  # which imports torch

    path = locations_file(study, folder)
    if places or path.exists():
        write_json(path, {name: place for place, name in places.items()})
