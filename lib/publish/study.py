"""Execute a study's notebook with papermill, strictly, and publish its page."""

import ast
import base64
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import sys
import time
import typing
from pathlib import Path

import psutil
from pydantic import TypeAdapter, ValidationError

from lib.analysis.findings import count
from lib.errors import InputError, StoppedError, nearest
from lib.publish.page import RUNS_MIME, to_csv
from lib.publish.settings import read_yaml, to_parameters
from lib.runs.store import ROOT, Runs, environment, load_run, store, write_json

NOTEBOOKS = ROOT / "notebooks"
RESULTS = ROOT / "results"
QUIET = {
    "TQDM_DISABLE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
}
COLUMNS = ("text", "text_pair", "label")  # parameters
LONGEST = 80  # characters of a part of a folder's name
NOT_PUBLISHED = (
    "seconds",
    "samples_per_second",
    "tokens_per_second",
)  # timings would make every diff a finding


def defaults(notebook: Path) -> dict:
    """The parameters cell of a notebook: name -> literal value, in order."""
    import nbformat

    cells = nbformat.read(notebook, as_version=4).cells
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise InputError(
            f"{notebook.name} has {len(tagged)} cells with the tag 'parameters'; one is needed"
        )
    values = {}
    for statement in ast.parse(tagged[0].source).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            values[statement.targets[0].id] = ast.literal_eval(statement.value)
    return values


def typed(name: str, value, default):
    """`value` as the type of the parameter's default; None stays allowed where the default is
    None."""
    if default is None:
        return value
    kind: typing.Any = type(default)
    if name in COLUMNS and type(value) is int:
        return str(value)  # a column by its number
    if isinstance(default, list) and default:
        kind = list[float if any(isinstance(item, float) for item in default) else type(default[0])]
    try:
        return TypeAdapter(kind).validate_python(
            value, strict=False if isinstance(value, str) else None
        )
    except ValidationError:
        shown = {
            "int": "a whole number",
            "float": "a number",
            "str": "text",
            "bool": "true or false",
        }
        wanted = shown.get(getattr(kind, "__name__", ""))
        if isinstance(default, list):
            inner = typing.get_args(kind)
            wanted = f"a list of {shown.get(inner[0].__name__, 'values')}s" if inner else "a list"
            wanted = wanted.replace("list of a ", "list of ")
        raise InputError(
            f"The parameter {name} wants {wanted or 'a mapping'} like {default!r}; {value!r} is none"
        ) from None


def checked(values: dict, allowed: dict, where: str) -> dict:
    """Values with known names and right types. Raises InputError that proposes the nearest name."""
    for name in values:
        if name not in allowed:
            raise InputError(f"{where}: unknown parameter {name!r}.{nearest(name, allowed)}")
    return {name: typed(name, value, allowed[name]) for name, value in values.items()}


def read_profile(study: str, profile: str, allowed: dict) -> dict:
    folder = NOTEBOOKS / "params" / study
    path = folder / f"{profile}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in folder.glob("*.yaml"))
        raise InputError(f"The study {study} has no profile {profile!r}.{nearest(profile, known)}")
    return checked(read_yaml(path), allowed, path.name)


def run_study(
    name: str,
    profile: str = "demo",
    overrides: dict | list | None = None,
    publish_as: str | None = None,
) -> Path:
    """Execute notebooks/<name>.ipynb and publish results/<name>/<profile>/; returns that folder.

    `overrides` are parameters, or a list of settings and where each is from, the last to win. With
    them the page goes to a folder of its own, `publish_as` or one named after them; with data of
    one's own, after its file.
    """
    studies = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    if name not in studies:
        raise InputError(f"There is no study {name!r}.{nearest(name, studies)}")
    notebook = NOTEBOOKS / f"{name}.ipynb"
    allowed = defaults(notebook)
    parameters = read_profile(name, profile, allowed)
    settings, overrides = (
        overrides if isinstance(overrides, list) else [(overrides or {}, "-p")],
        {},
    )
    for values, where in settings:
        overrides |= checked(to_parameters(values, allowed, where), allowed, where)
    if {"text", "label"} & set(overrides) and (parameters | overrides).get(
        "dataset", "demo_"
    ).startswith("demo_"):
        raise InputError(
            "text and label name columns of a file, and there is none; name it: dataset=reviews.csv, or "
            "with make DATA=reviews.csv"
        )
    folder_name = publish_as or folder_of(profile, overrides)
    known = [file.stem for file in (NOTEBOOKS / "params" / name).glob("*.yaml")]
    taken = [other for other in known if overrides or other != profile]
    if publish_as and (not re.fullmatch(r"\w[\w.=-]*", publish_as) or publish_as in taken):
        raise InputError(
            f"--as {publish_as}: choose a plain name that is no profile's (those are {', '.join(known)})"
        )
    words = [f"-p {key} {shlex.quote(str(value))}" for key, value in overrides.items()]
    words += [f"--as {publish_as}"] if publish_as else []
    start = time.perf_counter()
    parameters |= overrides
    executed = execute(notebook, parameters, store() / "notebooks" / f"{name}-{folder_name}.ipynb")
    seconds = time.perf_counter() - start
    about = {
        "study": name,
        "profile": profile,
        "words": " ".join(words),
        "parameters": allowed | parameters,
    }
    folder = RESULTS / name / folder_name
    try:
        return publish(executed, folder, seconds=seconds, **about)
    except OSError as error:
        shutil.rmtree(folder.with_name(f".{folder_name}.part"), ignore_errors=True)
        raise InputError(
            f"The page could not be written to {folder} ({(error.strerror or str(error)).lower()}); the old one "
            "stands, and the runs are kept: make room, and start the study again"
        ) from None


