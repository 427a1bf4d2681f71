"""What the optimizer study is made of: grids, verdicts, claims, and rows that one adds to the
tables of parts."""

import textwrap
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lib.analysis import cells as grid_cells
from lib.analysis import display
from lib.analysis.predictions import Predictions, collect, group_of
from lib.errors import InputError
from lib.heads import HEADS
from lib.losses import prior_logits
from lib.many.pool import run, run_all
from lib.models import build_model, load_model
from lib.optim import OPTIMIZERS
from lib.publish import study as publish
from lib.publish.verify import verify
from lib.runs.config import RunConfig
from notebooks import eurlex_optimizers as study
from notebooks import eurlex_optimizers_claims as claims
from notebooks import eurlex_optimizers_failures as failures
from notebooks import eurlex_optimizers_figures as figures
from notebooks import eurlex_optimizers_runs as design
from tests.synthetic import markdown, taggers
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


def test_dev_chooses_a_cell_of_each_optimizer_and_fresh_seeds_count(base):
    good, same = 1e-2, {"epochs": 6, "dropout": 0.0, "layers": 1}
    cells = [
        ("adam", 1e-4, 0.0),
        ("adam", good, 0.0),
        ("adamw", good, 0.1),
        ("adamw", 10.0, 0.0),
        ("adagrad", 1e3, 0.0),
    ]
    base = base.with_(**same)
    configs = design.configs(base, cells, [1])
    fresh = design.configs(base, [cells[1]], [2, 3])
    runs = run_all([*configs, *fresh, base.baseline("majority")])
    p = collect(runs)
    slow, fast = (run.history["dev_P@1"].iloc[-1] for run in runs[:2])
    assert fast > slow
    tuned = p.where(seed=1)
    chosen = {name: grid_cells.cell_of(run) for name, run in study.tuned(tuned).items()}
    assert chosen == {"adam": cells[1], "adamw": cells[2], "adagrad": cells[4]}
    assert [
        run.config.seed for run in runs if run.key[:16] in study.best(p, tuning_seed=1).trained
    ] == [2, 3]
    assert design.rates_of(tuned, "adam") == [1e-4, good]
    assert design.beyond_edges(tuned) == [
        ("adam", 0.1, 0.0),
        ("adamw", 0.001, 0.1),
        ("adagrad", 100.0, 0.0),
        ("adagrad", 1e4, 0.0),
    ]
    epochs = base.epochs
    text = claims.edges(tuned, factors=[1.0], epochs=epochs)
    assert "instead of" not in text
    longer = claims.edges(tuned, factors=[1.0], epochs=epochs + 1)
    assert f"in runs of {display.count(epochs, 'epoch')} instead of {epochs + 1}, and" in longer
    assert "Adam (2 rates, 0.0001 to 0.01)" in text and "**still lies at the edge**" in text
    table = study.by_cell(tuned, by=[*study.CELL], metrics=["P@1"], split="dev")
    assert table["optimizer"].tolist() == ["adam"] * 2 + ["adamw"] * 2 + ["adagrad"]
    by_name = table.set_index([*study.CELL])
    assert by_name.loc[("adamw", "10", "0"), "outcome"] == "diverged"
    assert by_name.loc[("adam", "0.01", "0"), "P@1"] == pytest.approx(fast)
    text = claims.sweet_spot(tuned)
    assert "**does not hold**" in text and "0.01 for Adam and 0.01 for AdamW" in text
    told = claims.failing(tuned, rates={"adagrad": 10.0})
    assert told.endswith(
        "it **holds** for Adagrad: at 1000, a hundred times its default, none of 1 run learns."
    )
    failed = [run for run in tuned.trained.values() if run["outcome"] != "learned"]
    told = failures.collapse(tuned, tuning_seed=1)
    assert f" of the {len(failed)} runs that did not learn, and in " in told
    reason = runs[3].verdict["reason"]
    assert runs[3].status["status"] == "finished"
    assert "where even guesses have 0.693" in reason and "at step" in reason


