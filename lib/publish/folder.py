"""The folder of a page: what it publishes of its runs, and what is shown of them."""

import base64
import dataclasses
import re
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path

from lib.analysis.captions import for_one_seed
from lib.analysis.display import to_csv
from lib.analysis.predictions import collect
from lib.errors import InputError, reason_of
from lib.publish.blocks import HEADER, PAGE_FILE, SOURCES
from lib.publish.evidence import machines_of, with_evidence
from lib.publish.notebook import execute_here
from lib.publish.parameters import checked, defaults, notebook_of
from lib.publish.places import note_places, places_of, published, without_places
from lib.publish.render import has_one_seed, page_markdown, short_facts, summary
from lib.publish.reproduced import compare_with_replaced
from lib.publish.swap import new_folder
from lib.runs.files import read_json, write_json, write_text
from lib.runs.machine import environment
from lib.runs.published import HISTORY, PREDICTIONS, page_runs, runs_of_page
from lib.runs.store import Runs, load_run

# timings, which would make every difference of two histories a finding
NOT_PUBLISHED = ("seconds", "samples_per_second", "tokens_per_second")
FILES = ("csv", "png")  # of a block: what stands in a file of its own
DIVERTED = ("kept", "runs")  # kinds of blocks that are not shown


def publish_runs(blocks: list[dict], folder: Path, header: dict, seconds: float) -> None:
    """Publish a page of runs of the store: `blocks` name them, and have what was measured.
    Prints how it compares with the page that it replaces.

    `header` has study, profile, command and parameters. Files and folders of this machine are
    published by their names alone. Raises InputError where the disk is full, and leaves the folder
    as it was.
    """
    keys = [key for block in blocks if block["kind"] == "runs" for key in block["keys"]]
    if not keys:
        study = header["study"]
        raise InputError(f"The notebook {study} names no runs; end it with show_runs(runs)")
    runs = Runs(load_run(key) for key in dict.fromkeys(keys))
    places = places_of(header["parameters"], *(run.fields for run in runs))
    try:
        note_places(header["study"], header["folder"], places)
        with new_folder(folder) as part:
            write_sources(part, runs, header["command"], seconds, places)
            for block in blocks:
                if block["kind"] in ("measured", "data"):
                    write_text(part / f"{block['name']}.csv", without_places(block["csv"], places))
            write_json(part / PAGE_FILE, published(header, places))
            write_page(part)
            lines = compare_with_replaced(folder, part)
        print("".join(f"{line}\n" for line in lines), end="")
    except OSError as error:
        raise InputError(
            f"The page could not be written to {folder} ({reason_of(error)});"
            " the old one stands, and the runs are kept: make room, and start the study again"
        ) from None


def publish_again(folder: Path) -> list[str]:
    """Publish a page again from what it publishes; returns what it had to keep as it was."""
    with new_folder(folder) as part:
        shutil.copytree(folder, part, dirs_exist_ok=True)
        return write_page(part)


def split_title(blocks: list[dict]) -> tuple[str, list[dict]]:
    """The title of a page and its other blocks: the notebook's own heading, or the last of the
    first level that it shows in its place."""
    titles = [
        block for block in blocks if block["kind"] == "text" and block["text"].startswith("# ")
    ]
    others = [block for block in blocks if block not in titles]
    return titles[-1]["text"].removeprefix("#").strip(), others


