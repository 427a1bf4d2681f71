"""Parameters of a study: typed, with known names, from profiles, files and `name=value` words."""

import ast
import json
import shlex
import shutil
import subprocess
from pathlib import Path

import papermill
import pytest

from lib.errors import InputError
from lib.publish import notebook, parameters, study
from lib.publish.parameters import as_words, checked, defaults, folder_as, folder_of, read_profile
from lib.publish.settings import assignments
from lib.runs.paths import ROOT
from tests.conftest import save_learnable

NOTEBOOK = ROOT / "notebooks" / "ag_news.ipynb"
NOTEBOOKS = sorted(NOTEBOOK.parent.glob("*.ipynb"))


@pytest.fixture
def profile(tmp_path, monkeypatch):
    """Writes ag_news's profile demo."""
    folder = tmp_path / "params" / "ag_news"
    folder.mkdir(parents=True)
    monkeypatch.setattr(parameters, "NOTEBOOKS", tmp_path)
    return (folder / "demo.yaml").write_text


def test_a_number_in_scientific_notation_arrives_as_a_number(profile):
    profile("learning_rate: 1e-5\nclip_norm: 1\n")
    values = read_profile("ag_news", "demo", defaults(NOTEBOOK))
    assert values == {"learning_rate": 1e-5, "clip_norm": 1.0}
    assert isinstance(values["learning_rate"], float)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rate: [\n", "demo.yaml, line 2 is not YAML"),
        ("lerning_rate: 1\n", "demo.yaml: unknown parameter 'lerning_rate'. Did you mean learning"),
        ("epochs: 1\nepochs: 2\n", "demo.yaml, line 2 is not YAML: epochs is there already"),
    ],
)
def test_mistakes_in_a_profile(profile, text, message):
    profile(text)
    with pytest.raises(InputError) as error:
        read_profile("ag_news", "demo", defaults(NOTEBOOK))
    assert str(error.value).startswith(message)


def test_a_single_file_is_a_list_of_one():
    allowed = {"reference_files": [], "seeds": [1]}
    one = {"reference_files": ["gpt.csv"]}
    assert checked(assignments(["reference_files=gpt.csv"]), allowed, "words") == one
    assert checked(one, allowed, "words") == one
    with pytest.raises(InputError, match="The parameter reference_files wants a list like"):
        checked({"reference_files": 3}, allowed, "words")


@pytest.mark.parametrize(
    ("default", "value", "wanted"),
    [
        (4, "many", "a whole number like 4; 'many' is none"),
        (4, 1.5, "a whole number like 4; 1.5 is none"),
        (4, True, "a whole number like 4; True is none"),
        (0.5, "many", "a number like 0.5; 'many' is none"),
        (0.5, False, "a number like 0.5; False is none"),
        ("a", 3, "text like 'a'; 3 is none"),
        (True, "perhaps", "true or false like True; 'perhaps' is none"),
        ([1, 2], "all", "a list of whole numbers like [1, 2]; 'all' is none"),
        ([1, 2.5], ["x"], "a list of numbers like [1, 2.5]; ['x'] is none"),
        ([[0]], [1], "a list of values like [[0]]; [1] is none"),
        ([], 3, "a list like []; 3 is none"),
        ({}, 3, "a mapping like {}; 3 is none"),
    ],
)
def test_types(default, value, wanted):
    with pytest.raises(InputError) as error:
        checked({"x": value}, {"x": default}, "here")
    assert str(error.value) == f"The parameter x wants {wanted}"


def one(name: str, value, default):
    """The value of the one parameter of a notebook."""
    return checked({name: value}, {name: default}, "here")[name]


def test_values_of_the_right_type_pass():
    assert one("x", "5e-5", 0.1) == 5e-5 and one("x", 3, 0.1) == 3.0
    assert isinstance(one("x", 3, 0.1), float)
    assert one("x", [1, "2"], [3]) == [1, 2]
    assert one("x", "anything", None) == "anything"
    assert one("x", [1, "a", None], []) == [1, "a", None]
    assert one("text", 2, "text") == "2"  # a column by its number
    assert one("label", ["toxic", 3], "label") == "toxic,3"  # several columns
    for minutes in (5, 0.5, "100 steps"):  # read by lib.session.checkpoints
        assert one("checkpoint_every", minutes, 5) == minutes
    allowed = {"a": 1, "b": 2, "model_name": "x"}
    assert list(checked({"b": 1, "model_name": "y", "a": 3}, allowed, "here")) == [
        "b",
        "model_name",
        "a",
    ]


def test_the_words_of_a_command_give_its_overrides_again():
    overrides = {
        "learning_rate": 5e-5,
        "seeds": [1, 2],
        "labels": ["two words", "it's", 'a "b"', "x: y", "$HOME", "a \\ b"],
        "label": "x: y",
        "text": "2",
        "backbone": "a/b c",
        "header": False,
        "delimiter": ";",
        "task": "",
    }
    assert assignments(shlex.split(as_words(overrides))) == overrides


