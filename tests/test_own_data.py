"""A table of one's own, whatever its task: from the file to the page, the model and the
predictions."""

import dataclasses
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats as oracle
from sklearn import metrics as sklearn_metrics
from torch.nn import functional as F

from lib.analysis import calibration, decisions, findings, tables
from lib.analysis.predictions import Group
from lib.data import load_corpus
from lib.errors import InputError
from lib.losses import balanced_weights, make_loss, plain_loss
from lib.metrics import classification_scores, regression_scores
from lib.models import build_model, load_model, reads_pairs, save_model
from lib.publish import study
from lib.publish.verify import verify
from lib.readers import Reading
from lib.runs.config import RunConfig
from lib.runs.pool import run, run_all
from lib.tokenization import encode
from lib.use.predict import predict_file
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
    own = {
        "dataset": str(path / "plain.csv.gz"),
        "text": "2",
        "label": "3",
        "labels": ["yes", "no"],
    }
    return own | {"delimiter": ";", "encoding": "latin-1", "header": False}


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
def test_a_study_of_any_table(kind, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "RESULTS", tmp_path / "results")
    own = table(kind, tmp_path)
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
        "learning_rate": 3e-3,
        "batch_size": 8,
        "tracker": "none",
    }
    folder = study.run_study("your_data", overrides=own | settings)
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
    assert "The fine-tuned model reaches a test" in seen and str(tmp_path) not in seen
    compared, wrong, left = verify(folder)
    assert compared > 30 and not wrong and [line.split(":")[0] for line in left] == ["cost"]


def test_columns_by_number_and_a_fixed_order_of_labels(tmp_path):
    own = table("plain", tmp_path)
    reading = Reading(**{k: own[k] for k in ("labels", "delimiter", "encoding", "header")})
    corpus = load_corpus(own["dataset"], text="2", label="3", reading=reading)
    assert corpus.label_names == ("yes", "no") and all(
        text.endswith(" café") for text in corpus.test.texts
    )
    assert corpus.metric == "f1" and corpus.task == "classification"
    with pytest.raises(InputError, match=r"plain.csv.gz has no column '4'\. Choose from 1, 2, 3\."):
        load_corpus(own["dataset"], text="4", label="3", reading=reading)
    (tmp_path / "named.csv").write_text(
        "id,text,label\n" + "".join(f"{i},text {i},{i % 2}\n" for i in range(40))
    )
    corpus = load_corpus(str(tmp_path / "named.csv"), text="2", label="3")
    assert corpus.label_names == ("0", "1") and corpus.train.texts[0].startswith("text ")


def test_quotes_can_be_plain_characters(tmp_path):
    lines = [f'"text {i}\t{"ab"[i % 2]}' for i in range(20)]
    (tmp_path / "train.txt").write_text("\n".join(["text\tlabel", *lines]) + "\n")
    corpus = load_corpus(
        str(tmp_path / "train.txt"), dev_rows=4, test_rows=4, reading=Reading(quotes=False)
    )
    assert all(text.startswith('"text ') for text in corpus.train.texts)


