"""Kill a run at random moments until it is finished, again and again, and compare its bytes:
part of `make stress`."""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lib.runs.paths import ROOT
from lib.runs.store import Run
from tests.conftest import save_learnable, save_tiny

ROUNDS = int(os.environ.get("ROUNDS", 20))


def spec_in(folder: Path) -> Path:
    """A run of a tiny model with dropout, in pieces of a batch, for some seconds."""
    data = save_learnable(folder / "data", train=400, test=50)
    spec = {
        "dataset": str(data),
        "backbone": str(save_tiny(folder / "bert")),
        "max_length": 16,
        "epochs": 12,
    }
    spec |= {
        "accumulation": 2,
        "batch_size": 8,
        "dev_rows": 50,
        "tracker": "none",
        "checkpoint_every": "20 steps",
    }
    path = folder / "run.yaml"
    path.write_text(json.dumps(spec))
    return path


def files_of(runs: Path) -> dict[str, bytes]:
    """What must be the same, of the one run in a store."""
    run = Run(next(path.parent for path in runs.glob("*/status.json")))
    timeless = [name for name in run.history if "second" not in name]
    files = {path.name: path.read_bytes() for path in sorted((run.folder / "model").iterdir())}
    files |= {
        name: (run.folder / name).read_bytes()
        for name in ("predictions.parquet", "test_predictions.txt")
    }
    return files | {"history": run.history[timeless].to_json().encode()}


def train(spec: Path, runs: Path, kill_after: float | None) -> bool:
    """Start the command; whether it ended by itself."""
    environment = os.environ | {"RUNS_DIR": str(runs), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "lib", "train", str(spec)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    if kill_after is not None:
        while process.poll() is None and not list(
            runs.glob("*/config.json")
        ):  # most of it would die importing, else
            time.sleep(0.01)
        time.sleep(kill_after)
        process.kill()
    return process.wait() == 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spec, whole = spec_in(folder), folder / "whole"
        start = time.perf_counter()
        train(spec, whole, None)
        seconds, wanted = time.perf_counter() - start, files_of(whole)
        kills = same = torn = 0
        for number in range(1, ROUNDS + 1):
            dice, runs, killed = random.Random(number), folder / f"round-{number}", 0
            while not train(spec, runs, dice.uniform(0, seconds / 3) if killed < 5 else None):
                killed += 1
                torn += bool(list(runs.glob("*/checkpoint/*.part")))
            found = files_of(runs)
            differ = [name for name in wanted if found.get(name) != wanted[name]]
            kills, same = kills + killed, same + (not differ)
            print(
                f"round {number}: killed {killed} times, "
                f"{sum(map(len, wanted.values())):,} bytes in {len(wanted)} "
                f"files compared, {', '.join(differ) or 'none'} differ",
                flush=True,
            )
        print(
            f"{same} of {ROUNDS} runs end with the bytes of the one that was not killed; "
            f"{kills} kills survived, "
            f"{torn} of them while a checkpoint was written"
        )
        sys.exit(same != ROUNDS)
