"""The study of a table of one's own, whatever its task: from the file to the page, the model and
the predictions."""

import gzip
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lib.data import load_corpus
from lib.errors import InputError
from lib.many.pool import run
from lib.metrics import regression_scores
from lib.models import build_model, load_model, save_model
from lib.publish import study
from lib.publish.verify import verify
from lib.reading.options import Reading
from lib.runs.config import RunConfig
from lib.tokenization import encode
from lib.use.results import write_results
from tests.conftest import WORDS, learnable

ROWS = 120


def table(kind: str, path: Path) -> dict:
    """A file of a kind, and what says how it is read."""
    texts, labels = learnable(ROWS, 5)
    frame = pd.DataFrame({"words": texts, "answer": labels})
    if kind == "pair":
        other, same = learnable(ROWS, 6)
        frame = pd.DataFrame(
            {
                "one": texts,
                "two": other,
                "answer": ["same" if a == b else "not" for a, b in zip(labels, same, strict=True)],
            }
        )
        frame.loc[frame.index % 3 == 0, "answer"] = "not"
        frame.to_csv(path / "pair.csv", index=False)
        return {
            "dataset": str(path / "pair.csv"),
            "text": "one",
            "label": "answer",
            "text_pair": "two",
        }
    if kind == "several":
        frame["answer"] = [
            f"{label};{'long' if len(text.split()) > 6 else 'short'}"
            for text, label in zip(texts, labels, strict=True)
        ]
        frame.to_csv(path / "several.csv", index=False, sep="\t")
        (path / "several.csv").rename(path / "several.tsv")
        return {
            "dataset": str(path / "several.tsv"),
            "text": "words",
            "label": "answer",
            "label_separator": ";",
        }
    if kind == "number":
        frame["answer"] = [
            1000 * len(text.split()) + 5000 * (label == "yes")
            for text, label in zip(texts, labels, strict=True)
        ]
        frame.to_json(path / "number.json", orient="records")
        return {
            "dataset": str(path / "number.json"),
            "text": "words",
            "label": "answer",
            "task": "regression",
        }
    with gzip.open(path / "plain.csv.gz", "wt", encoding="latin-1") as file:
        file.writelines(
            f"{i};{text} café;{label}\n"
            for i, (text, label) in enumerate(zip(texts, labels, strict=True))
        )
    return {
        "dataset": str(path / "plain.csv.gz"),
        "text": "2",
        "label": "3",
        "labels": ["yes", "no"],
        "delimiter": ";",
        "encoding": "latin-1",
        "header": False,
    }


WANTED = {
    "plain": {"report.csv", "confusion.csv", "calibration.csv", "reliability.png", "balance.csv"},
    "pair": {"report.csv", "confusion.csv", "calibration.csv", "reliability.png", "balance.csv"},
    "several": {
        "report.csv",
        "thresholds.csv",
        "label_thresholds.csv",
        "calibration.csv",
        "balance.csv",
    },
    "number": {"predicted.png"},
}


@pytest.mark.parametrize("kind", WANTED)
def test_a_study_of_any_table(kind, tiny, tmp_path, monkeypatch, no_kernel):
    monkeypatch.setattr(study, "RESULTS", tmp_path / "results")
    overrides = table(kind, tmp_path)
    sizes = {
        "train_rows": 0,
        "dev_rows": 24,
        "test_rows": 30,
        "max_length": 32,
        "epochs": 2,
        "seeds": [1, 2],
    }
    settings = sizes | {
        "backbone": tiny["bert"],
        "layers": 0,
        "learning_rate": 3e-3,
        "batch_size": 8,
        "tracker": "none",
    }
    folder = study.run_study("your_data", overrides=overrides | settings)
    assert folder.name.startswith(f"own--{kind}--")
    assert WANTED[kind] | {
        "scores.csv",
        "audit.csv",
        "suspicious.csv",
        "label_errors.csv",
        "README.md",
    } <= {file.name for file in folder.iterdir()}
    text = (folder / "README.md").read_text()
    seen = re.sub("<!--.*?-->", "", text.split("## How it was made")[0])
    assert "fine-tuning reaches " in seen and str(tmp_path) not in seen
    check = verify(folder)
    assert check.compared > 15 and not check.wrong
    kept = [line.split(":")[0] for line in check.unchecked]  # texts are explained, pairs are not
    assert kept == ["why"] * (kind == "plain") + ["cost"]


