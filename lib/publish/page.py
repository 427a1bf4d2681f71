"""What a study shows: every `show_*` gives one block, in an open notebook and on its page.

A block says what is shown, which function computed it, with which arguments, from which runs. The
page, the site and `verify` read blocks (page.json); nothing is read back out of Markdown.
"""

import base64
from collections.abc import Callable

import pandas as pd

from lib.analysis.audit import AUDITS
from lib.analysis.display import counts_of, note_of, shown_columns, to_csv, words
from lib.analysis.duplicates import leaked
from lib.analysis.findings import best_beside_reference
from lib.analysis.predictions import Predictions, collect
from lib.analysis.tables import without_rows
from lib.errors import InputError
from lib.publish.blocks import published_block, published_table
from lib.publish.render import block_markdown
from lib.publish.shown import DPI, png_of, shown_once
from lib.runs.config import by_fold
from lib.runs.keys import corpus_of, tokens_of

BLOCK_MIME = "application/vnd.study.block+json"
AUDITED = ("dataset", "train_rows", "dev_rows", "test_rows", "split_seed", "backbone", "max_length")
OF_FILES = {"text", "label", "reading"}  # fields that a user's file sets
SAID_IF_SET = {*OF_FILES, "subset_seed"}


def _display(block: dict, **more) -> None:
    """Show a block, as Markdown unless `more` has other forms of it."""
    from IPython.display import display

    shown = more or {"text/markdown": block_markdown(block) + "\n"}
    display({BLOCK_MIME: block, **shown}, raw=True)


def show_as_published(kind: str, name: str, error: InputError) -> None:
    """Show a block as the page has it whose runs are taken: here it cannot be computed.

    `verify` tells why, which `error` says; it is raised where there is no such block.
    """
    block = published_block(kind, name)
    if block is None:
        raise error
    _tell_kept(name, error)
    picture = {"image/png": block["png"]} if "png" in block else {}
    _display(block, **picture)


def _tell_kept(name: str, reason: object) -> None:
    block = {"kind": "kept", "name": name, "reason": str(reason)}
    _display(block, **{"text/plain": f"{name}: {reason}"})


def name_of(function: Callable) -> str:
    """A function as a page names it: `module:name`."""
    return f"{function.__module__}:{function.__qualname__}"


def compute(function: Callable, predictions: Predictions, arguments: dict):
    """`function(predictions, **arguments)`; `where` narrows the runs first, by their fields.

    A table has its runs' keys in `attrs["runs"]`.
    """
    arguments = dict(arguments)
    predictions = predictions.where(**arguments.pop("where", {}))
    result = function(predictions, **arguments)
    if isinstance(result, pd.DataFrame):
        result.attrs["runs"] = _runs_of(predictions, **arguments)
    return result


def _runs_of(p: Predictions, *, by=None, group=None, **_) -> list[str]:
    """The keys of the runs that a table is made from: those of one group, or all."""
    if not group:
        return list(p.runs)
    return [key for key, run in p.trained.items() if str(run["config"][by]) == group]


def _show_table(
    kind: str,
    name: str,
    table: pd.DataFrame,
    caption: str,
    *,
    function: str = "",
    arguments: dict | None = None,
    csv: str = "",
) -> None:
    """Show a table as a block; published as `name`.csv, which is `csv` where that is given."""
    block = {
        "kind": kind,
        "name": name,
        "function": function,
        "arguments": arguments or {},
        "runs": table.attrs.get("runs", []),
        "caption": caption,
        "counts": counts_of(table),
        "note": note_of(table, f"{name}.csv"),
        "columns": shown_columns(table),
        "csv": csv or to_csv(table),
    }
    _display(block | ({"drawn": True} if table.attrs.get("drawn") else {}))


def show_table(name: str, runs, function: Callable, caption: str = "", **arguments) -> pd.DataFrame:
    """Show and return `compute(function, …)`; published as `name`.csv."""
    table = compute(function, collect(runs), arguments)
    _show_table("table", name, table, caption, function=name_of(function), arguments=arguments)
    return shown_once(table)


