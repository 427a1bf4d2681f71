"""Kill, stop and restart what trains the cells of a search, and count what was lost: part of
`make stress`. ROUNDS=1 tries each kind once."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from lib.runs.paths import ROOT
from lib.runs.store import Run
from tests.conftest import save_learnable, save_tiny
from tests.loopback import loopback

CELLS = 36
WORKERS = 3
LIMIT = "15s"  # without a sign of life, after which a worker counts as dead


def spec_in(folder: Path) -> Path:
    """A search over 36 cells of a tiny model on tiny data, as a file."""
    data = save_learnable(folder / "data")
    base = {
        "dataset": str(data),
        "backbone": str(save_tiny(folder / "bert")),
        "max_length": 16,
        "epochs": 1,
    }
    rates = [f * 10**e for e in (-3, -4, -5, -6) for f in (1, 3, 5)]
    spec = {
        "name": "stress",
        "base": base | {"precision": "fp32", "dev_rows": 12},
        "space": {"batch_size": [8, 16, 32], "learning_rate": rates},
    }
    path = folder / "spec.json"
    path.write_text(json.dumps(spec), encoding="utf-8")
    return path


def start(spec: Path, store: Path, *options: str, log: Path) -> subprocess.Popen:
    """Start the command of a search with a store of its own."""
    limit = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": LIMIT}
    environment = os.environ | limit | {"RUNS_DIR": str(store), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "lib", "sweep", str(spec), *options]
    with log.open("a", encoding="utf-8") as output:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)


def finished(store: Path) -> int:
    return len(list(store.glob("*/status.json")))


def wait_for(store: Path, count: int, driver: subprocess.Popen) -> None:
    """Wait until so many runs have finished, by whom the driver hands them to."""
    while driver.poll() is None and finished(store) < count:
        time.sleep(0.02)


def workers_below(driver: subprocess.Popen) -> list[psutil.Process]:
    """The processes in which a driver's workers train."""
    below = psutil.Process(driver.pid).children(recursive=True)
    return [one for one in below if "spawn_main" in " ".join(one.cmdline())]


def choose(driver: subprocess.Popen, dice: random.Random) -> psutil.Process:
    """One of a driver's workers, once there are some."""
    while driver.poll() is None:
        workers = workers_below(driver)
        if workers:
            return dice.choice(workers)
        time.sleep(0.05)
    sys.exit("the search ended before a worker was there")


def predictions(store: Path) -> dict[str, bytes]:
    """What the runs of a store predict, by their keys."""
    runs = [Run(path.parent) for path in store.glob("*/status.json")]
    return {run.key: (run.folder / "predictions.parquet").read_bytes() for run in runs}


def kill_worker(spec: Path, folder: Path, dice: random.Random) -> subprocess.Popen:
    driver = start(spec, folder / "runs", "--workers", str(WORKERS), log=folder / "log")
    wait_for(folder / "runs", dice.randrange(CELLS - 4), driver)
    choose(driver, dice).send_signal(signal.SIGKILL)
    return driver


def stop_worker(spec: Path, folder: Path, dice: random.Random) -> subprocess.Popen:
    driver = start(spec, folder / "runs", "--workers", str(WORKERS), log=folder / "log")
    wait_for(folder / "runs", 1 + dice.randrange(CELLS - 8), driver)
    choose(driver, dice).send_signal(signal.SIGSTOP)
    return driver


def kill_driver(spec: Path, folder: Path, dice: random.Random) -> subprocess.Popen:
    options = ("--workers", str(WORKERS))
    driver = start(spec, folder / "runs", *options, log=folder / "log")
    wait_for(folder / "runs", dice.randrange(CELLS - 4), driver)
    driver.kill()
    driver.wait()
    return start(spec, folder / "runs", *options, log=folder / "log")


def kill_far_worker(spec: Path, folder: Path, dice: random.Random) -> subprocess.Popen:
    """With stores that are not shared: the worker's runs that were not brought home are lost."""
    with loopback(folder, WORKERS) as scheduler:
        driver = start(spec, folder / "runs", "--cluster", str(scheduler), log=folder / "log")
        wait_for(folder / "runs", dice.randrange(CELLS - 4), driver)
        name = f"worker-{dice.randrange(WORKERS)}"
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if name in words and str(scheduler) in words:
                process.send_signal(signal.SIGKILL)
        driver.wait()
    return driver


KINDS: dict[str, tuple[Callable, int]] = {
    "a worker killed": (kill_worker, 20),
    "a worker killed, stores not shared": (kill_far_worker, 10),
    "the driver killed and started again": (kill_driver, 5),
    f"a worker stopped for more than {LIMIT}": (stop_worker, 5),
}


def one_round(kind: str, number: int, spec: Path, wanted: dict[str, bytes]) -> bool:
    """Whether every cell was finished, with the bytes of a search that nobody disturbed."""
    disturb = KINDS[kind][0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begun = time.perf_counter()
        status = disturb(spec, folder, random.Random(number)).wait()
        found = predictions(folder / "runs")
        same = sum(found.get(key) == content for key, content in wanted.items())
        seconds = time.perf_counter() - begun
        print(
            f"{kind}, round {number}: {same} of {CELLS} cells as undisturbed, {len(found)} runs, "
            f"exit status {status}, {seconds:.0f} s",
            flush=True,
        )
        whole = same == len(found) == CELLS and status == 0
        if not whole:
            print((folder / "log").read_text(encoding="utf-8"))
    return whole


if __name__ == "__main__":
    most = int(os.environ.get("ROUNDS", 20))
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        spec = spec_in(Path(name))
        start(spec, Path(name) / "runs", log=Path(name) / "log").wait()
        wanted = predictions(Path(name) / "runs")
        for kind, (_, rounds) in KINDS.items():
            count = min(most, rounds)
            whole = sum(one_round(kind, number, spec, wanted) for number in range(1, count + 1))
            print(f"{kind}: {whole} of {count} rounds ended with every cell", flush=True)
            failed += count - whole
    sys.exit(failed > 0)
