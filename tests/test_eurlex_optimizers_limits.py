"""What keeps a reader of the optimizer study from a wrong conclusion: truncation, epochs, and
near-duplicates."""

import dataclasses

import pandas as pd
import pytest

from lib.analysis import display, tables
from lib.analysis.predictions import Predictions
from notebooks import eurlex_optimizers_limits as limits
from tests.synthetic import taggers
from tests.test_answers import heads


def beside_two_references(share: float, *, same_as: str) -> Predictions:
    """Adam, which gets a share of the documents right, TF-IDF on whole texts of 40 tokens, which
    gets 85 %, and TF-IDF on the same text, which predicts what `tfidf` or `adam` does."""
    p = heads({"adam": share})
    [whole] = p.references
    source = whole if same_as == "tfidf" else next(iter(p.trained))
    same = "tfidf_same_text".ljust(16, "0")
    config = p.runs[whole]["config"] | {"reference": "tfidf_same_text"}
    runs = p.runs | {same: p.runs[whole] | {"config": config}}
    runs = {
        k: r | {"config": r["config"] | {"optimizer": r["config"]["head"]}} for k, r in runs.items()
    }
    copied = p.frame[p.frame["run"] == source].assign(run=same)
    frame = pd.concat([p.frame, copied], ignore_index=True).assign(tokens=40)
    return dataclasses.replace(p, frame=frame, runs=runs)


def told_of_truncation(p: Predictions) -> str:
    return limits.share_read(p, max_length=20, metric="accuracy")


def test_truncation_does_not_explain_a_lead_that_is_there_on_the_same_text():
    text = told_of_truncation(beside_two_references(0.6, same_as="tfidf"))
    assert text.startswith(
        "The transformer reads at most 20 tokens, on average 50 % of a legal act;"
    )
    assert " On as little text, TF-IDF is 2" in text
    assert "points above Adam (95 % interval +" in text
    assert text.endswith("; significant), so truncation does not explain its lead.")


def test_truncation_may_explain_a_lead_on_whole_texts_alone():
    text = told_of_truncation(beside_two_references(0.6, same_as="adam"))
    assert " On as little text, TF-IDF is " in text and "does not explain" not in text
    assert text.endswith("so truncation may explain its lead.")


def test_nothing_is_said_of_a_lead_that_is_not_there():
    p = beside_two_references(0.95, same_as="tfidf")
    assert "explain" not in told_of_truncation(p)
    whole_texts = dataclasses.replace(p, frame=p.frame.assign(tokens=10))
    assert told_of_truncation(whole_texts) == (
        "The transformer reads every legal act of test to its end."
    )
    behind = beside_two_references(0.6, same_as="tfidf")
    without = {
        k: r for k, r in behind.runs.items() if r["config"]["reference"] != "tfidf_same_text"
    }
    assert "explain" not in told_of_truncation(behind.only(without))


def trained(*optimizers: str, epochs: int = 3) -> Predictions:
    """Two runs of each optimizer, called by its name and their seed."""
    runs = {
        f"{name}{seed}": {"config": {"optimizer": name, "seed": seed}, "last_epoch": epochs}
        for name in optimizers
        for seed in (1, 2)
    }
    return Predictions(pd.DataFrame(), runs, ())


RISING = {"adam1": [0.1, 0.2, 0.3], "adam2": [0.1, 0.25, 0.31]}  # by 0.1 and 0.06
SLOWER = {"adagrad1": [0.1, 0.2, 0.21], "adagrad2": [0.1, 0.2, 0.23]}  # by 0.01 and 0.03


def test_optimizers_that_still_improve():
    p = trained("adam", "adagrad")
    assert limits.still_improving(p, curves=RISING | SLOWER) == (
        "**After 3 epochs all 2 optimizers still improve on dev.** The last epoch is the best with "
        "every seed: in P@1, it brought 2.0 points (Adagrad) to 8.0 points (Adam). Longer training "
        "may score higher."
    )
    one = limits.still_improving(trained("adam"), curves=RISING)
    assert one.startswith("**After 3 epochs the optimizer still improves on dev.**")
    assert "it brought 8.0 points (Adam). " in one


@pytest.mark.parametrize("ends", [[0.1, 0.3, 0.2], [0.1, 0.2, 0.2], [0.4, 0.2, 0.3], []])
def test_an_optimizer_improves_only_where_each_of_its_runs_does(ends):
    curves = RISING | SLOWER | {"adagrad2": ends}
    text = limits.still_improving(trained("adam", "adagrad"), curves=curves)
    assert text.startswith("**After 3 epochs 1 of 2 optimizers still improves on dev.**")
    assert "it brought 8.0 points (Adam). " in text
    alone = limits.still_improving(trained("adagrad"), curves=curves)
    assert alone == "**After 3 epochs no optimizer still improves** on dev with every seed."


def test_one_epoch_is_no_curve():
    curves = {"adam1": [0.1], "adam2": [0.2]}
    text = limits.still_improving(trained("adam", epochs=1), curves=curves)
    assert text == "After 1 epoch, nothing tells whether training was long enough."


def test_curves_are_in_the_order_of_epochs_and_of_the_asked_runs():
    history = pd.DataFrame({"run": [*"aabb"], "epoch": [2, 1, 1, 2], "dev_P@1": [0.2, 1 / 3, 0, 0]})
    assert limits.dev_curves(history, ["a"]) == {"a": [0.333333, 0.2]}


def test_what_near_duplicates_are_worth(monkeypatch):
    p = taggers()
    monkeypatch.setattr(limits, "best_group", lambda *_, **__: "tags")
    monkeypatch.setattr(limits, "best_reference", lambda *_, **__: "tags")
    rows = sorted(p.frame.loc[p.frame["split"] == "test", "row"].unique().tolist())[:5]
    text = limits.near_duplicates(p, rows=rows, by="head")
    rest = tables.without_rows(p, by="head", metrics=["P@1"], rows=rows).set_index("head")
    fall = [display.percent(rest.loc["tags", column]) for column in ("P@1", "P@1, without")]
    assert f"from {fall[0]} to {fall[1]} (tags)" in text
    assert "Without the 5 of 200 test documents (2 %) that" in text
    assert text.startswith("**Near-duplicates score no higher.**") and "rises" in text
