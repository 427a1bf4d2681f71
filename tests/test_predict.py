"""Labels for texts and files, by a finished run: in order, whole, and from where it stopped."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lib.data import load_corpus
from lib.errors import InputError
from lib.many.pool import run, run_all
from lib.reading.options import Reading
from lib.runs.config import RunConfig
from lib.runs.seal import replace_sealed
from lib.runs.store import Run
from lib.use import predict, progress
from lib.use.inputs import describe_reading, reading_of
from lib.use.predict import predict_file
from tests.conftest import WORDS, save_learnable
from tests.test_cli import cli

TEXTS = ["lona kana mici", "kabe kabe nuna", 'quoted, "kana"', "peci soso rido"]


@pytest.fixture(scope="module")
def two_runs(tiny, tmp_path_factory):
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


def test_labels_are_those_of_a_transformers_pipeline(two_runs, monkeypatch, capsys, tmp_path):
    native, _, _ = two_runs
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n")
    assert cli(monkeypatch, "predict", native.folder, tmp_path / "texts.txt", "--as-trained") == 0
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
    assert cli(monkeypatch, "predict", native.folder, "-", "--as-trained") == 0
    assert capsys.readouterr().out == from_file


def test_a_head_of_ours_predicts_too(two_runs):
    _, ours, data = two_runs
    texts = [line.split(",")[0] for line in (data / "test.csv").read_text().splitlines()[1:]]
    frame = ours.predictions.query("split == 'test'")
    wanted = frame[["logit_0", "logit_1"]].to_numpy().argmax(1)
    assert ours.predict(texts)[0] == [("no", "yes")[i] for i in wanted]


def test_a_file_is_labelled_in_chunks_and_goes_on(two_runs, monkeypatch, capsys, tmp_path):
    native, _, _ = two_runs
    monkeypatch.setattr(predict, "CHUNK", 2)
    source, out = tmp_path / "texts.txt", tmp_path / "out.csv"
    source.write_text("\n".join(TEXTS) + "\n")
    assert predict_file(native, str(source), None, None, Reading()) == 4
    printed = capsys.readouterr().out
    to_csv, calls = predict.to_csv, []

    def stops(labelling, rows):
        calls.append([row.text for row in rows])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return to_csv(labelling, rows)

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
    monkeypatch.setattr(progress, "SHOW_EVERY", -1.0)
    shown = progress.Progress(total=10, done=4)
    shown.add(3)
    shown.close()
    assert capsys.readouterr().err.startswith("7 texts of 10, about 0.0 min to go, ")
    progress.Progress(total=None, done=0).add(2)
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
        "--as-trained",
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
        InputError, match=r"^half.jsonl, line 1 is not UTF-8, or has half a character \(options of"
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


def test_pairs_are_not_given_to_a_run_of_single_texts():
    config = RunConfig(dataset="a.csv")
    message = "--text-pair 'b': the run has learned from single texts; leave it out"
    with pytest.raises(InputError, match=message):
        reading_of(config, text_pair="b")
    of_pairs = config.with_(reading=Reading(text_pair="b"))
    assert reading_of(of_pairs, text_pair="c").text_pair == "c"


def test_labelling_says_what_is_wrong(model_run, tmp_path):
    (tmp_path / "few.csv").write_text("words\nkana\n \n")
    (tmp_path / "none.csv").write_text("words\n")
    nowhere = tmp_path / "no" / "out.csv"
    for arguments, message in [
        (("few.csv", None, "word"), "few.csv has no column 'word'. Did you mean words?"),
        (("none.csv", None, "words"), "none.csv has no rows"),
        (("few.csv", None, "2"), "few.csv has no column '2'. Choose from words."),
        (("few.csv", tmp_path, "words"), f"{tmp_path} is a folder; name a file in it"),
        (
            ("few.csv", nowhere, "words"),
            f"{nowhere} cannot be written: there is no folder {nowhere.parent}",
        ),
        (
            ("-", tmp_path / "out.csv", None),
            "--out needs a file to read: standard input cannot be read again after a stop",
        ),
    ]:
        source = "-" if arguments[0] == "-" else str(tmp_path / arguments[0])
        with pytest.raises(InputError) as error:
            predict_file(model_run, source, *arguments[1:], Reading())
        assert str(error.value) == message
    (tmp_path / "parted.csv").write_text("id;words\n1;kana\n")
    with pytest.raises(InputError) as error:
        parted = str(tmp_path / "parted.csv")
        predict_file(model_run, parted, None, "words", Reading(delimiter=","))
    assert "no column 'words': its only column is 'id;words'. Is the delimiter ';'? Then" in str(
        error.value
    )


# ---- what is read, and as what


@pytest.fixture
def answers(monkeypatch):
    """Meanwhile, runs give labels by rules: `yes` for texts with `kana`, else `no`."""

    def logits(run, texts):
        chances = [[0.25, 0.75] if "kana" in text else [0.75, 0.25] for text in texts]
        return torch.tensor(chances).double().log(), np.array([len(text) for text in texts])

    monkeypatch.setattr("lib.runs.store.Run.logits_of", logits)


def rows_in(path, **options):
    return pd.read_csv(path, dtype=str, keep_default_na=False, **options).to_dict("list")


HARD = [
    *("=1+1", "+1", "-kana", "@x", "\tkana", "\rkana", "'x", "a\rb", "a\nb", "a\r\nb", "a,b"),
    *(
        '"',
        '""kana',
        'a "b" c',
        "NA",
        "nan",
        "  kana  ",
        "#x",
        "\\",
        "é中😀",
        "\u2028",
        "x" * 70_000,
    ),
]


def test_texts_read_back_as_they_were(trained, answers, tmp_path):
    pd.DataFrame({"words": HARD}).to_parquet(tmp_path / "in.parquet")
    for safe in (False, True):
        out = tmp_path / "out.csv"
        count = predict_file(
            trained, str(tmp_path / "in.parquet"), out, "words", Reading(), safe_csv=safe
        )
        wanted = [f"'{text}" if safe and text[0] in "=+-@\t\r" else text for text in HARD]
        with out.open(newline="", encoding="utf-8") as file:
            assert [row["text"] for row in csv.DictReader(file)] == wanted
        assert rows_in(out)["text"] == wanted and count == len(HARD)


def test_a_blank_text_gets_no_label_and_every_row_a_row(trained, answers, tmp_path):
    (tmp_path / "lines.txt").write_text("kana\n\n  \nlona\n", encoding="utf-8")
    (tmp_path / "table.csv").write_text('id,words\n1,kana\n2,\n3," "\n4,lona\n', encoding="utf-8")
    rows = [{"words": "kana"}, {"words": None}, {}, {"words": "lona"}]
    (tmp_path / "lines.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    for name, column in (("lines.txt", None), ("table.csv", "words"), ("lines.jsonl", "words")):
        out = tmp_path / f"{name}.out"
        assert predict_file(trained, str(tmp_path / name), out, column, Reading()) == 4
        found = rows_in(out)
        assert found["label"] == ["yes", "", "", "no"]
        assert found["probability"] == ["0.750000", "", "", "0.750000"]


def test_only_blank_texts(trained, tmp_path):
    (tmp_path / "blank.txt").write_text("\n \n", encoding="utf-8")
    assert predict_file(trained, str(tmp_path / "blank.txt"), tmp_path / "o", None, Reading()) == 2
    assert rows_in(tmp_path / "o")["label"] == ["", ""]


def test_columns_are_kept(trained, answers, monkeypatch, tmp_path):
    table = 'id,text,label,"a,b"\n007,kana,=yes,x\n,lona,no,"y ""z"""\n'
    (tmp_path / "in.csv").write_text(table, encoding="utf-8")
    out = tmp_path / "out.csv"
    words = (
        "predict",
        trained.folder,
        tmp_path / "in.csv",
        "--out",
        out,
        "--safe-csv",
        "--as-trained",
    )
    assert cli(monkeypatch, *words, "--keep", "id, label,1", "--keep", "a,b") == 0
    assert rows_in(out) == {
        "id": ["007", ""],
        "label_given": ["'=yes", "no"],
        "a,b": ["x", 'y "z"'],
        "text": ["kana", "lona"],
        "label": ["yes", "no"],
        "probability": ["0.750000", "0.750000"],
    }
    (tmp_path / "in.jsonl").write_text('{"text": "kana", "tags": ["a"], "n": 1.5}\n{"text": "x"}')
    predict_file(
        trained, str(tmp_path / "in.jsonl"), out, "text", Reading(), keep=["text", "tags,n"]
    )
    assert rows_in(out)["tags"] == ['["a"]', ""] and rows_in(out)["n"] == ["1.5", ""]
    assert rows_in(out)["text_given"] == ["kana", "x"]
    for arguments, message in [
        (("in.csv", "text", ["idd"]), "in.csv has no column 'idd'. Did you mean id?"),
        (("in.csv", None, ["id"]), "in.csv has a text a line, and no column 'id': "),
    ]:
        name, column, keep = arguments
        with pytest.raises(InputError, match=message):
            predict_file(trained, str(tmp_path / name), out, column, Reading(), keep=keep)


