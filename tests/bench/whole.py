"""The parts in turn: as one ends, its tables are written, and the page from all that are there."""

import datetime
import re
import time
from importlib.metadata import version
from pathlib import Path

import torch

from lib.errors import InputError, nearest
from lib.runs.files import write_json
from lib.runs.machine import environment
from lib.runs.paths import ROOT
from tests.bench import accuracy, labelling, page, profile, rows, speed, waits
from tests.bench.documents import Work
from tests.bench.settings import ON_GPU, Settings, native_precision
from tests.bench.ways import all_ways

PARTS = {  # in the order in which they are measured
    "speed": speed.measure,
    "profile": profile.measure,
    "accuracy": accuracy.measure,
    "rows": rows.measure,
    "labelling": labelling.measure,
    "waits": waits.measure,
}


def parts_named(text: str | None) -> list[str]:
    """The parts that are named, with commas between them, in the order of PARTS; all without.
    Raises InputError."""
    if text is None:
        return list(PARTS)
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in PARTS:
            raise InputError(f"Unknown part {name!r}.{nearest(name, PARTS)}")
    return [name for name in PARTS if name in names]


def machine() -> str:
    """A folder name from the processor (or GPU) and the number of threads."""
    device = environment()["device"]
    cores = "" if ON_GPU else f"-{torch.get_num_threads()}-cores"
    return re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-") + cores


def run(settings: Settings, command: str, parts: list[str]) -> Path:
    """Measure these parts, and write the page; what is there of others stays. Returns its
    folder. Raises InputError."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    if torch.cuda.device_count() > 1:
        raise InputError(
            "Trainer would share its batches out over all GPUs; show it one: CUDA_VISIBLE_DEVICES=0"
        )
    torch.set_num_threads(settings.threads)
    all_ways(settings)  # a mistake in them is told at once
    folder = Path(settings.out or ROOT / "results" / "benchmark" / machine())
    folder.mkdir(parents=True, exist_ok=True)
    work = Work(settings, folder)
    print(
        f"{', '.join(parts)} on {environment()['device']}, {settings.threads} threads", flush=True
    )
    for name in parts:
        measure_part(name, work, command)
        page.write(folder)
    return folder


def measure_part(name: str, work: Work, command: str) -> None:
    """Write a part's tables in the place of those that are there, and its facts beside the
    others'."""
    start = time.perf_counter()
    tables, facts = PARTS[name](work)
    facts |= {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": command,
        "seconds": time.perf_counter() - start,
        "precision": native_precision(),
        "settings": work.settings.model_dump(mode="json", exclude={"out"}),
        "machine": environment() | {name: version(name) for name in ("accelerate", "datasets")},
        "tables": list(tables),
    }
    every = page.read_facts(work.folder) | {name: facts}
    for table_name, table in tables.items():
        path = work.folder / f"{table_name}.csv"
        table.to_csv(path, index=False, float_format="%.9g", lineterminator="\n")
    named = {table for part in every.values() for table in part["tables"]}
    for path in work.folder.glob("*.csv"):
        if path.stem not in named:
            path.unlink()  # of another version's page
    write_json(work.folder / page.ENVIRONMENT, {"parts": every})
