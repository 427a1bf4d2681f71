"""What is said of a run: by `lib show`, from the store or from a page, and on its own page of the
site."""

import json

import pandas as pd
import pytest

from lib.analysis.predictions import Predictions, collect
from lib.errors import InputError
from lib.many.pool import run_all
from lib.publish.describe import describe, ending
from lib.publish.record import (
    citations,
    describe_config,
    give_anchors,
    histories,
    literal,
    page_of,
    run_blocks,
    sparkline,
    table,
)
from lib.publish.run_titles import run_names
from lib.runs.config import RunConfig
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
        runs = run_all([base, base.baseline("tfidf")], "none")
        predictions = collect(runs)
    return runs, predictions, root / "runs"


def save_page(folder, runs: dict, blocks: list[dict]) -> None:
    folder.mkdir(parents=True)
    page = {"study": "a", "folder": "b", "profile": "b", "title": "?", "command": "make a"}
    page |= {"short": [], "summary": "", "parameters": {}, "blocks": blocks, "runs": runs}
    (folder / "page.json").write_text(json.dumps(page))


def rows_of(block: dict) -> list[list[str]]:
    """The cells of a table, a list a row; of no table, none."""
    return [list(row) for row in zip(*block.get("columns", ()), strict=True)][2:]


def test_show_tells_what_a_run_is(trained, monkeypatch, capsys, tmp_path):
    (run, _), _, store = trained
    monkeypatch.setattr(describe, "__defaults__", (tmp_path / "results",))
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
    assert cli(monkeypatch, "show", str(run.folder)) == 0  # the last line of `lib train`
    assert capsys.readouterr().out == out
    assert cli(monkeypatch, "show", "zzz") == 1
    assert "'zzz' begins the key of no run in" in capsys.readouterr().err


def test_a_page_tells_the_same_as_the_store(trained, monkeypatch, tmp_path):
    (run, _), predictions, store = trained
    key, folder = run.key[:16], tmp_path / "results" / "study" / "tiny"
    blocks = [{"kind": "table", "name": "scores", "runs": [key]}, {"kind": "text", "text": "…"}]
    save_page(folder, json.loads(json.dumps(predictions.runs)), blocks)
    run.history.assign(run=key).to_csv(folder / "history.csv", index=False)
    monkeypatch.setenv("RUNS_DIR", str(store))
    stored = describe(run.key, tmp_path / "results")
    assert f"{folder / 'README.md'}: table scores\n" in stored
    assert f"its predictions: {folder / 'predictions.parquet'}, run = {key}" in stored
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "another"))
    published = describe(run.key[:12], tmp_path / "results").splitlines()
    assert published[2:] == stored.splitlines()[2:] and "not in the store" in published[1]
    assert published[0] == stored.splitlines()[0]
    (folder / "history.csv").unlink()
    assert "curves" not in describe(run.key[:12], tmp_path / "results")
    with pytest.raises(InputError, match="'' begins the key of no run"):
        describe("", tmp_path / "results")


def test_how_a_run_ended():
    facts = {"status": "finished", "outcome": "collapsed", "reason": "one point"}
    facts |= {"chosen_epoch": 1, "last_epoch": 2}
    assert ending(facts) == "finished, collapsed (one point), epoch 1 of 2 chosen"
    diverged = facts | {"status": "diverged", "outcome": "diverged", "chosen_epoch": None}
    assert ending(diverged) == "diverged (one point), no epoch of 2 chosen"