def read_as(trained, tmp_path, dataset: str | None = None, **reading):
    """A copy of a run whose data was read as said."""
    folder = tmp_path / "read_as"
    shutil.copytree(trained.folder, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"text": "words", "reading": reading}
    config["dataset"] = dataset or config["dataset"]
    replace_sealed(folder, "config.json", config)
    return folder


def test_a_file_is_read_as_the_data_of_the_run(trained, answers, monkeypatch, capsys, tmp_path):
    run = read_as(trained, tmp_path, quotes=False, delimiter="|", encoding="latin-1")
    (tmp_path / "in.csv").write_text('id|words\n1|"kana é\n2|lona"\n', encoding="latin-1")
    out = tmp_path / "out.csv"
    words = ("predict", run, tmp_path / "in.csv", "--out", out, "--as-trained")
    assert cli(monkeypatch, *words) == 0
    assert rows_in(out)["text"] == ['"kana é', 'lona"']
    err = capsys.readouterr().err
    assert err == (
        "Reads the column 'words' of in.csv: latin-1, delimiter '|', quotes are characters, "
        "with a header\n"
    )
    (tmp_path / "in.csv").write_text('1,"kana, é"\n2,lona\n', encoding="utf-8")
    options = ("--quotes", "--delimiter", ",", "--encoding", "utf-8", "--no-header", "--text", "2")
    assert cli(monkeypatch, "predict", run, tmp_path / "in.csv", "--out", out, *options) == 0
    assert rows_in(out)["text"] == ["kana, é", "lona"]