def test_a_class_with_one_text_stays_in_train(tmp_path):
    lines = [f"text {i},{'ab'[i % 2]}" for i in range(40)] + ["rare,c"]
    (tmp_path / "train.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    corpus = load_corpus(str(tmp_path / "train.csv"), dev_rows=6, test_rows=6)
    assert "rare" in corpus.train.texts and corpus.num_labels == 3


def test_pairs_are_encoded_as_transformers_does(tiny):
    from transformers import AutoTokenizer, BertConfig, BertModel

    pairs = [
        (" ".join(WORDS[:n]), " ".join(WORDS[5 : 5 + m])) for n, m in ((3, 4), (9, 2), (1, 12))
    ]
    wanted = AutoTokenizer.from_pretrained(tiny["bert"])
    ids, mask, lengths = encode(pairs, tiny["bert"], max_length=12)
    for row, (a, b) in enumerate(pairs):
        own = wanted(a, b, truncation="longest_first", max_length=12)["input_ids"]
        assert ids[row][mask[row].bool()].tolist() == own
        assert lengths[row] == len(wanted(a, b)["input_ids"])
    with pytest.raises(InputError, match="'head_tail' is for single texts"):
        encode(pairs, tiny["bert"], max_length=12, truncation="head_tail")
    model = build_model(tiny["bert"], head="cls", num_labels=2).eval()
    reads_pairs(model, tiny["bert"])
    assert isinstance(model.backbone, BertModel) and isinstance(model.backbone.config, BertConfig)
    if model.separator is None:
        pytest.fail("a BERT has two kinds of tokens")
    kinds = model._segments(ids)["token_type_ids"]
    first = (ids == model.separator).int().argmax(1)
    assert all(
        (kinds[i, : first[i] + 1] == 0).all() and (kinds[i, first[i] + 1 :] == 1).all()
        for i in range(3)
    )
    swapped = encode([(b, a) for a, b in pairs], tiny["bert"], max_length=12)[:2]
    assert not torch.allclose(model(ids, mask), model(*swapped))


def test_numbers_come_out_in_their_unit(tiny, tmp_path):
    own = table("number", tmp_path)
    config = RunConfig(
        dataset=own["dataset"],
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
    found = finished.predictions.query(
        f"split == 'test' and epoch == {finished.status['chosen_epoch']}"
    )
    assert (
        found["logit_0"].between(2000, 20000).all()
        and regression_scores(found["logit_0"].to_numpy(), found["label"].to_numpy())["pearson"]
        > 0.5
    )
    corpus = load_corpus(
        own["dataset"],
        text="words",
        label="answer",
        dev_rows=20,
        test_rows=30,
        reading=config.reading,
    )
    values, array = finished.predict(corpus.test.texts)
    assert np.allclose(values, found["logit_0"], rtol=1e-3) and array.shape == (30, 1)
    from transformers import pipeline

    scored = pipeline(
        "text-classification",
        model=str(finished.folder / "model"),
        tokenizer=str(finished.folder / "model"),
    )
    assert scored(corpus.test.texts[0])[0]["score"] == pytest.approx(values[0], rel=1e-3)
    assert (
        finished.history["dev_rmse"].min()
        == finished.history["dev_rmse"][finished.status["chosen_epoch"] - 1]
    )
    card = (finished.folder / "model" / "README.md").read_text()
    assert (
        card.startswith("---\npipeline_tag: text-classification")
        and "predicts answer, a number" in card
    )
    with pytest.raises(InputError, match=r"train_mean and tfidf_ridge are for real numbers"):
        run(
            RunConfig(dataset="demo_news", train_rows=40, dev_rows=20, test_rows=20).baseline(
                "train_mean"
            )
        )


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


# ---- losses and metrics, against torch, scikit-learn and scipy


def test_losses():
    torch.manual_seed(0)
    labels = np.array([0, 0, 0, 1, 2, 0, 1, 0])
    logits, gold = torch.randn(8, 3), torch.from_numpy(labels)
    assert make_loss(labels, 3) is plain_loss
    weights = torch.tensor([8 / (3 * 5), 8 / (3 * 2), 8 / (3 * 1)])
    assert torch.allclose(balanced_weights(labels, 3), weights)
    own = make_loss(labels, 3, class_weight="balanced")(logits, gold)
    assert torch.allclose(own, F.cross_entropy(logits, gold, weights))
    own = make_loss(labels, 3, label_smoothing=0.2)(logits, gold)
    assert torch.allclose(own, F.cross_entropy(logits, gold, label_smoothing=0.2))
    chance = logits.softmax(1)[torch.arange(8), gold]
    own = make_loss(labels, 3, focal_gamma=2.0)(logits, gold)
    assert torch.allclose(own, (-((1 - chance) ** 2) * chance.log()).mean())
    lists = np.array([[0, 2], [1, -1], [2, -1], [0, -1]])
    dense = torch.tensor([[1.0, 0, 1], [0, 1, 0], [0, 0, 1], [1, 0, 0]])
    own = make_loss(lists, 3, class_weight="balanced")(logits[:4], torch.from_numpy(lists))
    weight = torch.tensor([1.0, 3.0, 1.0])
    assert torch.allclose(
        own, F.binary_cross_entropy_with_logits(logits[:4], dense, pos_weight=weight)
    )
    own = make_loss(lists, 3, focal_gamma=1.0)(logits[:4], torch.from_numpy(lists))
    chance = torch.where(dense == 1, logits[:4].sigmoid(), 1 - logits[:4].sigmoid())
    assert torch.allclose(own, (-(1 - chance) * chance.log()).mean(), atol=1e-6)
    numbers = np.array([1.0, 5.0, 3.0])
    own = make_loss(numbers, 1)(torch.tensor([[1.0], [1.0], [3.0]]), torch.from_numpy(numbers))
    assert own == pytest.approx(16 / 3 / numbers.var())


@pytest.mark.parametrize("classes", [2, 4])
def test_metrics_by_name(classes):
    rng = np.random.default_rng(classes)
    labels, logits = rng.integers(classes, size=60), rng.normal(size=(60, classes))
    own, predicted = classification_scores(logits, labels), logits.argmax(1)
    assert own["mcc"] == pytest.approx(sklearn_metrics.matthews_corrcoef(labels, predicted))
    assert own["weighted_f1"] == pytest.approx(
        sklearn_metrics.f1_score(labels, predicted, average="weighted")
    )
    assert ("f1" in own) == (classes == 2)
    if classes == 2:
        assert own["f1"] == pytest.approx(sklearn_metrics.f1_score(labels, predicted))
    assert classification_scores(np.zeros((5, classes)), np.zeros(5, int))["mcc"] == 0


def test_numbers_scores():
    rng = np.random.default_rng(0)
    labels = rng.normal(size=50).round(1)
    values = labels + rng.normal(size=50)
    own = regression_scores(values, labels)
    assert own["pearson"] == pytest.approx(oracle.pearsonr(values, labels)[0])
    assert own["spearman"] == pytest.approx(oracle.spearmanr(values, labels)[0])
    assert own["r2"] == pytest.approx(sklearn_metrics.r2_score(labels, values))
    assert own["loss"] == pytest.approx(sklearn_metrics.mean_squared_error(labels, values))
    assert own["rmse"] ** 2 == pytest.approx(own["loss"])
    assert regression_scores(np.ones(50), labels)["pearson"] == 0


# ---- probabilities and decisions


def test_ece_by_hand_and_temperature_finds_what_was_done():
    assert calibration.ece(
        np.array([0.95, 0.95, 0.55]), np.array([True, False, True]), bins=10
    ) == pytest.approx((2 * 0.45 + 0.45) / 3)
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 3)).astype(np.float32)
    chance = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([rng.choice(3, p=row / row.sum()) for row in chance.astype(float)])
    too_sure = Group("x", ["x"], [1], labels, 3 * logits[None])
    assert calibration.fit_temperature(too_sure, 0) == pytest.approx(3, rel=0.1)
    before, after = (
        calibration.ece(*calibration.confidences(too_sure, 0, t)[:2]) for t in (1.0, 3.0)
    )
    assert after < 0.03 < 0.15 < before


