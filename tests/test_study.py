"""Studies end to end on a tiny transformer: strict parameters, the files of a page, reruns, and
verify."""

import re
import shlex
import shutil
import subprocess

import nbformat
import pandas as pd
import pytest
import yaml
from matplotlib.figure import Figure
from PIL import Image

from lib.analysis.predictions import Predictions
from lib.errors import InputError
from lib.publish import page, study
from lib.publish.settings import assignments
from lib.publish.verify import compare, verify
from lib.runs.store import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGE_FILES = {
    "README.md",
    "predictions.parquet",
    "history.csv",
    "environment.json",
    "audit.csv",
    "by_schedule.csv",
    "leaks.csv",
    "differences.csv",
    "confusion.csv",
    "imbalance.csv",
    "runs.csv",
    "epochs.csv",
    "overshoot.csv",
    "classes.csv",
    "test_accuracy.png",
    "learning_curves.png",
    "losses.png",
    "learning_rate.png",
    "confusion_matrix.png",
    "f1_by_class.png",
    "averages.png",
}


@pytest.fixture
def small(tiny, monkeypatch, tmp_path):
    """Overrides that make the study a matter of seconds; results go to a folder of the test's
    own."""
    monkeypatch.setattr(study, "RESULTS", tmp_path / "results")
    sizes = {"train_rows": 64, "dev_rows": 20, "test_rows": 40, "max_length": 32, "epochs": 3}
    return sizes | {
        "backbone": tiny["bert"],
        "milestones": [2],
        "seeds": [1, 2],
        "learning_rate": 1e-3,
    }


def test_a_notebook_says_who_trains(small, tmp_path):
    few = small | {"seeds": [1], "epochs": 1, "milestones": []}
    folder = study.run_study("ag_news", overrides=few | {"backend": "sp"}, publish_as="sp")
    runs = Predictions.read(folder / "predictions.parquet").runs.values()
    assert {
        run["config"]["precision"] for run in runs if run["config"]["backbone"] == small["backbone"]
    } == {"fp32"}
    with pytest.raises(InputError, match="processes = 2 needs a backend of several"):
        study.run_study("ag_news", overrides=few | {"processes": 2}, publish_as="two")


def test_ag_news_makes_its_page_and_a_rerun_changes_nothing(small, capsys, tmp_path):
    folder = study.run_study("ag_news", overrides=small, publish_as="tiny")
    assert {file.name for file in folder.iterdir()} == PAGE_FILES
    text = (folder / "README.md").read_text()
    assert (
        text.index("## Findings") < text.index("## Test scores") < text.index("## How it was made")
    )
    assert "made-up demo corpus" in text and "**A demo.**" in text
    for name in PAGE_FILES:
        if name.endswith(".png"):
            assert f"]({name})" in text
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    capsys.readouterr()
    study.run_study("ag_news", overrides=small, publish_as="tiny")
    assert "9 runs: 0 trained, 9 from the store" in capsys.readouterr().out
    after = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert {name for name in before if before[name] != after[name]} <= {"environment.json"}

    compared, wrong, left = verify(folder)
    assert compared > 100 and not wrong and not left
    line = next(line for line in text.splitlines() if line.startswith("| exponential | 2 |"))
    digit = next(i for i, char in enumerate(line) if i > 25 and char.isdigit())
    changed = line[:digit] + str((int(line[digit]) + 1) % 10) + line[digit + 1 :]
    (folder / "README.md").write_text(text.replace(line, changed))
    wrong = verify(folder)[1]
    assert len(wrong) == 1 and "table by_schedule, row exponential, column accuracy (%)" in wrong[0]
    sentence = next(line for line in text.splitlines() if "highest mean test accuracy" in line)
    (folder / "README.md").write_text(
        text.replace(sentence, sentence.replace("stand over", "stands for sure over"))
    )
    assert "finding leader: the page says" in verify(folder)[1][0]
    (folder / "README.md").write_text(text + "\n| a | b |\n| --- | --- |\n| 1 | 2 |\n")
    assert "a table without its computation" in verify(folder)[1][0]
    (folder / "README.md").write_text(text)
    history = (folder / "history.csv").read_text()
    score = history.splitlines()[1].split(",")[-1]
    (folder / "history.csv").write_text(history.replace(score, "0.123456", 1))
    assert re.search(
        r"^history.csv, run \w{16}, epoch 1, column dev_\w+: the file says 0.123456",
        verify(folder)[1][0],
    )
    (folder / "history.csv").write_text("".join(history.splitlines(keepends=True)[:-1]))
    assert "has not one row for each of its 3 epochs" in verify(folder)[1][0]
    (folder / "history.csv").write_text(history)
    figures_of_a_page(folder)
    (folder / "epochs.csv").unlink()
    assert "epochs.csv is missing" in verify(folder)[1][0]
    predictions = Predictions.read(folder / "predictions.parquet")
    lost = next(iter(predictions.runs))
    predictions.keep(lambda run: run is not predictions.runs[lost]).write(
        folder / "predictions.parquet"
    )
    wrong = verify(folder)[1]
    assert f"run {lost} of environment.json is missing from predictions.parquet" in wrong
    assert f"figure losses shows runs that are not this page's: {lost}" in wrong
    (folder / "predictions.parquet").unlink()
    with pytest.raises(InputError, match="has no predictions.parquet"):
        verify(folder)


