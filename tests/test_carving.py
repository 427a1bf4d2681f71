"""What is carved from train: the right share of rows, stratified, with equal texts together."""

import dataclasses
import itertools
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import SPLITS, Split, load_corpus
from lib.errors import InputError
from lib.reading.carving import carve, draw_labelled, units_of
from lib.reading.options import Reading


def split_of(texts: list[str], labels, groups=None) -> Split:
    return Split(texts, np.array(labels), np.arange(len(texts)), groups=groups)


def test_carving_says_what_it_cannot_do():
    labels = np.array([0, 0, 1, 1])
    split = Split(["a", "b", "c", "d"], labels, np.arange(4))
    left, taken = carve(split, 2, 0)
    assert sorted(taken.labels) == [0, 1] and sorted([*left.texts, *taken.texts]) == split.texts
    assert len(carve(split, 0, 0, one_of_each=True)[1]) == 2
    with pytest.raises(
        InputError, match=r"^Cannot split off 3 rows.* 4 different texts in 2 class"
    ):
        carve(split, 3, 0)
    with_numbers = dataclasses.replace(split, labels=np.array([0.5, 1, 2, 3]))
    assert len(carve(with_numbers, 3, 0)[1]) == 3
    with pytest.raises(InputError, match="there are 4 different texts, and both sides need one"):
        carve(with_numbers, 4, 0)


@pytest.mark.parametrize("labels", [np.arange(90) % 3, np.linspace(0, 1, 90)], ids=["some", "none"])
def test_texts_that_do_not_repeat_are_drawn_as_ever(labels):
    """Keys of runs depend on it."""
    from sklearn.model_selection import train_test_split

    strata = labels if labels.dtype.kind == "i" else None
    _, wanted = train_test_split(np.arange(90), test_size=20, random_state=3, stratify=strata)
    _, taken = carve(split_of([f"text {i}" for i in range(90)], labels), 20, 3)
    assert taken.rows.tolist() == sorted(wanted)


