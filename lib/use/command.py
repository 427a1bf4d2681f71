"""What the command `predict` does."""

import sys
from pathlib import Path

from lib.errors import InputError
from lib.reading.bad_rows import BadRows
from lib.reading.options import check_sheet
from lib.runs.store import Run, load_run
from lib.use.decisions import AS_TRAINED, decisions_of, describe_decisions
from lib.use.inputs import STANDARD_INPUT, describe_reading, is_table, reading_of
from lib.use.int8 import Int8Run
from lib.use.labeller import Labeller
from lib.use.predict import is_standard_output, predict_file


def label(
    words: list[str],
    out: Path | None,
    text: str | None,
    *,
    reading: dict,
    lines: bool = False,
    as_trained: bool = False,
    int8: bool = False,
    unsure: int | None = None,
    **written,
) -> None:
    """Label a file, the last of the `words`, by the runs that the others name; a single word is a
    run, and standard input is labelled. What is read and decided, and how many texts lost tokens,
    goes to standard error. With `lines`, a file has a text a line, whatever its
    name says. Raises InputError."""
    *names, source = words if len(words) > 1 else [*words, STANDARD_INPUT]
    _check_count("--top", written.get("top"))
    _check_count("--unsure", unsure)
    _check_source(source)
    if lines and text:
        raise InputError("--lines takes a text a line, --text a column; leave out one of the two")
    runs = [load_run(name) for name in names]
    if int8:
        runs = [Int8Run(run.folder) for run in runs]
    labeller = Labeller(runs)
    config = runs[0].config
    check_sheet([Path(source)], reading.get("sheet"))
    how = reading_of(config, **reading)
    column = text or (config.text if not lines and is_table(source, config) else None)
    _say(describe_reading(source, column, how))
    if labeller.task != "regression":
        labeller.decisions = AS_TRAINED if as_trained else decisions_of(runs)
        if not as_trained:
            _say(describe_decisions(labeller.decisions, labeller.names))
    if int8:
        for run in runs:
            _say(f"8 bits: {run.agreement}")
    written |= {"bad_rows": BadRows()}
    count = predict_file(labeller, source, out, column, how, unsure=unsure, **written)
    _tell_bad_rows(written["bad_rows"])
    if labeller.too_long:
        _say(f"{labeller.too_long:,} of {count:,} texts lost tokens: {_reads(labeller.runs)}")
    if out and not is_standard_output(out):
        print(f"{count:,} texts: {out}")


def _check_count(option: str, count: int | None) -> None:
    if count is not None and count < 1:
        raise InputError(f"{option} is {count}; it wants a whole number from 1")


def _check_source(source: str) -> None:
    if source == STANDARD_INPUT or Path(source).is_file():
        return
    if Path(source).is_dir():
        raise InputError(f"{source} is a folder; behind the runs, name a file of texts")
    raise InputError(f"There is no file {source}")


def _tell_bad_rows(bad_rows: BadRows) -> None:
    if bad_rows.count:
        _say(f"Rows that cannot be used: {bad_rows.count:,}, without a label; {bad_rows.first}")


def _reads(runs: list[Run]) -> str:
    """How much of a text runs read."""
    limits = {(run.config.max_length, run.config.truncation) for run in runs}
    each = [f"{most} tokens at a time (truncation: {way})" for most, way in sorted(limits)]
    return f"the model reads {' or '.join(each)}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
