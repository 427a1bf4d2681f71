"""Near-duplicates against brute force, on planted edited copies, and their effect on a score."""

import os
import random
import time

import numpy as np
import pandas as pd
import pytest

from lib.analysis import audit, duplicates, tables
from lib.analysis.predictions import collect
from lib.data import load_corpus
from lib.demo import news
from lib.many.pool import run_all
from lib.runs.config import RunConfig
from lib.runs.keys import corpus_of, tokens_of
from tests.conftest import WORDS, learnable


def edited(text: str, dice: random.Random) -> str:
    """A copy with about one word in twelve replaced, lost or added, in another case and with
    other stops."""
    words = text.split()
    for _ in range(max(1, len(words) // 12)):
        at, how = dice.randrange(len(words)), dice.randrange(3)
        words[at : at + (how < 2)] = [] if how == 0 else [dice.choice(WORDS)]
    return " ".join(words).upper().replace(",", " -") + "!"


def plain_texts(count: int, words: int = 40) -> list[str]:
    dice = random.Random(1)
    vocabulary = [f"{a}{b}" for a in WORDS for b in WORDS]
    return [" ".join(dice.choice(vocabulary) for _ in range(words)) for _ in range(count)]


def recall(texts: list[str], times: int = 1) -> tuple[float, float, int]:
    """The share of planted edited copies that are found, the seconds it took, and how many
    documents there were."""
    dice = random.Random(0)
    planted = [edited(text, dice) for _ in range(times) for text in texts]
    start = time.perf_counter()
    pairs, values = duplicates.near_duplicates(texts + planted)
    seconds = time.perf_counter() - start
    assert (values >= duplicates.SIMILAR).all() and (pairs[:, 0] < pairs[:, 1]).all()
    found = np.unique(pairs[pairs[:, 1] >= len(texts), 1])
    return len(found) / len(planted), seconds, len(texts) + len(planted)


def test_planted_edited_copies_are_found_and_nothing_else():
    texts = plain_texts(1500)
    assert recall(texts)[0] >= 0.99
    assert len(duplicates.near_duplicates(texts)[0]) == 0
    assert len(duplicates.near_duplicates(texts[:1])[0]) == 0


def test_similarities_are_exact_and_all_pairs_of_a_small_corpus_are_there():
    texts = news(150, 3)[0]
    dice = random.Random(5)
    texts += [edited(text, dice) for text in texts]
    parts = [set(duplicates.shingles(text)) for text in texts]
    wanted = {
        (i, j): len(parts[i] & parts[j]) / len(parts[i] | parts[j])
        for j in range(len(texts))
        for i in range(j)
    }
    wanted = {pair: value for pair, value in wanted.items() if value >= 0.7}
    pairs, values = duplicates.near_duplicates(texts, 0.7)
    found = dict(zip(map(tuple, pairs.tolist()), values.tolist(), strict=True))
    assert len(found) >= 0.99 * len(wanted) and all(
        value == wanted[pair] for pair, value in found.items()
    )


def test_a_thousand_copies_are_found_in_little_work():
    texts = ["one text that comes again and again"] * 3000
    signed = duplicates.signatures(duplicates.hashed(texts))
    pairs = duplicates.candidates(signed)
    assert set(pairs[:, 1].tolist()) == set(range(1, 3000)) and len(pairs) < 3000 * (
        duplicates.REACH + 1
    )
    assert (pairs[:, 0] == 0).sum() == 2999  # each beside the first


def test_texts_in_portions_have_the_same_pairs(monkeypatch):
    dice = random.Random(6)
    texts = plain_texts(60)
    texts = [*texts, "", "one", *(edited(text, dice) for text in texts)]
    whole = duplicates.near_duplicates(texts)
    monkeypatch.setattr(duplicates, "CHUNK", 7)
    portions = duplicates.near_duplicates(texts)
    assert len(whole[0]) > 40 and all(map(np.array_equal, whole, portions))


@pytest.fixture
def leaky(tmp_path):
    """Three documents of test are edited copies of train's, one of them under another label."""
    path, dice = tmp_path / "leaky", random.Random(2)
    path.mkdir()
    texts = plain_texts(90)
    labels = [("no", "yes")[i % 2] for i in range(90)]
    test = [edited(texts[i], dice) for i in (0, 30, 41)] + texts[70:]
    rows = {
        "train": (texts[:50], labels[:50]),
        "dev": (texts[50:70], labels[50:70]),
        "test": (test, ["no", "no", "no", *labels[70:]]),
    }
    for name, (texts_, labels_) in rows.items():
        pd.DataFrame({"text": texts_, "label": labels_}).to_csv(path / f"{name}.csv", index=False)
    return str(path)


def test_a_leaked_test_row_is_named(leaky, tiny):
    config = RunConfig(dataset=leaky, backbone=tiny["bert"], max_length=16)
    corpus = load_corpus(leaky)
    assert duplicates.leaked(corpus) == [0, 1, 2]
    table = audit.leaks(corpus_of(config), tokens_of(config)).set_index("split")
    assert table["near-duplicates of an earlier split"].tolist() == [0, 0, 3]
    assert table["of these, with another label"].tolist() == [0, 0, 1]
    assert table.loc["test", "first"] == "test 0 ~ train 0, test 1 ~ train 30, test 2 ~ train 41"


def test_the_effect_of_leaks_on_a_score(folder):
    base = RunConfig(dataset=str(folder), dev_rows=12)
    p = collect(run_all([base.baseline(name) for name in ("tfidf", "majority")]))
    rows = [0, 2, 4]
    table = tables.without_rows(p, by="head", metrics=["accuracy"], rows=rows).set_index("head")
    group = next(g for g in p.groups("head") if g.name == "tfidf")
    right = group.right[0]
    found = (
        table.loc["TF-IDF, whole text"] if "TF-IDF, whole text" in table.index else table.iloc[0]
    )
    assert (
        found["near-duplicates"] == 3
        and found["documents"] == 21
        and found["accuracy"] == right.mean()
    )
    assert found["accuracy, without"] == pytest.approx(np.delete(right, rows).mean())
    assert (
        found["accuracy, without_low"]
        <= found["accuracy, without"]
        <= found["accuracy, without_high"]
    )


@pytest.mark.skipif(
    "SCALE" not in os.environ, reason="a measurement: SCALE=file.parquet pytest -s -k at_scale"
)
def test_at_scale():
    texts = (
        pd.read_parquet(os.environ["SCALE"])["text"].tolist()
        if os.environ["SCALE"] != "1"
        else plain_texts(25_520)
    )
    share, seconds, count = recall(texts[:25_520], 4)
    print(f"{count:,} documents in {seconds:.0f} s; {share:.2%} of the planted copies found")
    assert share >= 0.99


def test_learnable_texts_share_few_word_pairs():
    assert len(duplicates.near_duplicates(learnable(60, 1)[0])[0]) < 10
