"""What the optimizer study is made of: grids, verdicts, claims, and rows that one adds to the
tables of parts."""

import dataclasses
import textwrap
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from lib.analysis import cells as grid_cells
from lib.analysis import display, tables
from lib.analysis.predictions import collect, group_of
from lib.errors import InputError
from lib.heads import HEADS
from lib.losses import prior_logits
from lib.models import build_model, load_model
from lib.optim import OPTIMIZERS
from lib.runs.config import RunConfig
from lib.runs.keys import tokens_of
from lib.runs.pool import run, run_all
from lib.runs.store import Runs
from notebooks import eurlex_optimizers as study
from notebooks import eurlex_optimizers_claims as claims
from notebooks import eurlex_optimizers_figures as figures
from notebooks.eurlex_optimizers_runs import (
    attention_maps,
    first_document_attention,
    healthy_and_failed,
)
from tests.synthetic import taggers
from tests.test_multilabel import many  # noqa: F401
from tests.test_readme import code
from tests.test_tables import grid


@pytest.fixture
def base(many, tiny):  # noqa: F811
    shared = {
        "max_length": 16,
        "batch_size": 8,
        "select_by": "last",
        "health": True,
        "prior_bias": True,
    }
    return RunConfig(
        dataset=str(many),
        backbone=tiny["bert"],
        precision="fp32",
        head="mean_linear",
        epochs=2,
        **shared,
    )


def test_a_grid_of_cells_its_best_ones_and_the_claims(base):
    good, same = 3e-3, {"epochs": 25, "dropout": 0.0, "layers": 1}
    cells = [
        ("adam", 1e-4, 0.0),
        ("adam", good, 0.0),
        ("adamw", good, 0.1),
        ("adamw", 10.0, 0.0),
        ("adagrad", 1e3, 0.0),
    ]
    configs = [
        base.with_(optimizer=o, learning_rate=lr, weight_decay=decay, **same)
        for o, lr, decay in cells
    ]
    runs = run_all(
        [
            *configs,
            configs[1].with_(weight_decay=0.1),
            configs[1].with_(seed=2),
            base.baseline("majority"),
        ]
    )
    p = collect(runs)
    slow, fast = (run.history["dev_P@1"].iloc[-1] for run in runs[:2])
    assert fast > slow
    best = study.best(p)
    kept = {
        grid_cells.cell_of(run) for run in best.runs.values() if run["config"]["reference"] is None
    }
    assert ("adam", 1e-4, 0.0) not in kept and ("adamw", good, 0.1) in kept and len(kept) == 3
    assert sum(run["config"]["reference"] == "majority" for run in best.runs.values()) == 1
    metrics = ["P@1", "micro_f1", "macro_f1"]
    undecayed = study.best(p.where(weight_decay=0.0))
    table = tables.by_group(undecayed, by="optimizer", metrics=metrics)
    assert table.set_index("optimizer")["seeds"].to_dict() == {
        "adam": 2,
        "adamw": 1,
        "adagrad": 1,
        "majority class": 1,
    }
    for metric in metrics:  # of fewer than three seeds, the values
        alone = table[f"{metric}_values"].dropna().str.split().map(len)
        assert alone.tolist() == [2, 1, 1] and table[f"{metric}_low"].notna().sum() == 1
    cells = study.by_cell(p, by=["optimizer", "learning_rate", "weight_decay"], metrics=["P@1"])
    assert cells["optimizer"].tolist() == ["adam"] * 3 + ["adamw"] * 2 + ["adagrad"]
    assert cells["seeds"].tolist() == [1, 2, 1, 1, 1, 1] and cells["weight_decay"].tolist()[
        1:3
    ] == ["0", "0.1"]
    cells = cells.set_index(["optimizer", "learning_rate", "weight_decay"])
    assert cells.loc[("adamw", "10", "0"), "outcome"] == "diverged"
    assert cells.loc[("adam", "0.003", "0"), "outcome"] == "learned (2)"
    assert cells.loc[("adagrad", "1000", "0"), "outcome"] == "diverged"
    text = claims.sweet_spot(p)
    assert "**does not hold**" in text and "0.003 for adam and 0.003 for adamw" in text
    assert "**holds**: none of their 1 runs learned (1 diverged)" in claims.failing(p)
    assert "**does not hold**: 1 of their 1 runs learned (adagrad at 1)" in claims.failing(
        _learned(p, "adagrad", 1.0)
    )
    failed = [run for run in p.runs.values() if run.get("outcome", "learned") != "learned"]
    assert f"of the {len(failed)} runs that did not learn" in claims.collapse(p)
    text = claims.decoupled(p.where(learning_rate=good))
    assert "Here it is **not tested**, with fewer than 3 seeds." in text
    gap = tables.differences(
        p.where(learning_rate=good, weight_decay=0.1), by="optimizer", metric="P@1"
    ).iloc[0]
    assert (
        gap["compared"] == "adam − adamw"
        and f"with 0.1 it is {display.points(-gap['P@1'])} points" in text
    )
    reason = runs[3].verdict["reason"]
    assert (
        runs[3].status["status"] == "finished"
        and "where even guesses have 0.693" in reason
        and "at step" in reason
    )