def figures_of_a_page(folder):
    """Each figure has the keys of its runs; a figure of other runs, another figure and a lost
    one are named."""
    keys = set(Predictions.read(folder / "predictions.parquet").runs)
    shown = {file.stem: set(Image.open(file).text["Runs"].split()) for file in folder.glob("*.png")}
    assert (
        shown["test_accuracy"] == keys
        and len(shown["losses"]) == 6
        and len(shown["confusion_matrix"]) == 2
    )
    assert all(runs <= keys for runs in shown.values())
    path = folder / "losses.png"
    good = path.read_bytes()
    for title, runs, told in [
        ("losses", "0123456789abcdef", "shows runs that are not this page's: 0123456789abcdef"),
        ("averages", min(keys), "is another figure, averages"),
    ]:
        Figure(figsize=(1, 1)).savefig(path, metadata={"Title": title, "Runs": runs})
        assert verify(folder)[1] == [f"figure losses {told}"]
    Figure(figsize=(1, 1)).savefig(path)
    assert verify(folder)[1:] == (
        [],
        ["figures without keys of runs, from before they had any: losses"],
    )
    path.unlink()
    assert verify(folder)[1] == ["figure losses is missing"]
    path.write_bytes(good)


def test_parameters_are_checked_before_a_kernel_starts(monkeypatch):
    monkeypatch.setattr(study, "execute", lambda *_: pytest.fail("a kernel was started"))
    for overrides, message in [
        ({"lerning_rate": 1}, "-p: unknown parameter 'lerning_rate'. Did you mean learning_rate"),
        ({"epochs": "many"}, "The parameter epochs wants a whole number like 4; 'many' is none"),
        (
            {"seeds": "all"},
            r"The parameter seeds wants a list of whole numbers like \[1, 2, 3\]; 'all' is none",
        ),
        ({"x = 1; import os": 1}, "unknown parameter 'x = 1; import os'"),
        ({"backbone": 3}, "The parameter backbone wants text"),
    ]:
        with pytest.raises(InputError, match=message):
            study.run_study("ag_news", overrides=overrides)
    with pytest.raises(InputError, match="There is no study 'ag_new'. Did you mean ag_news"):
        study.run_study("ag_new")
    with pytest.raises(InputError, match="has no profile 'smal'. Did you mean small"):
        study.run_study("ag_news", "smal")
    with pytest.raises(InputError, match="--as small: choose a plain name that is no profile's"):
        study.run_study("ag_news", overrides={"epochs": 2}, publish_as="small")


