"""The distillation study end to end on a tiny transformer, and what its page is made of."""

import numpy as np
import pandas as pd
import pytest

from lib.analysis.predictions import Predictions
from lib.publish import study
from lib.publish.verify import verify
from notebooks import distillation, distillation_findings

FILES = {
    "README.md",
    "page.json",
    "predictions.parquet",
    "history.csv",
    "environment.json",
    "audit.csv",
    "survival.csv",
    "gains.csv",
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
    small |= {"methods": [distillation.ALONE, "soft labels", "+ attentions"]}
    page_folder = study.run_study("distillation", overrides=small, publish_as="tiny")
    assert {file.name for file in page_folder.iterdir()} == FILES
    text = (page_folder / "README.md").read_text()
    assert (
        text.index("## Findings")
        < text.index("## What survives")
        < text.index("## How it was made")
    )
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
    assert "16 runs: 0 trained, 16 from the store" in capsys.readouterr().out
    after = {file.name: file.read_bytes() for file in page_folder.iterdir()}
    assert {name for name in before if before[name] != after[name]} <= {"environment.json"}

    p = Predictions.read(page_folder / "predictions.parquet")
    table = distillation.survival(p)
    assert table["layers"].tolist() == ["all"] + ["1"] * 3 + ["2"] * 3 + ["–"] * 2
    assert set(table["student"]) >= {"teacher", *small["methods"], "TF-IDF, whole text"}
    groups = {group.name: group for group in distillation.named(p).groups("student")}
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
    gains = distillation.gains(p)
    assert len(gains) == 4 and gains["compared"].str.endswith(f" − {distillation.ALONE}").all()
    alone = groups[f"1 layer, {distillation.ALONE}"]
    first = groups["1 layer, soft labels"].right.mean() - alone.right.mean()
    assert gains.set_index("compared").loc[
        f"1 layer: soft labels − {distillation.ALONE}", "accuracy"
    ] == pytest.approx(first)
    history = pd.read_csv(page_folder / "history.csv")
    assert {"dev_soft", "dev_hidden", "dev_attentions"} <= set(history)
    speed = pd.read_csv(page_folder / "speed.csv")
    assert set(speed["model"]) == {"teacher", "1 layer", "2 layers"} and len(speed) == 14
    assert np.isfinite(speed["texts per second"]).all() and distillation_findings.faster(
        speed, 2
    ).startswith("It labels **")
