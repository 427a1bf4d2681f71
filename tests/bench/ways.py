"""The ways to train that are compared: by whom, in which precision, and how batches are made."""

import dataclasses

from lib.errors import InputError
from lib.runs.config import RunConfig
from tests.bench.settings import Settings, native_precision


@dataclasses.dataclass(frozen=True)
class Way:
    """A way to train: by whom, in which precision, and how batches are made."""

    name: str
    by: str  # Trainer or ours
    precision: str
    batching: str = "random"
    padded: bool = False  # to max_length


def written(text: str) -> str:
    """A text that names ways, as a person writes them."""
    return text.replace("grouped_packed", "grouped and packed")


GROUPED = "group_by_length"
DEFAULT_SCRIPT = Way("Trainer, default script", "Trainer", "fp32", padded=True)
DYNAMIC_PADDING = Way("Trainer, dynamic padding", "Trainer", "fp32")


def trainer_ways() -> list[Way]:
    """Trainer's ways; the last is what a user tunes it to."""
    precision = native_precision()
    every = [DEFAULT_SCRIPT, DYNAMIC_PADDING]
    if precision == "bf16":
        every.append(Way("Trainer, dynamic padding, bf16", "Trainer", "bf16"))
        every.append(Way("Trainer, group by length, fp32", "Trainer", "fp32", GROUPED))
    grouped = f"Trainer, group by length, {precision}"
    return [*every, Way(grouped, "Trainer", precision, GROUPED)]


def our_ways(settings: Settings) -> list[Way]:
    """Our ways, each once. Raises InputError where a run cannot be configured so, or where the
    processor would emulate bf16."""
    every = {}
    for text in settings.ours:
        batching, _, precision = text.partition(":")
        RunConfig(batching=batching, precision=precision or "auto")
        if precision == "bf16" and native_precision() != "bf16":
            raise InputError(
                f"ours = {text!r}: this processor emulates bf16, so its time would tell nothing; "
                f"leave out :{precision}"
            )
        if precision in ("", "auto"):
            precision = native_precision()
        name = f"ours, {batching}, {precision}"
        every[name] = Way(name, "ours", precision, batching)
    return list(every.values())


def all_ways(settings: Settings) -> list[Way]:
    return [*trainer_ways(), *our_ways(settings)]


def way_named(name: str, settings: Settings) -> Way:
    return next(way for way in all_ways(settings) if way.name == name)