def test_a_run_that_learned_is_better_than_one_that_did_not():
    def ended(outcome: str, loss: float):
        return {"outcome": outcome, "health": {"dev_loss": loss}}

    runs = [
        (ended("learned", 0.3), 0.2),
        (ended("learned", 0.1), 0.1),
        (ended("still at the prior", 0.4), 0.9),  # its score is a constant's
        (ended("collapsed", 0.5), 0.9),
        (ended("diverged", np.nan), 0.9),
    ]
    standings = [study._standing(run, score) for run, score in runs]
    assert standings == sorted(standings, reverse=True)
    assert study._standing({"outcome": "diverged"}, 0.9) == (False, -np.inf)


def test_a_grid_grows_until_its_best_lies_inside(base, monkeypatch):
    inside = {1.0: 0.2, 10.0: 0.3, 100.0: 0.6, 1000.0: 0.5}  # the score at each learning rate
    asked = []

    def run_all(configs, **how):
        asked.append([config.learning_rate for config in configs])
        return [SimpleNamespace(config=config) for config in configs]

    def tuned(runs):
        best = max(runs, key=lambda run: inside[run.config.learning_rate])
        return {"adam": {"config": best.config.model_dump()}}

    monkeypatch.setattr(design, "run_all", run_all)
    monkeypatch.setattr(design, "collect", lambda runs: runs)
    monkeypatch.setattr(design, "tuned", tuned)
    rates = lambda runs, _: sorted(run.config.learning_rate for run in runs)  # noqa: E731
    monkeypatch.setattr(design, "rates_of", rates)
    cells = [("adam", 1.0, 0.0), ("adam", 10.0, 0.0)]
    assert len(design.tune(base, cells, steps=5)) == 4
    assert asked == [[1.0, 10.0], [100.0], [1000.0]]
    asked.clear()
    assert len(design.tune(base, cells, steps=1)) == 3


def test_the_final_cells_are_the_best_and_those_with_weight_decay(monkeypatch):
    def chosen(optimizer: str, rate: float, decay: float):
        return {"config": {"optimizer": optimizer, "learning_rate": rate, "weight_decay": decay}}

    runs = {"adagrad": chosen("adagrad", 0.1, 0.0), "adamw": chosen("adamw", 0.3, 0.01)}
    runs["adam"] = chosen("adam", 0.2, 0.0)
    monkeypatch.setattr(design, "collect", lambda runs: runs)
    monkeypatch.setattr(design, "tuned", lambda runs: runs)
    assert design.final_cells(runs, [0.01, 0.1]) == [
        ("adagrad", 0.1, 0.0),
        ("adamw", 0.3, 0.01),
        ("adam", 0.2, 0.0),
        ("adam", 0.3, 0.01),
        ("adam", 0.3, 0.1),
        ("adamw", 0.3, 0.1),
    ]
    del runs["adamw"], runs["adam"]
    assert design.final_cells(runs, [0.01]) == [("adagrad", 0.1, 0.0)]


def test_the_page_answers_first(many, tiny, no_kernel, monkeypatch, tmp_path):  # noqa: F811
    monkeypatch.setattr(publish, "RESULTS", tmp_path / "results")
    small = {
        "dataset": str(many),
        "train_rows": 0,
        "dev_rows": 20,
        "test_rows": 0,
        "layers": 0,
        "backbone": tiny["bert"],
        "max_length": 16,
        "epochs": 3,
        "tuning_epochs": 2,
        "batch_size": 8,
        "dropout": 0.0,
        "optimizers": ["adam", "adamw"],
        "factors": [3.0],
        "edge_steps": 0,
        "start_rates": [3e-3],
        "workers": 1,
        "decays": [0.1],
    }
    page = publish.run_study("eurlex_optimizers", overrides=small, publish_as="tiny")
    text = (page / "README.md").read_text()
    answer = next(line for line in text.splitlines() if "P@1" in line and line.startswith("**"))
    assert "TF-IDF" in answer and len([word for word in answer.split() if word != "+"]) <= 20
    assert "**still lies at the edge**" in text and " predict a constant**" in text
    assert "- **After 3 epochs " in text and "not comparable" in text
    assert "2 epochs and 1 seed a cell" in text and "at least 2 % below that of the" in text
    check = verify(page)
    assert check.compared > 20 and not check.wrong and not check.unchecked


