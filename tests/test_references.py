"""References that learn, and those that others made: against scikit-learn and by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lib import RunConfig, collect
from lib.analysis import tables
from lib.analysis.predictions import Predictions
from lib.analysis.references import best_reference
from lib.backbones import load_tokenizer
from lib.data import SPLITS, Corpus, Split
from lib.errors import InputError
from lib.many.pool import run_all
from lib.many.single import prepare, run
from lib.models import build_model
from lib.references import from_file, linear_models, tfidf_and_embeddings
from lib.references.baselines import references
from lib.references.truncated_text import read_text
from lib.runs import keys
from lib.runs.config import READ_BY_REFERENCE
from lib.runs.keys import corpus_of
from lib.session import frozen
from lib.tokenization import encode
from tests.synthetic import frame_of


def made_up(labels: np.ndarray, rows: int = 60, size: int = 5) -> tuple[dict, Corpus]:
    """Features that tell the labels in part, and a corpus of those labels in every split."""
    rng = np.random.default_rng(0)
    features = {name: rng.normal(size=(rows, size)).astype(np.float32) for name in SPLITS}
    split = Split(["text"] * rows, labels, np.arange(rows))
    return features, Corpus("made up", "", ("a", "b", "c", "d"), split, split, split)


def test_logistic_regression_is_scikit_learns():
    from sklearn.linear_model import LogisticRegression

    labels = np.random.default_rng(1).choice([0, 1, 3], size=60)  # train lacks the third class
    features, corpus = made_up(labels)
    scores = linear_models.logistic(features, corpus, 0.5)["test"]
    oracle = LogisticRegression(C=0.5, tol=1e-8).fit(features["train"], labels)
    chances = torch.from_numpy(scores[:, [0, 1, 3]]).softmax(1)
    np.testing.assert_allclose(chances, oracle.predict_proba(features["test"]), atol=2e-3)
    assert (scores[:, 2] < -1000).all()


def test_of_several_labels_each_is_scikit_learns_against_the_rest():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(2)
    has = rng.random((60, 4)) < 0.4
    has[:, 2] = False
    lists = np.full((60, 4), -1)
    for row, ids in enumerate(map(np.flatnonzero, has)):
        lists[row, : len(ids)] = ids
    features, corpus = made_up(lists)
    scores = linear_models.logistic(features, corpus, 0.5)["test"]
    for label in (0, 1, 3):
        oracle = LogisticRegression(C=0.5, tol=1e-8).fit(features["train"], has[:, label])
        wanted = oracle.decision_function(features["test"])
        np.testing.assert_allclose(scores[:, label], wanted, atol=1e-2)
    assert (scores[:, 2] < -1000).all()


def test_dev_chooses_the_settings_by_the_runs_metric():
    _, corpus = made_up(np.arange(60) % 4)
    right = np.eye(4)[corpus.dev.labels]
    wrong = np.roll(right, 1, axis=1)
    candidates = [({"dev": dev}, str(i)) for i, dev in enumerate([wrong, right])]
    scores, choice = tfidf_and_embeddings.choose(
        iter(candidates), RunConfig(select_by="accuracy"), corpus
    )
    assert scores["dev"] is right
    assert choice == "1: accuracy 1.0000 on dev, the best of 2"
    with pytest.raises(InputError, match=r"select_by = 'rmse' is no metric of classification"):
        tfidf_and_embeddings.choose(iter(candidates), RunConfig(select_by="rmse"), corpus)


def test_of_many_labels_the_frequent_ones_choose_a_setting_for_all(monkeypatch):
    monkeypatch.setattr(tfidf_and_embeddings, "MANY_LABELS", 2)
    rng = np.random.default_rng(3)
    lists = np.array([[0, 1], [0, 3], [1, -1], [2, -1]])[rng.choice(4, 60, p=[0.4, 0.3, 0.2, 0.1])]
    features, corpus = made_up(lists)
    learned_from = []

    def fit(features, corpus, value):
        learned_from.append((value, len(features["train"]), set(corpus.train.labels.flat)))
        right = np.zeros((60, 4))
        right[np.arange(60), lists[:, 0]] = 1 if value == 3 else -1
        return {"dev": right}

    model = tfidf_and_embeddings.Model(fit, "C", (1.0, 3.0, 9.0))
    config = RunConfig(select_by="micro_f1")
    [(_, settings)] = tfidf_and_embeddings.with_settings(model, features, config, corpus)
    assert settings == "C = 3, the best of 3 for the 2 most frequent labels"
    assert learned_from == [(v, 60, {0, 1, -1}) for v in (1, 3, 9)] + [(3, 60, {0, 1, 2, 3, -1})]
    learned_from.clear()
    features, corpus = made_up(np.repeat([2, 1, 0, 3], [25, 5, 20, 10]))
    list(tfidf_and_embeddings.with_settings(model, features, RunConfig(), corpus))
    learned_from = [(rows, ids) for _, rows, ids in learned_from]
    assert learned_from == [(45, {0, 2})] * 3 + [(60, {0, 1, 2, 3})]


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("truncation", ["head", "tail", "head_tail"])
def test_the_text_that_is_read_has_the_tokens_that_are_read(tiny, kind, truncation):
    texts = ["Kana  lobe, mici", "Lobe " * 3 + "kana mici nudo sofu"]
    how = {"max_length": 6, "truncation": truncation}
    read = read_text(texts, tiny[kind], **how)
    tokenizer = load_tokenizer(Path(tiny[kind]))
    for text, ids, mask in zip(read, *encode(texts, tiny[kind], **how)[:2], strict=True):
        assert tokenizer(text)["input_ids"] == ids[mask.bool()].tolist()
    assert read[0] == texts[0] and len(read[1].split()) == 4
    assert read[1].startswith("Lobe" if truncation != "tail" else "kana")


def test_of_windows_the_text_is_read_up_to_the_last(tiny):
    how = {"max_length": 6, "truncation": "windows", "stride": 3, "windows": 2}
    text = "kana lobe mici nudo sofu tana pena rina"
    assert read_text([text], tiny["bert"], **how) == ["kana lobe mici nudo sofu tana pena"]


def test_of_a_pair_what_is_read_of_each(tiny):
    pairs = [("kana lobe mici", "nudo"), ("lobe", "Sofu  tana kana lobe")]
    how = {"max_length": 6, "truncation": "head"}
    assert read_text(pairs, tiny["bert"], **how) == ["kana lobe\nnudo", "lobe\nSofu  tana"]


def test_a_reference_is_keyed_by_what_it_reads_alone(base, tiny):
    changes = {
        "select_by": {"select_by": "accuracy"},
        "max_length": {"max_length": 8},
        "truncation": {"truncation": "tail"},
        "layers": {"layers": 1},
        "precision": {"precision": "bf16"},
        "backbone": {"backbone": tiny["roberta"]},
        "": {"epochs": 9, "seed": 7, "learning_rate": 1.0, "head": "mean"},
    }
    for name in ("majority", "tfidf", "tfidf_same_text", "embedding_linear"):
        key = prepare(base.baseline(name)).key
        for field, change in changes.items():
            is_read = field in READ_BY_REFERENCE[name]
            assert (prepare(base.with_(**change).baseline(name)).key != key) == is_read


def test_how_a_setting_is_chosen_is_part_of_a_references_key(base, monkeypatch):
    names = ("majority", "tfidf", "tfidf_same_text", "embedding_linear")
    before = {name: prepare(base.baseline(name)).key for name in names}
    monkeypatch.setattr(keys, "MANY_LABELS", 1)
    changed = {name for name in names if prepare(base.baseline(name)).key != before[name]}
    assert changed == {*names} - {"majority"}


def test_references_are_runs_that_a_rerun_finds(base, monkeypatch):
    configs = references(base)
    names = ["tfidf", "tfidf_same_text", "embedding_linear", "majority"]
    assert [config.reference for config in configs] == names
    runs = run_all(configs)
    before = [run.folder.joinpath("predictions.parquet").read_bytes() for run in runs]
    assert "C = " in runs[2].status["choice"] and "choice" not in runs[3].status
    p = collect(runs)
    scores = tables.by_group(p, by="seed", metrics=["accuracy"]).set_index("seed")["accuracy"]
    assert scores["TF-IDF, same text"] > 0.9 > scores["embeddings + logistic regression"] > 0.5
    assert best_reference(p, metric="accuracy") == "TF-IDF, whole text"
    monkeypatch.setattr(frozen, "embed", lambda *_: pytest.fail("embedded again"))
    for config, run_before in zip(configs, before, strict=True):
        finished = prepare(config)
        (finished.folder / "status.json").unlink()
        again = run(config)
        assert again.folder.joinpath("predictions.parquet").read_bytes() == run_before
    with pytest.raises(InputError, match="no reference that learns: add references"):
        best_reference(collect(runs[3:]), metric="accuracy")


def test_of_references_level_on_dev_the_one_that_helps_no_study_is_best():
    runs, frames = {}, []
    labels = np.arange(20) % 2
    rights = {"tfidf": {"dev": 15, "test": 12}, "embedding_linear": {"dev": 15, "test": 14}}
    for name, right in rights.items():
        runs[name] = {"config": {"reference": name, "seed": 1}, "chosen_epoch": 1}
        runs[name] |= {"status": "finished", "last_epoch": 1}
        for split, count in right.items():
            sign = np.where((np.arange(20) < count) == (labels == 1), 1.0, -1.0)
            frames.append(frame_of(name, split, label=labels, logit_0=-sign, logit_1=sign))
    p = Predictions(pd.concat(frames, ignore_index=True), runs, ("no", "yes"))
    assert best_reference(p, metric="accuracy") == "embeddings + logistic regression"


@pytest.mark.parametrize("truncation", ["head", "windows"])
def test_embeddings_are_means_of_the_last_states(base, tiny, monkeypatch, truncation):
    features = {}
    monkeypatch.setattr(
        tfidf_and_embeddings, "with_settings", lambda _, given, *__: features.update(given)
    )
    monkeypatch.setattr(tfidf_and_embeddings, "choose", lambda *_: None)
    config = base.with_(max_length=8, truncation=truncation).baseline("embedding_linear")
    corpus = corpus_of(config)
    tfidf_and_embeddings.embedding_linear(config, corpus)
    model = build_model(tiny["bert"], head="mean_linear", num_labels=2).eval()
    means = {}
    for name in ("train", "test"):
        rows = []
        for text in getattr(corpus, name).texts:
            words = text.split()
            windows = [words[i : i + 6] for i in range(0, len(words), 6)]
            read = windows if truncation == "windows" else windows[:1]
            texts = [" ".join(window) for window in read]
            ids, mask, _ = encode(texts, tiny["bert"], max_length=8)
            with torch.inference_mode():
                states, _ = model.last_states(ids, mask)
            tokens = mask.sum(1).tolist()
            rows.append(
                np.mean([row[:n].mean(0) for row, n in zip(states, tokens, strict=True)], 0)
            )
        means[name] = np.stack(rows)
    wanted = (means["test"] - means["train"].mean(0)) / means["train"].std(0)
    np.testing.assert_allclose(features["test"], wanted, atol=1e-3)


# ---- made by others


@pytest.fixture
def file_of(base, tmp_path):
    """Writes a file of predictions: a column label, and others, for test or all documents."""
    corpus = corpus_of(base)

    def write(**columns):
        table = {"row": corpus.test.rows, "label": ["yes"] * len(corpus.test)} | columns
        path = tmp_path / "gpt.csv"
        pd.DataFrame({name: values for name, values in table.items() if values is not None}).to_csv(
            path, index=False
        )
        return str(path)

    return write


def test_predictions_of_others_take_part_in_tables(base, file_of):
    corpus = corpus_of(base)
    names = np.array(corpus.label_names)[corpus.test.labels]
    names[:4] = names[1:5]  # four errors: labels alternate
    configs = references(base, files=[file_of(label=names)])
    p = collect(run_all([base, *configs]))
    table = tables.by_group(p, by="head", metrics=["accuracy"]).set_index("head")
    assert table.loc["gpt", "accuracy"] == pytest.approx(17 / 21)
    assert table.loc["gpt", "documents"] == 21
    compared = set(tables.differences(p, by="head")["compared"])
    assert {"gpt − native", "TF-IDF, whole text − gpt"} <= compared
    assert "TF-IDF, same text − TF-IDF, whole text" not in compared
    key = prepare(configs[0]).key
    file_of(label=names[::-1])
    assert prepare(configs[0]).key != key  # another content


def test_texts_label_every_split_where_they_are_known(base, file_of, capsys):
    corpus = corpus_of(base)
    texts = [*corpus.dev.texts, *corpus.test.texts, "another text"]
    labels = [*corpus.dev.labels, *corpus.test.labels, 0]
    table = {"row": None, "text": texts, "label": np.array(corpus.label_names)[labels]}
    finished = run(base.baseline(file_of(**table)))
    frame = finished.predictions
    assert (frame.filter(like="logit").to_numpy().argmax(1) == frame["label"]).all()
    assert set(frame["split"]) == {"dev", "test"}
    assert finished.status["choice"] == "rows of other documents, left out: 1"
    said = "gpt.csv: scored on test alone, as it has no label for 12 of 12 dev documents"
    run(base.baseline(file_of()))
    assert said in capsys.readouterr().out


def test_probabilities_are_kept(base, file_of):
    chances = {"no": [0.25] * 21, "yes": [0.75] * 21}
    frame = run(base.baseline(file_of(**chances))).predictions
    logits = torch.from_numpy(frame[["logit_0", "logit_1"]].to_numpy().astype(np.float32))
    np.testing.assert_allclose(logits.softmax(1)[:, 1], 0.75, atol=1e-3)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": ["yes"] * 20 + ["maybe"]}, r"gpt.csv, line 22: unknown label 'maybe'. Choose"),
        ({"label": ["yes"] * 20 + [""]}, r"gpt.csv, line 22: unknown label ''"),
        (
            {"row": [*range(20), 0]},
            r"gpt.csv has no label for 1 of 21 test documents, the first 20",
        ),
        ({"row": [*range(20), "x"]}, r"gpt.csv, line 22: the row 'x' is no whole number from 0"),
        (
            {"row": [*range(20), 0], "label": ["yes"] * 20 + ["no"]},
            r"gpt.csv, line 22: '0' is there before, labelled 'yes'",
        ),
        ({"row": None}, r"gpt.csv has neither a column 'row' nor 'text'"),
        ({"row": None, "label": None, "text": ["a"] * 21}, r"gpt.csv has no column 'label'"),
        (
            {"no": [0.9] * 21, "yes": [0.1] * 21},
            r"gpt.csv, line 2: the label is 'yes', but 'no' is likelier",
        ),
        ({"no": [0.1] * 21, "yes": [1.2] * 21}, r"line 2: '1.2' is no probability of 'yes'"),
    ],
)
def test_bad_files_of_predictions_are_refused(base, file_of, columns, message):
    with pytest.raises(InputError, match=message):
        run(base.baseline(file_of(**columns)))


def test_what_is_no_reference_is_said(base, file_of, tmp_path):
    with pytest.raises(InputError, match=r"'tfidff' is no file, and no .*Did you mean tfidf\?"):
        run(base.baseline("tfidff"))
    with pytest.raises(InputError, match="a reference is called 'gpt' already; rename it"):
        references(base, files=[file_of(), str(tmp_path / "old" / "gpt.csv")])


def test_labels_of_several_and_numbers(tmp_path):
    path = tmp_path / "rules.csv"
    lists = made_up(np.array([[0, 1], [2, -1], [-1, -1]]), rows=3)[1]
    path.write_text("row,label\n0,b;a\n1,c\n2,\n")
    config = RunConfig(reference=str(path), reading={"label_separator": ";"})
    scores, _ = from_file.predicted_in_file(config, lists)
    assert scores["test"].tolist() == [[0.5, 1, -1, -1], [-1, -1, 1, -1], [-1] * 4]
    plain = RunConfig(reference=str(path))  # and no separator
    table = pd.DataFrame({"row": [0, 1, 2], "label": ['["b", "a"]', "['c']", "[]"]})
    table.to_csv(path, index=False)
    assert from_file.predicted_in_file(plain, lists)[0]["test"].tolist() == scores["test"].tolist()
    table.assign(label=["[1, 1, 0, 0]", "[0, 0, 1, 0]", "[0, 0, 0, 0]"]).to_csv(path, index=False)
    ones = from_file.predicted_in_file(plain, lists)[0]["test"]
    assert ((ones > 0) == (scores["test"] > 0)).all()
    table.assign(label=["[1, 1, 0, 0]", "[0, 0, 1, 0]", "[0, 0, 0]"]).to_csv(path, index=False)
    with pytest.raises(InputError, match="line 4: column 'label' has 3 values; the others have 4"):
        from_file.predicted_in_file(plain, lists)
    path.write_text("row,label\n0,1.5\n1,-2\n2,1e3\n")
    numbers = made_up(np.array([0.0, 1.0, 2.0]), rows=3)[1]
    assert from_file.predicted_in_file(config, numbers)[0]["test"].tolist() == [[1.5], [-2], [1000]]