def folder_of(profile: str, overrides: dict) -> str:
    """The name of a page's folder below its study's."""
    base, rest = [profile], overrides
    own = os.path.expanduser(overrides.get("dataset", ""))
    if "text" in overrides and os.path.exists(own):
        base = ["own", Path(own).resolve().name.split(".")[0]] + [profile] * (profile != "small")
        rest = {
            key: value
            for key, value in overrides.items()
            if key not in ("dataset", "text", "label")
        }
    changes = "_".join(f"{key}={value}" for key, value in rest.items())
    parts = [*base, changes] if changes else base
    names = [re.sub(r"[^\w=.-]+", "-", part) for part in parts]
    if max(map(len, names)) > LONGEST:  # what is cut off makes the difference
        names.append(hashlib.sha256("--".join(parts).encode()).hexdigest()[:8])
    return "--".join(name[:LONGEST] for name in names)


def execute(notebook: Path, parameters: dict, output: Path):
    """The executed notebook; raises InputError with the notebook's own sentence where it failed
    by one."""
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    output.parent.mkdir(parents=True, exist_ok=True)
    os.environ.update(QUIET)
    asked = []

    def pass_on(
        number, frame
    ):  # to the kernel, which Ctrl-C does not reach: it stops after its step
        asked.append(number)
        for child in psutil.Process().children():
            child.send_signal(signal.SIGINT)
        if len(asked) > 2:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return papermill.execute_notebook(
            notebook,
            output,
            parameters=parameters,
            kernel_name="python3",
            cwd=Path.cwd(),
            progress_bar=False,
            log_output=True,
            stdout_file=sys.stdout,
            stderr_file=sys.stderr,
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
        )
    except DeadKernelError:
        raise InputError(
            f"The kernel of {notebook.stem} was killed, perhaps for want of memory; start it again"
        ) from None
    except PapermillExecutionError as error:
        for kind in (InputError, StoppedError):
            if error.ename == kind.__name__:
                raise kind(error.evalue) from None
        raise InputError(
            f"The notebook failed with {error.ename}: {error.evalue}. See cell outputs in {output}"
        ) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def blocks(executed) -> list[tuple[str, str]]:
    """The page's pieces in reading order: (tag, Markdown). A cell's tag moves it: answer up,
    details down."""
    found = []
    for nb_cell in executed.cells:
        tags = [tag for tag in nb_cell.metadata.get("tags", []) if tag in ("answer", "details")]
        tag = tags[0] if tags else ""
        if nb_cell.cell_type == "markdown":
            found.append((tag, nb_cell.source.strip()))
        for output in nb_cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                found.append((tag, f"![{data['text/plain']}]({output.metadata['filename']})"))
            elif "text/markdown" in data:
                found.append((tag, data["text/markdown"].strip()))
    return found


