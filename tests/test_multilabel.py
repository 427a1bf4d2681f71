"""Several labels a document: from the file to the stored predictions, without a dense matrix of
the corpus."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from lib import metrics as ranking
from lib.analysis import tables
from lib.analysis.cells import by_cell
from lib.analysis.predictions import Predictions, collect
from lib.data import load_corpus
from lib.demo import ACT_LABELS, acts
from lib.losses import plain_loss
from lib.many.pool import run, run_all
from lib.runs.config import RunConfig
from lib.runs.paths import ROOT
from notebooks import eurlex_optimizers
from tests.conftest import WORDS


@pytest.fixture
def many(tmp_path):
    """Documents whose labels are told by their words; the test split has a label that train
    lacks."""
    path = tmp_path / "many"
    path.mkdir()
    rng = np.random.default_rng(0)
    for name, rows in (("train", 80), ("dev", 20), ("test", 21)):
        lines = []
        for row in range(rows):
            labels = sorted(rng.choice(6, size=rng.integers(1, 4), replace=False).tolist())
            words = [WORDS[i] for i in labels] + [WORDS[i] for i in rng.integers(10, 40, size=4)]
            names = [f"c{i}" for i in labels] + (["unseen"] if name == "test" and row < 3 else [])
            lines.append(json.dumps({"text": " ".join(rng.permutation(words)), "label": names}))
        (path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    (path / "labels.json").write_text(json.dumps({f"c{i}": f"concept {i}" for i in range(6)}))
    return path


def test_vocabulary_is_trains_own_and_unseen_labels_are_misses(many):
    corpus = load_corpus(str(many))
    assert corpus.multilabel and corpus.label_names == tuple(f"concept {i}" for i in range(6))
    assert (corpus.test.labels == 6).sum() == 3 and not (corpus.train.labels >= 6).any()
    perfect = np.where(corpus.test.labels >= 6, 0, corpus.test.labels)[:, :1]
    assert ranking.ranking_scores(perfect, corpus.test.labels)["R@1"] < 1


def test_loss_is_the_dense_one_and_leaves_out_what_train_lacks():
    logits, labels = torch.randn(3, 4), torch.tensor([[0, 2], [3, -1], [4, -1]])
    dense = torch.tensor([[1.0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
    assert torch.equal(
        plain_loss(logits, labels),
        torch.nn.functional.binary_cross_entropy_with_logits(logits, dense),
    )


def test_a_run_learns_and_its_scores_are_those_of_its_predictions(many, tiny, tmp_path):
    shared = {
        "head": "first_token",
        "dropout": 0.0,
        "max_length": 16,
        "batch_size": 8,
        "select_by": "nDCG@5",
    }
    config = RunConfig(
        dataset=str(many),
        backbone=tiny["bert"],
        epochs=25,
        learning_rate=3e-3,
        precision="fp32",
        layers=1,
        **shared,
    )
    runs = run_all([config, config.baseline("tfidf"), config.baseline("majority")])
    groups = {group.name: group for group in collect(runs).groups("optimizer")}
    scored = {
        name: ranking.ranking_scores(g.ranked[0], g.labels)["nDCG@5"] for name, g in groups.items()
    }
    assert scored["adamw"] > 0.85 and scored["tfidf"] > 0.85 > scored["majority"]
    dev = collect(runs).groups("optimizer", split="dev")[0]
    chosen = runs[0].status["chosen_epoch"]
    assert (
        ranking.ranking_scores(dev.ranked[0], dev.labels)["nDCG@5"]
        == runs[0].history["dev_nDCG@5"][chosen - 1]
    )
    assert run(config).folder == runs[0].folder
    table = tables.by_group(collect(runs), by="optimizer", metrics=["P@1", "PSP@5"]).set_index(
        "optimizer"
    )
    assert float(table.loc["adamw", "P@1_values"]) == pytest.approx(table.loc["adamw", "P@1"])
    assert table.loc["majority class", "P@1_low"] <= table.loc["majority class", "P@1"]
    assert table.loc["adamw", "PSP@5"] > table.loc["majority class", "PSP@5"]
    collect(runs).write(tmp_path / "predictions.parquet")
    stored = Predictions.read(tmp_path / "predictions.parquet")
    assert (
        tables.by_group(stored, by="optimizer", metrics=["P@1", "PSP@5"])
        .set_index("optimizer")
        .equals(table)
    )
    differences = tables.differences(stored, by="optimizer", metric="P@1")
    assert len(differences) == 1 and differences["p"].between(0, 1).all()


def test_demo_acts_are_seeded_and_many_labelled():
    texts, given, true = acts(300, 4)
    assert acts(300, 4) == (texts, given, true) and acts(300, 5)[0] != texts
    assert len(ACT_LABELS) > 100 and list(ACT_LABELS) == sorted(ACT_LABELS)
    assert all(3 <= len(labels) <= 6 for labels in true) and all(
        40 <= len(text.split()) <= 110 for text in texts
    )


def test_tables_by_cell_and_by_label_frequency(many, tiny):
    shared = {
        "head": "first_token",
        "max_length": 16,
        "batch_size": 8,
        "select_by": "P@1",
        "epochs": 2,
        "health": True,
    }
    base = RunConfig(dataset=str(many), backbone=tiny["bert"], precision="fp32", **shared)
    runs = run_all([base, base.with_(optimizer="sgd", learning_rate=1e30), base.baseline("tfidf")])
    cells = by_cell(collect(runs), by=["optimizer", "learning_rate"], metrics=["P@1"])
    assert cells["outcome"].tolist()[1] == "diverged" and cells["P@1"].isna().tolist() == [
        False,
        True,
    ]
    assert cells["learning_rate"].tolist() == ["0.0001", "1e+30"]
    bins = eurlex_optimizers.by_frequency(collect(runs), by="optimizer", edges=[0, 1, 20])
    gold = collect(runs).groups("optimizer")[0].labels
    assert bins[bins["optimizer"] == "adamw"]["times gold"].sum() == (gold >= 0).sum()
    assert (
        bins[bins["train documents"] == "0–0"]["R@5"].isna().all()
    )  # too few documents for a score


LARGE = """
import itertools, json, resource, sys
import numpy as np
from lib import build_model, load_corpus, make_loader, tokenize
from lib.losses import plain_loss
from lib.optim import make_optimizer