def test_overrides_have_a_folder_of_their_own(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(
        study, "execute", lambda notebook, parameters, output: asked.append(parameters)
    )
    monkeypatch.setattr(study, "publish", lambda executed, folder, **about: folder)
    monkeypatch.setattr(study, "RESULTS", tmp_path)
    assert study.run_study("ag_news").name == "demo"
    folder = study.run_study("ag_news", overrides={"learning_rate": "5e-5", "backbone": "a/b c"})
    assert folder.name == "demo--learning_rate=5e-05_backbone=a-b-c"
    assert asked[1]["learning_rate"] == 5e-5
    own = {"dataset": str(tmp_path), "text": "a", "label": "b"}
    assert study.run_study("your_data", "small", own).name == f"own--{tmp_path.name}"
    assert study.run_study("your_data", "full", own).name == f"own--{tmp_path.name}--full"
    many = {"labels": ["a long name of a class"] * 9}
    names = {
        study.run_study("your_data", "small", own | many | {"epochs": epochs}).name
        for epochs in (3, 4)
    }
    assert len(names) == 2 and all(
        len(name) < 200 for name in names
    )  # though cut off where they are alike
    with pytest.raises(
        InputError,
        match="text and label name columns of a file, and there is none; name it: dataset=",
    ):
        study.run_study("your_data", overrides={"text": "a", "label": "b"})
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "results/*/*--*/" in ignored


@pytest.mark.skipif(not shutil.which("make"), reason="needs GNU make")
@pytest.mark.parametrize("name", ["two words", "it's", 'a "b"', "x: y", "a \\ b", "Größe #1", "2"])
def test_make_passes_any_name_on(name):
    words = [f"DATA={name}.csv", "TEXT=text", f"LABEL={name}", f"CONFIG={name}.yaml"]
    command = ["make", "--no-print-directory", "-n", "-o", ".venv/.ready", "your_data", *words]
    told = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    line = shlex.split(next(line for line in told if "lib study" in line))
    assert line[line.index("--config") + 1] == f"{name}.yaml"
    values = assignments(
        [word for word in line if word.startswith(("dataset=", "text=", "label="))]
    )
    assert values == {"dataset": f"{name}.csv", "text": "text", "label": name}


def test_a_number_in_scientific_notation_arrives_as_a_number(tmp_path, monkeypatch):
    folder = tmp_path / "params" / "ag_news"
    folder.mkdir(parents=True)
    (folder / "demo.yaml").write_text("learning_rate: 1e-5\nclip_norm: 1\n")
    allowed = study.defaults(ROOT / "notebooks" / "ag_news.ipynb")
    monkeypatch.setattr(study, "NOTEBOOKS", tmp_path)
    values = study.read_profile("ag_news", "demo", allowed)
    assert values == {"learning_rate": 1e-5, "clip_norm": 1.0} and isinstance(
        values["learning_rate"], float
    )
    (folder / "demo.yaml").write_text("learning_rate: [\n")
    with pytest.raises(InputError, match="demo.yaml, line 2 is not YAML"):
        study.read_profile("ag_news", "demo", allowed)


def test_a_failed_study_publishes_nothing(small, tmp_path):
    with pytest.raises(InputError, match="max_length is 999; the backbone"):
        study.run_study("ag_news", overrides=small | {"max_length": 999}, publish_as="tiny")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stripped_short_and_have_profiles(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert notebook.metadata.kernelspec.name == "python3"
    lines = [line for cell in code for line in cell.source.splitlines() if line.strip()]
    assert len(code) <= 12 and len(lines) <= 150
    assert not any(word in line for line in lines for word in ("sys.path", "!pip", "%pip", "def "))
    allowed = study.defaults(path)
    profiles = {file.stem for file in (ROOT / "notebooks" / "params" / path.stem).glob("*.yaml")}
    assert {"demo", "small", "full", "paper"} <= profiles
    for profile in profiles:
        study.read_profile(path.stem, profile, allowed)


def test_published_pages_are_small_and_say_nothing_of_the_machine():
    pages = [
        f for f in (ROOT / "results").glob("*/*/README.md") if "--" not in f.parent.name
    ]  # those are a user's own
    for file in pages:
        files = list(file.parent.iterdir())
        assert sum(f.stat().st_size for f in files) < 5_000_000
        for text in (f.read_text() for f in files if f.suffix in (".md", ".csv", ".json")):
            assert str(ROOT) not in text and "/home/" not in text


def test_profiles_are_plain_yaml():
    for path in (ROOT / "notebooks" / "params").glob("*/*.yaml"):
        assert isinstance(yaml.safe_load(path.read_text()) or {}, dict)


def test_tables_with_empty_cells_are_compared():
    table = pd.DataFrame({"optimizer": ["adam", "adagrad"], "reason": ["", "at step 3"]})
    count, wrong = compare("grid", page.markdown(table), page.markdown(table))
    assert count == 8 and not wrong
    other = page.markdown(table.assign(reason=["", "at step 4"]))
    assert compare("grid", page.markdown(table), other)[1] == [
        "table grid, row adagrad, column reason: the page says at step 4, the predictions say at step 3"
    ]
