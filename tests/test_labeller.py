"""What labels texts beyond one model as trained: what dev decided, several runs, unsure texts."""

import csv
import io
import json

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import f1_score, log_loss

from lib.errors import InputError
from lib.many.pool import run_all
from lib.reading.options import Reading
from lib.runs.config import RunConfig
from lib.runs.store import Run, load_run
from lib.use.decisions import (
    AS_TRAINED,
    Decisions,
    decisions_of,
    describe_decisions,
    of_classes,
)
from lib.use.labeller import Labeller
from lib.use.predict import predict_file
from lib.use.results import write_results
from tests.conftest import learnable, save_learnable
from tests.test_cli import cli

LONG = " ".join(["kana"] * 40)


@pytest.fixture(scope="module")
def two_seeds(tiny, tmp_path_factory):
    """Two runs of one configuration but for their seed."""
    root = tmp_path_factory.mktemp("labeller")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNS_DIR", str(root / "runs"))
        sizes = {"max_length": 16, "batch_size": 8, "dev_rows": 24, "precision": "fp32"}
        data = str(save_learnable(root / "data"))
        base = RunConfig(dataset=data, backbone=tiny["bert"], learning_rate=3e-3, **sizes)
        return run_all([base.with_(seed=1), base.with_(seed=2)], "none")


@pytest.fixture(scope="module")
def tagging(tiny, tmp_path_factory):
    """A run whose documents can have several labels."""
    root = tmp_path_factory.mktemp("tagging")
    texts, labels = learnable(80)
    tags = [f"{label}|long" if i % 3 else label for i, label in enumerate(labels)]
    pd.DataFrame({"text": texts, "label": tags}).to_csv(root / "tags.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNS_DIR", str(root / "runs"))
        sizes = {"max_length": 16, "batch_size": 8, "dev_rows": 20, "test_rows": 20}
        config = RunConfig(
            dataset=str(root / "tags.csv"),
            backbone=tiny["bert"],
            reading=Reading(label_separator="|"),
            learning_rate=3e-3,
            precision="fp32",
            **sizes,
        )
        return run_all([config], "none")[0]


def dev_of(run):
    frame = run.predictions
    return frame[(frame["split"] == "dev") & (frame["epoch"] == run.status["chosen_epoch"])]


def rows_of(text: str) -> list[dict]:
    return list(csv.DictReader(io.StringIO(text)))


def test_dev_scales_probabilities_and_changes_no_label(two_seeds, monkeypatch, capsys, tmp_path):
    run = two_seeds[0]
    decisions = decisions_of([run])
    dev = dev_of(run)
    logits = dev[["logit_0", "logit_1"]].to_numpy(np.float64)
    losses = [
        log_loss(dev["label"], softmax(logits / at, axis=1))
        for at in decisions.temperature * np.array([0.9, 1, 1.1])
    ]
    assert losses[1] < min(losses[0], losses[2]) and decisions.thresholds is None
    (tmp_path / "in.txt").write_text("kana lona\nkabe\n")
    assert cli(monkeypatch, "predict", run.folder, tmp_path / "in.txt") == 0
    scaled = capsys.readouterr()
    assert f"scaled by the temperature {decisions.temperature:.2f}, which dev chose" in scaled.err
    assert cli(monkeypatch, "predict", run.folder, tmp_path / "in.txt", "--as-trained") == 0
    plain = capsys.readouterr()
    assert "temperature" not in plain.err
    for one, other in zip(rows_of(scaled.out), rows_of(plain.out), strict=True):
        assert one["label"] == other["label"]
        chances = [float(row["probability"]) for row in (one, other)]
        odds = [np.log(chance / (1 - chance)) for chance in chances]
        assert odds[0] * decisions.temperature == pytest.approx(odds[1], rel=1e-3)


def test_labels_are_given_above_the_thresholds_of_dev(tagging, monkeypatch, capsys, tmp_path):
    names = tagging.status["label_names"]
    decisions = decisions_of([tagging])
    dev = dev_of(tagging)
    gold = np.stack([(dev.filter(like="gold_") == i).any(axis=1) for i in range(3)], axis=1)
    ranked = dev.filter(like="top_").to_numpy()
    logits = np.take_along_axis(dev.filter(like="logit_").to_numpy(), ranked.argsort(1), axis=1)
    for i in range(3):
        f1 = [f1_score(gold[:, i], logits[:, i] > at) for at in (0, decisions.thresholds[i])]
        assert f1[1] >= f1[0]
    assert names[0] in describe_decisions(decisions, names)
    labeller = Labeller([tagging], Decisions(2.0, np.array([100.0, -100.0, -100.0])))
    (tmp_path / "in.txt").write_text("kana lona\n")
    predict_file(labeller, str(tmp_path / "in.txt"), None, None, Reading(), every=True)
    (row,) = rows_of(capsys.readouterr().out)
    assert row["label"] == "|".join(names[1:])
    wanted = torch.sigmoid(tagging.logits_of(["kana lona"])[0][0].double() / 2)
    each = [float(row[f"probability_{name}"]) for name in names]
    assert each == pytest.approx(wanted.tolist(), abs=1e-6)
    margin = labeller.margins(np.array([[99.0, 5.0, 5.0], [0.0, -99.5, 9.0]]))
    assert margin.tolist() == [1.0, 0.5]


def test_what_dev_decided_stands_beside_the_model(tagging):
    write_results(tagging)
    decisions = decisions_of([tagging])
    written = json.loads((tagging.folder / "model" / "decisions.json").read_text())
    assert written["temperature"] == decisions.temperature
    chances = torch.sigmoid(torch.from_numpy(decisions.thresholds) / decisions.temperature)
    assert list(written["thresholds"]) == tagging.status["label_names"]
    assert list(written["thresholds"].values()) == pytest.approx(chances.tolist(), abs=1e-6)
    load_run(tagging.folder).predict(["kana"])  # the seal holds


