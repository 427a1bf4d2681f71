"""What users get wrong, and the one sentence that each mistake gets, word for word."""

import errno
import json
import os
import re
import shutil
import sys

import pytest

from lib import __main__
from lib.analysis.predictions import collect
from lib.data import load_corpus
from lib.errors import InputError
from lib.many.pool import run, run_all
from lib.publish import study
from lib.publish.settings import read_value, read_yaml
from lib.reading.options import Reading
from lib.runs.config import RunConfig
from lib.runs.seal import replace_sealed
from lib.runs.store import load_run
from lib.session.tracking import check_tracker
from tests.conftest import tiny_run

GOOD = b"text,label\n" + b"".join(b"good %d,a\nbad %d,b\n" % (i, i) for i in range(10))


def rows(*extra: bytes, header: bytes = b"text,label") -> bytes:
    return b"\n".join([header, *extra]) + b"\n"


# behind the first bad row
HOW_MANY = re.compile(r" \(((the only bad row|\d+ bad rows in all); )?on_bad_rows: .*\)$")

# what is wrong -> the train file, how it is read, and the message
FILES = {
    "a ragged row": (
        rows(b"good,a", b"fine"),
        {},
        "train.csv, line 3 has 1 fields; the header has 2",
    ),
    "one field too many": (
        rows(b"a good, long one,a"),
        {},
        "train.csv, line 2 has 3 fields; the header has 2",
    ),
    "an unclosed quote": (
        rows(b"good,a", b'"fine,b', b"bad,a"),
        {},
        "train.csv, line 3: a quote is opened in this row and never closed; if quotes "
        "are plain characters in this "
        "file, set quotes: false",
    ),
    "text after a quote": (
        rows(b'"good" day,a'),
        {},
        "train.csv, line 2 cannot be read: ',' expected after '\"'; if quotes are plain "
        "characters in this file, set "
        "quotes: false",
    ),
    "the wrong delimiter": (
        rows(b"good;a", header=b"text;label"),
        {"delimiter": ","},
        "train.csv has no column 'label': its only column is 'text;label'. Is the delimiter ';'? "
        "Then set delimiter: ';'",
    ),
    "a missing column": (
        rows(b"good,a", header=b"texts,label"),
        {},
        "train.csv has no column 'text'. Did you mean texts?",
    ),
    "a duplicate column": (
        rows(b"good,a,b", header=b"text,label,text"),
        {},
        "train.csv has the column 'text' 2 times: 1, 3; name the one that is meant by its number",
    ),
    "an empty file": (b"", {}, "train.csv is empty"),
    "a header only": (b"text,label\n", {}, "train.csv has no rows"),
    "Latin-1 without saying so": (
        rows(b"good,a", b"caf\xe9,b"),
        {},
        "train.csv, line 3 is not UTF-8 (byte 0xe9); it may be cp1252: set encoding: cp1252, or "
        "convert it: iconv -f cp1252 -t utf-8",
    ),
    "UTF-16 where another is said": (
        "text,label\ngood,a\n".encode("utf-16"),
        {"encoding": "latin-1"},
        "train.csv is UTF-16 (its first bytes are 0xfffe), not latin-1; leave out encoding",
    ),
    "UTF-16 without a mark": (
        "text,label\ngood,a\n".encode("utf-16-le"),
        {},
        "train.csv looks like UTF-16-LE without a mark; set encoding: utf-16-le",
    ),
    "a NUL byte": (
        rows(b"good,a", b"fi\0ne,b"),
        {},
        "train.csv, line 3 has a NUL byte: the file is damaged or not text; if it is "
        "UTF-16, set encoding: utf-16",
    ),
    "an empty text": (rows(b"good,a", b" ,b"), {}, "train.csv, line 3: column 'text' is empty"),
    "a missing label": (
        rows(b"good,a", b"fine,"),
        {},
        "train.csv, line 3: column 'label' has no label",
    ),
    "a label outside the list": (
        rows(b"good,a", b"fine,c"),
        {"labels": ("a", "b")},
        "train.csv, line 3: unknown label 'c' in column 'label'; the labels are a, b",
    ),
    "several labels, one outside the list": (
        rows(b"good,a|b", b"fine,a|c"),
        {"labels": ("a", "b"), "label_separator": "|"},
        "train.csv, line 3: unknown label 'c' in column 'label'",
    ),
    "label -100": (
        rows(b"good,0", b"fine,-100"),
        {},
        "train.csv, line 3: label -100 in column 'label' marks a row to leave out; "
        "remove the row, or set "
        "on_bad_rows: quarantine",
    ),
    "fractions as classes": (
        rows(b"good,1", b"fine,3.5"),
        {},
        "train.csv, line 3: label 3.5 in column 'label' is a fraction, not a class; set "
        "task: regression for real "
        "numbers, or list the classes with labels: […]",
    ),
    "several labels where one is wanted": (
        rows(b"good,a|b"),
        {"label_separator": "|", "task": "classification"},
        "train.csv, line 2: column 'label' has 2 labels (a, b); for several set task: multilabel",
    ),
    "words as numbers": (
        rows(b"good,1", b"fine,many"),
        {"task": "regression"},
        "train.csv, line 3: column 'label' has 'many', which is no number",
    ),
    "not a number": (
        rows(b"good,1", b"fine,nan"),
        {"task": "regression"},
        "train.csv, line 3: column 'label' has 'nan', which is no number",
    ),
    "the same number everywhere": (
        rows(b"good,1", b"fine,1"),
        {"task": "regression"},
        "train.csv: column 'label' has the same number in every row",
    ),
    "nothing but bad rows": (
        rows(b"good", b"fine"),
        {"on_bad_rows": "quarantine"},
        "train.csv has no rows that can be used",
    ),
    "an encoding that is none": (
        GOOD,
        {"encoding": "utf-9"},
        "encoding = 'utf-9': no such encoding is known; for example utf-8, latin-1, cp1252, utf-16",
    ),
    "a long delimiter": (
        GOOD,
        {"delimiter": "::"},
        "delimiter = '::': a delimiter is one character, or tab: write tabs for a longer one",
    ),
    "another encoding said": (
        GOOD,
        {"encoding": "utf-16"},
        "train.csv, line 1 is not UTF-16 (byte 0x0a); it may be UTF-8: leave out encoding",
    ),
    "a class listed twice": (
        GOOD,
        {"labels": ("a", "b", "a")},
        "labels = ('a', 'b', 'a'): the class 'a' is there twice",
    ),
    "a class without a name": (
        GOOD,
        {"labels": ("a", " ")},
        "labels = ('a', ' '): a class has no name",
    ),
    "classes of a regression": (
        GOOD,
        {"labels": ("a", "b"), "task": "regression"},
        "task = 'regression': real numbers have no labels; leave out one of the two",
    ),
    "texts for labels": (
        rows(b"one,a", b"two,b", b"three,c"),
        {},
        "Cannot split off 1 rows, stratified by label: there are 3 different texts in 0 "
        "classes that have more than "
        "one text, and both sides need one of each; is it the right label column, and "
        "the right number of rows?",
    ),
    "no such test file": (GOOD, {"test_file": "nowhere.csv"}, "There is no file nowhere.csv"),
}


