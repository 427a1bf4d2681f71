"""Cost against rows: what reading, near-duplicates, tokenizing and the first steps of an epoch take
of 1,000 to 1,000,000 rows; and reading and tokenizing beside pandas and datasets."""

import csv
import json
import os
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from lib.demo import news
from lib.runs.paths import ROOT
from tests.bench.documents import Work
from tests.bench.intervals import Interval, measured_on, median_interval, pipe
from tests.bench.row_stages import ALONE, BESIDE
from tests.bench.settings import Settings, to_json

COPIES = 10  # of each text, which differ in their last word
LARGEST_BESIDE = 100_000  # rows
LIB, PANDAS = BESIDE
FIRST = "first.csv"  # a small file of the same kind


def measure(work: Work) -> tuple[dict[str, pd.DataFrame], dict]:
    """A row a process: the stage, the number of rows, seconds and memory."""
    settings = work.settings
    most = most_beside(settings.row_counts)
    table = []
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder) / FIRST, 100)
        for count in settings.row_counts:
            path = write_rows(Path(folder) / f"{count}.csv", count)
            runs = [(1, stage) for stage in ALONE]
            if count == most:
                runs += [(n, stage) for n in range(1, settings.row_rounds + 1) for stage in BESIDE]
            for number, stage in runs:
                row = {"stage": stage, "rows": count, "round": number}
                table.append(row | run_stage(stage, path, settings))
            print(f"rows, {count:,}", flush=True)
    return {"rows": pd.DataFrame(table)}, {}


def most_beside(counts: tuple[int, ...]) -> int:
    """The rows that pandas and datasets read, too."""
    return max((n for n in counts if n <= LARGEST_BESIDE), default=min(counts))


def write_rows(path: Path, count: int) -> Path:
    """A CSV file of so many made-up news items: each text COPIES times, with a last word of its
    own, so that the share of near-duplicates is the same whatever the number of rows."""
    texts, labels, _ = news(-(-count // COPIES), 0)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for i in range(count):
            row = i % len(texts)
            writer.writerow([f"{texts[row]} {i:x}", f"class {labels[row]}"])
    return path


def run_stage(stage: str, path: Path, settings: Settings) -> dict:
    """A stage in a process of its own (`tests.bench.row_stages`)."""
    words = [stage, str(path), to_json(settings), str(path.with_name(FIRST))]
    command = [sys.executable, "-m", "tests.bench.row_stages", *words]
    variables = os.environ | {"OMP_NUM_THREADS": str(settings.threads)}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{stage} of {path} failed: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def growth(few: pd.Series, many: pd.Series) -> float:
    """How many times as long the second takes, for ten times the rows."""
    tenfold = np.log10(many["rows"] / few["rows"])
    return float((many["seconds"] / few["seconds"]) ** (1 / tenfold))


def beside(table: pd.DataFrame) -> Interval | None:
    """How many times as many rows a second lib reads and tokenizes; over rounds."""
    seconds = table[table["stage"].isin(BESIDE)].pivot(
        index="round", columns="stage", values="seconds"
    )
    return median_interval(seconds[PANDAS] / seconds[LIB])


def measures(folder: Path, facts: dict) -> dict[str, Interval]:
    table = pd.read_csv(folder / "rows.csv")
    results = {"reading and tokenizing, × pandas and datasets": beside(table)}
    grown = [value for values in growths(table).values() for value in values[-1:]]
    if grown:
        worst = max(grown)
        results["seconds for tenfold rows"] = Interval(worst, float("nan"), float("nan"))
    return results


def growths(table: pd.DataFrame) -> dict[str, list[float]]:
    """By stage, how many times as long each number of rows takes as that before it, for tenfold
    rows."""
    by_stage = {}
    for stage in ALONE:
        part = table[table["stage"] == stage].sort_values("rows")
        pairs = pairwise(row for _, row in part.iterrows())
        by_stage[stage] = [growth(few, many) for few, many in pairs]
    return by_stage


def section(folder: Path, facts: dict) -> str:
    table = pd.read_csv(folder / "rows.csv")
    together = table[table["stage"].isin(BESIDE)]
    return f"""
## Cost against rows

{table_alone(table)}
Each is a process of its own; starting it and a first small file do not count. Rows are made-up \
news items, each {COPIES} times with a last word of its own, so that near-duplicates are as \
frequent whatever the number of rows. Peak memory includes Python, the libraries and the texts; \
where it was higher before than what the stage needed, nothing is added. A million rows: \
`--row-counts 1000000`.

{together["rows"].iloc[0]:,} rows are read and tokenized {beside(table)} times as fast by lib \
(with its checks of every row, and split into train, dev and test) as by `pandas.read_csv` and \
`datasets.map`, which is batched, with the same fast tokenizer and without padding:

{table_beside(together)}
{measured_on(facts)}
"""


def table_alone(table: pd.DataFrame) -> str:
    by_stage = growths(table)
    rows = []
    for stage in ALONE:
        part = table[table["stage"] == stage].sort_values("rows").reset_index()
        for i, row in part.iterrows():
            grown = f"{by_stage[stage][i - 1]:.1f}" if i else ""
            added = f"{max(0, row['added_mib']) * 1024 / row['rows']:.1f}"
            cells = [f"{row['rows']:,}", f"{row['seconds']:.2f}", grown]
            rows.append([stage, *cells, f"{row['peak_mib']:,.0f}", added])
    header = ["stage", "rows", "seconds", "times as long for tenfold rows"]
    return pipe([*header, "peak memory (MiB)", "added (KiB a row)"], rows)


def table_beside(together: pd.DataFrame) -> str:
    rows = []
    for row in together.to_dict("records"):
        cells = [row["stage"], f"{row['round']}", f"{row['seconds']:.2f}"]
        rows.append([*cells, f"{row['rows'] / row['seconds']:,.0f}", f"{row['peak_mib']:,.0f}"])
    return pipe(["by", "round", "seconds", "rows/s", "peak memory (MiB)"], rows)