@pytest.mark.parametrize(
    ("name", "reading", "words"),
    [
        ("in.xlsx", {"sheet": "Data", "quotes": False}, ": sheet 'Data', with a header"),
        ("in.jsonl", {"encoding": "latin-1", "header": False}, ": latin-1"),
        ("in.tsv", {}, ": utf-8, the usual delimiter, quotes enclose fields, with a header"),
        ("in.parquet", {"delimiter": "|"}, ""),
        ("in.parquet", {"on_bad_rows": "quarantine"}, ": a bad row gets an empty label"),
    ],
)
def test_only_what_a_format_has_is_said_of_its_reading(name, reading, words):
    said = describe_reading(name, "words", Reading(**reading))
    assert said == f"Reads the column 'words' of {name}{words}"


def test_a_sheet_of_what_is_no_workbook(trained, monkeypatch, capsys, tmp_path):
    (tmp_path / "in.csv").write_text("text\nkana\n", encoding="utf-8")
    assert cli(monkeypatch, "predict", trained.folder, tmp_path / "in.csv", "--sheet", "Data") == 1
    assert "sheet = 'Data': in.csv is no Excel workbook" in capsys.readouterr().err


def test_a_stray_quote_names_the_option_that_reads_it(trained, monkeypatch, capsys, tmp_path):
    (tmp_path / "in.tsv").write_text('id\ttext\n1\t"kana\n2\tlona\n', encoding="utf-8")
    out = tmp_path / "out.csv"
    words = ("predict", trained.folder, tmp_path / "in.tsv", "--out", out)
    assert cli(monkeypatch, *words) == 1
    assert "in.tsv, line 2" in (err := capsys.readouterr().err) and "--no-quotes" in err
    assert not out.exists()
    assert cli(monkeypatch, *words, "--no-quotes") == 0
    assert rows_in(out)["text"] == ['"kana', "lona"]


def test_a_packed_table_has_columns(trained, answers, monkeypatch, tmp_path):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("in.csv", "id,text\n1,kana\n")
    assert (
        cli(
            monkeypatch, "predict", trained.folder, tmp_path / "in.zip", "--out", tmp_path / "o.csv"
        )
        == 0
    )
    assert rows_in(tmp_path / "o.csv")["text"] == ["kana"]


