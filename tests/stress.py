"""Kill a sweep's workers again and again: `make stress` prints what was survived. Not part of
`make test`."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from lib.runs.slots import open_storage
from lib.runs.store import ROOT
from tests.conftest import save_learnable, save_tiny

ROUNDS = int(os.environ.get("ROUNDS", 20))


def spec_in(folder: Path) -> dict:
    """36 cells of a tiny model on tiny data."""
    data = save_learnable(folder / "data")
    base = {
        "dataset": str(data),
        "backbone": str(save_tiny(folder / "bert")),
        "max_length": 16,
        "epochs": 1,
    }
    rates = [f * 10**e for e in (-3, -4, -5, -6) for f in (1, 3, 5)]
    return {
        "name": "stress",
        "base": base | {"precision": "fp32", "dev_rows": 12},
        "space": {"batch_size": [8, 16, 32], "learning_rate": rates},
    }


def one_round(number: int) -> Counter:
    """How often each of the 36 slots was finished, when one of three workers is killed at a
    random moment."""
    import optuna

    dice = random.Random(number)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RUNS_DIR"] = f"{folder}/runs"
        spec = spec_in(Path(folder))
        path = Path(folder) / "spec.yaml"
        path.write_text(json.dumps(spec))
        command = [sys.executable, "-m", "lib", "sweep", str(path)]
        options = {
            "cwd": ROOT,
            "stdout": subprocess.DEVNULL,
            "env": os.environ | {"OMP_NUM_THREADS": "1"},
        }
        workers = [subprocess.Popen(command, **options) for _ in range(3)]
        victim, after = (
            dice.choice(workers),
            dice.randrange(32),
        )  # by the clock, most would die while they import
        while (
            victim.poll() is None and len(list(Path(folder, "runs").glob("*/status.json"))) < after
        ):
            time.sleep(0.02)
        time.sleep(dice.uniform(0, 0.5))
        victim.send_signal(signal.SIGKILL)
        for worker in workers:
            worker.wait()
        storage = open_storage("stress", None)
        study = optuna.load_study(study_name="stress-1", storage=storage)
        done = [
            t.user_attrs["slot"]
            for t in study.get_trials(deepcopy=False)
            if t.state.name == "COMPLETE"
        ]
        again = sum(t.state.name == "FAIL" for t in study.get_trials(deepcopy=False))
        runs = len(list(Path(folder, "runs").glob("*/status.json")))
        codes = [worker.returncode for worker in workers if worker is not victim]
    print(
        f"round {number}: {len(set(done))} of 36 cells finished, "
        f"{len(done) - len(set(done))} twice, {runs} runs, "
        f"{again} taken again from the dead worker, others ended with {codes}",
        flush=True,
    )
    return Counter(done)


if __name__ == "__main__":
    rounds = [one_round(number) for number in range(1, ROUNDS + 1)]
    whole = sum(len(counts) == 36 and set(counts.values()) == {1} for counts in rounds)
    print(f"{whole} of {ROUNDS} rounds: every cell finished exactly once")
    sys.exit(whole != ROUNDS)
