"""Two runs side by side: fields, scores with the interval of their difference, changed labels."""

import dataclasses
import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from lib.analysis.groups import Group
from lib.publish import side_by_side
from lib.publish.side_by_side import ScoredRun, changed_documents, compared_scores
from tests.synthetic import classifiers, frame_of, regressors, taggers
from tests.test_cli import cli
from tests.test_record import save_page


def scored(predictions, key: str) -> ScoredRun:
    key = key.ljust(16, "0")
    frame = predictions.frame.query("run == @key and split == 'test'")
    facts = {"config": {"select_by": "last"}}
    return ScoredRun(key, facts, dataclasses.replace(predictions, frame=frame))


def test_scores_have_the_interval_of_their_difference_over_documents():
    p = classifiers()
    one, other = scored(p, "near1"), scored(p, "far1")
    lines = compared_scores(one, other)
    assert lines[0].startswith("A, B and B − A on 600 test documents;")
    labels = one.group.labels
    right = [run.group.right[0].astype(float) for run in (one, other)]
    scores = [accuracy_score(labels, run.group.predicted[0]) for run in (one, other)]
    gain = scores[1] - scores[0]
    half = 1.964 * np.std(right[1] - right[0], ddof=1) / np.sqrt(600)
    assert lines[1] == (
        f"  accuracy: {100 * scores[0]:.1f} %, {100 * scores[1]:.1f} %, {100 * gain:+.1f} points "
        f"(95 % interval {100 * (gain - half):+.1f} to {100 * (gain + half):+.1f})"
    )
    changed = np.flatnonzero(right[0] != right[1])  # of two classes
    alone = [int(part[changed].sum()) for part in right]
    assert lines[-2] == (
        f"label changed: {len(changed)} documents, of which A alone has {alone[0]} right and "
        f"B alone {alone[1]}"
    )
    first = ", ".join(str(row) for row in changed[:10])
    assert lines[-1] == f"  rows {first} and {len(changed) - 10} more"


def test_the_same_model_has_no_changed_label():
    run = scored(classifiers(), "far1")
    assert compared_scores(run, run)[-1] == "label changed: 0 documents"


def test_several_labels_change_where_any_does():
    columns = {"gold_0": [0, 0, 1], "gold_1": [-1, -1, -1]}
    columns |= {"top_0": [0, 1, 1], "top_1": [1, 0, 0], "logit_0": [2.0, 2.0, 2.0]}
    logits = ([1.0, -1.0, -1.0], [-1.0, -1.0, 1.0])
    frames = [frame_of("a", "test", **columns, logit_1=values) for values in logits]
    p = taggers()
    groups = [Group.of("a", ["a"], [0], [frame]) for frame in frames]
    assert changed_documents(*groups, p) == ["label changed: 2 documents", "  rows 0 and 2"]


def test_numbers_are_apart():
    p = regressors()
    one, other = scored(p, "exact1"), scored(p, "rough1")
    lines = compared_scores(one, other)
    apart = np.abs(one.group.logits[0, :, 0] - other.group.logits[0, :, 0])
    assert lines[1].startswith("  RMSE: 0.09") and "95 % interval +0." in lines[1]
    assert lines[-1].startswith(
        f"numbers {apart.mean():.3g} apart on average; most in rows {apart.argmax()} ("
    )


def test_other_documents_are_not_compared():
    p = classifiers()
    one = scored(p, "near1")
    fewer = dataclasses.replace(one.predictions, frame=one.predictions.frame.iloc[1:])
    other = dataclasses.replace(one, predictions=fewer)

    def of(table: str, content: str) -> ScoredRun:
        config = one.facts["config"] | {"dataset": table}
        return dataclasses.replace(one, facts={"config": config, "content": {"data": content}})

    for pair in ((one, other), (of("a.csv", "x"), of("b.csv", "y"))):
        assert compared_scores(*pair) == [
            "they were not scored on the same test documents, so there is nothing to compare"
        ]
    same_rows = of("a.csv", "x"), of("a.csv", "trained on fewer")
    for pair in ((of("a.csv", "x"), of("renamed.csv", "x")), same_rows):
        assert compared_scores(*pair)[-1] == "label changed: 0 documents"


@pytest.fixture
def two(tmp_path, monkeypatch):
    """A folder of results with a page of two runs that are in no store."""
    p = classifiers()
    keys = {"near1".ljust(16, "0"): "a" * 16, "far1".ljust(16, "0"): "b" * 16}
    frame = p.frame[p.frame["run"].isin(list(keys))].replace({"run": keys})
    config = {"select_by": "accuracy", "reading": {"delimiter": None}}
    runs = {
        new: p.runs[old] | {"config": config | {"head": old[:4], "seed": 1}}
        for old, new in keys.items()
    }
    runs["a" * 16]["config"]["reading"] = {"delimiter": ";"}
    folder = tmp_path / "results" / "study" / "tiny"
    save_page(folder, json.loads(json.dumps(runs)), [{"kind": "text", "text": "…"}])
    dataclasses.replace(p, frame=frame, runs=runs).write(folder / "predictions.parquet")
    monkeypatch.setattr(side_by_side.compare_runs, "__defaults__", (tmp_path / "results",))
    return folder


def test_the_command_reads_runs_of_pages(two, monkeypatch, capsys):
    assert cli(monkeypatch, "show", "aaa", "bbb") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        f"A: run {'a' * 16}: finished, epoch 1 of 1 chosen",
        f"B: run {'b' * 16}: finished, epoch 1 of 1 chosen",
    ]
    assert lines[2:5] == [
        "configuration, where it differs, in A and in B:",
        "  head = 'near', 'far1'",
        "  reading.delimiter = ';', None",
    ]
    assert cli(monkeypatch, "show", "aaa", "c") == 1
    assert "'c' begins the key of no run" in capsys.readouterr().err


def test_the_command_reads_runs_of_the_store(trained, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(side_by_side.compare_runs, "__defaults__", (tmp_path,))
    monkeypatch.setenv("RUNS_DIR", str(trained.folder.parent))
    assert cli(monkeypatch, "show", trained.key, trained.key) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3] == "  nothing" and lines[-1] == "label changed: 0 documents"
    frame = trained.predictions
    frame = frame[(frame["split"] == "test") & (frame["epoch"] == trained.status["chosen_epoch"])]
    right = (frame["logit_1"] > frame["logit_0"]) == (frame["label"] == 1)
    assert any(f"accuracy: {100 * right.mean():.1f} %" in line for line in lines)
