"""Tables in the forms in which public datasets are published and tools export them: read right, or
refused with the way out."""

import bz2
import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from lib.data import load_corpus
from lib.errors import InputError
from lib.reading.options import PLAIN, Reading
from lib.use.inputs import rows_of

TEXTS = [f"a text about the thing {i}, and more" for i in range(40)]
AB = ["a", "b"] * 20


def write(path: Path, rows: list, delimiter: str = ",", **options) -> Path:
    """A table as the csv module writes it."""
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, **options).writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(file.getvalue(), encoding="utf-8")
    return path


def labelled(path: Path, labels: list, header: tuple = ("text", "label")) -> Path:
    """A table of TEXTS with these labels, over and over."""
    rows = [(text, labels[i % len(labels)]) for i, text in enumerate(TEXTS)]
    return write(path, [header, *rows])


def read(path: Path, text: str = "text", label: str = "label", **reading):
    return load_corpus(str(path), text=text, label=label, reading=Reading(**reading))


def refusal(path: Path, text: str = "text", label: str = "label", **reading) -> str:
    with pytest.raises(InputError) as error:
        read(path, text, label, **reading)
    assert "\n" not in str(error.value)
    return str(error.value)


def size_of(corpus) -> int:
    return len(corpus.train) + len(corpus.dev) + len(corpus.test)


# ---- headers


def test_a_first_row_that_is_taken_for_a_header(tmp_path):
    rows = [(i % 2, "a title", text) for i, text in enumerate(TEXTS)]  # as DBPedia's
    path = write(tmp_path / "few.csv", rows)
    for text in ("3", "2,3"):
        message = refusal(path, text, "1")
        assert "its first line calls the label column '0', which is one of its labels" in message
        assert size_of(read(path, text, "1", header=False)) == 40
    path = write(tmp_path / "few.csv", [(0, 1, 2), *rows])  # as pandas numbers columns
    assert size_of(read(path, "2", "0")) == 40
    path = labelled(tmp_path / "few.csv", ["spam", "ham"], ("text", "spam"))
    assert size_of(read(path, label="spam")) == 40
    assert "say the names of text and label" in refusal(path, "1", "spam")


# ---- labels that are no classes


def test_a_dash_among_words_marks_a_row_without_a_label(tmp_path):
    labels = ["neutral", "entailment", "contradiction", "-"]  # as SNLI's gold_label
    path = labelled(tmp_path / "few.csv", labels)
    message = refusal(path)
    assert message.startswith("few.csv, line 5: label - in column 'label' marks a row without a ")
    assert "10 bad rows in all; on_bad_rows: quarantine leaves them out" in message
    corpus = read(path, on_bad_rows="quarantine")
    assert corpus.num_labels == 3 and len(corpus.bad_rows) == 10
    assert read(path, labels=tuple(labels)).num_labels == 4
    corpus = read(labelled(tmp_path / "few.csv", ["+", "-", "mixed"]))
    assert corpus.label_names == ("+", "-", "mixed") and "- is read as a class" in corpus.labels


def test_numbers_with_commas_are_no_classes(tmp_path):
    """Grades of a German spreadsheet; ids of several labels, as GoEmotions has them."""
    for labels in (["1,5", "2,0"], ["3", "10,6", "2,15,27"]):
        path = labelled(tmp_path / "few.csv", labels)
        message = refusal(path)
        assert "in column 'label' is a fraction, not a class; set task: regression" in message
        assert "label_separator: ',' for several labels, or list the classes" in message
        assert read(path, labels=tuple(labels)).task == "classification"
    assert read(path, label_separator=",").label_names == ("2", "3", "6", "10", "15", "27")
    path = labelled(tmp_path / "few.csv", ["1,5", "2,0"])
    assert set(read(path, task="regression").train.labels) == {1.5, 2.0}


# ---- several labels a text


def test_tags_of_stack_overflow(tmp_path):
    labels = ["<python><pandas>", "<c#>", "<pandas><python-3.x><c#>"]
    for path in (tmp_path / "few.csv", tmp_path / "few.tsv"):
        corpus = read(labelled(path, labels))
        assert corpus.task == "multilabel"
        assert corpus.label_names == ("c#", "pandas", "python", "python-3.x")
    corpus = read(labelled(tmp_path / "few.csv", [*labels, "[]"]))
    assert corpus.task == "multilabel" and len(corpus.label_names) == 4
    for labels in (["<PER>", "<LOC>"], ["<a><b>", "c"]):  # names, as they are
        corpus = read(labelled(tmp_path / "few.csv", labels))
        assert corpus.task == "classification" and set(corpus.label_names) == set(labels)