def test_several_runs_label_by_the_mean_of_their_logits(two_seeds, monkeypatch, capsys, tmp_path):
    texts = ["kana lona mici", "kabe kabe", "peci soso rido"]
    (tmp_path / "in.txt").write_text("\n".join(texts) + "\n")
    folders = [run.folder for run in two_seeds]
    words = ("predict", *folders, tmp_path / "in.txt", "--as-trained", "--all")
    assert cli(monkeypatch, *words) == 0
    rows = rows_of(capsys.readouterr().out)
    mean = torch.stack([run.logits_of(texts)[0] for run in two_seeds]).double().mean(0)
    wanted = mean.softmax(1)
    assert [float(row["probability_yes"]) for row in rows] == pytest.approx(
        wanted[:, 1].tolist(), abs=1e-6
    )
    assert [row["label"] for row in rows] == [("no", "yes")[i] for i in mean.argmax(1)]
    dev = [dev_of(run).sort_values("row") for run in two_seeds]
    logits = np.mean([frame[["logit_0", "logit_1"]].to_numpy(np.float64) for frame in dev], axis=0)
    both = decisions_of(list(two_seeds))
    assert both == of_classes(logits, dev[0]["label"])
    assert both.temperature != decisions_of([two_seeds[0]]).temperature


def test_a_dev_without_an_error_scales_nothing():
    labels = pd.Series([0, 1] * 10)
    logits = np.where(np.arange(2) == labels.to_numpy()[:, None], 1.0, -1.0)
    assert of_classes(logits, labels) is AS_TRAINED
    assert of_classes(logits[::-1], labels) is AS_TRAINED  # nothing right
    labels[0] = 1
    assert 0.1 < of_classes(logits, labels).temperature < 1
    assert of_classes(logits[:, :1], labels + 1) is AS_TRAINED  # labels that train lacks


def test_runs_of_other_labels_have_no_mean(two_seeds, tagging):
    with pytest.raises(InputError, match="have other labels, and so no mean of logits"):
        Labeller([two_seeds[0], tagging])


def test_the_best_labels_are_given(two_seeds, capsys, tmp_path):
    (tmp_path / "in.txt").write_text("kana\n\n")
    run = two_seeds[0]
    predict_file(run, str(tmp_path / "in.txt"), None, None, Reading(), top=5)
    rows = rows_of(capsys.readouterr().out)
    chances = run.predict(["kana"])[1][0]
    best = np.argsort(-chances)
    assert rows[0]["label"] == "|".join(("no", "yes")[i] for i in best)
    assert rows[0]["probability"] == "|".join(f"{chances[i]:.6f}" for i in best)
    assert rows[1]["label"] == rows[1]["probability"] == ""


@pytest.mark.parametrize("chunk", [2, 100])
def test_the_least_sure_texts_are_written(chunk, trained, monkeypatch, tmp_path):
    margins = {"a": 0.9, "b": 0.1, "c": 0.5, "d": 0.0, "e": 0.5, "": 0}

    def logits(run, texts):
        chances = [[0.5 + margins[text] / 2, 0.5 - margins[text] / 2] for text in texts]
        return torch.tensor(chances).double().log(), np.zeros(len(texts))

    monkeypatch.setattr("lib.runs.store.Run.logits_of", logits)
    monkeypatch.setattr("lib.use.predict.CHUNK", chunk)
    rows = [{"id": i, "text": text} for i, text in enumerate(["a", "b", "", "c", "b", "d", "e"])]
    pd.DataFrame(rows).to_csv(tmp_path / "in.csv", index=False)
    out = tmp_path / "out.csv"
    count = predict_file(
        Run(trained.folder), str(tmp_path / "in.csv"), out, "text", Reading(), keep=["id"], unsure=3
    )
    assert count == 3 and pd.read_csv(out)["text"].tolist() == ["d", "b", "c"]
    assert pd.read_csv(out)["id"].tolist() == [5, 1, 3]


def test_texts_that_lose_tokens_are_counted(two_seeds, monkeypatch, capsys, tmp_path):
    (tmp_path / "in.txt").write_text(f"kana\n{LONG}\n{LONG}\n")
    out = tmp_path / "out.csv"
    words = ("predict", two_seeds[0].folder, tmp_path / "in.txt", "--out", out)
    assert cli(monkeypatch, *words) == 0
    assert capsys.readouterr().err.splitlines()[-1] == (
        "2 of 3 texts lost tokens: the model reads 16 tokens at a time (truncation: head)"
    )


def test_of_numbers_no_probabilities_are_written(trained, monkeypatch, tmp_path):
    monkeypatch.setattr(
        "lib.runs.store.Run.model", (None, {"label_names": ["n"], "task": "regression"})
    )
    (tmp_path / "in.txt").write_text("kana\n")
    for options in ({"top": 2}, {"every": True}, {"unsure": 1}):
        with pytest.raises(InputError, match="^The run predicts numbers"):
            predict_file(
                Run(trained.folder), str(tmp_path / "in.txt"), None, None, Reading(), **options
            )


def test_a_file_must_come_after_several_runs(two_seeds, monkeypatch, capsys):
    folders = [run.folder for run in two_seeds]
    assert cli(monkeypatch, "predict", *folders) == 1
    assert f"{folders[1]} is a folder; behind the runs, name a file" in capsys.readouterr().err
