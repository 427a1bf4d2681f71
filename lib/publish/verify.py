"""Whether a published page says what its predictions say: every table, finding, history and
figure by name."""

import json
import re
from pathlib import Path

import pandas as pd

from lib.analysis.audit import AUDITS
from lib.analysis.predictions import Predictions
from lib.analysis.tables import run_scores
from lib.errors import InputError, lookup
from lib.publish.page import FINDINGS, SPEC, TABLES, compute, markdown, to_csv
from lib.runs.baselines import BASELINES
from lib.runs.config import RunConfig
from lib.runs.store import corpus_of, tokens_of


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
    compared, wrong, left = 0, [], []
    checked = set()
    for kind, name, function, arguments, body in SPEC.findall(page):
        arguments = json.loads(arguments)
        checked.add(body)
        if kind == "finding":
            compared += 1
            expected = compute(
                lookup(FINDINGS, function, f"finding on {folder}"), predictions, arguments
            )
            if body.strip() != expected.strip():
                wrong.append(
                    f"finding {function}: the page says {body.strip()!r}, the predictions say {expected!r}"
                )
            continue
        if kind == "measured":
            left.append(f"{name}: measured on the machine that made the page")
            continue
        if kind == "audit":
            try:
                config = RunConfig(**arguments)
                table = lookup(AUDITS, function, f"audit on {folder}")(
                    corpus_of(config), tokens_of(config)
                )
            except InputError as error:
                left.append(f"{name}: {error}")
                continue
        else:
            table = compute(lookup(TABLES, function, f"table on {folder}"), predictions, arguments)
        count, differing = compare(name, markdown(table), body)
        compared, wrong = compared + count, wrong + differing
        if table.attrs.get("note", "") not in page:
            wrong.append(
                f"table {name}: the note on its tests differs; the predictions say {table.attrs['note']!r}"
            )
        file = folder / f"{name}.csv"
        if not file.is_file() or file.read_text(encoding="utf-8") != to_csv(table):
            wrong.append(f"{file.name} is missing or differs from what the predictions say")
    for block in re.findall(r"(?:^\|.*\n)+", page, flags=re.M):
        if not any(block.strip() in body for body in checked):
            wrong.append(f"a table without its computation, beginning {block.splitlines()[0]!r}")
    for check in (_runs, _history, _figures):
        count, differing, unchecked = check(folder, page, predictions)
        compared, wrong, left = compared + count, wrong + differing, left + unchecked
    return compared, wrong, left


def _runs(folder: Path, page: str, p: Predictions) -> tuple[int, list[str], list[str]]:
    """The runs that the environment names are those with predictions."""
    path, have = folder / "environment.json", set(p.runs)
    if not path.is_file():
        return 0, ["environment.json is missing"], []
    named = set(json.loads(path.read_text(encoding="utf-8"))["run_seconds"])
    wrong = [
        f"run {key} of environment.json is missing from predictions.parquet"
        for key in sorted(named - have)
    ]
    wrong += [
        f"run {key} of predictions.parquet is missing from environment.json"
        for key in sorted(have - named)
    ]
    return len(named), wrong, []


def _history(folder: Path, page: str, p: Predictions) -> tuple[int, list[str], list[str]]:
    """Every run has its epochs in history.csv, with the dev scores that its predictions give."""
    epochs = {
        key: run["last_epoch"]
        for key, run in p.runs.items()
        if run["config"]["backbone"] not in BASELINES
    }
    path = folder / "history.csv"
    if not path.is_file():
        return 0, ["history.csv is missing"] if any(epochs.values()) else [], []
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    found = table.groupby("run")["epoch"].agg(list)
    wrong = [
        f"history.csv has a run {key} that is missing from predictions.parquet"
        for key in sorted(set(found.index) - set(epochs))
    ]
    for key, last in epochs.items():
        if [int(epoch) for epoch in found.get(key, [])][:last] != list(range(1, last + 1)):
            wrong.append(f"history.csv: run {key} has not one row for each of its {last} epochs")
    rows = {(row["run"], int(row["epoch"])): row for row in table.to_dict("records")}
    untold = ["dev_loss"] * (
        p.task == "multilabel"
    )  # of all labels, where the predictions keep the top ones
    compared, scores = 0, [name for name in table if name.startswith("dev_") and name not in untold]
    for key, epoch, group in p.single("dev"):
        row = rows.get((key, epoch), {})
        expected = run_scores(p, group).iloc[0]
        for name in scores:
            value = expected.get(name.removeprefix("dev_"))
            if row.get(name) and value is not None:
                compared += 1
                if row[name] != f"{value:.6f}":
                    where = f"history.csv, run {key}, epoch {epoch}, column {name}"
                    wrong.append(
                        f"{where}: the file says {row[name]}, the predictions say {value:.6f}"
                    )
    return compared, wrong, []


def _figures(folder: Path, page: str, p: Predictions) -> tuple[int, list[str], list[str]]:
    """Every figure carries its own name and keys of the page's runs."""
    from PIL import Image, UnidentifiedImageError

    wrong, left, names = [], [], re.findall(r"!\[[^\]]*\]\(([^)/]+)\.png\)", page)
    for name in names:
        try:
            with Image.open(folder / f"{name}.png") as picture:
                about = getattr(picture, "text", {})
        except (OSError, UnidentifiedImageError) as error:
            wrong.append(
                f"figure {name} {'is missing' if isinstance(error, FileNotFoundError) else 'is no picture'}"
            )
            continue
        if "Runs" not in about:
            left.append(name)
            continue
        if about.get("Title") != name:
            wrong.append(f"figure {name} is another figure, {about.get('Title')}")
        if other := [key for key in about["Runs"].split() if key not in p.runs]:
            wrong.append(f"figure {name} shows runs that are not this page's: {', '.join(other)}")
    unchecked = (
        [f"figures without keys of runs, from before they had any: {', '.join(left)}"]
        if left
        else []
    )
    return len(names) - len(left), wrong, unchecked


def compare(name: str, expected: str, found: str) -> tuple[int, list[str]]:
    """How many cells two Markdown tables have, and where what a page has differs from what is
    expected."""

    def cells(text):
        return [
            [c.strip() for c in line[2:-2].split(" | ")]
            for line in text.splitlines()
            if line[:1] == "|"
        ]

    want, have = cells(expected), cells(found)
    if len(want) != len(have) or any(len(a) != len(b) for a, b in zip(want, have, strict=False)):
        return 0, [
            f"table {name}: the page has another number of rows or columns than the predictions give"
        ]
    wrong = [
        f"table {name}, row {row[0]}, column {column}: the page says {b}, the predictions say {a}"
        for row, other in zip(want, have, strict=True)
        for column, a, b in zip(want[0], row, other, strict=True)
        if a != b
    ]
    return sum(map(len, want)), wrong
