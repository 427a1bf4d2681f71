"""Parameters of a study: typed, with known names, from profiles, files and `name=value` words."""

import shlex
import shutil
import subprocess

import pytest
import yaml

from lib.errors import InputError
from lib.publish import parameters
from lib.publish.parameters import as_words, defaults, folder_of, read_profile, typed
from lib.publish.settings import assignments
from lib.runs.store import ROOT

NOTEBOOK = ROOT / "notebooks" / "ag_news.ipynb"


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


@pytest.mark.parametrize(
    ("default", "value", "wanted"),
    [
        (4, "many", "a whole number like 4; 'many' is none"),
        (0.5, "many", "a number like 0.5; 'many' is none"),
        ("a", 3, "text like 'a'; 3 is none"),
        (True, "perhaps", "true or false like True; 'perhaps' is none"),
        ([1, 2], "all", "a list of whole numbers like [1, 2]; 'all' is none"),
        ([1, 2.5], ["x"], "a list of numbers like [1, 2.5]; ['x'] is none"),
        ([], 3, "a list like []; 3 is none"),
        ({}, 3, "a mapping like {}; 3 is none"),
    ],
)
def test_types(default, value, wanted):
    with pytest.raises(InputError) as error:
        typed("x", value, default)
    assert str(error.value) == f"The parameter x wants {wanted}"


def test_values_of_the_right_type_pass():
    assert typed("x", "5e-5", 0.1) == 5e-5 and typed("x", 3, 0.1) == 3.0
    assert typed("x", [1, "2"], [3]) == [1, 2]
    assert typed("x", "anything", None) == "anything"
    assert typed("text", 2, "text") == "2"  # a column by its number
    for minutes in (5, 0.5, "100 steps"):  # read by lib.runs.checkpoints
        assert typed("checkpoint_every", minutes, 5) == minutes


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
    own = {"dataset": str(tmp_path), "text": "a", "label": "b"}
    assert folder_of("small", own) == f"own--{tmp_path.name}"
    assert folder_of("full", own) == f"own--{tmp_path.name}--full"
    many = own | {"labels": ["a long name of a class"] * 9}
    names = {folder_of("small", many | {"epochs": epochs}) for epochs in (3, 4)}
    assert len(names) == 2  # though cut off where they are alike
    assert all(len(name) < 200 for name in names)
    assert "results/*/*--*/" in (ROOT / ".gitignore").read_text().splitlines()


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
    command = command_of("your_data", "full", as_words(overrides), [])
    assert command.startswith("make your_data PROFILE=full ARGS=")
    told = subprocess.check_output(["sh", "-c", f"printf '%s\\0' {command}"], text=True)
    line = make_line(*told.split("\0")[1:-1])
    assert line[:5] == [".venv/bin/python", "-m", "lib", "study", "your_data"]
    assert assignments(line[7:]) == overrides


def test_profiles_are_plain_yaml():
    for path in (ROOT / "notebooks" / "params").glob("*/*.yaml"):
        assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")) or {}, dict)