def test_the_best_threshold_is_the_best():
    rng = np.random.default_rng(1)
    for _ in range(20):
        logits, gold = rng.integers(6, size=30).astype(float), rng.random(30) < 0.4
        gold[0] = True
        best = max(sklearn_metrics.f1_score(gold, logits > cut) for cut in np.arange(-0.5, 6))
        own = sklearn_metrics.f1_score(gold, logits > decisions.best_threshold(logits, gold))
        assert own == pytest.approx(best)


@pytest.fixture
def several(tiny, tmp_path):
    own = table("several", tmp_path)
    config = RunConfig(
        dataset=own["dataset"],
        text="words",
        label="answer",
        reading=Reading(label_separator=";"),
        dev_rows=40,
        test_rows=40,
        backbone=tiny["bert"],
        max_length=24,
        epochs=4,
        batch_size=8,
        learning_rate=3e-3,
        select_by="micro_f1",
        precision="fp32",
    )
    return run_all([config.with_(seed=seed) for seed in (1, 2)], "none")


def test_thresholds_are_from_dev_and_judged_on_test(several):
    p = several.predictions
    test, dev = (decisions.group_of(p, "head", "native", split) for split in ("test", "dev"))
    n = len(p.label_names)
    told = decisions.thresholds(p, by="head", group="native")
    wanted = []
    for i in range(2):
        own = decisions.tune(dev, i, n)["one a label, from dev"]
        logits, gold = decisions.dense(test, i, n)
        wanted.append(sklearn_metrics.f1_score(gold, logits > own, average="micro"))
    assert told["micro_f1"].iloc[2] == pytest.approx(np.mean(wanted))
    assert told["micro_f1, gain"].iloc[2] == pytest.approx(
        told["micro_f1"].iloc[2] - told["micro_f1"].iloc[0]
    )
    report = decisions.class_report(p, by="head", group="native").set_index("class")
    logits, gold = decisions.dense(test, 0, n)
    one = sklearn_metrics.f1_score(gold, logits > 0, average=None, zero_division=0)
    two = sklearn_metrics.f1_score(
        gold, decisions.dense(test, 1, n)[0] > 0, average=None, zero_division=0
    )
    assert report.loc[list(p.label_names), "f1"].to_numpy() == pytest.approx((one + two) / 2)
    labels, chances = several[0].predict(["kana lona", "kana"])
    assert chances.shape == (2, 4) and all(isinstance(found, list) for found in labels)


