"""Studies end to end on a tiny transformer: strict parameters, the files of a page, and reruns."""

import ast
import sys

import nbformat
import pytest

from lib import __main__
from lib.analysis.predictions import Predictions
from lib.errors import InputError
from lib.many.pool import run
from lib.publish import notebook, study
from lib.publish.blocks import read_page
from lib.publish.parameters import defaults, notebook_of, profiles, read_profile
from lib.publish.verify import verify
from lib.runs.config import RunConfig
from lib.runs.paths import ROOT
from lib.runs.store import store
from tests.tiny_study import files

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGE_FILES = {
    "README.md",
    "page.json",
    "predictions.parquet",
    "history.csv",
    "environment.json",
    "audit.csv",
    "by_schedule.csv",
    "leaks.csv",
    "differences.csv",
    "differences_chosen.csv",
    "after_loss.csv",
    "after_score.csv",
    "confusion.csv",
    "imbalance.csv",
    "runs.csv",
    "epochs.csv",
    "overshoot.csv",
    "classes.csv",
    "test_accuracy.png",
    "learning_curves.png",
    "losses.png",
    "kept_right.csv",
    "risk_coverage.png",
    "why.csv",
    "confusion_matrix.png",
    "f1_by_class.png",
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
    headings = ["**A demo:**", "## Do the schedules differ", "<summary>How it was made</summary>"]
    assert sorted(headings, key=text.index) == headings
    assert "made-up demo corpus" in text
    for name in PAGE_FILES:
        if name.endswith(".png"):
            assert f"]({name})" in text
    assert "epochs=3 backbone=" in text and '--as tiny"` executes' in text
    runs = Predictions.read(folder / "predictions.parquet").runs
    trained = [run["config"] for run in runs.values() if not run["config"]["reference"]]
    assert {(c["backbone"], c["precision"]) for c in trained} == {("…/bert", "fp32")}
    blocks = read_page(folder)["blocks"]
    shown = {block["name"]: set(block["runs"]) for block in blocks if block["kind"] == "figure"}
    assert shown["test_accuracy"] == set(runs) and len(shown["losses"]) == 6
    assert len(shown["confusion_matrix"]) == 2 and all(keys <= set(runs) for keys in shown.values())
    check = verify(folder)
    assert check.compared > 25 and not check.wrong
    assert check.unchecked == ["why: measured on the machine that made the page"]

    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    capsys.readouterr()
    request.getfixturevalue("no_kernel")
    study.run_study("ag_news", overrides=small, publish_as="tiny")
    out = capsys.readouterr().out
    assert "11 runs: 0 trained, 11 from the store" in out
    assert "Compared with the page that this one replaces:" in out and "no score differs" in out
    after = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert {name for name in before if before[name] != after[name]} <= {"environment.json"}


def test_a_failed_study_says_why_and_publishes_nothing(small, tmp_path, no_kernel):
    few = small | {"seeds": [1], "epochs": 1, "milestones": [], "backend": "", "processes": 2}
    with pytest.raises(InputError, match="processes = 2 needs a backend of several"):
        study.run_study("ag_news", overrides=few, publish_as="two")
    assert not (tmp_path / "results").exists()


def test_a_text_longer_than_the_backbone_reads(tiny):
    sizes = {"train_rows": 64, "dev_rows": 20, "test_rows": 40}
    with pytest.raises(InputError, match="max_length is 999; the backbone"):
        run(RunConfig(backbone=tiny["bert"], max_length=999, **sizes))


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
    monkeypatch.setattr(notebook, "execute", lambda *_: pytest.fail("a kernel was started"))
    with pytest.raises(InputError, match=message):
        study.run_study(**arguments)


def test_notebooks_by_their_names():
    assert notebook_of("ag_news").is_file()
    for name in ("ag_new", "../evil", "", "params"):
        with pytest.raises(InputError, match=f"There is no study '{name}'"):
            notebook_of(name)


def command_line(monkeypatch, capsys, *words: str) -> tuple:
    """The exit status (or the error) and the lines of a command."""
    monkeypatch.setattr(sys, "argv", ["lib", *words])
    with pytest.raises(SystemExit) as end:
        __main__.main()
    return end.value.code, capsys.readouterr().out.splitlines()


def test_a_page_is_made_from_results(page, monkeypatch, capsys):
    before = files(page)
    for name in ("README.md", "by_head.csv", "dev_loss.png"):
        (page / name).unlink()
    kept = ["cost: measured on the machine that made the page"]
    kept += ["numbers: measured on the machine that made the page"]
    words = ["study", "heads", "--profile", "tiny", "--from-results"]
    code, lines = command_line(monkeypatch, capsys, *words)
    assert not code and lines == [
        *(f"Kept as it was: {reason}" for reason in kept),
        f"The page: {page / 'README.md'}",
    ]
    assert files(page) == before and not list(store().glob("*/status.json"))
    code, lines = command_line(monkeypatch, capsys, "pages", str(page))
    assert not code and lines[0] == f"{page}: made anew" and files(page) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["heads", "epochs=3", "--from-results"], "Error: --from-results takes a page as it is"),
        (["heads", "--as", "a", "--from-results"], "Error: --from-results takes a page as it is"),
        (["head", "--from-results"], "Error: There is no study 'head'. Did you mean heads?"),
        (["heads", "--profile", "none", "--from-results"], "heads/none; a page is one like"),
    ],
)
def test_what_cannot_be_made_from_results(page, monkeypatch, capsys, words, message):
    code, lines = command_line(monkeypatch, capsys, "study", *words)
    assert message in code and not lines


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stripped_short_and_have_profiles(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert notebook.metadata.kernelspec.name == "python3"
    lines = [line for cell in code for line in cell.source.splitlines() if line.strip()]
    parameters = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    others = [cell.source for cell in code if cell not in parameters]
    assert len(code) <= 12 and len(parameters) == 1
    assert sum(bool(line.strip()) for source in others for line in source.splitlines()) <= 100
    assert max(map(len, lines)) <= 100
    for source in others:  # a table is not displayed again, as a cell's value
        last = ast.parse(source.rstrip(";\n ")).body[-1]
        is_call = isinstance(last, ast.Expr) and isinstance(last.value, ast.Call)
        if is_call and ast.unparse(last.value.func) in ("show_table", "show_measured"):
            assert source.endswith(";")
    assert not any(word in line for line in lines for word in ("sys.path", "!pip", "%pip", "def "))
    assert {"demo", "small", "full", "paper"} <= set(profiles(path.stem))
    for profile in profiles(path.stem):
        settings = read_profile(path.stem, profile, defaults(path))
        assert profile == "demo" or "precision" in settings
    assert defaults(path)["precision"] == "fp32"  # of the demo


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
