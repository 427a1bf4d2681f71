"""The blocks of a page (page.json): written whole, read back by name."""

import base64
import io
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from lib.errors import InputError
from lib.publish.swap import restore
from lib.runs.files import read_json
from lib.runs.published import HISTORY, PREDICTIONS, published_page

PAGE_FILE = "page.json"
SOURCES = (PREDICTIONS, HISTORY, "environment.json")  # the files that a page is made from
PRINTED = re.compile(r"-?\d+(\.\d{6})?|")  # a number as `to_csv` prints it, or none
HEADER = {  # what a page is made from, beside its runs; the rest of page.json is made
    "study": str,
    "folder": str,
    "profile": str,
    "command": str,
    "parameters": dict,
}


def page_files(results: Path) -> list[Path]:
    """The page.json of every page in a folder of results; not those that are being made."""
    return sorted(results.glob(f"*/[!.]*/{PAGE_FILE}"))


def read_page(folder: Path, needed: Mapping[str, type] = HEADER) -> dict:
    """A page's page.json. Raises InputError where it is missing or damaged, or lacks something of
    those that are `needed`."""
    restore(folder)
    path = folder / PAGE_FILE
    if not folder.is_dir():
        raise InputError(
            f"There is no folder {folder}; a page is one like results/STUDY/demo, published by: "
            "make STUDY"
        )
    if not path.is_file():
        raise InputError(f"{folder} has no {PAGE_FILE}; a page is published by: make STUDY")
    try:
        page = read_json(path)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON: {error}") from None
    blocks = page.get("blocks") if isinstance(page, dict) else None
    if not isinstance(blocks, list) or not blocks:
        raise InputError(f"{path} has no blocks; publish the page anew")
    if not all(isinstance(block, dict) and "kind" in block for block in blocks):
        raise InputError(f"{path} has a block without a kind; publish the page anew")
    for name, kind in needed.items():
        if not isinstance(page.get(name), kind):
            raise InputError(f"{path} has no {name}; publish the page anew")
    return page


def published_block(kind: str, name: str) -> dict | None:
    """A block of the page whose runs are taken, with its files; None where there is none."""
    folder = published_page()
    if folder is None:
        return None
    for block in read_json(folder / PAGE_FILE).get("blocks", []):
        if block["kind"] == kind and block.get("name") == name:
            return block | files_of(block, folder)
    return None


def files_of(block: dict, folder: Path) -> dict[str, str]:
    """What of a block stands in a file of its own, as text: its CSV, or its picture as base64."""
    name = block["name"]
    if block["kind"] == "text":
        return {}
    if block["kind"] == "figure":
        return {"png": base64.b64encode((folder / f"{name}.png").read_bytes()).decode()}
    return {"csv": read_csv(folder, name)}


def read_csv(folder: Path, name: str) -> str:
    """A table of a page, as its CSV file. Raises InputError where it is missing."""
    path = folder / f"{name}.csv"
    if not path.is_file():
        raise InputError(f"The page has no {path.name}; publish it anew from the store")
    return path.read_text(encoding="utf-8")


def published_table(name: str) -> pd.DataFrame | None:
    """A measured table of the page whose runs are taken; None where runs are not a page's.

    Its columns are numbers where the page prints them so, else words.
    """
    folder = published_page()
    if folder is None:
        return None
    text = io.StringIO(read_csv(folder, name))
    table = pd.read_csv(text, dtype=str, keep_default_na=False)
    for column in table:
        if all(PRINTED.fullmatch(cell) for cell in table[column]):
            table[column] = pd.to_numeric(table[column])
    return table