def test_replaced_labels_are_found(tiny, tmp_path):
    texts, labels = learnable(200, 5)
    wrong = {3, 40, 77, 120}
    rows = [
        f"{t},{('yes' if label == 'no' else 'no') if i in wrong else label}"
        for i, (t, label) in enumerate(zip(texts, labels, strict=True))
    ]
    (tmp_path / "train.csv").write_text("\n".join(["text,label", *rows[100:]]) + "\n")
    (tmp_path / "dev.csv").write_text("\n".join(["text,label", *rows[:100]]) + "\n")
    config = RunConfig(
        dataset=str(tmp_path),
        test_rows=20,
        backbone=tiny["bert"],
        max_length=24,
        epochs=4,
        batch_size=8,
        learning_rate=3e-3,
        precision="fp32",
    )
    p = run_all([config], "none").predictions
    found = decisions.label_errors(p, by="head", group="native")
    assert set(found["row"][:3]) == {3, 40, 77}
    assert "learned nothing" not in findings.result(p, by="head")
    alike = dataclasses.replace(p, frame=p.frame.assign(logit_0=0.1, logit_1=0.1))
    told = "**1 of 1 seed learned nothing**: every document is given the same class"
    assert told in findings.result(alike, by="head")
    third = dataclasses.replace(
        alike, frame=alike.frame.assign(logit_2=0.15), label_names=("no", "yes", "so")
    )
    assert len(decisions.label_errors(third, by="head", group="native")) == 0  # sure of nothing


# ---- labels for files


@pytest.fixture
def model_run(folder, tiny):
    config = RunConfig(
        dataset=str(folder),
        backbone=tiny["bert"],
        max_length=16,
        dev_rows=12,
        precision="fp32",
        epochs=1,
    )
    return run(config, tracker="none")


def label(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "lib", "predict", *map(str, words)],
        capture_output=True,
        text=True,
        **options,
    )


