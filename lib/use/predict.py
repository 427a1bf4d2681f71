"""Labels for files of any length: in constant memory, in input order, and from where a killed
process stopped."""

import hashlib
import io
import itertools
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from lib.errors import InputError
from lib.reading.options import Reading
from lib.runs.files import digest, failures_named, read_json, write_json
from lib.runs.store import Run
from lib.use.inputs import STANDARD_INPUT, Row, name_of
from lib.use.labeller import Labeller
from lib.use.outputs import Labelling, header_line, to_csv
from lib.use.progress import BLOCK, Progress, about_how_many
from lib.use.unsure import least_sure

CHUNK = 4096  # texts that are in memory at once, and lost at most when the process is killed


def predict_file(
    run: Run | Labeller,
    source: str,
    out: Path | None,
    column: str | None,
    reading: Reading,
    *,
    keep: Iterable[str] = (),
    unsure: int | None = None,
    **written,
) -> int:
    """Label a file's texts, a row each; returns how many. Without `out` they go to standard output.

    With it, they are written to `out`.part, beside a note of how far it got, after every `CHUNK`
    texts: the same command goes on there, if the run and the file are the same. `out` appears when
    it is whole. What is no file, such as a pipe, is written to as it is. `unsure`: only so many
    texts, those that the run is least sure of. `written` are further arguments of `Labelling`.
    Raises InputError.
    """
    labeller = run if isinstance(run, Labeller) else Labeller([run])
    labelling = Labelling(labeller, source, column, reading, tuple(keep), **written)
    if unsure is not None:
        labelling = least_sure(labelling, unsure, CHUNK)
    if out is None or is_standard_output(out):
        return _print_labels(labelling)
    if out.is_dir():
        raise InputError(f"{out} is a folder; name a file in it")
    if out.exists() and not out.is_file():
        with out.open("w", encoding="utf-8", newline="") as file:
            return _write_all(labelling, file)
    out = Path(os.path.realpath(out))  # a link stays one
    _check_out(source, out)
    count = _write_labels(labelling, out)
    os.replace(part_of(out), out)
    note_of(out).unlink()
    return count


def is_standard_output(out: Path) -> bool:
    """Whether a path, such as /dev/stdout, is where this process prints to."""
    try:
        return os.path.samestat(out.stat(), os.fstat(1))
    except OSError:
        return False


def part_of(out: Path) -> Path:
    """What is written so far."""
    return out.with_name(f"{out.name}.part")


def note_of(out: Path) -> Path:
    """How far it got, and with what."""
    return out.with_name(f"{out.name}.part.json")


def _check_out(source: str, out: Path) -> None:
    if source == STANDARD_INPUT:
        raise InputError(
            "--out needs a file to read: standard input cannot be read again after a stop"
        )
    if not out.parent.is_dir():
        raise InputError(f"{out} cannot be written: there is no folder {out.parent}")
    for written in (out, part_of(out), note_of(out)):
        if written.exists() and os.path.samefile(source, written):
            raise InputError(
                f"--out would write to {written}, the file that is read; name another file"
            )


# ---- written in one go


def _print_labels(labelling: Labelling) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="")
    return _write_all(labelling, sys.stdout)


def _write_all(labelling: Labelling, file: io.TextIOBase) -> int:
    first, rows = _begun(labelling)
    file.write(header_line(labelling, first))
    count = 0
    for chunk in _chunks(rows):
        file.write(to_csv(labelling, chunk))
        file.flush()
        count += len(chunk)
    return count


def _begun(labelling: Labelling) -> tuple[Row, Iterator[Row]]:
    """The first row, and all of them. Raises InputError where there is none."""
    rows = labelling.rows()
    first = next(rows, None)
    if first is None:
        name = name_of(labelling.source)
        raise InputError(f"{name} has no rows" if labelling.column else f"{name} is empty")
    return first, itertools.chain([first], rows)


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while chunk := list(itertools.islice(rows, CHUNK)):
        yield chunk


# ---- written in parts, with a note


def _write_labels(labelling: Labelling, out: Path) -> int:
    first, rows = _begun(labelling)
    work = _work_of(labelling)
    note = _note_to_go_on_from(out, work)
    done = note["rows"] if note else 0
    labelling.labeller.too_long = note["too_long"] if note else 0
    total = about_how_many(labelling.source) if labelling.chosen is None else None
    progress = Progress(total, done)
    with failures_named(out), part_of(out).open("r+b" if note else "wb") as file:
        state = hashlib.sha256()
        if note:
            file.truncate(note["bytes"])
            state = _digest_of(file)
            print(f"Goes on after {done:,} texts", file=sys.stderr, flush=True)
        else:
            _append(file, header_line(labelling, first), state)
        for chunk in _chunks(itertools.islice(rows, done, None)):
            _append(file, to_csv(labelling, chunk), state)
            file.flush()
            os.fsync(file.fileno())
            progress.add(len(chunk))
            note = {"about": work, "rows": progress.done, "bytes": file.tell()}
            note |= {"too_long": labelling.labeller.too_long, "sha256": state.hexdigest()}
            write_json(note_of(out), note | {"seal": _seal_of(note)})
    progress.close()
    return progress.done


def _append(file, text: str, state) -> None:
    data = text.encode()
    file.write(data)
    state.update(data)


def _work_of(labelling: Labelling) -> dict:
    """What must be the same for a command to go on with what another left."""
    status = Path(labelling.source).stat()
    chosen = labelling.chosen
    return {
        "runs": labelling.labeller.keys,
        "decisions": repr(labelling.labeller.decisions),
        "column": labelling.column,
        "reading": labelling.reading.model_dump(mode="json"),
        "keep": list(labelling.keep),
        "written": [labelling.safe_csv, labelling.every, labelling.top, chosen and len(chosen)],
        "size": status.st_size,
        "changed": status.st_mtime_ns,
    }


def _note_to_go_on_from(out: Path, work: dict) -> dict | None:
    """The note of a stopped command that did the same; None where there is none, or where what it
    left is not what the note tells of."""
    if not note_of(out).exists() or not part_of(out).exists():
        return None
    try:
        note = read_json(note_of(out))
        if note.pop("seal") != _seal_of(note):
            raise ValueError("the note is not what was written")
        if note["about"] != work:
            reason = "it was made from another run, file or options"
        elif _is_as_noted(part_of(out), note):
            return note
        else:
            reason = "it is damaged"
    except (OSError, ValueError, KeyError, TypeError):
        reason = "its note is damaged"
    print(f"Starts over, without {part_of(out).name}: {reason}", file=sys.stderr, flush=True)
    return None


def _seal_of(note: dict) -> str:
    return digest(json.dumps(note, sort_keys=True))


def _is_as_noted(part: Path, note: dict) -> bool:
    """Whether a part begins with the bytes that a note tells of."""
    with part.open("rb") as file:
        return _digest_of(file, note["bytes"]).hexdigest() == note["sha256"]


def _digest_of(file, size: int | None = None):
    """SHA-256 over a file's first `size` bytes, or all of them; the file is left behind them."""
    state = hashlib.sha256()
    file.seek(0)
    while block := file.read(BLOCK if size is None else min(BLOCK, size - file.tell())):
        state.update(block)
    return state
