"""What length does to scores, and how much of a document is read."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from lib.analysis import lengths
from lib.analysis.pairs import pairs_of
from lib.analysis.predictions import group_of
from lib.tokenization import TRUNCATIONS
from notebooks.imdb_heads import accuracy_by_length
from tests.synthetic import classifiers
from tests.test_answers import heads
from tests.test_tables import say_what_their_columns_hold


def test_accuracy_by_length_is_that_of_the_documents_of_a_bin():
    p = classifiers()
    p = dataclasses.replace(p, frame=p.frame.assign(tokens=5 + p.frame["row"] % 20))
    table = lengths.by_length(p, by="head", bins=2, max_length=8)
    say_what_their_columns_hold(table)
    group = group_of(p, "head", "near")
    right = (group.predicted == group.labels).mean(0)
    rows = table[table["head"] == "near"]
    assert rows["documents"].sum() == len(group.labels)
    mean = np.average(rows["accuracy"], weights=rows["documents"])
    assert mean == pytest.approx(right.mean())
    ends = [text.split("–") for text in rows["tokens"]]
    first = (group.tokens >= int(ends[0][0])) & (group.tokens <= int(ends[0][1]))
    assert rows["accuracy"].iloc[0] == pytest.approx(right[first].mean())
    figure = accuracy_by_length(table, by="head")
    assert figure.axes[0].get_yticklabels()[0].get_text().endswith(" % cut")


def test_the_share_that_is_read():
    p = heads({"cls": 0.8})
    same = {"tfidf_same".ljust(16, "0"): next(iter(p.references.values()))}
    key, run = next(iter(same.items()))
    run = run | {"config": run["config"] | {"reference": "tfidf_same_text"}}
    whole = p.frame[p.frame["run"] == next(iter(p.references))].assign(run=key)
    frame = np.where(p.frame["row"] % 2, 10, 40)
    frame = p.frame.assign(tokens=frame)
    p = dataclasses.replace(p, frame=pd.concat([frame, whole]), runs=p.runs | {key: run})
    text = lengths.share_read(p, by="head", max_length=20)
    assert text.startswith(
        "The transformer reads at most 20 tokens, on average 75 % of a text; 50 % of the texts "
        "are longer. TF-IDF on the same text reaches 8"
    )


def test_a_document_that_fits_is_read_to_its_end():
    p = heads({"cls": 0.8})
    assert lengths.share_read_of(p) == 1  # of 16 tokens, 9
    assert lengths.share_read(p, by="head", max_length=16).endswith("text of test to its end.")
    assert lengths.whole_and_longer(p, by="head", max_length=16) == (
        "Every text of test is read to its end."
    )
    assert lengths.whole_and_longer(p, by="head", max_length=8) == (
        "No text of test is read to its end."
    )
    p = dataclasses.replace(p, frame=p.frame.assign(tokens=32))
    assert lengths.share_read_of(p) == 0.5
    for run in p.runs.values():
        run["config"] |= {"truncation": "windows", "windows": 4, "stride": None}
    assert lengths.share_read_of(p) == 1
    p = dataclasses.replace(p, frame=p.frame.assign(tokens=80))
    assert lengths.share_read_of(p) == pytest.approx(0.8)
    assert lengths.share_read(p, by="head", max_length=16) == (
        "Of a text longer than 16 tokens, up to 4 windows of as many are read: on average 80.0 % "
        "of a text."
    )


def test_what_is_read_of_a_longer_document_in_words():
    config = {"max_length": 16, "truncation": "windows", "windows": 3, "stride": 8}
    assert lengths.most_read(config) == 32
    assert lengths.read_in_words(config) == "up to 3 windows of 16 tokens"
    assert {*lengths.READ} == {*TRUNCATIONS}
    for truncation in ("head", "tail", "head_tail"):
        assert lengths.most_read(config | {"truncation": truncation}) == 16
    assert lengths.read_in_words(config | {"truncation": "head"}) == "the first 16 tokens"


def test_what_is_right_of_whole_and_of_longer_documents():
    p = heads({"cls": 0.9})
    p = dataclasses.replace(p, frame=p.frame.assign(tokens=np.where(p.frame["row"] % 2, 10, 40)))
    text = lengths.whole_and_longer(p, by="head", max_length=20, what="review")
    group = group_of(p, "head", "cls")
    whole, longer = (group.right[:, group.tokens == tokens].mean() for tokens in (10, 40))
    assert text.startswith(
        f"Of the 2,500 reviews that it reads to their end, it gets {100 * whole:.1f} % right, "
    )
    assert f"; of the 2,500 longer ones {100 * longer:.1f} %, " in text
    half = dataclasses.replace(p, frame=p.frame[p.frame["tokens"] == 10])
    [pair] = pairs_of(half, by="head", metric="accuracy")
    gap = abs(pair.estimate.value)
    assert f"{100 * gap:.1f} points higher than TF-IDF on whole texts (95 % interval +" in text