def write_page(folder: Path) -> list[str]:
    """Execute the study on the runs that a folder publishes, and write what it shows there.

    Returns what could not be computed again, and why.
    """
    page = read_json(folder / PAGE_FILE)
    header = {name: value for name, value in page.items() if name in HEADER}
    notebook = notebook_of(header["study"])
    parameters = checked(header["parameters"], defaults(notebook), PAGE_FILE)
    page_runs.cache_clear()
    with runs_of_page(folder):
        title, blocks = split_title(execute_here(notebook, parameters))
        runs = list(page_runs(folder).values())
        header["title"] = title
        header["short"] = short_facts(runs_of_answer(blocks, runs), header["profile"])
        header["summary"] = summary(runs, header["profile"])
    if has_one_seed(header["short"]):
        for block in blocks:
            if "caption" in block:
                block["caption"] = for_one_seed(block["caption"])
    reasons = [f"{b['name']}: {b['reason']}" for b in blocks if b["kind"] == "kept"]
    shown = [block for block in blocks if block["kind"] not in DIVERTED]
    remove_others(folder, shown)
    for block in shown:
        if "csv" in block:
            write_text(folder / f"{block['name']}.csv", block.pop("csv"))
        if "png" in block:
            (folder / f"{block['name']}.png").write_bytes(base64.b64decode(block.pop("png")))
    header["blocks"] = shown
    header["runs"] = {run.name: run.facts for run in runs}
    write_json(folder / PAGE_FILE, header)
    write_text(folder / "README.md", page_markdown(header))
    return list(dict.fromkeys(reasons))


def runs_of_answer(blocks: list[dict], runs: list) -> list:
    """The runs that a page's first sentence is computed from; all where it has none."""
    answers = [b for b in blocks if b["kind"] == "finding" and b["section"] == "answer"]
    keys = answers[0]["runs"] if answers else []
    return [run for run in runs if run.name in keys] or runs


def remove_others(folder: Path, blocks: Iterable[dict]) -> None:
    """Remove the files of blocks that are shown no more."""
    names = {f"{block['name']}.{kind}" for block in blocks for kind in FILES if kind in block}
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in names and path.name not in (*SOURCES, PAGE_FILE, "README.md"):
            path.unlink()


def command_of(study: str, profile: str, words: str, *, needs_data: bool) -> str:
    """The make command that publishes a page."""
    command = f"make {study}"
    if profile != "demo":
        command += f" PROFILE={profile}"
    if needs_data:
        command += " DATA_DIR=…"
    if words:
        escaped = re.sub(r'([\\"$`])', r"\\\1", words)
        # between double quotes a shell at a terminal would read a ! even where it is escaped
        command += f" ARGS={shlex.quote(words)}" if "!" in words else f' ARGS="{escaped}"'
    return command


def write_sources(
    folder: Path, runs: Runs, command: str, seconds: float, places: dict[str, str]
) -> None:
    """Write what a page is made from: predictions, histories, and where runs were trained."""
    history = without_places(published_history(runs), places)
    if history:
        write_text(folder / HISTORY, history)
    predictions = with_evidence(collect(runs), runs, history)
    predictions = dataclasses.replace(predictions, runs=published(predictions.runs, places))
    predictions.write(folder / PREDICTIONS)
    write_json(folder / "environment.json", environment_of(runs, command, seconds))


def published_history(runs: Runs) -> str:
    """A row for each run and epoch, as CSV: the run, the fields that differ, what was measured."""
    history = runs.history
    if not len(history):
        return ""
    measured = list(dict.fromkeys(name for run in runs for name in run.history))
    curves = [name for name in measured if name not in (*NOT_PUBLISHED, "epoch", "step")]
    others = [name for name in history if name not in measured and name != "run"]
    fields = [name for name in others if history[name].nunique() > 1]
    return to_csv(history[["run", *fields, "epoch", "step", *curves]])


def environment_of(runs: Runs, command: str, seconds: float) -> dict:
    """Command, times, versions and machines: all that may differ when a page is made again."""
    run_seconds = {}
    speeds = {}
    for run in runs:
        history = run.history
        run_seconds[run.name] = round(run.status["seconds"], 1)
        if len(history):
            speeds[run.name] = round(float(history.samples_per_second.median()), 1)
    return {
        "command": command,
        "seconds": round(seconds, 1),
        "run_seconds": run_seconds,
        "samples_per_second": speeds,
        "page": environment(),
        "runs": machines_of(runs),
    }