@pytest.mark.parametrize("data", ["a file", "a folder"])
def test_a_txt_is_a_table_where_the_data_of_the_run_was_one(
    data, trained, answers, monkeypatch, capsys, tmp_path
):
    (tmp_path / "train.txt").write_text("words\tlabel\nkana\tyes\n", encoding="utf-8")
    run = read_as(trained, tmp_path, str(tmp_path / "train.txt" if data == "a file" else tmp_path))
    (tmp_path / "new.txt").write_text("id\twords\n1\tkana\n", encoding="utf-8")
    words = ("predict", run, tmp_path / "new.txt", "--out", tmp_path / "o.csv")
    assert cli(monkeypatch, *words) == 0
    assert rows_in(tmp_path / "o.csv")["text"] == ["kana"]
    assert cli(monkeypatch, *words, "--lines") == 0
    assert rows_in(tmp_path / "o.csv")["text"] == ["id\twords", "1\tkana"]
    assert cli(monkeypatch, *words, "--lines", "--text", "words") == 1
    assert "leave out one of the two" in capsys.readouterr().err
    (tmp_path / "new.txt").write_text("kana\nlona\n", encoding="utf-8")
    assert cli(monkeypatch, *words) == 1
    assert "no column 'words'. Choose from kana. (--lines: a t" in capsys.readouterr().err


def test_bad_rows_keep_their_place_without_a_label(trained, answers, monkeypatch, capsys, tmp_path):
    rows = "ragged\n1,kana\n2,lona,more\n3,\n4,lona\nragged\n"
    (tmp_path / "in.csv").write_text(f"id,text\n{rows}", encoding="utf-8")
    words = (
        "predict",
        trained.folder,
        tmp_path / "in.csv",
        "--out",
        tmp_path / "o.csv",
        "--keep",
        "id",
    )
    assert cli(monkeypatch, *words) == 1
    assert "--on-bad-rows quarantine" in capsys.readouterr().err
    assert cli(monkeypatch, *words, "--on-bad-rows", "quarantine") == 0
    assert rows_in(tmp_path / "o.csv")["id"] == ["", "1", "", "3", "4", ""]
    assert rows_in(tmp_path / "o.csv")["label"] == ["", "yes", "", "", "no", ""]
    assert capsys.readouterr().err.endswith(
        "Rows that cannot be used: 3, without a label; in.csv, line 2: has 1 fields; the header "
        "has 2\n"
    )
    run = read_as(trained, tmp_path, on_bad_rows="quarantine")
    (tmp_path / "in.jsonl").write_text('{"words": 3}\n{"words": "kana"}', encoding="utf-8")
    assert cli(monkeypatch, "predict", run, tmp_path / "in.jsonl", "--out", tmp_path / "o.csv") == 0
    assert rows_in(tmp_path / "o.csv")["label"] == ["", "yes"]


def test_labels_with_a_bar_are_told_apart(trained, monkeypatch, tmp_path):
    names = ["a|b", "c\\", "=d"]
    monkeypatch.setattr(
        "lib.runs.store.Run.model", (None, {"label_names": names, "task": "multilabel"})
    )
    chances = torch.tensor([[0.9, 0.8, 0.1], [0.1, 0.2, 0.7]]).double()
    monkeypatch.setattr(
        "lib.runs.store.Run.logits_of", lambda run, texts: (chances.logit(), np.zeros(2))
    )
    monkeypatch.setattr("lib.use.labeller.Labeller.longest", [16])
    (tmp_path / "in.txt").write_text("kana\nlona\n", encoding="utf-8")
    out = tmp_path / "out.csv"
    predict_file(Run(trained.folder), str(tmp_path / "in.txt"), out, None, Reading(), safe_csv=True)
    assert rows_in(out)["label"] == ["a\\|b|c\\\\", "'=d"]
    assert rows_in(out)["probability"] == ["0.900000|0.800000", "0.700000"]