def test_the_answer_puts_together_what_does_not_differ(monkeypatch):
    names = ["adam", "adamw", "adagrad", "TF-IDF"]
    table = pd.DataFrame({"optimizer": names, "P@1": [0.527, 0.516, 0.105, 0.776]})
    verdicts = {"adamw": "not significant", "adagrad": "significant"}
    monkeypatch.setattr(claims, "by_group", lambda *_, **__: table)
    monkeypatch.setattr(claims, "beside_best_reference", lambda p, **_: p)
    monkeypatch.setattr(claims, "best_reference", lambda *_, **__: "TF-IDF")
    ahead = {}
    monkeypatch.setattr(claims, "references_ahead", lambda *_, **__: ahead)
    monkeypatch.setattr(claims, "differences", lambda *_, **__: pd.DataFrame())
    monkeypatch.setattr(claims, "difference_of", lambda *a: {"verdict": verdicts[a[2]]})
    p = Predictions(pd.DataFrame(), {"a": {"config": {}, "last_epoch": 4}}, ())
    assert claims.answer(p) == (
        "P@1 after 4 epochs: TF-IDF 78 %; Adam and AdamW 52–53 %; Adagrad 10 %."
    )
    verdicts["adagrad"] = "not significant"
    assert claims.answer(p) == (
        "No optimizer is shown ahead: P@1 10–53 % after 4 epochs; TF-IDF 78 %."
    )
    ahead["embeddings"] = 0.68
    assert claims.answer(p).endswith("after 4 epochs; TF-IDF 78 %; embeddings 68 %.")
    verdicts["adagrad"] = "significant"
    assert claims.answer(p) == (
        "P@1 after 4 epochs: TF-IDF 78 %; embeddings 68 %; Adam and AdamW 52–53 %; Adagrad 10 %."
    )


def test_a_reference_is_named_where_it_is_above_every_optimizer(monkeypatch):
    scores = {"TF-IDF, whole text": 0.8, "TF-IDF, same text": 0.79, "embeddings": 0.6}
    for name in ("learning_references", "reference_scores"):
        monkeypatch.setattr(study, name, lambda *_, **__: scores)
    monkeypatch.setattr(study, "best_reference", lambda *_, **__: "TF-IDF, whole text")
    monkeypatch.setattr(study, "differences", lambda *_, **__: pd.DataFrame())
    gains = {"cls": 0.1, "lstm": 0.2}
    verdicts = {"cls": "significant", "lstm": "significant"}
    monkeypatch.setattr(
        study, "difference_of", lambda *a: {"value": gains[a[2]], "verdict": verdicts[a[2]]}
    )
    groups = [SimpleNamespace(name=name) for name in gains]
    monkeypatch.setattr(Predictions, "groups", lambda *_: groups)
    p = Predictions(pd.DataFrame(columns=["split", "run", "epoch"]), {}, ())
    assert study.references_ahead(p, by="head", metric="P@1") == {"embeddings": 0.6}
    verdicts["lstm"] = "not significant"
    assert not study.references_ahead(p, by="head", metric="P@1")
    verdicts["lstm"] = "significant"
    gains["cls"] = -0.1
    assert not study.references_ahead(p, by="head", metric="P@1")


