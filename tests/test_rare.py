"""Classes with too few rows are left out or merged, and texts are of several columns."""

import pytest

from lib.analysis.audit import balance
from lib.data import load_corpus
from lib.errors import InputError
from lib.reading.options import Reading
from lib.runs.keys import tokens_of
from lib.use.inputs import rows_of
from tests.conftest import WORDS, tiny_run


@pytest.fixture
def table(tmp_path):
    """60 rows of a and b, three of c|d, one of e, with titles of which some are blank."""
    labels = ["a", "b"] * 30 + ["c|d"] * 3 + ["e"]
    lines = [
        f"{'' if i % 5 == 4 else WORDS[i % 40]},body {i},{label}" for i, label in enumerate(labels)
    ]
    path = tmp_path / "rare.csv"
    path.write_text("\n".join(["title,body,label", *lines]) + "\n")
    return path


def loaded(path, **reading):
    return load_corpus(str(path), text="body", reading=Reading(**reading))


def rows_by_class(corpus) -> dict[str, int]:
    counts = dict.fromkeys(corpus.label_names, 0)
    for split in (corpus.train, corpus.dev, corpus.test):
        for label in split.labels.tolist():
            counts[corpus.label_names[label]] += 1
    return counts


def test_rare_classes_are_left_out_or_one_and_the_page_says_so(table, tiny):
    dropped = loaded(table, min_rows_per_class=4)
    assert rows_by_class(dropped) == {"a": 30, "b": 30}
    assert dropped.notes == (
        "2 of 4 classes have fewer than 4 rows (c|d, e): their 4 rows are left out",
    )
    assert dropped.notes[0] in dropped.labels
    other = loaded(table, min_rows_per_class=4, rare_classes="other")
    assert rows_by_class(other) == {"a": 30, "b": 30, "other": 4}
    config = tiny_run(tiny, table, text="body", dev_rows=None)
    note = balance(other, tokens_of(config, other)).attrs["note"]
    assert "(c\\|d, e): their 4 rows are the class 'other'." in note
    assert rows_by_class(loaded(table, min_rows_per_class=2)) == {"a": 30, "b": 30, "c|d": 3}
    assert loaded(table).notes == ()


def test_rare_classes_that_cannot_go(table):
    with pytest.raises(InputError, match="min_rows_per_class = 31 leaves 0 of 4 classes"):
        loaded(table, min_rows_per_class=31)
    with pytest.raises(InputError, match="is for classes, of which each text has one"):
        loaded(table, min_rows_per_class=4, label_separator="|")
    with pytest.raises(InputError, match="rare_classes = 'other': no class is rare without min_r"):
        loaded(table, rare_classes="other")
    with pytest.raises(InputError, match="min_rows_per_class = 4 cannot hold for demo_news"):
        load_corpus("demo_news", reading=Reading(min_rows_per_class=4))


def test_a_text_is_of_several_columns(table):
    corpus = load_corpus(str(table), text="title, 2", reading=Reading(min_rows_per_class=4))
    listed = load_corpus(str(table), text=["title", 2], reading=Reading(min_rows_per_class=4))
    assert listed.fingerprint == corpus.fingerprint
    texts = {}
    for split in (corpus.train, corpus.dev, corpus.test):
        texts |= dict(zip(split.rows.tolist(), split.texts, strict=True))
    assert texts[0] == f"{WORDS[0]}\nbody 0"
    assert texts[4] == "body 4"
    read = [row.text for row in rows_of(str(table), "title, 2", Reading())]
    assert [read[row] for row in sorted(texts)] == [texts[row] for row in sorted(texts)]


def test_columns_of_a_text_that_are_missing_or_the_labels(table):
    message = r"has no column 'bdy'\. Did you mean body"
    with pytest.raises(InputError, match=message):
        load_corpus(str(table), text="title,bdy")
    with pytest.raises(InputError, match=message):
        list(rows_of(str(table), "title,bdy", Reading()))
    with pytest.raises(InputError, match="has no column 'ttle,bdy'"):
        load_corpus(str(table), text="ttle,bdy")
    with pytest.raises(InputError, match="text and label are the same column, 'label'"):
        load_corpus(str(table), text="body,label")