def test_numbers_stay_numbers(trained, monkeypatch, tmp_path):
    monkeypatch.setattr(
        "lib.runs.store.Run.model", (None, {"label_names": ["n"], "task": "regression"})
    )
    monkeypatch.setattr(
        "lib.runs.store.Run.logits_of",
        lambda run, texts: (torch.tensor([[-1.5]]), np.zeros(1)),
    )
    monkeypatch.setattr("lib.use.labeller.Labeller.longest", [16])
    (tmp_path / "in.txt").write_text("-kana\n\n", encoding="utf-8")
    out = tmp_path / "out.csv"
    predict_file(Run(trained.folder), str(tmp_path / "in.txt"), out, None, Reading(), safe_csv=True)
    assert rows_in(out) == {"text": ["'-kana", ""], "label": ["-1.5", ""], "probability": ["", ""]}


# ---- where it is written


@pytest.mark.parametrize("way", ["itself", "relative", "symlink", "hardlink", "its part"])
def test_the_file_that_is_read_is_not_written_to(way, trained, answers, monkeypatch, tmp_path):
    source = tmp_path / "in.txt"
    out = {"itself": source, "relative": Path("x/../in.txt")}.get(way, tmp_path / "other")
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path)
    if way == "its part":
        source = tmp_path / "other.part"
    source.write_text("kana\n", encoding="utf-8")
    if way == "symlink":
        out.symlink_to(source)
    if way == "hardlink":
        out.hardlink_to(source)
    with pytest.raises(InputError, match="^--out would write to .*, the file that is read"):
        predict_file(trained, str(source), out, None, Reading())
    assert source.read_text(encoding="utf-8") == "kana\n"


def test_a_link_stays_a_link(trained, answers, tmp_path):
    (tmp_path / "in.txt").write_text("kana\n", encoding="utf-8")
    (tmp_path / "labels.csv").write_text("old\n", encoding="utf-8")
    (tmp_path / "link").symlink_to("labels.csv")
    predict_file(trained, str(tmp_path / "in.txt"), tmp_path / "link", None, Reading())
    assert (tmp_path / "link").is_symlink()
    assert rows_in(tmp_path / "labels.csv")["label"] == ["yes"]


def test_what_is_no_file_is_written_to_as_it_is(trained, answers, tmp_path):
    (tmp_path / "in.txt").write_text("kana\n" * 3, encoding="utf-8")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE, text=True)
    assert predict_file(trained, str(tmp_path / "in.txt"), pipe, None, Reading()) == 3
    assert len(reader.communicate(timeout=20)[0].splitlines()) == 4
    assert pipe.is_fifo() and not list(tmp_path.glob("*.part*"))
    assert predict_file(trained, str(tmp_path / "in.txt"), Path("/dev/null"), None, Reading()) == 3
    assert Path("/dev/null").is_char_device()


def test_standard_output_by_name(trained, answers, tmp_path, capfd):
    (tmp_path / "in.txt").write_text("kana\n", encoding="utf-8")
    predict_file(trained, str(tmp_path / "in.txt"), Path("/dev/stdout"), None, Reading())
    assert capfd.readouterr().out == "text,label,probability\nkana,yes,0.750000\n"


def shorten(part, note):
    part.write_bytes(part.read_bytes()[:-9])


def spoil(part, note):
    part.write_bytes(part.read_bytes().replace(b"kana", b"\0\0\0\0", 1))


def spoil_note(part, note):
    note.write_bytes(note.read_bytes()[:40])


def of_another_file(part, note):
    note.write_text(note.read_text().replace('"size": ', '"size": 1'))


@pytest.mark.parametrize("damage", [shorten, spoil, spoil_note, of_another_file])
def test_a_damaged_part_is_not_gone_on_with(
    damage, trained, answers, monkeypatch, capsys, tmp_path
):
    monkeypatch.setattr(predict, "CHUNK", 2)
    (tmp_path / "in.txt").write_text("kana\nlona\n" * 4, encoding="utf-8")
    out = tmp_path / "out.csv"
    to_csv = predict.to_csv

    def stops(labelling, rows):
        if predict.note_of(out).exists():
            raise KeyboardInterrupt
        return to_csv(labelling, rows)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(predict, "to_csv", stops)
        predict_file(trained, str(tmp_path / "in.txt"), out, None, Reading())
    damage(predict.part_of(out), predict.note_of(out))
    assert predict_file(trained, str(tmp_path / "in.txt"), out, None, Reading()) == 8
    assert capsys.readouterr().err.startswith("Starts over, without out.csv.part: it")
    assert rows_in(out)["text"] == ["kana", "lona"] * 4
    assert b"\0" not in out.read_bytes()
