"""Whether a published page says what its predictions say: every table, finding, history and
figure by name."""

import dataclasses
import json
import re
from pathlib import Path

import pandas as pd

from lib.analysis.audit import AUDITS
from lib.analysis.predictions import Predictions
from lib.analysis.scores import run_scores
from lib.errors import InputError, lookup
from lib.publish.page import FINDINGS, SPEC, TABLES, compute, markdown, to_csv
from lib.runs.baselines import BASELINES
from lib.runs.config import RunConfig
from lib.runs.files import read_json
from lib.runs.keys import corpus_of, tokens_of


@dataclasses.dataclass
class Check:
    """What was compared: how many cells, sentences and figures, which of them differ, and what
    could not be compared on this machine."""

    compared: int = 0
    differences: list[str] = dataclasses.field(default_factory=list)
    unchecked: list[str] = dataclasses.field(default_factory=list)

    def add(self, other: "Check") -> None:
        self.compared += other.compared
        self.differences += other.differences
        self.unchecked += other.unchecked


def verify(folder: Path) -> tuple[int, list[str], list[str]]:
    """Compute every table and finding of a page, and the dev scores of its history, again from its
    predictions; check that its runs are all there and that its figures show them.

    Returns how many cells, sentences and figures were checked, the differences (each names its
    cell), and what could not be checked here (a data audit whose corpus is not at hand). Raises
    InputError where the page is not whole.
    """
    for name in ("README.md", "predictions.parquet"):
        if not (folder / name).is_file():
            raise InputError(
                f"{folder} has no {name}; a page is published by: python -m lib study NAME"
            )
    page = (folder / "README.md").read_text(encoding="utf-8")
    predictions = Predictions.read(folder / "predictions.parquet")
    total = Check()
    bodies = []
    for spec in SPEC.findall(page):
        kind, *_, body = spec
        bodies.append(body)
        if kind == "finding":
            total.add(check_finding(spec, folder, predictions))
        else:
            total.add(check_table(spec, folder, page, predictions))
    for block in re.findall(r"(?:^\|.*\n)+", page, flags=re.M):
        if not any(block.strip() in body for body in bodies):
            first = block.splitlines()[0]
            total.differences.append(f"a table without its computation, beginning {first!r}")
    total.add(check_runs(folder, predictions))
    total.add(check_history(folder, predictions))
    total.add(check_figures(folder, page, predictions))
    return total.compared, total.differences, total.unchecked


def check_finding(spec: tuple, folder: Path, predictions: Predictions) -> Check:
    """A sentence is what its function says of the predictions."""
    _, _, name, arguments, body = spec
    function = lookup(FINDINGS, name, f"finding on {folder}")
    expected = compute(function, predictions, json.loads(arguments))
    if body.strip() == expected.strip():
        return Check(1)
    says = f"the page says {body.strip()!r}, the predictions say {expected!r}"
    return Check(1, [f"finding {name}: {says}"])


def check_table(spec: tuple, folder: Path, page: str, predictions: Predictions) -> Check:
    """A table, on the page and as CSV, is what its function makes of the predictions, or of the
    data."""
    kind, name, function, arguments, body = spec
    if kind == "measured":
        return Check(unchecked=[f"{name}: measured on the machine that made the page"])
    values = json.loads(arguments)
    if kind == "audit":
        audit = lookup(AUDITS, function, f"audit on {folder}")
        try:
            config = RunConfig(**values)
            table = audit(corpus_of(config), tokens_of(config))
        except InputError as error:
            return Check(unchecked=[f"{name}: {error}"])
    else:
        table = compute(lookup(TABLES, function, f"table on {folder}"), predictions, values)
    check = Check(*compare(name, markdown(table), body))
    note = table.attrs.get("note", "")
    if note not in page:
        says = f"the predictions say {note!r}"
        check.differences.append(f"table {name}: the note on its tests differs; {says}")
    file = folder / f"{name}.csv"
    if not file.is_file() or file.read_text(encoding="utf-8") != to_csv(table):
        check.differences.append(f"{file.name} is missing or differs from what the predictions say")
    return check


def check_runs(folder: Path, predictions: Predictions) -> Check:
    """The runs that the environment names are those with predictions."""
    path = folder / "environment.json"
    if not path.is_file():
        return Check(0, ["environment.json is missing"])
    timed = set(read_json(path)["run_seconds"])
    predicted = set(predictions.runs)
    check = Check(len(timed))
    for key in sorted(timed - predicted):
        check.differences.append(
            f"run {key} of environment.json is missing from predictions.parquet"
        )
    for key in sorted(predicted - timed):
        check.differences.append(
            f"run {key} of predictions.parquet is missing from environment.json"
        )
    return check