@pytest.mark.parametrize("case", FILES)
def test_files(tmp_path, case):
    content, reading, message = FILES[case]
    (tmp_path / "train.csv").write_bytes(content)
    with pytest.raises(InputError) as error:
        load_corpus(str(tmp_path / "train.csv"), reading=Reading(**reading))
    assert HOW_MANY.sub("", str(error.value)) == message


def test_one_class(tmp_path):
    (tmp_path / "train.csv").write_bytes(rows(b"good,a", b"fine,a"))
    with pytest.raises(InputError) as error:
        load_corpus(str(tmp_path / "train.csv"))
    told = (
        f"{tmp_path / 'train.csv'}: column 'label' of train has one class only (a); at least "
        f"two are needed"
    )
    assert str(error.value) == told


def test_the_same_file_twice(tmp_path):
    (tmp_path / "train.csv").write_bytes(GOOD)
    with pytest.raises(InputError) as error:
        load_corpus(
            str(tmp_path / "train.csv"), reading=Reading(test_file=str(tmp_path / "train.csv"))
        )
    assert str(error.value) == "train.csv is given both as train and as test"
    shutil.copy(tmp_path / "train.csv", tmp_path / "test.csv")
    with pytest.raises(InputError) as error:
        load_corpus(str(tmp_path))
    assert str(error.value) == "train.csv (train) and test.csv (test) are the same, byte for byte"


