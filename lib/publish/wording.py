"""What a finding says, apart from the numbers that the noise of a rerun moves."""

import re
from collections.abc import Iterator

from lib.publish.compare import NUMBER

NUM = r"[-−+]?\d[\d,]*(?:\.\d+)?"
DIFFERENCE = re.compile(rf"({NUM})(?: points?)?[ ,(]+95 % interval ({NUM}) to ({NUM})")


def numbers_of(value) -> Iterator[float]:
    """All numbers of a page's parameters."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from numbers_of(item)
    elif isinstance(value, int | float):
        yield float(value)


def answer(text: str, settings: set[float]) -> str:
    """A finding with marks in the place of scores.

    Whole numbers (counts, epochs) and those of `settings` stay, and of a difference whether its
    interval leaves out zero, and on which side.
    """

    def side(match: re.Match) -> str:
        value, low, high = map(_number, match.groups())
        return "no difference" if low <= 0 <= high else "above" if value > 0 else "below"

    def masked(match: re.Match) -> str:
        number = match[0]
        is_score = sentence[match.end() :].startswith((" %", " point", "–"))
        is_signed = number[0] in "-−+"
        is_setting = "." not in number or _number(number) in settings
        if is_setting and not is_score and not is_signed:
            return number
        return f"{number[0]}#" if is_signed and _number(number) else "#"

    sentence = DIFFERENCE.sub(side, text)
    return NUMBER.sub(masked, sentence)


def _number(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-"))
