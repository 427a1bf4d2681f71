"""The names of a corpus' labels: each written in one way, in an order, and train's own."""

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from lib.errors import InputError

SHOWN = 10  # names that a message lists
LONGEST = 60  # characters of each
NOT_IN_TRAIN = "(not in train)"
UNLABELLED = "-1"  # what some data sets have in place of a label
MARKS = (UNLABELLED, "-")  # and SNLI, where the annotators did not agree
NUMBER = re.compile(r"-?\d{1,400}(\.\d{1,400})?")
WHOLE = re.compile(r"(-?\d{1,400})(\.0*)?")
TRUTH = ("false", "true")
SEPARATORS = (",", ";", "|", "#", "/", "+", "&", " ")  # that may part several labels in a cell
MANY = 50  # classes that are all numbers: a regression?
FEW_EACH = 5  # documents of each of these: certainly one

LabelLists = list[list[str]]


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(on_one_line(name) for name in names[:SHOWN]) + more


def on_one_line(name: str) -> str:
    visible = name if name.isprintable() else repr(name)
    return visible if len(visible) <= LONGEST else f"{visible[:LONGEST]}…"


# ---- one way to write a name


def names_of(lists: LabelLists) -> tuple[str, ...]:
    """The names that occur, sorted; numbers in numeric order."""
    names = sorted({name for labels in lists for name in labels})
    if are_numbers(names):
        names.sort(key=Decimal)
    return tuple(names)


def are_numbers(names: Sequence[str]) -> bool:
    return all(NUMBER.fullmatch(name) for name in names)


def whole_number(name: str) -> str:
    """A name without the zeros behind its decimal point, where it is a whole number."""
    match = WHOLE.fullmatch(name)
    return match[1] if match else name


def unify_spelling(lists: dict[str, LabelLists]) -> list[str]:
    """Have one name for a number that is written with and without decimals, and for a truth value
    in several cases; `lists`, by split, are changed. Returns what became of which name."""
    names = sorted({name for rows in lists.values() for row in rows for name in row})
    truths = [name for name in names if name.lower() in TRUTH]
    new_name = {}
    for plain, written in ((whole_number, names), (str.lower, truths)):
        if len({plain(name) for name in written}) < len(written):
            new_name |= {name: plain(name) for name in written if plain(name) != name}
    if new_name:
        for row in itertools.chain.from_iterable(lists.values()):
            row[:] = dict.fromkeys(new_name.get(name, name) for name in row)
    merged = Counter(new_name.get(name, name) for name in names)
    return [f"{old} is read as {new}" for old, new in new_name.items() if merged[new] > 1]


def marks_a_row(lists: dict[str, LabelLists], mark: str) -> bool:
    """Whether the class −1 marks a row without a label: train has none of them, or the other
    classes are words, or they are 0, 1, 2 and so on; beside 0 and 1 it may be a class. A dash does,
    unless another class is a sign, too."""
    names = {name for rows in lists.values() for row in rows for name in row} - {mark}
    if mark != UNLABELLED:
        return all(any(map(str.isalnum, name)) for name in names)
    in_train = any(UNLABELLED in row for row in lists["train"])
    words = not any(NUMBER.fullmatch(name) for name in names)
    counted = len(names) > 2 and names == {str(number) for number in range(len(names))}
    return not in_train or words or counted


def look_alike(names: Sequence[str]) -> tuple[list[str], bool]:
    """The names that only differ in what is hard to see, and whether that is case alone."""
    alike: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        visible = "".join(c for c in name if unicodedata.category(c) != "Cf")
        key = " ".join(unicodedata.normalize("NFKC", visible).casefold().split())
        alike.setdefault(key, []).append(name)
    groups = [group for group in alike.values() if len(group) > 1]
    in_case_alone = all(len({name.casefold() for name in group}) == 1 for group in groups)
    return [name for group in groups for name in group], in_case_alone


# ---- the vocabulary is train's own


def check_classes(
    labels: np.ndarray, names: tuple[str, ...], *, dataset: str, column: str, is_open: bool
) -> None:
    """Refuse a train split with fewer than two labels, and, if the task `is_open`, one whose
    classes are numbers with few documents each."""
    there = np.unique(labels[labels >= 0])
    if len(there) < 2:
        only = names[there[0]] if len(there) else "none"
        way_out = f", such as {only} and other" if labels.ndim == 2 and len(there) else ""
        raise InputError(
            f"{dataset}: column {column!r} of train has one class only ({only}); "
            f"at least two are needed{way_out}"
        )
    numbers = is_open and labels.ndim == 1 and len(there) > MANY and are_numbers(names)
    if numbers and len(labels) < FEW_EACH * len(there):
        raise InputError(
            f"{dataset}: column {column!r} has {len(there):,} different numbers in {len(labels):,} "
            "rows: a regression? Then set task: regression; or task: classification, if each is a "
            "class"
        )


