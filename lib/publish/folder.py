"""The folder of a published page: written whole, from an executed notebook and its runs."""

import base64
import dataclasses
import re
import shutil
from pathlib import Path

from lib.analysis.display import count
from lib.analysis.predictions import collect
from lib.errors import InputError
from lib.publish.page import RUNS_MIME, to_csv
from lib.runs.files import read_json, write_json, write_text
from lib.runs.store import Run, Runs, environment, load_run

NOT_PUBLISHED = (  # timings would make every difference of two histories a finding
    "seconds",
    "samples_per_second",
    "tokens_per_second",
)
DEMO = (
    "> **A demo.** The texts are made up by a generator in `lib/demo`. The numbers show that the "
    "study works and how its pages read; they say nothing about real texts."
)


@dataclasses.dataclass(frozen=True)
class Provenance:
    """How a page was made."""

    study: str
    folder_name: str
    profile: str
    command: str
    parameters: dict
    seconds: float


def publish(
    executed, folder: Path, *, profile: str, words: str, parameters: dict, seconds: float
) -> Path:
    """Write the page, figures, tables, predictions, history and environment of an executed study
    to results/<study>/<name>/, in one step; returns that folder.

    `words` are the arguments that the command had beside the profile. Raises InputError where the
    disk is full, and leaves the folder as it was.
    """
    study = folder.parent.name
    runs = runs_of(executed, study)
    provenance = Provenance(
        study=study,
        folder_name=folder.name,
        profile=profile,
        command=command_of(study, profile, words, runs),
        parameters=parameters,
        seconds=seconds,
    )
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        write_files(executed, part, runs, provenance)
        replace_folder(part, folder)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(
            f"The page could not be written to {folder} ({reason}); the old one stands, and the "
            "runs are kept: make room, and start the study again"
        ) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def replace_folder(part: Path, folder: Path) -> None:
    """Put a finished folder in the place of another one."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def outputs_of(executed) -> list[dict]:
    """The outputs of a notebook's cells, in reading order."""
    return [output for cell in executed.cells for output in cell.get("outputs", [])]


def runs_of(executed, study: str) -> Runs:
    """The runs that a notebook names at its end. Raises InputError."""
    keys = []
    for output in outputs_of(executed):
        keys += output.get("data", {}).get(RUNS_MIME, [])
    if not keys:
        raise InputError(f"The notebook {study} names no runs; end it with show_runs(runs)")
    return Runs(load_run(key) for key in dict.fromkeys(keys))


def command_of(study: str, profile: str, words: str, runs: Runs) -> str:
    """The make command that publishes a page."""
    command = f"make {study}"
    if profile != "demo":
        command += f" PROFILE={profile}"
    if any("$DATA_DIR" in run.status["data"]["source"] for run in runs):
        command += " DATA_DIR=…"
    if words:
        escaped = re.sub(r'([\\"$`])', r"\\\1", words.replace("$", "$$"))  # of make, of a shell
        command += f' ARGS="{escaped}"'
    return command


def write_files(executed, folder: Path, runs: Runs, provenance: Provenance) -> None:
    """Write all files of a page to a folder."""
    for output in outputs_of(executed):
        data = output.get("data", {})
        name = output.get("metadata", {}).get("filename")
        if "image/png" in data:
            (folder / name).write_bytes(base64.b64decode(data["image/png"]))
        if "text/csv" in data:
            write_text(folder / name, data["text/csv"])
    collect(runs).write(folder / "predictions.parquet")
    history = published_history(runs)
    if history:
        write_text(folder / "history.csv", history)
    write_text(folder / "README.md", page_text(executed, runs, provenance))
    write_json(folder / "environment.json", environment_of(runs, provenance))


def published_history(runs: Runs) -> str:
    """A row for each run and epoch, as CSV: the run, the fields that differ, what was measured."""
    history = runs.history
    if not len(history):
        return ""
    measured = next(run.history for run in runs if len(run.history))
    curves = [name for name in measured if name not in (*NOT_PUBLISHED, "epoch", "step")]
    others = [name for name in history if name not in measured and name != "run"]
    fields = [name for name in others if history[name].nunique() > 1]
    return to_csv(history[["run", *fields, "epoch", "step", *curves]])


