"""Rows that are carved from a split: stratified, seeded, with equal texts on one side."""

from collections import Counter

import numpy as np

from lib.errors import InputError
from lib.reading.splits import Split

MOST_DEV_ROWS = 5000  # where their number is not said


def carve_splits(
    splits: dict[str, Split],
    *,
    train_rows: int | None,
    dev_rows: int | None,
    test_rows: int | None,
    seed: int,
    subset_seed: int | None = None,
) -> dict[str, Split]:
    """Train, dev and test of at most so many rows; test and dev are carved from train where the
    source has none. With a `subset_seed` dev comes from train in any case (`draw_labelled`)."""
    train = splits["train"]
    if "test" in splits:
        test = at_most(splits["test"], test_rows, seed, "test_rows")
    else:
        rows = test_rows or len(train) // 5
        train, test = carve(train, rows, seed, one_of_each=not test_rows)
    if subset_seed is not None:
        wanted = train_rows + (dev_rows or 0) if train_rows else len(train)
        tell_fewer(wanted, len(train), "train_rows and dev_rows")
        rows = min(wanted, len(train))
        train, dev = draw_labelled(train, rows, dev_rows or rows // 10, subset_seed)
        return {"train": train, "dev": dev, "test": test}
    if "dev" in splits:
        dev = at_most(splits["dev"], dev_rows, seed, "dev_rows")
    else:
        tenth = min(len(train), train_rows or len(train)) // 10
        rows = dev_rows or min(MOST_DEV_ROWS, tenth)
        train, dev = carve(train, rows, seed, one_of_each=not dev_rows)
    return {"train": at_most(train, train_rows, seed, "train_rows"), "dev": dev, "test": test}


def at_most(split: Split, rows: int | None, seed: int, setting: str) -> Split:
    """The split, or a stratified subset of so many rows where it has more; where it has less than
    the `setting` asks for, a line says so."""
    if not rows or rows >= len(split):
        tell_fewer(rows or 0, len(split), setting)
        return split
    _, subset = carve(split, rows, seed)
    return subset


def tell_fewer(wanted: int, there: int, settings: str) -> None:
    """Say where settings ask for more rows than there are."""
    if wanted > there:
        print(f"{settings}: {wanted:,} are asked for; there are {there:,}, all taken", flush=True)


def draw_labelled(split: Split, rows: int, dev_rows: int, seed: int) -> tuple[Split, Split]:
    """The first `rows` documents of a seeded order, as they would be labelled one by one: train,
    and about `dev_rows` of them for dev; in source order.

    Fewer rows are among those of more, and on the same side where dev has the same share of them.
    Each class comes in its share of the split, and first to train; equal texts, and documents of
    one group, stay on one side. Raises InputError where nothing is left for dev.
    """
    strata = strata_of(split)
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(split))
    rank = np.zeros(len(split), np.int64)  # of each row in its class
    for label in np.unique(strata):
        of_class = shuffled[strata[shuffled] == label]
        rank[of_class] = np.arange(len(of_class))
    class_size = np.bincount(strata)[strata]
    order = np.argsort((rank + rng.random(len(split))) / class_size, kind="stable")[:rows]
    share = dev_rows / rows
    # each class has its dev rows at other ranks, never at the first
    offset = strata / (strata.max() + 1) * (1 / share - 1) if share else 0
    is_dev = np.floor((rank + 1 + offset) * share) > np.floor((rank + offset) * share)
    _, first, unit = np.unique(units_of(split)[order], return_index=True, return_inverse=True)
    is_dev = is_dev[order][first[unit]]
    train, dev = (split.take(np.sort(order[side])) for side in (~is_dev, is_dev))
    if not len(train) or not len(dev):
        raise InputError(
            f"Of {rows:,} labelled rows none is left for {'dev' if len(train) else 'train'}; take "
            "more train_rows, or more dev_rows"
        )
    return train, dev


def carve(split: Split, rows: int, seed: int, *, one_of_each: bool = False) -> tuple[Split, Split]:
    """Take about `rows` documents out of a split, stratified by label: (what is left, what was
    taken), in source order.

    Equal texts, and documents of one group, stay on one side: a unit. A class that has no other
    unit is left; of any other each side has one. Documents with several labels or a number are
    taken without strata. `one_of_each`: at least as many documents as classes. Raises InputError
    where it cannot be done.
    """
    unit_of_row = units_of(split)
    units = np.unique(unit_of_row)
    strata = strata_of(split)
    is_stratified = has_classes(split)
    sizes = Counter(strata[units].tolist())
    units = units[[sizes[label] > 1 for label in strata[units].tolist()]]
    classes = len(np.unique(strata[units]))
    if one_of_each:
        rows = max(rows, classes, 1)
    may_be_taken = np.isin(unit_of_row, units)
    if not 0 < classes <= rows <= may_be_taken.sum() - classes:
        noun = "texts" if split.groups is None else "groups"
        within = f" in {classes} classes that have more than one {noun[:-1]}"
        _refuse_to_carve(rows, len(np.unique(unit_of_row)), noun, within if is_stratified else "")
    is_taken = None
    if split.groups is None and rows <= len(units) - classes:
        is_taken = _draw_units(unit_of_row, units, strata if is_stratified else None, rows, seed)
    if is_taken is None:
        is_taken = _fill_up(unit_of_row, units, strata, rows, seed)
    _give_each_side_every_class(is_taken, unit_of_row, units, strata)
    return split.take(np.flatnonzero(~is_taken)), split.take(np.flatnonzero(is_taken))


