"""What the study of schedules says of its last epochs, its losses, its classes and its averages."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from lib.analysis.findings import difference_of
from lib.analysis.predictions import Predictions, collect, group_of
from lib.many.pool import run_all
from notebooks import ag_news as study
from notebooks import ag_news_claims as claims
from notebooks import ag_news_figures as figures
from tests.synthetic import classifiers, frame_of, runs_of
from tests.test_tables import say_what_their_columns_hold

SCHEDULES = ("constant", "exponential", "multistep")


def learners(last_of: dict[str, float], *, documents: int = 2000) -> Predictions:
    """Schedules of three seeds each that dev stops after the first of two epochs, where all get
    80 % right; `last_of` is the share that each gets right after the second."""
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=documents)
    hard = rng.random(documents)
    runs = runs_of(last_of)
    frames = []
    for key, run in runs.items():
        name = run["config"].pop("head")
        run["config"]["schedule"] = name
        run["last_epoch"] = 2
        for epoch, share in ((1, 0.8), (2, last_of[name])):
            noise = 0.01 * np.random.default_rng(run["config"]["seed"]).normal(size=documents)
            right = hard + noise < share
            logits = np.where(right == (labels == 1), 1.0, -1.0)
            for split in ("dev", "test"):
                columns = {"label": labels, "logit_0": -logits, "logit_1": logits}
                frames.append(frame_of(key, split, **columns).assign(epoch=epoch))
    return Predictions(pd.concat(frames, ignore_index=True), runs, ("no", "yes"))


def test_schedules_are_judged_at_the_last_epoch():
    p = learners({"constant": 0.70, "exponential": 0.80, "multistep": 0.90})
    last = study.trained_differences(p, by="schedule")
    gain = difference_of(last, "multistep", "constant", "accuracy")
    assert gain["value"] == pytest.approx(0.2, abs=0.02) and gain["verdict"] == "significant"
    chosen = study.trained_differences(p, by="schedule", epoch="chosen")
    assert set(chosen["verdict"]) == {"the same model"}
    table = study.by_schedule(p, by="schedule").set_index("schedule")
    say_what_their_columns_hold(table)
    assert table.loc["multistep", "accuracy"] == pytest.approx(0.9, abs=0.02)
    column = table.loc["multistep", "accuracy, epoch chosen on dev"]
    assert column == pytest.approx(0.8, abs=0.02)


def test_runs_that_are_one_model_are_counted_once():
    p = learners(dict.fromkeys(SCHEDULES, 0.8))
    text = claims.same_models(p, by="schedule")
    assert text == (
        "At the epoch that dev chooses, the 9 runs are 3 models: constant, exponential and "
        "multistep are one with seed 1, 2 and 3."
    )
    last = study.at_last_epoch(p)
    assert claims.same_models(classifiers(), by="head").endswith("the 9 runs are 9 models.")
    assert {run["chosen_epoch"] for run in last.runs.values()} == {2}


def test_another_backbone_is_compared_after_the_last_epoch():
    p = learners({"constant": 0.80, "multistep": 0.90})
    names = {"constant": "all-MiniLM-L6-v2", "multistep": "org/MPNet-base"}
    backbones = {key: names[run["config"]["schedule"]] for key, run in p.runs.items()}
    by_name = p.with_field("backbone", dict(sorted(backbones.items(), reverse=True)))
    told = claims.other_backbone(by_name, by="backbone")
    start = "MiniLM-L6, fine-tuned on the same texts, with multistep, too, ends at 80.2 %: "
    assert told.startswith(f"{start}MPNet-base is 9.8 points above it (95 % interval ")
    assert told.endswith("significant). All embeddings here are MPNet-base's.")


def test_training_on_is_compared_run_by_run():
    p = learners({"constant": 0.76, "exponential": 0.80, "multistep": 0.90})
    table = study.training_on(p, by="schedule", stop="score", metric="accuracy")
    say_what_their_columns_hold(table)
    last = {g.name: g.right.mean(1) for g in p.groups("schedule", epoch="last")}
    chosen = {g.name: g.right.mean(1) for g in p.groups("schedule")}
    for row in table.to_dict("records"):
        by_hand = last[row["schedule"]] - chosen[row["schedule"]]
        assert row["accuracy"] == pytest.approx(by_hand.mean())
    assert table["verdict"].tolist() == ["significant", "the same model", "significant"]


@pytest.mark.parametrize(
    ("last_of", "peak", "cure"),
    [
        (
            (0.8, 0.70, 0.90),
            "**holds**: the last epoch's macro F1 is 9.0 points lower than at the epoch",
            "**holds**: multistep's macro F1 ends",
        ),
        (
            (0.8, 0.90, 0.70),
            "**does not hold**: the last",
            "**does not hold**: multistep's macro F1 ends 18.8 points below exponential's (95 %",
        ),
        (
            (0.8, 0.80, 0.80),
            "**does not hold**: the last epoch's macro F1 is as high as at the epoch",
            "**does not hold**: multistep's macro F1 ends as high as exponential's (the same",
        ),
    ],
)
def test_the_originals_claims(last_of, peak, cure):
    p = learners(dict(zip(SCHEDULES, last_of, strict=True)))
    assert f" With exponential this {peak}" in claims.peak(p, by="schedule")
    assert f"That multistep cures it {cure}" in claims.cure(p, by="schedule")
    alone = p.where(schedule="constant")
    told = claims.peak(alone, by="schedule")
    assert told.endswith("not tested: no run with exponential reached the last epoch.")
    assert claims.cure(alone, by="schedule").endswith("one of them reached the last epoch.")


def test_where_dev_chooses_the_last_epoch_no_peak_appears():
    last = study.at_last_epoch(learners(dict(zip(SCHEDULES, (0.8, 0.7, 0.9), strict=True))))
    assert claims.peak(last, by="schedule") == (
        "The original saw its scores peak before the last epoch. Here dev chooses the last epoch "
        "with exponential in all 3 seeds: the peak **does not appear**."
    )


def test_claims_are_not_tested_with_few_seeds():
    p = learners({"constant": 0.8, "exponential": 0.7, "multistep": 0.9}).where(seed=[1, 2])
    assert "is not tested" in claims.peak(p, by="schedule")
    assert "is not tested" in claims.cure(p, by="schedule")


def test_whether_a_rise_in_dev_loss_costs_accuracy():
    p = learners({"constant": 0.75, "exponential": 0.80, "multistep": 0.90})
    table = study.overshoot(p, by="schedule").set_index("schedule")
    assert table.loc["constant", "lowest at epoch"] == 1
    assert table.loc["constant", "seeds whose loss rose"] == "3 of 3"
    text = claims.rise(p, by="schedule")
    assert text.startswith(
        "After its lowest point mean dev loss rises with constant (by 0.09). With constant, "
        "accuracy ends 4.5 points lower than at its own lowest dev loss (95 % interval −"
    )
    p = learners({"constant": 0.9, "multistep": 0.9})
    assert claims.rise(p, by="schedule").endswith("with every schedule.")


def test_a_run_is_scored_at_its_lowest_dev_loss():
    lowest = study.at_lowest_loss(learners({"constant": 0.75, "multistep": 0.9}))
    epochs = {run["config"]["schedule"]: run["chosen_epoch"] for run in lowest.runs.values()}
    assert epochs == {"constant": 1, "multistep": 2}


def test_the_answer_of_real_runs(base):
    args = {"exponential": {"gamma": 0.5}, "multistep": {"milestones": [2], "gamma": 0.1}}
    configs = study.configs(base.with_(test_every_epoch=True), {"constant": {}} | args, [1, 2, 3])
    p = collect(run_all(configs))
    text = claims.answer(p, by="schedule", what="schedules", documents="news items")
    assert " on 21 news items; " in text and len(text.split()) <= 24
    assert text.endswith(" %.")
    table = study.by_schedule(p, by="schedule")
    groups = [name for each in SCHEDULES for name in (each, f"{each}, ensemble of 3 seeds")]
    assert table["schedule"].tolist()[:6] == groups and len(table) == 10
    figure = figures.losses(run_all(configs).history, by="schedule")
    assert [len(ax.get_title(loc="left")) > 0 for ax in figure.axes] == [True] * 3


def test_an_imbalance_is_that_of_repeated_documents():
    p = classifiers()
    group = group_of(p, "head", "near")
    table = study.imbalance(p, by="head", group="near", ratio=3).set_index("majority class")
    by_hand = []
    for row in group.predicted:
        share = np.bincount(group.labels)[group.labels]  # classes alike, then one three times
        weights = np.where(group.labels == 1, 3.0, 1.0) / share
        by_hand.append(sk.f1_score(group.labels, row, average="macro", sample_weight=weights))
    assert table.loc["yes", "macro_f1"] == pytest.approx(np.mean(by_hand))


def test_a_class_has_scikit_learns_score():
    p = classifiers()
    group = group_of(p, "head", "near")
    table = study.by_class(p, by="head").set_index(["head", "class"])
    by_hand = [sk.f1_score(group.labels, row, average=None) for row in group.predicted]
    names = [("near", name) for name in p.label_names]
    assert table.loc[names, "f1"].to_numpy() == pytest.approx(np.mean(by_hand, axis=0))


def test_its_tables_say_what_their_columns_hold():
    p = classifiers()
    skewed = study.imbalance(p, by="head", group="near")
    for table in (study.by_class(p, by="head"), study.overshoot(p, by="head"), skewed):
        say_what_their_columns_hold(table)
    text = claims.averaging(p, by="head")
    assert text.startswith("On balanced classes micro F1 is ") and "10 times as frequent" in text


def test_the_names_of_two_losses_do_not_meet():
    history = pd.DataFrame({"schedule": "constant", "seed": 1, "epoch": [1, 2]})
    history = history.assign(train_loss=[0.5, 0.2], dev_loss=[0.4, 0.21])
    figure = figures.losses(history, by="schedule")
    figure.draw_without_rendering()
    names = {text.get_text(): text.get_window_extent() for text in figure.axes[0].texts[:2]}
    assert names.keys() == {"dev", "train"} and names["dev"].y0 >= names["train"].y1


def test_two_schedules_are_the_same_until_one_drops_or_nearly():
    p = learners(dict(zip(SCHEDULES, (0.8, 0.7, 0.9), strict=True)))
    for run in p.where(schedule="multistep").trained.values():
        run["config"]["schedule_args"] = {"milestones": [1]}
    same = "Multistep drops after its first epoch: up to there, it and constant do the same"
    assert claims.before_drop(p, by="schedule") == f"{same}."
    [key, *_] = p.where(schedule="multistep").trained
    rows = (p.frame["run"] == key) & (p.frame["split"] == "dev") & (p.frame["epoch"] == 1)
    p.frame.loc[rows, ["logit_0", "logit_1"]] *= 1.0005
    told = claims.before_drop(p, by="schedule")
    assert told == f"{same} but for rounding (dev losses of a seed part by 8e-05 nats at most)."
