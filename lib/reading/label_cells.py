"""The cells of a label column: a name, a list, a list as text, or a zero or one for each label."""

import ast
import dataclasses
import json
import re
import warnings
from collections import Counter

from lib.errors import InputError
from lib.reading.columns import cell_text
from lib.reading.options import Reading, Table
from lib.reading.vocabulary import UNLABELLED, whole_number

BRACKETED = re.compile(r"\s*(\[.*\]|\(.*,.*\)|\{.*\})\s*", re.DOTALL)
ARRAY_OF_TEXTS = re.compile(r"""\[\s*(?:'[^']*'|"[^"]*")(?:\s+(?:'[^']*'|"[^"]*"))*\s*\]""")
ARRAY_OF_NUMBERS = re.compile(r"\[\s*-?[\d.]+(?:\s+-?[\d.]+)*\s*\]")
TAGS = re.compile(r"\s*(<[^<>]+>)+\s*")  # as Stack Overflow writes them
NO_TAG = "[]"
UNREADABLE = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)
FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}


@dataclasses.dataclass(frozen=True)
class LabelColumn:
    """The label cells of each split."""

    name: str  # as messages have it
    cells: dict[str, list]  # by split
    in_positions: tuple[str, ...] = ()  # the label of each zero or one, where cells have these
    lists_as_text: bool = False

    def labels_in(self, cell, separator: str | None) -> tuple[list[str], str]:
        """The labels in a cell, each once, in their order; and what is wrong with it: empty where
        nothing is."""
        if self.in_positions:
            return _indicated(cell, self.in_positions)
        return _names_in(cell, separator, lists_as_text=self.lists_as_text)


def read_label_column(
    tables: dict[str, Table], column: str, names: tuple[str, ...] | None = None
) -> LabelColumn:
    """The cells of a column, or of several with a comma between their names, which hold a zero or
    one each. `names` are those of all labels, if they are known. Raises InputError."""
    train = tables["train"]
    several = train.columns_named(column)
    if len(several) > 1:
        twice = [name for name in several if several.count(name) > 1]
        if twice:
            raise InputError(f"label = {column!r} names the column {twice[0]!r} twice")
        cells = {}
        for split, table in tables.items():
            values = [table.column(name) for name in several]
            cells[split] = [list(row) for row in zip(*values, strict=True)]
        return LabelColumn(column, cells, tuple(name.strip() for name in several))
    cells = {split: table.column(column) for split, table in tables.items()}
    as_text = _are_lists_as_text(cells["train"], train.reading)
    if as_text:
        cells = {split: _read_lists(values) for split, values in cells.items()}
    positions = ()
    width = 0 if train.reading.task == "regression" else _width_of_indicators(cells["train"])
    if width:
        names = train.reading.labels or names or tuple(map(str, range(width)))
        if len(names) != width:
            raise InputError(
                f"{train.path.name}: column {column!r} has {width} zeros and ones a row, but "
                f"{len(names)} labels are listed; list one for each of them"
            )
        positions = tuple(name.strip() for name in names)
    return LabelColumn(column, cells, positions, as_text)


# ---- lists


def _are_lists_as_text(cells: list, reading: Reading) -> bool:
    """Whether most cells hold a list that was written as text."""
    if reading.task in ("classification", "regression"):
        return False
    texts = [cell for cell in cells if isinstance(cell, str) and cell.strip()]
    if reading.labels and not set(reading.labels).isdisjoint(texts):
        return False
    tagged = [text for text in texts if text.strip() != NO_TAG]
    if any("><" in text for text in tagged) and all(map(TAGS.fullmatch, tagged)):
        return True
    bracketed = [text for text in texts if BRACKETED.fullmatch(text)]
    if 2 * len(bracketed) < len(texts):
        return False
    return any("," in text for text in bracketed) or any(_strict_list(t) for t in bracketed)