def test_a_killed_labelling_goes_on_where_it_was(model_run, tmp_path):
    texts = [" ".join(WORDS[(i + k) % len(WORDS)] for k in range(1 + i % 9)) for i in range(30_000)]
    pd.DataFrame({"n": range(len(texts)), "words": texts}).to_csv(
        tmp_path / "many.csv", index=False
    )
    words = [
        model_run.folder,
        tmp_path / "many.csv",
        "--text",
        "words",
        "--out",
        tmp_path / "out.csv",
    ]
    note = tmp_path / "out.csv.part.json"
    process = subprocess.Popen(
        [sys.executable, "-m", "lib", "predict", *map(str, words)], stderr=subprocess.DEVNULL
    )
    end = time.time() + 60
    while not note.exists() and time.time() < end:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = json.loads(note.read_text())["rows"]
    assert 0 < done < len(texts) and not (tmp_path / "out.csv").exists()
    again = label(*words)
    assert again.returncode == 0 and f"Goes on after {done:,} texts" in again.stderr
    found = pd.read_csv(tmp_path / "out.csv")
    assert found["text"].tolist() == texts and not note.exists()
    labels, chances = model_run.predict(texts[:50])
    assert found["label"].tolist()[:50] == labels
    assert np.allclose(found["probability"][:50], chances.max(1), atol=1e-5)


def test_half_a_character_is_refused(model_run, tmp_path):
    (tmp_path / "half.jsonl").write_text('{"text": "kana \\ud800", "label": "a"}')
    with pytest.raises(
        InputError, match=r"^half.jsonl, line 1 is not UTF-8, or has half a character$"
    ):
        predict_file(model_run, str(tmp_path / "half.jsonl"), None, "text", Reading())
    with pytest.raises(
        InputError, match=r"^half.jsonl, line 1: column 'text' has half a character"
    ):
        load_corpus(str(tmp_path / "half.jsonl"))


def test_predicting_without_a_file(model_run):
    labels, chances = model_run.predict(["kana lona", ""])
    assert len(labels) == 2 and chances.shape[0] == 2
    assert model_run.predict("kana lona")[0] == labels[:1]
    assert model_run.predict([])[0] == [] and model_run.predict([])[1].shape == (
        0,
        chances.shape[1],
    )
    for wrong in (["a", None], [3], None, [("a", 3)]):
        with pytest.raises(
            InputError, match=r"^predict wants texts, or pairs of texts; .* is none$"
        ):
            model_run.predict(wrong)


def test_labelling_says_what_is_wrong(model_run, tmp_path):
    (tmp_path / "few.csv").write_text("words\nkana\n \n")
    for arguments, message in [
        (("few.csv", None, "word"), "few.csv has no column 'word'. Did you mean words?"),
        (("few.csv", None, "words"), "few.csv, line 3 is empty in column 'words'"),
        (("few.csv", None, "1"), "few.csv, line 3 is empty in column '1'"),
        (("few.csv", None, "2"), "few.csv has no column '2'. Choose from words."),
        (("few.csv", tmp_path, "words"), f"{tmp_path} is a folder; name a file in it"),
        (
            ("few.csv", tmp_path / "no" / "out.csv", "words"),
            f"{tmp_path / 'no' / 'out.csv'} cannot be written: there is no folder {tmp_path / 'no'}",
        ),
        (("few.csv", None, None), "few.csv, line 3 is empty"),
        (
            ("-", tmp_path / "out.csv", None),
            "--out needs a file to read: standard input cannot be read again after a stop",
        ),
    ]:
        source = "-" if arguments[0] == "-" else str(tmp_path / arguments[0])
        with pytest.raises(InputError) as error:
            predict_file(model_run, source, *arguments[1:], Reading())
        assert str(error.value) == message


def test_tables_are_none_of_anothers(several):
    with pytest.raises(InputError, match="Runs have no field 'hed'. Did you mean head"):
        tables.by_group(several.predictions, by="hed", metrics=["micro_f1"])