def test_a_folder_for_a_file_and_no_permission(tmp_path, monkeypatch):
    (tmp_path / "train.csv").write_bytes(GOOD)
    with pytest.raises(InputError) as error:
        load_corpus(str(tmp_path / "train.csv"), reading=Reading(test_file=str(tmp_path)))
    assert str(error.value) == f"{tmp_path} is a folder; name a file in it"

    def denied(self, mode="r"):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(
        "pathlib.Path.open", denied
    )  # a test may run as root, whom nothing is denied
    with pytest.raises(InputError) as error:
        load_corpus(str(tmp_path / "train.csv"))
    assert str(error.value) == f"{tmp_path / 'train.csv'} cannot be read: permission denied"


def test_damaged_archives_and_json(tmp_path):
    (tmp_path / "train.csv.gz").write_bytes(b"text,label\n")
    with pytest.raises(InputError, match=r"^train.csv.gz cannot be unpacked: Not a gzipped file"):
        load_corpus(str(tmp_path / "train.csv.gz"))
    (tmp_path / "train.json").write_text('[{"text": "good",\n "label" "a"}]')
    with pytest.raises(
        InputError, match=r"^train.json, line 2 is not JSON: Expecting ':' delimiter$"
    ):
        load_corpus(str(tmp_path / "train.json"))
    (tmp_path / "train.json").write_text('["good", 3]')
    with pytest.raises(
        InputError, match=r"^train.json is no JSON list of objects with a name for each column; "
    ):
        load_corpus(str(tmp_path / "train.json"))


def test_json_that_is_too_much(tmp_path):
    for name, content in [
        ("deep", "[" * 100_000),
        ("long", '{"text": "a", "label": ' + "9" * 5000 + "}"),
    ]:
        for suffix in ("json", "jsonl"):
            place = ", line 1" if (name, suffix) == ("long", "jsonl") else ""
            (tmp_path / f"{name}.{suffix}").write_text(content)
            with pytest.raises(InputError) as error:
                load_corpus(str(tmp_path / f"{name}.{suffix}"))
            told = (
                "is not JSON that can be read: it has a number of thousands of digits, or "
                "thousands of nested brackets"
            )
            assert str(error.value).startswith(f"{name}.{suffix}{place} {told}")
    (tmp_path / "object.jsonl").write_text('{"text": "good", "label": {"a": 1}}')
    with pytest.raises(
        InputError, match=r"^object.jsonl, line 1: column 'label' has an object, which is no label "
    ):
        load_corpus(str(tmp_path / "object.jsonl"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "{bad",
            "labels.json is not JSON: Expecting property name enclosed in double quotes: "
            "line 1 column 2 (char 1)",
        ),
        ("3", "labels.json is neither a mapping from labels to their names nor a list of names"),
    ],
)
def test_meanings_of_labels(tmp_path, content, message):
    (tmp_path / "train.csv").write_bytes(GOOD)
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(InputError) as error:
        load_corpus(str(tmp_path))
    assert str(error.value) == message


@pytest.mark.parametrize("path", ["nowhere.csv", "no/where/at/all", "x" * 300 + ".tsv.gz"])
def test_a_path_that_is_none(path):
    with pytest.raises(InputError) as error:
        load_corpus(path)
    assert str(error.value) == f"There is no file or folder {path}"


# ---- what looks bad, and is read all the same


@pytest.mark.parametrize("names", [("²", "³"), ("--5", "3"), ("01", "1"), ("1", "9" * 5000)])
def test_labels_that_look_like_numbers(tmp_path, names):
    (tmp_path / "train.csv").write_text(
        "text,label\n" + "".join(f"text {i},{names[i % 2]}|\n" for i in range(40))
    )
    corpus = load_corpus(str(tmp_path / "train.csv"), reading=Reading(label_separator="|"))
    assert set(corpus.label_names) == set(names)


def test_a_small_file_has_every_class_on_every_side(tmp_path):
    (tmp_path / "train.csv").write_text(
        "text,label\n" + "".join(f"text {i},{i % 5}\n" for i in range(20))
    )
    corpus = load_corpus(str(tmp_path / "train.csv"), train_rows=5000)
    assert [len(split) for split in (corpus.train, corpus.dev, corpus.test)] == [10, 5, 5]
    assert all(
        set(split.labels) == set(range(5)) for split in (corpus.train, corpus.dev, corpus.test)
    )


