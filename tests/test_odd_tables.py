"""Tables in the forms that people's files have: read where only one reading is possible, else
refused in one sentence that says what is wrong and what to do."""

import csv
import gzip
import io
import json
import lzma
import os
import re
import socket
import sys
import zipfile
from pathlib import Path

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import load_corpus
from lib.errors import InputError
from lib.reading.formats import read_table
from lib.reading.lines import lines_of
from lib.reading.options import PLAIN, Reading
from lib.use.inputs import rows_of
from tests.test_formats import pack

TEXTS = [f"good and, really, bad {i}" for i in range(40)]
LABELS = [("a", "b")[i % 2] for i in range(40)]


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def delimited(rows: list, delimiter: str = ",", **options) -> str:
    file = io.StringIO(newline="")
    options = {"lineterminator": "\n"} | options
    csv.writer(file, delimiter=delimiter, **options).writerows(rows)
    return file.getvalue()


def plain(delimiter: str) -> str:
    """TEXTS and LABELS without a quote, whatever is in them."""
    rows = [f"{text}{delimiter}{label}" for text, label in zip(TEXTS, LABELS, strict=True)]
    return "\n".join([f"text{delimiter}label", *rows]) + "\n"


QUOTED = delimited([("text", "label"), *zip(TEXTS, LABELS, strict=True)])
RECORDS = [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)]
FRAME = pd.DataFrame(RECORDS)


def refusal(path: Path, reading: Reading = PLAIN) -> str:
    with pytest.raises(InputError) as error:
        read_table(path, reading)
    assert path.name in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


def texts_in(path: Path, **reading) -> list:
    return read_table(path, Reading(**reading)).column("text")


# ---- quotes that join rows


def with_stray_quotes(delimiter: str, first: int, last: int, columns: int = 2) -> str:
    """Rows of which two have a quote: at the beginning of a text, and at the end of one."""
    lines = [delimiter.join(["text", "label", "id"][:columns])]
    for row in range(60):
        text = f"item {row} works"
        text = f'"{text}' if row == first else f'{text}"' if row == last else text
        lines.append(delimiter.join([text, "ab"[row % 2], str(row)][:columns]))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(("first", "last"), [(20, 49), (20, 21), (0, 59), (0, 1)])
@pytest.mark.parametrize("columns", [2, 3])
def test_a_pair_of_stray_quotes_in_a_tsv_joins_no_rows(tmp_path, first, last, columns):
    path = write(tmp_path / "few.tsv", with_stray_quotes("\t", first, last, columns))
    message = refusal(path)
    assert f"lines {first + 2} to {last + 2}" in message and "set quotes: false" in message
    assert len(texts_in(path, quotes=False)) == 60
    with pytest.raises(InputError, match="set quotes: false"):
        list(rows_of(str(path), "text", PLAIN))


@pytest.mark.parametrize(("first", "last"), [(20, 49), (20, 21), (0, 59), (0, 1), (1, 3)])
@pytest.mark.parametrize("delimiter", [",", ";", "|"])
def test_a_pair_of_stray_quotes_with_another_delimiter(tmp_path, delimiter, first, last):
    path = write(tmp_path / "few.csv", with_stray_quotes(delimiter, first, last))
    assert "set quotes: false" in refusal(path)


def test_a_pair_of_stray_quotes_in_a_file_of_numbered_texts(tmp_path):
    rows = [f"{i}\titem {i}" for i in range(60)]
    rows[20] = '20\t"item 20'
    rows[40] = '40\titem 40"'
    path = write(tmp_path / "few.tsv", "\n".join(["id\ttext", *rows]) + "\n")
    assert "lines 22 to 42: a pair of quotes makes them one row" in refusal(path)


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_reviews_of_several_lines_are_read(tmp_path, delimiter):
    """Lines with commas, with as many as a row has, with blank lines, in most rows or in few."""
    texts = []
    for i in range(80):
        text = f"It is good {i}, really\n\nbut, as I said,\nnot cheap; no"
        texts.append(text if i % 3 else f"Good, but\nbad {i}")
    rows = [("text", "label"), *zip(texts, LABELS * 2, strict=True)]
    path = write(tmp_path / "few.csv", delimited(rows, delimiter))
    assert texts_in(path, delimiter=delimiter) == texts
    few = [(f"short {i}", "ab"[i % 2]) for i in range(70)]
    path = write(tmp_path / "few.csv", delimited([rows[0], *few, *rows[1:5]], delimiter))
    assert texts_in(path)[70:] == texts[:4]


def test_a_text_with_many_more_lines_than_the_others_is_named(tmp_path, capsys):
    rows = [f"item {i}" for i in range(90)]
    path = write(tmp_path / "few.csv", "\n".join(["text", *rows]) + "\n")
    assert len(texts_in(path)) == 90 and not capsys.readouterr().err
    rows[60] = f'"{rows[60]}'
    rows[80] = f'{rows[80]}"'
    path = write(tmp_path / "few.csv", "\n".join(["text", *rows]) + "\n")
    assert len(texts_in(path)) == 70
    told = capsys.readouterr().err
    assert (
        told.startswith("few.csv: lines 62 to 82 are read as one row") and "quotes: false" in told
    )


