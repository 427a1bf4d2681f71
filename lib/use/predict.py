"""Labels for files of any length: in constant memory, in input order, and from where a killed
process stopped."""

import csv
import io
import itertools
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from lib.errors import InputError, nearest
from lib.formats import stream
from lib.lines import lines_of
from lib.readers import Reading, column_at, is_whole
from lib.runs.files import read_json, write_json
from lib.runs.store import Run

CHUNK = 4096  # texts that are in memory at once, and lost at most when the process is killed
SHOW_EVERY = 10.0  # seconds between lines of progress in a log
HEADER = "text,label,probability\n"
COUNTED = (".csv", ".tsv", ".txt", ".jsonl")  # files with about a text a line


def texts_of(
    source: str, column: str | None, reading: Reading
) -> Iterator[tuple[int, str | tuple[str, str]]]:
    """The texts of a file with their lines: its lines themselves, or a column of a table. `-` is
    standard input. Raises InputError."""
    name = "Standard input" if source == "-" else Path(source).name
    if column is None:
        for number, line in enumerate(_lines(source, reading), 1):
            text = line.rstrip("\r\n")
            check_text(text, f"{name}, line {number}", "")
            yield number, text
        return
    if source == "-":
        raise InputError("--text names a column of a file; standard input has a text a line")
    columns = [column, reading.text_pair] if reading.text_pair else [column]
    for line, row in stream(Path(source), reading):
        texts = []
        for wanted in columns:
            key = wanted if wanted in row else column_at(wanted, row)
            if key not in row:
                raise InputError(f"{name} has no column {wanted!r}.{nearest(wanted, row)}")
            check_text(row[key], f"{name}, line {line}", f" in column {wanted!r}")
            texts.append(row[key])
        yield line, tuple(texts) if len(texts) > 1 else texts[0]


def _lines(source: str, reading: Reading) -> Iterator[str]:
    return sys.stdin if source == "-" else lines_of(Path(source), reading)


def check_text(text, place: str, column: str) -> None:
    """Raises InputError where a text is empty, or has bytes that are no text."""
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{place} is empty{column}")
    if not is_whole(text):
        raise InputError(f"{place} is not UTF-8, or has half a character")


def to_csv(run: Run, texts: list) -> str:
    """A line for each text: the text, its label, and the label's probability; several are parted
    by |. For a regression, the number alone."""
    labels, probabilities = run.predict(texts)
    names = run.model[1]["label_names"]
    rows = []
    for text, label, chances in zip(texts, labels, probabilities, strict=True):
        first = text if isinstance(text, str) else text[0]
        if isinstance(label, float):
            rows.append([first, f"{label:.6g}", ""])
        elif isinstance(label, list):
            each = [f"{chances[names.index(name)]:.6f}" for name in label]
            rows.append([first, "|".join(label), "|".join(each)])
        else:
            rows.append([first, label, f"{chances.max():.6f}"])
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()


def chunks(texts: Iterator) -> Iterator[list[str]]:
    """Texts without their lines, `CHUNK` at a time."""
    while chunk := list(itertools.islice(texts, CHUNK)):
        yield [text for _, text in chunk]


def predict_file(
    run: Run, source: str, out: Path | None, column: str | None, reading: Reading
) -> int:
    """Label a file's texts; returns how many. Without `out` they go to standard output.

    With it, they are written to `out`.part, beside a note of how far it got, after every `CHUNK`
    texts: the same command goes on there, if the run and the file are the same. `out` appears when
    it is whole. Raises InputError.
    """
    run.model  # noqa: B018  says what is wrong with the run before the file is opened
    if out is None:
        count = _print_labels(run, texts_of(source, column, reading))
    else:
        count = _write_labels(run, source, out, column, reading)
    if not count:
        name = "Standard input" if source == "-" and out is None else source
        raise InputError(f"{name}, line 1 is empty")
    if out is not None:
        os.replace(part_of(out), out)
        note_of(out).unlink()
    return count


def part_of(out: Path) -> Path:
    """What is written so far."""
    return out.with_name(f"{out.name}.part")


def note_of(out: Path) -> Path:
    """How far it got, and with what."""
    return out.with_name(f"{out.name}.part.json")


def _print_labels(run: Run, texts: Iterator) -> int:
    print(HEADER, end="")
    count = 0
    for chunk in chunks(texts):
        sys.stdout.write(to_csv(run, chunk))
        count += len(chunk)
    return count


def _write_labels(run: Run, source: str, out: Path, column: str | None, reading: Reading) -> int:
    _check_out(source, out)
    file_status = Path(source).stat()
    work = {
        "run": run.key,
        "column": column,
        "reading": reading.model_dump(),
        "size": file_status.st_size,
        "changed": file_status.st_mtime_ns,
    }
    note = read_json(note_of(out)) if note_of(out).exists() and part_of(out).exists() else {}
    done = note.get("rows", 0) if note.get("about") == work else 0
    progress = Progress(_count(source), done)
    texts = itertools.islice(texts_of(source, column, reading), done, None)
    with part_of(out).open("r+b" if done else "wb") as file:
        if done:
            file.truncate(note["bytes"])
            file.seek(0, os.SEEK_END)
            print(f"Goes on after {done:,} texts", file=sys.stderr, flush=True)
        else:
            file.write(HEADER.encode())
        for chunk in chunks(texts):
            file.write(to_csv(run, chunk).encode())
            file.flush()
            os.fsync(file.fileno())
            progress.add(len(chunk))
            write_json(note_of(out), {"about": work, "rows": progress.done, "bytes": file.tell()})
    progress.close()
    return progress.done


def _check_out(source: str, out: Path) -> None:
    if source == "-":
        raise InputError(
            "--out needs a file to read: standard input cannot be read again after a stop"
        )
    if out.is_dir():
        raise InputError(f"{out} is a folder; name a file in it")
    if not out.parent.is_dir():
        raise InputError(f"{out} cannot be written: there is no folder {out.parent}")


class Progress:
    """How many texts are labelled: a bar at a terminal, lines in a log."""

    def __init__(self, total: int | None, done: int):
        self.total, self.done, self.before = total, done, done
        self.start = self.shown = time.perf_counter()
        self.bar = None
        if sys.stderr.isatty():
            self.bar = tqdm(total=total, initial=done, unit=" texts")

    def add(self, count: int) -> None:
        self.done += count
        now = time.perf_counter()
        if self.bar is not None:
            self.bar.update(count)
        elif now - self.shown > SHOW_EVERY:
            self.shown = now
            speed = (self.done - self.before) / (now - self.start)
            left = ""
            if self.total:
                minutes = (self.total - self.done) / speed / 60
                left = f" of {self.total:,}, about {minutes:.1f} min to go"
            print(f"{self.done:,} texts{left}, {speed:.0f} texts/s", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def _count(source: str) -> int | None:
    """About how many texts a plain file has, for the time to go."""
    if not source.endswith(COUNTED) or not Path(source).is_file():
        return None
    with open(source, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
