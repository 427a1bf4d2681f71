"""Mutated files, random configurations, flipped bits: nothing may be read as what it is not, hang,
or end in a traceback. `make stress` counts; a few of each kind are part of `make test`.

python -m tests.fuzz [--files 2000] [--configs 500] [--flips 2000] [--seed 0] [--only csv:17]
"""

import argparse
import contextlib
import io
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path

from lib.errors import InputError
from tests.fuzz_files import FORMATS, FaultError, read_mutated
from tests.fuzz_runs import Material, flip_cache, flip_page, flip_run, train_random
from tests.tiny_study import only_study

LIMIT = 20  # seconds a case may take
FAULTS = ("fault", "traceback", "hang", "died")
MOST_SHOWN = 20
FLIPS = {"run": 0.6, "cache": 0.2, "page": 0.2}  # the share of each
ACTIONS = {"config": train_random, "run": flip_run, "cache": flip_cache, "page": flip_page}

Case = tuple[str, int]  # kind and number


class Worker:
    """A process that does one case after the other; a new one takes the place of one that is
    killed."""

    def __init__(self, material: Material, seed: int):
        context = multiprocessing.get_context("fork")  # which has everything imported
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, material, seed), daemon=True)
        with warnings.catch_warnings():  # from Python 3.12 on: of threads, which the copy has not
            warnings.simplefilter("ignore", DeprecationWarning)
            self.process.start()
        theirs.close()
        self.case: Case | None = None

    def give(self, case: Case | None) -> None:
        self.case = case
        self.connection.send(case)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def serve(connection: Connection, material: Material, seed: int) -> None:
    """Do the cases that come, and answer with (outcome, what is to be said of it)."""
    with only_study(material.root / "notebooks", material.root / "results"):
        while multiprocessing.parent_process().is_alive():
            if not connection.poll(1):
                continue
            kind, number = connection.recv()
            connection.send(outcome_of(kind, number, material, seed))


def outcome_of(kind: str, number: int, material: Material, seed: int) -> tuple[str, str]:
    """What became of a case, in a word, and what is to be said of a fault."""
    dice = random.Random(f"{seed} {kind} {number}")
    action = partial(ACTIONS[kind], material) if kind in ACTIONS else partial(read, kind)
    signal.signal(signal.SIGALRM, raise_timeout)
    signal.alarm(LIMIT)
    folder = Path(tempfile.mkdtemp(dir=material.root))
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return action(dice, folder), ""
    except InputError:
        return "refused", ""
    except FaultError as error:
        return "fault", str(error)
    except TimeoutError:
        return "hang", f"more than {LIMIT} seconds"
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return "traceback", f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"
    finally:
        signal.alarm(0)
        shutil.rmtree(folder, ignore_errors=True)


def read(suffix: str, dice: random.Random, folder: Path) -> str:
    return read_mutated(f".{suffix}", dice, folder, sys.stdout.getvalue)


def raise_timeout(number, frame):
    raise TimeoutError


def outcomes(cases: list[Case], material: Material, *, seed: int, workers: int):
    """(case, outcome, what is to be said of it) of each case, as they come."""
    waiting = cases[::-1]
    working = [Worker(material, seed) for _ in range(min(workers, len(cases)))]
    for worker in working:
        worker.give(waiting.pop())
    while working:
        ready = wait([worker.connection for worker in working], timeout=2 * LIMIT)
        # none in all this time: all hang where no signal reaches them
        for worker in [w for w in working if not ready or w.connection in ready]:
            case = worker.case
            is_alive = False
            result = ("hang", "no signal ends it")
            if ready:
                try:
                    result = worker.connection.recv()
                    is_alive = True
                except EOFError:
                    result = ("died", "the process is gone")
            if not (is_alive and waiting):
                worker.end()
                working.remove(worker)
            if waiting:
                if not is_alive:
                    worker = Worker(material, seed)
                    working.append(worker)
                worker.give(waiting.pop())
            yield case, *result


def cases_of(options: argparse.Namespace, material: Material) -> list[Case]:
    """All cases that the options ask for."""
    if options.only:
        kind, _, number = options.only.rpartition(":")
        return [(kind, int(number))]
    cases = [(suffix[1:], number) for suffix in FORMATS for number in range(options.files)]
    cases += [("config", number) for number in range(options.configs)]
    for kind, share in FLIPS.items():
        if kind == "page" or material.is_sealed:
            cases += [(kind, number) for number in range(round(share * options.flips))]
        else:
            print(f"{kind}: runs have no seal, so that nothing can tell; left out")
    return cases


def print_table(counts: dict[str, Counter]) -> None:
    """A line for each kind: how many cases, and what became of them."""
    for kind, counter in counts.items():
        parts = [f"{number:,} {outcome}" for outcome, number in counter.most_common()]
        print(f"{kind:8} {counter.total():6,}: {', '.join(parts)}")


def main(arguments: list[str] | None = None) -> int:
    """Do all cases, print what became of them, and return how many faults there were."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000, help="of each format")
    parser.add_argument("--configs", type=int, default=500)
    parser.add_argument("--flips", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--only", help="a case, such as csv:17")
    options = parser.parse_args(arguments)
    counts: dict[str, Counter] = {}
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stdout(io.StringIO()):
            material = Material.make(Path(folder))
        cases = cases_of(options, material)
        results = outcomes(cases, material, seed=options.seed, workers=options.workers)
        for (kind, number), outcome, text in results:
            counts.setdefault(kind, Counter())[outcome] += 1
            if outcome in FAULTS:
                faults.append(f"{kind}:{number} {outcome}: {text}")
    print_table(counts)
    for line in faults[:MOST_SHOWN]:
        print(f"  {line}")
    total = sum(counter.total() for counter in counts.values())
    print(f"{len(faults)} faults in {total:,} cases (seed {options.seed})")
    return len(faults)


if __name__ == "__main__":
    sys.exit(main() > 0)
