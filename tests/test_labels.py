"""Labels from cells, and the vocabulary that is train's own."""

from pathlib import Path

import numpy as np
import pytest

from lib.errors import InputError
from lib.label_cells import read_label_column
from lib.labels import class_ids, class_lists, encode_labels, numbers, task_of
from lib.readers import Reading, Table
from lib.vocabulary import (
    NOT_IN_TRAIN,
    describe_labels,
    names_of,
    renumber_lists,
    train_classes,
    train_lists,
)


def table(values: list, **reading) -> Table:
    lines = list(range(2, len(values) + 2))
    return Table(Path("few.csv"), {"label": values}, lines, reading=Reading(**reading))


def encode(values: list, names=None, **reading):
    """The labels and names of one column, as train's."""
    train = table(values, **reading)
    encoded = encode_tables({"train": train}, "label", names)
    return encoded.ids["train"].tolist(), encoded.names, train.bad_rows


def encode_tables(tables: dict[str, Table], label: str = "label", names=None):
    column = read_label_column(tables, label, names)
    return encode_labels(tables, column, task_of(column, tables["train"].reading), names)


def understood(tables: dict[str, Table], label: str = "label") -> str:
    """The line that says what was understood of them."""
    encoded = encode_tables(tables, label)
    return describe_labels(encoded.ids, encoded.names, encoded.notes)


def task(values: list, **reading) -> str:
    column = read_label_column({"train": table(values, **reading)}, "label")
    return task_of(column, Reading(**reading))


def test_the_task_of_a_column():
    assert task(["a", "b"]) == "classification"
    assert task([["a"], ["b"]]) == task([None, [], ["b"]]) == "multilabel"
    assert task(["a|b"], label_separator="|") == "multilabel"
    assert task(["1"], task="regression") == "regression"


def test_classes_are_numbered_by_name_or_number():
    assert encode(["b", "a", "b"])[:2] == ([1, 0, 1], ("a", "b"))
    assert encode(["10", "9", "-1"])[:2] == ([2, 1, 0], ("-1", "9", "10"))
    assert encode([1, 0, 1])[:2] == ([1, 0, 1], ("0", "1"))
    assert encode(["yes", "no"], labels=("yes", "no"))[:2] == ([0, 1], ("yes", "no"))
    assert names_of([["10"], ["9"], ["x"]]) == ("10", "9", "x")


def test_ids_stand_for_names_unless_a_name_looks_like_one():
    rows = [["1"], ["no"], ["0"]]
    assert class_ids(table(["", "", ""]), "label", rows, ("no", "yes")).tolist() == [1, 0, 0]
    with pytest.raises(InputError, match="unknown label '0' in column 'label'; the labels are 2"):
        class_ids(table(["1", "0"]), "label", [["1"], ["0"]], ("2", "1"))


def test_a_message_lists_ten_classes():
    names = tuple(f"c{i}" for i in range(13))
    with pytest.raises(InputError, match=r"the labels are c0, c1, .*, c9 and 3 more$"):
        class_ids(table(["x"]), "label", [["x"]], names)


@pytest.mark.parametrize(
    ("value", "reading", "reason"),
    [
        ("", {}, "column 'label' has no label"),
        (None, {}, "column 'label' has no label"),
        (float("nan"), {}, "column 'label' has no label"),
        ([], {}, "column 'label' has no label"),
        ([None, " "], {}, "column 'label' has no label"),
        ({"a": 1}, {}, "column 'label' has an object, which is no label"),
        ("inf", {}, "label inf in column 'label' is a fraction, not a class; "),
        (2.5, {}, "label 2.5 in column 'label' is a fraction, not a class; "),
        ("-100", {}, "label -100 in column 'label' marks a row to leave out; "),
        ("c", {"labels": ("a", "b")}, "unknown label 'c' in column 'label'; the labels are a, b"),
        (["a", "b"], {"task": "classification"}, "column 'label' has 2 labels (a, b); "),
    ],
)
def test_a_cell_without_a_class_is_refused(value, reading, reason):
    labels, _, bad_rows = encode(["a", "b", value], on_bad_rows="quarantine", **reading)
    assert labels == [0, 1, -1] and len(bad_rows) == 1
    assert bad_rows[0].line == 4 and bad_rows[0].reason.startswith(reason)
    with pytest.raises(InputError) as error:
        encode(["a", "b", value], **reading)
    assert str(error.value).startswith(f"few.csv, line 4: {reason}")