def train_lists(
    of_train: np.ndarray, names: tuple[str, ...], *, fixed: bool
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The new id of each old one, and the names: unless these are fixed, only
    train's labels have one. Any other label has the id after the last."""
    known = np.arange(len(names)) if fixed else np.unique(of_train)
    known = known[(known >= 0) & (known < len(names))]
    new_ids = np.full(len(names) + 2, len(known))  # by old id; the last entry is the padding's
    new_ids[known] = np.arange(len(known))
    new_ids[-1] = -1
    return new_ids, tuple(names[i] for i in known)


def renumber_lists(labels: dict[str, np.ndarray], new_ids: np.ndarray) -> dict[str, np.ndarray]:
    """Label lists by split with new ids, padded alike."""
    most = max(lists.shape[1] for lists in labels.values())
    renumbered = {}
    for split, lists in labels.items():
        padding = ((0, 0), (0, most - lists.shape[1]))
        renumbered[split] = new_ids[np.pad(lists, padding, constant_values=-1)]
    return renumbered


def train_classes(
    labels: dict[str, np.ndarray], names: tuple[str, ...], *, fixed: bool, corpus_name: str
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Class ids by split, and their names; unless the names are fixed, renumbered so that train's
    classes come first, followed by one name for all that dev or test has beside. Says how many
    rows that are."""
    known = np.unique(labels["train"])
    strange = 0
    for split in ("dev", "test"):
        counts = Counter(labels[split][~np.isin(labels[split], known)].tolist())
        strange += counts.total()
        if counts:
            print(
                f"{corpus_name}: {counts.total()} rows of {split} have a class that train lacks "
                f"({listed([names[i] for i in sorted(counts)])}); they count as wrong",
                flush=True,
            )
    new_ids, names = train_lists(labels["train"], names, fixed=fixed)
    renumbered = {split: new_ids[ids] for split, ids in labels.items()}
    return renumbered, (*names, NOT_IN_TRAIN) if strange and not fixed else names


def check_known(
    labels: dict[str, np.ndarray], names: tuple[str, ...], *, dataset: str, column: str
) -> None:
    """Refuse a dev or test split of whose labels train has none."""
    known = set(np.unique(labels["train"]).tolist()) - {-1}
    for split in ("dev", "test"):
        there = set(np.unique(labels[split]).tolist()) - {-1}
        if there and not there & known:
            of_split = [names[i] if i < len(names) else "others" for i in sorted(there)]
            of_train = [names[i] for i in sorted(known)]
            raise InputError(
                f"{dataset}: train has none of the labels that {split} has in column {column!r} "
                f"({listed(of_split)}; those of train: {listed(of_train)}); is it the right file "
                "and column?"
            )


# ---- what was understood


def describe_labels(
    labels: dict[str, np.ndarray], names: tuple[str, ...], notes: Sequence[str]
) -> str:
    """What was understood of the labels, in one line."""
    if labels["train"].dtype.kind == "f":
        every = np.concatenate(list(labels.values()))
        return f"numbers from {every.min():g} to {every.max():g} in column {names[0]!r}"
    remarks = list(notes)
    alike, in_case_alone = look_alike(names)
    if alike:
        how = "differ only in case" if in_case_alone else "look alike"
        remarks.insert(0, f"{len(alike)} {how} ({listed([repr(name) for name in alike])})")
    if labels["train"].ndim == 2:
        noun = "labels, any number a text"
        remarks += _remarks_on_lists(labels)
    else:
        noun = "classes"
        remarks += _remarks_on_classes(labels, names)
    return "; ".join([f"{len(names):,} {noun}: {listed(names)}", *remarks])


def _remarks_on_lists(labels: dict[str, np.ndarray]) -> list[str]:
    without = sum(int((lists < 0).all(1).sum()) for lists in labels.values())
    rows = sum(map(len, labels.values()))
    if all(((lists >= 0).sum(1) == 1).all() for lists in labels.values()):
        return ["each text has one: for classes, set task: classification"]
    return [f"{without:,} of {rows:,} texts have none"] if without else []


def _remarks_on_combined(names: tuple[str, ...]) -> list[str]:
    """That some classes look like several others in one cell, as pos#neg beside pos and neg."""
    for separator in SEPARATORS:
        parted = {name: name.split(separator) for name in names if separator in name}
        combined = [name for name in parted if {*map(str.strip, parted[name])} <= {*names}]
        if combined:
            return [
                f"{len(combined):,} put others together ({listed(combined)}): several labels a "
                f"text? Then set label_separator: {separator!r}"
            ]
    return []


def _remarks_on_classes(labels: dict[str, np.ndarray], names: tuple[str, ...]) -> list[str]:
    remarks = _remarks_on_combined(names)
    of_test = labels.get("test", labels["train"])
    absent = np.setdiff1d(labels["train"], of_test).tolist()
    if absent:
        remarks.append(f"test has no text of {listed([names[i] for i in absent])}")
    if len(names) > MANY and are_numbers(names):
        remarks.append("all are numbers: a regression? Then set task: regression")
    return remarks