def test_a_page_has_configuration_scores_history_and_predictions(trained):
    runs, predictions, _ = trained
    key = runs[0].key[:16]
    names = run_names(predictions.runs)
    assert names[key] == "seed 1" and "TF-IDF" in names[runs[1].key[:16]]
    machine = {"device": "a | b", "threads": 1}
    environment = {"run_seconds": {key: 2.5}, "runs": [machine, machine | {"threads": 2}]}
    blocks = run_blocks(
        key,
        predictions.runs[key],
        cited=["[table x](../#x)"],
        history=Runs(runs).history.query("run == @key"),
        predictions=predictions,
        environment=environment,
    )
    rows = [row for block in blocks for row in rows_of(block)]
    captions = " ".join(block.get("caption", "") for block in blocks)
    assert ["trained in", "2.5 s"] in rows and ["cited in", "[table x](../#x)"] in rows
    assert ["learning_rate", "0.003", "0.0001"] in rows and "optimizer adamw" in captions
    test = runs[0].predictions.query("split == 'test'")
    test = test[test["epoch"] == runs[0].status["chosen_epoch"]]
    right = (test["logit_1"] > test["logit_0"]) == (test["label"] == 1)
    accuracy = next(row[1] for row in rows if row[0] == "accuracy (%)")
    assert float(accuracy) == pytest.approx(100 * right.mean(), abs=0.06)
    losses = next(row for row in rows if row[0] == "dev loss")
    assert len(losses) == 5 and len(losses[1]) == 3
    assert losses[4] == f"{runs[0].history['dev_loss'].iloc[-1]:.4g}"
    quoted = [row for row in rows if row[1] in ("no", "yes") and ";" in row[-1]]
    assert len(quoted) == 8
    assert ["device", "a \\| b"] in rows and ["threads", "1, 2"] in rows


def test_a_run_without_predictions_and_history_is_described():
    facts = {"config": RunConfig().model_dump(), "status": "diverged", "reason": "loss is nan"}
    facts |= {"chosen_epoch": None, "last_epoch": 0}
    frame = pd.DataFrame(columns=["run", "split", "epoch", "row"])
    nothing = {"cited": [], "history": None, "environment": {}}
    blocks = run_blocks("0" * 16, facts, predictions=Predictions(frame, {}, ()), **nothing)
    assert len(blocks) == 3
    assert ["reason", "loss is nan"] in rows_of(blocks[0])
    assert ["chosen epoch", "none of 0"] in rows_of(blocks[0])


def test_blocks_are_found_by_anchors_of_their_own():
    blocks = [{"kind": "finding", "name": "A_b"} for _ in range(2)] + [{"kind": "text"}] * 2
    give_anchors(blocks)
    assert [block["anchor"] for block in blocks[:2]] == ["finding-a-b", "finding-a-b-2"]
    blocks = [{"kind": "runs", "name": "runs", "runs": ["k"]}]
    blocks += [{"kind": "figure", "name": "f", "runs": ["k"], "anchor": "figure-f"}]
    assert citations({"blocks": blocks}, "k") == [("figure f", "figure-f")]
    assert citations({"blocks": blocks}, "j") == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"title": None}, "has no title"),
        ({"runs": []}, "has no runs"),
        ({"runs": {"../x": {}}}, r"'\.\./x' is no run's key"),
        ({"blocks": None}, "has no blocks"),
    ],
)
def test_a_damaged_page_is_told_in_a_sentence(tmp_path, changes, reason):
    save_page(tmp_path / "page", {}, [{"kind": "text", "text": "…"}])
    file = tmp_path / "page" / "page.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(InputError, match=f"page.json:? {reason}"):
        page_of(tmp_path / "page")


def test_what_differs_from_the_defaults():
    config = RunConfig(head="cls", reading={"encoding": "latin-1"}).model_dump()
    changed, same = describe_config(config)
    assert changed == [["head", "cls", "native"], ["reading.encoding", "latin-1", "utf-8"]]
    assert "optimizer adamw" in same and "reading.header True" in same


def test_sparklines():
    assert sparkline([0.0, 7.0, 3.0, float("nan")]) == "▁█▄·" and sparkline([2.0, 2.0]) == "▁▁"
    assert sparkline([float("nan")]) == "·" and sparkline([]) == ""


def test_histories_are_told_apart_by_their_keys(tmp_path):
    frame = pd.DataFrame({"run": ["0000000000000012"] * 2 + ["1e10"], "epoch": [1, 2, 1]})
    frame.to_csv(tmp_path / "history.csv", index=False)
    runs = histories(tmp_path / "history.csv")
    assert {key: len(rows) for key, rows in runs.items()} == {"0000000000000012": 2, "1e10": 1}
    assert histories(tmp_path / "none.csv") == {}


def test_tables_show_values_as_they_are():
    block = table(["a", "b"], literal([["x | <y>", None], ["", 1]]), ["b"])
    assert block["columns"] == [["a", "---", "x \\| \\<y\\>", ""], ["b", "---:", "None", "1"]]