def _read_lists(cells: list) -> list:
    """The cells, with those that are lists as text read; what cannot be read stays text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # a backslash in a name
        return [_as_list(cell) if isinstance(cell, str) else cell for cell in cells]


def _as_list(text: str) -> list | str:
    if not text.strip():
        return None
    values = _strict_list(text)
    if values is not None:
        return values
    inside = text.strip()[1:-1]
    if BRACKETED.fullmatch(text) and not re.search("""['"[\\](){}]""", inside):
        return inside.split(",")
    return text


def _strict_list(text: str) -> list | None:
    """A list of JSON, of Python, of NumPy or of tags; None where it is none of them."""
    text = text.strip()
    if TAGS.fullmatch(text):
        return text[1:-1].split("><")
    if ARRAY_OF_NUMBERS.fullmatch(text):
        return [float(number) if "." in number else int(number) for number in text[1:-1].split()]
    if ARRAY_OF_TEXTS.fullmatch(text):  # Python would join the texts
        return [one or other for one, other in re.findall("""'([^']*)'|"([^"]*)\"""", text)]
    for read in (json.loads, ast.literal_eval):
        try:
            values = read(text)
        except UNREADABLE:
            continue
        if isinstance(values, set | frozenset):
            return sorted(values, key=str)
        if isinstance(values, list | tuple):
            return list(values)
    return None


# ---- names


def _names_in(cell, separator: str | None, *, lists_as_text: bool) -> tuple[list[str], str]:
    """The names in a cell that is a list or a text."""
    if not cell_text(cell):
        return [], ""
    if isinstance(cell, dict):
        return [], "an object, which is no label"
    if isinstance(cell, list):
        names = [item for item in cell if item is not None]
        for item in names:
            if isinstance(item, list | dict):
                return [], f"{item!r} in its list, which is no label"
            if isinstance(item, float) and item % 1 != 0:
                return [], f"{item} in its list, a fraction, which is no label"
    elif lists_as_text:
        return [], f"{cell!r}, which is no list, as those of other rows are"
    else:
        names = str(cell).split(separator) if separator else [cell]
    names = [str(name).strip() for name in names]
    return list(dict.fromkeys(name for name in names if name)), ""


def may_have_none(cell, task: str, reading: Reading) -> bool:
    """Whether a cell without a label is that of a document with none of them."""
    is_empty_text = isinstance(cell, str) and reading.label_separator is not None
    return task == "multilabel" and (is_empty_text or _is_list_of_labels(cell))


def _is_list_of_labels(cell) -> bool:
    """Whether it is a list without anything in place of a label."""
    return isinstance(cell, list) and not any(
        item is None or (isinstance(item, str) and not item.strip()) for item in cell
    )


# ---- zeros and ones


def _width_of_indicators(cells: list) -> int:
    """How many zeros and ones the rows have; 0 where cells hold anything else.

    A list of the ids 0 and 1 names none of them twice; zeros and ones have a length in common.
    """
    lists = [cell for cell in cells if isinstance(cell, list)]
    widths = Counter(map(len, lists))
    width, number = widths.most_common(1)[0] if widths else (0, 0)
    if width < 2 or any(_is_no_indicator(item) for cell in lists for item in cell):
        return 0
    repeats = any(len(set(cell)) < len(cell) for cell in lists)
    return width if number == len(lists) or (repeats and 2 * number > len(lists)) else 0


def _is_no_indicator(item) -> bool:
    return not isinstance(item, bool | int | float) or item not in (0, 1, -1)


def _indicated(cell, positions: tuple[str, ...]) -> tuple[list[str], str]:
    """The labels whose position in a cell has a one."""
    if not isinstance(cell, list):
        return [], f"{cell!r}, which is no list" if cell_text(cell) else "no label"
    if len(cell) != len(positions):
        return [], f"{len(cell)} values; the others have {len(positions)}"
    labels = []
    for name, value in zip(positions, cell, strict=True):
        text = cell_text(value).lower()
        if whole_number(text) == UNLABELLED:
            return [], (
                f"-1 for {name!r}, which marks a row without labels; remove the row, or set "
                "on_bad_rows: quarantine"
            )
        if text not in FLAGS:
            shown = repr(value) if text else "nothing"
            return [], f"{shown} for {name!r}, which is neither 0 nor 1"
        if FLAGS[text]:
            labels.append(name)
    return labels, ""
