"""Columns by their names and numbers, and rows that are refused."""

from pathlib import Path

import pytest

from lib.data import load_corpus
from lib.errors import InputError
from lib.reading.options import BadRow, Reading, Table, check_texts, column_at


def table(columns: dict[str, list], **reading) -> Table:
    """Columns as a file of lines 2, 3, … would have them."""
    rows = len(next(iter(columns.values())))
    lines = list(range(2, rows + 2))
    return Table(Path("few.csv"), columns, lines, reading=Reading(**reading))


def test_a_column_by_its_name_or_number():
    columns = table({"text": ["a"], "2": ["b"], "": ["c"]})
    assert columns.column("text") == columns.column("1") == ["a"]
    assert columns.column("2") == ["b"]  # a name goes before a number
    assert columns.column("3") == ["c"]
    with pytest.raises(InputError) as error:
        columns.column("4")
    assert str(error.value) == "few.csv has no column '4'. Choose from text, 2, ."
    assert column_at("0", ["a"]) is None and column_at("²", ["a", "b"]) is None


@pytest.mark.parametrize(("delimiter", "shown"), [(";", ";"), ("\t", "tab"), ("|", "|")])
def test_a_missing_column_and_another_delimiter(delimiter, shown):
    only = f"text{delimiter}label"
    with pytest.raises(InputError) as error:
        table({only: ["a"]}).column("label")
    assert str(error.value) == (
        f"few.csv has no column 'label': its only column is {only!r}. "
        f"Is the delimiter {shown!r}? Then set delimiter: {shown!r}"
    )


TEXTS = ["good", " ", None, 3, "a\0b", "\ud800"]
REASONS = [
    "column 'text' is empty",
    "column 'text' is empty",
    "column 'text' is not text",
    "column 'text' has a NUL byte",
    "column 'text' has half a character (a lone surrogate)",
]


def test_rows_without_a_text_are_left_out_and_listed():
    columns = table({"text": TEXTS}, on_bad_rows="quarantine")
    check_texts(columns, "text")
    wanted = [BadRow("few.csv", line, reason) for line, reason in enumerate(REASONS, 3)]
    assert columns.bad_rows == wanted


def test_a_row_that_lacks_text_and_label_is_listed_once(tmp_path):
    (tmp_path / "few.csv").write_text(
        "text,label\n,\n" + "".join(f"t{i},{i % 2}\n" for i in range(20))
    )
    reading = Reading(on_bad_rows="quarantine")
    (row,) = load_corpus(str(tmp_path / "few.csv"), reading=reading).bad_rows
    assert row == BadRow("few.csv", 2, "column 'text' is empty")


@pytest.mark.parametrize("row", range(1, 6))
def test_a_row_without_a_text_stops(row):
    with pytest.raises(InputError) as error:
        check_texts(table({"text": ["good", TEXTS[row]]}), "text")
    assert str(error.value) == f"few.csv, line 3: {REASONS[row - 1]}"


def test_rows_of_parquet_have_no_lines():
    columns = Table(Path("few.parquet"), {"text": [""]}, [1])
    with pytest.raises(InputError, match=r"^few.parquet, row 1: column 'text' is empty$"):
        check_texts(columns, "text")


def test_a_tab_by_its_names_and_a_reading_as_it_is_written():
    assert Reading(delimiter="tab") == Reading(delimiter="\\t") == Reading(delimiter="\t")
    with pytest.raises(InputError, match="Unknown parameter 'delimeter'. Did you mean delimiter"):
        Reading(delimeter=",")
    # The keys of runs depend on these names, their order and their defaults.
    assert list(Reading().model_dump().items()) == [
        ("dev_file", None),
        ("test_file", None),
        ("text_pair", None),
        ("delimiter", None),
        ("encoding", "utf-8"),
        ("quotes", True),
        ("escape", None),
        ("header", True),
        ("sheet", None),
        ("labels", None),
        ("label_separator", None),
        ("task", "auto"),
        ("split", None),
        ("group", None),
        ("on_bad_rows", "stop"),
        ("min_rows_per_class", None),
        ("rare_classes", "drop"),
    ]
