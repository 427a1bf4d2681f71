"""Verdicts of differences: families, few seeds, runs that are the same model, equality."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from lib.analysis import captions, comparisons, findings, stats, tables
from lib.analysis.pairs import pairs_of
from lib.analysis.predictions import Predictions
from lib.errors import InputError
from tests.synthetic import classifiers, frame_of, markdown, taggers

ROWS = 2000


def made_of(right: dict[str, list], references: dict[str, str] | None = None) -> Predictions:
    """Heads whose runs get these documents right (rows,); `references` names theirs."""
    rng = np.random.default_rng(0)
    runs = {}
    frames = []
    for head, of_head in right.items():
        for seed, is_right in enumerate(of_head, 1):
            key = f"{head}{seed}"
            config = {"backbone": "tiny", "head": head, "seed": seed}
            config["reference"] = (references or {}).get(head)
            about = {"status": "finished", "chosen_epoch": 1, "last_epoch": 1}
            runs[key] = about | {"config": config}
            logit = np.where(is_right, 1.0, -1.0) * (1 + rng.random(len(is_right)))
            for split in ("dev", "test"):
                columns = {"label": np.ones(len(is_right), int), "logit_0": -logit}
                frames.append(frame_of(key, split, **columns, logit_1=logit))
    return Predictions(pd.concat(frames, ignore_index=True), runs, ("no", "yes"))


def some_right(
    *, share: float = 0.9, seeds: int = 3, noise: float = 0.01, rows: int = ROWS
) -> list:
    """Runs that get mostly the same documents right."""
    rng = np.random.default_rng(int(1e6 * share) + seeds)
    hard = np.linspace(0, 1, rows, endpoint=False)
    return [hard + noise * rng.normal(size=rows) < share for _ in range(seeds)]


def verdicts(p: Predictions, **options) -> dict[str, str]:
    table = comparisons.differences(p, by="head", **options)
    return dict(zip(table["compared"], table["verdict"], strict=True))


def test_a_difference_is_bold_where_its_interval_leaves_out_zero():
    p = made_of({"a": some_right(), "b": some_right(share=0.92), "c": some_right(share=0.9005)})
    table = comparisons.differences(p, by="head", verdict=True)
    significant = [i for i, row in table.iterrows() if row["verdict"] == "significant"]
    assert len(significant) == 2
    for i, row in table.iterrows():
        leaves_out_zero = row["accuracy_low"] > 0 or row["accuracy_high"] < 0
        assert leaves_out_zero == (row["p"] < 0.05) == (i in significant)
    assert table.attrs["bold"] == [(i, "accuracy") for i in significant]
    assert "accuracy difference (points)" in markdown(table).splitlines()[0]
    assert "3 comparisons together" in table.attrs["note"]


def test_intervals_widen_with_the_family():
    two = {"a": some_right(), "b": some_right(share=0.92)}
    alone = comparisons.differences(made_of(two), by="head").iloc[0]
    three = comparisons.differences(made_of(two | {"c": some_right(share=0.8)}), by="head").iloc[0]
    assert alone["compared"] == three["compared"] == "b − a"
    assert three["accuracy_high"] > alone["accuracy_high"] and three["p"] > alone["p"]
    assert three["p"] == pytest.approx(1 - (1 - alone["p"]) ** 3)


def test_equality_is_claimed_against_one_point_only():
    p = made_of({"a": some_right(), "b": some_right(share=0.901)})
    assert verdicts(p) == {"b − a": "equal within 1 point"}
    few = made_of({"a": some_right(rows=200), "b": some_right(share=0.901, rows=200)})
    assert verdicts(few) == {"b − a": "not significant"}
    note = comparisons.differences(p, by="head").attrs["note"]
    assert "two one-sided tests against 1 point" in note


def test_of_a_correlation_nothing_is_said_in_points():
    p = made_of({"a": some_right(rows=9000), "b": some_right(rows=9000, share=0.901)})
    table = comparisons.differences(p, by="head", metric="mcc")
    assert set(table["verdict"]) == {"equal within 0.01"}
    assert "two one-sided tests against 0.01" in table.attrs["note"]
    assert "point" not in markdown(table) + table.attrs["note"] + captions.differences("mcc")
    assert "in percentage points" in captions.differences("accuracy")


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_are_no_verdict(seeds):
    p = made_of({"a": some_right(), "b": some_right(share=0.5, seeds=seeds)})
    table = comparisons.differences(p, by="head", verdict=True)
    assert table["verdict"].tolist() == ["fewer than 3 seeds"]
    assert table[["accuracy_low", "accuracy_high", "p"]].isna().all(axis=None)
    assert table.attrs["bold"] == [] and np.isnan(table.attrs["detectable"])
    scores = tables.by_group(p, by="head", metrics=["accuracy"])
    text = markdown(scores)
    shown = [f"{100 * right.mean():.1f}" for right in some_right(share=0.5, seeds=seeds)]
    assert f"({', '.join(shown)})" in text if seeds == 2 else f"| {shown[0]} |" in text
    assert "fewer than 3 seeds" in findings.outlook(p, by="head")
    assert "nan" not in text


def test_one_run_against_one_run_is_mcnemars_exact_test():
    p = made_of({"a": some_right(seeds=1), "b": some_right(share=0.93, seeds=1, noise=0.1)})
    row = comparisons.differences(p, by="head").iloc[0]
    one, other = some_right(seeds=1)[0], some_right(share=0.93, seeds=1, noise=0.1)[0]
    assert row["p"] == pytest.approx(stats.mcnemar(one, other)) and row["p"] < 0.05
    assert row["verdict"] == "significant" and np.isnan(row["accuracy_low"])
    note = comparisons.differences(p, by="head").attrs["note"]
    assert "McNemar's exact test, of these two models" in note
    macro = comparisons.differences(p, by="head", metric="macro_f1").iloc[0]
    assert macro["verdict"] == "fewer than 3 seeds"  # McNemar's test is of accuracy


def test_a_baseline_has_no_seeds_to_want():
    heads = {"a": some_right(), "base": some_right(share=0.7, seeds=1)}
    p = made_of(heads, {"base": "tfidf"})
    row = comparisons.differences(p, by="head").iloc[0]
    assert row["compared"].startswith("TF-IDF") and row["verdict"] == "significant"
    assert row["seeds"] == 3
    scores = tables.by_group(p, by="head", metrics=["accuracy"])
    assert scores["accuracy_low"].notna().all() and "accuracy_values" not in scores


def test_groups_of_unlike_size_say_so():
    p = made_of({"a": some_right(), "b": some_right(share=0.92, seeds=5)})
    assert comparisons.differences(p, by="head")["seeds"].tolist() == ["5 and 3"]


def same_predictions(p: Predictions, key: str, of: str) -> Predictions:
    """With the predictions of one run in another's place."""
    frame = p.frame.copy()
    columns = ["logit_0", "logit_1"]
    frame.loc[frame["run"] == key, columns] = p.frame.loc[p.frame["run"] == of, columns].to_numpy()
    return dataclasses.replace(p, frame=frame)


