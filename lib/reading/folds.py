"""Folds of a table: every row is in test once, and in train or dev otherwise."""

import warnings

import numpy as np

from lib.errors import InputError
from lib.reading.carving import strata_of, units_of
from lib.reading.splits import Split


def take_fold(
    splits: dict[str, Split], folds: int, fold: int | None, *, test_rows: int | None, seed: int
) -> dict[str, Split]:
    """A table's `fold`-th of so many, from 1, as test, and the rest as train. Raises InputError."""
    _check_folds(splits, test_rows, folds, fold)
    table = splits["train"]
    fold_of_row = folds_of(table, folds, seed)
    return {
        "train": table.take(np.flatnonzero(fold_of_row != fold)),
        "test": table.take(np.flatnonzero(fold_of_row == fold)),
    }


def folds_of(split: Split, folds: int, seed: int) -> np.ndarray:
    """The fold of each row (rows,), from 1: a function of the rows and the seed alone, stratified
    by label, equal texts and the rows of one group together. Raises InputError where there are
    fewer of these than folds."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    unit_of_row = units_of(split)
    units = len(np.unique(unit_of_row))
    if units < folds:
        noun = "texts" if split.groups is None else "groups"
        raise InputError(f"folds is {folds}, but there are {units} different {noun}; take fewer")
    strata = strata_of(split)
    if np.bincount(strata).max() < folds:
        strata = np.zeros(len(split), np.int64)
    kind = StratifiedKFold if units == len(split) else StratifiedGroupKFold
    cutter = kind(folds, shuffle=True, random_state=seed)
    fold_of_row = np.zeros(len(split), np.int64)
    with warnings.catch_warnings():  # of classes with fewer documents than folds
        warnings.simplefilter("ignore", UserWarning)
        for fold, (_, rows) in enumerate(cutter.split(strata, strata, unit_of_row), 1):
            fold_of_row[rows] = fold
    return fold_of_row


def _check_folds(
    splits: dict[str, Split], test_rows: int | None, folds: int, fold: int | None
) -> None:
    if folds < 2:
        raise InputError(f"folds is {folds}; take 2 or more, or 0 for one split")
    if fold is None or fold > folds:
        raise InputError(f"fold is {fold}; folds = {folds} has folds 1 to {folds}")
    others = [name for name in splits if name != "train"]
    if others:
        raise InputError(
            f"folds = {folds} scores every row of one table, but there is a split for "
            f"{' and '.join(others)}, too; leave out one of the two"
        )
    if test_rows:
        raise InputError(f"folds = {folds} scores every row once; leave out test_rows")
