"""References are runs, too."""

import dataclasses

import numpy as np
import pytest

from lib import HEADS, OPTIMIZERS, SCHEDULES, collect
from lib.data import Corpus, Split
from lib.errors import InputError
from lib.many.pool import run_all
from lib.many.single import run
from lib.references.baselines import BASELINES
from lib.runs.config import RunConfig


def test_baselines_are_runs(base, folder):
    names = ["tfidf", "majority"]
    finished = run_all([base.baseline(name) for name in names])
    scores = {g.name: (g.predicted == g.labels).mean() for g in collect(finished).groups("seed")}
    assert scores["tfidf"] > 0.9 and scores["majority"] == pytest.approx(0.5, abs=0.03)
    with pytest.raises(InputError, match="no known label noise"):
        run(base.baseline("noise_ceiling"))
    demo = RunConfig(dataset="demo_news", train_rows=40, dev_rows=20).baseline("noise_ceiling")
    ceiling = run(demo).predictions.query("split == 'test'")
    predicted = ceiling[[f"logit_{i}" for i in range(4)]].to_numpy().argmax(1)
    assert (predicted == ceiling.label).mean() == pytest.approx(0.97, abs=0.001)


def test_no_baseline_is_named_like_what_runs_are_compared_by():
    assert not BASELINES.keys() & {
        *HEADS,
        *OPTIMIZERS,
        *SCHEDULES,
        "native",
    }  # groups of a table go by their names


def corpus_of_texts(texts: list[str], labels) -> Corpus:
    split = Split(texts, np.array(labels), np.arange(len(texts)))
    return Corpus("odd.csv", "", ("a", "b", "c"), split, split, split)


@pytest.mark.parametrize(
    ("labels", "select_by"),
    [
        ([0, 1, 0, 1, 0, 1], "accuracy"),
        ([[0], [1], [0], [1], [-1], [1]], "P@1"),
        ([0.5, 1, 2, 3, 4, 5], "rmse"),
    ],
)
def test_texts_without_words_leave_tfidf_nothing_to_go_by(labels, select_by, capsys):
    corpus = corpus_of_texts(["!", "?", "\U0001f600", "a", "b", "!!"], labels)
    scores, _ = BASELINES["tfidf"](RunConfig(select_by=select_by), corpus)
    assert np.isfinite(scores["test"]).all() and len(scores["test"]) == 6
    told = "odd.csv: its texts share no words, so TF-IDF has nothing to go by\n"
    assert capsys.readouterr().out == told


def test_a_label_that_train_lacks_is_never_given():
    texts = ["red wine", "white wine", "red roses", "white roses", "red wine", "no words"]
    corpus = corpus_of_texts(texts, [[0], [1], [0], [1], [0], [-1]])
    scores, _ = BASELINES["tfidf"](RunConfig(select_by="P@1"), corpus)
    assert (scores["test"][:, 2] < -1000).all()
    with pytest.raises(InputError, match="no known label noise"):
        demo = dataclasses.replace(corpus.test, true_labels=corpus.test.labels)
        BASELINES["noise_ceiling"](RunConfig(), dataclasses.replace(corpus, dev=demo, test=demo))