@pytest.mark.parametrize(
    ("label", "separator"),
    [("pos#neg", "#"), ("hep-ph cs.AI", " "), ("Price, Quality", ","), ("10|2", "|")],
)
def test_classes_that_look_like_several_labels_are_said(tmp_path, label, separator):
    names = [*map(str.strip, label.split(separator)), "other"]
    path = labelled(tmp_path / "few.csv", [*names, label])
    corpus = read(path)
    assert f"1 put others together ({label}): several labels a text? " in corpus.labels
    assert corpus.labels.endswith(f"Then set label_separator: {separator!r}")
    assert read(path, label_separator=separator).num_labels == 3
    few = read(labelled(tmp_path / "few.csv", [names[0], f"not {names[0]}", "a, b", "a/c"]))
    assert "put others together" not in few.labels


def test_lists_of_one_label_each_may_be_classes(tmp_path):
    """As doccano and Prodigy write them."""
    rows = [json.dumps({"text": t, "label": [ab]}) for t, ab in zip(TEXTS, AB, strict=True)]
    path = tmp_path / "few.jsonl"
    path.write_text("\n".join(rows))
    corpus = read(path)
    assert corpus.task == "multilabel"
    assert corpus.labels.endswith("; each text has one: for classes, set task: classification")
    assert read(path, task="classification").labels == "2 classes: a, b"
    path.write_text("\n".join(rows).replace('["a"]', "[]", 1))
    assert read(path).labels.endswith("; 1 of 40 texts have none")


# ---- spreadsheets


def workbook(path: Path, rows: list) -> Path:
    book = pytest.importorskip("openpyxl").Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


def test_what_excel_shows_for_an_error_is_no_class_and_no_text(tmp_path):
    rows = [["text", "label"], *map(list, zip(TEXTS, AB, strict=True))]
    rows[3][0] = "#NAME?"  # a text that began with = or -
    rows[9][1] = "#REF!"
    path = workbook(tmp_path / "few.xlsx", rows)
    assert refusal(path).startswith("few.xlsx, row 4: column 'text' is empty (2 bad rows in all; ")
    corpus = read(path, on_bad_rows="quarantine")
    assert corpus.label_names == ("a", "b") and [row.line for row in corpus.bad_rows] == [4, 10]


# ---- test files in another form than train's