def has_classes(split: Split) -> bool:
    """Whether each document has one class: not several labels, nor a number."""
    return split.labels.ndim == 1 and split.labels.dtype.kind != "f"


def strata_of(split: Split) -> np.ndarray:
    """The class of each document (rows,); 0 for all where they have none."""
    return split.labels if has_classes(split) else np.zeros(len(split), np.int64)


def units_of(split: Split) -> np.ndarray:
    """For each row the first row of its unit (rows,): rows of equal text or of one group, and those
    that are bound to these in turn."""
    first_place: dict = {}
    of_text = [first_place.setdefault(text, row) for row, text in enumerate(split.documents)]
    if split.groups is None:
        return np.array(of_text, np.int64)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    size = len(split)
    first_place = {}
    of_group = [first_place.setdefault(group, row) for row, group in enumerate(split.groups)]
    ends = ([*of_text, *of_group], [*range(size), *range(size)])
    links = coo_array((np.ones(2 * size, bool), ends), shape=(size, size))
    _, component = connected_components(links, directed=False)
    _, first_row, unit = np.unique(component, return_index=True, return_inverse=True)
    return first_row[unit]


def _refuse_to_carve(rows: int, units: int, noun: str, within: str) -> None:
    raise InputError(
        f"Cannot split off {rows:,} rows, stratified by label: there are {units:,} different "
        f"{noun}{within}, and both sides need one of each; is it the right label column, and the "
        "right number of rows?"
    )


def _draw_units(
    unit_of_row: np.ndarray, units: np.ndarray, strata: np.ndarray | None, rows: int, seed: int
) -> np.ndarray | None:
    """Which rows are taken (rows,) if so many units are drawn as rows are wanted; None where texts
    repeat so much that it makes another number of rows."""
    from sklearn.model_selection import train_test_split

    stratify = None if strata is None else strata[units]
    _, taken = train_test_split(units, test_size=rows, random_state=seed, stratify=stratify)
    is_taken = np.isin(unit_of_row, taken)
    is_about_right = abs(int(is_taken.sum()) - rows) <= 1 + rows // 10
    return is_taken if is_about_right else None


def _fill_up(
    unit_of_row: np.ndarray, units: np.ndarray, strata: np.ndarray, rows: int, seed: int
) -> np.ndarray:
    """Which rows are taken (rows,), where units have several rows: unit by unit, in random order,
    as long as each brings its classes, and all together, nearer to their number of rows."""
    order = np.random.default_rng(seed).permutation(units)
    members = _members(unit_of_row)
    may_be_taken = np.isin(unit_of_row, units)
    wanted = np.bincount(strata[may_be_taken]) * rows / may_be_taken.sum()
    missing = dict(enumerate(wanted.tolist()))  # rows of each class; below 0: there are too many
    missing_in_all = rows
    is_taken = np.zeros(len(unit_of_row), bool)
    for is_strict in (True, False):
        for unit in order.tolist():
            counts = Counter(strata[members[unit]].tolist())
            size = counts.total()
            if is_taken[unit] or size > 2 * missing_in_all:
                continue
            if is_strict:
                gain = sum(number * (2 * missing[c] - number) for c, number in counts.items())
            else:  # what each class rounds off adds up
                gain = sum(number * missing[c] for c, number in counts.items())
            if gain > 0:
                is_taken[members[unit]] = True
                missing_in_all -= size
                for c, number in counts.items():
                    missing[c] -= number
    return is_taken


def _members(unit_of_row: np.ndarray) -> dict[int, np.ndarray]:
    """The rows of each unit."""
    order = np.argsort(unit_of_row, kind="stable")
    units, starts = np.unique(unit_of_row[order], return_index=True)
    return dict(zip(units.tolist(), np.split(order, starts[1:]), strict=True))


def _give_each_side_every_class(
    is_taken: np.ndarray, unit_of_row: np.ndarray, units: np.ndarray, strata: np.ndarray
) -> None:
    """Move a unit of each class that one side lacks to it, and one of the class that has most there
    back, where one of the same size can be spared; `is_taken` (rows,) is changed."""
    classes = set(strata[units].tolist())
    for side in (True, False):
        lacking = sorted(classes - set(strata[is_taken == side].tolist()))
        if not lacking:
            continue
        members = _members(unit_of_row)
        units_of_class: dict[int, list[int]] = {label: [] for label in classes}
        for unit in units.tolist():
            units_of_class[int(strata[unit])].append(unit)
        spare = {
            label: [unit for unit in of_class if is_taken[unit] == side]
            for label, of_class in units_of_class.items()
        }
        for lacked in lacking:
            moved = min(units_of_class[lacked], key=lambda unit: len(members[unit]))
            is_taken[members[moved]] = side
            most = max(spare.values(), key=len)
            if len(most) > 1 and len(members[most[-1]]) == len(members[moved]):
                is_taken[members[most.pop()]] = not side
