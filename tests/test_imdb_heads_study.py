"""What the study of heads says of learning rates and differences."""

import numpy as np
import pandas as pd
import pytest

from lib.analysis.comparisons import differences
from lib.analysis.predictions import collect
from lib.errors import InputError
from lib.heads import HEADS
from lib.many.pool import run_all
from notebooks import imdb_heads as study
from notebooks import imdb_heads_method
from tests.test_answers import heads
from tests.test_tables import say_what_their_columns_hold

RATES = [1e-5, 3e-3]


def test_dev_chooses_each_heads_learning_rate_with_seeds_of_its_own(base):
    tuning = study.tuning_configs(base, ["cls", "mean"], RATES, [11], [1, 2, 3])
    assert [(c.head, c.learning_rate, c.seed) for c in tuning] == [
        *(("cls", rate, 11) for rate in RATES),
        *(("mean", rate, 11) for rate in RATES),
    ]
    p = collect(run_all(tuning))
    table = study.tuning(p).set_index("head")
    say_what_their_columns_hold(table)
    rates = study.chosen_rates(p)
    for run in p.trained.values():
        [group] = p.only({run_key(p, run): run}).groups("head", split="dev")
        column = f"{run['config']['learning_rate']:g}"
        assert table.loc[run["config"]["head"], column] == pytest.approx(group.right.mean())
    for head, rate in rates.items():
        assert rate in RATES and table.loc[head, "chosen"] == f"{rate:g}"
        assert table.loc[head, f"{rate:g}"] == table.loc[head, [f"{r:g}" for r in RATES]].max()


def run_key(p, wanted: dict) -> str:
    return next(key for key, run in p.runs.items() if run is wanted)


def test_of_equal_rates_the_lowest_and_a_diverged_one_never(base):
    configs = study.tuning_configs(
        base.with_(optimizer="sgd", epochs=1), ["cls"], [1e-9, 2e-9, 1e30], [11], [1]
    )
    runs = run_all(configs)
    assert runs[2].status["status"] == "diverged"
    assert study.chosen_rates(collect(runs)) == {"cls": 1e-9}
    assert study.tuning(collect(runs)).attrs["note"].startswith("The best rate of CLS is an edge")


def test_a_rate_inside_the_grid_needs_no_note(monkeypatch):
    scores = pd.DataFrame([[0.5, 0.9, 0.6], [0.5, 0.6, 0.7]], index=["cls", "mean"])
    scores = scores.rename_axis("head").set_axis([1e-5, 1e-4, 1e-3], axis=1)
    monkeypatch.setattr(study, "_dev_scores", lambda *_: scores)
    assert " of mean pooling is " in study.tuning(None).attrs["note"]
    monkeypatch.setattr(study, "_dev_scores", lambda *_: scores.iloc[:1])
    assert "note" not in study.tuning(None).attrs


def test_a_seed_that_chose_is_not_counted_again(base):
    with pytest.raises(InputError, match="tuning_seeds and seeds both have 2: .* name other"):
        study.tuning_configs(base, ["cls"], RATES, [2], [1, 2])
    assert study.tuning_configs(base, ["cls"], RATES[:1], [2], [1, 2]) == []


def test_each_head_is_trained_at_its_rate_and_one_on_each_truncation(base):
    rates = {"cls": 1e-4, "mean": 1e-3}
    configs = study.configs(base, rates, [1, 2], ["head", "windows"], "mean")
    cells = [(c.head, c.truncation, c.learning_rate, c.seed) for c in configs]
    assert cells == [
        *(("cls", "head", 1e-4, seed) for seed in (1, 2)),
        *(("mean", "head", 1e-3, seed) for seed in (1, 2)),
        *(("mean", "windows", 1e-3, seed) for seed in (1, 2)),
    ]
    with pytest.raises(InputError, match="truncation_head is lstm, .* take one of heads: cls and"):
        study.configs(base, rates, [1], ["head"], "lstm")


def test_the_table_has_the_originals_scores():
    p = heads({"cls": 0.8, "mean": 0.82})
    for run in p.trained.values():
        run["config"]["learning_rate"] = 3e-4
    table = study.by_head(p, by="head").set_index("head")
    assert table.loc["cls", "original"] == 0.956 and np.isnan(table.loc["mean", "original"])
    assert table.loc["mean", "learning rate"] == "0.0003"
    assert table.loc["TF-IDF, whole text", "learning rate"] == ""
    assert "25,000 reviews to learn from, three epochs, one run" in table.attrs["note"]
    say_what_their_columns_hold(table)


@pytest.mark.parametrize(
    ("shares", "options", "text"),
    [
        ({"cls": 0.8, "lstm": 0.801}, {}, "**holds**: the one difference (+"),
        ({"cls": 0.8, "lstm": 0.82}, {"spread": 0.04}, "stays open: the one difference (+"),
        ({"cls": 0.8, "lstm": 0.9}, {}, "**does not hold**: 1 of 1 differences is significant: "),
        ({"cls": 0.8, "lstm": 0.9}, {"seeds": 2}, "is not tested: fewer than 3 seeds."),
    ],
)
def test_whether_the_originals_finding_holds(shares, options, text):
    claim = "The original's finding, that heads do not differ, "
    assert study.verdict(heads(shares, **options), by="head").startswith(claim + text)


def test_differences_of_which_none_is_significant_are_said_with_their_intervals():
    p = heads({"cls": 0.8, "lstm": 0.82, "mean": 0.81}, spread=0.04)
    table = differences(p.only(p.trained), by="head")
    halves = 100 * (table["accuracy_high"] - table["accuracy"])
    low, high = (100 * end for end in (table["accuracy"].min(), table["accuracy"].max()))
    assert f"{low:.1f}" == "-1.0" and f"{high:.1f}" == "2.0"
    assert study.verdict(p, by="head").endswith(
        f", stays open: none of 3 differences (−1.0 to +2.0 points, each ± {halves.min():.1f} to "
        f"{halves.max():.1f}) is significant, but none is shown to be within 1 point."
    )
    p = p.keep(lambda run: run["config"]["head"] != "mean")
    [row] = differences(p.only(p.trained), by="head").to_dict("records")
    half = 100 * (row["accuracy_high"] - row["accuracy"])
    assert f" the one difference (+2.0 ± {half:.1f} points) is not sig" in study.verdict(
        p, by="head"
    )


def test_the_caption_of_learning_rates_says_how_many_seeds_chose():
    assert study.tuning_caption([11]).endswith(", of one seed alone, which is not counted again.")
    assert study.tuning_caption([11, 12]).endswith(
        ", mean over 2 seeds, which are not counted again."
    )


def test_a_page_of_one_head_promises_no_comparison():
    assert imdb_heads_method.title("sentence-transformers/all-mpnet-base-v2") == (
        "# How well does MPNet-base read film reviews?"
    )
    text = imdb_heads_method.method(["mean"], 2)
    assert text == "The head here is a plain mean (`mean`); no other is tried."
    text = imdb_heads_method.method(["cls", "mean"], 2)
    assert text.startswith("Compared are the first token (`cls`) and a plain mean (`mean`). ")
    assert text.endswith(" It trained for 3 epochs; the heads here, for 2.")
    text = imdb_heads_method.method(["cls", "mean"], 3)
    assert text.endswith(" It trained for 3 epochs, as here.")
    assert {*imdb_heads_method.READS} <= {*HEADS}
