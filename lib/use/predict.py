"""Labels for files of any length: in constant memory, in input order, and from where a killed
process stopped."""

import csv
import io
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from lib.errors import InputError, nearest
from lib.readers import Reading, column_at, is_whole, lines_of, stream
from lib.runs.store import Run, write_json

CHUNK = 4096  # texts that are in memory at once, and lost at most when the process is killed
SHOW_EVERY = 10.0  # seconds between lines of progress in a log


def texts_of(
    source: str, column: str | None, reading: Reading
) -> Iterator[tuple[int, str | tuple[str, str]]]:
    """The texts of a file with their lines: its lines themselves, or a column of a table. `-` is
    standard input."""
    name = "Standard input" if source == "-" else Path(source).name
    columns = [column, reading.text_pair] if column and reading.text_pair else [column]
    if column is None:
        lines = sys.stdin if source == "-" else lines_of(Path(source), reading)
        rows = ((number, {None: line.rstrip("\r\n")}) for number, line in enumerate(lines, 1))
    elif source == "-":
        raise InputError("--text names a column of a file; standard input has a text a line")
    else:
        rows = stream(Path(source), reading)
    for line, row in rows:
        found = [
            row.get(wanted if wanted in row else column_at(wanted, row), row) for wanted in columns
        ]
        for wanted, text in zip(columns, found, strict=True):
            if text is row:
                raise InputError(f"{name} has no column {wanted!r}.{nearest(wanted, row)}")
            if not isinstance(text, str) or not text.strip():
                raise InputError(
                    f"{name}, line {line} is empty" + (f" in column {wanted!r}" if wanted else "")
                )
            if not is_whole(text):
                raise InputError(f"{name}, line {line} is not UTF-8, or has half a character")
        yield line, tuple(found) if len(found) > 1 else found[0]


def to_csv(run: Run, texts: list) -> str:
    """A line for each text: the text, its label, and the label's probability; several are parted
    by |. For a regression, the number alone."""
    labels, chances = run.predict(texts)
    names, rows = run.model[1]["label_names"], []
    for text, label, chance in zip(texts, labels, chances, strict=True):
        first = text if isinstance(text, str) else text[0]
        if isinstance(label, float):
            rows.append([first, f"{label:.6g}", ""])
        elif isinstance(label, list):
            told = [f"{chance[names.index(each)]:.6f}" for each in label]
            rows.append([first, "|".join(label), "|".join(told)])
        else:
            rows.append([first, label, f"{chance.max():.6f}"])
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()


def chunks(texts: Iterator, size: int = CHUNK) -> Iterator[list]:
    while chunk := list(itertools.islice(texts, size)):
        yield chunk


def predict_file(
    run: Run, source: str, out: Path | None, column: str | None, reading: Reading
) -> int:
    """Label a file's texts; returns how many. Without `out` they go to standard output.

    With it, they are written to `out`.part, beside a note of how far it got, after every `CHUNK`
    texts: the same command goes on there, if the run and the file are the same. `out` appears when
    it is whole. Raises InputError.
    """
    run.model  # noqa: B018  says what is wrong with the run before the file is opened
    texts, done, total = texts_of(source, column, reading), 0, _count(source)
    if out is None:
        print("text,label,probability")
        for chunk in chunks(texts):
            sys.stdout.write(to_csv(run, [text for _, text in chunk]))
            done += len(chunk)
        if not done:
            raise InputError(f"{'Standard input' if source == '-' else source}, line 1 is empty")
        return done
    if source == "-":
        raise InputError(
            "--out needs a file to read: standard input cannot be read again after a stop"
        )
    if out.is_dir() or not out.parent.is_dir():
        wrong = (
            "is a folder; name a file in it"
            if out.is_dir()
            else f"cannot be written: there is no folder {out.parent}"
        )
        raise InputError(f"{out} {wrong}")
    about = {
        "run": run.key,
        "column": column,
        "reading": reading.model_dump(),
        "size": Path(source).stat().st_size,
    }
    about["changed"] = Path(source).stat().st_mtime_ns
    part, note = out.with_name(f"{out.name}.part"), out.with_name(f"{out.name}.part.json")
    found = json.loads(note.read_text()) if note.exists() and part.exists() else {}
    done = found.get("rows", 0) if found.get("about") == about else 0
    with part.open("r+b" if done else "wb") as file:
        if done:
            file.truncate(found["bytes"])
            file.seek(0, os.SEEK_END)
            print(f"Goes on after {done:,} texts", file=sys.stderr, flush=True)
        else:
            file.write(b"text,label,probability\n")
        bar = tqdm(total=total, initial=done, unit=" texts") if sys.stderr.isatty() else None
        start, shown, before = time.perf_counter(), time.perf_counter(), done
        for chunk in chunks(itertools.islice(texts, done, None)):
            file.write(to_csv(run, [text for _, text in chunk]).encode())
            file.flush()
            os.fsync(file.fileno())
            done += len(chunk)
            write_json(note, {"about": about, "rows": done, "bytes": file.tell()})
            if bar is not None:
                bar.update(len(chunk))
            elif time.perf_counter() - shown > SHOW_EVERY:
                shown, speed = time.perf_counter(), (done - before) / (time.perf_counter() - start)
                left = (
                    f" of {total:,}, about {(total - done) / speed / 60:.1f} min to go"
                    if total
                    else ""
                )
                print(f"{done:,} texts{left}, {speed:.0f} texts/s", file=sys.stderr, flush=True)
        if bar is not None:
            bar.close()
    if not done:
        raise InputError(f"{source}, line 1 is empty")
    os.replace(part, out)
    note.unlink()
    return done


def _count(source: str) -> int | None:
    """About how many texts a plain file has, for the time to go."""
    if (
        source == "-"
        or not source.endswith((".csv", ".tsv", ".txt", ".jsonl"))
        or not Path(source).is_file()
    ):
        return None
    with open(source, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
