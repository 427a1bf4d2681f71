"""Settings: YAML that is read strictly, and the names that sections and the older plugin have."""

import math
import os
from pathlib import Path

import pytest

from lib.errors import InputError
from lib.metrics import METRICS
from lib.publish.parameters import defaults
from lib.publish.settings import DATA, MODEL, SECTIONS, plugin_keys, to_parameters
from lib.publish.strict_yaml import read_value, read_yaml
from lib.runs.paths import NOTEBOOKS

BOMB = "a: &a [1, 1]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n"


@pytest.fixture
def read(tmp_path):
    """Reads a text as the file my.yaml."""

    def read_text(content: str) -> dict:
        (tmp_path / "my.yaml").write_text(content, encoding="utf-8")
        return read_yaml(tmp_path / "my.yaml")

    return read_text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: 1\n\tb: 2\n", ", line 2 is not YAML: a tab; indent with spaces"),
        ("1: 2\n", ", line 1 is not YAML: a name is a word"),
        ("? [a, b]\n: 3\n", ", line 1 is not YAML: a name is a word"),
        (
            "epochs: 1\nseed: 2\nepochs: 3\n",
            ", line 3 is not YAML: epochs is there already, in line 1",
        ),
        (
            "model:\n  head: a\n  'head': b\n",
            ", line 3 is not YAML: head is there already, in line 2",
        ),
        ("just words\n", " has no `name: value` lines, but str"),
        ("- a\n", " has no `name: value` lines, but list"),
        (
            "a: [1,\n",
            ", line 2 is not YAML: expected the node content, but found '<stream end>'",
        ),
        (
            BOMB,
            ", line 2 is not YAML: *a stands for what is written elsewhere; write that out, "
            "or quote the word",
        ),
        (
            "a: &a [*a]\n",
            ", line 1 is not YAML: *a stands for what is written elsewhere; write that out, "
            "or quote the word",
        ),
        (
            "a: 1\nb: !!python/name:os.system x\n",
            ", line 2 is not YAML: a word that starts with ! is a tag, and there are none; "
            "quote the word",
        ),
        (
            "a: 1\n---\nb: 2\n",
            ", line 2 is not YAML: another document starts; there is one in a file",
        ),
        ("a: " + "[" * 10_000, ", line 1 is not YAML: values are nested deeper than 30 times"),
        ("a:\n" + "- " * 10_000, ", line 2 is not YAML: values are nested deeper than 30 times"),
        ("a: " + "{a: " * 10_000, ", line 1 is not YAML: values are nested deeper than 30 times"),
        ("a: &a {b: 1}\nc: {<<: *a}\n", ", line 2 is not YAML: *a stands for what is written"),
        ("a: !!bool abc\n", ", line 1 is not YAML: a word that starts with ! is a tag"),
        ("a: !!int x\n", ", line 1 is not YAML: a word that starts with ! is a tag"),
        ("a: 1\nb: " + "9" * 5000, ", line 2 is not YAML: 999999999999999999999999999999… is too"),
        ("a: 0x" + "f" * 5000, ", line 1 is not YAML: 0xffffffffffffffffffffffffffff… is too"),
        ("a: 1e999\n", ", line 1 is not YAML: 1e999… is too large a number"),
        ('a: "\\0"\n', ", line 1 is not YAML: \\0 or half a character (a surrogate)"),
        ('a: "\\ud800"\n', ", line 1 is not YAML: \\0 or half a character (a surrogate)"),
        ("a: \0\n", " is not YAML: unacceptable character"),
        ("#" * 1_000_001, " is larger than 1,000,000 bytes; settings are not"),
    ],
)
def test_yaml(read, content, message):
    with pytest.raises(InputError) as error:
        read(content)
    assert str(error.value).startswith(f"my.yaml{message}")


def test_what_is_no_file_of_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("latin.yaml").write_bytes(b"a: \xe9\n")
    Path("folder.yaml").mkdir()
    os.mkfifo("pipe.yaml")
    cases = {
        "latin.yaml": "latin.yaml is not UTF-8",
        "folder.yaml": "folder.yaml is a folder; name a YAML file",
        "pipe.yaml": "pipe.yaml is no file that can be read; name a YAML file",
        "/dev/zero": "/dev/zero is no file that can be read; name a YAML file",
        "none.yaml": "There is no file none.yaml",
        "": ". is a folder; name a YAML file",
        "x" * 300: f"There is no file {'x' * 300}",
        "a\0b": "There is no file a\0b",
    }
    for name, message in cases.items():
        with pytest.raises(InputError) as error:
            read_yaml(Path(name))
        assert str(error.value) == message


