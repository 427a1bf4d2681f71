"""How many texts are labelled so far."""

import sys
import time
from pathlib import Path

from tqdm import tqdm

BLOCK = 1 << 20  # bytes that are read at once
SHOW_EVERY = 10.0  # seconds between lines of progress in a log
COUNTED = (".csv", ".tsv", ".txt", ".jsonl")  # files with about a text a line


class Progress:
    """How many texts are labelled: a bar at a terminal, lines in a log."""

    def __init__(self, total: int | None, done: int):
        self.total = total
        self.done = done
        self.before = done
        self.start = time.perf_counter()
        self.shown = self.start
        self.bar = None
        if sys.stderr.isatty():
            self.bar = tqdm(total=total, initial=done, unit=" texts")

    def add(self, count: int) -> None:
        self.done += count
        now = time.perf_counter()
        if self.bar is not None:
            self.bar.update(count)
        elif now - self.shown > SHOW_EVERY:
            self.shown = now
            speed = (self.done - self.before) / (now - self.start)
            left = ""
            if self.total:
                minutes = (self.total - self.done) / speed / 60
                left = f" of {self.total:,}, about {minutes:.1f} min to go"
            print(f"{self.done:,} texts{left}, {speed:.0f} texts/s", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def about_how_many(source: str) -> int | None:
    """About how many texts a plain file has, for the time to go."""
    if not source.endswith(COUNTED) or not Path(source).is_file():
        return None
    with open(source, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(BLOCK), b""))
