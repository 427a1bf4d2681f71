"""The files that transformers' example scripts leave, and the model card."""

import json
from pathlib import Path

import numpy as np
import pytest

from lib import write_results
from lib.many.pool import run_all
from lib.publish.strict_yaml import parse
from lib.runs.config import RunConfig
from lib.runs.store import Run
from lib.use.card import card, name_of_backbone, what_it_predicts
from tests.conftest import WORDS, save_learnable

SIZES = {"max_length": 16, "batch_size": 8, "precision": "fp32", "epochs": 2}
FILES = {
    "train_results.json",
    "eval_results.json",
    "test_results.json",
    "all_results.json",
    "test_predictions.txt",
    "trainer_state.json",
}


def save_table(path, label) -> str:
    """A data folder with train.csv and test.csv, of labels that `label(i)` gives."""
    path.mkdir()
    for name, rows in (("train", 60), ("test", 21)):
        lines = [f"{WORDS[i % 7]} {WORDS[i % 11]},{label(i)}" for i in range(rows)]
        (path / f"{name}.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    return str(path)


def with_test_scores(run: Run) -> Run:
    """The run with the status that runs have: its test scores among it."""
    status = run.status
    if status["last_epoch"] and "test_scores" not in status and (run.folder / "model").is_dir():
        scores = json.loads((run.folder / "test_results.json").read_text())
        scores = {name.removeprefix("test_"): value for name, value in scores.items()}
        status["test_scores"] = {k: v for k, v in scores.items() if k not in ("epoch", "samples")}
        (run.folder / "status.json").write_text(json.dumps(status))
    return run


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """Runs by task, with the result files that are wanted of them; and a baseline."""
    root = tmp_path_factory.mktemp("results")
    backbone = tiny["bert"]
    several = {"label_separator": ";"}
    number = {"task": "regression"}
    plain = save_learnable(root / "plain")
    topics = save_table(root / "topics", lambda i: ";".join("abcdefg"[i % 3 : i % 3 + 1 + i % 4]))
    prices = save_table(root / "prices", lambda i: i / 7)
    configs = {
        "classification": RunConfig(dataset=str(plain), dev_rows=12, backbone=backbone, **SIZES),
        "multilabel": RunConfig(
            dataset=topics,
            dev_rows=12,
            backbone=backbone,
            reading=several,
            select_by="micro_f1",
            head="cls",
            **SIZES,
        ),
        "regression": RunConfig(
            dataset=prices,
            dev_rows=12,
            backbone=backbone,
            reading=number,
            select_by="rmse",
            **SIZES,
        ),
    }
    configs["baseline"] = configs["classification"].baseline("majority")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNS_DIR", str(root / "runs"))
        runs = run_all(list(configs.values()), "none")
    return {name: with_test_scores(run) for name, run in zip(configs, runs, strict=True)}


def read(run: Run, name: str) -> dict:
    return json.loads((run.folder / name).read_text())


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_results_of_training_dev_and_test(trained, task):
    run = trained[task]
    write_results(run)
    assert {file.name for file in run.folder.iterdir()} >= FILES
    train, dev, test = (read(run, f"{name}_results.json") for name in ("train", "eval", "test"))
    assert read(run, "all_results.json") == train | dev | test
    history, chosen = run.history, run.status["chosen_epoch"]
    best = history.iloc[chosen - 1]
    metric = "macro_f1" if task == "classification" else run.config.select_by
    assert dev[f"eval_{metric}"] == best[f"dev_{metric}"] and dev["epoch"] == chosen
    assert dev["eval_loss"] == best["dev_loss"] and dev["eval_samples"] == 12
    assert train["train_samples"] == 48 and train["train_loss"] == history["train_loss"].iloc[-1]
    assert train["train_runtime"] == history["seconds"].sum()
    assert train["train_samples_per_second"] == 48 * 2 / train["train_runtime"]
    assert test["epoch"] == chosen and test["test_samples"] == 21
    for name, value in run.status["test_scores"].items():
        assert test[f"test_{name}"] == value
    state = read(run, "trainer_state.json")
    assert state["global_step"] == history["step"].iloc[-1] and state["best_epoch"] == chosen
    assert state["log_history"] == history.to_dict("records")


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_predictions_as_text(trained, task):
    run = trained[task]
    write_results(run)
    header, *lines = (run.folder / "test_predictions.txt").read_text().splitlines()
    assert header == "index\tprediction"
    assert [line.split("\t")[0] for line in lines] == [str(i) for i in range(21)]
    predicted = [line.split("\t")[1:] for line in lines]
    frame = run.predictions.query("split == 'test'")
    frame = frame[frame["epoch"] == run.status["chosen_epoch"]]
    _, *rows = Path(run.config.dataset, "test.csv").read_text(encoding="utf-8").splitlines()
    texts = [row.split(",")[0] for row in rows]
    labels, probabilities = run.predict(texts)
    if task == "classification":
        assert predicted == [[label] for label in labels]
    elif task == "regression":
        values = [float(words[0]) for words in predicted]
        assert values == pytest.approx(labels, rel=1e-4)
        assert values == pytest.approx(frame["logit_0"].tolist(), rel=1e-5)
    else:
        assert all(len(words) == 5 for words in predicted)
        best = np.array(run.status["label_names"])[probabilities.argmax(1)]
        assert [words[0] for words in predicted] == best.tolist()


def test_the_card_tells_what_the_model_is(trained, tiny):
    run = trained["classification"]
    write_results(run)
    text = (run.folder / "model" / "README.md").read_text()
    front = parse(text.split("---\n")[1])
    assert front["base_model"] == "bert"
    assert front["metrics"] == ["macro_f1", "accuracy", "micro_f1", "loss"]
    assert front["tags"] == ["text-classification", "classification"]
    assert "It has 2 labels: no, yes. Task: classification; head: native" in text
    assert "48 train, 12 dev and 21 test rows" in text
    assert run.config.dataset not in text and tiny["bert"] not in text
    accuracy = run.status["test_scores"]["accuracy"]
    assert f"| accuracy | {accuracy:.4g} |" in text
    assert 'classify = pipeline("text-classification"' in text and "'epochs': 2" in text
    assert "load_run(" in card(trained["multilabel"])  # a head of ours is in no pipeline
    assert "It predicts label, a number. Task: regression" in card(trained["regression"])


def test_a_card_names_the_backbone_as_the_hub_does(tiny):
    assert name_of_backbone("all-MiniLM-L6-v2") == "sentence-transformers/all-MiniLM-L6-v2"
    assert name_of_backbone("FacebookAI/roberta-base") == "FacebookAI/roberta-base"
    assert name_of_backbone(tiny["bert"]) == "bert"


def test_a_card_names_some_labels():
    names = [f"label {i}" for i in range(23)]
    words = what_it_predicts(names, "multilabel")
    assert words.startswith("has 23 labels: label 0, ") and words.endswith("label 19 and 3 more")
    assert "more" not in what_it_predicts(names[:20], "classification")


def test_a_baseline_gets_none(trained):
    write_results(trained["baseline"])
    assert not {file.name for file in trained["baseline"].folder.iterdir()} & FILES
