"""What a page shows against what its runs give: every byte, but for the last digit of a number."""

import dataclasses
import io
import json
import re
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path

import numpy as np

from lib.publish.blocks import PAGE_FILE, SOURCES, read_page
from lib.publish.render import page_markdown
from lib.runs.files import read_json

NUMBER = re.compile(r"(?<![\w.])[-−+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")
COMPUTED = ("text", "caption", "note", "columns", "facts")  # of a block: numbers may move
PIXELS = 0.002  # share of a figure's pixels that a moved last digit may change
VISIBLE = 16  # difference of a colour, of 255


@dataclasses.dataclass
class Check:
    """What was compared: files and facts; what is wrong, moved by a digit, or left unchecked."""

    compared: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list)
    moved: int = 0  # numbers that differ by one unit of their last digit
    redrawn: list[str] = dataclasses.field(default_factory=list)  # figures that show such numbers
    unchecked: list[str] = dataclasses.field(default_factory=list)


def compare_folders(folder: Path, again: Path, check: Check) -> None:
    """Compare every file that is made from a page's sources; figures last."""
    names = {path.name for path in (*folder.iterdir(), *again.iterdir())}
    for name in sorted(names - set(SOURCES), key=lambda name: (name.endswith(".png"), name)):
        check.compared += 1
        shown = folder / name
        expected = again / name
        if not expected.is_file():
            check.wrong.append(f"{name} is shown by no cell of the notebook")
        elif not shown.is_file():
            check.wrong.append(f"{name} is missing")
        elif name == "README.md":
            compare_markdown(folder, again, check)
        elif shown.read_bytes() == expected.read_bytes():
            continue
        elif name.endswith(".png"):
            compare_figures(name, shown, expected, check)
        elif name == PAGE_FILE:
            compare_pages(read_json(shown), read_json(expected), check)
        else:
            compare_lines(name, shown.read_bytes(), expected.read_text(encoding="utf-8"), check)


def compare_markdown(folder: Path, again: Path, check: Check) -> None:
    """README.md is page.json, as Markdown."""
    try:
        expected = page_markdown(read_page(folder))
    except (KeyError, TypeError, ValueError, AttributeError):  # which page.json is blamed for
        expected = (again / "README.md").read_text(encoding="utf-8")
    shown = (folder / "README.md").read_bytes()
    compare_lines("README.md", shown, expected, check, exact=True)


def compare_pages(shown: dict, expected: dict, check: Check) -> None:
    """page.json: all that is no block is equal, and so is of a block what is not computed."""
    before = len(check.wrong) + check.moved
    for name in dict.fromkeys([*expected, *shown]):
        if name != "blocks" and shown.get(name) != expected.get(name):
            check.wrong.append(f"{PAGE_FILE}, {name}: it is not what its runs give")
    for block, wanted in zip_longest(shown["blocks"], expected["blocks"]):
        if block is None or wanted is None or identity(block) != identity(wanted):
            place = f"beside the {identity(wanted)} that its notebook shows" if wanted else "more"
            said = identity(block) if block else "nothing"
            check.wrong.append(f"{PAGE_FILE} has {said} {place}")
            return
        compare_blocks(block, wanted, check)
    if len(check.wrong) + check.moved == before:
        check.wrong.append(f"{PAGE_FILE} says the same in other characters")


def identity(block: dict) -> str:
    name = block.get("name") or cut(str(block.get("text", "")))
    return f"{block['kind']} {name}"


def compare_blocks(block: dict, wanted: dict, check: Check) -> None:
    place = f"{PAGE_FILE}, {identity(wanted)}"
    for name in dict.fromkeys([*wanted, *block]):
        shown = json.dumps(block.get(name), indent=0, ensure_ascii=False)
        expected = json.dumps(wanted.get(name), indent=0, ensure_ascii=False)
        exact = name not in COMPUTED
        compare_lines(f"{place}, {name}", shown.encode(), expected, check, exact=exact)


def compare_lines(
    name: str, shown: bytes, expected: str, check: Check, *, exact: bool = False
) -> None:
    """Find the first line where two texts differ by more than the last digit of a number."""
    try:
        shown_lines = shown.decode().split("\n")
    except UnicodeDecodeError:
        check.wrong.append(f"{name} is no UTF-8 text")
        return
    expected_lines = expected.split("\n")
    for number, (line, wanted) in enumerate(zip_longest(shown_lines, expected_lines), 1):
        if line == wanted:
            continue
        moved = None
        if not exact and line is not None and wanted is not None:
            moved = moved_digits(line, wanted)
        if moved is None:
            check.wrong.append(
                f"{name}, line {number}: the page says {cut(line)}, its runs say {cut(wanted)}"
            )
            return
        check.moved += moved


def cut(text: str | None, most: int = 160) -> str:
    if text is None:
        return "nothing"
    return repr(text if len(text) <= most else f"{text[:most]}…")


def moved_digits(line: str, wanted: str) -> int | None:
    """How many numbers differ by one unit of their last digit; None where anything else does.

    Whole numbers are counts, and exact.
    """
    if NUMBER.sub("#", line) != NUMBER.sub("#", wanted):
        return None
    moved = 0
    for shown, expected in zip(NUMBER.findall(line), NUMBER.findall(wanted), strict=True):
        if shown == expected:
            continue
        values = [Decimal(text.replace(",", "").replace("−", "-")) for text in (shown, expected)]
        exponents = {value.as_tuple().exponent for value in values}
        is_count = "." not in shown or "." not in expected
        if is_count or abs(values[0] - values[1]) > Decimal(1).scaleb(max(exponents)):
            return None
        moved += 1
    return moved


def compare_figures(name: str, shown: Path, expected: Path, check: Check) -> None:
    """A figure may differ where numbers have moved by a digit, and by no more than that draws."""
    from PIL import Image

    try:
        pictures = [Image.open(io.BytesIO(path.read_bytes())) for path in (shown, expected)]
        pixels = [np.asarray(picture.convert("RGBA"), int) for picture in pictures]
    except Exception:  # a damaged picture makes its decoder raise any
        check.wrong.append(f"{name} is no picture")
        return
    if pixels[0].shape != pixels[1].shape:
        check.wrong.append(f"{name} has another size than its runs give")
        return
    if pictures[0].info != pictures[1].info:
        check.wrong.append(f"{name} has other metadata than its runs give")
        return
    share = float((np.abs(pixels[0] - pixels[1]).max(-1) > VISIBLE).mean())
    if check.moved and share <= PIXELS:
        check.redrawn.append(f"{name} differs in {share:.2%} of its pixels")
    else:
        check.wrong.append(
            f"{name} is not the figure that its runs give ({share:.2%} of its pixels differ)"
        )
