"""Studies end to end on a tiny transformer: strict parameters, the files of a page, and reruns."""

import nbformat
import pytest
from PIL import Image

from lib.analysis.predictions import Predictions
from lib.errors import InputError
from lib.publish import study
from lib.publish.parameters import defaults, profiles, read_profile
from lib.publish.verify import verify
from lib.runs.config import RunConfig
from lib.runs.pool import run
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
        "backend": "sp",
    }


def test_ag_news_makes_its_page_and_a_rerun_changes_nothing(small, capsys, request):
    folder = study.run_study("ag_news", overrides=small, publish_as="tiny")
    assert {file.name for file in folder.iterdir()} == PAGE_FILES
    text = (folder / "README.md").read_text()
    headings = ["## Findings", "## Test scores", "## How it was made"]
    assert sorted(headings, key=text.index) == headings
    assert "made-up demo corpus" in text and "**A demo.**" in text
    for name in PAGE_FILES:
        if name.endswith(".png"):
            assert f"]({name})" in text
    assert "epochs=3 backbone=" in text and '--as tiny"` executes' in text
    runs = Predictions.read(folder / "predictions.parquet").runs
    trained = [run["config"] for run in runs.values() if run["config"]["head"] == "native"]
    assert {c["precision"] for c in trained if c["backbone"] == small["backbone"]} == {"fp32"}
    shown = {file.stem: set(Image.open(file).text["Runs"].split()) for file in folder.glob("*.png")}
    assert shown["test_accuracy"] == set(runs) and len(shown["losses"]) == 6
    assert len(shown["confusion_matrix"]) == 2 and all(keys <= set(runs) for keys in shown.values())
    compared, wrong, left = verify(folder)
    assert compared > 100 and not wrong and not left

    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    capsys.readouterr()
    request.getfixturevalue("no_kernel")
    study.run_study("ag_news", overrides=small, publish_as="tiny")
    assert "9 runs: 0 trained, 9 from the store" in capsys.readouterr().out
    after = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert {name for name in before if before[name] != after[name]} <= {"environment.json"}


def test_a_failed_study_says_why_and_publishes_nothing(small, tmp_path):
    few = small | {"seeds": [1], "epochs": 1, "milestones": [], "backend": "", "processes": 2}
    with pytest.raises(InputError, match="processes = 2 needs a backend of several"):
        study.run_study("ag_news", overrides=few, publish_as="two")
    assert not (tmp_path / "results").exists()


def test_a_text_longer_than_the_backbone_reads(tiny):
    sizes = {"train_rows": 64, "dev_rows": 20, "test_rows": 40}
    with pytest.raises(InputError, match="max_length is 999; the backbone"):
        run(RunConfig(backbone=tiny["bert"], max_length=999, **sizes))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"lerning_rate": 1}, "unknown parameter 'lerning_rate'. Did you mean learning_rate"),
        ({"epochs": "many"}, "The parameter epochs wants a whole number like 4; 'many' is none"),
        ({"x = 1; import os": 1}, "unknown parameter 'x = 1; import os'"),
        ({"backbone": 3}, "The parameter backbone wants text"),
    ],
)
def test_parameters_are_checked_before_a_kernel_starts(monkeypatch, overrides, message):
    monkeypatch.setattr(study, "execute", lambda *_: pytest.fail("a kernel was started"))
    with pytest.raises(InputError, match=message):
        study.run_study("ag_news", overrides=overrides)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "ag_new"}, "There is no study 'ag_new'. Did you mean ag_news"),
        ({"name": "ag_news", "profile": "smal"}, "has no profile 'smal'. Did you mean small"),
        (
            {"name": "ag_news", "overrides": {"epochs": 2}, "publish_as": "small"},
            "--as small: choose a plain name that is no profile's",
        ),
        (
            {"name": "your_data", "overrides": {"text": "a", "label": "b"}},
            "text and label name columns of a file, and there is none; name it: dataset=",
        ),
    ],
)
def test_names_are_checked_before_a_kernel_starts(monkeypatch, arguments, message):
    monkeypatch.setattr(study, "execute", lambda *_: pytest.fail("a kernel was started"))
    with pytest.raises(InputError, match=message):
        study.run_study(**arguments)


def test_a_file_of_settings_comes_before_the_command_line(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(study, "execute", lambda notebook, values, output: calls.append(values))
    monkeypatch.setattr(study, "publish", lambda executed, folder, **options: folder)
    monkeypatch.setattr(study, "RESULTS", tmp_path)
    config = tmp_path / "my.yaml"
    config.write_text("trainer: {epochs: 7, learning_rate: 1e-5}\n")
    assert study.run_study("your_data").name == "demo"
    folder = study.run_study("your_data", overrides={"learning_rate": "5e-5"}, config=config)
    assert folder.name == "demo--epochs=7_learning_rate=5e-05"
    assert (calls[1]["epochs"], calls[1]["learning_rate"]) == (7, 5e-5)
    config.write_text("trainer: {epoch: 7}\n")
    with pytest.raises(InputError, match="^my.yaml: unknown parameter 'trainer.epoch'"):
        study.run_study("your_data", config=config)


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
    assert {"demo", "small", "full", "paper"} <= set(profiles(path.stem))
    for profile in profiles(path.stem):
        read_profile(path.stem, profile, defaults(path))


def test_published_pages_are_small_and_say_nothing_of_the_machine():
    pages = [path.parent for path in (ROOT / "results").glob("*/*/README.md")]
    for folder in pages:
        if "--" in folder.name:  # a user's own
            continue
        files = list(folder.iterdir())
        assert sum(file.stat().st_size for file in files) < 5_000_000
        for file in files:
            if file.suffix in (".md", ".csv", ".json"):
                text = file.read_text(encoding="utf-8")
                assert str(ROOT) not in text and "/home/" not in text
