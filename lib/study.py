"""Execute a study's notebook with papermill, strictly, and publish its page."""

import ast
import base64
import json
import os
import re
import shlex
import shutil
import sys
import time
import typing
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from lib.errors import InputError, nearest
from lib.page import RUNS_MIME, to_csv
from lib.store import ROOT, Runs, environment, load_run, store, write_json

NOTEBOOKS = ROOT / "notebooks"
RESULTS = ROOT / "results"
QUIET = {"TQDM_DISABLE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
NOT_PUBLISHED = ("seconds", "samples_per_second", "tokens_per_second")  # timings would make every diff a finding


def defaults(notebook: Path) -> dict:
    """The parameters cell of a notebook: name -> literal value, in order."""
    import nbformat

    cells = nbformat.read(notebook, as_version=4).cells
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise InputError(f"{notebook.name} has {len(tagged)} cells with the tag 'parameters'; one is needed")
    values = {}
    for statement in ast.parse(tagged[0].source).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            values[statement.targets[0].id] = ast.literal_eval(statement.value)
    return values


def typed(name: str, value, default):
    """`value` as the type of the parameter's default; None stays allowed where the default is None."""
    if default is None:
        return value
    kind: typing.Any = type(default)
    if isinstance(default, list) and default:
        kind = list[float if any(isinstance(item, float) for item in default) else type(default[0])]
    try:
        return TypeAdapter(kind).validate_python(value, strict=False if isinstance(value, str) else None)
    except ValidationError:
        shown = {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false"}
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
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise InputError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from None
    return checked(values, allowed, path.name)


def run_study(name: str, profile: str = "demo", overrides: dict | None = None, publish_as: str | None = None) -> Path:
    """Execute notebooks/<name>.ipynb and publish results/<name>/<profile>/; returns that folder.

    With overrides the page goes to a folder of its own, `publish_as` or one named after them.
    """
    studies = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    if name not in studies:
        raise InputError(f"There is no study {name!r}.{nearest(name, studies)}")
    notebook = NOTEBOOKS / f"{name}.ipynb"
    allowed = defaults(notebook)
    parameters = read_profile(name, profile, allowed)
    overrides = checked(overrides or {}, allowed, "-p")
    folder_name = profile
    if overrides:
        changes = "_".join(f"{key}={value}" for key, value in overrides.items())
        folder_name = publish_as or f"{profile}--{re.sub(r'[^A-Za-z0-9=._-]+', '-', changes)[:80]}"
    elif publish_as:
        folder_name = publish_as
    known = [file.stem for file in (NOTEBOOKS / "params" / name).glob("*.yaml")]
    if publish_as and (not re.fullmatch(r"[\w.=-]+", publish_as) or (overrides and publish_as in known)):
        raise InputError(f"--as {publish_as}: choose a plain name that is no profile's (those are {', '.join(known)})")
    command = f"make {name}" + (f" PROFILE={profile}" if profile != "demo" else "")
    if overrides:
        words = " ".join(f"-p {key} {shlex.quote(str(value))}" for key, value in overrides.items())
        command += f' ARGS="{words}"'
    start = time.perf_counter()
    executed = execute(notebook, parameters | overrides, store() / "notebooks" / f"{name}-{folder_name}.ipynb")
    seconds = time.perf_counter() - start
    return publish(
        executed, RESULTS / name / folder_name, study=name, profile=profile, command=command, seconds=seconds
    )


def execute(notebook: Path, parameters: dict, output: Path):
    """The executed notebook; raises InputError with the notebook's own sentence where it failed by one."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    output.parent.mkdir(parents=True, exist_ok=True)
    os.environ.update(QUIET)
    try:
        return papermill.execute_notebook(
            notebook, output, parameters=parameters, kernel_name="python3", cwd=Path.cwd(), progress_bar=False,
            log_output=True, stdout_file=sys.stdout, stderr_file=sys.stderr,
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
        )  # fmt: skip
    except PapermillExecutionError as error:
        if error.ename == "InputError":
            raise InputError(error.evalue) from None
        raise InputError(
            f"The notebook failed with {error.ename}: {error.evalue}. See cell outputs in {output}"
        ) from None


def outputs(executed) -> list[tuple[list[str], dict, dict]]:
    """(tags of the cell, data by MIME type, metadata) of every display, in order."""
    found = []
    for nb_cell in executed.cells:
        for output in nb_cell.get("outputs", []):
            if output.output_type in ("display_data", "execute_result"):
                found.append((nb_cell.metadata.get("tags", []), output.data, output.metadata))
    return found


def blocks(executed) -> list[tuple[str, str]]:
    """The page's pieces in reading order: (tag, Markdown). A cell's tag moves it: answer up, details down."""
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


def publish(executed, folder: Path, *, study: str, profile: str, command: str, seconds: float) -> Path:
    """Write the page, figures, tables, predictions, history and environment of an executed study, in one step."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    keys = []
    for _, data, metadata in outputs(executed):
        if "image/png" in data:
            (part / metadata["filename"]).write_bytes(base64.b64decode(data["image/png"]))
        if "text/csv" in data:
            (part / metadata["filename"]).write_text(data["text/csv"], encoding="utf-8")
        keys += data.get(RUNS_MIME, [])
    if not keys:
        raise InputError(f"The notebook {study} names no runs; end it with publish(runs)")
    runs = Runs(load_run(key) for key in dict.fromkeys(keys))
    predictions = runs.predictions
    predictions.write(part / "predictions.parquet")
    history = runs.history
    if len(history):
        first = ["run", "seed", "schedule", "epoch", "step"]
        rest = [c for c in history.columns if c not in (*first, *NOT_PUBLISHED) and history[c].dtype.kind == "f"]
        varying = [c for c in history.columns if c not in first + rest + [*NOT_PUBLISHED] and history[c].nunique() > 1]
        (part / "history.csv").write_text(to_csv(history[first + varying + rest]), encoding="utf-8")
    (part / "README.md").write_text(page(executed, runs, f"{study}/{folder.name}", profile, command), encoding="utf-8")
    times = {run.key[:16]: round(run.status["seconds"], 1) for run in runs}
    speed = {key: round(float(part_.samples_per_second.median()), 1) for key, part_ in history.groupby("run")}
    write_json(
        part / "environment.json",
        {"command": command, "seconds": round(seconds, 1), "run_seconds": times, "samples_per_second": speed}
        | {
            "page": environment(),
            "runs": [json.loads((run.folder / "environment.json").read_text()) for run in runs][:1],
        },
    )
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return folder


def page(executed, runs: Runs, name: str, profile: str, command: str) -> str:
    """The Markdown page: title and provenance, the answer, the study, how it was made, details folded away."""
    pieces = blocks(executed)
    title = pieces.pop(0)[1]
    trained = [run for run in runs if run.status["last_epoch"] and (run.folder / "history.jsonl").exists()]
    first = (trained or runs)[0]
    status, config = first.status, first.config
    made = json.loads((first.folder / "environment.json").read_text())
    rows = status["data"]["rows"]
    precision = f"{made['device']}, {made['threads']} threads, torch {made['torch']}"
    about = (
        f"Profile `{profile}` · data: {status['data']['source']}; {rows['train']:,} train, {rows['dev']:,} dev and "
        f"{rows['test']:,} test rows, fingerprint `{status['data']['fingerprint'][:12]}` · model: {config.backbone} "
        f"({config.head} head) · {len(trained)} trained runs on {precision}."
    )
    settings = [run.config.model_dump(exclude_defaults=True).items() for run in trained]
    same = [(k, v) for k, v in settings[0] if all((k, v) in items for items in settings)]
    listed = ", ".join(f"`{k} = {v!r}`" for k, v in same)
    made_text = (
        f"## How it was made\n\n`{command}` executes [the notebook](../../../notebooks/{name.split('/')[0]}.ipynb). "
        "Settings that all runs share and that differ from the defaults of `RunConfig`: "
        f"{listed or 'none'}.\n\n"
        "Every table and finding is computed from [predictions.parquet](predictions.parquet) (16-bit logits) by the "
        f"function named in a comment above it in this file's source; `python -m lib verify results/{name}` "
        "computes them again. [history.csv](history.csv) has a row for each run and epoch; timings and versions are in "
        "[environment.json](environment.json)."
    )
    order = [title, about]
    if config.dataset.startswith("demo_"):
        order += [
            "> **A demo.** The texts are made up by a generator in `lib/demo`. The numbers show that the study works "
            "and how its pages read; they say nothing about real news."
        ]
    order += [text for tag, text in pieces if tag == "answer"]
    order += [text for tag, text in pieces if not tag]
    order += [made_text]
    details = [text for tag, text in pieces if tag == "details"]
    if details:
        order += ["<details>\n<summary>Details</summary>", *details, "</details>"]
    return "\n\n".join(order) + "\n"