def test_an_encoding_by_any_of_its_names(tmp_path):
    (tmp_path / "train.csv").write_bytes(b"\xef\xbb\xbf" + GOOD)
    assert load_corpus(str(tmp_path / "train.csv"), reading=Reading(encoding="U8")).num_labels == 2


def test_a_byte_order_mark_and_na_are_text(tmp_path):
    (tmp_path / "train.csv").write_bytes(b"\xef\xbb\xbf" + GOOD + b"NA,a\nnull,b\nNone,a\nnan,b\n")
    corpus = load_corpus(str(tmp_path / "train.csv"), dev_rows=2, test_rows=2)
    texts = {text for name in ("train", "dev", "test") for text in getattr(corpus, name).texts}
    assert {"NA", "null", "None", "nan", "good 0"} <= texts and corpus.label_names == ("a", "b")


def test_the_classes_are_those_of_train(tmp_path, capsys):
    many = b"".join(b"text %d,%s\n" % (i, b"ab"[i % 2 : i % 2 + 1]) for i in range(20))
    (tmp_path / "train.csv").write_bytes(b"text,label\n" + many)
    (tmp_path / "test.csv").write_bytes(rows(b"good,b", b"fine,aa", b"new,c"))
    corpus = load_corpus(str(tmp_path), dev_rows=4)
    assert corpus.label_names == ("a", "b", "(not in train)") and corpus.test.labels.tolist() == [
        1,
        2,
        2,
    ]
    assert (
        "2 rows of test have a class that train lacks (aa, c); they count as wrong"
        in capsys.readouterr().out
    )
    corpus = load_corpus(
        str(tmp_path), dev_rows=4, reading=Reading(labels=("a", "b", "aa", "c"))
    )  # told beforehand
    assert corpus.label_names == ("a", "b", "aa", "c") and corpus.test.labels.tolist() == [1, 2, 3]


def test_bad_rows_can_be_left_out_and_are_listed(tmp_path, capsys):
    bad = [b"one field", b" ,a", b"no label,", b"ignored,-100"]
    (tmp_path / "train.csv").write_bytes(GOOD + b"\n".join(bad) + b"\nlast,b\n")
    config = RunConfig(
        dataset=str(tmp_path / "train.csv"),
        dev_rows=2,
        test_rows=2,
        reading=Reading(on_bad_rows="quarantine"),
    )
    from lib.runs.keys import corpus_of

    corpus = corpus_of(config)
    assert [(row.line, row.reason) for row in corpus.bad_rows] == [
        (22, "has 1 fields; the header has 2"),
        (23, "column 'text' is empty"),
        (24, "column 'label' has no label"),
        (
            25,
            "label -100 in column 'label' marks a row to leave out; remove the row, or "
            "set on_bad_rows: quarantine",
        ),
    ]
    assert sum(len(getattr(corpus, name)) for name in ("train", "dev", "test")) == 21
    out = capsys.readouterr().out
    listed = next((tmp_path / "runs" / "quarantine").iterdir())
    assert f"4 rows cannot be used and are left out: {listed}" in out
    assert listed.read_text().splitlines()[0] == "file,line,reason"
    assert listed.read_text().splitlines()[1] == "train.csv,22,has 1 fields; the header has 2"


# ---- settings


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: 1\n\tb: 2\n", "my.yaml, line 2 is not YAML: a tab; indent with spaces"),
        ("1: 2\n", "my.yaml, line 1 is not YAML: a name is a word"),
        ("? [a, b]\n: 3\n", "my.yaml, line 1 is not YAML: a name is a word"),
        (
            "epochs: 1\nseed: 2\nepochs: 3\n",
            "my.yaml, line 3 is not YAML: epochs is there already, in line 1",
        ),
        ("just words\n", "my.yaml has no `name: value` lines, but str"),
        (
            "a: [1,\n",
            "my.yaml, line 2 is not YAML: expected the node content, but found '<stream end>'",
        ),
    ],
)
def test_yaml(tmp_path, content, message):
    (tmp_path / "my.yaml").write_text(content)
    with pytest.raises(InputError) as error:
        read_yaml(tmp_path / "my.yaml")
    assert str(error.value) == message