def environment_of(runs: Runs, provenance: Provenance) -> dict:
    """Command, times, versions and machines: all that may differ when a page is made again."""
    machines: list[dict] = []
    seconds, speed = {}, {}
    for run in runs:
        machine = read_json(run.folder / "environment.json")
        if machine not in machines:
            machines.append(machine)
        history = run.history
        seconds[run.key[:16]] = round(run.status["seconds"], 1)
        if len(history):
            speed[run.key[:16]] = round(float(history.samples_per_second.median()), 1)
    return {
        "command": provenance.command,
        "seconds": round(provenance.seconds, 1),
        "run_seconds": seconds,
        "samples_per_second": speed,
        "page": environment(),
        "runs": machines,
    }


def pieces_of(executed) -> list[tuple[str, str]]:
    """The page's pieces in reading order: (tag, Markdown). A cell's tag moves it: `answer` up,
    `details` down."""
    pieces = []
    for cell in executed.cells:
        tags = [tag for tag in cell.metadata.get("tags", []) if tag in ("answer", "details")]
        tag = tags[0] if tags else ""
        if cell.cell_type == "markdown":
            pieces.append((tag, cell.source.strip()))
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                pieces.append((tag, f"![{data['text/plain']}]({output.metadata['filename']})"))
            elif "text/markdown" in data:
                pieces.append((tag, data["text/markdown"].strip()))
    return pieces


def page_text(executed, runs: Runs, provenance: Provenance) -> str:
    """The Markdown page: title and provenance, the answer, the study, how it was made, details
    folded away."""
    (_, title), *pieces = pieces_of(executed)
    trained = trained_of(runs)
    order = [title, data_and_model(runs, trained, provenance.profile)]
    if (trained or runs)[0].config.dataset.startswith("demo_"):
        order.append(DEMO)
    order += [text for tag, text in pieces if tag == "answer"]
    order += [text for tag, text in pieces if not tag]
    order.append(how_made(provenance))
    details = [text for tag, text in pieces if tag == "details"]
    if details:
        order += ["<details>\n<summary>Details</summary>", *details, "</details>"]
    return "\n\n".join(order) + "\n"


def trained_of(runs: Runs) -> list[Run]:
    """The runs that trained at least an epoch; no baselines."""
    return [
        run for run in runs if run.status["last_epoch"] and (run.folder / "history.jsonl").exists()
    ]


def data_and_model(runs: Runs, trained: list[Run], profile: str) -> str:
    """A page's first paragraph: what data and model, and where the runs were trained."""
    first = (trained or runs)[0]
    config, data = first.config, first.status["data"]
    rows = data["rows"]
    heads = list(dict.fromkeys(run.config.head for run in trained or runs))
    layers = f"first {config.layers} layers, " if config.layers else ""
    numbers: dict[str, int] = {}
    for run in trained:
        made = read_json(run.folder / "environment.json")
        machine = f"{made['device']}, {count(made['threads'], 'thread')}, torch {made['torch']}"
        numbers[machine] = numbers.get(machine, 0) + 1
    places = [f"{count(number, 'trained run')} on {place}" for place, number in numbers.items()]
    return (
        f"Profile `{profile}` · data: {data['source']}; {rows['train']:,} train, "
        f"{rows['dev']:,} dev and {rows['test']:,} test rows, "
        f"fingerprint `{data['fingerprint'][:12]}` · "
        f"model: {config.backbone} ({layers}{', '.join(heads)} head{'s' * (len(heads) > 1)}) · "
        f"{'; '.join(places)}."
    )


def how_made(provenance: Provenance) -> str:
    """The section that says how to make a page, and how to check it."""
    study = provenance.study
    listed = ", ".join(f"`{name} = {value!r}`" for name, value in provenance.parameters.items())
    return (
        f"## How it was made\n\n`{provenance.command}` executes "
        f"[the notebook](../../../notebooks/{study}.ipynb) with these parameters: {listed}.\n\n"
        "Every table and finding is computed from [predictions.parquet](predictions.parquet) "
        "(16-bit logits) by the function named in a comment above it in this file's source; "
        f"`python -m lib verify results/{study}/{provenance.folder_name}` computes them again. "
        "[history.csv](history.csv) has a row for each run and epoch; timings and versions are in "
        "[environment.json](environment.json)."
    )
