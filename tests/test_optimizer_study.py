"""What the optimizer study is made of: grids, verdicts, claims, and rows that one adds to the
tables of parts."""

import dataclasses
import textwrap

import numpy as np
import pytest
import torch

from lib.analysis import cells as grid_cells
from lib.analysis import claims, classes, display, tables
from lib.analysis.attention import attention_maps
from lib.analysis.predictions import collect
from lib.errors import InputError
from lib.heads import HEADS
from lib.losses import prior_logits
from lib.models import build_model, load_model
from lib.optim import OPTIMIZERS
from lib.publish.page import compute
from lib.runs.config import RunConfig
from lib.runs.pool import run, run_all
from tests.test_multilabel import many  # noqa: F401
from tests.test_readme import code


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
    best = grid_cells.best(p)
    kept = {
        grid_cells.cell_of(run)
        for run in best.runs.values()
        if run["config"]["backbone"] != "majority"
    }
    assert ("adam", 1e-4, 0.0) not in kept and ("adamw", good, 0.1) in kept and len(kept) == 3
    assert sum(run["config"]["backbone"] == "majority" for run in best.runs.values()) == 1
    arguments = {
        "by": "optimizer",
        "metrics": ["P@1", "micro_f1", "macro_f1"],
        "where": {"weight_decay": [0.0]},
    }
    table = compute(tables.by_group, p, arguments | {"best": {}})
    assert table.set_index("optimizer")["seeds"].to_dict() == {
        "adam": 2,
        "adamw": 1,
        "adagrad": 1,
        "majority class": 1,
    }
    for metric in arguments["metrics"]:
        assert (table[f"{metric}_low"] <= table[metric]).all() and (
            table[metric] <= table[f"{metric}_high"]
        ).all()
    cells = tables.by_cell(p, by=["optimizer", "learning_rate", "weight_decay"], metrics=["P@1"])
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


def test_label_frequencies_have_both_scores(base):
    p = collect(run_all([base.with_(learning_rate=3e-2, epochs=4)]))
    table = tables.by_frequency(p, by="optimizer", edges=[1, 20])
    group = p.groups("optimizer")[0]
    often = p.train_counts[group.ranked[0][:, 0]] >= 20
    assert (
        table["times first"].sum() == len(group.labels)
        and table.loc[1, "times first"] == often.sum()
    )
    if often.sum() >= classes.FEWEST:
        assert table.loc[1, "P@1"] == pytest.approx(group.right[0][often].mean())
    common = table.loc[1]
    assert common["R@5_low"] <= common["R@5"] <= common["R@5_high"] and np.isnan(
        table.loc[0, "R@5"]
    )


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