def _learned(p, optimizer, rate):
    """The same predictions, but for what is said of the runs of one optimizer."""
    runs = {
        key: dict(run) for key, run in p.runs.items() if run["config"]["optimizer"] == optimizer
    }
    for about in runs.values():
        about |= {"outcome": "learned", "config": about["config"] | {"learning_rate": rate}}
    return dataclasses.replace(p, runs=runs)


def test_a_start_at_the_label_shares_is_the_prior(base):
    labels = np.array([[0, 1], [0, -1], [0, -1], [1, -1]])
    shares = 1 / (1 + np.exp(-prior_logits(labels, 3)))
    assert shares == pytest.approx(
        [0.75, 0.5, 0.125]
    )  # a label that train never has gets half a document
    single = prior_logits(np.array([0, 0, 0, 1]), 2)
    assert np.exp(single) == pytest.approx([0.75, 0.25])
    runs = run_all([base.with_(prior_bias=start, epochs=1) for start in (True, False)])
    ends = {each.config.prior_bias: each.verdict["outcome"] for each in runs}
    text = claims.start(collect(runs))
    assert f"ended {ends[True]} from the label shares and {ends[False]} from even guesses" in text
    assert f"**{int(ends[True] != ends[False])} of 1**" in text
    still = run(base.with_(learning_rate=1e-9, optimizer="sgd", epochs=1))
    assert still.history["dev_loss"][0] == pytest.approx(still.status["prior_loss"], rel=0.05)
    assert (
        run(base.with_(prior_bias=False, learning_rate=1e-9, epochs=1)).history["dev_loss"][0] > 0.6
    )
    with pytest.raises(InputError, match="prior_bias needs a head"):
        run(base.with_(head="native"))


def test_the_last_epoch_is_kept_where_none_is_chosen(base):
    done = run(base.with_(learning_rate=3e-2, epochs=3))
    assert done.status["chosen_epoch"] == 3 and set(
        done.predictions.query("split == 'test'")["epoch"]
    ) == {3}


def test_attention_maps_are_those_of_each_layer(base):
    model, _ = load_model(run(base).folder / "model")
    ids = torch.tensor([2, 5, 6, 7, 3])
    maps = attention_maps(model, ids)
    assert maps.shape == (2, 5, 5) and torch.allclose(maps.sum(-1), torch.ones(2, 5), atol=1e-5)
    assert model.backbone.config._attn_implementation == "fast"