def test_groups_that_are_the_same_model_are_said_to_be():
    p = made_of({"a": some_right(), "b": some_right(), "c": some_right(share=0.92)})
    for seed in (1, 2, 3):
        p = same_predictions(p, f"b{seed}", f"a{seed}")
    table = comparisons.differences(p, by="head")
    row = table.set_index("compared").loc["b − a"]
    assert row["verdict"] == "the same model" and np.isnan(row["p"])
    assert (row["accuracy"], row["accuracy_low"], row["accuracy_high"]) == (0, 0, 0)
    assert "2 comparisons together" in table.attrs["note"]  # the family is what is tested
    assert "Runs that are the same model on both sides: b − a (3)." in table.attrs["note"]
    pairs = list(pairs_of(p, by="head", metric="accuracy"))
    table = comparisons.comparison_table(pairs, [f"pair {i}" for i in range(len(pairs))])
    assert "same model on both sides: pair 0 (3)." in table.attrs["note"]


def test_runs_that_are_the_same_model_are_counted_once():
    p = same_predictions(made_of({"a": some_right(seeds=4), "b": some_right()}), "a2", "a1")
    row = tables.by_group(p, by="head", metrics=["accuracy"]).iloc[0]
    assert row["seeds"] == 3
    right = some_right(seeds=4)
    assert row["accuracy"] == pytest.approx(np.mean([right[i].mean() for i in (0, 2, 3)]))
    assert comparisons.differences(p, by="head").iloc[0]["seeds"] == 3
    collapsed = made_of({"a": [np.ones(50, bool)] * 3, "b": [np.ones(50, bool)] * 3})
    assert verdicts(collapsed) == {"b − a": "not significant"}  # alike in labels, not in logits


def test_choices_among_the_same_runs_are_compared_seed_by_seed():
    rng = np.random.default_rng(0)
    hard = np.linspace(0, 1, ROWS, endpoint=False)
    of_seed = [0.80, 0.90, 0.70]  # seeds differ much more than choices do
    right = {
        name: [hard + 0.01 * rng.normal(size=ROWS) < share + gain for share in of_seed]
        for name, gain in (("dev", 0.0), ("test", 0.02))
    }
    p = made_of(right)
    nested, paired = [
        next(pairs_of(p, by="head", metric="accuracy", paired=paired)) for paired in (False, True)
    ]
    assert nested.estimate.value == pytest.approx(paired.estimate.value)
    assert paired.p < 0.05 < nested.p
    without = p.only({key: run for key, run in p.runs.items() if key != "dev1"})
    assert next(pairs_of(without, by="head", metric="accuracy", paired=True)).seeds == 2


def test_several_labels_are_compared_by_their_own_metrics():
    p = taggers()
    other = {
        f"x{key}": run | {"config": run["config"] | {"head": "other"}}
        for key, run in p.runs.items()
    }
    frame = p.frame.assign(run="x" + p.frame["run"].astype(str))
    frame[["logit_0", "logit_1", "logit_2"]] -= 20.0  # it gives no label
    both = dataclasses.replace(p, frame=pd.concat([p.frame, frame]), runs=p.runs | other)
    for metric in ("P@1", "micro_f1", "macro_f1", "nDCG@3"):
        table = comparisons.differences(both, by="head", metric=metric)
        assert table[f"{metric}_low"].notna().all()
        assert table["p"].between(0, 1).all()


def test_names_with_a_minus_are_names():
    p = made_of({"a − b": some_right(), "a": some_right(share=0.95), "b": some_right(share=0.8)})
    table = tables.by_group(p, by="head", metrics=["accuracy"], verdict=True)
    assert table.attrs["bold"] == [(1, "accuracy")]


def test_the_verdict_is_the_same_whatever_the_order_of_documents():
    p = classifiers()
    shuffled = p.frame.sample(frac=1, random_state=0).sort_values("row", ascending=False)
    again = dataclasses.replace(p, frame=shuffled)
    one, other = [comparisons.differences(each, by="head") for each in (p, again)]
    pd.testing.assert_frame_equal(one, other)


def test_other_documents_are_not_compared():
    p = made_of({"a": some_right(), "b": some_right(rows=300)})
    with pytest.raises(InputError, match="a and b were not scored on the same test documents"):
        comparisons.differences(p, by="head")
