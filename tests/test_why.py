"""The words that a model's errors rest on."""

import numpy as np
import pandas as pd
import pytest

from lib.analysis.predictions import collect
from lib.many.pool import run_all
from lib.runs.config import RunConfig
from lib.runs.keys import corpus_of
from lib.use.explain import as_markdown, explain
from notebooks import why

OF = {"by": "schedule", "group": "constant"}


@pytest.fixture
def demo() -> RunConfig:
    """A run of a made-up corpus that is wrong of many texts, and not equally sure of them."""
    rows = {"train_rows": 48, "dev_rows": 12, "test_rows": 60}
    how = {"layers": 1, "max_length": 32, "batch_size": 8, "epochs": 1, "precision": "fp32"}
    return RunConfig(dataset="demo_news", learning_rate=1e-3, **rows, **how)


def test_the_surest_errors_are_explained_without_replaced_labels(demo):
    [run] = run_all([demo.with_(seed=2)], "none")
    test = corpus_of(demo).test
    table = why.words_of_errors(run, corpus_of(demo), count=2, **OF)
    names = np.array(corpus_of(demo).label_names)
    labels, probabilities = run.predict(test.texts)
    is_error = (names[test.true_labels] != labels) & (test.true_labels == test.labels)
    surest = np.flatnonzero(is_error)[np.argsort(-probabilities.max(1)[is_error])][:2]
    assert table["seed"].unique().tolist() == [2] and table["error"].unique().tolist() == [0, 1]
    for number, i in enumerate(surest):
        rows = table[table["error"] == number]
        assert rows["given"].iloc[0] == names[test.labels[i]]
        assert rows["taken"].iloc[0] == labels[i]
        assert rows["confidence"].iloc[0] == pytest.approx(probabilities[i].max(), abs=0.01)
        words = explain(run, test.texts[i])
        assert rows["word"].tolist() == words["word"].tolist()
        assert rows["contribution"].to_numpy() == pytest.approx(words["contribution"], abs=6e-4)
    text = why.as_text(why.with_places(table, test.texts), "constant", True)
    assert text.startswith("Constant's surest errors (seed 2, replaced labels left out). ")
    assert text.count("- labelled ") == 2
    assert text.endswith(as_markdown(why.with_places(rows, test.texts)))
    assert "**" in text.splitlines()[-1]
    none = why.words_of_errors(run, corpus_of(demo), count=0, **OF)
    assert why.as_text(none, "constant", True).endswith("errs on replaced labels alone.")


def test_they_are_shown_of_texts_that_may_be_quoted(demo, base, monkeypatch):
    shown = []
    monkeypatch.setattr(why, "show_text", lambda text, name: shown.append(text))
    for config in (demo, base):
        runs = run_all([config, config.baseline("majority")], "none")
        assert len(collect(runs).runs) == 2
        why.show_why(runs, config, **OF)
        pairs = config.reading.model_copy(update={"text_pair": "b"})
        for other in ({"dataset": "imdb"}, {"reading": pairs}):  # of others, and not explained
            why.show_why(runs, config.model_copy(update=other), **OF)
    of_generated, of_own = shown
    assert of_generated.startswith("### Why it errs\n\nConstant's surest errors (seed 1, repl")
    assert "replaced labels left out" in of_generated
    assert "(seed 1). **Bold**" in of_own and of_own.count("- labelled ") == 3


def test_a_model_that_makes_no_error_is_said_to():
    assert why.as_text(pd.DataFrame(), "cls", False) == "With its first seed, CLS makes no error."


def test_quotes_have_the_spaces_of_their_texts():
    rows = [("On", 0.0), ("Friday", 1.0), (",", 0.1), ("it", 0.0), ("was", 0.1)]
    facts = {"given": "a", "taken": "b", "confidence": 0.9, "seed": 1, "error": 0}
    words = pd.DataFrame(rows, columns=["word", "contribution"]).assign(**facts)
    placed = why.with_places(words, ["Friday on, it was", "It was: On Friday, it was late."])
    assert placed["start"].tolist() == [8, 11, 17, 19, 22]
    assert why.as_text(placed, "native", False).startswith("The fine-tuned model's surest errors (")
    assert why.as_text(placed, "native", False).endswith("(0.90): On **Friday**, it was")