folder, backbone, words = sys.argv[1], sys.argv[2], sys.argv[3].split()
rng = np.random.default_rng(0)
for name, rows in (("train", 45_000), ("dev", 500), ("test", 500)):
    with open(f"{folder}/{name}.jsonl", "w") as file:
        for row in range(rows):
            labels = {f"c{row % 4271}", *(f"c{i}" for i in rng.integers(4271, size=4))}
            line = {"text": " ".join(rng.choice(words, 20)), "label": sorted(labels)}
            file.write(json.dumps(line) + "\\n")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
corpus = load_corpus(folder)
tokens = tokenize(corpus, backbone, max_length=32)
model = build_model(backbone, head="first_token", num_labels=corpus.num_labels)
optimizer = make_optimizer("adam", model, learning_rate=1e-4)
for ids, mask, labels in itertools.islice(make_loader(tokens.train, batch_size=64, seed=1), 50):
    plain_loss(model(ids, mask), labels).backward()
    optimizer.step()
    optimizer.zero_grad()
print(corpus.num_labels, before // 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_no_dense_matrix_of_the_corpus_is_ever_made(tiny, tmp_path):
    """45,000 documents and 4,271 labels: a dense matrix of 32-bit numbers alone would take 733
    MiB."""
    command = [sys.executable, "-c", LARGE, str(tmp_path), tiny["bert"], " ".join(WORDS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    labels, before, after = map(int, done.stdout.split())
    assert labels == 4271 and after - before < 400
