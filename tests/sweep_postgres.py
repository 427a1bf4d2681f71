"""Three workers share a sweep through PostgreSQL, and one is killed: `make sweep-postgres`. Not
part of `make test`.

A throw-away server is started on loopback. Each round gives three workers an empty database, kills
one of them at a random moment, and counts: every cell is finished once, and trained once, save for
the one that the dead worker held. In half of the rounds each worker has a run store of its own, as
on machines that share nothing but the database, and all begin in the same instant, which is when
they are likeliest to take the same cell.

It needs PostgreSQL's server programs (Debian and Ubuntu: apt install postgresql) and a driver for
Python (.venv/bin/python -m pip install "psycopg[binary]"); without them it says so and ends well.
ROUNDS=20 runs more rounds.
"""

import importlib.util
import json
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lib.runs.slots import open_storage
from lib.runs.store import ROOT
from tests.stress import spec_in

ROUNDS = int(os.environ.get("ROUNDS", 4))
CELLS = 12
WORKERS = 3
PATIENCE = 300.0  # seconds for what is left to do when the worker is dead
DRIVERS = ("psycopg", "psycopg2")
AT_ONCE = """
import sys, time
from pathlib import Path
import lib.runs.search
from lib.__main__ import main
start = Path(sys.argv.pop(1))
print("ready", flush=True)
while not start.exists():
    time.sleep(0.001)
main()
"""  # python -m lib, but for its imports, which take a second more here and a second less there


def server_programs() -> Path | None:
    """The folder of initdb and pg_ctl: the one on PATH, else Debian's newest, which keeps them
    off PATH."""
    found = shutil.which("initdb")
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    debian = sorted(
        versions, key=lambda folder: [int(n) for n in folder.parent.name.split(".") if n.isdigit()]
    )
    folders = [Path(found).resolve().parent] if found else debian[::-1]
    return next(
        (
            folder
            for folder in folders
            if (folder / "pg_ctl").exists() and (folder / "initdb").exists()
        ),
        None,
    )


