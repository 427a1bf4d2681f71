"""Labels from cells, and the vocabulary that is train's own."""

from pathlib import Path

import numpy as np
import pytest

from lib.errors import InputError
from lib.reading.label_cells import read_label_column
from lib.reading.labels import class_ids, class_lists, encode_labels, numbers, task_of
from lib.reading.options import Reading, Table
from lib.reading.vocabulary import (
    NOT_IN_TRAIN,
    check_classes,
    check_known,
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
    assert encode(["10.0", "2.0"])[:2] == ([1, 0], ("2.0", "10.0"))
    assert names_of([["01"], ["1"], ["0"]]) == names_of([["1"], ["01"], ["0"]])
    assert encode([1, 0, 1])[:2] == ([1, 0, 1], ("0", "1"))
    assert encode(["yes", "no"], labels=("yes", "no"))[:2] == ([0, 1], ("yes", "no"))
    assert names_of([["10"], ["9"], ["x"]]) == ("10", "9", "x")


def test_ids_stand_for_names_unless_a_name_looks_like_one():
    rows = [["1"], ["no"], ["0"]]
    assert class_ids(table(["", "", ""]), "label", rows, ("no", "yes")).tolist() == [1, 0, 0]
    with pytest.raises(InputError, match="unknown label '0' in column 'label'; the labels are 2"):
        class_ids(table(["1", "0"]), "label", [["1"], ["0"]], ("2", "1"))


def test_words_that_say_no_finite_number_are_classes():
    labels, names, _ = encode(["nan", "inf", "-Infinity", "nan"])
    assert labels == [2, 1, 0, 2] and names == ("-Infinity", "inf", "nan")


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


# ---- how several labels a document are written


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        ([["php", "sql"], ["sql"], [], ["css"]], ("css", "php", "sql")),
        (["['php', 'sql']", "['sql']", "[]", "['css']"], ("css", "php", "sql")),
        (['["php", "sql"]', '["sql"]', "[]", '["css"]'], ("css", "php", "sql")),
        (["('php', 'sql')", "('sql',)", "()", "('css',)"], ("css", "php", "sql")),
        (["{'php', 'sql'}", "{'sql', }", "[]", "{'css', }"], ("css", "php", "sql")),
        (["['php' 'sql']", "['sql']", "[]", "['css']"], ("css", "php", "sql")),  # NumPy's
        (["[php, sql]", "[sql]", "[]", "[css]"], ("css", "php", "sql")),
        (["[1, 20]", "[20]", "[]", "[3]"], ("1", "3", "20")),
        ([[1, 20], [20.0], [], [3]], ("1", "3", "20")),
    ],
)
def test_lists_of_labels_however_they_are_written(cells, names):
    labels, found, bad_rows = encode(cells)
    last = [0, -1] if names[0] == "css" else [1, -1]
    first = [1, 2] if names[0] == "css" else [0, 2]
    assert found == names and labels == [first, [2, -1], [-1, -1], last] and not bad_rows


@pytest.mark.parametrize(
    "cells",
    [
        ["[PER]", "[LOC]", "[PER]"],  # names in brackets
        ["a, b", "c", "a, b"],
        ["[deleted]", "spam", "ham", "spam"],
        ["(a)", "(b)", "(a)"],
    ],
)
def test_names_that_look_like_lists_are_classes(cells):
    assert task(cells) == "classification" and encode(cells)[1] == tuple(sorted({*cells}))


def test_a_list_as_text_may_be_a_class_where_that_is_said():
    assert task(["['a', 'b']", "['b']"], task="classification") == "classification"
    assert encode(["['a', 'b']", "['b']"], labels=("['b']", "['a', 'b']"))[0] == [1, 0]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["['a', 'b']", "['a'"], r"line 3: column 'label' has \"\['a'\", which is no list, as"),
        (["['a', 'b']", "['a']", "a"], r"line 4: column 'label' has 'a', which is no list, as"),
        ([["a", "b"], None], "line 3: column 'label' has no label"),
        ([["a", "b"], [None]], "line 3: column 'label' has no label"),
        ([["a", "b"], [["a"]]], r"line 3: column 'label' has \['a'\] in its list, which is no"),
        ([["a", "b"], [{"a": 1}]], r"line 3: column 'label' has \{'a': 1\} in its list, which is"),
        ([["a", "b"], {"a": 1}], "line 3: column 'label' has an object, which is no label"),
        ([[0.2, 0.8], [0.5, 0.5]], "line 2: column 'label' has 0.2 in its list, a fraction, which"),
    ],
)
def test_what_is_no_list_of_labels_is_named(cells, message):
    with pytest.raises(InputError, match=rf"^few.csv, {message}"):
        encode(cells)


def test_a_document_without_labels_is_one():
    labels, _, bad_rows = encode(["a|b", "", "|", " "], label_separator="|")
    assert labels == [[0, 1], [-1, -1], [-1, -1], [-1, -1]] and not bad_rows
    assert understood({"train": table([["a"], [], ["b", "a"]])}) == (
        "2 labels, any number a text: a, b; 1 of 3 texts have none"
    )


