"""How far training has come, and how that is shown at a terminal, in a notebook or in a log."""

import dataclasses
import os
import sys
import time

import torch
from torch import nn
from tqdm import tqdm

from lib.errors import InputError

LINE_EVERY = 60.0  # seconds between lines of a log


@dataclasses.dataclass
class Progress:
    """How far training has come.

    With the weights and the optimizer's state it is all that training needs to go on: there are no
    random states to keep, because every step is seeded from (seed, step).
    """

    step: int  # steps done
    losses: torch.Tensor  # (steps,) of each step so far, and room for those to come
    norms: torch.Tensor  # (steps,) of the gradients before clipping
    seconds: float = 0.0  # of training, in the current epoch
    pieces: int = 1  # that a batch is computed in, one after the other
    halved: list = dataclasses.field(default_factory=list)  # (step, pieces) where memory was small

    @classmethod
    def start(cls, steps: int, pieces: int = 1) -> "Progress":
        return cls(0, torch.zeros(steps), torch.zeros(steps), pieces=pieces)

    def make_room(self, steps: int, device: torch.device) -> None:
        """Bring losses and norms to the device, with room for all steps."""
        room = steps - len(self.losses)
        self.losses = nn.functional.pad(self.losses.to(device), (0, room))
        self.norms = nn.functional.pad(self.norms.to(device), (0, room))

    def halve(self, rows: int, processes: int) -> None:
        """Compute batches of so many rows in twice as many pieces from here on.

        Raises InputError where a batch cannot be cut further, or several processes share it.
        """
        step = self.step + 1
        if processes > 1 or self.pieces >= rows:
            smaller = "documents per batch" if processes > 1 else "max_length"
            raise InputError(f"Memory is too small for step {step}; choose a smaller {smaller}")
        self.pieces *= 2
        self.halved.append((step, self.pieces))
        print(
            f"    memory is too small: from step {step} on, a batch of {rows} documents is "
            f"computed in {self.pieces} parts",
            flush=True,
        )


def progress_bar(items, text: str, done: int = 0):
    """A progress bar with an ETA at a terminal or in an open notebook.

    Elsewhere (or with TQDM_DISABLE set), a plain line about every minute.
    """
    in_notebook = "ipykernel" in sys.modules
    if (in_notebook or sys.stderr.isatty()) and not os.environ.get("TQDM_DISABLE"):
        # a notebook shows what is written to stderr on red, and keeps the strip of a finished bar
        file = sys.stdout if in_notebook else sys.stderr
        return tqdm(items, text, leave=False, total=len(items), initial=done, file=file)
    return _log_lines(items, text, done)


def _log_lines(items, text: str, done: int):
    start = last = time.monotonic()
    for number, item in enumerate(items, done + 1):
        yield item
        now = time.monotonic()
        if now - last >= LINE_EVERY:
            minutes = (now - start) / (number - done) * (len(items) - number) / 60
            print(
                f"    {text}: step {number} of {len(items)}, about {minutes:.1f} min to go",
                flush=True,
            )
            last = now