def check_history(folder: Path, predictions: Predictions) -> Check:
    """Every run has its epochs in history.csv, with the dev scores that its predictions give."""
    last_epochs = {
        key: run["last_epoch"]
        for key, run in predictions.runs.items()
        if run["config"]["backbone"] not in BASELINES
    }
    path = folder / "history.csv"
    if not path.is_file():
        return Check(0, ["history.csv is missing"] if any(last_epochs.values()) else [])
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    epochs = table.groupby("run")["epoch"].agg(list)
    check = Check()
    for key in sorted(set(epochs.index) - set(last_epochs)):
        check.differences.append(
            f"history.csv has a run {key} that is missing from predictions.parquet"
        )
    for key, last in last_epochs.items():
        if [int(epoch) for epoch in epochs.get(key, [])][:last] != list(range(1, last + 1)):
            check.differences.append(
                f"history.csv: run {key} has not one row for each of its {last} epochs"
            )
    check.add(check_dev_scores(table, predictions))
    return check


def check_dev_scores(history: pd.DataFrame, predictions: Predictions) -> Check:
    """The dev scores of a history are those of the predictions."""
    scores = [name for name in history if name.startswith("dev_")]
    if predictions.task == "multilabel" and "dev_loss" in scores:
        scores.remove("dev_loss")  # of all labels; the predictions keep the highest
    rows = {(row["run"], int(row["epoch"])): row for row in history.to_dict("records")}
    check = Check()
    for key, epoch, group in predictions.single("dev"):
        row = rows.get((key, epoch), {})
        expected = run_scores(predictions, group).iloc[0]
        for name in scores:
            value = expected.get(name.removeprefix("dev_"))
            if not row.get(name) or value is None:
                continue
            check.compared += 1
            if row[name] != f"{value:.6f}":
                place = f"history.csv, run {key}, epoch {epoch}, column {name}"
                says = f"the file says {row[name]}, the predictions say {value:.6f}"
                check.differences.append(f"{place}: {says}")
    return check


def check_figures(folder: Path, page: str, predictions: Predictions) -> Check:
    """Every figure carries its own name and keys of the page's runs."""
    from PIL import Image, UnidentifiedImageError

    check, without_keys = Check(), []
    for name in re.findall(r"!\[[^\]]*\]\(([^)/]+)\.png\)", page):
        check.compared += 1
        try:
            with Image.open(folder / f"{name}.png") as picture:
                metadata = getattr(picture, "text", {})
        except FileNotFoundError:
            check.differences.append(f"figure {name} is missing")
            continue
        except (OSError, UnidentifiedImageError):
            check.differences.append(f"figure {name} is no picture")
            continue
        if "Runs" not in metadata:
            check.compared -= 1
            without_keys.append(name)
            continue
        title = metadata.get("Title")
        if title != name:
            check.differences.append(f"figure {name} is another figure, {title}")
        others = [key for key in metadata["Runs"].split() if key not in predictions.runs]
        if others:
            keys = ", ".join(others)
            check.differences.append(f"figure {name} shows runs that are not this page's: {keys}")
    if without_keys:
        check.unchecked.append(
            f"figures without keys of runs, from before they had any: {', '.join(without_keys)}"
        )
    return check


def cells_of(text: str) -> list[list[str]]:
    """The cells of a Markdown table, row by row."""
    rows = [line for line in text.splitlines() if line[:1] == "|"]
    return [[item.strip() for item in row[2:-2].split(" | ")] for row in rows]


def compare(name: str, expected: str, found: str) -> tuple[int, list[str]]:
    """How many cells two Markdown tables have, and where what a page has differs from what is
    expected."""
    wanted, shown = cells_of(expected), cells_of(found)
    if [len(row) for row in wanted] != [len(row) for row in shown]:
        other = "another number of rows or columns than the predictions give"
        return 0, [f"table {name}: the page has {other}"]
    differences = []
    for wanted_row, shown_row in zip(wanted, shown, strict=True):
        for column, want, show in zip(wanted[0], wanted_row, shown_row, strict=True):
            if want != show:
                place = f"table {name}, row {wanted_row[0]}, column {column}"
                differences.append(f"{place}: the page says {show}, the predictions say {want}")
    return sum(map(len, wanted)), differences
