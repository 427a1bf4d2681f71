"""Where corpora come from: generators, named folders, the Hub."""

import hashlib
import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from lib.data import load_corpus
from lib.datasets import DATASETS, Dataset
from lib.demo.grammar import read_grammar
from lib.demo.news import LABEL_NOISE, LABELS, PREFIXES, news
from lib.errors import InputError
from lib.reading.options import Reading
from lib.runs.paths import ROOT

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


# The keys of published runs depend on these.
FINGERPRINTS = {
    "demo_news": "d2195141f4414092",
    "demo_reviews": "193bc7d3705c8904",
    "demo_acts": "a30b0bdefc94a7c0",
}


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_demo_corpora_have_their_fingerprints(name):
    corpus = load_corpus(name, train_rows=200, dev_rows=40, test_rows=50)
    assert corpus.fingerprint[:16] == FINGERPRINTS[name]
    assert corpus.source == f"{DATASETS[name].about} (lib/demo)"
    assert corpus.test.lines is None and corpus.test.true_labels is not None


def test_a_generator_of_ones_own_by_ids(monkeypatch):
    """Its labels are ids, even where the names look like other ids."""

    def make(rows: int, seed: int):
        labels = [i % 3 for i in range(rows)]
        texts = [f"text {seed} {i}" for i in range(rows)]
        return texts, labels, [(label + 1) % 3 for label in labels]

    entry = Dataset("made up", ("2", "1", "1.5"), make, make_rows=(60, 30))
    monkeypatch.setitem(DATASETS, "made", entry)
    corpus = load_corpus("made", text="any", label="other", dev_rows=6)
    assert corpus.label_names == ("2", "1", "1.5") and len(corpus.train) == 54
    assert corpus.test.texts[:2] == ["text 2 0", "text 2 1"]
    assert corpus.test.labels.tolist() == [0, 1, 2] * 10
    assert corpus.test.true_labels.tolist() == [1, 2, 0] * 10


def test_named_folders_are_below_data_dir(folder, monkeypatch):
    entry = Dataset("a test", ("no", "yes"), folder=folder.name)
    monkeypatch.setitem(DATASETS, "named", entry)
    corpus = load_corpus("named", data_dir=folder.parent)
    assert corpus.source == "a test; read from $DATA_DIR/data: train.csv, test.csv"
    monkeypatch.setenv("DATA_DIR", str(folder.parent))
    assert load_corpus("named").fingerprint == corpus.fingerprint
    assert load_corpus(str(folder)).source == "the files train.csv, test.csv"
    assert load_corpus(str(folder / "train.csv")).source == "the file train.csv"


def test_hub_datasets_are_read_at_their_revision(folder, monkeypatch, capsys):
    entry = Dataset("a test", ("no", "yes"), folder="x", hub=str(folder), revision="main")
    monkeypatch.setitem(DATASETS, "from_hub", entry)
    corpus = load_corpus("from_hub")
    assert len(corpus.test) == 21 and len(corpus.train) + len(corpus.dev) == 60
    assert corpus.source == f"a test; {folder} on the Hugging Face Hub at main"
    assert f"Reading {folder} at main from the Hugging Face Hub" in capsys.readouterr().out


def test_a_hub_dataset_is_read_as_asked(tmp_path, monkeypatch):
    folder = tmp_path / "data"
    folder.mkdir()
    rows = "".join(
        f"text {i},title {i},user {i % 9},{'no' if i % 2 else 'yes'}\n" for i in range(40)
    )
    (folder / "train.csv").write_text("text,title,user,label\n" + rows)
    entry = Dataset("a test", ("no", "yes"), folder="x", hub=str(folder), revision="main")
    monkeypatch.setitem(DATASETS, "from_hub", entry)
    corpus = load_corpus("from_hub", reading=Reading(text_pair="title", group="user"))
    assert corpus.train.pairs[0].startswith("title")
    assert not set(corpus.train.groups) & {*corpus.dev.groups, *corpus.test.groups}
    names = ("no", "yes")
    lists = load_corpus("from_hub", reading=Reading(task="multilabel", labels=names))
    assert lists.task == "multilabel"
    (tmp_path / "few.csv").write_text("text,label\ngood,yes\n,no\nbad,no\n")
    few = {"test_file": str(tmp_path / "few.csv")}
    with pytest.raises(InputError, match=r"^few.csv, line 3: column 'text' is empty"):
        load_corpus("from_hub", reading=Reading(**few))
    corpus = load_corpus("from_hub", reading=Reading(**few, on_bad_rows="quarantine"))
    assert corpus.test.texts == ["good", "bad"]