@pytest.mark.parametrize("times", [2, 3, 5, 20])
def test_texts_that_repeat_count_as_their_rows(times):
    texts = [f"text {i // times}" for i in range(60 * times)]
    split = split_of(texts, [i // times % 3 for i in range(60 * times)])
    left, taken = carve(split, 12 * times, 0, one_of_each=True)
    assert not set(left.texts) & set(taken.texts)
    assert Counter(taken.labels.tolist()) == {0: 4 * times, 1: 4 * times, 2: 4 * times}


def test_a_text_that_is_half_of_all_rows_is_left():
    texts = ["again"] * 100 + [f"text {i}" for i in range(100)]
    _, taken = carve(split_of(texts, [i % 2 for i in range(200)]), 40, 0)
    assert len(taken) == 40 and "again" not in taken.texts


def test_few_different_texts_are_split(tmp_path):
    rows = [(f"text {i % 87}", "ab"[i % 87 % 2]) for i in range(437)]
    path = tmp_path / "few.csv"
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(path, index=False)
    corpus = load_corpus(str(path))
    assert abs(len(corpus.test) - 87) <= 3 and abs(len(corpus.dev) - 35) <= 3
    texts = [set(getattr(corpus, name).texts) for name in SPLITS]
    assert sum(map(len, texts)) == 87  # none is on two sides


@given(st.integers(2, 40), st.integers(1, 6), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_every_class_with_two_texts_is_on_both_sides(classes, most, seed):
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for label in range(classes):
        for i in range(2 + rng.geometric(0.3)):
            copies = rng.integers(1, most + 1)
            texts += [f"{label} {i}"] * copies
            labels += [label] * copies
    split = split_of(texts, labels)
    rows = max(classes, len(texts) // 5)
    if rows > len(texts) - classes:
        return
    left, taken = carve(split, rows, seed, one_of_each=True)
    assert set(left.labels) == set(taken.labels) == set(range(classes))
    assert not set(left.texts) & set(taken.texts) and len(left) + len(taken) == len(texts)
    assert abs(len(taken) - rows) <= max(2 * most, classes * (most - 1), rows // 10 + 1)
    if most == 1:
        assert len(taken) == rows


def test_rare_classes_are_on_both_sides_without_more_rows():
    labels = [0] * 900 + [label for label in range(1, 26) for _ in range(2)]
    split = split_of([f"text {i}" for i in range(950)], labels)
    left, taken = carve(split, 190, 0, one_of_each=True)
    assert len(taken) == 190 and set(taken.labels) == set(left.labels) == set(range(26))


def test_thousands_of_classes_are_split_in_no_time():
    labels = np.arange(15_000) % 5000
    split = split_of([f"text {i}" for i in range(15_000)], labels)
    left, taken = carve(split, 3000, 0, one_of_each=True)
    assert len(taken) == 5000 and len(set(left.labels)) == 5000


# ---- groups


def test_groups_stay_on_one_side():
    rng = np.random.default_rng(0)
    groups = [f"user {i}" for i in rng.integers(60, size=600)]
    split = split_of([f"text {i}" for i in range(600)], rng.integers(3, size=600), groups)
    left, taken = carve(split, 120, 0, one_of_each=True)
    assert not set(left.groups) & set(taken.groups) and abs(len(taken) - 120) <= 12
    shares = np.bincount(taken.labels) / np.bincount(split.labels)
    assert (np.abs(shares - 0.2) < 0.06).all()


def test_rows_are_bound_by_texts_and_groups_in_turn():
    split = split_of(["a", "b", "b", "c", "d"], [0] * 5, ["x", "x", "y", "y", "z"])
    assert units_of(split).tolist() == [0, 0, 0, 0, 4]
    assert units_of(dataclasses.replace(split, groups=None)).tolist() == [0, 1, 1, 3, 4]


def save(path, **columns) -> str:
    pd.DataFrame(columns).to_csv(path, index=False)
    return str(path)


def test_a_column_names_the_groups(tmp_path):
    columns = {"text": [f"text {i}" for i in range(80)], "label": ["a", "b"] * 40}
    path = save(tmp_path / "few.csv", **columns, user=[i // 4 for i in range(80)])
    corpus = load_corpus(path, reading=Reading(group="user"))
    users = [{row // 4 for row in getattr(corpus, name).rows.tolist()} for name in SPLITS]
    assert sum(map(len, users)) == 20 and len(corpus.test) == 16
    path = save(tmp_path / "two.csv", **columns, user=[1, 2] * 40)
    with pytest.raises(InputError, match="there are 2 different groups"):
        load_corpus(path, reading=Reading(group="user"))
    path = save(tmp_path / "gap.csv", **columns, user=["", *range(79)])
    with pytest.raises(InputError, match=r"^gap.csv, line 2: column 'user' is empty; each row"):
        load_corpus(path, reading=Reading(group="user"))


def test_groups_in_several_files_are_told(tmp_path, capsys):
    columns = {"label": ["a", "b"] * 20, "user": range(40)}
    path = save(tmp_path / "train.csv", text=[f"text {i}" for i in range(40)], **columns)
    test = save(tmp_path / "test.csv", text=[f"more {i}" for i in range(40)], **columns)
    load_corpus(path, reading=Reading(group="user", test_file=test))
    assert "40 groups are in more than one of train, test" in capsys.readouterr().out


# ---- a column that says the split


def test_a_column_says_the_split(tmp_path):
    names = ["train", "Train", " TRAIN ", "dev", "validation", "val", "VALID", "test", "Eval"] * 4
    path = save(
        tmp_path / "few.csv",
        text=[f"text {i}" for i in range(36)],
        label=["a", "b", "c"] * 12,
        part=names,
    )
    corpus = load_corpus(path, reading=Reading(split="part"))
    wanted = {"train": (0, 1, 2), "dev": (3, 4, 5, 6), "test": (7, 8)}
    for name, places in wanted.items():
        assert getattr(corpus, name).rows.tolist() == [i for i in range(36) if i % 9 in places]
    assert corpus.test.lines.tolist() == (corpus.test.rows + 2).tolist()
    limited = load_corpus(path, reading=Reading(split="part"), train_rows=6, test_rows=4)
    assert (len(limited.train), len(limited.dev), len(limited.test)) == (6, 16, 4)


def test_what_a_column_leaves_out_is_carved(tmp_path):
    columns = {"text": [f"text {i}" for i in range(40)], "label": ["a", "b"] * 20}
    path = save(tmp_path / "few.csv", **columns, part=["train"] * 30 + ["test"] * 10)
    corpus = load_corpus(path, reading=Reading(split="part"))
    assert corpus.test.rows.tolist() == list(range(30, 40)) and len(corpus.dev) == 3


def test_a_column_that_does_not_say_the_split(tmp_path):
    columns = {"text": [f"text {i}" for i in range(4)], "label": ["a", "b"] * 2}
    reading = Reading(split="part")
    path = save(tmp_path / "few.csv", **columns, part=["train", "holdout", "train", "test"])
    told = r"^few.csv, line 3: column 'part' has 'holdout', which is none of train, dev, validation"
    with pytest.raises(InputError, match=told):
        load_corpus(path, reading=reading)
    path = save(tmp_path / "few.csv", **columns, part=["train", "a text " * 50, "train", "test"])
    with pytest.raises(InputError, match="…, which is none of train") as error:  # cut
        load_corpus(path, reading=reading)
    assert len(str(error.value)) < 350
    path = save(tmp_path / "none.csv", **columns, part=["test"] * 4)
    with pytest.raises(InputError, match="says the split of each row has none for train"):
        load_corpus(path, reading=reading)
    with pytest.raises(InputError, match=r"none.csv has no column 'fold'\."):
        load_corpus(path, reading=Reading(split="fold"))
    path = save(tmp_path / "train.csv", **columns, part=["train"] * 4)
    save(tmp_path / "test.csv", **columns, part=["test"] * 4)
    told = "says which rows of train.csv are dev and test, but test.csv is given, too; leave out"
    with pytest.raises(InputError, match=told):
        load_corpus(path, reading=Reading(split="part", test_file=str(tmp_path / "test.csv")))


def test_nothing_cannot_be_split():
    for labels in (np.zeros(0), np.zeros(0, np.int64)):
        with pytest.raises(InputError, match="there are 0 different texts"):
            carve(split_of([], labels), 1, 0)


def labelled(split: Split, rows: int, seed: int) -> tuple[set[int], set[int]]:
    """The rows of train and dev that are drawn, a fifth of them for dev."""
    train, dev = draw_labelled(split, rows, rows // 5, seed)
    return set(train.rows.tolist()), set(dev.rows.tolist())


@pytest.mark.parametrize(
    "labels", [(np.arange(900) % 30 == 0).astype(int), np.linspace(0, 1, 900)], ids=["rare", "none"]
)
def test_fewer_labelled_rows_are_among_those_of_more_and_on_their_side(labels):
    split = split_of([f"text {i}" for i in range(900)], labels)
    samples = [labelled(split, rows, 3) for rows in (50, 100, 400, 900)]
    for (train, dev), (more_train, more_dev) in itertools.pairwise(samples):
        assert train < more_train and dev < more_dev
    for (train, dev), rows in zip(samples, (50, 100, 400, 900), strict=True):
        assert not train & dev and len(train) + len(dev) == rows
        assert abs(len(dev) - rows / 5) <= 2
    assert labelled(split, 50, 4) != samples[0]
    if labels.dtype.kind == "i":  # one of thirty is in train, and about as many as its share
        for (train, dev), rows in zip(samples, (50, 100, 400, 900), strict=True):
            assert labels[[*train]].sum() >= 1
            assert abs(labels[[*train, *dev]].sum() - rows / 30) <= 1


def test_each_class_comes_first_to_train():
    labels = np.arange(300) % 20
    split = split_of([f"text {i}" for i in range(300)], labels)
    train, dev = draw_labelled(split, 40, 8, 0)
    assert set(train.labels.tolist()) == set(range(20)) and 4 <= len(dev) <= 12


def test_labelled_rows_of_equal_text_or_group_stay_together():
    split = split_of([f"text {i % 40}" for i in range(200)], np.arange(200) % 40 % 2)
    train, dev = draw_labelled(split, 150, 30, 0)
    assert len(dev) and not set(train.texts) & set(dev.texts)
    groups = [f"author {i % 25}" for i in range(200)]
    split = split_of([f"text {i}" for i in range(200)], np.arange(200) % 2, groups)
    train, dev = draw_labelled(split, 150, 30, 0)
    assert len(dev) and not set(train.groups) & set(dev.groups)
    with pytest.raises(InputError, match="Of 4 labelled rows none is left for dev; take more"):
        draw_labelled(split, 4, 0, 0)


def test_a_corpus_with_a_subset_seed_has_one_test_set_and_other_samples(tmp_path):
    rows = [f"some text {i},{'ab'[i % 2]}" for i in range(200)]
    (tmp_path / "own.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    where = str(tmp_path / "own.csv")
    options = {"train_rows": 40, "dev_rows": 10}
    one, two = (load_corpus(where, subset_seed=seed, **options) for seed in (1, 2))
    assert one.test.texts == two.test.texts and len(one.test) == 40
    assert one.train.texts != two.train.texts and len(one.train) + len(one.dev) == 50
    everything = load_corpus(where, subset_seed=1)
    assert len(everything.train) + len(everything.dev) == 160
    assert not {*one.train.texts, *one.dev.texts} & {*one.test.texts}
