"""The demo corpus of long texts: film reviews in two classes, by a grammar (reviews.txt)."""

import re
from collections.abc import Container
from functools import cache
from pathlib import Path

from .grammar import Dice, corpus, expand, read_grammar, sentence

LABELS = ("negative", "positive")
LABEL_NOISE = 0.04  # the share of reviews, in every split, whose label is flipped

WORDS = range(80, 401)  # the lengths allowed
PEOPLE = ("director", "composer", "actress", "actor")
NAMES = ("other", "rival", "film", *PEOPLE)  # drawn once for each review
# the order of the parts; those of the body are shuffled
OPENING, EARLY, PLOT, BODY, VERDICT, TAIL = range(6)
# None: left to the reader; and the weights
VERDICT_PLACES = ((EARLY, BODY + 0.5, VERDICT, None), (20, 25, 33, 22))
# whichever way the hopes lean, they say nothing about the verdict
HOPES = (("pro", "met"), ("con", "missed"))
HOPE_PLACES = (OPENING, BODY + 0.3, VERDICT, None), (25, 20, 25, 30)  # of what became of them
CONTRARY = 0.15  # the share of reviews that grant the other side something in a sentence of its own
NEUTRAL_OPENING, NEUTRAL_TAIL = 0.45, 0.4
BEFORE_PLOT = 0.18  # the share of remarks that come before the plot
# section: (weight, most in one review, how many of the film's aspects it takes up)
REMARKS = {
    "remark": (60, 12, 3),
    "confirm": (20, 3, 1),
    "concede": (1.5, 2, 2),
    "deny": (1, 2, 1),
    "viewing": (3, 1, 0),
    "others": (1.5, 1, 0),
    "compare": (1.5, 1, 0),
}
FILLERS = {"{}_turn": (6, 4, 0), "fact": (2, 2, 0)}  # more of the plot, and neutral facts
PLOT_PLACES = {"{}_turn": PLOT, "fact": PLOT + 0.5}


@cache
def _grammar() -> dict[str, list[str]]:
    return read_grammar(Path(__file__).with_name("reviews.txt"))


class _Deal:
    """The grammar as one review uses it: sections are dealt like cards, so that no phrase comes
    twice.

    A `pro_` section is the `good_` or the `bad_` one, as the verdict has it, and a `con_` section
    the other. A `clause` is about an aspect of the film that has not come up yet.
    """

    def __init__(self, truth: int, dice: Dice):
        self.dice = dice
        self.decks = {}
        self.names = {}
        self.sides = {"pro": ("bad", "good")[truth], "con": ("good", "bad")[truth]}
        self.aspects = dice.shuffled(_grammar()["aspect"])
        for name in NAMES:
            self.names[name] = self.draw(name)

    def __getitem__(self, section: str) -> list[str]:
        side, _, rest = section.partition("_")
        if section in self.names:
            return [self.names[section]]
        if side in self.sides:
            return [f"{{{self.sides[side]}_{self.aspects.pop() if rest == 'clause' else rest}}}"]
        deck = self.decks.get(section) or self.decks.setdefault(section, list(_grammar()[section]))
        return [deck.pop(self.dice.below(len(deck)))]

    def draw(self, section: str) -> str:
        return expand(self, f"{{{section}}}", self.dice)


def _review(truth: int, dice: Dice, target: float) -> str:
    """A review of about `target` words: an opening, the plot, remarks, mostly a verdict."""
    deal, parts = _Deal(truth, dice), []

    def add(section: str, place: float):
        parts.append((place, len(parts), sentence(deal.draw(section))))

    def somewhere() -> float:
        return EARLY if dice.chance(BEFORE_PLOT) else BODY + dice.below(1000) / 1000

    genre = deal.draw("genre")
    add(f"{genre}_premise", PLOT)
    if dice.chance(NEUTRAL_OPENING):
        add("open", OPENING)
    else:
        side, outcome = dice.pick(HOPES)
        add(f"{side}_hope", OPENING)
        if (place := dice.weighted(*HOPE_PLACES)) is not None:
            add(f"hope_{outcome}" if place == OPENING else f"hope_{outcome}_late", place)
    if (verdict := dice.weighted(*VERDICT_PLACES)) is not None:
        add("pro_verdict" if verdict == EARLY else "verdict", verdict)
    if dice.chance(CONTRARY):
        add("admit", EARLY if dice.chance(0.5) else somewhere())
    if dice.chance(NEUTRAL_TAIL):
        add("tail", TAIL)

    counts = dict.fromkeys(REMARKS | FILLERS, 0)
    least = 3 if verdict is None else 2  # remarks
    while sum(counts.values()) < least or sum(len(text.split()) for _, _, text in parts) < target:
        kinds = REMARKS if sum(counts.values()) < least else REMARKS | FILLERS
        open_kinds = [
            k
            for k, (_, most, needs) in kinds.items()
            if counts[k] < most and needs <= len(deal.aspects)
        ]
        if not open_kinds:
            break
        kind = dice.weighted(open_kinds, [kinds[k][0] for k in open_kinds])
        counts[kind] += 1
        add(kind.format(genre), PLOT_PLACES.get(kind) or somewhere())

    text = " ".join(text for _, _, text in sorted(parts))
    text = re.sub(r"(?<=[.!?] )[a-z]", lambda match: match[0].upper(), text)
    return _by_surname(text, deal.names)


def _by_surname(text: str, names: dict[str, str]) -> str:
    """A review that gives each person's full name once, and from then on the surname."""
    for role in PEOPLE:
        name = names[role]
        before, named, after = text.partition(name)
        for again in (f"The {role}, {name},", f"the {role}, {name},", name) if named else ():
            after = after.replace(again, name.split()[-1])
        text = before + named + after
    return text


def _new_review(truth: int, taken: Container[str], dice: Dice) -> str:
    """A review of a length allowed that is not taken."""
    u = dice.below(1000) / 1000
    target = min(80 + 330 * u * u * (1 + u) / 2, WORDS[-1] - 20)  # a long tail
    while True:
        text = _review(truth, dice, target)
        if text not in taken and len(text.split()) in WORDS:
            return text


def reviews(rows: int, seed: int) -> tuple[list[str], list[int], list[int]]:
    """`rows` made-up film reviews of 80 to 400 words: texts, labels, true labels (indices into
    LABELS).

    A grammar writes each review for a verdict drawn beforehand. The opening and the plot say
    nothing about it; the remarks argue for it, many by granting or denying the opposite; it may be
    stated anywhere, or nowhere. The classes are balanced, the texts distinct, and LABEL_NOISE of
    the labels wrong. The same seed gives the same reviews on every platform.
    """
    return corpus(rows, Dice("reviews", seed), len(LABELS), LABEL_NOISE, _new_review)
