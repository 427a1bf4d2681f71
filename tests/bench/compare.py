"""Two pages of the benchmark told apart: `python -m tests.bench --compare A B`."""

from pathlib import Path

import numpy as np

from lib.errors import InputError
from tests.bench.intervals import Interval, pipe
from tests.bench.page import measures_of, read_facts


def compare(one: Path, other: Path) -> str:
    """A table of what both pages measure, and which of it differs: where the intervals do not
    overlap. Raises InputError where a folder has no page."""
    for folder in (one, other):
        if not read_facts(folder):
            raise InputError(f"{folder} has no page of the benchmark; make bench writes one")
    in_one = measures_of(one)
    in_other = measures_of(other)
    both = [name for name in in_one if name in in_other]
    rows = []
    for name in both:
        verdict = verdict_of(in_one[name], in_other[name])
        rows.append([name, str(in_one[name]), str(in_other[name]), verdict])
    alone = [name for name in [*in_one, *in_other] if name not in both]
    rest = f"\nOn one of the pages only: {'; '.join(alone)}.\n" if alone else ""
    return f"""{pipe(["measured", one.name, other.name, "second to first"], rows)}
In brackets 95 % intervals; two numbers differ where these do not overlap.
{rest}"""


def verdict_of(one: Interval, other: Interval) -> str:
    """Whether the second number is higher or lower than the first."""
    if np.isnan([one.low, other.low]).any():
        return "no interval"
    if other.low > one.high:
        return "**higher**"
    if other.high < one.low:
        return "**lower**"
    return "not told apart"
