"""Mutated files of the formats that are read, and how many rows other readers find in them."""

import csv
import gzip
import io
import json
import random
import re
from pathlib import Path

import pandas as pd
import pyarrow.parquet

from lib.data import load_corpus
from lib.reading.options import Reading

FORMATS = (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".csv.gz")
WORDS = (
    "good",
    "bad",
    "crème",
    "naïve",
    "東京",
    "🙂",
    "it's",
    "a;b",
    "1,5",
    "say",
    "100%",
    "-",
    "x|y",
)
ENCODINGS = ("utf-16", "utf-8-sig", "utf-32", "latin-1", "cp1252", "utf-16-le")
MARKS = {  # the first bytes of a text, and what they say of it
    b"\xff\xfe\0\0": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    b"\xef\xbb\xbf": "utf-8-sig",
}


class FaultError(Exception):
    """Something was read as what it is not."""


def rows_of(dice: random.Random) -> list[dict]:
    """Rows of texts, some with delimiters, quotes and line breaks, in two classes."""
    rows = []
    for number in range(dice.randint(12, 40)):
        words = [*dice.choices(WORDS, k=dice.randint(1, 9)), f"number {number}"]
        text = dice.choice([" ", " ", " ", ", ", '" ', "\n"]).join(words)
        rows.append({"text": text, "label": ("no", "yes")[number % 2]})
    return rows


def content_of(suffix: str, rows: list[dict]) -> bytes:
    """A file with the rows."""
    frame = pd.DataFrame(rows)
    if suffix == ".parquet":
        return frame.to_parquet(index=False)
    if suffix == ".json":
        return json.dumps(rows, indent=1, ensure_ascii=False).encode()
    if suffix == ".jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    return frame.to_csv(index=False, sep="\t" if suffix == ".tsv" else ",").encode()


# ---- mutations


def cut(dice: random.Random, content: bytes) -> bytes:
    return content[: dice.randrange(len(content) + 1)]


def flip(dice: random.Random, content: bytes) -> bytes:
    """One bit of it changed."""
    changed = bytearray(content)
    if changed:
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def insert(dice: random.Random, content: bytes) -> bytes:
    """Something that means something in one of the formats."""
    pieces = (
        b"\0",
        b'"',
        b"'",
        b",",
        b"\t",
        b";",
        b"\n",
        b"\r",
        b"\r\n",
        b"{",
        b"]",
        b"\\",
        b"\xff",
    )
    place = dice.randrange(len(content) + 1)
    return content[:place] + dice.choice(pieces) + content[place:]


def change_lines(dice: random.Random, content: bytes) -> bytes:
    """A line removed, doubled, emptied, or moved."""
    lines = content.splitlines(keepends=True)
    if not lines:
        return content
    line = lines.pop(dice.randrange(len(lines)))
    line = dice.choice([b"", line, b"\n", line * 2])
    lines.insert(dice.randrange(len(lines) + 1), line)
    return b"".join(lines)


def replace_all(dice: random.Random, content: bytes) -> bytes:
    """Another delimiter, quote or line end throughout."""
    old, new = dice.choice([(b",", b";"), (b",", b"\t"), (b"\t", b","), (b'"', b"'"), (b'"', b"")])
    if dice.random() < 0.3:
        old, new = b"\n", dice.choice([b"\r\n", b"\r"])
    return content.replace(old, new)


def encode_anew(dice: random.Random, content: bytes) -> bytes:
    return content.decode("utf-8", "replace").encode(dice.choice(ENCODINGS), "replace")


MUTATIONS = (cut, flip, insert, insert, change_lines, change_lines, replace_all, encode_anew)


def mutated(dice: random.Random, content: bytes) -> bytes:
    for mutation in dice.choices(MUTATIONS, k=dice.choice([1, 1, 2, 3])):
        content = mutation(dice, content)
    return content


# ---- what others read


def text_of(content: bytes) -> str:
    """The text as its first bytes say it is encoded, else as UTF-8."""
    for mark, encoding in MARKS.items():
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    return content.decode("utf-8", "replace")


def delimited_counts(text: str, quotes: bool) -> set[int]:
    """The rows that the csv module finds below a header, by the usual delimiters."""
    csv.field_size_limit(2**31 - 1)
    quoting = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    counts = set()
    for delimiter in ",;\t|":
        records = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting)
        try:
            counts.add(sum(bool(record) for record in records) - 1)
        except csv.Error:
            continue
    return counts


def json_counts(text: str) -> set[int]:
    """The rows of a list of objects, alone or under a name; of columns; of lines."""
    counts = {sum(bool(line.strip()) for line in re.split("\r\n|\r|\n", text))}
    try:
        value = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return counts
    values = list(value.values()) if isinstance(value, dict) else [value]
    return counts | {len(item) for item in values if isinstance(item, list | dict)}


def parquet_counts(content: bytes) -> set[int]:
    """The rows that pyarrow reads: pandas stumbles over notes of its own in a file, too."""
    return {pyarrow.parquet.read_table(io.BytesIO(content)).num_rows}


def counts_of(suffix: str, content: bytes, quotes: bool) -> set[int]:
    """How many rows others find in a file; none where they cannot read it."""
    try:
        if suffix.endswith(".gz"):
            content = gzip.decompress(content)
        if suffix == ".parquet":
            return parquet_counts(content)
    except Exception:
        return set()
    if "json" in suffix:
        return json_counts(text_of(content))
    return delimited_counts(text_of(content), quotes)


def pandas_count(content: bytes, delimiter: str) -> int | None:
    try:
        return len(pd.read_csv(io.BytesIO(content), sep=delimiter, keep_default_na=False))
    except Exception:
        return None


def read_mutated(suffix: str, dice: random.Random, folder: Path, said) -> str:
    """Mutate a file and load it; returns what became of it. Raises FaultError where it has other
    rows than others read, and nothing is said of it."""
    content = content_of(suffix, rows_of(dice))
    if suffix.endswith(".gz"):
        is_inside = dice.random() < 0.5
        content = mutated(dice, content) if is_inside else content
        content = gzip.compress(content)
        content = content if is_inside else mutated(dice, content)
    else:
        content = mutated(dice, content)
    path = folder / f"table{suffix}"
    path.write_bytes(content)
    reading = Reading(on_bad_rows=dice.choice(["stop", "quarantine"]), quotes=dice.random() < 0.9)
    corpus = load_corpus(str(path), reading=reading)
    rows = len(corpus.train) + len(corpus.dev) + len(corpus.test) + len(corpus.bad_rows)
    if rows in counts_of(suffix, content, reading.quotes):
        return "left out" if corpus.bad_rows else "read"
    if said():
        return "said"
    if rows == pandas_count(content, "\t" if suffix == ".tsv" else ","):
        return "read"
    others = sorted(counts_of(suffix, content, reading.quotes))
    raise FaultError(f"{rows} rows are read without a word; others read {others}")
