"""Labels for texts and files, by a finished run: in order, whole, and from where it stopped."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from lib.data import load_corpus
from lib.errors import InputError
from lib.readers import Reading
from lib.runs.config import RunConfig
from lib.runs.pool import run, run_all
from lib.use import predict
from lib.use.predict import predict_file
from tests.conftest import WORDS, save_learnable
from tests.test_cli import cli

TEXTS = ["lona kana mici", "kabe kabe nuna", 'quoted, "kana"', "peci soso rido"]


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """A run of a native head and one of ours, and their data."""
    root = tmp_path_factory.mktemp("predict")
    data = save_learnable(root / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNS_DIR", str(root / "runs"))
        sizes = {"max_length": 16, "batch_size": 8, "dev_rows": 12, "precision": "fp32"}
        base = RunConfig(dataset=str(data), backbone=tiny["bert"], learning_rate=1e-3, **sizes)
        cls = base.with_(backbone=tiny["distilbert"], head="cls", epochs=1)
        native, ours = run_all([base.with_(epochs=6, seed=3), cls], "none")
    return native, ours, data


def test_labels_are_those_of_a_transformers_pipeline(trained, monkeypatch, capsys, tmp_path):
    native, _, _ = trained
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n")
    assert cli(monkeypatch, "predict", native.folder, tmp_path / "texts.txt") == 0
    from_file = capsys.readouterr().out
    rows = list(csv.DictReader(io.StringIO(from_file)))
    assert [row["text"] for row in rows] == TEXTS

    from transformers import pipeline

    wanted = pipeline("text-classification", model=f"{native.folder}/model")(TEXTS)
    assert [row["label"] for row in rows] == [item["label"] for item in wanted]
    assert {row["label"] for row in rows} == {"no", "yes"}
    probabilities = [float(row["probability"]) for row in rows]
    assert probabilities == pytest.approx([item["score"] for item in wanted], abs=2e-3)

    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(TEXTS)))
    assert cli(monkeypatch, "predict", native.folder, "-") == 0
    assert capsys.readouterr().out == from_file


def test_a_head_of_ours_predicts_too(trained):
    _, ours, data = trained
    texts = [line.split(",")[0] for line in (data / "test.csv").read_text().splitlines()[1:]]
    frame = ours.predictions.query("split == 'test'")
    wanted = frame[["logit_0", "logit_1"]].to_numpy().argmax(1)
    assert ours.predict(texts)[0] == [("no", "yes")[i] for i in wanted]


def test_a_file_is_labelled_in_chunks_and_goes_on(trained, monkeypatch, capsys, tmp_path):
    native, _, _ = trained
    monkeypatch.setattr(predict, "CHUNK", 2)
    source, out = tmp_path / "texts.txt", tmp_path / "out.csv"
    source.write_text("\n".join(TEXTS) + "\n")
    assert predict_file(native, str(source), None, None, Reading()) == 4
    printed = capsys.readouterr().out
    to_csv, calls = predict.to_csv, []

    def stops(run, texts):
        calls.append(texts)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return to_csv(run, texts)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(predict, "to_csv", stops)
        predict_file(native, str(source), out, None, Reading())
    assert calls == [TEXTS[:2], TEXTS[2:]] and not out.exists()
    with (tmp_path / "out.csv.part").open("a") as file:
        file.write("half a li")  # as a kill leaves it
    assert predict_file(native, str(source), out, None, Reading()) == 4
    assert "Goes on after 2 texts" in capsys.readouterr().err
    assert out.read_text() == printed
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.csv", "texts.txt"]


def test_progress_is_said_in_a_log(monkeypatch, capsys):
    monkeypatch.setattr(predict, "SHOW_EVERY", -1.0)
    progress = predict.Progress(total=10, done=4)
    progress.add(3)
    progress.close()
    assert capsys.readouterr().err.startswith("7 texts of 10, about 0.0 min to go, ")
    predict.Progress(total=None, done=0).add(2)
    assert capsys.readouterr().err.startswith("2 texts, ")


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
    nowhere = tmp_path / "no" / "out.csv"
    for arguments, message in [
        (("few.csv", None, "word"), "few.csv has no column 'word'. Did you mean words?"),
        (("few.csv", None, "words"), "few.csv, line 3 is empty in column 'words'"),
        (("few.csv", None, "1"), "few.csv, line 3 is empty in column '1'"),
        (("few.csv", None, "2"), "few.csv has no column '2'. Choose from words."),
        (("few.csv", tmp_path, "words"), f"{tmp_path} is a folder; name a file in it"),
        (
            ("few.csv", nowhere, "words"),
            f"{nowhere} cannot be written: there is no folder {nowhere.parent}",
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


def test_what_is_written_so_far_is_gone_on_with_only_if_it_is_whole(
    trained, tmp_path, monkeypatch, capsys
):
    run, _, _ = trained
    source, out = tmp_path / "texts.txt", tmp_path / "out.csv"
    source.write_text("\n".join(TEXTS * 2) + "\n", encoding="utf-8")
    monkeypatch.setattr(predict, "CHUNK", 2)
    predict_file(run, str(source), tmp_path / "whole.csv", None, Reading())
    part, note = predict.part_of(out), predict.note_of(out)

    for damaged, damage in (
        (note, lambda content: content.replace(b'"rows": 2', b'"rows": 3')),
        (note, lambda content: content[:-20]),
        (note, lambda content: b"[]"),
        (part, lambda content: content[:40]),
    ):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(predict.Progress, "add", _stops_at_the_second(predict.Progress.add))
            predict_file(run, str(source), out, None, Reading())
        damaged.write_bytes(damage(damaged.read_bytes()))
        predict_file(run, str(source), out, None, Reading())
        assert f"{part} is damaged: starts again" in capsys.readouterr().err
        assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def _stops_at_the_second(add):
    calls = []

    def stops(self, count):
        calls.append(count)
        if len(calls) == 2:
            raise KeyboardInterrupt
        add(self, count)

    return stops
