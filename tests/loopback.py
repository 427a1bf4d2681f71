"""A Dask cluster on this machine's loopback, whose workers have stores of their own, as
docs/scaling.md starts one: `python -m tests.loopback make grid_search …` runs a command on it."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lib.runs.paths import ROOT

DASK = (sys.executable, "-m", "dask")


def dask(stack: ExitStack, *words: str, log: Path, **variables: str) -> subprocess.Popen:
    """Start one of Dask's commands, which ends with the stack."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | variables
    output = stack.enter_context(log.open("w", encoding="utf-8"))
    options = {"stdout": output, "stderr": output, "env": environment, "cwd": ROOT}
    process = stack.enter_context(subprocess.Popen([*DASK, *words], **options))
    stack.callback(process.kill)
    return process


def start_worker(stack: ExitStack, folder: Path, number: int) -> subprocess.Popen:
    """Start a worker with the store `worker-<number>` in a folder."""
    name = f"worker-{number}"
    words = ("worker", "--scheduler-file", str(folder / "scheduler.json"), "--name", name)
    words += ("--no-nanny", "--nthreads", "1", "--memory-limit", "0", "--no-dashboard")
    words += ("--host", "127.0.0.1", "--local-directory", str(folder / "dask"))
    store = str(folder / name)
    return dask(stack, *words, log=folder / f"{name}.log", RUNS_DIR=store)


@contextmanager
def loopback(folder: Path, workers: int = 2) -> Iterator[Path]:
    """A scheduler's file; it and its workers run meanwhile."""
    file = folder / "scheduler.json"
    with ExitStack() as stack:
        words = ("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        log = folder / "scheduler.log"
        scheduler = dask(stack, *words, "--scheduler-file", str(file), log=log)
        for number in range(workers):
            start_worker(stack, folder, number)
        while not file.exists():
            if scheduler.poll() is not None:
                sys.exit(f"the scheduler ended: {log.read_text(encoding='utf-8')}")
            time.sleep(0.05)
        yield file


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name, loopback(Path(name)) as scheduler:
        given = [word.removeprefix("ARGS=") for word in sys.argv[1:] if word.startswith("ARGS=")]
        words = [word for word in sys.argv[1:] if not word.startswith("ARGS=")]
        command = [*words, " ".join(["ARGS=", *given, f"cluster={scheduler}"])]
        print(" ".join(command), flush=True)
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
        for worker in sorted(Path(name).glob("worker-?")):
            print(f"{worker.name}: {len(list(worker.glob('*/status.json')))} runs in its store")
    sys.exit(status)