ROWS = [[1, 0, 1], [0, 0, 0], [0, 1, 1]]


@pytest.mark.parametrize(
    "cells",
    [
        ROWS,
        [[float(value) for value in row] for row in ROWS],
        [[bool(value) for value in row] for row in ROWS],
        [str(row) for row in ROWS],
        [str(np.array(row)) for row in ROWS],
        [str(np.array(row, float)) for row in ROWS],
    ],
    ids=["ints", "floats", "truths", "text", "array", "float_array"],
)
def test_zeros_and_ones_are_the_labels_of_their_positions(cells):
    labels, names, _ = encode(cells)
    assert names == ("0", "1", "2") and labels == [[0, 2], [-1, -1], [1, 2]]
    assert encode(cells, labels=("x", "y", "z"))[:2] == (labels, ("x", "y", "z"))
    assert encode(cells, names=("x", "y", "z"))[:2] == (labels, ("x", "y", "z"))
    with pytest.raises(InputError, match="has 3 zeros and ones a row, but 2 labels are listed"):
        encode(cells, labels=("x", "y"))


def test_ids_of_two_labels_are_no_zeros_and_ones():
    assert encode([[0, 1], [1], [0]])[:2] == ([[0, 1], [1, -1], [0, -1]], ("0", "1"))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1, 0], "has 2 values; the others have 3"),
        ([1, -1, 0], "has -1 for '1', which marks a row without labels; remove the row, or set"),
        ("maybe", "has 'maybe', which is no list"),
        (None, "has no label"),
    ],
)
def test_a_row_that_is_not_like_the_other_zeros_and_ones_is_named(row, message):
    with pytest.raises(InputError, match=rf"^few.csv, line 6: column 'label' {message}"):
        encode([*ROWS, [1, 1, 1], row])


def columns(**values) -> Table:
    return Table(Path("few.csv"), values, list(range(2, len(values["a"]) + 2)))


@pytest.mark.parametrize(
    ("no", "yes"), [("0", "1"), (0, 1), ("0.0", "1.0"), (False, True), ("False", "TRUE")]
)
def test_several_columns_are_the_labels(no, yes):
    few = columns(a=[yes, no, no], b=[no, no, yes], c=[yes, no, yes])
    encoded = encode_tables({"train": few}, "a,b, c")
    assert encoded.names == ("a", "b", "c")
    assert encoded.ids["train"].tolist() == [[0, 2], [-1, -1], [1, 2]]
    assert encode_tables({"train": few}, "3,1").names == ("c", "a")  # by number


def test_several_columns_may_be_the_classes():
    few = columns(a=["1", "0", "0"], b=["0", "0", "1"], c=["0", "1", "0"])
    few.reading = Reading(task="classification")
    encoded = encode_tables({"train": few}, "a,b,c")
    assert encoded.ids["train"].tolist() == [0, 2, 1]
    few.columns["a"][1] = "1"
    with pytest.raises(InputError, match=r"line 3: column 'a,b,c' has 2 labels \(a, c\); for sev"):
        encode_tables({"train": few}, "a,b,c")


@pytest.mark.parametrize(
    ("label", "cell", "message"),
    [
        ("a,bb", "0", r"^few.csv has no column 'bb'\."),
        ("a,b,a", "0", "names the column 'a' twice"),
        ("x,y", "0", "few.csv has no column 'x,y'"),
        ("a,b", "maybe", "line 3: column 'a,b' has 'maybe' for 'b', which is neither 0 nor 1"),
        ("a,b", "", "line 3: column 'a,b' has nothing for 'b', which is neither 0 nor 1"),
        ("a,b", -1, "line 3: column 'a,b' has -1 for 'b', which marks a row without labels; "),
    ],
)
def test_several_columns_that_cannot_be_read_are_named(label, cell, message):
    with pytest.raises(InputError, match=message):
        encode_tables({"train": columns(a=["1", "0"], b=["0", cell])}, label)


def test_a_column_with_a_comma_in_its_name_is_one():
    few = columns(**{"a": ["1", "0"], "b": ["0", "1"], "a,b": ["x", "y"]})
    assert encode_tables({"train": few}, "a,b").names == ("x", "y")


# ---- names that are nearly the same


def test_white_space_around_a_name_is_none_of_it():
    assert encode(["a ", "b", " a", "b\u00a0"])[:2] == ([0, 1, 0, 1], ("a", "b"))


