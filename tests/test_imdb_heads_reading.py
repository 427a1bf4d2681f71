"""What the study of heads says of what is read, beside TF-IDF on as much text and on all of it."""

import dataclasses

import pytest

from lib.analysis import lengths
from lib.analysis.answers import compared
from lib.analysis.comparisons import differences
from lib.analysis.findings import above_one, best_group, difference_of
from lib.analysis.predictions import Predictions, collect, group_of
from lib.analysis.tables import by_group
from lib.many.pool import run_all
from notebooks import imdb_heads as study
from notebooks import imdb_heads_reading as reading
from tests.synthetic import READING
from tests.test_answers import heads

SAME_TEXT = "TF-IDF, same text"
NAMED = {"what": "heads", "documents": "reviews"}


def beside_same_text(shares: dict[str, float], same: float, **options) -> Predictions:
    """`heads` of so many right, all documents being of 40 tokens; and TF-IDF on the same text."""
    p = heads(shares | {"same": same}, **options)
    runs = {}
    for key, run in p.runs.items():
        config = READING | run["config"]
        if config["head"] == "same":
            config = config | {"reference": "tfidf_same_text"}
        if config["head"] != "same" or config["seed"] == 1:
            runs[key] = run | {"config": config}
    p = dataclasses.replace(p, frame=p.frame.assign(tokens=40))
    return p.only(runs)


def truncations(shares: dict[str, float], **options) -> Predictions:
    """The same of one head with several truncations."""
    p = beside_same_text(shares, 0.8, **options)
    for run in p.trained.values():
        more = {"truncation": run["config"]["head"], "head": "lstm", "windows": 2, "stride": None}
        run["config"] |= more
    return p


@pytest.mark.parametrize(("same", "side"), [(0.8, "above"), (0.93, "below")])
def test_equal_text_is_compared_with_tfidf_that_reads_no_more(same, side):
    p = beside_same_text({"cls": 0.87, "lstm": 0.9}, same)
    text = reading.same_text(p, by="head", max_length=16, what="review")
    assert text.startswith(lengths.share_read(p, by="head", max_length=16, what="review"))
    shares = [group_of(p, "head", name).right.mean() for name in ("lstm", "tfidf_same_text")]
    gap = 100 * abs(shares[0] - shares[1])
    assert (
        " On equal rows and equal text (the same training reviews, the first 16 tokens of each) "
        f"LSTM, the head that dev chooses, is {gap:.1f} points {side} TF-IDF (95 % interval "
    ) in text
    assert text.endswith("; significant).")
    alone = p.keep(lambda run: run["config"]["head"] == "lstm")
    text = reading.same_text(alone, by="head", max_length=16, what="review")
    assert f"of each) tiny is {gap:.1f} points {side} TF-IDF (95 % interval " in text


def test_one_reference_is_one_comparison():
    p = beside_same_text({"cls": 0.87, "lstm": 0.9}, 0.8)
    gain = above_one(p, "lstm", SAME_TEXT, by="head")
    alone = {key: run for key, run in p.runs.items() if key.startswith(("lstm", "same"))}
    [row] = differences(p.only(alone), by="head").to_dict("records")
    assert abs(gain["value"]) == pytest.approx(abs(row["accuracy"]))
    assert gain["high"] - gain["low"] == pytest.approx(row["accuracy_high"] - row["accuracy_low"])
    of_many = difference_of(differences(p, by="head"), "lstm", SAME_TEXT, "accuracy")
    assert gain["high"] - gain["low"] < of_many["high"] - of_many["low"]  # in a family, wider


def test_without_such_a_reference_only_the_share_is_said():
    p = heads({"cls": 0.8})
    text = reading.same_text(p, by="head", max_length=16, what="review")
    assert text == "The transformer reads every review of test to its end."