SETTINGS = [
    {"test_file": "few.csv"},
    {"text_pair": "title"},
    {"labels": ("Sports", "World")},
    {"label_separator": ";"},
    {"task": "multilabel"},
    {"split": "fold"},
    {"group": "user"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_generated_corpus_takes_no_settings_of_files(settings):
    (name,) = settings
    with pytest.raises(InputError, match=f"^{name} = .* cannot hold for demo_news, which is gen"):
        load_corpus("demo_news", reading=Reading(**settings))


def test_settings_that_hold_for_a_generated_corpus():
    own = {"labels": DATASETS["demo_news"].label_names, "task": "classification"}
    reading = Reading(**own, on_bad_rows="quarantine", encoding="latin-1")
    corpus = load_corpus("demo_news", reading=reading, train_rows=200, dev_rows=40, test_rows=50)
    assert corpus.fingerprint[:16] == FINGERPRINTS["demo_news"]


def test_no_hub_and_no_folder_is_one_clear_sentence(tmp_path):
    with pytest.raises(
        InputError, match="fancyzhx/ag_news is neither in the.*Go online once, or set DATA_DIR"
    ):
        load_corpus("ag_news")
    with pytest.raises(
        InputError, match="read from a folder 'ag_news' below DATA_DIR, and .* has none"
    ):
        load_corpus("ag_news", data_dir=tmp_path)
    with pytest.raises(InputError, match="'ag_news_26k' below DATA_DIR, which is not set"):
        load_corpus("ag_news_26k")


def test_a_name_that_is_none():
    with pytest.raises(InputError, match="Unknown dataset .* 'demo_newz'. Did you mean demo_news"):
        load_corpus("demo_newz")


def test_a_dataset_of_the_hub_by_name_is_pinned_and_its_revision_recorded(monkeypatch, capsys):
    import datasets
    import huggingface_hub

    loaded = []
    names = datasets.ClassLabel(names=["no", "yes"])
    columns = {"title": [f"kana {i}" for i in range(40)], "answer": [0, 1] * 20}
    features = datasets.Features({"title": datasets.Value("string"), "answer": names})
    table = datasets.Dataset.from_dict(columns, features=features)

    def load_dataset(name, subset, *, revision):
        loaded.append((name, subset, revision))
        return datasets.DatasetDict({"train": table})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    where = {"text": "title", "label": "answer"}
    corpus = load_corpus("somebody/answers@0123456789", **where)
    assert corpus.label_names == ("no", "yes")
    assert corpus.source == "somebody/answers on the Hugging Face Hub at 0123456"
    newest = SimpleNamespace(sha="abcdef0123")
    asked = []
    monkeypatch.setattr(
        huggingface_hub, "dataset_info", lambda name, timeout: asked.append(name) or newest
    )
    assert load_corpus("somebody/answers/short", **where).source == (
        "somebody/answers/short on the Hugging Face Hub at abcdef0"
    )
    assert "somebody/answers/short@abcdef0123 will be the same" in capsys.readouterr().out
    assert asked == ["somebody/answers"]
    assert loaded == [
        ("somebody/answers", None, "0123456789"),
        ("somebody/answers", "short", "abcdef0123"),
    ]


def read_from_hub(monkeypatch, folder):
    """A corpus of a folder that stands for a repository of the Hub."""
    entry = Dataset("a test", hub=str(folder), revision="main")
    monkeypatch.setitem(DATASETS, "from_hub", entry)
    return load_corpus("from_hub")


def test_a_dataset_of_the_hub_without_a_train_split(tmp_path, monkeypatch):
    for name in ("validation", "test"):
        (tmp_path / f"{name}.csv").write_text("text,label\na,x\nb,y\n")
    with pytest.raises(InputError, match="has no split 'train', but 'validation', 'test'; name a"):
        read_from_hub(monkeypatch, tmp_path)


def test_subsets_of_a_dataset_of_the_hub_are_named(tmp_path, monkeypatch):
    configs = "- config_name: long\n  data_files: a.csv\n- config_name: short\n  data_files: b.csv"
    (tmp_path / "README.md").write_text(f"---\nconfigs:\n{configs}\n---\n")
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("text,label\na,x\n")
    with pytest.raises(InputError) as error:
        read_from_hub(monkeypatch, tmp_path)
    assert str(error.value) == (
        f"The dataset {tmp_path} at main cannot be read: Config name is missing. Please pick one "
        f"among the available configs: ['long', 'short']; name the subset: {tmp_path}/SUBSET@main"
    )


def test_what_the_library_says_of_a_dataset_that_it_does_not_give(monkeypatch):
    import datasets

    def refuse(*_, **__):
        raise datasets.exceptions.DatasetNotFoundError("'a/b' is a gated dataset on the Hub.")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(InputError, match="^The dataset a/b at 012 cannot be read: 'a/b' is a"):
        load_corpus("a/b@012")


def test_a_name_that_is_neither_a_file_nor_on_the_hub():
    with pytest.raises(InputError, match="no file or folder some/where, and no such dataset"):
        load_corpus("some/where")