def test_numbers_come_out_in_their_unit(tiny, tmp_path):
    dataset = table("number", tmp_path)["dataset"]
    config = RunConfig(
        dataset=dataset,
        text="words",
        label="answer",
        reading=Reading(task="regression"),
        dev_rows=20,
        test_rows=30,
        backbone=tiny["bert"],
        max_length=24,
        epochs=8,
        batch_size=8,
        learning_rate=3e-3,
        select_by="rmse",
        precision="fp32",
    )
    finished = run(config, tracker="none")
    predicted = finished.predictions.query(
        f"split == 'test' and epoch == {finished.status['chosen_epoch']}"
    )
    logits, labels = predicted["logit_0"].to_numpy(), predicted["label"].to_numpy()
    assert (logits > 2000).all() and (logits < 20000).all()
    assert regression_scores(logits, labels)["pearson"] > 0.5
    corpus = load_corpus(
        dataset,
        text="words",
        label="answer",
        dev_rows=20,
        test_rows=30,
        reading=config.reading,
    )
    values, array = finished.predict(corpus.test.texts)
    assert np.allclose(values, logits, rtol=1e-3) and array.shape == (30, 1)
    from transformers import pipeline

    scored = pipeline(
        "text-classification",
        model=str(finished.folder / "model"),
        tokenizer=str(finished.folder / "model"),
    )
    assert scored(corpus.test.texts[0])[0]["score"] == pytest.approx(values[0], rel=1e-3)
    errors = finished.history["dev_rmse"]
    assert errors.min() == errors[finished.status["chosen_epoch"] - 1]
    write_results(finished)
    card = (finished.folder / "model" / "README.md").read_text()
    assert card.startswith("---\npipeline_tag: text-classification")
    assert "predicts answer, a number" in card
    classes = RunConfig(dataset="demo_news", train_rows=40, dev_rows=20, test_rows=20)
    with pytest.raises(InputError, match=r"train_mean is for real numbers"):
        run(classes.baseline("train_mean"))


@pytest.mark.parametrize("head", ["native", "mean"])
def test_folding_the_unit_changes_nothing(tiny, tmp_path, head):
    model = build_model(tiny["bert"], head=head, num_labels=1, seed=3).eval()
    ids, mask, _ = encode([" ".join(WORDS[:5]), WORDS[7]], tiny["bert"], max_length=12)
    model.unit = (200.0, 30.0)
    before = model(ids, mask)
    options = {"max_length": 12, "truncation": "head", "task": "regression"}
    save_model(
        model,
        tmp_path / "m",
        head=head,
        dropout=0.1,
        label_names=["x"],
        backbone=tiny["bert"],
        **options,
    )
    assert torch.allclose(load_model(tmp_path / "m")[0](ids, mask), before, rtol=1e-5)


def test_a_page_of_a_template_whose_test_lacks_a_class(tiny, tmp_path, monkeypatch, no_kernel):
    """Every test row is nearly one of train's, a class is in none of them, and nothing is
    learned."""
    monkeypatch.setattr(study, "RESULTS", tmp_path / "results")
    words = " ".join(WORDS[:9])
    for name, rows, classes in (("train", 60, 3), ("test", 20, 2)):
        lines = [f"{words} {name}{i},c{i % classes}" for i in range(rows)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    settings = {"backbone": tiny["bert"], "learning_rate": 1e-9, "max_length": 16, "epochs": 1}
    settings["layers"] = 0
    settings |= {"train_rows": 0, "dev_rows": 12, "test_rows": 0, "seeds": [1], "tracker": "none"}
    folder = study.run_study("your_data", overrides={"dataset": str(tmp_path)} | settings)
    text = (folder / "README.md").read_text()
    assert "Every test document has a near-duplicate in train or dev: without them, nothing" in text
    assert "Test has no document of 1 of 3 classes (c2): macro F1 is the mean over those" in text
    assert "Macro F1 is the mean over the classes that occur in test or are predicted." in text
    assert "**1 of 1 seed learned nothing**" in text
    assert text.count("Which labels may be wrong cannot be said: the model learned nothing.") == 2
    assert not verify(folder).wrong


def test_a_page_in_folds_is_about_every_row(tiny, tmp_path, monkeypatch, no_kernel):
    monkeypatch.setattr(study, "RESULTS", tmp_path / "results")
    overrides = table("plain", tmp_path) | {"folds": 2, "seeds": [1], "epochs": 1, "layers": 0}
    overrides |= {"backbone": tiny["bert"], "train_rows": 0, "dev_rows": 12, "max_length": 16}
    folder = study.run_study("your_data", overrides=overrides | {"tracker": "none"})
    scores = pd.read_csv(folder / "scores.csv")
    assert set(scores["documents"]) == {ROWS}
    runs = pd.read_csv(folder / "runs.csv", dtype=str)
    assert runs["fold"].tolist() == ["1", "2"]
    text = (folder / "README.md").read_text()
    assert f"on {ROWS} test texts" in text
    assert "](learning_curves.png)\n\n*Of the first fold." in text
    assert not verify(folder).wrong