def publish(
    executed,
    folder: Path,
    *,
    study: str,
    profile: str,
    words: str,
    parameters: dict,
    seconds: float,
) -> Path:
    """Write the page, figures, tables, predictions, history and environment of an executed
    study, in one step."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    keys = []
    for output in [output for nb_cell in executed.cells for output in nb_cell.get("outputs", [])]:
        data, metadata = output.get("data", {}), output.get("metadata", {})
        if "image/png" in data:
            (part / metadata["filename"]).write_bytes(base64.b64decode(data["image/png"]))
        if "text/csv" in data:
            (part / metadata["filename"]).write_text(data["text/csv"], encoding="utf-8")
        keys += data.get(RUNS_MIME, [])
    if not keys:
        raise InputError(f"The notebook {study} names no runs; end it with show_runs(runs)")
    runs = Runs(load_run(key) for key in dict.fromkeys(keys))
    command = f"make {study}" + (f" PROFILE={profile}" if profile != "demo" else "")
    command += (
        " DATA_DIR=…" if any("$DATA_DIR" in run.status["data"]["source"] for run in runs) else ""
    )
    command += f' ARGS="{words}"' if words else ""
    predictions = runs.predictions
    predictions.write(part / "predictions.parquet")
    history = runs.history
    if len(history):
        measured = next(run.history for run in runs if len(run.history))
        own = [name for name in measured if name not in (*NOT_PUBLISHED, "epoch", "step")]
        fields = [
            name
            for name in history
            if name not in measured and name != "run" and history[name].nunique() > 1
        ]
        (part / "history.csv").write_text(
            to_csv(history[["run", *fields, "epoch", "step", *own]]), encoding="utf-8"
        )
    (part / "README.md").write_text(
        page(executed, runs, f"{study}/{folder.name}", profile, command, parameters),
        encoding="utf-8",
    )
    times = {run.key[:16]: round(run.status["seconds"], 1) for run in runs}
    speed = {
        run.key[:16]: round(float(run.history.samples_per_second.median()), 1)
        for run in runs
        if len(run.history)
    }
    machines = [json.loads((run.folder / "environment.json").read_text()) for run in runs]
    write_json(
        part / "environment.json",
        {
            "command": command,
            "seconds": round(seconds, 1),
            "run_seconds": times,
            "samples_per_second": speed,
        }
        | {
            "page": environment(),
            "runs": [m for i, m in enumerate(machines) if m not in machines[:i]],
        },
    )
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return folder


def page(executed, runs: Runs, name: str, profile: str, command: str, parameters: dict) -> str:
    """The Markdown page: title and provenance, the answer, the study, how it was made, details
    folded away."""
    pieces = blocks(executed)
    title = pieces.pop(0)[1]
    trained = [
        run for run in runs if run.status["last_epoch"] and (run.folder / "history.jsonl").exists()
    ]
    first = (trained or runs)[0]
    status, config = first.status, first.config
    machines = {}
    for run in trained:
        made = json.loads((run.folder / "environment.json").read_text())
        machine = f"{made['device']}, {count(made['threads'], 'thread')}, torch {made['torch']}"
        machines.setdefault(machine, []).append(run)
    heads = list(dict.fromkeys(run.config.head for run in trained or runs))
    kept = f"first {config.layers} layers, " if config.layers else ""
    rows = status["data"]["rows"]
    where = "; ".join(
        f"{count(len(own), 'trained run')} on {machine}" for machine, own in machines.items()
    )
    about = (
        f"Profile `{profile}` · data: {status['data']['source']}; {rows['train']:,} train, {rows['dev']:,} dev and "
        f"{rows['test']:,} test rows, fingerprint `{status['data']['fingerprint'][:12]}` · model: {config.backbone} "
        f"({kept}{', '.join(heads)} head{'s' * (len(heads) > 1)}) · {where}."
    )
    listed = ", ".join(f"`{key} = {value!r}`" for key, value in parameters.items())
    made_text = (
        f"## How it was made\n\n`{command}` executes [the notebook](../../../notebooks/{name.split('/')[0]}.ipynb) "
        f"with these parameters: {listed}.\n\n"
        "Every table and finding is computed from [predictions.parquet](predictions.parquet) (16-bit logits) by the "
        f"function named in a comment above it in this file's source; `python -m lib verify results/{name}` "
        "computes them again. [history.csv](history.csv) has a row for each run and epoch; timings and versions are in "
        "[environment.json](environment.json)."
    )
    order = [title, about]
    if config.dataset.startswith("demo_"):
        order += [
            "> **A demo.** The texts are made up by a generator in `lib/demo`. The numbers show that the study works "
            "and how its pages read; they say nothing about real texts."
        ]
    order += [text for tag, text in pieces if tag == "answer"]
    order += [text for tag, text in pieces if not tag]
    order += [made_text]
    details = [text for tag, text in pieces if tag == "details"]
    if details:
        order += ["<details>\n<summary>Details</summary>", *details, "</details>"]
    return "\n\n".join(order) + "\n"