@pytest.mark.parametrize("start", ["", "%YAML 1.1\n---\n"])
def test_words_and_numbers_are_what_yaml_1_2_says(read, start):
    words = ["no", "yes", "on", "off", "y", "2024-01-01", "12:30", "1_000", "0b1", "=", "<<", ".x"]
    values = read(f"{start}words: [{', '.join(words)}]\n'quoted': ['1', \"true\", '~']\n")
    assert values == {"words": words, "quoted": ["1", "true", "~"]}
    numbers = {"1e-5": 1e-5, "1.": 1.0, "+.5E3": 500.0, "010": 10, "0x1F": 31, "0o17": 15, "-3": -3}
    assert read(f"{start}numbers: [{', '.join(numbers)}]")["numbers"] == list(numbers.values())
    assert [type(value) for value in read(f"{start}n: [1e5, 1, 1.0]")["n"]] == [float, int, float]
    special = read(f"{start}special: [true, FALSE, ~, null, -.inf, .NaN]\nnothing:\n")
    assert special["special"][:5] == [True, False, None, None, -math.inf]
    assert math.isnan(special["special"][5]) and special["nothing"] is None


@pytest.mark.parametrize("content", ["", "# a comment\n", "---\n"])
def test_a_file_without_settings(read, content):
    assert read(content) == {}


def test_values_of_the_command_line():
    assert read_value("x", "2e-5") == 2e-5
    signs = ["|", ";", ",", "\t", "#", "*", "&", "!"]
    assert [read_value("x", sign) for sign in signs] == signs
    assert read_value("x", "[]") == [] and read_value("x", "") is None
    for text in ("[1, 2", "*a", "!a", "{a: 1, a: 2}"):
        with pytest.raises(InputError) as error:
            read_value("seeds", text)
        assert str(error.value) == f"seeds: {text!r} is not YAML; a list is written [1, 2]"


# ---- names


@pytest.fixture(scope="module")
def allowed():
    return defaults(NOTEBOOKS / "your_data.ipynb")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"trainer": {"epoch": 3}},
            "my.yaml: unknown parameter 'trainer.epoch'. Did you mean trainer.epochs?",
        ),
        (
            {"model.epochs": 3},
            "my.yaml: unknown parameter 'model.epochs'. Did you mean trainer.epochs?",
        ),
        (
            {"lerning_rate": 1},
            "my.yaml: unknown parameter 'lerning_rate'. Did you mean learning_rate?",
        ),
        ({"module": {"metric": "bleu"}}, "my.yaml: module.metric = 'bleu' has no counterpart"),
        (
            {"data": {"text": "a"}, "text": "b"},
            "my.yaml: text is there twice, the second time as text",
        ),
    ],
)
def test_mistakes_in_names(allowed, values, message):
    with pytest.raises(InputError) as error:
        to_parameters(values, allowed, "my.yaml")
    assert str(error.value) == message


def test_the_older_plugins_files_are_read(allowed, capsys):
    old = {
        "data": {"text_a_col": "Tweet", "text_b_col": None, "header": 0},
        "module": {"max_lr": 2e-5, "metric": "acc"},
        "trainer": {"backend": "ddp-amp", "epochs": 3, "clip_grads": False, "use_gpu": True},
        "ckpt": {"period": 1},
    }
    new = {
        "text": "Tweet",
        "text_pair": "",
        "header": True,
        "learning_rate": 2e-5,
        "metric": "accuracy",
        "backend": "ddp-amp",
        "epochs": 3,
        "clip_norm": 0.0,
    }
    assert to_parameters(old, allowed, "my.yaml") == new
    out = capsys.readouterr().out
    assert "my.yaml: data.text_a_col is text here" in out
    assert "ckpt.period is not needed: the chosen epoch's model is kept" in out
    for value, header in [(0, True), (True, True), (None, False), (False, False)]:
        assert to_parameters({"data.header": value}, allowed, "my.yaml") == {"header": header}


def test_the_table_of_the_plugins_keys_names_what_there_is(allowed):
    table = plugin_keys()
    assert set(table) == {"renamed", "metrics", "needless"}
    assert set(table["renamed"].values()) <= set(allowed)
    assert set(table["metrics"].values()) <= set(METRICS)
    assert not set(table["needless"]) & {*SECTIONS, *allowed, *table["renamed"]}
    for value in (*table["renamed"].values(), *table["needless"].values()):
        assert isinstance(value, str)


def test_a_section_has_no_name_that_is_no_parameter(allowed):
    assert {*DATA, *MODEL} <= set(allowed)