def test_yaml_words_and_numbers_are_what_they_look_like(tmp_path):
    (tmp_path / "my.yaml").write_text(
        "rate: 1e-5\nlabels: [no, yes, on, off]\nheader: false\nrows: 010\n"
    )
    values = read_yaml(tmp_path / "my.yaml")
    assert (
        values["rate"] == 1e-5
        and values["labels"] == ["no", "yes", "on", "off"]
        and values["header"] is False
    )
    assert read_value("x", "2e-5") == 2e-5
    assert [read_value("x", sign) for sign in ("|", ";", ",", "\t", "#")] == [
        "|",
        ";",
        ",",
        "\t",
        "#",
    ]
    assert read_value("x", "[]") == [] and read_value("x", "") is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"select_by": "f1"},
            "select_by = 'f1' is for two classes, that of the second; there are 3: macro_f1?",
        ),
        (
            {"select_by": "rmse"},
            "select_by = 'rmse' is no metric of classification. Choose from accuracy, "
            "macro_precision, macro_recall, macro_f1, micro_precision, micro_recall, micro_f1, "
            "weighted_f1, mcc, f1.",
        ),
    ],
)
def test_metrics_that_do_not_fit(tmp_path, tiny, changes, message):
    many = "".join(f"text {i},{'abc'[i % 3]}\n" for i in range(60))
    (tmp_path / "train.csv").write_text("text,label\n" + many)
    with pytest.raises(InputError) as error:
        run(
            RunConfig(
                dataset=str(tmp_path / "train.csv"), backbone=tiny["bert"], max_length=16, **changes
            )
        )
    assert str(error.value) == message


def test_a_weight_for_numbers(tmp_path, tiny):
    (tmp_path / "train.csv").write_text(
        "text,label\n" + "".join(f"text {i},{i / 7}\n" for i in range(60))
    )
    own = {
        "dataset": str(tmp_path / "train.csv"),
        "reading": Reading(task="regression"),
        "select_by": "rmse",
    }
    with pytest.raises(InputError) as error:
        run(RunConfig(**own, backbone=tiny["bert"], max_length=16, class_weight="balanced"))
    assert str(error.value) == "class_weight = 'balanced' is for classes; the task is regression"


def test_trackers():
    with pytest.raises(InputError) as error:
        check_tracker("tensorbord")
    assert str(error.value) == "Unknown tracker 'tensorbord'. Did you mean tensorboard?"


# ---- what happens to a run or a page


@pytest.fixture
def config(folder, tiny):
    return tiny_run(tiny, folder, epochs=1)


def test_a_run_of_another_version(config):
    finished = run(config, tracker="none")
    about = json.loads((finished.folder / "config.json").read_text()) | {"warp": 9}
    replace_sealed(finished.folder, "config.json", about)
    with pytest.raises(InputError) as error:
        _ = load_run(finished.folder).config
    assert str(error.value).startswith(
        f"The run {finished.folder} was written by another version of this code (Unknown "
        f"parameter 'warp'."
    )
    assert str(error.value).endswith("use that version, or move the folder away and train it again")


def test_the_command_line_says_it_in_one_line(no_kernel, tmp_path, monkeypatch):
    (tmp_path / "train.csv").write_bytes(rows(b"good,a", b"fine"))
    words = ["study", "your_data", f"dataset={tmp_path / 'train.csv'}", "text=text", "label=label"]
    monkeypatch.setattr(sys, "argv", ["lib", *words])
    monkeypatch.setattr(study, "RESULTS", tmp_path / "results")
    with pytest.raises(SystemExit) as end:
        __main__.main()
    assert end.value.code.startswith("Error: train.csv, line 3 has 1 fields; the header has 2 (")
    assert not (tmp_path / "results").exists()


def test_a_full_disk_is_one_line(monkeypatch, tmp_path):
    (tmp_path / "my.yaml").write_text("epochs: 1\n")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/x")

    monkeypatch.setattr("lib.many.pool.run", full)
    monkeypatch.setattr(sys, "argv", ["lib", "train", str(tmp_path / "my.yaml")])
    with pytest.raises(SystemExit) as end:
        __main__.main()
    assert end.value.code == "Error: runs/x cannot be read or written: no space left on device"


def test_all_runs_have_no_predictions(config):
    with pytest.raises(InputError) as error:
        collect(run_all([config.with_(optimizer="sgd", learning_rate=1e30)], "none"))
    assert (
        str(error.value) == "None of these runs has predictions: all diverged in their first epoch"
    )