def test_a_list_of_classes_may_hold_anything():
    listed = ("-100", "2.5", "inf")
    assert encode(["2.5", "-100", "inf"], labels=listed)[:2] == ([1, 0, 2], listed)


def test_several_labels_a_document():
    labels, names, _ = encode(["b | a", "c|b|c", "|a|"], label_separator="|")
    assert names == ("a", "b", "c") and labels == [[0, 1], [1, 2], [0, -1]]
    labels, names, _ = encode([["b", 3], ["3"]])
    assert names == ("3", "b") and labels == [[0, 1], [0, -1]]
    assert encode([[" a"], ["a "]])[1] == ("a",)
    with pytest.raises(InputError, match=r"^few.csv, line 3: unknown label 'c' in column 'label'$"):
        encode(["a|b", "d|c"], label_separator="|", labels=("a", "b"))


def test_a_label_that_has_no_name_has_the_id_after_the_last():
    assert class_lists([["x", "a"], ["b"]], ("a", "b")).tolist() == [[0, 2], [1, -1]]
    assert class_lists([], ("a",)).shape == (0, 0)


def numbers_of(table: Table) -> np.ndarray:
    return numbers(table, "label", table.column("label"))


def test_numbers():
    values = numbers_of(table(["1.5", 2, " -3e2 "]))
    assert values.tolist() == [1.5, 2.0, -300.0] and values.dtype == np.float64
    quarantined = table(["1", "many", None, "inf", "2"], on_bad_rows="quarantine")
    assert np.isnan(numbers_of(quarantined)).tolist() == [False, True, True, True, False]
    assert [row.reason for row in quarantined.bad_rows] == [
        "column 'label' has 'many', which is no number",
        "column 'label' has no label",
        "column 'label' has 'inf', which is no number",
    ]
    with pytest.raises(InputError, match=r"^few.csv: column 'label' has the same number in every"):
        numbers_of(table(["1", "1.0"]))


def ids(**splits) -> dict[str, np.ndarray]:
    return {name: np.array(labels) for name, labels in splits.items()}


def test_classes_that_train_lacks_are_one(capsys):
    labels = ids(train=[3, 1, 3], dev=[1, 0], test=[2, 0, 0])
    numbered, names = train_classes(
        labels, ("a", "b", "c", "d"), fixed=False, corpus_name="few.csv"
    )
    assert names == ("b", "d", NOT_IN_TRAIN)
    assert {name: split.tolist() for name, split in numbered.items()} == {
        "train": [1, 0, 1],
        "dev": [0, 2],
        "test": [2, 2, 2],
    }
    assert capsys.readouterr().out == (
        "few.csv: 1 rows of dev have a class that train lacks (a); they count as wrong\n"
        "few.csv: 3 rows of test have a class that train lacks (a, c); they count as wrong\n"
    )
    assert train_classes(labels, tuple("abcd"), fixed=True, corpus_name="")[1] == tuple("abcd")
    known = ids(train=[3, 1], dev=[1], test=[3])
    assert train_classes(known, tuple("abcd"), fixed=False, corpus_name="")[1] == ("b", "d")


def test_label_lists_are_padded_alike_and_numbered_as_train():
    labels = ids(train=[[1, 3], [3, -1]], dev=[[0]], test=[[1, 2, 4]])
    new_ids, names = train_lists(labels["train"], ("a", "b", "c", "d"), fixed=False)
    assert names == ("b", "d")
    numbered = renumber_lists(labels, new_ids)
    assert {name: split.tolist() for name, split in numbered.items()} == {
        "train": [[0, 1, -1], [1, -1, -1]],
        "dev": [[2, -1, -1]],
        "test": [[0, 2, 2]],
    }
    new_ids, names = train_lists(labels["train"], ("a", "b", "c", "d"), fixed=True)
    numbered = renumber_lists(labels, new_ids)
    assert names == ("a", "b", "c", "d") and numbered["test"].tolist() == [[1, 2, 4]]
