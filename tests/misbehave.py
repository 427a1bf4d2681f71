"""One of two processes does something wrong after nine steps (see tests/test_parallel.py)."""

import os
import signal
import sys

from lib import training
from lib.errors import InputError
from lib.fast import launch
from lib.fast.parallel import team

seed_step = training.seed_step


def misbehave(seed: int, step: int, rank: int = 0) -> None:
    if step == 9 and team().rank == 1:
        how = os.environ["MISBEHAVE"]
        if how == "fails":
            raise ValueError("of process 1")
        if how == "refuses":
            raise InputError("what process 1 has to say")
        os.kill(os.getpid(), signal.SIGKILL if how == "killed" else signal.SIGSTOP)
    seed_step(seed, step, rank)


training.seed_step = misbehave
launch.main(sys.argv[1])