cells = st.text(alphabet="ab1 ,;\t|'\"\n\ré", max_size=12)
tables = st.lists(st.tuples(cells, cells, st.sampled_from("ab")), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(tables, st.sampled_from(",;\t|"), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_what_the_csv_module_writes_is_read(tmp_path_factory, rows, delimiter, quoting):
    """Every row, cell by cell, unless the file is refused."""
    path = tmp_path_factory.getbasetemp() / "written.csv"
    names = ("id", "text", "label")
    write(path, delimited([names, *rows], delimiter, quoting=quoting, lineterminator="\r\n"))
    try:
        table = read_table(path, Reading(delimiter=None if delimiter == "," else delimiter))
    except InputError as error:
        assert "a pair of quotes makes them one row" in str(error)
        return
    assert list(zip(*(table.column(name) for name in names), strict=True)) == rows


# ---- what would hang or fill the memory


def test_pipes_sockets_and_devices_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.csv")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket.csv")
        for name in ("pipe.csv", "socket.csv", "/dev/zero"):
            with pytest.raises(InputError, match=r" is a pipe, a socket or a device; a table is "):
                load_corpus(name)
        write(tmp_path / "data" / "train.csv", QUOTED)
        os.mkfifo("data/test.csv")
        with pytest.raises(InputError, match=r"test.csv is a pipe, a socket or a device"):
            load_corpus("data")


def test_a_folder_that_is_called_as_a_table(tmp_path):
    folder = tmp_path / "reviews.csv"
    folder.mkdir()
    with pytest.raises(InputError, match=r"^The folder .*reviews.csv has no train file"):
        load_corpus(str(folder))
    (folder / "train.csv").mkdir()
    with pytest.raises(InputError, match=r"train.csv is a folder; name a file in it$"):
        load_corpus(str(folder))


@pytest.mark.parametrize("name", ["few.csv", "few.tsv", "few.jsonl", "few.csv.gz", "few.csv.zip"])
def test_a_line_without_an_end_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr(lines_of, "__kwdefaults__", {"longest": 1000})
    content = b"text,label\ngood,a\n" + b"x" * 200_000
    if name.endswith(("gz", "zip")):
        content = pack(content, Path(name).suffix)
    message = refusal(write(tmp_path / name, content))
    assert "more than 1,000 characters" in message or "is not JSON" in message


def test_a_text_that_is_too_long_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("lib.reading.options.LONGEST_TEXT", 100)
    frame = FRAME.copy()
    frame.loc[3, "text"] = "x" * 101
    frame.to_parquet(tmp_path / "few.parquet")
    with pytest.raises(InputError, match=r"row 4: column 'text' has 101 characters; a text has"):
        load_corpus(str(tmp_path / "few.parquet"))


# ---- damage


@pytest.mark.parametrize("packing", [".gz", ".bz2", ".xz", ".zip"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "other"])
def test_damaged_archives(tmp_path, packing, damage):
    noise = "".join(f"{(i * 7919) % 10**7},a\n" for i in range(3000))
    content = pack(f"text,label\n{noise}".encode(), packing)
    middle = len(content) // 2
    if damage == "cut":
        content = content[:middle]
    elif damage == "flipped":
        content = (
            content[:middle]
            + bytes(byte ^ 255 for byte in content[middle:][:40])
            + (content[middle + 40 :])
        )
    else:
        content = b"text,label\ngood,a\n"
    message = refusal(write(tmp_path / f"few.csv{packing}", content))
    assert message.startswith(f"few.csv{packing} cannot be unpacked: ") and "again" in message


def test_a_bad_row_of_a_damaged_archive_is_its_damage(tmp_path):
    """The bytes of this archive are not compressed, so that most rows can still be read."""
    table = plain(";") + "and, so, on;a\n" * 9999
    content = pack(table.encode(), ".zip").replace(b"bad 7;", b"bad;7;")
    message = refusal(write(tmp_path / "few.csv.zip", content), Reading(delimiter=";"))
    assert message.startswith("few.csv.zip cannot be unpacked: Bad CRC-32")


def test_archives_of_several_files_or_with_a_password(tmp_path):
    with zipfile.ZipFile(tmp_path / "two.csv.zip", "w") as archive:
        archive.writestr("one.csv", QUOTED)
        archive.writestr("two.csv", QUOTED)
    assert "has 2 files (one.csv, two.csv), and a table is one" in refusal(tmp_path / "two.csv.zip")
    content = bytearray(pack(QUOTED.encode(), ".zip"))
    content[6] |= 1  # says that the member is encrypted
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert "password" in refusal(write(tmp_path / "shut.csv.zip", bytes(content)))


def test_an_archive_named_after_its_only_table(tmp_path):
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("reviews.tsv", plain("\t"))
    assert texts_in(tmp_path / "archive.zip") == TEXTS


@pytest.mark.parametrize("damage", range(5))
def test_damaged_parquet(tmp_path, damage):
    path = tmp_path / "few.parquet"
    FRAME.to_parquet(path)
    content = path.read_bytes()
    broken = [
        content[: len(content) // 2],
        content[:-30] + bytes(byte ^ 85 for byte in content[-30:-8]) + content[-8:],
        content[:-8] + b"\xff\xff\xff\x7fPAR1",
        b"PAR1" + bytes(40) + content[44:],
        b"",
    ][damage]
    assert "cannot be read as Parquet: " in refusal(write(path, broken))


def test_odd_arrow_types(tmp_path):
    columns = {
        "text": pa.array([text.encode() for text in TEXTS], pa.large_binary()),
        "label": pa.array(LABELS).dictionary_encode(),
        "when": pa.array([2**62] * 40, pa.timestamp("us")),
    }
    pq.write_table(
        pa.table({name: columns[name] for name in ("text", "label")}), tmp_path / "few.parquet"
    )
    table = read_table(tmp_path / "few.parquet")
    assert table.column("text") == TEXTS and table.column("label") == LABELS
    pq.write_table(pa.table(columns), tmp_path / "odd.parquet")
    assert "cannot be read as Parquet: " in refusal(tmp_path / "odd.parquet")
    columns["text"] = pa.array([b"\xff"] * 40)
    del columns["when"]
    pq.write_table(pa.table(columns), tmp_path / "few.parquet")
    with pytest.raises(InputError, match=r"row 1: column 'text' is not text \(40 bad rows in all"):
        load_corpus(str(tmp_path / "few.parquet"))


# ---- other things than their names say


def workbook() -> bytes:
    return pack(b"", ".zip").replace(b"a folder/few", b"xl/workbook.")


KINDS = {
    "an Excel workbook": workbook(),
    "an old or a locked Excel workbook": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
    "a ZIP archive": pack(b"text", ".zip"),
    "an HTML page": b"\n<!DOCTYPE html>\n<html><body>Sign in</body></html>",
    "XML": b'\xef\xbb\xbf<?xml version="1.0"?><Workbook/>',
    "Parquet": b"PAR1" + bytes(20),
    "packed by gzip": gzip.compress(b"text,label\n"),
    "packed by xz": lzma.compress(b"text,label\n"),
    "a PDF document": b"%PDF-1.7\n",
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "JSON": b'[{"text": "good", "label": "a"}]',
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_no_csv_is_named(tmp_path, kind):
    message = refusal(write(tmp_path / "few.csv", KINDS[kind]))
    assert message.startswith(f"few.csv is {kind}, whatever its name says; ")
    if kind != "Parquet":
        assert kind in refusal(write(tmp_path / "few.parquet", KINDS[kind])) or kind == "JSON"


def test_an_old_workbook_by_its_name(tmp_path):
    assert "save it as .xlsx or as CSV" in refusal(write(tmp_path / "few.xls", b"any"))


def test_a_workbook_needs_openpyxl(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    assert "pip install openpyxl" in refusal(write(tmp_path / "few.xlsx", workbook()))


def test_the_sheets_of_a_workbook(tmp_path):
    pytest.importorskip("openpyxl")
    path = tmp_path / "few.xlsx"
    frame = pd.DataFrame({"text": ["good", "bad", None], "label": [1, 0, 1], "day": "2020-01-02"})
    frame["day"] = pd.to_datetime(frame["day"])
    with pd.ExcelWriter(path) as writer:
        frame.to_excel(writer, sheet_name="reviews", index=False)
        pd.DataFrame().to_excel(writer, sheet_name="empty")
    table = read_table(path)
    assert table.column("text") == ["good", "bad", None] and table.column("label") == [1, 0, 1]
    assert table.column("day")[0].startswith("2020-01-02") and table.lines == [2, 3, 4]
    with pd.ExcelWriter(path, mode="a") as writer:
        frame[:1].to_excel(writer, sheet_name="more", index=False)
    assert "has several sheets: 'reviews', 'more'; name one with sheet: " in refusal(path)
    assert texts_in(path, sheet="more") == ["good"]
    assert "has no sheet 'mores'. Did you mean more?" in refusal(path, Reading(sheet="mores"))
    message = refusal(write(path, path.read_bytes()[:2000]))
    assert "few.xlsx is no whole Excel workbook" in message
    assert "cannot be read as an Excel workbook" in refusal(write(path, workbook()))


def test_the_size_that_a_sheet_states_cuts_nothing(tmp_path):
    pytest.importorskip("openpyxl")
    path = tmp_path / "few.xlsx"
    FRAME.to_excel(path, index=False)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(
                name, re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="A1"', content)
            )
    for reading in (PLAIN, Reading(sheet="Sheet1")):
        table = read_table(path, reading)
        assert table.column("text") == TEXTS and table.column("label") == LABELS


def test_a_workbook_is_closed_and_its_rows_are_those_of_a_header_or_not(tmp_path, monkeypatch):
    openpyxl = pytest.importorskip("openpyxl")
    path = tmp_path / "few.xlsx"
    pd.DataFrame([["a", None], ["b", "c"]]).to_excel(path, index=False, header=False)
    opened = []
    load = openpyxl.load_workbook
    monkeypatch.setattr(
        openpyxl,
        "load_workbook",
        lambda *args, **options: opened.append(load(*args, **options)) or opened[-1],
    )
    message = "few.xlsx, line 2 has 2 cells; the first row has 1"
    assert refusal(path, Reading(header=False)).replace("row 2", "line 2") == message
    assert "the header has 1" in refusal(path)
    assert "has no sheet" in refusal(path, Reading(sheet="none"))
    assert len(opened) == 3 and all(book._archive.fp is None for book in opened)


@pytest.mark.parametrize("name", ["few.xlsx", "few.parquet"])
def test_memory_that_does_not_suffice_is_no_damage(tmp_path, monkeypatch, name):
    openpyxl = pytest.importorskip("openpyxl")

    def fail(*_, **__):
        raise MemoryError

    path = tmp_path / name
    FRAME.to_excel(path, index=False) if name == "few.xlsx" else FRAME.to_parquet(path)
    monkeypatch.setattr(openpyxl, "load_workbook", fail)
    monkeypatch.setattr(pq, "ParquetFile", fail)
    message = refusal(path)
    assert message.startswith(f"{name} takes more memory to read than there is; ")


# ---- forms of JSON

FORMS = {
    "an object a line": "\n".join(map(json.dumps, RECORDS)),
    "an object a line, with blank lines": "\n\n".join(map(json.dumps, RECORDS)) + "\n\n",
    "a list": json.dumps(RECORDS),
    "a list over many lines": json.dumps(RECORDS, indent=2),
    "objects over many lines": "\n".join(json.dumps(row, indent=2) for row in RECORDS),
    "under a name": json.dumps({"version": 1, "data": RECORDS}),
    "columns": FRAME.to_json(),
    "columns as lists": json.dumps({"text": TEXTS, "label": LABELS}),
    "rows under their numbers": FRAME.to_json(orient="index"),
    "names and rows": FRAME.to_json(orient="split"),
    "with a schema": FRAME.to_json(orient="table"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_every_form_of_json_is_read(tmp_path, form, suffix):
    content = FORMS[form].encode()
    path = write(tmp_path / f"few{suffix}", pack(content, ".gz") if "gz" in suffix else content)
    table = read_table(path)
    assert table.column("text") == TEXTS and table.column("label") == LABELS


def test_a_list_in_a_file_of_lines(tmp_path):
    assert texts_in(write(tmp_path / "few.jsonl", FORMS["a list over many lines"])) == TEXTS


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ("[0, 1]", ["0", "1"]),
        ('["a", "a"]', ["a (column 1)", "a (column 2)"]),
        ('[null, "1"]', ["", "1"]),
    ],
)
def test_names_of_json_columns_are_distinct_texts(tmp_path, columns, names):
    content = f'{{"columns": {columns}, "index": [0], "data": [["good", "x"]]}}'
    table = read_table(write(tmp_path / "few.json", content))
    assert list(table.columns) == names and table.column("2") == ["x"]
    with pytest.raises(InputError, match="^few.json has no column 'text'"):
        table.column("text")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"train": [{"a": 1}], "test": [{"a": 2}]}', "has several lists of rows: 'train', 'test'"),
        ('{"text": ["a"], "label": [1, 2]}', "columns of different lengths: 'text' 1, 'label' 2"),
        ('{"a": {"b": 1}, "c": {"b": 2}}', "is one JSON object of objects, which may be rows or"),
        ('[["good", "a"]]', "is no JSON list of objects with a name for each column"),
        ("[]", "has no rows"),
        ("", "is empty"),
        ('[{"text": "good"', "line 1 is not JSON"),
        ('{"a": 1}\n{"a": 2', "row 2 is not JSON"),
        ('[{"a": 1}, 3]', "row 2 is no JSON object"),
    ],
)
def test_json_that_may_be_several_things(tmp_path, content, message):
    assert message in refusal(write(tmp_path / "few.json", content))


def test_json_that_is_too_large_as_a_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("lib.reading.json_rows.LONGEST_FILE", 1000)
    message = refusal(write(tmp_path / "few.json", FORMS["a list over many lines"]))
    assert "more than 1,000 characters; save it as JSON lines" in message
    assert len(texts_in(write(tmp_path / "few.json", FORMS["an object a line"]))) == 40


# ---- delimiters, quotes and escapes


@pytest.mark.parametrize("name", ["few.csv", "few.tsv", "few.txt"])
@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter_is_told_from_the_rows(tmp_path, name, delimiter):
    assert texts_in(write(tmp_path / name, plain(delimiter))) == TEXTS
    path = write(tmp_path / name, plain(delimiter).replace("text", "text, in words", 1))
    assert read_table(path).column("text, in words") == TEXTS
    rows = plain(delimiter).partition("\n")[2].replace("really, bad 1", "really bad 1")
    table = read_table(write(tmp_path / name, rows), Reading(header=False))
    assert table.column("2") == LABELS


@pytest.mark.parametrize("name", ["few.csv", "few.tsv"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_numbers_of_rows_that_have_no_name(tmp_path, name, delimiter):
    """R writes them by default: `write.table` names one column less than there are."""
    rows = [(str(number), *row) for number, row in enumerate(zip(TEXTS, LABELS, strict=True), 1)]
    path = write(tmp_path / name, delimited([("text", "label"), *rows], delimiter))
    assert texts_in(path) == TEXTS and read_table(path).column("label") == LABELS
    rows[1] = ("7", *rows[1][1:])
    path = write(tmp_path / name, delimited([("text", "label"), *rows], delimiter))
    with pytest.raises(InputError, match="fields; the header has|has no column"):
        load_corpus(str(path))


def test_columns_that_a_space_parts(tmp_path):
    lines = [f'"{number}" "a text of {number}" "yes"' for number in range(1, 40)]
    path = write(tmp_path / "few.csv", "\n".join(['"text" "label"', *lines]))
    assert "if a space parts the columns, set delimiter: ' '" in refusal(path)
    assert texts_in(path, delimiter=" ")[2] == "a text of 3"


def test_commas_in_files_that_usually_have_tabs(tmp_path):
    assert texts_in(write(tmp_path / "few.tsv", QUOTED)) == TEXTS
    one = "\n".join(["sentence", *TEXTS]) + "\n"
    assert read_table(write(tmp_path / "few.tsv", one)).columns == {"sentence": TEXTS}


def test_a_usual_delimiter_stays(tmp_path):
    """Other delimiters in texts, labels and names do not matter where the usual one fits."""
    rows = [(f"{text}; so|so\t", "a;b") for text in TEXTS]
    path = write(tmp_path / "few.csv", delimited([("text", "label;s"), *rows]))
    assert read_table(path).column("label;s") == ["a;b"] * 40
    path = write(tmp_path / "few.csv", delimited([(str(i), "a;b") for i in range(9)]))
    separated = Reading(header=False, label_separator=";")
    assert read_table(path, separated).column("2") == ["a;b"] * 9


def test_a_delimiter_that_may_be_another(tmp_path):
    path = write(tmp_path / "few.csv", "good;day,a\nfine;day,b\n" * 9)
    message = refusal(path, Reading(header=False))
    assert "may be parted by ';' or ','; set delimiter: ';' or delimiter: ','" in message
    assert texts_in(write(tmp_path / "few.csv", "text;a|b\ngood;a|b\n"), delimiter=";") == ["good"]
    path = write(tmp_path / "few.tsv", "good, day\ta\nfine, day\tb\n" * 9)
    assert read_table(path, Reading(header=False)).column("2") == ["a", "b"] * 9
    path = write(tmp_path / "few.csv", "text;label\ngood, or bad\n")
    message = refusal(path, Reading(delimiter=","))
    assert "Is the delimiter ';'? Then set delimiter: ';'" in message
    path = write(tmp_path / "few.csv", "text;label\n" + "good, or bad\n" * 20)
    message = refusal(path)
    assert (
        "line 2 has 2 fields; the header has 1: its only column is 'text;label'. Is the delimiter "
        "';'? Then set delimiter: ';'" in message
    )


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;"])
def test_a_first_line_that_says_the_delimiter(tmp_path, first):
    path = write(tmp_path / "few.csv", f"{first}\r\n{plain(';')}")
    table = read_table(path)
    assert table.column("text") == TEXTS and table.lines[0] == 3
    path = write(tmp_path / "few.csv", "sep=\t\n" + plain("\t"))
    assert texts_in(path) == TEXTS


ESCAPED = "".join(f'{i},"she said \\"{i}, yes\\" and left"\n' for i in range(40))


def test_a_backslash_before_a_quote(tmp_path):
    path = write(tmp_path / "few.csv", f"label,text\n{ESCAPED}")
    message = refusal(path)
    assert message.startswith("few.csv, line 2 cannot be read: ")
    assert message.endswith("have a backslash before them: set escape: backslash")
    assert texts_in(path, escape="backslash")[3] == 'she said "3, yes" and left'
    unclosed = 'text,label\ngood,a\n"it is 3\\"",b\nbad,a\n'
    assert "never closed; quotes in this row have a backslash" in refusal(
        write(tmp_path / "few.csv", unclosed)
    )
    plain_escapes = "text,label\n" + "good\\, or bad,a\n" * 9
    path = write(tmp_path / "few.csv", plain_escapes)
    assert "line 2 has 3 fields; the header has 2; if a backslash makes" in refusal(path)
    assert texts_in(path, escape="\\") == ["good, or bad"] * 9


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("delimiter", '"'),
        ("delimiter", "\n"),
        ("delimiter", "\r"),
        ("delimiter", "::"),
        ("escape", '"'),
        ("escape", " "),
        ("escape", ","),
        ("escape", "\t"),
        ("escape", "slash"),
    ],
)
def test_characters_that_cannot_be_delimiters_or_escapes(name, value):
    with pytest.raises(InputError, match=rf"^{name} = "):
        Reading(**{name: value})
    with pytest.raises(InputError, match="^escape = '!': it cannot be the delimiter, too"):
        Reading(delimiter="!", escape="!")


# ---- encodings

STRANGE = "text,label\ncafé Zoë,a\nnaïve – 5 €,b\n"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("packing", ["", ".gz"])
def test_an_encoding_that_a_mark_says(tmp_path, encoding, packing):
    content = STRANGE.encode(encoding)
    content = pack(content, packing) if packing else content
    path = write(tmp_path / f"few.csv{packing}", content)
    assert texts_in(path) == ["café Zoë", "naïve – 5 €"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_an_encoding_without_a_mark_or_with_one(tmp_path, encoding):
    path = write(tmp_path / "few.csv", STRANGE.encode(encoding))
    assert f"without a mark; set encoding: {encoding}" in refusal(path)
    assert texts_in(path, encoding=encoding) == ["café Zoë", "naïve – 5 €"]
    path = write(tmp_path / "few.csv", f"\ufeff{STRANGE}".encode(encoding))
    assert texts_in(path) == texts_in(path, encoding=encoding) == ["café Zoë", "naïve – 5 €"]
    assert "leave out encoding" in refusal(path, Reading(encoding="cp1252"))


LIKELY = {
    "cp1252": STRANGE,
    "cp1251": "текст,метка\nхороший товар,да\nочень плохо,нет\n",
    "shift_jis": "本文,ラベル\nとても良い商品です,a\n悪い,b\n",
}


@pytest.mark.parametrize("encoding", LIKELY)
def test_a_wrong_encoding_and_the_likely_one(tmp_path, encoding):
    content = "id,text,label\n" if encoding == "cp1252" else ""
    path = write(tmp_path / "few.csv", (content + LIKELY[encoding]).encode(encoding))
    message = refusal(path)
    assert "is not UTF-8 (byte 0x" in message and f"set encoding: {encoding}, or" in message


@pytest.mark.parametrize("said", ["utf-8", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_cut_file_whose_encoding_is_plain(tmp_path, said, mark):
    content = f"{mark}text,label\n{'good,a' * 20}\n".encode("utf-16-le")[:-1]
    message = refusal(write(tmp_path / "few.csv", content), Reading(encoding=said))
    if mark or said == "utf-16-le":
        assert message.startswith("few.csv is damaged or cut: the file begins as UTF-16")
        assert "set encoding" not in message
    else:
        assert message.endswith("looks like UTF-16-LE without a mark; set encoding: utf-16-le")


def test_a_marked_line_in_another_encoding_is_damage(tmp_path):
    content = "\ufefftext,label\n".encode() + b"good,a\ncaf\xe9,b\n"
    message = refusal(write(tmp_path / "few.csv", content))
    assert message.startswith("few.csv, line 3 is damaged or cut: the file begins as UTF-8")


def test_a_single_line_that_is_not_like_the_others(tmp_path):
    lines = [f"café {i},{i % 2}".encode() for i in range(30)]
    lines[20] = "café 20,0".encode("latin-1")
    message = refusal(write(tmp_path / "few.csv", b"text,label\n" + b"\n".join(lines)))
    assert message.startswith("few.csv, line 22 is not UTF-8 (byte 0xe9), though ")


# ---- headers and columns


@pytest.mark.parametrize("header", ["text ,label", " text, label ", "\ufefftext\u00a0,label"])
def test_white_space_around_names(tmp_path, header):
    path = write(tmp_path / "few.csv", QUOTED.replace("text,label", header, 1))
    table = read_table(path)
    assert table.column("text") == TEXTS and table.column("label") == LABELS
    assert [row.text for row in rows_of(str(path), "text", PLAIN)] == TEXTS


def test_two_names_that_differ_in_white_space(tmp_path):
    path = write(tmp_path / "few.csv", "text , text,label\ngood,bad,a\n")
    with pytest.raises(InputError, match="has no column 'text'. Did you mean"):
        read_table(path).column("text")
    assert read_table(path).column(" text") == ["bad"]


def test_columns_without_a_name_that_nobody_asks_for(tmp_path):
    rows = "".join(f'{label},"{text}",,,\n' for text, label in zip(TEXTS, LABELS, strict=True))
    assert texts_in(write(tmp_path / "few.csv", f"label,text,,,\n{rows}")) == TEXTS
    assert texts_in(write(tmp_path / "few.csv", f"label,text\n{rows}")) == TEXTS
    short = rows.replace(",,,", "")
    assert texts_in(write(tmp_path / "few.csv", f"label,text,,,\n{short}")) == TEXTS
    assert "has 5 fields" in refusal(write(tmp_path / "few.csv", "label,text\na,good,,,more\n"))


def test_a_column_that_is_there_twice(tmp_path):
    path = write(tmp_path / "few.csv", "id,text,id,label\n1,good,2,a\n")
    table = read_table(path)
    assert table.column("text") == ["good"] and table.column("label") == ["a"]
    with pytest.raises(InputError, match=r"has the column 'id' 2 times: 1, 3; name the one that"):
        table.column("id")
    assert table.column("1") == ["1"] and table.column("3") == ["2"]
    columns = [pa.array(["good"]), pa.array(["bad"]), pa.array(["a"])]
    pq.write_table(pa.Table.from_arrays(columns, ["text", "text", "label"]), tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet").column("2") == ["bad"]


def test_a_file_without_the_header_that_it_should_have(tmp_path):
    rows = "".join(
        f'"{text}, which is a long text for a name",{i % 2}\n' for i, text in enumerate(TEXTS)
    )
    path = write(tmp_path / "few.csv", rows)
    with pytest.raises(InputError, match=r"If its first line is a row, set header: false and name"):
        load_corpus(str(path))
    corpus = load_corpus(str(path), text="1", label="2", reading=Reading(header=False))
    assert sum(len(split) for split in (corpus.train, corpus.dev, corpus.test)) == 40


@pytest.mark.parametrize("pair", [("text", "text"), ("text", "1"), ("label", "label")])
def test_one_column_for_text_and_label(tmp_path, pair):
    path = write(tmp_path / "few.csv", QUOTED)
    with pytest.raises(InputError, match=r"text and label are the same column, '(text|label)'"):
        load_corpus(str(path), text=pair[0], label=pair[1])
    with pytest.raises(InputError, match=r"label and text_pair are the same column, 'label'"):
        load_corpus(str(path), reading=Reading(text_pair="label"))


UNLABELLED = {
    "no column": ("sentence", [["fine, so far"]] * 3),
    "empty cells": ("sentence,label", [["fine", ""]] * 3),
    "-1": ("sentence,label", [["fine", "-1"]] * 3),
}


@pytest.mark.parametrize("case", UNLABELLED)
def test_a_test_file_without_labels(tmp_path, case):
    names, rows = UNLABELLED[case]
    write(tmp_path / "train.csv", QUOTED.replace("text,", "sentence,", 1))
    write(tmp_path / "test.csv", delimited([names.split(","), *rows]))
    with pytest.raises(InputError) as error:
        load_corpus(str(tmp_path), text="sentence")
    assert "test.csv has no " in str(error.value) and "as benchmarks publish them" in str(
        error.value
    )
    assert "data.test_file" in str(error.value)
    corpus = load_corpus(str(tmp_path / "train.csv"), text="sentence")
    assert len(corpus.test) == 8


def test_minus_one_that_is_a_class(tmp_path):
    rows = [(text, (-1, 1)[i % 2]) for i, text in enumerate(TEXTS)]
    write(tmp_path / "train.csv", delimited([("text", "label"), *rows]))
    write(tmp_path / "test.csv", "text,label\nfine,-1\n")
    assert load_corpus(str(tmp_path)).label_names == ("-1", "1")


# ---- cells


def test_words_for_nothing_and_line_ends_stay_what_they_are(tmp_path):
    words = ["NA", "null", "None", "nan", "NaN", "#N/A", "TRUE", "1e5", "007"]
    content = delimited([("text", "label"), *[(word, "a") for word in words]])
    for end in ("\n", "\r\n", "\r"):
        path = write(tmp_path / "few.csv", content.replace("\n", end))
        table = read_table(path)
        assert table.column("text") == words and table.lines == list(range(2, 11))


def test_decimal_commas_of_a_regression(tmp_path):
    values = [f"{i}".replace(".", ",") for i in (1, 2.5, -3.25, 0.125)] * 10
    path = write(
        tmp_path / "few.csv", delimited([("text", "label"), *zip(TEXTS, values, strict=True)])
    )
    corpus = load_corpus(str(path), reading=Reading(task="regression"))
    assert set(corpus.train.labels) == {1, 2.5, -3.25, 0.125}
    path.write_text(path.read_text().replace('"-3,25"', '"3.25"'))
    with pytest.raises(InputError, match="has '2,5', which is no number"):
        load_corpus(str(path), reading=Reading(task="regression"))
    path.write_text(delimited([("text", "label"), *[(text, "1,234") for text in TEXTS]]))
    with pytest.raises(InputError, match="has '1,234', which is no number"):
        load_corpus(str(path), reading=Reading(task="regression"))


def test_words_beside_decimal_commas(tmp_path):
    values = ["n.a.", "no, none.", ".", *["1,5", "2,25"] * 20]
    rows = zip([*"abc", *TEXTS], values, strict=True)
    path = write(tmp_path / "few.csv", delimited([("text", "label"), *rows]))
    reading = Reading(task="regression", on_bad_rows="quarantine")
    corpus = load_corpus(str(path), reading=reading)
    assert set(corpus.train.labels) == {1.5, 2.25} and [r.line for r in corpus.bad_rows] == [
        2,
        3,
        4,
    ]
    assert corpus.bad_rows[1].reason.endswith("has 'no, none.', which is no number")


def test_bad_rows_that_cannot_be_counted(tmp_path):
    rows = [*zip(TEXTS, LABELS, strict=True), ("x", "y", "z"), ("x", "y", "z")]
    path = write(tmp_path / "train.csv", delimited([("text", "label"), *rows]))
    write(tmp_path / "test.csv", "text,other\ngood,a\n")
    with pytest.raises(InputError) as error:
        load_corpus(str(path.parent))
    assert str(error.value).startswith("train.csv, line 42 has 3 fields; ")
    assert str(error.value).endswith(" (on_bad_rows: quarantine leaves such rows out)")


@pytest.mark.parametrize("bad", [1, 3])
def test_the_first_bad_row_says_how_many_there_are(tmp_path, bad):
    rows = [*zip(TEXTS, LABELS, strict=True), ("no label", ""), ("", ""), ("x", "y", "z")][
        : 40 + bad
    ]
    path = write(tmp_path / "few.csv", delimited([("text", "label"), *rows]))
    with pytest.raises(InputError) as error:
        load_corpus(str(path))
    count = "the only bad row" if bad == 1 else "3 bad rows in all"
    leave = "leaves it out" if bad == 1 else "leaves them out"
    assert str(error.value).endswith(f" ({count}; on_bad_rows: quarantine {leave})")
    corpus = load_corpus(str(path), reading=Reading(on_bad_rows="quarantine"))
    assert len({row.line for row in corpus.bad_rows}) == bad


# ---- folders


@pytest.fixture
def named():
    """A dataset whose classes have names, which are not in alphabetical order of their ids."""
    rows = {"text": TEXTS, "label": [i % 2 for i in range(40)]}
    label = datasets.ClassLabel(names=["zero", "one", "many"])
    features = datasets.Features({"text": datasets.Value("string"), "label": label})
    return datasets.Dataset.from_dict(rows, features=features)


def test_a_dataset_that_was_saved_to_disk(tmp_path, named):
    named.save_to_disk(tmp_path / "one", num_shards=2)
    datasets.DatasetDict({"train": named, "validation": named.select(range(8))}).save_to_disk(
        tmp_path / "splits"
    )
    for folder, dev_rows in (("one", 3), ("splits", 8)):
        corpus = load_corpus(str(tmp_path / folder))
        assert corpus.label_names == ("zero", "one", "many") and len(corpus.dev) == dev_rows
        assert set(corpus.train.labels.tolist()) == {0, 1}
    (file,) = (tmp_path / "splits" / "train").glob("*.arrow")
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(InputError, match="^train cannot be read as a saved dataset: "):
        load_corpus(str(tmp_path / "splits"))


def test_names_of_classes_in_lists(tmp_path):
    labels = datasets.List(datasets.ClassLabel(names=["zero", "one", "many"]))
    features = datasets.Features({"text": datasets.Value("string"), "label": labels})
    rows = {"text": TEXTS, "label": [[2, i % 2] for i in range(40)]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "few.parquet")
    corpus = load_corpus(str(tmp_path / "few.parquet"))
    assert corpus.task == "multilabel" and corpus.label_names == ("zero", "one", "many")
    assert all(set(ids) > {2} for ids in corpus.train.labels.tolist())


def test_names_of_classes_in_parquet(tmp_path, named):
    named.to_parquet(tmp_path / "few.parquet")
    path = str(tmp_path / "few.parquet")
    assert load_corpus(path).label_names == ("zero", "one", "many")
    assert load_corpus(path, reading=Reading(labels=("one", "zero"))).label_names == ("one", "zero")
    renamed = load_corpus(path, reading=Reading(labels=("no", "yes", "some")))
    assert renamed.label_names == ("no", "yes", "some")
    assert renamed.train.labels.tolist() == load_corpus(path).train.labels.tolist()


def renamed(dataset, *names: str):
    """A dataset with the same ids, which stand for classes of other names."""
    return dataset.cast_column("label", datasets.ClassLabel(names=list(names)))


def test_each_file_has_its_own_names_of_classes(tmp_path, named):
    named.to_parquet(tmp_path / "train.parquet")
    test = renamed(named.select(range(8)), "many", "zero", "one")
    test.to_parquet(tmp_path / "test.parquet")
    corpus = load_corpus(str(tmp_path))
    assert corpus.label_names == ("zero", "one", "many")
    assert corpus.test.labels.tolist() == [2, 0] * 4
    ordered = load_corpus(str(tmp_path), reading=Reading(labels=("many", "one", "zero")))
    assert ordered.test.labels.tolist() == [0, 2] * 4
    other_names = {"reading": Reading(labels=("x", "y", "z"))}
    for options in (other_names, {"label_names": ("x", "y", "z")}):
        with pytest.raises(InputError, match=r"^test.parquet: class 0 of column 'label' is 'many'"):
            load_corpus(str(tmp_path), **options)
    renamed(named.select(range(8)), "zero", "two").to_parquet(tmp_path / "test.parquet")
    with pytest.raises(InputError, match=r"^test.parquet, row 2: unknown label 'two'"):
        load_corpus(str(tmp_path))


def test_shards_that_name_their_classes_in_two_ways(tmp_path, named):
    named.to_parquet(tmp_path / "train-00000-of-00002.parquet")
    swapped = renamed(named, "one", "zero", "many")
    swapped.to_parquet(tmp_path / "train-00001-of-00002.parquet")
    with pytest.raises(
        InputError,
        match=r"^train-00001-of-00002.parquet: the classes of column 'label' are one, zero, many, "
        "in the files before it zero, one, many; ",
    ):
        load_corpus(str(tmp_path))


@pytest.mark.parametrize("below", ["", "data", "plain_text"])
def test_a_folder_in_shards(tmp_path, named, below):
    folder = tmp_path / below
    folder.mkdir(exist_ok=True)
    for shard in range(2):
        part = named.shard(2, shard, contiguous=True)
        part.to_parquet(folder / f"train-0000{shard}-of-00002.parquet")
    named.select(range(9)).to_parquet(folder / "test-00000-of-00001.parquet")
    corpus = load_corpus(str(tmp_path), dev_rows=4)
    assert corpus.source == "the files train-*-of-00002.parquet, test-00000-of-00001.parquet"
    assert sorted(corpus.train.texts + corpus.dev.texts) == sorted(TEXTS) and len(corpus.test) == 9
    assert sorted([*corpus.train.lines, *corpus.dev.lines]) == list(range(1, 41))
    (folder / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(InputError, match=r"has 1 of the 2 files train-\*-of-00002.parquet; fetch"):
        load_corpus(str(tmp_path))


def test_bad_rows_in_shards(tmp_path):
    for shard in range(2):
        rows = [*zip(TEXTS, LABELS, strict=True)][shard::2] if shard else [("", "a"), ("x",)]
        content = delimited([("text", "label"), *rows, *zip(TEXTS[:8], LABELS[:8], strict=True)])
        write(tmp_path / f"train-0000{shard}-of-00002.csv", content)
    corpus = load_corpus(str(tmp_path), reading=Reading(on_bad_rows="quarantine"), dev_rows=2)
    assert [row.line for row in corpus.bad_rows] == [3, 2]
    assert sum(len(split) for split in (corpus.train, corpus.dev, corpus.test)) == 36


def test_a_folder_for_each_split(tmp_path, named):
    for shard in range(2):
        (tmp_path / "train").mkdir(exist_ok=True)
        named.shard(2, shard).to_parquet(tmp_path / "train" / f"000{shard}.parquet")
    corpus = load_corpus(str(tmp_path))
    assert corpus.source == "the file train-*.parquet" and corpus.train.lines.max() > 20
    rows = pa.table({"text": ["", *TEXTS], "label": ["a", *LABELS]})
    pq.write_table(rows, tmp_path / "train" / "0001.parquet")
    with pytest.raises(InputError, match=r"^train-\*.parquet, row 21: column 'text' is empty"):
        load_corpus(str(tmp_path))


def test_files_whose_names_have_capitals(tmp_path):
    write(tmp_path / "Train.CSV", QUOTED)
    write(tmp_path / "TEST.csv", "text,Label\nfine,a\n")
    with pytest.raises(InputError, match=r"^TEST.csv has no column 'label'. Did you mean Label\?$"):
        load_corpus(str(tmp_path))


def test_several_folders_below(tmp_path):
    for name in ("cola", "sst2"):
        write(tmp_path / name / "train.csv", QUOTED)
    with pytest.raises(InputError, match="has several with a train file: cola, sst2; name one"):
        load_corpus(str(tmp_path))