def driver() -> str | None:
    """The Python driver to name in the URL, for SQLAlchemy's default is not the same in every
    version."""
    return next((name for name in DRIVERS if importlib.util.find_spec(name)), None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def server_account() -> pwd.struct_passwd | None:
    """Whom the server runs as: the caller (None), or where that is root, whom PostgreSQL
    refuses, someone else."""
    if os.geteuid() != 0:
        return None
    names = {account.pw_name: account for account in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


@contextmanager
def server(programs: Path) -> Iterator[str]:
    """The address (user@host:port) of a new PostgreSQL server, gone with its data at the end.

    Only loopback, and a password, which libpq reads from the environment: not on any command line.
    """
    account, port, password = server_account(), free_port(), secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        data, secret, log = (Path(folder) / name for name in ("data", "password", "log"))
        secret.write_text(password)
        options: dict = {"cwd": folder, "stdout": subprocess.DEVNULL, "timeout": 120}
        if account:
            for path in (Path(folder), secret):
                os.chown(path, account.pw_uid, account.pw_gid)
            options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

        def do(program: str, *arguments: str, check: bool = True) -> None:
            subprocess.run([programs / program, "-D", data, *arguments], check=check, **options)

        settings = (
            f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        )
        access = ("--username=sweep", f"--pwfile={secret}", "--auth=scram-sha-256")
        do("initdb", *access, "--no-sync", "--encoding=UTF8", "--locale=C")
        try:
            do("pg_ctl", "start", "-w", "-l", str(log), "-o", settings)
            os.environ["PGPASSWORD"] = password
            yield f"sweep@127.0.0.1:{port}"
        finally:
            os.environ.pop("PGPASSWORD", None)
            do("pg_ctl", "stop", "-w", "-m", "immediate", check=False)


def new_database(address: str, name: str) -> str:
    """The URL of an empty database, so that every round has its tables made by three workers at
    once."""
    import sqlalchemy

    url = f"postgresql+{driver()}://{address}"
    engine = sqlalchemy.create_engine(f"{url}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"{url}/{name}"


@contextmanager
def worker_processes(
    folder: Path, url: str, stores: list[Path], at_once: bool
) -> Iterator[list[subprocess.Popen]]:
    """A worker for each store; what they print goes to worker-0.log and so on. None outlives the
    block."""
    start = folder / "start"
    python = [sys.executable, *(["-c", AT_ONCE, str(start)] if at_once else ["-m", "lib"])]
    workers = []
    try:
        for number, runs in enumerate(stores):
            own = os.environ | {"OMP_NUM_THREADS": "1", "RUNS_DIR": str(runs)}
            with (folder / f"worker-{number}.log").open("wb") as log:
                to = {"cwd": ROOT, "env": own, "stdout": log, "stderr": subprocess.STDOUT}
                workers.append(
                    subprocess.Popen(
                        [*python, "sweep", f"{folder}/spec.yaml", "--storage", url], **to
                    )
                )
        while at_once and told(folder, "ready") < sum(worker.poll() is None for worker in workers):
            time.sleep(0.02)
        start.touch()
        yield workers
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def told(folder: Path, what: str) -> int:
    """How often the workers have printed something."""
    return sum(log.read_text().count(what) for log in folder.glob("worker-*.log"))


def trainings(folder: Path) -> int:
    """How often a worker trained: each training has one epoch, which it tells."""
    return told(folder, "epoch 1/1: ")


def kill_one(
    workers: list[subprocess.Popen], folder: Path, dice: random.Random
) -> subprocess.Popen:
    """Kill a worker at a random moment: after so many trainings, or, for none, while the workers
    are starting."""
    victim, after, deadline = (
        dice.choice(workers),
        dice.randrange(CELLS * 3 // 4),
        time.monotonic() + PATIENCE,
    )
    while trainings(folder) < after and victim.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(dice.uniform(0, 1) if after else dice.uniform(0, 12))
    victim.send_signal(signal.SIGKILL)
    return victim


def wait(workers: list[subprocess.Popen]) -> list[int]:
    """Wait for all workers; the numbers of those that do not end."""
    deadline = time.monotonic() + PATIENCE
    while any(worker.poll() is None for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [number for number, worker in enumerate(workers) if worker.poll() is None]


def faults(
    trials: list, folder: Path, workers: list[subprocess.Popen], victim: subprocess.Popen
) -> list[str]:
    """What is wrong after a round, in words; nothing if every cell was finished once and trained
    once.

    Only the cell that the dead worker held, if it held one, may have been begun and trained again.
    """
    done = Counter(t.user_attrs["slot"] for t in trials if t.state.name == "COMPLETE")
    holders = [
        t.user_attrs.get("worker", {}).get("pid", victim.pid)
        for t in trials
        if t.state.name == "FAIL"
    ]
    again = holders.count(victim.pid)
    keys = Counter(path.parent.name for path in folder.glob("runs-*/*/status.json"))
    counts = {
        "lost": CELLS - len(done),
        "finished twice": done.total() - len(done),
        "left unfinished": sum(t.state.name in ("RUNNING", "WAITING") for t in trials),
        "given up by living workers": len(holders) - again,
        "trained twice": max(0, trainings(folder) - CELLS - again),
        "missing in the stores": CELLS - len(keys),
        "in two stores": max(0, keys.total() - len(keys) - again),
    }
    found = [f"{count} {what}" for what, count in counts.items() if count]
    for number, worker in enumerate(workers):
        if worker is not victim and worker.returncode:
            found.append(f"worker {number} ended with {worker.returncode}")
    return found


def trials_of(spec: dict, url: str) -> list:
    """All trials of the sweep; leaves no connection behind."""
    import optuna

    storage = open_storage(spec["name"], url)
    try:
        return optuna.load_study(study_name=f"{spec['name']}-1", storage=storage).get_trials()
    finally:
        storage.engine.dispose()


def one_round(number: int, address: str, apart: bool) -> list[str]:
    """The faults of a sweep whose workers have one store, or one each and begin at once. Says
    what came of it."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="sweep-") as name:
        folder = Path(name)
        spec, url = spec_in(folder), new_database(address, f"round_{number}")
        spec["space"]["batch_size"] = [16]
        (folder / "spec.yaml").write_text(json.dumps(spec))
        stores = [folder / f"runs-{worker if apart else 0}" for worker in range(WORKERS)]
        with worker_processes(folder, url, stores, at_once=apart) as workers:
            victim = kill_one(workers, folder, random.Random(number))
            hanging = wait(workers)
        trials = trials_of(spec, url)
        found = faults(trials, folder, workers, victim) + [
            f"worker {number} hung" for number in hanging
        ]
        if found:
            print("\n".join(log.read_text()[-3000:] for log in sorted(folder.glob("worker-*.log"))))
        again = sum(t.state.name == "FAIL" for t in trials)
        print(
            f"round {number}, {'a store each' if apart else 'one store'}: "
            f"{trainings(folder)} trainings for {CELLS} "
            f"cells, {again} begun again, {'one' if victim.returncode < 0 else 'no'} "
            f"worker killed, "
            f"{time.perf_counter() - begin:.0f} s: {', '.join(found) or 'every cell once'}",
            flush=True,
        )
    return found


def main() -> int:
    """The exit status: 0 if nothing was wrong, or nothing could be checked here."""
    programs = server_programs()
    if not programs:
        print(
            "skipped: PostgreSQL's server programs are not installed; on Debian or "
            "Ubuntu: apt install postgresql"
        )
        return 0
    if not driver():
        print(
            f"skipped: no PostgreSQL driver for Python; {sys.executable} -m pip install "
            f'"psycopg[binary]"'
        )
        return 0
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # so that the server is stopped then, too
    with server(programs) as address:
        good = sum(
            not one_round(number, address, apart=number % 2 == 0) for number in range(1, ROUNDS + 1)
        )
    print(f"{good} of {ROUNDS} rounds: every cell finished exactly once")
    return int(good != ROUNDS)


if __name__ == "__main__":
    sys.exit(main())
