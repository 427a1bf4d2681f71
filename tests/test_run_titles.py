"""Runs are named as people speak of them, by the fewest choices that tell them apart."""

import json

from lib.publish.run_titles import run_names
from lib.runs.config import RunConfig

BASE = RunConfig(dataset="reviews.csv", backbone="tiny")


def names_of(*configs: RunConfig) -> list[str]:
    """The names of runs of these configurations, which page.json has as JSON."""
    runs = {str(i): {"config": json.loads(c.model_dump_json())} for i, c in enumerate(configs)}
    return list(run_names(runs).values())


def test_only_what_differs_is_named():
    adam = BASE.with_(optimizer="adam", learning_rate=3e-4)
    configs = [adam, adam.with_(seed=2), BASE.with_(optimizer="amsgrad"), BASE.baseline("tfidf")]
    assert names_of(*configs) == [
        "Adam, seed 1",
        "Adam, seed 2",
        "AMSGrad, seed 1",
        "TF-IDF, whole text",
    ]
    assert names_of(adam, adam.with_(learning_rate=1e-5)) == [
        "learning rate 0.0003, seed 1",
        "learning rate 0.00001, seed 1",
    ]


def test_students_are_named_by_depth_and_teaching():
    def student(*layers, **weights) -> RunConfig:
        distil = {"teacher": "t", "student_layers": layers, "weights": weights}
        return BASE.with_(distil=distil)

    teaching = {"soft": 0.5, "hard": 0.5, "hidden": 1.0}
    configs = [BASE, BASE.with_(layers=1), student(0, soft=1.0), student(0, 5, **teaching)]
    assert names_of(*configs) == [
        "all layers, seed 1",
        "1 layer, seed 1",
        "1-layer student, soft labels, seed 1",
        "2-layer student, soft labels, true labels and hidden states, seed 1",
    ]


def test_rows_lengths_and_truncations_have_their_units():
    few = BASE.with_(train_rows=1000, max_length=64, truncation="head_tail")
    assert names_of(BASE, few, few.with_(max_length=32)) == [
        "reads the head, 128 tokens, seed 1",
        "reads the head and tail, 64 tokens, seed 1",
        "reads the head and tail, 32 tokens, seed 1",
    ]
    more = few.with_(train_rows=None)
    assert names_of(few, more) == ["1,000 training texts, seed 1", "all training texts, seed 1"]
