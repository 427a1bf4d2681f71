"""The goals that docs/speed.md states, and which of them a page shows as met."""

import dataclasses

from tests.bench.intervals import Interval, pipe


@dataclasses.dataclass(frozen=True)
class Goal:
    """A limit of what a part measures (`measures` of its module)."""

    measure: str
    bound: str  # at least or at most
    limits: dict[str, float]  # by the processor's precision

    def in_words(self, precision: str) -> str:
        return f"{self.bound} {self.limits[precision]:g}" if precision in self.limits else ""

    def is_met(self, value: float, precision: str) -> bool:
        limit = self.limits[precision]
        return value <= limit if self.bound == "at most" else value >= limit


def at_least(measure: str, **limits: float) -> Goal:
    return Goal(measure, "at least", limits)


def at_most(measure: str, limit: float) -> Goal:
    return Goal(measure, "at most", {"bf16": limit, "fp32": limit})


GOALS = (
    at_least("training, × best-tuned Trainer", bf16=1.6, fp32=1.35),
    at_least("training, × dynamic padding", bf16=5, fp32=3),
    at_least("training, × default script", bf16=6, fp32=4),
    at_least("training, share of the peak", bf16=0.66),
    at_least("reading and tokenizing, × pandas and datasets", bf16=1, fp32=1),
    at_most("seconds for tenfold rows", 12),
    at_least("labelling, ours, fp32, × pipeline", bf16=2, fp32=2),
    at_least("labelling, ours, int8, × pipeline", bf16=4, fp32=4),
    at_least("labelling, ours, fp32, one at a time, × pipeline", bf16=1, fp32=1),
    at_most("import lib beyond import torch, seconds", 0.6),
    at_most("python -m lib --help, seconds", 1),
    at_most("a mistyped parameter of a study, seconds", 3),
    at_most("a data mistake of your_data, seconds", 4),
)
NO_TIME = "none (takes less time)"  # of a difference of two times that is below zero
ELSEWHERE = {  # goals that the benchmark does not measure: what -> command
    "a study whose runs are all there, under 10 seconds": "make ag_news",
    "all pages made again and compared, under 60 seconds": "make verify",
    "the tests, under 5 minutes": "make test",
    "on a GPU, 3 times `Trainer` in bf16 and 40 % of the peak": "python -m tests.gpu_check",
}


def goals_table() -> str:
    """The goals, as docs/speed.md has them."""
    rows = [[goal.measure, goal.in_words("bf16"), goal.in_words("fp32")] for goal in GOALS]
    return pipe(["measured by `make bench`", "with bf16", "without"], rows)


def section(measures: dict[str, Interval], precision: str) -> str:
    """Which goals were measured, and which were met."""
    rows = []
    missing = []
    for goal in GOALS:
        value = measures.get(goal.measure)
        if precision not in goal.limits:
            continue
        if value is None:
            missing.append(goal.measure)
            continue
        verdict = "met" if goal.is_met(value.middle, precision) else "**missed**"
        shown = str(value) if value.middle >= 0 else NO_TIME
        rows.append([goal.measure, goal.in_words(precision), shown, verdict])
    lacking = f" Not on this page: {'; '.join(missing)}." if missing else ""
    others = "; ".join(f"{what} (`{command}`)" for what, command in ELSEWHERE.items())
    return f"""
## Goals

{pipe(["measured", "goal", f"here, {precision}", ""], rows)}
These are of the [goals for two CPU cores](../../../docs/speed.md#goals). One is met where the \
number itself, not its interval, is on the right side.{lacking} Measured elsewhere: {others}.
"""
