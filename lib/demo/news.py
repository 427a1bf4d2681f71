"""The demo corpus: short made-up news items in four classes, written by a grammar (news.txt)."""

from collections.abc import Container
from functools import cache
from pathlib import Path

from .grammar import Dice, corpus, expand, read_grammar, sentence

LABELS = ("World", "Sports", "Business", "Sci/Tech")
LABEL_NOISE = 0.03  # the share of items, in every split, whose label is replaced by another class

# of the grammar's sections, in the order of LABELS
PREFIXES = ("world", "sports", "business", "scitech")
WORDS = range(20, 61)  # the lengths allowed
# The weights of the kinds of first sentence: the class's own; a frame for any class; a frame that
# names another class.
LEADS = (74, 22, 4)
# Of the second: about the same class; about none; about the class with a view to another; about
# another class.
FOLLOWS = (42, 27, 21, 10)
THIRD = 0.25  # the chance of a third sentence, always a neutral one


@cache
def _whole() -> dict[str, list[str]]:
    return read_grammar(Path(__file__).with_name("news.txt"))


@cache
def _grammar(main: str, other: str) -> dict[str, list[str]]:
    """The grammar with its main_* and other_* sections narrowed to two classes."""
    grammar = dict(_whole())
    for name in _whole():
        role, _, topic = name.partition("_")
        if role in ("main", "other"):
            grammar[name] = grammar[f"{main if role == 'main' else other}_{topic}"]
    return grammar


def _item(truth: int, dice: Dice) -> str:
    """One item about class `truth`, of any length."""
    main, other = PREFIXES[truth], PREFIXES[(truth + dice.between(1, 3)) % len(LABELS)]
    grammar = _grammar(main, other)
    lead = dice.weighted([f"{main}_lead", "shared_lead", "mixed_lead"], LEADS)
    follow = dice.weighted([f"{main}_more", "neutral", f"{main}_{other}", "aside"], FOLLOWS)
    sections = [lead, follow, "neutral"] if dice.chance(THIRD) else [lead, follow]
    return " ".join(sentence(expand(grammar, dice.pick(grammar[name]), dice)) for name in sections)


def _new_item(truth: int, taken: Container[str], dice: Dice) -> str:
    """An item of a length allowed that is not taken."""
    while True:
        text = _item(truth, dice)
        if text not in taken and len(text.split()) in WORDS:
            return text


def news(rows: int, seed: int) -> tuple[list[str], list[int], list[int]]:
    """`rows` made-up news items: their texts, their labels and their true classes (indices into
    LABELS).

    The first sentence decides the class. The second may be about the same class, about none, or, to
    mislead, about another one. The classes are balanced, the texts distinct, and LABEL_NOISE of the
    labels wrong. The same seed gives the same items on every platform.
    """
    return corpus(rows, Dice("news", seed), len(LABELS), LABEL_NOISE, _new_item)