def test_a_test_file_without_the_columns_of_several_labels(tmp_path):
    """As Jigsaw's comments, whose labels of test are in a third file, or −1."""
    rows = [(text, i % 2, i % 3 // 2) for i, text in enumerate(TEXTS)]
    write(tmp_path / "train.csv", [("text", "toxic", "threat"), *rows])
    path = write(tmp_path / "test.csv", [("id", "text"), (1, "a text")])
    message = refusal(tmp_path, label="toxic, threat")
    assert message.startswith("test.csv has no column 'toxic', which train has: its test rows have")
    write(path, [("text", "toxic", "threat"), ("a text", -1, -1)])
    assert "no label in any row of column 'toxic'" in refusal(tmp_path, label="toxic,threat")
    write(path, [("text", "toxic", "threat"), ("a text", 0, 0)])
    assert len(read(tmp_path, label="toxic,threat").test) == 1


# ---- titles above the names of the columns


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_title_above_the_names_of_the_columns(tmp_path, kind):
    rows = [["text", "label"], *map(list, zip(TEXTS, AB, strict=True))]
    save = workbook if kind == "xlsx" else write
    message = refusal(save(tmp_path / f"few.{kind}", [["Survey of 2023"], [], *rows]))
    assert message.startswith(f"few.{kind}, ")
    assert "the header has 1; if it is a title, remove what stands above the names" in message
    path = write(tmp_path / "few.csv", [["Survey of 2023", ""], ["", ""], *rows])
    assert refusal(path).endswith("no column 'label', but line 3 has it: remove what is above")


# ---- what cannot be read has a way out


def test_names_of_columns_that_look_alike_are_the_same(tmp_path):
    """As a Mac writes accents, and with a second byte-order mark."""
    path = labelled(tmp_path / "few.csv", AB, ("\ufeff\ufefftext", "Gro\u0308\u00dfe"))
    assert size_of(read(path, label="Gr\u00f6\u00dfe")) == 40


def test_a_folder_whose_tables_have_other_names(tmp_path):
    for name in ("snli_1.0_train.jsonl", "snli_1.0_dev.jsonl", "README"):
        (tmp_path / name).write_text("{}")
    message = refusal(tmp_path)
    assert "say which of its tables (snli_1.0_dev.jsonl, snli_1.0_train.jsonl) is the d" in message


def test_a_folder_for_each_class(tmp_path):
    for name in ("pos", "neg"):
        write(tmp_path / name / "0_9.txt", [["a text"]])
    message = refusal(tmp_path)
    assert (
        "tables (it has none)" in message and "sklearn.datasets.load_files makes a table" in message
    )


@pytest.mark.parametrize("name", ["SMSSpamCollection", "train_5500.label", "reut2-000.sgm"])
def test_a_suffix_that_says_no_format(tmp_path, name):
    path = labelled(tmp_path / name, AB)
    message = refusal(path)
    assert "; call a table of text by its suffix, and save another as CSV or Parquet" in message


LISTS = [list(row) for row in zip(TEXTS, AB, strict=True)]
OBJECTS = [dict(zip(("text", "label"), row, strict=True)) for row in LISTS]


@pytest.mark.parametrize(
    "content",
    [
        {"train": LISTS, "val": LISTS[:3], "oos": []},  # as CLINC150's
        LISTS,
        {"test": OBJECTS[:3], "train": OBJECTS},
    ],
)
def test_json_of_another_form_has_a_command(tmp_path, content):
    path = tmp_path / "few.json"
    path.write_text(json.dumps(content))
    command = re.search("jq .* few.json > (one.jsonl?)$", refusal(path))
    if shutil.which("jq"):
        subprocess.run(["bash", "-ec", command[0]], cwd=tmp_path, check=True)
        assert size_of(read(tmp_path / command[1])) == 40


# ---- fastText


@pytest.mark.parametrize("separator", [" ", "\t", " , "])
def test_lines_of_fasttext(tmp_path, separator):
    path = tmp_path / "train.ft.txt.bz2"  # as Amazon's reviews
    lines = [f"__label__{ab}{separator}{t}\r\n" for t, ab in zip(TEXTS, AB, strict=True)]
    path.write_bytes(bz2.compress("".join(lines).encode()))
    corpus = read(path)
    own = separator.strip() and ", "
    assert corpus.label_names == ("a", "b")
    assert sorted([*corpus.train.texts, *corpus.dev.texts, *corpus.test.texts]) == sorted(
        own + text for text in TEXTS
    )


def test_several_labels_of_fasttext(tmp_path):
    path = tmp_path / "cooking.txt"
    lines = [f"__label__{ab} __label__food-safety {t}\n" for t, ab in zip(TEXTS, AB, strict=True)]
    path.write_text("".join(lines))
    assert read(path).label_names == ("a", "b", "food-safety")
    path.write_text("".join([lines[0].replace("__label__a ", ""), *lines[1:]]))
    message = refusal(path)
    assert "line 2: column 'label' has 2 labels (b, food-safety); for several set task" in message
    assert read(path, task="multilabel").label_names == ("a", "b", "food-safety")


def test_a_table_with_the_labels_of_fasttext(tmp_path):
    for delimiter, header in ((",", ("text", "label")), (",", None), ("\t", None)):
        rows = [(text, f"__label__{ab}") for text, ab in zip(TEXTS, AB, strict=True)]
        columns = header or ("2", "1")
        rows = [header, *rows] if header else [row[::-1] for row in rows]
        path = write(tmp_path / "few.txt", rows, delimiter)
        corpus = read(path, *columns, header=bool(header), delimiter=delimiter)
        assert corpus.label_names == ("__label__a", "__label__b") and size_of(corpus) == 40


# ---- texts


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_lists_of_texts_are_joined(tmp_path, kind):
    """As the paragraphs of EURLEX57K, and of LexGLUE's cases."""
    lists = [[text, f"second {i}"] for i, text in enumerate(TEXTS)]
    frame = pd.DataFrame({"title": "t", "text": lists, "label": AB})
    path = tmp_path / f"few.{kind}"
    frame.to_parquet(path) if kind == "parquet" else frame.to_json(
        path, orient="records", lines=True
    )
    wanted = {"\n".join(texts) for texts in lists}
    assert {row.text for row in rows_of(str(path), "text", PLAIN)} == wanted
    assert set(read(path).train.texts) < wanted
    assert read(path, "title,text").train.texts[0].count("\n") == 2
    frame.loc[3, "text"] = None
    frame["text"] = frame["text"].map(lambda texts: texts and [*texts, []])
    frame.to_json(tmp_path / "bad.jsonl", orient="records", lines=True)
    assert "line 1: column 'text' is not text (40 bad rows" in refusal(tmp_path / "bad.jsonl")


def test_rows_that_say_their_split_in_other_words(tmp_path):
    split = ["Training", "testing", "training", "Validation"] * 10
    path = write(
        tmp_path / "few.csv",
        [("text", "label", "of"), *zip(TEXTS, "aabb" * 10, split, strict=True)],
    )
    corpus = read(path, split="of")
    assert (len(corpus.train), len(corpus.dev), len(corpus.test)) == (20, 10, 10)


def test_rows_without_a_header_that_have_another_delimiter(tmp_path):
    """As the STS benchmark, which is called .csv, has tabs, and some longer rows."""
    rows = [("main", i / 9, f"text {i}", *["more"][i % 4 :]) for i in range(40)]
    path = write(tmp_path / "sts.csv", rows, "\t")
    message = refusal(path, "3", "2", header=False, task="regression")
    assert "its only column is 'main" in message and message.endswith("set delimiter: 'tab'")
    with pytest.raises(InputError, match="or tab: write tabs for a longer one$"):
        Reading(delimiter=" ::: ")
