"""A made-up corpus of legal acts with many labels each: a stand-in, of our own making, for EURLex.

No act, state or institution in it is real. The wording and the labels come from `acts.txt`. An act
belongs to one of ten fields, and its labels are topics of that field, now and then a related topic
of another one, topics that cut across the fields, and the field itself where the act is of a
general nature; topics are frequent or rare, roughly by Zipf's law. Every label adds a phrase to the
title, the recitals or the operative part, but some are only hinted at, and most acts also mention
matters that are not theirs.
"""

from pathlib import Path

from .grammar import Dice, expand, read_grammar, sentence

LABEL_NOISE = 0.05  # the share of labels that are dropped or (half) replaced by a sibling
FIELD_LABEL = 0.7  # how often an act bears the label of its field
RELATED = 0.35  # how often a topic brings its related topic along
# how often a label is only hinted at: by a phrase of its field; cross-cutting topics not even so
HINTED = 0.15
ASIDES = 0.5  # the chance, taken twice an act, of mentioning a matter that is not its own
WORDS = (40, 110)

GRAMMAR = read_grammar(Path(__file__).with_name("acts.txt"))
# of phrases, and the slots of the frames they fill
KINDS = {"on": "matter", "whereas": "finding", "rule": "rule"}


def lines(label: str, kind: str) -> list[str]:
    """The lines of a kind in the section of a label, without the word that marks the kind."""
    return [line.removeprefix(kind + " ") for line in GRAMMAR[label] if line.startswith(kind + " ")]


FIELDS = GRAMMAR["fields"]
TOPICS = {field: lines(field, "topic") for field in [*FIELDS, "general"]}  # the most frequent first
CROSS = {field: lines(field, "with") for field in FIELDS}
FIELD = {topic: field for field, topics in TOPICS.items() for topic in topics}
LABELS = tuple(sorted([*FIELDS, *FIELD]))
PHRASES = {label: {kind: lines(label, kind) for kind in KINDS} for label in LABELS}


def zipf(items: list[str], dice: Dice, offset: int = 0) -> str:
    """One of `items`, weighted by about 1 / (rank + offset): whole numbers have exact sums."""
    return dice.weighted(items, [1_000_000 // (rank + offset) for rank in range(1, len(items) + 1)])


def subjects(field: str, dice: Dice) -> list[str]:
    """The true labels of an act of a field, 3 to 6, the main ones first."""
    labels = []
    for _ in range(dice.between(2, 3)):
        topic = zipf(TOPICS[field], dice)
        labels += [topic, *(other for other in lines(topic, "also") if dice.chance(RELATED))]
    labels += [zipf(CROSS[field], dice, offset=1) for _ in range(dice.between(0, 2))]
    labels += [field] * dice.chance(FIELD_LABEL)
    labels = list(dict.fromkeys(labels))
    return labels[:6] if len(labels) >= 3 else subjects(field, dice)


def noisy(labels: list[str], dice: Dice) -> list[str]:
    """Some `labels` dropped or replaced by a sibling (LABEL_NOISE); never none at all."""
    given = set()
    for label in labels:
        if dice.chance(LABEL_NOISE):
            if dice.chance(0.5):
                continue
            siblings = TOPICS[FIELD[label]] if label in FIELD else FIELDS
            label = dice.pick([sibling for sibling in siblings if sibling != label])
        given.add(label)
    return list(given) or labels[:1]


def write(field: str, labels: list[str], dice: Dice) -> str:
    """An act: its title, what it has regard to, its recitals and its operative sentences."""
    grammar = GRAMMAR | {"act": [dice.pick(GRAMMAR["act"])], "remit": lines(field, "remit")}

    def fill(frame: str, label: str = "") -> str:
        phrases = {slot: PHRASES[label][kind] for kind, slot in KINDS.items()} if label else {}
        return expand(grammar | phrases, dice.pick(grammar[frame]), dice)

    said = [label if not dice.chance(HINTED) else FIELD.get(label, label) for label in labels]
    first, *rest = [label for label in dict.fromkeys(said) if label != "general"] or [field]
    rest = dice.shuffled(rest)
    title = fill("title", first)
    recitals = []
    operative = []
    if rest and dice.chance(0.5):
        title += ", " + fill("title_link", rest.pop())
    for label in rest:
        if dice.chance(0.5):
            recitals.append(fill("recital", label))
        else:
            operative.append(fill("operative", label))
    for _ in range(2):
        if dice.chance(ASIDES):
            its_field = field if dice.chance(0.5) else zipf(FIELDS, dice, offset=2)
            label = dice.pick(subjects(its_field, dice))
            if label not in labels:
                dice.pick([recitals, operative]).append(fill("aside", label))
    sentences = [title, fill("opening"), *recitals, *dice.shuffled(operative), fill("closing")]
    return " ".join(map(sentence, sentences))


def acts(rows: int, seed: int) -> tuple[list[str], list[list[int]], list[list[int]]]:
    """Made-up legal acts: texts, given labels and true labels (sorted indices into LABELS)."""
    dice = Dice("acts", seed)
    texts = {}
    given = []
    true = []
    while len(texts) < rows:
        field = zipf(FIELDS, dice, offset=2)
        labels = subjects(field, dice)
        text = write(field, labels, dice)
        if text not in texts and WORDS[0] <= len(text.split()) <= WORDS[1]:
            texts[text] = None
            true.append(sorted(map(LABELS.index, labels)))
            given.append(sorted(map(LABELS.index, noisy(labels, dice))))
    return list(texts), given, true
