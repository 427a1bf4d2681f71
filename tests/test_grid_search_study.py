"""Tables of a search, against what one can count by hand."""

import json
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lib.analysis import display, stats, tables
from lib.analysis import scores as analysis_scores
from lib.analysis.predictions import collect
from lib.many.pool import run_all
from lib.publish import study as publish
from lib.publish.verify import verify
from lib.references.baselines import references
from lib.runs.config import RunConfig
from lib.use.results import write_results
from notebooks import grid_search as search
from notebooks import grid_search_figures as figures
from notebooks import grid_search_worth as worth

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
    for module in (search, analysis_scores):
        monkeypatch.setattr(module, "dev_scores", lambda p, metric: pd.DataFrame(rows))
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
    assert search.cheaper(made_up, metric="accuracy", eta=2).endswith(
        "87.5 % of the grid's epochs and ended at a dev accuracy of 50.0 %, where the whole grid "
        "has 90.0 %."
    )
    assert search.cheaper(made_up, metric="accuracy", eta=2, start=2).endswith(
        "and ended at a dev accuracy of 90.0 %, the best of the whole grid."
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
        table, rows="learning_rate", columns="batch_size", metric="accuracy"
    )
    assert [patch.get_xy() for patch in figure.axes[0].patches] == [
        (-0.5, 0.5)
    ]  # 8 and 0.01: the lower left
    assert figure.get_suptitle() == "Best dev accuracy (%) of each cell"


def test_curves_are_quantiles_over_the_cells():
    rows = [(f"run{i}", epoch, i * epoch / 10) for i in range(5) for epoch in (1, 2)]
    history = pd.DataFrame(rows, columns=["run", "epoch", "dev_accuracy"])
    ax = figures.cell_curves(history, score="accuracy", constant=0.25).axes[0]
    drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
    assert drawn["best"].tolist() == pytest.approx([0.4, 0.8])
    assert drawn["median"].tolist() == pytest.approx([0.2, 0.4])
    assert len(drawn) == 5


def test_effects_are_shares_of_the_variance(made_up):
    made_up.runs.pop("e")
    table = search.effects(made_up, by=["batch_size", "learning_rate"], metric="accuracy")
    values = np.array([[0.5, 0.45], [0.9, 0.35]])
    whole = values.var()
    wanted = [values.mean(1).var() / whole, values.mean(0).var() / whole]
    assert table["share of variance"].tolist() == pytest.approx([*wanted, 1 - sum(wanted)])
    assert table["field"].tolist() == ["batch size", "learning rate", "interplay and noise"]


@pytest.fixture
def searched(folder, tiny):
    """Two cells of a search by one seed, and both again with three fresh seeds."""
    base = RunConfig(
        dataset=str(folder),
        backbone=tiny["bert"],
        max_length=16,
        dev_rows=12,
        precision="fp32",
        epochs=2,
        batch_size=8,
    )
    cells = [base.with_(learning_rate=rate) for rate in (1e-2, 1e-6)]
    fresh = [cell.with_(seed=seed) for cell in cells for seed in (2, 3, 4)]
    return collect(run_all(cells + fresh + references(base)))


TUNED = {"batch_size": 8, "learning_rate": 1e-2}
DEFAULT = {"batch_size": 8, "learning_rate": 1e-6}


def test_the_best_of_many_is_told_with_what_fresh_seeds_reach(searched):
    arguments = {"tuned": TUNED, "metric": "macro_f1", "search_seed": 1}
    text = worth.optimism(searched, **arguments)
    scores = search.dev_scores(searched, "macro_f1")
    best = scores[scores["run"] == next(iter(searched.trained))]["macro_f1"].max()
    again = tables.by_group(
        searched.where(learning_rate=1e-2, seed=[2, 3, 4]),
        by="batch_size",
        metrics=["macro_f1"],
        split="dev",
    )
    assert "The best of 2 cells, batch size 8, learning rate 0.01, has" in text
    assert f"of {display.score(best, 'macro_f1')}; 3 fresh seeds of it reach" in text
    assert f"reach {display.score(again['macro_f1'][0], 'macro_f1')} on dev." in text
    first = searched.where(seed=1)
    one, other = [group.right[0] for _, epoch, group in first.single("dev") if epoch == 2][:2]
    assert ("0 other cells are" in text) == (stats.mcnemar(one, other) < 0.05)


