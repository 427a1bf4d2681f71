"""The distillation study end to end on a tiny transformer, and what its page is made of."""

import numpy as np
import pandas as pd
import pytest

from lib.analysis.predictions import Predictions
from lib.publish import study
from lib.publish.verify import verify
from notebooks import distillation, distillation_arms, distillation_findings

FILES = {
    "README.md",
    "page.json",
    "predictions.parquet",
    "history.csv",
    "environment.json",
    "audit.csv",
    "ensembles.csv",
    "survival.csv",
    "at_half.csv",
    "gains.csv",
    "across.csv",
    "across_gains.csv",
    "speed.csv",
    "exports.csv",
    "runs.csv",
    "accuracy_by_depth.png",
    "frontier.png",
    "loss_terms.png",
}


def test_distillation_makes_its_page_and_a_rerun_changes_nothing(
    tiny, folder, no_kernel, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(study, "RESULTS", tmp_path / "results")
    small = {
        "dataset": str(folder),
        "train_rows": 0,
        "dev_rows": 12,
        "test_rows": 0,
        "max_length": 16,
        "half": 2,
    }
    small |= {
        "backbone": tiny["bert"],
        "epochs": 3,
        "teacher_epochs": 5,
        "milestones": [4],
        "seeds": [1, 2],
    }
    small |= {
        "student_layers": [[1], [0, 1]],
        "batch_size": 8,
        "learning_rate": 3e-3,
        "teacher_learning_rate": 3e-3,
    }
    small |= {"timed_texts": 8}
    small |= {"methods": ["soft labels", "+ attentions"], "cross_teacher": tiny["roberta"]}
    page_folder = study.run_study("distillation", overrides=small, publish_as="tiny")
    assert {file.name for file in page_folder.iterdir()} == FILES
    text = (page_folder / "README.md").read_text()
    assert text.index("](accuracy_by_depth.png)") < text.index("## What survives")
    assert text.index("## What survives") < text.index("## Another architecture")
    for name in FILES:
        assert not name.endswith(".png") or f"]({name})" in text
    check = verify(page_folder)
    assert check.compared > 20 and not check.wrong
    assert check.unchecked == [
        f"{name}: measured on the machine that made the page" for name in ("speed", "exports")
    ]
    before = {file.name: file.read_bytes() for file in page_folder.iterdir()}
    capsys.readouterr()
    study.run_study("distillation", overrides=small, publish_as="tiny")
    assert "26 runs: 0 trained, 26 from the store" in capsys.readouterr().out
    after = {file.name: file.read_bytes() for file in page_folder.iterdir()}
    assert {name for name in before if before[name] != after[name]} <= {"environment.json"}

    p = Predictions.read(page_folder / "predictions.parquet")
    table = distillation.survival(p)
    assert table["layers"].tolist() == ["all"] + ["1"] * 4 + ["2"] * 4 + ["–"] * 4
    taught = ["soft labels", "soft labels + hidden states + attentions"]
    ways = [distillation_arms.ALONE, distillation_arms.CONTROL, *taught]
    assert table["student"].tolist()[:9] == ["teacher", *ways, *ways]
    assert set(table["student"]) >= {"TF-IDF, whole text", "majority class"}
    at_half = distillation.survival(p, layers=2)
    assert at_half["student"].tolist() == ["teacher", *ways, at_half.attrs["reference"]]
    groups = {group.name: group for group in distillation_arms.named(p).groups("student")}
    own, teacher = groups["2 layers, soft labels"], groups["teacher"]
    row = table[(table["layers"] == "2") & (table["student"] == "soft labels")].iloc[0]
    assert row["agreement"] == pytest.approx((own.predicted == teacher.predicted).mean())
    ratio = (own.predicted == own.labels).mean(1) / (teacher.predicted == own.labels).mean(1)
    assert row["kept"] == pytest.approx(ratio.mean()) and np.isnan(row["kept_low"])
    assert [float(value) for value in row["kept_values"].split()] == pytest.approx(ratio, abs=1e-6)
    assert (
        table["accuracy"].iloc[0] > 0.8
        and 0 < row["agreement"] < 1.001
        and table["agreement"].nunique() > 2
    )
    together = distillation.ensembles(p).set_index("student")["accuracy"]
    assert len(together) == 9 and together.index[0] == "teacher, ensemble of 2 seeds"
    right = teacher.logits.mean(0).argmax(1) == teacher.labels
    assert together.iloc[0] == pytest.approx(right.mean())
    gains = distillation.gains(p)
    assert gains["compared"].tolist()[:3] == [
        f"1 layer: {distillation_arms.CONTROL} − {distillation_arms.ALONE}",
        f"1 layer: soft labels − {distillation_arms.CONTROL}",
        f"1 layer: {taught[1]} − {distillation_arms.CONTROL}",
    ]
    control = groups[f"1 layer, {distillation_arms.CONTROL}"]
    gained = groups["1 layer, soft labels"].right.mean() - control.right.mean()
    assert len(gains) == 6 and gains["accuracy"].iloc[1] == pytest.approx(gained)
    check_scores_by_one_rule(p)
    check_another_architecture(p)
    history = pd.read_csv(page_folder / "history.csv")
    assert {"dev_soft", "dev_hidden", "dev_attentions"} <= set(history)
    [bullet] = [line for line in text.splitlines() if "times as many texts" in line]
    assert bullet.startswith("- The student of 2 layers labels **")
    speed = pd.read_csv(page_folder / "speed.csv")
    assert set(speed["model"]) == {"teacher", "1 layer", "2 layers"} and len(speed) == 14
    assert np.isfinite(speed["texts per second"]).all() and distillation_findings.faster(
        speed, 2
    ).startswith("The student of 2 layers labels **")


def check_scores_by_one_rule(p: Predictions) -> None:
    """Teachers and students are scored at the epoch that dev chooses; a control starts like the
    taught ones, and only its losses differ."""
    configs = [run["config"] for run in p.trained.values()]
    assert len({config["select_by"] for config in configs}) == 1
    assert {config["precision"] for config in configs} == {"fp32"}
    cut = [config for config in configs if config["distil"] and config["distil"]["student_layers"]]
    controls = [config for config in cut if set(config["distil"]["weights"]) == {"hard"}]
    starts = {(config["seed"], str(config["distil"]["student_layers"])) for config in cut}
    assert len(controls) == len(starts) == 4


def check_another_architecture(p: Predictions) -> None:
    """A student of another architecture, its teacher and its control are compared alone."""
    roles = list(dict.fromkeys(distillation_arms.roles_across(p).values()))
    table = distillation.across(p)
    assert table["seeds"].tolist() == [2, 2, 2] and sorted(table["role"]) == sorted(roles)
    kinds = sorted(role.rpartition(", ")[2].split(" of ")[0] for role in roles)
    assert kinds == ["labels alone", "soft labels", "teacher"]
    assert len(distillation.across_gains(p)) == 3
    assert distillation_arms.depths(p) == [1, 2]
    runs = distillation.by_student_run(p, metrics=["accuracy"])
    assert len(runs) == 22 and not runs["student"].isna().any()


# ---- sentences, from predictions of many seeds

LABELS = np.arange(400) % 2


def run_of(right: int, seed: int, **config) -> tuple[dict, int]:
    return {"seed": seed, "layers": None, "distil": None, "backbone": "tiny"} | config, right


def predictions(seeds: int, soft: int, pretrained: int = 330) -> Predictions:
    """A teacher, its two-layer students and a reference, right about so many of 400 documents."""
    runs = []
    for seed in range(1, seeds + 1):
        teacher = f"{seed:016d}"
        distil = {"teacher": teacher, "student_layers": [0, 1]}
        runs.append(run_of(360 + seed, seed))
        runs.append(run_of(pretrained + seed, seed, layers=2))
        for weights, right in (({"hard": 1}, 340), ({"soft": 1}, soft)):
            runs.append(run_of(right + seed, seed, distil=distil | {"weights": weights}))
    runs.append(run_of(320, 1, reference="tfidf"))
    runs.append(run_of(200, 1, reference="majority"))
    facts = {}
    frames = []
    teachers = iter(f"{seed:016d}" for seed in range(1, seeds + 1))
    for number, (config, right) in enumerate(runs):
        is_teacher = config["distil"] is None and not config["layers"] and "reference" not in config
        key = next(teachers) if is_teacher else f"{number:08d}" + "a" * 8
        facts[key] = {"config": config, "status": "finished", "chosen_epoch": 1, "last_epoch": 1}
        logits = np.where((np.arange(400) < right) == (LABELS == 1), 1.0, -1.0)
        for split in ("dev", "test"):
            rows = {"run": key, "split": split, "epoch": 1, "row": np.arange(400), "tokens": 9}
            rows |= {"label": LABELS, "logit_0": -logits, "logit_1": logits}
            frames.append(pd.DataFrame(rows))
    return Predictions(pd.concat(frames, ignore_index=True), facts, ("no", "yes"))


def test_sentences_say_what_the_control_and_the_baseline_reach():
    p = predictions(3, soft=355)
    assert distillation_findings.answer(p, layers=2) == (
        "2-layer students reach 89.2 % (teacher 90.5 %, TF-IDF 80.0 %), significantly above "
        "85.5 % on labels alone."
    )
    best = distillation_findings.best(p, layers=2)
    assert best["best"]["name"] == "2-layer student" and best["best"]["score"] == 0.8925
    assert best["reference"]["score"] == 0.8
    told = distillation_findings.survives(p, layers=2)
    assert told.startswith("At 2 layers dev chooses soft labels: this student keeps 98.6 % of its ")
    assert "of its teacher's accuracy (95 % interval 9" in told
    assert distillation_findings.gained(p) == (
        "A teacher's outputs help significantly in 1 of 1 comparison with labels alone (2 layers: "
        "soft labels by 3.8 points)."
    )
    assert "is 9.3 points better than TF-IDF, whole text (95 % interval +" in (
        distillation_findings.beyond(p, layers=2)
    )


def test_without_an_interval_no_share_is_claimed_to_be_kept():
    p = predictions(2, soft=355)
    told = distillation_findings.survives(p, layers=2)
    assert "keeps" not in told and "is 1.3 points below its teacher, too few seeds" in told
    assert distillation_findings.gained(p).endswith("is not tested, with fewer than 3 seeds.")


def test_a_gain_that_is_not_significant_is_not_called_one():
    told = distillation_findings.gained(predictions(3, soft=340))
    assert told.startswith(
        "A teacher's outputs help significantly in none of 1 comparison with labels alone; the "
        "largest gain is 0.0 points (2 layers: soft labels; 95 % interval "
    )


def test_the_answer_names_the_better_of_the_students_on_labels_alone():
    p = predictions(3, soft=355, pretrained=354)
    told = distillation_findings.answer(p, layers=2)
    assert told.endswith("within 1 point of 89.0 % on labels alone.")
    told = distillation_findings.beside_pretrained(p, layers=2)
    start = "At 2 layers, soft labels is 0.3 points better than pretrained layers on labels alone"
    assert told.startswith(f"{start} (95 % interval ") and "equal within 1 point" in told
