"""What the columns that are asked for must be, in all splits: labels where a split is scored, and
no column for two things; and the names that a file has for its classes."""

import re

from lib.errors import InputError
from lib.readers import Table

DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
UNLABELLED = {"-1", "-1.0"}  # how the `datasets` library marks rows of a test set without labels


def check_roles(tables: dict[str, Table], text: str, label: str) -> None:
    """Refuse one column for two things, and a split without labels. Raises InputError."""
    train = tables["train"]
    wanted = {"text": text, "label": label, "text_pair": train.reading.text_pair}
    roles: dict[str, str] = {}
    for role, name in wanted.items():
        column = train.find(name) if name else None
        if column is None:
            continue
        if column in roles:
            raise InputError(
                f"{train.path.name}: {roles[column]} and {role} are the same column, {column!r}; "
                "name another for one of them"
            )
        roles[column] = role
    if train.find(label) is not None:
        for split in tables.keys() - {"train"}:
            _check_labelled(tables, split, label)


def _check_labelled(tables: dict[str, Table], split: str, label: str) -> None:
    """Refuse a split that has no labels at all, as benchmarks publish their test sets."""
    table = tables[split]
    column = table.find(label)
    if column is None:
        if any(other.strip().lower() == label.lower() for other in table.columns):
            table.column(label)  # raises the error that proposes it
        problem = f"no column {label!r}, which train has"
    else:
        labels = {_shown(cell) for cell in table.columns[column]}
        if labels <= UNLABELLED:
            labels &= set(map(_shown, tables["train"].column(label)))
        if labels - {""}:
            return
        problem = f"no label in any row of column {label!r}"
    raise InputError(
        f"{table.path.name} has {problem}: its {split} rows have no labels, as benchmarks publish "
        f"them, and cannot be scored; name a labelled file with data.{split}_file, or the train "
        f"file alone as the dataset, so that {split} is split off it"
    )


def _shown(cell) -> str:
    is_missing = cell is None or cell != cell
    return "" if is_missing else str(cell).strip()


def name_classes(
    tables: dict[str, Table], label: str, given: tuple[str, ...] | None
) -> tuple[str, ...] | None:
    """The names of the classes in the order of their ids: those `given`, or else those that the
    train file has, which then stand in the tables in place of the ids."""
    train = tables["train"]
    column = train.find(label)
    names = train.class_names.get(column, ()) if column is not None else ()
    listed = train.reading.labels
    if given or not names or (listed and not set(listed) <= set(names)):
        return given
    for table in tables.values():
        own_column = table.find(label)
        if table.class_names.get(own_column) == names:
            cells = table.columns[own_column]
            table.columns[own_column] = [_named(cell, names) for cell in cells]
    return None if listed else names


def _named(cell, names: tuple[str, ...]):
    """The name of a class by its id, or names for a list of ids; None for an id that has none."""
    if isinstance(cell, list):
        return [_named(item, names) for item in cell]
    if isinstance(cell, int) and 0 <= cell < len(names):
        return names[cell]
    return None


def with_decimal_points(cells: list) -> list:
    """Numbers in a column with points for their decimal commas, where all commas must be such: at
    least one has not three digits behind it, and no number has a point."""
    texts = [cell for cell in cells if isinstance(cell, str)]
    with_comma = [text for text in texts if DECIMAL_COMMA.fullmatch(text.strip())]
    may_be_thousands = all(len(text.strip().split(",")[1]) == 3 for text in with_comma)
    if may_be_thousands or any("." in text for text in texts):
        return cells
    return [cell.replace(",", ".") if isinstance(cell, str) else cell for cell in cells]