def test_the_caption_names_the_optimizers_whose_lines_are_one():
    rows = [("adam", 0.5, 1.0), ("adamw", 0.5, 1.0), ("adagrad", 0.4, 1.0), ("adadelta", 0.1, 2.0)]
    table = pd.DataFrame(rows, columns=["optimizer", "dev_P@1", "train_loss"]).assign(epoch=1)
    assert figures.coinciding(table, "P@1") == (
        " On each other lie, dashed in turn: Adam and AdamW (dev P@1); Adam, AdamW and Adagrad "
        "(train loss)."
    )
    assert figures.coinciding(table.iloc[2:], "P@1") == ""


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
    starts = study.by_cell(collect(runs), by=["learning_rate", "prior_bias"], metrics=["P@1"])
    assert starts[study.STARTS_AT].tolist() == ["even guesses", "label shares"]
    assert "prior bias" not in markdown(starts) and study.STARTS_AT in markdown(starts)
    text = failures.start(collect(runs))
    did = {start: end.replace("still at the prior", "did not learn") for start, end in ends.items()}
    assert f" {did[True]} from the label shares and {did[False]} from even guesses" in text
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


def lines_of(ax, name: str):
    [line] = [line for line in ax.lines if line.get_label() == name]
    return line


def test_rare_labels_are_drawn_beside_one_reference():
    names = ["adam", "TF-IDF, whole text", "TF-IDF, same text", "majority class"]
    table = pd.DataFrame({"optimizer": names, "train documents": "1–9", "R@5": 0.5})
    table = table.assign(**{"R@5_low": 0.4, "R@5_high": 0.6})
    figure = figures.recall_by_frequency(table, "TF-IDF, whole text")
    drawn = [text.get_text() for text in figure.legends[0].get_texts()]
    assert drawn == ["Adam", "TF-IDF, whole text"]


def test_the_original_is_set_beside_the_best_mean(monkeypatch):
    table = pd.DataFrame({"optimizer": ["adam", "adagrad"], "P@1": [0.6484, 0.596]})
    monkeypatch.setattr(claims, "by_group", lambda *_, **__: table)
    p = Predictions(pd.DataFrame(columns=["split", "run", "epoch"]), {}, ())
    assert claims.published(p) == (
        "Published, and **not comparable**: P@1 82.7 % (DistilBERT on 15,449 acts of EURLex-4K, 25 "
        "epochs with AdamW, its settings chosen on test among 29 runs). Here the highest mean of "
        "an optimizer is 64.8 %."
    )


def test_figures_draw_every_cell_and_outcome():
    cells = [("adam", "0.001", 0.5, "learned"), ("adam", "0.1", 0.1, "diverged")]
    cells += [("adagrad", "0.01", np.nan, "diverged")]
    table = pd.DataFrame(cells, columns=["optimizer", "learning_rate", "P@1", "outcome"])
    table = figures.with_factor(table, {"adam": 1e-3, "adagrad": 1e-2})
    assert table["factor"].tolist() == [1.0, 100.0, 1.0]
    drawn = figures.outcome_grid(table, metric="P@1").axes[0]
    texts = sorted(text.get_text() for text in drawn.texts)
    assert texts == ["10.0\ndiverged\n0.1", "50.0\nlearned\n0.001", "–\ndiverged\n0.01"]
    published = design.published_scores({"adamw": 0.01})
    above, below = figures.by_learning_rate(table, published, metric="P@1", baseline=0.8).axes
    assert len(above.collections) == 0 and len(below.lines) >= 2
    hollow = [line.get_markerfacecolor() for line in above.lines if line.get_marker() == "o"]
    assert hollow.count("white") == 2 and len(hollow) == 3
    optimizers = pd.concat([table, table.iloc[:2].assign(optimizer="amsgrad")])
    above, _ = figures.by_learning_rate(optimizers, published, metric="P@1", baseline=0.8).axes
    adam, amsgrad = (lines_of(above, name) for name in ("Adam", "AMSGrad"))
    assert (adam.get_ydata() == amsgrad.get_ydata()).all()  # and neither hides the other
    assert (amsgrad.get_xdata() > 1.1 * adam.get_xdata()).all()
    runs = pd.DataFrame({"run": [*"aabb"], "epoch": [1, 2, 1, 2], "outcome": "learned"})
    runs = runs.assign(embedding_rank=[1, 2, 3, 6], embedding_cosine=0.5)
    rank, _ = figures.health_curves(runs).axes
    assert rank.lines[0].get_ydata().tolist() == [2, 4]
