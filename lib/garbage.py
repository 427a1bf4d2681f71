"""Python's search for garbage, and when it is in the way."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

LARGE = 5_000_000  # weights, whose memory is worth a search


def search_for_garbage(weights: int) -> None:
    """Free a model of so many weights that nobody asks for any more, if it is large. The parts of
    one that computes without padding refer to each other in circles, which Python looks for the
    less often, the more else there is: the models of ten runs would be in memory at once."""
    if weights > LARGE:
        gc.collect()


@contextmanager
def no_search_for_garbage() -> Iterator[None]:
    """While millions of strings and lists are made that stay, Python looks through all of them
    again and again for circles that nothing refers to: a quarter of the time that near-duplicates
    of 100,000 texts take, and more than a share of each row. Here it does not."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
