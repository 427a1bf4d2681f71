"""What the columns that are asked for must be, in all splits: labels where a split is scored, and
no column for two things; and the names that a file has for its classes."""

from numbers import Integral

from lib.errors import InputError
from lib.reading.columns import cell_text, columns_at
from lib.reading.options import PLAIN, Reading, Table, check_sheet
from lib.reading.vocabulary import UNLABELLED, whole_number

# What a reading may say of files alone; formats do not matter where there is none.
OF_FILES = (
    *("dev_file", "test_file", "text_pair", "labels", "label_separator"),
    *("task", "split", "group", "min_rows_per_class"),
)


def check_roles(tables: dict[str, Table], text: str, label: str) -> None:
    """Refuse one column for two things, a split without labels, and the sheet of what is no
    workbook. Raises InputError."""
    train = tables["train"]
    check_sheet([table.path for table in tables.values()], train.reading.sheet)
    wanted = {"text": text, "label": label, "text_pair": train.reading.text_pair}
    roles: dict[str, str] = {}
    for role, name in wanted.items():
        for column in columns_at(name, train.columns) if name else []:
            if column in roles:
                raise InputError(
                    f"{train.path.name}: {roles[column]} and {role} are the same column, "
                    f"{column!r}; name another for one of them"
                )
            roles[column] = role
    _check_first_line(train, text, label)
    labels = [label] if train.find(label) else [piece.strip() for piece in label.split(",")]
    if all(map(train.find, labels)):
        for split in tables.keys() - {"train"}:
            for column in labels:
                _check_labelled(tables, split, column)


def _check_first_line(table: Table, text: str, label: str) -> None:
    """Refuse a header that must be a row: the label column's name is one of its labels."""
    column = table.find(label)
    first = text.split(",")[0].strip()
    if column is None or not first.isdecimal() or first in table.columns:
        return
    if _label_in(column) in set(map(_label_in, table.columns[column])):
        raise InputError(
            f"{table.path.name}: its first line calls the label column {column.strip()!r}, which "
            "is one of its labels: if that line is a row, set header: false; if not, say the names "
            "of text and label, not their numbers"
        )


def _check_labelled(tables: dict[str, Table], split: str, label: str) -> None:
    """Refuse a split that has no labels at all, as benchmarks publish their test sets."""
    table = tables[split]
    column = table.find(label)
    if column is None:
        if any(other.strip().lower() == label.lower() for other in table.columns):
            table.column(label)  # raises the error that proposes it
        problem = f"no column {label!r}, which train has"
    else:
        labels = {_label_in(cell) for cell in table.columns[column]}
        if labels <= {UNLABELLED}:  # so the `datasets` library marks a test set without labels
            labels &= set(map(_label_in, tables["train"].column(label)))
        if labels - {""}:
            return
        problem = f"no label in any row of column {label!r}"
    raise InputError(
        f"{table.path.name} has {problem}: its {split} rows have no labels, as benchmarks publish "
        f"them, and cannot be scored; name a labelled file with data.{split}_file, or the train "
        f"file alone as the dataset, so that {split} is split off it"
    )


def _label_in(cell) -> str:
    return whole_number(cell_text(cell))


def check_generated(
    dataset: str, reading: Reading, *, task: str, labels: tuple[str, ...] | None
) -> None:
    """Refuse what a reading says of columns and files where a corpus is generated: it has its own
    texts, splits, task and labels. Raises InputError."""
    own_values = {"task": task, "labels": labels}
    for name in OF_FILES:
        value = getattr(reading, name)
        if value not in (getattr(PLAIN, name), own_values.get(name)):
            raise InputError(
                f"{name} = {value!r} cannot hold for {dataset}, which is generated, not read from "
                "a file; leave it out, or name a file or folder as the dataset"
            )


def name_classes(
    tables: dict[str, Table], label: str, given: tuple[str, ...] | None
) -> tuple[str, ...] | None:
    """The names of the classes in the order of their ids: those `given`, or else those that the
    train file has. Then each table's own names stand in it in place of its ids. Raises
    InputError where ids stay, and a file numbers the classes in another way than train."""
    train = tables["train"]
    column = train.find(label)
    names = train.class_names.get(column, ()) if column is not None else ()
    listed = train.reading.labels
    if given or not names or (listed and not set(listed) <= set(names)):
        _check_same_ids(tables, label)
        return given
    for table in tables.values():
        own_column = table.find(label)
        own_names = table.class_names.get(own_column)
        if own_names:
            cells = table.columns[own_column]
            table.columns[own_column] = [as_names(cell, own_names) for cell in cells]
    return None if listed else names


def _check_same_ids(tables: dict[str, Table], label: str) -> None:
    """Refuse a file in which an id stands for another class than in train's."""
    train = tables["train"]
    names = train.class_names.get(train.find(label), ())
    for table in tables.values():
        column = table.find(label)
        own_names = table.class_names.get(column, ())
        for number, (one, other) in enumerate(zip(names, own_names, strict=False)):
            if one != other:
                raise InputError(
                    f"{table.path.name}: class {number} of column {column!r} is {other!r}, in "
                    f"{train.path.name} it is {one!r}; save both with the same list of classes"
                )


def as_names(cell, names: tuple[str, ...]):
    """The name of a class by its id, or names for a list of ids; None for an id that has none."""
    if isinstance(cell, list):
        return [as_names(item, names) for item in cell]
    if isinstance(cell, Integral) and 0 <= cell < len(names):
        return names[cell]
    return None
