"""What a run is: from a published page, and as the blocks of a page of its own on the site."""

import json
import math
import re
from collections.abc import Container
from pathlib import Path

import numpy as np
import pandas as pd

from lib.analysis.display import cell, escape, kind_of, title
from lib.analysis.groups import Group
from lib.analysis.predictions import Predictions
from lib.analysis.scores import run_scores
from lib.errors import InputError
from lib.publish.blocks import HEADER, PAGE_FILE, read_page
from lib.runs.config import RunConfig

BARS = "▁▂▃▄▅▆▇█"
LACKING = "a label that train lacks"
FACTS = ("status", "outcome", "reason", "choice")
NEEDED = HEADER | {"title": str, "summary": str, "short": list, "runs": dict}  # in page.json
QUOTED = 8  # test documents on a run's page


# Published pages


def page_of(folder: Path) -> dict:
    """A page, its blocks with an anchor each. Raises InputError where page.json is damaged."""
    page = read_page(folder, NEEDED)
    for key in page["runs"]:
        if not re.fullmatch("[0-9a-f]{16}", key):
            raise InputError(f"{folder / PAGE_FILE}: {key!r} is no run's key (16 digits, a to f)")
    give_anchors(page["blocks"])
    return page


def give_anchors(blocks: list[dict]) -> None:
    """Give each block an anchor of its own: its kind and name, and a number where two share
    them."""
    taken: set[str] = set()
    for block in blocks:
        name = re.sub(r"[^a-z0-9]+", "-", f"{block['kind']}-{block.get('name', '')}".lower())
        anchor, number = name, 1
        while anchor in taken:
            number += 1
            anchor = f"{name}-{number}"
        taken.add(anchor)
        block["anchor"] = anchor


def citations(page: dict, key: str) -> list[tuple[str, str]]:
    """What shows a run on a page: (label, anchor)."""
    shown = []
    for block in page["blocks"]:
        if block["kind"] != "runs" and key in block.get("runs", ()):
            shown.append((f"{block['kind']} {block['name']}", block["anchor"]))
    return shown


def histories(file: Path) -> dict[str, pd.DataFrame]:
    """The history of each run in a page's history.csv; empty where there is no such file."""
    if not file.is_file():
        return {}
    return dict(tuple(pd.read_csv(file, dtype={"run": str}).groupby("run", sort=False)))


# What is said of a run


def flat_config(fields: dict) -> dict:
    """The fields of a configuration, those of its reading beside the others."""
    inner = {f"reading.{name}": value for name, value in (fields.get("reading") or {}).items()}
    return {name: value for name, value in fields.items() if name != "reading"} | inner


def describe_config(config: dict) -> tuple[list[list], list[str]]:
    """The fields of a configuration that differ from the defaults, as (name, value, default), and
    `name value` of those that do not."""
    defaults = flat_config(json.loads(RunConfig().model_dump_json()))
    changed, same = [], []
    for name, value in flat_config(config).items():
        if value == defaults.get(name):
            same.append(f"{name} {value}")
        else:
            changed.append([name, value, defaults.get(name)])
    return changed, same


def sparkline(values: list[float]) -> str:
    """One character a value, from the lowest to the highest; a dot where there is none."""
    finite = [value for value in values if math.isfinite(value)]
    low = min(finite, default=0.0)
    span = max(finite, default=0.0) - low
    characters = []
    for value in values:
        if math.isfinite(value):
            characters.append(BARS[round((value - low) / span * 7) if span else 0])
        else:
            characters.append("·")
    return "".join(characters)


def quoted(predictions: Predictions, rows: pd.DataFrame) -> list[list]:
    """Predictions as a table's rows: document, gold labels, predicted labels with their logits,
    best first."""
    group = Group.of("", [""], [0], [rows])
    gold, logits = group.labels, group.logits[0]
    if predictions.task == "regression":
        numbers = zip(group.rows, gold, logits[:, 0], strict=True)
        return [[row, f"{given:.3f}", f"{number:.3f}"] for row, given, number in numbers]
    if predictions.task == "multilabel":
        ranked = group.ranked[0]
    else:
        gold = gold[:, None]
        ranked = np.argsort(-logits, axis=1, kind="stable")
        logits = np.take_along_axis(logits, ranked, axis=1)
    names = (*predictions.label_names, LACKING)
    lines = []
    for row, labels, best, values in zip(group.rows, gold, ranked, logits, strict=True):
        given = "; ".join(names[i] for i in labels if i >= 0)
        guesses = [f"{names[i]} ({value:.2f})" for i, value in zip(best, values, strict=True)]
        lines.append([row, given, "; ".join(guesses[:5])])
    return lines


# A run's page, in the blocks of page.json


