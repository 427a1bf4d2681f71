"""One run on several processes of this machine, started as torchrun starts them, and read back
from the store."""

import json
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from lib.errors import InputError, StoppedError, lookup
from lib.fast.parallel import SHARDED, leave, team
from lib.runs.config import RunConfig

# name -> (precision or None for the configuration's, whether there are several processes)
BACKENDS = {
    "sp": ("fp32", False),
    "sp-amp": ("auto", False),
    "ddp": ("fp32", True),
    "ddp-amp": ("auto", True),
}
BACKENDS |= {
    "fsdp": ("fp32", True),
    "fsdp-amp": ("auto", True),
}  # ddp, with the weights spread over the processes
MANY = ", ".join(name for name, (_, several) in BACKENDS.items() if several)
ERRORS = "RANK_ERRORS"  # the variable that names the folder where processes leave why they failed


def settle(config: RunConfig, backend: str | None, processes: int | None) -> tuple[RunConfig, int]:
    """The configuration with the backend's precision, and how many processes train it: with
    `ddp` and `fsdp` as many as there are GPUs unless `processes` says otherwise. Raises
    InputError."""
    if backend is None:
        if processes not in (None, 1):
            raise InputError(f"processes = {processes} needs a backend of several: {MANY}")
        return config, 1
    precision, several = lookup(BACKENDS, backend, "backend")
    if not several and processes not in (None, 1):
        raise InputError(
            f"processes = {processes} needs a backend of several ({MANY}); {backend} has one"
        )
    count = (
        1
        if not several
        else team().size
        if team().size > 1
        else processes or torch.cuda.device_count() or 1
    )
    if team().size > 1 and backend.startswith("fsdp") != team().sharded:
        raise InputError(
            f"backend is {backend}, but these processes were started {'with' if team().sharded else 'without'} "
            "accelerate's FSDP; leave backend out, or let it start the processes"
        )
    if count > config.batch_size:
        raise InputError(
            f"processes = {count} is more than the batch has documents ({config.batch_size})"
        )
    return config.with_(precision=precision), count


def start(config: RunConfig, processes: int, how: dict, *, sharded: bool) -> None:
    """Train a run in so many new processes, `how` being the options of `lib.runs.pool.run`;
    their lines appear as they come. Raises InputError with the sentence of the process that
    failed by one, ChildProcessError with the traceback of any other, or where one was killed."""
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder, "config.json")
        spec.write_text(config.model_dump_json())
        Path(folder, "how.json").write_text(json.dumps(how))
        threads = max(1, torch.get_num_threads() // processes)
        command = [
            sys.executable,
            "-m",
            "lib.fast.launch",
            "--standalone",
            f"--nproc-per-node={processes}",
            "-m",
            "lib.fast.launch",
            str(folder),
        ]
        variables = {
            "OMP_NUM_THREADS": str(threads),
            ERRORS: folder,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        quiet = [
            "ignore::RuntimeWarning:runpy",
            *filter(None, [os.environ.get("PYTHONWARNINGS")]),
        ]  # lib is imported
        variables |= {"PYTHONWARNINGS": ",".join(quiet)} | ({SHARDED: "true"} if sharded else {})
        process = subprocess.Popen(command, env=os.environ | variables)
        try:
            code = process.wait()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
        errors = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("rank-*.json"))]
    for error in errors:
        if error["kind"] == "StoppedError":
            raise StoppedError(error["text"])
        if error["kind"] == "InputError":
            raise InputError(error["text"])
    if code:
        # the first to fail is the cause; the others lost their partner
        whole = "\n".join(
            f"process {e['rank']}: {e['text']}" for e in sorted(errors, key=lambda e: e["time"])
        )
        told = whole or "no process says why: one of them was killed, perhaps for want of memory"
        raise ChildProcessError(
            f"Training on {processes} processes failed (status {code}); the same command goes on from the last "
            f"checkpoint.\n{told}"
        )


def main(folder: str) -> None:
    """What each of the processes does."""
    import time
    import traceback

    from lib.runs.pool import run

    config = RunConfig(**json.loads(Path(folder, "config.json").read_text()))
    how = json.loads(Path(folder, "how.json").read_text())
    try:
        run(config, how.pop("keep"), **how)
    except BaseException as error:
        known = isinstance(error, InputError | StoppedError)
        about = {
            "kind": type(error).__name__,
            "text": str(error) if known else traceback.format_exc(),
        }
        about |= {"rank": team().rank, "time": time.time()}
        Path(folder, f"rank-{team().rank}.json").write_text(json.dumps(about))
        sys.stdout.flush()
        os._exit(1)  # not held up by others that wait in vain
    leave()


def torchrun(arguments: list[str]) -> None:
    """torchrun, which starts and watches the processes, without its own report of what they
    report themselves."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.disable(logging.ERROR)
    try:
        run.main(arguments)
    except ChildFailedError:
        sys.exit(1)


if __name__ == "__main__":
    (torchrun if len(sys.argv) > 2 else lambda words: main(*words))(sys.argv[1:])
