"""What is said of a run: by `lib show`, from the store or from a page, and in its record on the
site."""

import re

import pytest

from lib.analysis.predictions import collect
from lib.errors import InputError
from lib.publish.describe import describe, sparkline
from lib.publish.record import describe_config, record, run_names, spark, table
from lib.runs.config import RunConfig
from lib.runs.pool import run_all
from lib.runs.store import Runs
from tests.conftest import save_learnable
from tests.test_cli import cli


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """Two runs, and the store they are in."""
    root = tmp_path_factory.mktemp("record")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNS_DIR", str(root / "runs"))
        data = str(save_learnable(root / "data"))
        sizes = {"max_length": 16, "batch_size": 8, "dev_rows": 12, "precision": "fp32"}
        base = RunConfig(dataset=data, backbone=tiny["bert"], learning_rate=3e-3, **sizes)
        base = base.with_(select_by="accuracy")
        runs = run_all([base, base.baseline("tfidf_linear")], "none")
        predictions = collect(runs)
    return runs, predictions, root / "runs"


def test_show_tells_what_a_run_is(trained, monkeypatch, capsys):
    (run, _), _, store = trained
    monkeypatch.setenv("RUNS_DIR", str(store))
    assert cli(monkeypatch, "show", run.key[:10]) == 0
    out = capsys.readouterr().out
    chosen = run.status["chosen_epoch"]
    assert out.startswith(f"run {run.key[:16]}: finished, epoch {chosen} of 3 chosen")
    assert "  learning_rate = 0.003 (default 0.0001)\n" in out
    assert "  select_by = 'accuracy' (default 'macro_f1')\n" in out
    assert "optimizer" not in out and "reading" not in out
    curve = next(line for line in out.splitlines() if "dev_loss" in line)
    assert len(curve.split()[1]) == 3
    assert f"last {run.history['dev_loss'].iloc[-1]:.4g}" in curve
    assert "cited on no page" in out
    assert cli(monkeypatch, "show", "zzz") == 1
    assert "'zzz' begins the key of no run in" in capsys.readouterr().err


def test_a_page_tells_the_same_as_the_store(trained, monkeypatch, tmp_path):
    (run, _), predictions, store = trained
    page = tmp_path / "results" / "study" / "tiny"
    page.mkdir(parents=True)
    predictions.write(page / "predictions.parquet")
    run.history.assign(run=run.key[:16]).to_csv(page / "history.csv", index=False)
    monkeypatch.setenv("RUNS_DIR", str(store))
    stored = describe(run.key, tmp_path / "results")
    assert str(page / "README.md") in stored
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "another"))
    published = describe(run.key[:12], tmp_path / "results").splitlines()
    assert published[2:] == stored.splitlines()[2:] and "not in the store" in published[1]
    (page / "history.csv").unlink()
    assert "curves" not in describe(run.key[:12], tmp_path / "results")
    with pytest.raises(InputError, match="'' begins the key of no run"):
        describe("", tmp_path / "results")


def test_a_record_has_configuration_scores_history_and_predictions(trained):
    runs, predictions, _ = trained
    key = runs[0].key[:16]
    names = run_names(predictions.runs)
    assert names[key] == "seed 1" and "TF-IDF" in names[runs[1].key[:16]]
    history = Runs(runs).history
    machine = {"device": "a | b", "threads": 1}
    environment = {"run_seconds": {key: 2.5}, "runs": [machine, machine | {"threads": 2}]}
    text = record(key, names[key], predictions, history, environment, ["[table x](../#x)"])
    assert text.startswith("# seed 1\n\n| run | `") and "| trained in | 2.5 s |" in text
    assert "| `learning_rate` | `0.003` | `0.0001` |" in text and "`optimizer adamw`" in text
    test = runs[0].predictions.query("split == 'test'")
    test = test[test["epoch"] == runs[0].status["chosen_epoch"]]
    right = (test["logit_1"] > test["logit_0"]) == (test["label"] == 1)
    shown = re.search(r"\| accuracy \(%\) \| ([\d.]+) \|", text)
    assert float(shown[1]) == pytest.approx(100 * right.mean(), abs=0.06)
    assert "| dev loss | <svg" in text and text.count("epoch 3 |") == 1
    rows = re.findall(r"^\| \d+ \| (?:no|yes) \| (?:no|yes) \(-?\d\.\d\d\);", text, flags=re.M)
    assert len(rows) == 8
    assert "| device | a \\| b |" in text and "| threads | 1, 2 |" in text


def test_what_differs_from_the_defaults():
    config = RunConfig(head="cls", reading={"encoding": "latin-1"}).model_dump()
    changed, same = describe_config(config)
    assert changed == [["head", "cls", "native"], ["reading.encoding", "latin-1", "utf-8"]]
    assert "optimizer adamw" in same and "reading.header True" in same


def test_sparklines():
    assert sparkline([0.0, 7.0, 3.0, float("nan")]) == "▁█▄·" and sparkline([2.0, 2.0]) == "▁▁"
    assert sparkline([float("nan")]) == "·" and sparkline([]) == ""
    assert 'points="2.0,15.0 70.0,3.0"' in spark([1, 2])
    assert spark([1]) == "" and spark([1, float("inf")]) == ""


def test_tables_escape_what_would_part_cells():
    assert table(["a"], [["x | y"]]) == "| a |\n| --- |\n| x \\| y |\n\n"
    assert table(["a"], []).strip() == ""
