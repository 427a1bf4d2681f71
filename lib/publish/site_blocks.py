"""Blocks that only the site has: where numbers come from, folds, and cards of pages."""

from lib.analysis.display import escape
from lib.publish.blocks import PAGE_FILE, SOURCES
from lib.publish.layout import layout
from lib.publish.record import code, literal, table, text
from lib.publish.run_titles import run_names

BESIDE = (*SOURCES, PAGE_FILE)  # files that every page has
SUFFIXES = {"table": "csv", "audit": "csv", "measured": "csv", "data": "csv", "figure": "png"}
FIRST_ROWS = 6  # of a table on the first page


def fold(title: str, blocks: list[dict]) -> dict:
    return {"kind": "fold", "title": title, "blocks": blocks}


def list_of_runs(page: dict, names: dict[str, str]) -> dict:
    """All runs of a page, folded."""
    runs = []
    for key, run in page["runs"].items():
        outcome = run.get("outcome") or run["status"]
        runs.append([f"[{escape(names[key])}](runs/{key}.html)", key, escape(outcome)])
    title = f"All {len(runs)} runs"
    return fold(title, [table(["what", "run", "outcome"], runs)]) | {"anchor": "runs"}


def how_made(name: str, page: dict) -> list[dict]:
    """How a page is made again."""
    notebook = f"[The notebook](../../../notebooks/{page['study']}.ipynb)"
    verify = f"python -m lib verify {name}"
    rows = literal([[parameter, value] for parameter, value in page["parameters"].items()])
    links = ", ".join(f"[{file}]({file})" for file in BESIDE)
    return [
        text(page["summary"]),
        code(f"{page['command']}\n{verify}  # compares what is published: see below", "sh"),
        text(f"{notebook} is executed with these parameters. It leaves {links}."),
        table(["parameter", "value"], rows),
    ]


def with_origin(block: dict, names: dict[str, str], up: str = "") -> dict:
    """A block with links to its runs and files; `up` leads to the folder of its page."""
    if block["kind"] == "text":
        return block

    def link(cell: str) -> str:
        return f"[{cell}]({up}runs/{cell}.html)" if cell in names else cell

    runs = [(names[key], f"{up}runs/{key}.html") for key in block.get("runs", ())]
    files = [("Predictions", f"{up}predictions.parquet")] if runs else []
    file = f"{up}{block['name']}.{SUFFIXES.get(block['kind'], '')}"
    if file.endswith(".csv"):
        files.insert(0, ("CSV", file))
    columns = [[link(cell) for cell in column] for column in block.get("columns", ())]
    origin = {"runs": runs, "files": files}
    return block | {"file": file, "columns": columns, "origin": origin}


def card(name: str, page: dict) -> list[dict]:
    """A page on the first page; what it learned from tells it from others of its question."""
    answer, study, _ = layout(page["blocks"])
    heading = f"### [{page['title']}]({name}/index.html) #"
    blocks = [text(heading), text(" · ".join(page["short"]))]
    first = {block["kind"]: block for block in reversed(answer + study)}
    for block in (first.get("finding"), first.get("figure") or first.get("table")):
        if block:
            shown = with_origin(block, run_names(page["runs"]), up=f"{name}/")
            columns = [column[: 2 + FIRST_ROWS] for column in shown["columns"]]
            blocks.append(shown | {"anchor": "", "counts": [], "note": "", "columns": columns})
    return [*blocks, code(page["command"], "sh")]
