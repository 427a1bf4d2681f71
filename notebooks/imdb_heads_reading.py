"""What is read of a long review in the study of pooling heads, and what that is worth beside
TF-IDF, which reads as much or all of it."""

from lib.analysis import lengths
from lib.analysis.answers import compared, gap, model_of
from lib.analysis.comparisons import SIGNIFICANT, differences
from lib.analysis.display import percent, score, spelled
from lib.analysis.findings import above_one, best_group, difference_of
from lib.analysis.names import display_name
from lib.analysis.predictions import Predictions
from lib.analysis.references import reference_scores
from lib.analysis.tables import by_group

MOST_WORDS = 20  # of an answer
BESIDE = ("above", "below")


def answer(p: Predictions, *, by: str, truncation: str, what: str, documents: str) -> str:
    """`lib.analysis.answers.compared` of the heads on the first truncation, and what another one
    reaches that dev chooses, with the one head that was trained on it; where there is room."""
    text = compared(p.where(truncation=truncation), by=by, what=what, documents=documents)
    others = _with_truncations(p)
    chosen = best_group(others, by="truncation") if others else truncation
    if chosen == truncation:
        return text
    table = by_group(others, by="truncation", metrics=["accuracy"]).set_index("truncation")
    heads = {run["config"]["head"] for run in p.trained.values()}
    who = f"{spelled(_head_of(others))} " if len(heads) > 1 else ""
    start, _, reference = text.rpartition("; ")
    reached = score(table["accuracy"][chosen], "accuracy")
    longer = f"{start}, {who}in {chosen} {reached}; {reference}"
    return longer if _words(longer) <= MOST_WORDS else text


def _words(text: str) -> int:
    return sum(any(character.isalnum() for character in word) for word in text.split())


def _head_of(p: Predictions) -> str:
    """The head of the first trained run."""
    return next(iter(p.trained.values()))["config"]["head"]


def _with_truncations(p: Predictions) -> Predictions | None:
    """The runs of the head that was trained with each truncation; None where there is one alone."""
    first = {run["config"]["head"]: run["config"]["truncation"] for run in p.trained.values()}
    heads = [
        run["config"]["head"]
        for run in p.trained.values()
        if run["config"]["truncation"] != first[run["config"]["head"]]
    ]
    return p.where(head=heads[0]) if heads else None


def same_text(
    p: Predictions, *, by: str, max_length: int, what: str, metric: str = "accuracy"
) -> str:
    """How much of a document is read, and how far the group that dev chooses is ahead of TF-IDF
    that learns from and reads no more than that."""
    text = lengths.share_read(p, by=by, max_length=max_length, what=what, metric=metric)
    reference = display_name(lengths.SAME)
    if reference not in reference_scores(p, metric=metric):
        return text
    group = best_group(p, by=by, metric=metric)
    config = next(iter(p.trained.values()))["config"]
    who = f"{spelled(group)}, the {by} that dev chooses,"
    if len(p.only(p.trained).groups(by)) == 1:
        who = model_of(p)
    gain = above_one(p, group, reference, by=by, metric=metric)
    return (
        f"{text} On equal rows and equal text (the same training {what}s, "
        f"{lengths.read_in_words(config)} of each) {who} is {gap(gain, metric, 'TF-IDF', BESIDE)}."
    )


def whole_text(p: Predictions, *, by: str, what: str, metric: str = "accuracy") -> str:
    """What it takes to beat TF-IDF on whole documents: for one head, whether the first truncation
    is enough, and whether the one is that dev chooses."""
    configs = {str(run["config"][by]): run["config"] for run in p.trained.values()}
    first = next(iter(configs))
    chosen = best_group(p, by=by, metric=metric)
    reference = display_name(lengths.WHOLE)
    gains = {}
    for name in dict.fromkeys([chosen, first]):
        gains[name] = above_one(p, name, reference, by=by, metric=metric)
    enough = [name for name in gains if _is_above(gains[name])]
    lead = "nothing here is shown to be enough"
    if first in enough:
        lead = "the model alone is enough"
        gains = {first: gains[first]} | gains
    elif chosen in enough:
        lead = "it takes reading on" if chosen == lengths.WINDOWS else "it takes another part"
    who = f"{model_of(p)} ({spelled(_head_of(p))}) is "
    texts = []
    for name, gain in gains.items():
        read = _read(p.where(**{by: name}), configs[name], what)
        texts.append(f"with {read}, {who}{gap(gain, metric, 'it', BESIDE)}")
        who = ""  # said once
    return f"To beat TF-IDF on whole {what}s, {lead}: {'; '.join(texts)}."


def _is_above(gain: dict) -> bool:
    return gain["verdict"] == SIGNIFICANT and gain["value"] > 0


def _read(p: Predictions, config: dict, what: str) -> str:
    """What runs of a truncation read of a document; of windows also how much that is."""
    if config["truncation"] != lengths.WINDOWS:
        return f"{lengths.read_in_words(config)} of a {what}"
    share = percent(lengths.share_read_of(p))
    return f"{lengths.read_in_words(config)}, on average {share} of a {what}"


def beside_first(p: Predictions, *, by: str, metric: str = "accuracy") -> str:
    """How each group of trained runs differs from the first one."""
    runs = p.only(p.trained)
    table = differences(runs, by=by, metric=metric)
    first, *others = [group.name for group in runs.groups(by)]
    texts = []
    for name in others:
        row = difference_of(table, name, first, metric)
        texts.append(f"`{name}` is {gap(row, metric, f'`{first}`')}")
    return f"Accuracy by what is read of a long review: {'; '.join(texts)}."
