"""What a user waits for: imports, help, and being told of a mistake."""

import dataclasses
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from lib.runs.paths import ROOT
from tests.bench.documents import Work
from tests.bench.intervals import Interval, measured_on, median_interval, pipe

TORCH, LIB = "import torch", "import lib"
FIRST_USE = "import lib, and what run_all imports"
HELP = "python -m lib --help"
MISTYPED = "a mistyped parameter of a study"
DATA_MISTAKE = "a data mistake of your_data"


@dataclasses.dataclass(frozen=True)
class Wait:
    """A command, its exit status, and what it has to say."""

    name: str
    words: tuple[str, ...]  # after python
    status: int = 0
    says: str = ""


def waits(table: Path) -> list[Wait]:
    """The commands; `table` is a CSV file with the columns text and label."""
    study = ("-m", "lib", "study")
    mistaken = (*study, "your_data", f"dataset={table}", "text=txt", "label=label")
    return [
        Wait(TORCH, ("-c", TORCH)),
        Wait(LIB, ("-c", LIB)),
        Wait(FIRST_USE, ("-c", f"{LIB}; lib.run_all")),
        Wait(HELP, ("-m", "lib", "--help"), says="study"),
        Wait(MISTYPED, (*study, "ag_news", "learnin_rate=1"), 1, "learning_rate"),
        Wait(DATA_MISTAKE, mistaken, 1, "no column 'txt'"),
    ]


def measure(work: Work) -> tuple[dict[str, pd.DataFrame], dict]:
    """A row a round and command: its wall and CPU seconds. Raises RuntimeError where a command does
    not say what it should."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "texts.csv"
        lines = [f"a text about number {i},{'even' if i % 2 else 'odd'}" for i in range(200)]
        table.write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
        for number in range(work.settings.wait_rounds + 1):  # round 0 warms up
            for wait in waits(table):
                seconds, cpu_seconds = run(wait, Path(folder))
                row = {"round": number, "wait": wait.name, "seconds": seconds}
                rows.append(row | {"cpu_seconds": cpu_seconds})
            print(f"waits, round {number} of {work.settings.wait_rounds}", flush=True)
    frame = pd.DataFrame(rows)
    return {"waits": frame[frame["round"] > 0]}, {}


def run(wait: Wait, folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds of a command, which has a store of its own."""
    variables = os.environ | {"RUNS_DIR": str(folder / "runs")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    command = [sys.executable, *wait.words]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = done.stdout + done.stderr
    if done.returncode != wait.status or wait.says not in output:
        raise RuntimeError(f"{wait.name} ended with {done.returncode}: {output.strip()[-500:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, cpu


def measures(folder: Path, facts: dict) -> dict[str, Interval]:
    """Seconds: medians over rounds."""
    table = pd.read_csv(folder / "waits.csv")
    seconds = table.pivot(index="round", columns="wait", values="seconds")
    results = {f"{name}, seconds": median_interval(seconds[name]) for name in seconds}
    if {TORCH, LIB} <= set(seconds):
        beyond = median_interval(seconds[LIB] - seconds[TORCH])
        results["import lib beyond import torch, seconds"] = beyond
    return results


def section(folder: Path, facts: dict) -> str:
    table = pd.read_csv(folder / "waits.csv")
    rows = []
    for name, part in table.groupby("wait", sort=False):
        seconds = part["seconds"]
        spread = f"{seconds.min():.2f} to {seconds.max():.2f}"
        rows.append(
            [name, f"{seconds.median():.2f}", spread, f"{part['cpu_seconds'].median():.2f}"]
        )
    header = ["command", "seconds (median)", "lowest to highest", "CPU seconds (median)"]
    return f"""
## Waits

{pipe(header, rows)}
{table["round"].nunique()} rounds of all commands in turn, after one that warms up; each is a \
process of its own, from its start to its end.

{measured_on(facts)}
"""
