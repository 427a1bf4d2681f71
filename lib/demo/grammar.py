"""Seeded text from a grammar file: the engine of the demo corpora.

A grammar file has sections, one phrase a line; `{name}` in a phrase stands for a random phrase of
that section:

    # a comment
    [headline]
    {team} beat {team} in {city}
    [team]
    the Falcons
"""

import random
import re
from collections.abc import Callable
from pathlib import Path

SLOT = re.compile(r"\{(\w+)\}")
EIGHT = re.compile(r"\b([Aa]) (?=8|11\b|18\b)")


class Dice:
    """Random choices, the same on every platform and Python (only `random()` is drawn)."""

    def __init__(self, *seed):
        self._random = random.Random(":".join(map(str, seed))).random

    def below(self, n: int) -> int:
        """An integer in [0, n)."""
        return int(self._random() * n)

    def between(self, low: int, high: int) -> int:
        """An integer in [low, high], both ends included."""
        return low + self.below(high - low + 1)

    def chance(self, probability: float) -> bool:
        return self._random() < probability

    def pick(self, items):
        return items[self.below(len(items))]

    def weighted(self, items, weights):
        """One of `items`, with probability in proportion to its weight."""
        mark = self._random() * sum(weights)
        for item, weight in zip(items, weights, strict=True):
            mark -= weight
            if mark < 0:
                return item
        return items[-1]

    def shuffled(self, items) -> list:
        items = list(items)
        for i in range(len(items) - 1, 0, -1):
            j = self.below(i + 1)
            items[i], items[j] = items[j], items[i]
        return items


def read_grammar(path: Path) -> dict[str, list[str]]:
    """The sections of a grammar file, each a list of phrases.

    Raises ValueError if a section is empty or a phrase names a section that does not exist.
    """
    grammar, section = {}, None
    for line in path.read_text(encoding="utf-8").splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            section = grammar.setdefault(line[1:-1], [])
        else:
            section.append(line)
    slots = {
        slot for phrases in grammar.values() for phrase in phrases for slot in SLOT.findall(phrase)
    }
    wrong = sorted(slots - set(grammar)) + sorted(
        name for name, phrases in grammar.items() if not phrases
    )
    if wrong:
        raise ValueError(f"{path.name}: sections missing or empty: {', '.join(wrong)}")
    return grammar


def expand(grammar: dict[str, list[str]], phrase: str, dice: Dice) -> str:
    """`phrase` with its slots filled; a slot named twice gets two phrases where it can."""
    used = set()

    def fill(match):
        options = grammar[match[1]]
        for _ in range(8):
            text = expand(grammar, dice.pick(options), dice)
            if text not in used:
                break
        used.add(text)
        return text

    return SLOT.sub(fill, phrase)


def sentence(text: str) -> str:
    """`text` with a capital letter, a full stop, and "an" before a number that is spoken with a
    vowel."""
    text = EIGHT.sub(r"\1n ", text)
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?" else text + "."


def corpus(
    rows: int, dice: Dice, classes: int, noise: float, write: Callable[..., str]
) -> tuple[list[str], list[int], list[int]]:
    """`rows` distinct texts of balanced classes, their labels and their true classes; a share of
    the labels, `noise`, is of another class. `write(truth, taken, dice)` gives a text that is not
    taken."""
    truths = dice.shuffled(i % classes for i in range(rows))
    texts = {}
    for truth in truths:
        texts[write(truth, texts, dice)] = truth
    labels = list(truths)
    for i in dice.shuffled(range(rows))[: round(rows * noise)]:
        labels[i] = (truths[i] + dice.between(1, classes - 1)) % classes
    return list(texts), labels, truths