def text(markdown: str) -> dict:
    return {"kind": "text", "text": markdown}


def code(source: str, language: str) -> dict:
    return {"kind": "code", "text": source, "language": language}


def table(columns: list[str], rows: list[list[str]], numbers: Container[str] = ()) -> dict:
    """A block; cells are Markdown. `numbers` are the columns that are set to the right."""
    lines = [columns, ["---:" if column in numbers else "---" for column in columns], *rows]
    return {"kind": "table", "columns": [list(column) for column in zip(*lines, strict=True)]}


def literal(rows: list[list]) -> list[list[str]]:
    """Values as cells that show them as they are."""
    return [[escape(str(value)) for value in row] for row in rows]


def run_blocks(
    key: str,
    facts: dict,
    *,
    cited: list[str],
    history: pd.DataFrame | None,
    predictions: Predictions,
    environment: dict,
) -> list[dict]:
    """What a run was, how it ended and scored. `cited` are links to what shows it, in Markdown;
    `environment` is its page's."""
    changed, same = describe_config(facts["config"])
    seconds = environment.get("run_seconds", {}).get(key)
    rows = [["run", key]] + [[name, facts[name]] for name in FACTS if facts.get(name)]
    rows.append(["chosen epoch", f"{facts['chosen_epoch'] or 'none'} of {facts['last_epoch']}"])
    if seconds:
        rows.append(["trained in", f"{seconds:,.1f} s"])
    overview = literal(rows)
    if cited:
        overview.append(["cited in", ", ".join(cited)])
    configuration = table(["field", "this run", "default"], literal(changed))
    configuration["caption"] = f"As by default: {escape(', '.join(same))}."
    blocks = [table(["what", "value"], overview), text("## Configuration"), configuration]
    blocks += _score_blocks(key, facts, predictions)
    if history is not None:
        blocks += _history_blocks(facts, history)
    blocks += _prediction_blocks(key, facts, predictions)
    places = pd.DataFrame(environment.get("runs", [])).astype(str)
    if len(places):
        rows = literal([[name, ", ".join(places[name].unique())] for name in places])
        blocks.append(text("## Where the runs of this page were trained"))
        blocks.append(table(["what", "value"], rows))
    return blocks


def _score_blocks(key: str, facts: dict, predictions: Predictions) -> list[dict]:
    """The test scores of a run's chosen epoch; a line for P@1 … P@5."""
    alone = predictions.only({key: facts})
    group = next(iter(alone.groups("seed")), None)
    if group is None:
        return []
    lines: dict[str, list] = {}
    for metric, value in run_scores(alone, group).iloc[0].items():
        name = title(metric).partition("@")[0]
        name += " (%)" if kind_of(metric) == "share" else ""
        lines.setdefault(name, [name]).append(cell(value, metric))
    ranks = max(map(len, lines.values())) - 1
    columns = [f"@{k}" for k in range(1, ranks + 1)] if ranks > 1 else ["score"]
    rows = [line + [""] * (ranks + 1 - len(line)) for line in lines.values()]
    return [text("## Test scores"), table(["at the chosen epoch", *columns], rows, columns)]


def _history_blocks(facts: dict, history: pd.DataFrame) -> list[dict]:
    """What was measured after each epoch."""
    fields = ["epoch", "step", *(field for field in facts["config"] if field != "learning_rate")]
    measured = history.select_dtypes("number").dropna(axis=1).drop(columns=fields, errors="ignore")
    rows = []
    for name in measured:
        values = [f"{value:.4g}" for value in measured[name]]
        rows.append([name.replace("_", " "), sparkline(measured[name].tolist()), *values])
    epochs = [f"epoch {epoch}" for epoch in history["epoch"]]
    shown = table(["measured", "course", *epochs], literal(rows), epochs)
    source = "All runs of the page: [history.csv](../history.csv)."
    return [text("## Epoch by epoch"), shown, text(source)]


def _prediction_blocks(key: str, facts: dict, predictions: Predictions) -> list[dict]:
    """Where a run's predictions are, and the first of them."""
    frame = predictions.frame[predictions.frame["run"] == key]
    if not len(frame):
        return []
    test = frame[(frame["split"] == "test") & (frame["epoch"] == facts["chosen_epoch"])]
    where = (
        f"{len(frame):,} predictions, of dev and test documents after every epoch kept, are in "
        f'[predictions.parquet](../predictions.parquet), where `run == "{key}"`. '
        f"The first of {len(test):,} on test:"
    )
    rows = literal(quoted(predictions, test.head(QUOTED)))
    shown = table(["document", "gold", "predicted (logit)"], rows)
    return [text(f"## Predictions\n\n{where}"), shown]
