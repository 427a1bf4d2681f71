"""Which columns of a table a page shows; its CSV has all."""

import pandas as pd

from lib.references.baselines import NAMES

INTERVAL = ("_low", "_high", "_values")  # ends of the columns of a mean's interval
ENDS = ("_sd", *INTERVAL)  # of the columns that are shown beside the mean
MOST = 5
SAID_BELOW = {"seeds": "seed", "documents": "document"}  # where all rows have the same number


def own_columns(table: pd.DataFrame) -> list[str]:
    """The columns that are no part of another's cells, such as its interval."""
    literal = table.attrs.get("literal", ())
    beside = {f"{name}{end}" for name in table.attrs.get("metrics", {}) for end in ENDS}
    return [column for column in table if column in literal or column not in beside]


def chosen_columns(table: pd.DataFrame) -> list[str]:
    """The columns that a page shows: those in `attrs["shown"]`; else the first `MOST`, but for the
    numbers that all rows share. All where some are named after the user's data."""
    columns = own_columns(table)
    if table.attrs.get("literal") or table.attrs.get("across"):
        return columns
    if "shown" in table.attrs:
        return [column for column in columns if column in table.attrs["shown"]]
    room = MOST - (table.index.name is not None)
    return [column for column in columns if column not in shared_numbers(table)][:room]


def shared_numbers(table: pd.DataFrame) -> dict[str, int]:
    """How many seeds and documents all rows have, but for references, which are computed once. The
    documents of a class are its own."""
    if "class" in table:
        return {}
    literal = table.attrs.get("literal", ())
    is_reference = table.isin(set(NAMES.values())).any(axis=1)
    shared = {}
    for column in SAID_BELOW:
        if column not in table or column in literal:
            continue
        numbers = table[column][~is_reference if column == "seeds" else table.index].unique()
        if len(numbers) == 1 and not isinstance(numbers[0], str):
            shared[column] = int(numbers[0])
    return shared


def score_as(column: str, table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The columns of a metric's mean and interval in a table, as those of `column`."""
    names = {f"{metric}{end}": f"{column}{end}" for end in ("", *INTERVAL)}
    return table[[name for name in names if name in table]].rename(columns=names)


def turned(columns: list[list[str]]) -> list[list[str]]:
    """Columns of cells as the rows of a table: the first row has their headers."""
    (corner, _, *headers), *others = columns
    names = [corner, "---", *(column[0] for column in others)]
    rows = zip(*(column[2:] for column in others), strict=True)
    return [names] + [[name, "---:", *row] for name, row in zip(headers, rows, strict=True)]