@pytest.mark.parametrize(
    ("train", "test", "names"),
    [
        (["0.0", "1.0"], ["0", "1"], ("0", "1")),
        ([0.0, 1.0], [0, 1], ("0", "1")),
        (["1", "2.0"], ["2", "1.00"], ("1", "2")),
        ([True, False], ["true", "FALSE"], ("false", "true")),
        (["1.0", "10.0"], ["10.0"], ("1.0", "10.0")),  # written alike: left as they are
        (["True", "False"], ["True"], ("False", "True")),
    ],
)
def test_numbers_and_truth_values_are_one_class_however_they_are_written(train, test, names):
    encoded = encode_tables({"train": table(train), "test": table(test)})
    assert encoded.names == names
    values = [str(value).lower().partition(".")[0] for value in test]
    wanted = [[name.lower().partition(".")[0] for name in names].index(value) for value in values]
    assert encoded.ids["test"].tolist() == wanted


def test_decimals_of_a_listed_class_do_not_matter():
    assert encode(["1.0", "0"], labels=("0", "1"))[0] == encode(["1", "0"], names=("0", "1"))[0]
    assert encode(["1.0", "0.0"], names=("no", "yes"))[0] == [1, 0]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (["b", "a"], "2 classes: a, b"),
        (["cat", "Cat", "dog"], "3 classes: Cat, cat, dog; 2 differ only in case ('Cat', 'cat')"),
        (
            ["caf\u00e9", "cafe\u0301"],
            "2 classes: cafe\u0301, caf\u00e9; 2 look alike ('cafe\u0301', 'caf\u00e9')",
        ),
        (["1", "1.0", "2"], "2 classes: 1, 2; 1.0 is read as 1"),
        (["-1", "0", "1"], "3 classes: -1, 0, 1; -1 is read as a class"),
        (
            [str(i) for i in range(60)],
            "60 classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 50 more; all are numbers: a regression? "
            "Then set task: regression",
        ),
    ],
)
def test_a_line_says_what_was_understood(values, line):
    assert understood({"train": table(values)}) == line


def test_a_line_says_which_classes_test_lacks():
    tables = {"train": table(["a", "b", "c", "d"]), "test": table(["b"])}
    assert understood(tables) == "4 classes: a, b, c, d; test has no text of a, c, d"


def test_a_line_stays_one_whatever_a_name_holds():
    line = understood({"train": table(["a\nb", "\u200bc", "x" * 500])})
    assert len(line.splitlines()) == 1 and len(line) < 120
    assert line.startswith("3 classes: 'a\\nb', ") and line.endswith("…, '\\u200bc'")


def test_a_line_says_the_range_of_numbers():
    assert understood({"train": table([1, 2.5], task="regression")}) == (
        "numbers from 1 to 2.5 in column 'label'"
    )


# ---- rows and files without labels


@pytest.mark.parametrize(
    "values", [["0", "1", "2", "-1"], ["no", "yes", "-1"], [0, 1, 2, 3, -1], ["a", -1.0, -1, "b"]]
)
def test_a_mark_of_no_label_is_no_class(values):
    with pytest.raises(InputError, match=r"line \d: label -1 in column 'label' marks a row"):
        encode(values)
    labels, names, bad_rows = encode(values, on_bad_rows="quarantine")
    assert "-1" not in names and len(bad_rows) == labels.count(-1) >= 1
    listed = tuple(dict.fromkeys(str(value).removesuffix(".0") for value in values))
    assert -1 not in encode(values, labels=listed)[0]


@pytest.mark.parametrize("values", [["-1", "1"], ["-1", "0", "1"], ["-2", "-1", "1", "2"]])
def test_minus_one_may_be_a_class(values):
    assert encode(values)[1] == tuple(values)


def test_a_split_that_has_none_of_trains_labels_is_refused():
    names = ("a", "b", "c", "d")
    labels = ids(train=[0, 1], dev=[1, 2], test=[2, 3])
    with pytest.raises(
        InputError,
        match=r"train has none of the labels that test has in column 'x'"
        r" \(c, d; those of train: a, b\)",
    ):
        check_known(labels, names, dataset="few.csv", column="x")
    check_known(labels | ids(test=[2, 0]), names, dataset="few.csv", column="x")
    lists = ids(train=[[0, 1], [1, -1]], dev=[[-1, -1]], test=[[2, 4]])
    with pytest.raises(InputError, match=r"\(c, others; those of train: a, b\)"):
        check_known(lists, names, dataset="few.csv", column="x")


def test_classes_that_are_hundreds_of_numbers_are_asked_about():
    names = tuple(map(str, range(150)))
    few_each = np.arange(300) % 150
    settings = {"dataset": "few.csv", "column": "x"}
    with pytest.raises(InputError, match="has 150 different numbers in 300 rows: a regression"):
        check_classes(few_each, names, **settings, is_open=True)
    check_classes(few_each, names, **settings, is_open=False)
    check_classes(np.arange(1500) % 150, names, **settings, is_open=True)
    check_classes(few_each, tuple(f"c{name}" for name in names), **settings, is_open=True)


def test_one_label_and_none_is_one_class():
    with pytest.raises(InputError, match=r"only \(toxic\); at least two are needed, such as toxic"):
        lists = np.array([[-1], [0]])
        check_classes(lists, ("toxic",), dataset="few.csv", column="x", is_open=True)
