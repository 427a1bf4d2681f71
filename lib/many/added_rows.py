"""Rows that a study has added to tables (a head, an optimizer), which go to workers with a run."""

import dataclasses
from functools import partial
from typing import Any

from lib.datasets import DATASETS
from lib.errors import InputError
from lib.heads import HEADS
from lib.optim import OPTIMIZERS, SCHEDULES
from lib.runs.config import RunConfig

TABLES = {"head": HEADS, "optimizer": OPTIMIZERS, "schedule": SCHEDULES, "dataset": DATASETS}


def added_rows(config: RunConfig) -> dict[str, Any]:
    """The rows that a configuration names and that no module of `lib` defines, by its fields.

    Raises InputError for one that a notebook's cell or a script defines: only what a module holds
    can be imported by another process.
    """
    rows = {}
    for field, table in TABLES.items():
        name = getattr(config, field)
        modules = modules_of(table.get(name))
        if "__main__" in modules:
            raise InputError(
                f"The {field} {name!r} is defined in a notebook's cell or a script, where workers "
                "cannot find it; define it in a module beside the notebook, and import that"
            )
        if any(module.split(".")[0] not in ("lib", "torch") for module in modules):
            rows[field] = table[name]
    return rows


def modules_of(row) -> set[str]:
    """The modules that define the functions and classes of a table's row."""
    if isinstance(row, partial):
        return modules_of(row.func)
    if isinstance(row, tuple):
        return set().union(*map(modules_of, row))
    if dataclasses.is_dataclass(row) and not isinstance(row, type):
        return set().union(*map(modules_of, vars(row).values()))
    return {row.__module__} if callable(row) else set()


def add_rows(config: RunConfig, rows: dict[str, Any]) -> None:
    """Put rows that came with a configuration into this process's tables."""
    for field, row in rows.items():
        TABLES[field][getattr(config, field)] = row
