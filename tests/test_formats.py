"""The rows of a file, whatever its format, and the line of what is wrong in it."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from lib.errors import InputError
from lib.reading.compressed import packing_of
from lib.reading.formats import FORMATS, SUFFIXES, format_of, read_table, stream
from lib.reading.options import BadRow, Reading

ROWS = [("good; day, all", "a"), ("café\nau lait", "b"), ('"so" he said', "a")]


def pack(content: bytes, packing: str) -> bytes:
    """Bytes as they are packed in a file with that suffix."""
    if packing == ".zip":
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("a folder/few", content)
            file.writestr("__MACOSX/few", b"of no use")
        return archive.getvalue()
    packers = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    return packers[packing](content)


def save(path: Path) -> None:
    """ROWS in the format that the file's name tells."""
    frame = pd.DataFrame(ROWS, columns=["text", "label"])
    packing = packing_of(path)
    suffix = path.suffixes[-2] if packing else path.suffix
    if suffix == ".parquet":
        frame.to_parquet(path)
        return
    if suffix == ".xlsx":
        pytest.importorskip("openpyxl")
        frame.to_excel(path, index=False)
        return
    if suffix == ".json":
        content = frame.to_json(orient="records")
    elif suffix == ".jsonl":
        content = frame.to_json(orient="records", lines=True)
    else:
        content = frame.to_csv(index=False, sep="," if suffix == ".csv" else "\t")
    path.write_bytes(pack(content.encode(), packing) if packing else content.encode())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_gives_the_same_rows(tmp_path, suffix):
    path = tmp_path / f"Few{suffix.upper()}"
    save(tmp_path / f"few{suffix}")
    (file,) = tmp_path.iterdir()
    table = read_table(file.rename(path))
    assert list(zip(table.column("text"), table.column("label"), strict=True)) == ROWS
    if suffix == ".xlsx":
        assert table.lines == [2, 3, 4]
    else:
        in_lines = "sv" in suffix or "txt" in suffix
        assert table.lines == ([2, 3, 5] if in_lines else [1, 2, 3])


def test_what_is_no_format():
    for name in ("few.doc", "few", "few.gz", "few.parquet.gz"):
        with pytest.raises(InputError, match=rf"^{name} is none of the formats that are read: "):
            format_of(Path(name))
    assert format_of(Path("my.table.CSV.GZ")) == ".csv" and len(FORMATS) == 7


def test_columns_that_come_late_or_go(tmp_path):
    path = tmp_path / "few.jsonl"
    path.write_text('{"a": 1}\n\n{"b": 2}\n{"a": 3, "b": 4}\n')
    table = read_table(path)
    assert table.columns == {"a": [1, None, 3], "b": [None, 2, 4]} and table.lines == [1, 3, 4]


def test_bad_lines_are_left_out_and_listed(tmp_path):
    path = tmp_path / "few.jsonl"
    path.write_text('{"a": 1}\n[1]\n{bad\n{"a": 2}\n')
    bad_rows = []
    reading = Reading(on_bad_rows="quarantine")
    assert list(stream(path, reading, bad_rows)) == [(1, {"a": 1}), (4, {"a": 2})]
    assert bad_rows == [
        BadRow("few.jsonl", 2, "is no JSON object with a name for each column"),
        BadRow(
            "few.jsonl",
            3,
            "is not JSON: Expecting property name enclosed in double quotes",
        ),
    ]
    with pytest.raises(
        InputError, match=r"^few.jsonl, line 2 is no JSON object with a name for each column$"
    ):
        read_table(path)


def test_a_line_separator_of_unicode_ends_no_line(tmp_path):
    path = tmp_path / "few.jsonl"
    rows = [{"text": "good\u2028day"}, {"text": "fine"}]
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n")
    assert read_table(path).lines == [1, 2]


def test_a_pointer_is_no_parquet(tmp_path):
    path = tmp_path / "few.parquet"
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(InputError, match=r"^few.parquet is a pointer of Git LFS"):
        read_table(path)


def test_quotes_can_be_plain_characters(tmp_path):
    path = tmp_path / "few.txt"
    path.write_text('text\tlabel\n"good\ta\nfine"\tb\n')
    table = read_table(path, Reading(quotes=False))
    assert table.column("text") == ['"good', 'fine"'] and table.lines == [2, 3]


def test_a_table_without_a_header(tmp_path):
    path = tmp_path / "few.csv"
    path.write_text("good,a\n\nfine,b\nbad\n")
    reading = Reading(header=False, on_bad_rows="quarantine")
    table = read_table(path, reading)
    assert table.columns == {"1": ["good", "fine"], "2": ["a", "b"]} and table.lines == [1, 3]
    assert table.bad_rows == [BadRow("few.csv", 4, "has 1 fields; the first line has 2")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("\ntext,label\n", "few.csv begins with an empty line"),
        (
            'text,label\ngood,"a\nb" c,x\n',
            "few.csv, line 3 (of a row that begins in line 2) cannot be read: ',' expected after "
            "'\"'; if quotes are plain characters in this file, set quotes: false",
        ),
    ],
)
def test_bad_tables(tmp_path, content, message):
    (tmp_path / "few.csv").write_text(content)
    with pytest.raises(InputError) as error:
        read_table(tmp_path / "few.csv")
    assert str(error.value) == message