def test_only_fresh_seeds_of_both_cells_are_compared(searched):
    p = searched.where(seed=[2, 3, 4])
    cells = {"tuned": TUNED, "default": DEFAULT}
    table = worth.test_scores(p, **cells, metrics=["accuracy"]).set_index("cell")
    by_rate = tables.by_group(p, by="learning_rate", metrics=["accuracy"])
    by_rate = by_rate.set_index("learning_rate")
    for name, rate in (("tuned", "0.01"), ("default", "1e-06")):
        assert table.loc[name, "accuracy"] == by_rate.loc[rate, "accuracy"]
        assert table.loc[name, "seeds"] == 3
    assert len(worth.test_runs(p, **cells, metrics=["accuracy"])) == 6
    gap = tables.differences(p, by="learning_rate", metric="accuracy").iloc[0]
    size = display.difference(abs(gap["accuracy"]), "accuracy").lstrip("+")
    text = worth.gains(p, **cells, metric="accuracy")
    better = table.loc["tuned", "accuracy"] > table.loc["default", "accuracy"]
    direction = "better" if better else "worse"
    cell = "batch size 8, learning rate 0.000001"
    assert f"is {size} {direction} than the default cell ({cell}; 95 % interval" in text
    answer = worth.answer(p, **cells, metric="accuracy")
    assert answer.startswith(worth.WORTH.get(gap["verdict"], "Yes." if better else "No."))
    assert "After the search accuracy is" in answer and len(answer.split()) <= 20
    same = worth.answer(p, tuned=TUNED, default=TUNED, metric="accuracy")
    assert same.startswith("No. The search chooses the default cell: its accuracy is")


@pytest.mark.parametrize(
    ("gain", "beyond", "start"),
    [
        ((0.1, "significant"), (-0.2, "significant"), "Better than the defaults (macro F1 "),
        ((0.1, "significant"), (-0.2, "not significant"), "Yes. After the search macro F1 is "),
        ((0.1, "significant"), (0.2, "significant"), "Yes. After the search macro F1 is "),
        ((0.1, "not significant"), (-0.2, "significant"), "No gain shown. After the search macro "),
        ((-0.1, "significant"), (-0.2, "significant"), "No. After the search macro F1 is "),
    ],
)
def test_a_gain_that_ends_below_the_best_reference_is_no_yes(
    searched, monkeypatch, gain, beyond, start
):
    def gain_over(p, one, other, metric):
        value, verdict = gain if other == worth.DEFAULT else beyond
        return {"value": value, "low": value - 0.05, "high": value + 0.05, "verdict": verdict}

    monkeypatch.setattr(worth, "_gain", gain_over)
    p = searched.where(seed=[2, 3, 4])
    answer = worth.answer(p, tuned=TUNED, default=DEFAULT, metric="macro_f1")
    assert answer.startswith(start)
    assert len([word for word in answer.split() if word.strip("%;")]) <= 20
    assert ("), but significantly below " in answer) == answer.startswith("Better")


def test_a_difference_that_is_not_that_of_the_rounded_scores_says_why(searched, monkeypatch):
    p = searched.where(seed=[2, 3, 4])
    for as_written in (True, False):
        monkeypatch.setattr(worth, "differ_as_written", lambda *_, said=as_written: said)
        text = worth.gains(p, tuned=TUNED, default=DEFAULT, metric="accuracy")
        assert text.endswith("scores are rounded.") == (not as_written)


def test_the_page_answers_first(folder, tiny, no_kernel, monkeypatch, tmp_path):
    monkeypatch.setattr(publish, "RESULTS", tmp_path / "results")
    small = {
        "dataset": str(folder),
        "train_rows": 0,
        "dev_rows": 12,
        "test_rows": 0,
        "layers": 0,
        "backbone": tiny["bert"],
        "max_length": 16,
        "epochs": 2,
        "workers": 1,
        "tracker": "none",
        "batch_sizes": [8],
        "learning_rates": [1e-2, 1e-3, 1e-6],
        "seeds": [2, 3, 4],
    }
    page = publish.run_study("grid_search", overrides=small, publish_as="tiny")
    text = (page / "README.md").read_text()
    answer = next(line for line in text.splitlines() if line.startswith("**"))
    assert "F1" in answer and len(answer.split()) <= 20
    check = verify(page)
    assert check.compared > 15 and not check.wrong and not check.unchecked


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
