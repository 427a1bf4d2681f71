"""Splits: documents with their labels, and the columns of a file that say how it is split."""

import dataclasses
from collections import Counter

import numpy as np

from lib.errors import InputError, shown
from lib.reading.columns import cell_text
from lib.reading.options import Table

SPLITS = ("train", "dev", "test")
# What a split is called as a file, before its suffix, and by the Hub; a column may have more.
SPLIT_NAMES = {"train": ("train",), "dev": ("dev", "validation", "valid", "val"), "test": ("test",)}
SPLIT_OF_VALUE = {name: split for split, names in SPLIT_NAMES.items() for name in names}
SPLIT_OF_VALUE |= {"training": "train", "testing": "test", "eval": "test"}


@dataclasses.dataclass(frozen=True)
class Split:
    """Documents with their labels; `rows` are positions in the source, counted from 0.

    With several labels a document, `labels` are id lists padded with −1, and the id `num_labels`
    stands for any label that train does not have. Real numbers are float64.
    """

    texts: list[str]
    labels: np.ndarray  # (rows,) or (rows, most) int64, or (rows,) float64
    rows: np.ndarray  # (rows,) int64
    true_labels: np.ndarray | None = None  # like labels, where a generator added label noise
    pairs: list[str] | None = None  # the second text of each document
    lines: np.ndarray | None = None  # (rows,) of the file that they were read from
    groups: list[str] | None = None  # documents of one group stay on one side
    names: list[str] | None = None  # of the split that a column says each document belongs to

    def __len__(self):
        return len(self.texts)

    @property
    def documents(self) -> list:
        """Texts, or pairs of them."""
        if self.pairs is None:
            return self.texts
        return list(zip(self.texts, self.pairs, strict=True))

    @property
    def whole_texts(self) -> list[str]:
        """Texts, pairs put together in one."""
        if self.pairs is None:
            return self.texts
        return [f"{first}\n{second}" for first, second in self.documents]

    def take(self, index: np.ndarray) -> "Split":
        """The documents at these positions, in their order."""
        fields = {}
        for field in dataclasses.fields(self):
            values = getattr(self, field.name)
            if isinstance(values, list):
                fields[field.name] = [values[i] for i in index]
            elif values is not None:
                fields[field.name] = values[index]
        return Split(**fields)


def read_split_names(tables: dict[str, Table]) -> list[str]:
    """The split that the column `split` says for each row; refuses rows where it says none.
    Raises InputError where there are files for other splits."""
    table = tables["train"]
    column = table.reading.split
    others = [other.path.name for split, other in tables.items() if split != "train"]
    if others:
        raise InputError(
            f"split = {column!r} says which rows of {table.path.name} are dev and test, but "
            f"{' and '.join(others)} {'is' if len(others) == 1 else 'are'} given, too; leave out "
            "one of the two"
        )
    names = []
    for row, value in enumerate(table.column(column)):
        name = SPLIT_OF_VALUE.get(str(value).strip().lower())
        if name is None:
            values = ", ".join(SPLIT_OF_VALUE)
            said = "nothing" if value is None else shown(value)
            table.refuse(row, f": column {column!r} has {said}, which is none of {values}")
        names.append(name or "train")
    return names


def part(split: Split) -> dict[str, Split]:
    """The documents of each split that a column names. Raises InputError where train has none."""
    of_row = np.array(split.names)
    by_name = {name: split.take(np.flatnonzero(of_row == name)) for name in SPLITS}
    if not len(by_name["train"]):
        raise InputError("The column that says the split of each row has none for train")
    return {name: documents for name, documents in by_name.items() if len(documents)}


def read_groups(table: Table) -> list[str]:
    """The group of each row; refuses rows without one."""
    column = table.reading.group
    groups = []
    for row, value in enumerate(table.column(column)):
        group = cell_text(value)
        if not group:
            table.refuse(row, f": column {column!r} is empty; each row needs a group")
        groups.append(group)
    return groups


def tell_straddling(splits: dict[str, Split]) -> None:
    """Say how many groups are in more than one of the splits that a source has."""
    seen: Counter[str] = Counter()
    for split in splits.values():
        seen.update(set(split.groups or ()))
    straddling = sum(number > 1 for number in seen.values())
    if straddling:
        print(f"{straddling:,} groups are in more than one of {', '.join(splits)}", flush=True)
