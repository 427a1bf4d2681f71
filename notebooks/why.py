"""Why a model errs: the words that its surest errors rest on."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.special import softmax

from lib.analysis.display import escape, spelled
from lib.analysis.predictions import collect, group_of
from lib.data import Corpus
from lib.datasets import is_generated, may_quote
from lib.errors import InputError
from lib.publish.page import measured, show_as_published, show_text
from lib.runs.keys import corpus_of
from lib.runs.store import Run, store
from lib.use.explain import as_markdown, explain

DECIMALS = 3  # of a contribution
COLUMNS = ("given", "taken", "confidence", "seed", "error", "word", "contribution")
HEADING = "### Why it errs\n\n"
INTRODUCTION = (
    "{name}'s surest errors (seed {seed}{but}). **Bold** is what speaks for the "
    "class that it takes a text for, *slanted* what speaks against it, by gradient times input: a "
    "hint at what the model reacts to, no proof."
)


def show_why(runs, config, *, by: str, group: str, count: int = 3) -> None:
    """Quote the test documents that a group's first run gets wrong with the highest confidence,
    with the words marked that this rests on.

    Not of pairs of texts, which are not explained, nor of texts that may not be quoted. Models are
    not published, so that a page that is made from its own files keeps its words.
    """
    if not may_quote(config.dataset) or config.reading.text_pair:
        return
    key = group_of(collect(runs), by, group).runs[0]
    [run] = [run for run in runs if run.key.startswith(key)]
    options = {"by": by, "group": group, "count": count}
    try:
        table = measured("why", lambda: words_of_errors(run, corpus_of(run.config), **options))
        texts = corpus_of(run.config).test.texts
    except InputError as error:  # without the texts, or a page of before, whose model is gone
        show_as_published("text", "why", error)
        return
    table = with_places(table, texts)
    show_text(HEADING + as_text(table, group, is_generated(config.dataset)), "why")


def words_of_errors(run: Run, corpus: Corpus, *, by: str, group: str, count: int) -> pd.DataFrame:
    """A row for each word of the test documents that a run gets wrong with the highest confidence:
    what it adds to the logit of the predicted class, the strongest word of a document being 1 or
    −1. Documents whose label a generator replaced are left out."""
    members = group_of(collect([run]), by, group)
    confidence = softmax(members.logits[0], axis=-1)
    predicted = members.predicted[0]
    is_error = predicted != members.labels
    if corpus.test.true_labels is not None:
        is_error &= corpus.test.true_labels == members.labels
    order = np.argsort(-confidence.max(1), kind="stable")
    tables = [pd.DataFrame(columns=list(COLUMNS))]
    for number, i in enumerate(order[is_error[order]][:count]):
        taken = corpus.label_names[predicted[i]]
        words = explain(run, corpus.test.texts[i], label=taken, cache=store() / "measured")
        words["contribution"] = words["contribution"].round(DECIMALS)
        facts = {"error": number, "taken": taken, "given": corpus.label_names[members.labels[i]]}
        facts |= {"confidence": confidence[i].max(), "seed": members.seeds[0]}
        tables.append(words.assign(**facts)[list(COLUMNS)])
    return pd.concat(tables[1:] or tables, ignore_index=True)


def with_places(table: pd.DataFrame, texts: list[str]) -> pd.DataFrame:
    """The rows of `words_of_errors` with the places, `start` and `end`, of the words in the text
    that they are of: the shortest one that has them all in their order."""
    tables = []
    for _, words in table.groupby("error"):
        spans = [places_in(text, words["word"]) for text in sorted(texts, key=len)]
        places = next(filter(None, spans))
        tables.append(
            words.assign(start=[start for start, _ in places], end=[e for _, e in places])
        )
    return pd.concat(tables, ignore_index=True) if tables else table


def places_in(text: str, words: Iterable[str]) -> list[tuple[int, int]]:
    """Where words begin and end in a text that has them in this order; nowhere in another."""
    places = []
    end = 0
    for word in words:
        start = text.find(word, end)
        if start < 0:
            return []
        end = start + len(word)
        places.append((start, end))
    return places


def _named(group: str) -> str:
    """A group as a sentence names it: a schedule, a head, or the model that has no head of ours."""
    return "the fine-tuned model" if group == "native" else escape(spelled(group))


def as_text(table: pd.DataFrame, group: str, generated: bool) -> str:
    """The rows of `words_of_errors` as Markdown, of a generated corpus or another."""
    if not len(table):
        errs = "errs on replaced labels alone" if generated else "makes no error"
        return f"With its first seed, {_named(group)} {errs}."
    name = _named(group)
    name = f"{name[:1].upper()}{name[1:]}"
    but = ", replaced labels left out" if generated else ""
    lines = [INTRODUCTION.format(name=name, seed=table["seed"].iloc[0], but=but), ""]
    for _, words in table.groupby("error"):
        first = words.iloc[0]
        lines.append(
            f"- labelled {escape(first['given'])}, taken for {escape(first['taken'])} "
            f"({first['confidence']:.2f}): {as_markdown(words)}"
        )
    return "\n".join(lines)
