"""Corpora: the demo's promises, splits, and one sentence for each kind of bad file."""

import hashlib
import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from lib import data
from lib.demo.grammar import read_grammar
from lib.demo.news import LABEL_NOISE, LABELS, PREFIXES, news
from lib.errors import InputError
from lib.runs.store import ROOT

NEWS_SHA256 = "8a8c708523d55192004ed6314154bc66688ce4ef78963c1b209824107a3c4f2c"


def test_demo_news_is_the_same_bytes_everywhere():
    texts, labels, true = news(400, 0)
    assert hashlib.sha256(json.dumps([texts, labels, true]).encode()).hexdigest() == NEWS_SHA256


def test_demo_news_keeps_its_promises():
    texts, labels, true = news(2000, 3)
    assert len(set(texts)) == 2000
    assert all(20 <= len(text.split()) <= 60 for text in texts)
    assert np.mean(np.array(labels) != np.array(true)) == pytest.approx(LABEL_NOISE, abs=0.001)
    assert max(Counter(true).values()) - min(Counter(true).values()) <= 1
    grammar = read_grammar(ROOT / "lib" / "demo" / "news.txt")
    assert all(len(grammar[f"{prefix}_lead"]) >= 30 for prefix in PREFIXES)
    assert len(LABELS) == 4


def test_dev_is_carved_from_train_stratified_and_seeded(folder):
    corpus = data.load_corpus(str(folder), dev_rows=12)
    again, other = (
        data.load_corpus(str(folder), dev_rows=12),
        data.load_corpus(str(folder), dev_rows=12, split_seed=1),
    )
    assert corpus.fingerprint == again.fingerprint != other.fingerprint
    assert Counter(corpus.dev.labels.tolist()) == {0: 6, 1: 6}
    assert sorted([*corpus.train.rows, *corpus.dev.rows]) == list(range(60))
    assert (len(corpus.train), len(corpus.dev), len(corpus.test)) == (48, 12, 21)
    assert corpus.label_names == ("no", "yes")


def test_rows_limits_and_equal_texts_stay_on_one_side(tmp_path):
    texts = [f"text {i // 2}" for i in range(80)]
    pd.DataFrame({"text": texts, "label": [i // 2 % 2 for i in range(80)]}).to_parquet(
        tmp_path / "train.parquet"
    )
    corpus = data.load_corpus(
        str(tmp_path / "train.parquet"), dev_rows=8, test_rows=8, train_rows=12
    )
    parts = [set(getattr(corpus, name).texts) for name in data.SPLITS]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    assert corpus.label_names == ("0", "1")


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_gives_the_same_corpus(folder, tmp_path, kind):
    frame = pd.read_csv(folder / "train.csv")
    wanted = data.load_corpus(str(folder / "train.csv")).fingerprint
    path = tmp_path / f"train.{kind}"
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    assert data.load_corpus(str(path)).fingerprint == wanted


def test_hub_datasets_are_read_at_their_revision(folder, monkeypatch):
    entry = data.Dataset("a test", ("no", "yes"), folder="x", hub=str(folder), revision="main")
    monkeypatch.setitem(data.DATASETS, "from_hub", entry)
    corpus = data.load_corpus("from_hub")
    assert len(corpus.test) == 21 and len(corpus.train) + len(corpus.dev) == 60


def test_no_hub_and_no_folder_is_one_clear_sentence(tmp_path):
    with pytest.raises(
        InputError, match="fancyzhx/ag_news is neither in the.*Go online once, or set DATA_DIR"
    ):
        data.load_corpus("ag_news")
    with pytest.raises(
        InputError, match="read from a folder 'ag_news' below DATA_DIR, and .* has none"
    ):
        data.load_corpus("ag_news", data_dir=tmp_path)
    with pytest.raises(InputError, match="'ag_news_26k' below DATA_DIR, which is not set"):
        data.load_corpus("ag_news_26k")


ROWS = "good,a\nfine,b\nbad,a\nworse,b\n"
BAD_FILES = {
    "a missing column": (
        b"txt,label\ngood,a\n",
        r"train.csv has no column 'text'\. Did you mean txt\?",
    ),
    "an empty text": (
        f"text,label\n{ROWS} ,a\n".encode(),
        "train.csv, line 6: column 'text' is empty",
    ),
    "one class": (b"text,label\ngood,a\nfine,a\n", "one class only"),
    "latin-1": (
        "text,label\ngood,a\ncaf\xe9,b\n".encode("latin-1"),
        r"train.csv, line 3 is not UTF-8 \(byte 0xe9\)",
    ),
    "a ragged row": (
        b"text,label\ngood,a\nfine\n",
        "train.csv, line 3 has 1 fields; the header has 2",
    ),
    "an open quote": (
        b'text,label\n"good,a\nfine,b\n',
        "train.csv, line 2: a quote is opened in this row",
    ),
    "a missing label": (
        b"text,label\ngood,a\nfine,\n",
        "train.csv, line 3: column 'label' has no label",
    ),
    "a NUL byte": (
        f"text,label\n{ROWS}a\0b,a\n".encode(),
        "train.csv, line 6 has a NUL byte: the file is damaged",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_one_sentence(tmp_path, case):
    content, message = BAD_FILES[case]
    (tmp_path / "train.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        data.load_corpus(str(tmp_path))


def test_bad_json_lines_and_parquet(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text('{"text": "good\u2028day", "label": "a"}\n{"text": "fine"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="train.jsonl, line 2: column 'label' has no label"):
        data.load_corpus(str(path))
    path.write_text('{"text": "good", "label": "a"}\n[1]\n')
    with pytest.raises(
        InputError, match="train.jsonl, line 2 is no JSON object with a name for each column"
    ):
        data.load_corpus(str(path))
    (tmp_path / "train.parquet").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(InputError, match="train.parquet cannot be read as Parquet"):
        data.load_corpus(str(tmp_path / "train.parquet"))
    (tmp_path / "train.doc").write_text("x")
    with pytest.raises(
        InputError, match=r"train.doc is none of the formats that are read: \.parquet, \.csv"
    ):
        data.load_corpus(str(tmp_path / "train.doc"))


def test_bad_folders_and_names(tmp_path, folder):
    with pytest.raises(InputError, match="has no train file"):
        data.load_corpus(str(tmp_path))
    with pytest.raises(InputError, match="Unknown dataset .* 'demo_newz'. Did you mean demo_news"):
        data.load_corpus("demo_newz")
    (folder / "test.csv").write_text("text,label\ngood,no\nfine,maybe\n")
    with pytest.raises(
        InputError,
        match="test.csv, line 3: unknown label 'maybe' in column 'label'; the labels are no, yes",
    ):
        data.load_corpus(str(folder), label_names=("no", "yes"))
    (folder / "train.tsv").write_text("")
    with pytest.raises(InputError, match="several files for train: train.csv, train.tsv"):
        data.load_corpus(str(folder))


def test_quoted_newlines_keep_their_line_numbers(tmp_path):
    (tmp_path / "train.csv").write_text('text,label\n"two\nlines",a\nok,b\n ,a\n')
    with pytest.raises(InputError, match="line 5: column 'text' is empty"):
        data.load_corpus(str(tmp_path))