def test_a_table_of_attention_is_drawn_as_it_was_measured(base):
    runs = [run(base), run(base.with_(learning_rate=1e-9))]
    table = first_document_attention(runs, most=4)
    assert list(table) == ["run", "what", "layer", "row", "column", "weight"]
    assert len(table) == 2 * 2 * 4 * 4
    ids, mask = (tensor[0] for tensor in tokens_of(base).dev.tensors[:2])
    maps = attention_maps(runs[0].model[0], ids[mask.bool()][:4])
    place = (table["run"] == runs[0].key[:16]) & (table["layer"] == 2) & (table["row"] == 3)
    assert table[place]["weight"].to_numpy() == pytest.approx(maps[1, 2].numpy(), abs=1e-6)
    drawn = [ax.images[0].get_array() for ax in figures.attention_grid(table).axes[:4]]
    assert np.asarray(drawn[1]) == pytest.approx(maps[1].numpy(), abs=1e-6)


def test_the_pair_beside_each_other_is_the_best_that_learned_and_one_that_failed():
    def ended(outcome: str, score: float, prior_bias: bool = True):
        config = SimpleNamespace(prior_bias=prior_bias)
        history = pd.DataFrame({"dev_P@1": [0.0, score]})
        return SimpleNamespace(verdict={"outcome": outcome}, config=config, history=history)

    learned = [ended("learned", 0.8), ended("learned", 0.9), ended("learned", 1.0, False)]
    slow, diverged = ended("still at the prior", 0.3), ended("diverged", 0.4)
    pair = healthy_and_failed(Runs([*learned, slow, diverged]), prior_bias=True)
    assert pair == [learned[1], diverged]
    collapsed = ended("collapsed", 0.1)
    pair = healthy_and_failed(Runs([*learned, slow, diverged, collapsed]), prior_bias=True)
    assert pair == [learned[1], collapsed]
    assert healthy_and_failed(Runs([diverged]), prior_bias=True) == [diverged]


def test_label_frequencies_have_both_scores(base):
    p = collect(run_all([base.with_(learning_rate=3e-2, epochs=4)]))
    table = study.by_frequency(p, by="optimizer", edges=[1, 20])
    group = p.groups("optimizer")[0]
    often = p.train_counts[group.ranked[0][:, 0]] >= 20
    assert (
        table["times first"].sum() == len(group.labels)
        and table.loc[1, "times first"] == often.sum()
    )
    if often.sum() >= study.FEWEST:
        assert table.loc[1, "P@1"] == pytest.approx(group.right[0][often].mean())
    common = table.loc[1]
    assert common["R@5_values"] == f"{common['R@5']:.6f}" and np.isnan(table.loc[0, "R@5"])


def test_a_head_and_an_optimizer_are_one_row_each(base, monkeypatch):
    monkeypatch.setitem(
        HEADS, "max", None
    )  # taken out again after the test, with what the README puts there
    monkeypatch.setitem(OPTIMIZERS, "nadam", None)
    exec(textwrap.dedent(code("python", "MaxHead")), {})
    done = run(base.with_(head="max", optimizer="nadam", learning_rate=1e-3, schedule="linear"))
    assert done.status["status"] == "finished" and len(done.history) == 2
    model, about = load_model(done.folder / "model")
    assert about["head"] == "max" and type(model.head).__name__ == "MaxHead"
    with pytest.raises(InputError, match="Unknown head 'maximum'"):
        build_model(base.backbone, head="maximum", num_labels=2)


def test_labels_of_like_frequency():
    p = taggers()  # 30, 40 and 30 train documents
    table = study.by_frequency(p, by="head", edges=[1, 35])
    group = group_of(p, "head", "tags")
    assert table["train documents"].tolist() == ["1–34", "35 and more"]
    gold = group.labels == 1
    assert table["times gold"].tolist() == [int((group.labels >= 0).sum() - gold.sum()), gold.sum()]
    assert table["R@5"].tolist() == [1.0, 1.0]  # all three labels are among the first five
    none = study.by_frequency(p, by="head", edges=[1, 1000])
    assert none["R@5"].isna().tolist() == [False, True]  # too few documents for a score


def test_the_best_cell_of_each_group():
    best = study.best(grid(), metric="accuracy")
    assert [run["config"]["learning_rate"] for run in best.runs.values()] == [0.1, 0.1]
