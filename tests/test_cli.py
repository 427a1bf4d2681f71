"""The command line: what it prints, how it fails, and that a trained model is usable elsewhere."""

import csv
import io
import subprocess
import sys

import pytest

from lib.__main__ import main
from lib.runs.config import RunConfig
from lib.runs.pool import run


def cli(monkeypatch, *arguments) -> int:
    """Run the command line in this process; its exit status."""
    monkeypatch.setattr(sys, "argv", ["lib", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    if isinstance(stop.value.code, str):
        print(stop.value.code, file=sys.stderr)
        return 1
    return stop.value.code or 0


@pytest.fixture
def config_file(tiny, folder, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        f"dataset: {folder}\nbackbone: {tiny['bert']}\nmax_length: 16\nbatch_size: 8\ndev_rows: 12\n"
        "learning_rate: 1e-3\nepochs: 4\nprecision: fp32\n"
    )
    return path


def test_train_then_predict_as_a_transformers_pipeline_does(
    config_file, monkeypatch, capsys, tmp_path
):
    assert cli(monkeypatch, "train", config_file, "epochs=6", "seed=3") == 0
    folder = capsys.readouterr().out.splitlines()[-1]
    texts = ["lona kana mici", "kabe kabe nuna", 'quoted, "kana"', "peci soso rido"]
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n")
    assert cli(monkeypatch, "predict", folder, tmp_path / "texts.txt") == 0
    from_file = capsys.readouterr().out
    rows = list(csv.DictReader(io.StringIO(from_file)))
    assert [row["text"] for row in rows] == texts

    from transformers import pipeline

    classify = pipeline("text-classification", model=f"{folder}/model")
    wanted = classify(texts)
    assert [row["label"] for row in rows] == [item["label"] for item in wanted]
    assert {row["label"] for row in rows} <= {"no", "yes"}
    assert [float(r["probability"]) for r in rows] == pytest.approx(
        [w["score"] for w in wanted], abs=2e-3
    )

    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(texts)))
    assert cli(monkeypatch, "predict", folder, "-") == 0
    assert capsys.readouterr().out == from_file


def test_a_head_of_ours_predicts_too(tiny, folder):
    options = {
        "backbone": tiny["distilbert"],
        "head": "cls",
        "max_length": 16,
        "batch_size": 8,
        "dev_rows": 12,
    }
    finished = run(RunConfig(dataset=str(folder), epochs=1, precision="fp32", **options))
    texts = [line.split(",")[0] for line in (folder / "test.csv").read_text().splitlines()[1:]]
    frame = finished.predictions.query("split == 'test'")
    wanted = frame[["logit_0", "logit_1"]].to_numpy().argmax(1)
    assert finished.predict(texts)[0] == [("no", "yes")[i] for i in wanted]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["study", "ag_news", "-p", "lerning_rate", "1"],
            "Error: -p: unknown parameter 'lerning_rate'. Did you mean learning",
        ),
        (
            ["study", "ag_news", "-p", "epochs", "many"],
            "The parameter epochs wants a whole number like 4; 'many' is none",
        ),
        (["study", "ag_news", "-p", "epochs"], "-p wants a name and a value"),
        (["study", "nothing"], "There is no study 'nothing'"),
        (["train", "missing.yaml"], "There is no file missing.yaml"),
        (["predict", "missing"], "missing is the folder or key of no finished run"),
        (
            ["predict", "/tmp/nope/missing"],
            "/tmp/nope/missing is the folder or key of no finished run",
        ),
        (
            ["study", "ag_news", "-p", "seeds", "[1, 2"],
            "seeds: '[1, 2' is not YAML; a list is written [1, 2]",
        ),
        (
            ["study", "ag_news", "-p", "epochs", "2", "--as", "."],
            "--as .: choose a plain name that is no profile's",
        ),
        (
            ["study", "ag_news", "--as", "small"],
            "--as small: choose a plain name that is no profile's",
        ),
        (["verify", "missing"], "missing has no README.md"),
    ],
)
def test_mistakes_are_one_sentence_and_a_status(monkeypatch, capsys, arguments, message):
    assert cli(monkeypatch, *arguments) != 0
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err and len(err.strip().splitlines()) == 1


def test_train_refuses_what_it_does_not_know(config_file, monkeypatch, capsys):
    for argument, message in (
        ("epoch=3", "Unknown parameter 'epoch'. Did you mean epochs?"),
        ("epochs", "is not key="),
    ):
        assert cli(monkeypatch, "train", config_file, argument) == 1
        assert message in capsys.readouterr().err
    config_file.write_text("just words")
    assert cli(monkeypatch, "train", config_file) == 1
    assert "run.yaml has no `name: value` lines, but str" in capsys.readouterr().err
    config_file.write_text("epochs: [")
    assert cli(monkeypatch, "train", config_file) == 1
    assert "run.yaml, line 1 is not YAML" in capsys.readouterr().err


def test_lib_imports_anywhere_and_lightly(tmp_path):
    code = "import lib, sys; print([m for m in ('datasets', 'papermill', 'matplotlib', 'optuna') if m in sys.modules])"
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"


def test_a_diverged_run_is_said(config_file, monkeypatch, capsys):
    assert cli(monkeypatch, "train", config_file, "optimizer=sgd", "learning_rate=1e30") == 0
    assert "The run diverged: the" in capsys.readouterr().out


def test_show_tells_what_a_run_is(tiny, folder, monkeypatch, capsys, tmp_path):
    from lib.publish import describe
    from lib.runs.store import Runs

    options = {
        "backbone": tiny["bert"],
        "max_length": 16,
        "batch_size": 8,
        "dev_rows": 12,
        "precision": "fp32",
    }
    config = RunConfig(dataset=str(folder), learning_rate=3e-3, select_by="accuracy", **options)
    done = run(config, tracker="none")
    capsys.readouterr()
    assert cli(monkeypatch, "show", done.key[:10]) == 0
    out = capsys.readouterr().out
    chosen = done.status["chosen_epoch"]
    assert out.startswith(f"run {done.key[:16]}: finished, epoch {chosen} of 3 chosen")
    assert (
        "  learning_rate = 0.003 (default 0.0001)\n" in out
        and "optimizer" not in out
        and "reading" not in out
    )
    curve = next(line for line in out.splitlines() if "dev_loss" in line)
    assert len(curve.split()[1]) == 3 and f"last {done.history['dev_loss'].iloc[-1]:.4g}" in curve
    assert "cited on no page" in out
    assert (
        cli(monkeypatch, "show", "zzz") == 1
        and "'zzz' begins the key of no run in" in capsys.readouterr().err
    )

    page = tmp_path / "results" / "study" / "tiny"
    page.mkdir(parents=True)
    Runs([done]).predictions.write(page / "predictions.parquet")
    done.history.assign(run=done.key[:16]).to_csv(page / "history.csv", index=False)
    here = describe.describe(done.key, tmp_path / "results")
    assert str(page / "README.md") in here
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "another"))
    there = describe.describe(done.key[:12], tmp_path / "results").splitlines()
    assert there[2:] == here.splitlines()[2:] and "not in the store" in there[1]


def test_sparklines():
    from lib.publish.describe import sparkline

    assert sparkline([0.0, 7.0, 3.0, float("nan")]) == "▁█▄·" and sparkline([2.0, 2.0]) == "▁▁"
    assert sparkline([float("nan")]) == "·"
