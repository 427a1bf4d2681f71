"""The command line: what it prints, how it fails, and that it is light."""

import subprocess
import sys

import pytest

from lib.__main__ import main


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
        f"dataset: {folder}\nbackbone: {tiny['bert']}\nmax_length: 16\nbatch_size: 8\n"
        "dev_rows: 12\nlearning_rate: 1e-3\nepochs: 1\nprecision: fp32\n"
    )
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["study", "ag_news", "lerning_rate=1"],
            "Error: command line: unknown parameter 'lerning_rate'. Did you mean learning_rate?",
        ),
        (
            ["study", "ag_news", "epochs=many"],
            "The parameter epochs wants a whole number like 4; 'many' is none",
        ),
        (["study", "ag_news", "epochs"], "'epochs' is not key=value"),
        (
            ["study", "ag_news", "-p", "epochs", "2"],
            "Error: -p is no option; write name=value, as in learning_rate=5e-5",
        ),
        (["study", "nothing"], "There is no study 'nothing'"),
        (["study", "ag_news", "--config", "missing.yaml"], "There is no file missing.yaml"),
        (["train", "missing.yaml"], "There is no file missing.yaml"),
        (["train", "reviews.csv"], "reviews.csv is a table; name a YAML file of settings, whose"),
        (["sweep", "reviews.csv"], "reviews.csv is a table; name a YAML file of settings, whose"),
        (["sweep", "missing.yaml"], "There is no file missing.yaml"),
        (["predict", "run", "/tmp"], "/tmp is a folder; behind the runs, name a file of"),
        (["predict", "run", "--top", "0"], "--top is 0; it wants a whole number from 1"),
        (["predict", "run", "--unsure", "-1"], "--unsure is -1; it wants a whole number from 1"),
        (["predict", "missing"], "missing is the folder or key of no finished run"),
        (
            ["predict", "/tmp/nope/missing"],
            "/tmp/nope/missing is the folder or key of no finished run",
        ),
        (
            ["study", "ag_news", "seeds=[1, 2"],
            "seeds: '[1, 2' is not YAML; a list is written [1, 2]",
        ),
        (
            ["study", "ag_news", "epochs=2", "--as", "."],
            "--as .: choose a plain name that is no profile's",
        ),
        (
            ["study", "ag_news", "--as", "small"],
            "--as small: choose a plain name that is no profile's",
        ),
    ],
)
def test_mistakes_are_one_sentence_and_a_status(monkeypatch, capsys, arguments, message):
    assert cli(monkeypatch, *arguments) != 0
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err and len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "raised",
    ["print('lost', flush=True)", "with failures_named(Path('run.csv')): print('', flush=True)"],
)
def test_whoever_reads_no_further_is_not_told_of_files(raised, tmp_path):
    """A command whose output nobody reads any more, as behind `| head`, ends quietly."""
    code = (
        "import sys; from pathlib import Path; from lib import __main__ as command_line\n"
        "from lib.runs.files import failures_named\n"
        "from lib.many.single import refusals_told\n"
        "from types import SimpleNamespace as Named\n"
        "@command_line.app.command()\n"
        "def shout():\n"
        "    sys.stdin.read()\n"
        f"    with refusals_told(Named(name='run')):\n        {raised}\n"
        "@command_line.app.command()\n"
        "def whisper():\n"
        "    sys.stdin.read()\n"
        "    print('behind the end')\n"
        "sys.argv = ['lib', sys.argv[1]]; command_line.main()\n"
    )
    for name in ("shout", "whisper"):
        command = [sys.executable, "-c", code, name]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        with subprocess.Popen(command, **pipes) as process:
            process.stdout.close()
            process.stdin.close()
            assert process.stderr.read() == b""
        assert process.returncode == 1


def test_train_refuses_what_it_does_not_know(config_file, monkeypatch, capsys):
    for argument, message in (
        ("epoch=3", "Unknown parameter 'epoch'. Did you mean epochs?"),
        ("epochs.last=3", "Unknown parameter 'epochs.last': epochs is 1"),
        ("epochs", "is not key="),
        ("data.encoding=latin-1", "run.yaml: unknown parameter 'data'; a run's settings have no"),
        ("encoding=latin-1", "unknown parameter 'encoding'. Did you mean reading.encoding?"),
    ):
        assert cli(monkeypatch, "train", config_file, argument) == 1
        assert message in capsys.readouterr().err
    config_file.write_text("just words")
    assert cli(monkeypatch, "train", config_file) == 1
    assert "run.yaml has no `name: value` lines, but str" in capsys.readouterr().err
    config_file.write_text("epochs: [")
    assert cli(monkeypatch, "train", config_file) == 1
    assert "run.yaml, line 1 is not YAML" in capsys.readouterr().err


def test_a_diverged_run_is_said(config_file, monkeypatch, capsys):
    assert cli(monkeypatch, "train", config_file, "optimizer=sgd", "learning_rate=1e30") == 0
    assert "The run diverged: the" in capsys.readouterr().out


def test_train_and_sweep_leave_the_files_of_transformers_scripts(
    config_file, monkeypatch, capsys, tmp_path
):
    assert cli(monkeypatch, "train", config_file, "reading.encoding=utf-8") == 0
    trained = capsys.readouterr().out.splitlines()[-1]
    spec = tmp_path / "sweep.yaml"
    base = ", ".join(config_file.read_text().splitlines())
    spec.write_text(f"name: few\nbase: {{{base}}}\nspace: {{seed: [1, 2]}}\n")
    assert cli(monkeypatch, "sweep", spec) == 0
    best = capsys.readouterr().out.splitlines()[-1]
    for folder in (trained, best):
        names = subprocess.check_output(["ls", folder, f"{folder}/model"], text=True).split()
        assert {"all_results.json", "test_predictions.txt", "README.md"} <= set(names)


@pytest.mark.parametrize(
    ("imported", "heavy"),
    [
        ("import lib", ("torch", "numpy", "pandas", "scipy", "sklearn", "pydantic")),
        ("from lib import load_corpus", ("torch", "pandas", "scipy", "sklearn", "pyarrow")),
        (
            "from lib import Classifier, fit",
            ("scipy.special", "scipy.stats", "sklearn", "transformers", "datasets"),
        ),
        (
            "from lib import RunConfig, run_all; from lib.many.search import sweep",
            ("scipy.special", "scipy.stats", "sklearn", "transformers", "optuna", "dask"),
        ),
        ("from lib import *", ("sklearn", "datasets", "papermill", "matplotlib", "optuna")),
    ],
)
def test_lib_imports_anywhere_and_only_what_is_used(imported, heavy, tmp_path):
    code = f"{imported}\nimport sys; print([name for name in {heavy} if name in sys.modules])"
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"
