"""Tables of a search, against what one can count by hand."""

import json
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lib.analysis import stats, tables
from lib.analysis.predictions import collect
from lib.publish.page import compute
from lib.runs.config import RunConfig
from lib.runs.pool import run_all
from lib.use.results import write_results
from notebooks import grid_search as search
from notebooks import grid_search_figures as figures

CURVES = {
    "a": [0.2, 0.5],
    "b": [0.4, 0.45],
    "c": [0.1, 0.9],
    "d": [0.3, 0.35],
}  # dev scores after two epochs


@pytest.fixture
def made_up(monkeypatch):
    """Four runs of two epochs, by their curves; `e` diverged before it had a score."""
    rows = [
        {"run": k, "epoch": i, "accuracy": v}
        for k, curve in CURVES.items()
        for i, v in enumerate(curve, 1)
    ]
    monkeypatch.setattr(search, "dev_scores", lambda p, metric: pd.DataFrame(rows))
    cells = {"a": (8, 1e-3), "b": (8, 1e-4), "c": (16, 1e-3), "d": (16, 1e-4), "e": (32, 1e-3)}
    runs = {
        k: {
            "last_epoch": 0 if k == "e" else 2,
            "config": {"backbone": "x", "batch_size": size, "learning_rate": rate},
        }
        for k, (size, rate) in cells.items()
    }
    return SimpleNamespace(runs=runs, trained=runs)


def test_expected_best_is_the_mean_over_all_subsets(made_up):
    table = search.expected_best(made_up, metric="accuracy")
    values = [0.5, 0.45, 0.9, 0.35, 0.0]  # the best of each run; 0 for the one without a score
    wanted = [np.mean([max(part) for part in combinations(values, n)]) for n in range(1, 6)]
    assert table["accuracy"].tolist() == pytest.approx(wanted)
    assert table["epochs trained"].tolist() == pytest.approx([1.6, 3.2, 4.8, 6.4, 8.0])


def test_halving_keeps_the_better_cells_and_counts_their_epochs(made_up):
    table = search.halving(made_up, metric="accuracy", eta=2)
    assert table["cells"].tolist() == [5, 3] and table["epochs trained"].tolist() == [4, 7]
    assert table["share of the grid"].tolist() == pytest.approx([4 / 8, 7 / 8])
    assert table["accuracy"].tolist() == [
        0.4,
        0.5,
    ]  # c, the best in the end, was among the worst after an epoch
    assert "87.5 % of the grid's epochs and ended −40.0 points from it" in search.cheaper(
        made_up, metric="accuracy", eta=2
    )
    assert "ended at the same best score" in search.cheaper(
        made_up, metric="accuracy", eta=2, start=2
    )


def test_what_a_search_trained(made_up):
    for run in made_up.runs.values():
        run["config"]["epochs"] = 2
    told = "tried 5 of 6 cells and trained 8 epochs, 66.7 % of the 12 that the whole grid has."
    assert search.trained(made_up, search="halving", cells=6) == f"Successive halving {told}"


def test_the_frame_is_around_the_first_of_equal_cells():
    cells = [("16", "0.1", 0.5), ("8", "0.01", 0.9), ("16", "0.01", 0.9)]
    table = pd.DataFrame(cells, columns=["batch_size", "learning_rate", "accuracy"]).assign(
        outcome="finished"
    )
    figure = figures.search_grid(
        table, rows="batch_size", columns="learning_rate", metric="accuracy"
    )
    assert [patch.get_xy() for patch in figure.axes[0].patches] == [
        (-0.5, -0.5)
    ]  # 8 and 0.01: the upper left


def test_effects_are_shares_of_the_variance(made_up):
    made_up.runs.pop("e")
    table = search.effects(made_up, by=["batch_size", "learning_rate"], metric="accuracy")
    values = np.array([[0.5, 0.45], [0.9, 0.35]])
    whole = values.var()
    wanted = [values.mean(1).var() / whole, values.mean(0).var() / whole]
    assert table["share of variance"].tolist() == pytest.approx([*wanted, 1 - sum(wanted)])


def test_the_sentence_on_the_chosen_cell(folder, tiny):
    base = RunConfig(
        dataset=str(folder),
        backbone=tiny["bert"],
        max_length=16,
        dev_rows=12,
        precision="fp32",
        epochs=2,
    )
    rates = [1e-2, 1e-6]
    runs = run_all([base.with_(learning_rate=rate, batch_size=8) for rate in rates])
    best = max(runs, key=lambda r: r.history["dev_macro_f1"].max())
    runs = type(runs)(runs + run_all([best.config.with_(seed=2), base.baseline("tfidf")]))
    p = collect(runs)
    arguments = {"by": ["batch_size", "learning_rate"], "metric": "macro_f1"}
    text = compute(search.chosen, p, arguments)
    cell = f"batch size 8 and learning rate {best.config.learning_rate:g}"
    assert f"Of 2 cells dev ranks **{cell}** first" in text
    test = tables.by_group(
        p.where(learning_rate=best.config.learning_rate), by="batch_size", metrics=["macro_f1"]
    )
    assert f"With 2 seeds, it reaches {test['macro_f1'][0]:.1%}".replace("%", " %") in text
    one, other = [collect([each]).groups("head", split="dev")[0].right[0] for each in runs[:2]]
    level = int(stats.mcnemar(one, other) >= 0.05)
    assert f"; {level} other cell" in text and "McNemar's exact test" in text
    scores = search.dev_scores(p, "macro_f1")
    own = [r.history["dev_macro_f1"].tolist() for r in runs[:2]]
    told = [scores[scores["run"] == r.key[:16]]["macro_f1"].tolist() for r in runs[:2]]
    assert np.allclose(told, own)


def test_what_transformers_scripts_leave(trained):
    done = trained
    write_results(done)
    whole = json.loads((done.folder / "all_results.json").read_text())
    parts = [
        json.loads((done.folder / f"{name}_results.json").read_text())
        for name in ("train", "eval", "test")
    ]
    assert whole == parts[0] | parts[1] | parts[2]
    best = done.history.iloc[done.status["chosen_epoch"] - 1]
    assert whole["eval_macro_f1"] == best["dev_macro_f1"] and whole["train_samples"] == 48
    lines = (done.folder / "test_predictions.txt").read_text().splitlines()
    assert (
        lines[0] == "index\tprediction"
        and len(lines) == 22
        and lines[1].split("\t")[1] in ("no", "yes")
    )
    state = json.loads((done.folder / "trainer_state.json").read_text())
    assert (
        state["global_step"] == best["step"]
        if state["best_epoch"] == 2
        else state["global_step"] > best["step"]
    )