@pytest.mark.parametrize(
    ("shares", "options", "lead", "rest"),
    [
        (
            {"head": 0.857, "windows": 0.9},
            {"spread": 0.01},
            "it takes reading on: with up to 2 windows of 16 tokens, on average 80.0 % of a "
            "review, tiny (LSTM) is ",
            "; with the first 16 tokens of a review, ",
        ),
        (
            {"head": 0.88, "windows": 0.9},
            {},
            "the model alone is enough: with the first 16 tokens of a review, tiny (LSTM) is ",
            "; with up to 2 windows of 16 tokens, on average 80.0 % of a review, ",
        ),
        (
            {"head": 0.85, "tail": 0.9},
            {"spread": 0.01},
            "it takes another part: with the last 16 tokens of a review, tiny (LSTM) is ",
            "; with the first 16 tokens of a review, ",
        ),
        (
            {"head": 0.7, "windows": 0.8},
            {},
            "nothing here is shown to be enough: with up to 2 windows of 16 tokens, on average ",
            "; with the first 16 tokens of a review, ",
        ),
        (
            {"head": 0.9},
            {"seeds": 2},
            "nothing here is shown to be enough: with the first 16 tokens of a review, tiny ",
            " (not tested, with fewer than 3 seeds).",
        ),
        ({"head": 0.9}, {}, "the model alone is enough: with the first 16 tokens", "significant)."),
    ],
)
def test_what_it_takes_to_beat_tfidf_on_whole_texts(shares, options, lead, rest):
    p = truncations(shares, **options)
    text = reading.whole_text(p, by="truncation", what="review")
    assert text.startswith(f"To beat TF-IDF on whole reviews, {lead}") and rest in text
    whole = group_of(p, "truncation", "tfidf").right.mean()
    for name in shares:
        gap = 100 * (group_of(p, "truncation", name).right.mean() - whole)
        side = "above it" if gap > 0 else "below it"
        assert f" {abs(gap):.1f} points {side} (" in text


def test_windows_are_compared_with_heads(base):
    short = base.with_(max_length=6, epochs=1)
    configs = study.configs(short, {"cls": 1e-3}, [1, 2, 3], ["head", "windows"], "cls")
    p = collect(run_all([*configs, short.baseline("tfidf")]))
    text = reading.beside_first(p, by="truncation")
    assert text.startswith("Accuracy by what is read of a long review: `windows` is ")
    assert " than `head` (" in text or "as high as `head`" in text
    chosen = best_group(p, by="truncation")
    reached = by_group(p, by="truncation", metrics=["accuracy"]).set_index("truncation")["accuracy"]
    text = reading.whole_text(p, by="truncation", what="text")
    assert "with the first 6 tokens of a text, " in text and " TF-IDF on whole texts, " in text
    assert ("up to 4 windows of 6 tokens, on average " in text) == (chosen == "windows")
    first = compared(p.where(truncation="head"), by="head", **NAMED)
    text = reading.answer(p, by="head", truncation="head", **NAMED)
    both = first.replace("; TF-IDF", f", in windows {100 * reached['windows']:.1f} %; TF-IDF")
    assert text == (first if chosen == "head" else both)


def test_of_several_heads_the_answer_names_the_one_that_reads_on():
    """Where that leaves it within twenty words."""
    p = beside_same_text({"cls": 0.8, "mean": 0.801, "lstm": 0.802, "weighted_average": 0.85}, 0.8)
    for run in p.trained.values():  # which is the LSTM's with windows
        if run["config"]["head"] == "weighted_average":
            run["config"] |= {"head": "lstm", "truncation": "windows"}
    text = reading.answer(p, by="head", truncation="head", **NAMED)
    assert text.startswith("No: 3 heads are within 1 point, 80.")
    assert " on 5,000 reviews, LSTM in windows 8" in text and len(text.split()) <= 24
    for run in p.trained.values():
        if run["config"]["head"] == "lstm":
            run["config"]["head"] = "a head whose name is long"
    text = reading.answer(p, by="head", truncation="head", **NAMED)
    assert " windows " not in text and " on 5,000 reviews; TF-IDF reaches" in text