def test_folders_are_named_after_what_changes(tmp_path):
    changes = {"learning_rate": 5e-5, "backbone": "a/b c"}
    assert folder_of("demo", {}) == "demo"
    assert folder_of("demo", changes) == "demo--learning_rate=5e-05_backbone=a-b-c"
    own = {"dataset": str(tmp_path), "text": "a"}
    assert folder_of("small", own) == f"own--{tmp_path.name}"
    assert folder_of("small", own | {"label": "label"}) == f"own--{tmp_path.name}"
    assert folder_of("full", own | {"label": "b"}) == f"own--{tmp_path.name}--b--full"
    assert folder_of("small", own | {"label": "a/b,c"}) == f"own--{tmp_path.name}--a-b-c"
    assert folder_of("small", {"dataset": "user/name", "text": "a"}) == "own--name"
    assert folder_as("mine", "user/name") == folder_as("own--mine", "user/name") == "own--mine"
    assert folder_as("mine", "imdb") == folder_as("mine", "demo_news") == "mine"
    labels = {folder_of("small", own | {"label": "l" * size}) for size in (81, 82)}
    assert len(labels) == 2 and all(f"--{'l' * 80}--" in label for label in labels)
    many = own | {"labels": ["a long name of a class"] * 9}
    names = {folder_of("small", many | {"epochs": epochs}) for epochs in (3, 4)}
    assert len(names) == 2  # though cut off where they are alike
    assert all(len(name) < 200 for name in names)
    assert "results/*/*--*/" in (ROOT / ".gitignore").read_text().splitlines()


def test_a_page_of_ones_own_texts_is_ignored_by_git_whatever_its_name(monkeypatch, tmp_path):
    monkeypatch.setattr(notebook, "execute", lambda *words: None)
    monkeypatch.setattr(notebook, "blocks_of", lambda executed: [])
    monkeypatch.setattr("lib.publish.folder.publish_runs", lambda *_: None)
    monkeypatch.setattr(study, "check_study", lambda *_: None)
    own = {"dataset": str(save_learnable(tmp_path / "data"))}
    folder = study.run_study("your_data", overrides=own, publish_as="mine")
    assert folder.relative_to(ROOT) == Path("results/your_data/own--mine")
    assert study.run_study("your_data", overrides=own, publish_as="own--mine") == folder
    assert study.run_study("your_data", publish_as="news").name == "news"


@pytest.mark.skipif(not shutil.which("make"), reason="needs GNU make")
@pytest.mark.parametrize("name", ["two words", "it's", 'a "b"', "x: y", "a \\ b", "Größe #1", "2"])
def test_make_passes_any_name_on(name):
    words = [f"DATA={name}.csv", "TEXT=text", f"LABEL={name}", f"CONFIG={name}.yaml"]
    line = make_line("your_data", *words)
    assert line[line.index("--config") + 1] == f"{name}.yaml"
    values = [word for word in line if word.startswith(("dataset=", "text=", "label="))]
    assert assignments(values) == {"dataset": f"{name}.csv", "text": "text", "label": name}


def make_line(*words: str) -> list[str]:
    """The words of the `lib study` command that a make command runs."""
    command = ["make", "--no-print-directory", "-n", "-o", ".venv/.ready", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return shlex.split(next(line for line in done.stdout.splitlines() if "lib study" in line))


@pytest.mark.skipif(not shutil.which("make"), reason="needs GNU make")
def test_a_pages_command_makes_it_again():
    from lib.publish.folder import command_of

    overrides = {"label": 'a "b": $x', "labels": ["it's", "\\"], "epochs": 2}
    command = command_of("your_data", "full", as_words(overrides), needs_data=False)
    assert command.startswith("make your_data PROFILE=full ARGS=")
    told = subprocess.check_output(["sh", "-c", f"printf '%s\\0' {command}"], text=True)
    line = make_line(*told.split("\0")[1:-1])
    assert line[:5] == [".venv/bin/python", "-m", "lib", "study", "your_data"]
    assert assignments(line[7:]) == overrides


def write_notebook(path, *sources: str):
    """A notebook with a cell of parameters for each source."""
    cells = [
        {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": source}
        for source in sources
    ]
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    return path


def test_the_parameters_cell(tmp_path):
    source = """
sign = "#"  # of a comment, = and all
rate: float = 1e-4
rows = {"a": [1, None]}
_rows = 3
a, b = 1, 2
"""
    notebook = write_notebook(tmp_path / "new.ipynb", source)
    assert defaults(notebook) == {"sign": "#", "rate": 1e-4, "rows": {"a": [1, None]}}


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([], "new.ipynb has 0 cells with the tag 'parameters'; one is needed"),
        (["a = 1", "b = 2"], "new.ipynb has 2 cells with the tag 'parameters'; one is needed"),
        (["a = 1\nb = ("], "new.ipynb, line 2 of the parameters cell is no Python: '(' was never"),
        (["a = 1\nb = a + 1"], "new.ipynb: the parameter b has no literal value"),
    ],
)
def test_mistakes_in_a_parameters_cell(tmp_path, sources, message):
    with pytest.raises(InputError) as error:
        defaults(write_notebook(tmp_path / "new.ipynb", *sources))
    assert str(error.value).startswith(message)


def test_what_is_no_notebook(tmp_path):
    for content in ("not JSON", "[]", "{}"):
        (tmp_path / "new.ipynb").write_text(content)
        with pytest.raises(InputError, match=r"^new\.ipynb is no notebook that can be read$"):
            defaults(tmp_path / "new.ipynb")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_papermill_sees_the_same_parameters(path):
    seen = {
        name: ast.literal_eval(parameter["default"])
        for name, parameter in papermill.inspect_notebook(path).items()
    }
    assert defaults(path) == seen


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
    monkeypatch.setattr(notebook, "execute", lambda *_: pytest.fail("a kernel was started"))
    with pytest.raises(InputError, match=message):
        study.run_study("ag_news", overrides=overrides)


def test_a_file_of_settings_comes_before_the_command_line(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(notebook, "execute", lambda *words: calls.append(words[1]))
    monkeypatch.setattr(notebook, "blocks_of", lambda executed: [])
    monkeypatch.setattr("lib.publish.folder.publish_runs", lambda *_: None)
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
