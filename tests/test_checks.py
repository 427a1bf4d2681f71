"""A study's mistakes are told before a kernel starts, in the notebook's words, and at once."""

import ast
import subprocess
import sys

import nbformat
import pytest

from lib import heads
from lib.data import load_corpus
from lib.errors import InputError
from lib.publish import notebook, study
from lib.publish.checks import check_data, check_study, reading_of
from lib.publish.parameters import defaults
from lib.reading.options import Reading
from lib.runs.paths import NOTEBOOKS

HEAVY = (
    *("torch", "transformers", "datasets", "sklearn", "scipy", "pandas", "matplotlib"),
    *("papermill", "nbformat", "jupyter_client"),
)
YOUR_DATA = NOTEBOOKS / "your_data.ipynb"


@pytest.fixture(scope="module")
def allowed():
    return defaults(YOUR_DATA)


@pytest.fixture
def file(tmp_path):
    """A file of 40 texts in two classes, its columns divided by semicolons."""
    path = tmp_path / "reviews.csv"
    lines = [f"text {i};{'ab'[i % 2]}" for i in range(40)]
    path.write_text("\n".join(["review;sentiment", *lines]) + "\n")
    return path


MISTAKES = {  # parameters -> the message
    "a wrong delimiter": (
        {"delimiter": ","},
        "reviews.csv has no column 'sentiment': its only column is 'review;sentiment'. Is the "
        "delimiter ';'? Then set delimiter: ';'",
    ),
    "a missing column": (
        {"delimiter": ";", "text": "reviews"},
        "reviews.csv has no column 'reviews'. Did you mean review?",
    ),
    "a label outside the list": (
        {"delimiter": ";", "labels": ["a"]},
        "reviews.csv, line 3: unknown label 'b' in column 'sentiment'; the labels are a (20 bad "
        "rows in all; on_bad_rows: quarantine leaves them out)",
    ),
    "too many rows asked for": (
        {"delimiter": ";", "test_rows": 40},
        "Cannot split off 40 rows, stratified by label: there are 40 different texts in 2 classes "
        "that have more than one text, and both sides need one of each; is it the right label "
        "column, and the right number of rows?",
    ),
    "a sheet of what has none": (
        {"delimiter": ";", "sheet": "Data"},
        "sheet = 'Data': reviews.csv is no Excel workbook; leave it out",
    ),
    "rare classes, and no number": (
        {"delimiter": ";", "rare_classes": "other"},
        "rare_classes = 'other': no class is rare without min_rows_per_class; set it, too, such as "
        "10",
    ),
    "a missing file": ({"test_file": "nowhere.csv"}, "There is no file nowhere.csv"),
    "a missing file of answers": (
        {"delimiter": ";", "reference_files": ["gpt.csv"]},
        "reference_files = 'gpt.csv': there is no such file; name one from this folder, or with "
        "its whole path",
    ),
    "no encoding": (
        {"encoding": "utf-9"},
        "encoding = 'utf-9': no such encoding is known; for example utf-8, latin-1, cp1252, utf-16",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_in_data_start_no_kernel(file, monkeypatch, case):
    changes, message = MISTAKES[case]
    monkeypatch.setattr(notebook, "execute", lambda *_: pytest.fail("a kernel was started"))
    overrides = {"dataset": str(file), "text": "review", "label": "sentiment"} | changes
    with pytest.raises(InputError) as error:
        study.run_study("your_data", "small", overrides=overrides)
    assert str(error.value) == message


def test_data_that_can_be_read_passes_without_a_word(file, allowed, capsys):
    changes = {"dataset": str(file), "text": "review", "label": "sentiment", "delimiter": ";"}
    changes |= {"train_rows": 0, "dev_rows": 4, "test_rows": 0}
    file.write_text(file.read_text() + "one field\n")
    with pytest.raises(InputError, match=r"^reviews\.csv, line 42 has 1 fields"):
        check_data(allowed | changes)
    check_data(allowed | changes | {"on_bad_rows": "quarantine"})
    test = file.with_name("test.csv")
    test.write_text("review;sentiment\ngood;a\nwhat is this;c\n")  # train lacks c, which is said
    check_data(allowed | changes | {"on_bad_rows": "quarantine", "test_file": str(test)})
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "path", [YOUR_DATA, NOTEBOOKS / "label_budget.ipynb"], ids=lambda path: path.stem
)
def test_files_are_read_as_the_notebook_reads_them(path):
    allowed = defaults(path)
    settings_of_rows = {*Reading.model_fields} - {"dev_file"}
    assert settings_of_rows <= allowed.keys()
    code = [cell for cell in nbformat.read(path, as_version=4).cells if "Reading(" in cell.source]
    statement = next(
        node
        for node in ast.parse(code[0].source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("Reading(")
    )
    set_all = {"labels": ["a", 1], "delimiter": "tab", "quotes": False, "header": False}
    set_all |= {"text_pair": "b", "dev_file": "d", "task": "multilabel", "label_separator": "|"}
    set_all |= {"escape": "backslash", "split": "s", "min_rows_per_class": 3}
    set_all |= {"rare_classes": "other"}
    known = {name: value for name, value in set_all.items() if name in allowed}
    for parameters in (allowed, allowed | known):
        names = {"Reading": Reading} | parameters
        exec(ast.unparse(statement), names)
        assert reading_of(parameters) == names[ast.unparse(statement.targets[0])]


def test_what_no_generated_corpus_can_hold_starts_no_kernel():
    check_data({"dataset": "demo_news", "task": "classification", "on_bad_rows": "quarantine"})
    with pytest.raises(InputError, match="^group = 'user' cannot hold for demo_news"):
        check_data({"dataset": "demo_news", "group": "user"})


def test_a_named_dataset_is_looked_for_and_not_read(monkeypatch, tmp_path):
    monkeypatch.delenv("DATA_DIR", raising=False)
    with pytest.raises(InputError) as early:
        check_data({"dataset": "ag_news_26k"})
    with pytest.raises(InputError) as late:
        load_corpus("ag_news_26k")
    assert str(early.value) == str(late.value)
    (tmp_path / "ag_news_26k").mkdir()
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    check_data({"dataset": "ag_news_26k"})
    with pytest.raises(InputError, match="Unknown dataset .* Did you mean ag_news"):
        check_data({"dataset": "ag_new"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": "men"}, "Unknown head 'men'. Did you mean mean?"),
        ({"heads": ["native", "men"]}, "Unknown head 'men'. Did you mean mean?"),
        ({"truncation_head": "men"}, "Unknown head 'men'. Did you mean mean?"),
        ({"optimizer": "native"}, "Unknown optimizer 'native'. Choose from adam, "),
        ({"schedule": "lineal"}, "Unknown schedule 'lineal'. Did you mean linear?"),
        ({"tracker": "tensorbord"}, "Unknown tracker 'tensorbord'. Did you mean tensorboard?"),
        ({"batch_size": 0}, "batch_size = 0: input should be greater than or equal to 1"),
        (
            {"truncation": "tial"},
            "truncation = 'tial': input should be 'head', 'tail', 'head_tail'",
        ),
        ({"seeds": [1, 2**62]}, f"seed = {2**62}: input should be less than or equal to"),
        ({"learning_rate": float("inf")}, "learning_rate = inf: a number is finite"),
        ({"learning_rates": [0.1, 0.0]}, "learning_rate = 0.0: input should be greater than 0"),
        ({"backbone": "x" * 300}, "backbone = 'xxx"),
        ({"backend": "dpp"}, "Unknown backend 'dpp'. Did you mean ddp?"),
        ({"processes": -1}, "processes = -1: it wants a whole number from 1 to 1,024"),
        ({"checkpoint_every": "often"}, "checkpoint_every is 'often'; it wants minutes"),
        ({"metric": "acuracy"}, "Unknown metric 'acuracy'. Did you mean accuracy?"),
    ],
)
def test_mistakes_in_names_and_numbers(allowed, changes, message):
    with pytest.raises(InputError) as error:
        check_study("your_data", allowed | changes, changes)
    assert str(error.value).startswith(message)


def test_settings_that_a_run_can_have_pass(allowed):
    changes = {"layers": 0, "clip_norm": 0.0, "class_weight": "", "patience": 0, "train_rows": 0}
    changes |= {"head": "native", "heads": ["mean"], "optimizer": "adam", "metric": "auto"}
    changes |= {"backend": "", "processes": 0, "checkpoint_every": 0, "seeds": [1], "labels": []}
    check_study("your_data", allowed | changes, changes)


def test_a_head_that_the_studys_module_adds_is_known(allowed, tmp_path, monkeypatch):
    import notebooks

    (tmp_path / "mine.py").write_text(
        "from lib.heads import HEADS\n\nHEADS['most'] = HEADS['mean']\n"
    )
    monkeypatch.setattr(notebooks, "__path__", [str(tmp_path)])
    monkeypatch.setattr(heads, "HEADS", dict(heads.HEADS))
    changes = {"head": "most"}
    try:
        check_study("mine", allowed | changes, changes)
    finally:
        sys.modules.pop("notebooks.mine", None)
    with pytest.raises(InputError, match="Unknown head 'least'"):
        check_study("yours", allowed, {"head": "least"})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ag_news", "lerning_rate=1"], "unknown parameter 'lerning_rate'"),
        (["your_data", "epochs=many"], "The parameter epochs wants a whole number"),
        (["your_data", "dataset=reviews.csv", "delimiter=','"], "Is the delimiter ';'?"),
        (
            ["your_data", "dataset=reviews.csv", "label=sentiments", "delimiter=;"],
            "has no column 'sentiments'",
        ),
    ],
)
def test_a_mistake_is_told_before_anything_heavy_is_imported(file, words, message):
    code = (
        "import sys\nfrom lib.__main__ import main\ntry:\n    main()\n"
        f"finally:\n    print([name for name in {HEAVY} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "study", *words],
        cwd=file.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and message in done.stderr
    assert done.stdout.strip() == "[]"


def test_help_imports_nothing_heavy():
    code = f"import sys, lib.__main__; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
