"""How much faster two workers train a search than one process, and how much slower a run is in a
worker: `python -m tests.bench_pool` (nine minutes a round, nothing else running)."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lib.runs.paths import ROOT
from lib.runs.store import Run

ROUNDS = int(os.environ.get("ROUNDS", 1))
RATES = [factor * 10**power for power in (-3, -4, -5) for factor in (1, 2, 3, 5)]


def spec_in(folder: Path, name: str, batch_sizes: list[int]) -> Path:
    """A search over 12 learning rates and some batch sizes, of two layers of MiniLM."""
    base = {
        "dataset": "demo_reviews",
        "train_rows": 128,
        "dev_rows": 60,
        "test_rows": 100,
        "layers": 2,
        "max_length": 64,
        "epochs": 2,
        "precision": "fp32",
        "select_by": "accuracy",
    }
    space = {"batch_size": batch_sizes, "learning_rate": RATES}
    path = folder / f"{name}.json"
    spec = {"name": name, "base": base, "space": space, "tracker": "none"}
    path.write_text(json.dumps(spec), encoding="utf-8")
    return path


def start(spec: Path, store: Path, *options: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "lib", "sweep", str(spec), *options]
    environment = os.environ | {"RUNS_DIR": str(store), "OMP_NUM_THREADS": "1"}
    if "--workers" in options:  # each has its share of these
        environment["OMP_NUM_THREADS"] = options[1]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)


def time_of(processes: list[subprocess.Popen], begun: float) -> float:
    """Seconds until all have ended."""
    for process in processes:
        if process.wait():
            sys.exit("a search failed")
    return time.perf_counter() - begun


def runs_in(store: Path) -> dict[str, Run]:
    return {path.parent.name: Run(path.parent) for path in store.glob("*/status.json")}


def one_round(folder: Path) -> dict[str, tuple[float, dict[str, Run]]]:
    """Seconds and runs of a search by one process, by two workers, and by two processes that have
    half of the cells each."""
    whole = spec_in(folder, "whole", [8, 16, 32])
    halves = [spec_in(folder, "small", [8]), spec_in(folder, "large", [16, 32])]
    results = {}
    for name in ("one process", "two workers", "two processes"):
        store = folder / name.replace(" ", "-")
        begun = time.perf_counter()
        if name == "two processes":
            processes = [start(half, store) for half in halves]
        else:
            options = ("--workers", "2") if name == "two workers" else ()
            processes = [start(whole, store, *options)]
        results[name] = time_of(processes, begun), runs_in(store)
    return results


if __name__ == "__main__":
    ratios = []
    for number in range(1, ROUNDS + 1):
        with tempfile.TemporaryDirectory() as name:
            results = one_round(Path(name))
            seconds = {name: taken for name, (taken, _) in results.items()}
            alone, workers, processes = (runs for _, runs in results.values())
            same = sum(
                run.predictions.equals(workers[key].predictions) for key, run in alone.items()
            )
            slower = statistics.median(
                workers[key].status["seconds"] / run.status["seconds"]
                for key, run in processes.items()
            )
        ratios.append(seconds["one process"] / seconds["two workers"])
        print(
            f"round {number}: {', '.join(f'{key} {taken:.1f} s' for key, taken in seconds.items())}"
            f"; two workers {ratios[-1]:.2f} times as fast as one process; {same} of {len(alone)} "
            f"predictions equal; a run takes {slower:.2f} times as long in a worker as in one of "
            "two processes",
            flush=True,
        )
    print(f"median {statistics.median(ratios):.2f} times as fast, from {ROUNDS} rounds")