def measured(name: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """What `make` measures on this machine; where runs are a page's, the table that it publishes.

    Published as `name`.csv.
    """
    table = _measure(name, make)
    block = {"kind": "data", "name": name, "csv": to_csv(table)}
    _display(block, **{"text/plain": f"{name}.csv"})
    return table


def _measure(name: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    table = published_table(name)
    if table is None:
        return make()
    _tell_kept(name, "measured on the machine that made the page")
    return table


def show_measured(
    name: str,
    make: Callable[[], pd.DataFrame],
    caption: str = "",
    arrange: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Show and return what `make` measures on this machine (times, sizes); see `measured`. The page
    shows it as `arrange` has it; `name`.csv is as it was measured."""
    table = _measure(name, make)
    arranged = arrange(table) if arrange else table
    _show_table("measured", name, arranged, caption, csv=to_csv(table))
    return shown_once(table)


def show_audit(config, caption: str = "", name: str = "audit") -> None:
    """Show the audit of a configuration's corpus and tokens (a row of `AUDITS`).

    Where the data is not at hand, a page that is made from what it publishes keeps its own.
    """
    arguments = {field: getattr(config, field) for field in AUDITED}
    arguments |= config.model_dump(include=SAID_IF_SET, exclude_defaults=True, mode="json")
    try:
        table = AUDITS[name](corpus_of(config), tokens_of(config))
    except InputError as error:
        show_as_published("audit", name, error)
        return
    function = name_of(AUDITS[name])
    _show_table("audit", name, table, caption, function=function, arguments=arguments)


def show_leaks(runs, config, *, by: str, metrics: list[str], **narrowed) -> list[int]:
    """Show which documents have near-duplicates in their split or another.

    If some of test repeat those of train or dev, also what the runs score without them; their rows.
    """
    show_audit(
        config,
        "Near-duplicates: at least 60 % of all word pairs of two texts are in both.",
        "leaks",
    )
    try:
        rows = [row for each in by_fold([config]) for row in leaked(corpus_of(each))]
    except InputError:  # the audit above has said why, or raised it
        block = published_block("table", "without_leaks")
        rows = block["arguments"]["rows"] if block else []
    if rows:
        caption = (
            "On all of test, and without the documents that have a near-duplicate in train or dev."
        )
        arguments = {"by": by, "metrics": metrics, "rows": rows} | narrowed
        show_table("without_leaks", runs, without_rows, caption, **arguments)
    return rows


def show_finding(runs, function: Callable, **arguments) -> None:
    """Show the sentence that a function computes."""
    predictions = collect(runs)
    text = compute(function, predictions, arguments)
    _display(_computed("finding", function, predictions, arguments) | {"text": text})


def show_measured_finding(name: str, text: str, runs) -> None:
    """Show a sentence of what was measured on this machine."""
    block = {"kind": "finding", "name": name, "function": "", "arguments": {}}
    _display(block | {"runs": [run.name for run in runs], "text": text})


def show_best(runs, function: Callable = best_beside_reference, **arguments) -> None:
    """Give a page's best model and best reference, as a function like `best_beside_reference` tells
    them, to the figure of all pages, which the README has. The page itself does not show them."""
    predictions = collect(runs)
    facts = compute(function, predictions, arguments)
    block = _computed("best", function, predictions, arguments) | {"facts": facts}
    _display(block, **{"text/plain": "the best model and the best reference"})


def _computed(kind: str, function: Callable, predictions: Predictions, arguments: dict) -> dict:
    """What a block says of how it was computed."""
    return {
        "kind": kind,
        "name": function.__name__,
        "function": name_of(function),
        "arguments": arguments,
        "runs": list(predictions.where(**arguments.get("where", {})).runs),
    }


def show_figure(figure, name: str, caption: str, runs=None) -> None:
    """Show a figure; published as `name`.png, equal data giving equal bytes.

    It shows `runs`, or else those that its tables were made from.
    """
    from IPython.display import display

    keys = getattr(figure, "runs", []) if runs is None else [run.name for run in runs]
    picture = base64.b64encode(png_of(figure)).decode()
    width, height = figure.get_size_inches() * DPI
    block = {
        "kind": "figure",
        "name": name,
        "alt": words(name),
        "caption": caption,
        "runs": keys,
        "width": round(width),
        "height": round(height),
        "png": picture,
    }
    _display(block, **{"image/png": picture, "text/plain": block["alt"]})
    display({"text/markdown": f"*{caption}*\n"}, raw=True)


def show_text(text: str, name: str = "") -> None:
    """Show Markdown."""
    _display({"kind": "text", "name": name, "text": text})


def show_runs(runs) -> None:
    """Name the runs that a page shows, so that they are published with it."""
    keys = [run.key for run in runs]
    text = f"{len(keys)} runs published with this page"
    _display({"kind": "runs", "keys": keys}, **{"text/plain": text})
