"""The table that predictions are stored as."""

import numpy as np
import pytest

from lib.data import Split
from lib.runs.predictions_table import to_frame

ROWS = np.arange(4)


def split_of(labels) -> Split:
    return Split(["text"] * 4, np.array(labels), ROWS)


def test_one_label_a_document():
    logits = np.arange(12, dtype=np.float32).reshape(4, 3)
    frame = to_frame("dev", 2, split_of([0, 2, 1, 0]), logits)
    assert list(frame) == ["split", "epoch", "row", "label", "logit_0", "logit_1", "logit_2"]
    assert frame["split"].cat.categories.tolist() == ["dev", "test"]
    types = [str(frame[name].dtype) for name in list(frame)[1:5]]
    assert types == ["int16", "int32", "int16", "float16"]
    assert frame["label"].tolist() == [0, 2, 1, 0] and frame["logit_1"].tolist() == [1, 4, 7, 10]


def test_numbers_have_32_bits():
    frame = to_frame("test", 1, split_of([0.5, 1.5, 2.5, 1e5]), np.ones((4, 1)))
    assert str(frame["label"].dtype) == str(frame["logit_0"].dtype) == "float32"


@pytest.mark.parametrize(
    ("largest", "kind"), [(32_767, "int16"), (32_768, "int32"), (70_000, "int32")]
)
def test_many_labels_a_document_do_not_wrap(largest, kind):
    gold = [[0, largest], [largest, -1], [-1, -1], [1, 2]]
    ranked = np.array([[largest], [0], [1], [2]])
    frame = to_frame("test", 1, split_of(gold), np.ones((4, 1)), ranked)
    assert {str(frame[name].dtype) for name in ("gold_0", "gold_1", "top_0")} == {kind}
    assert frame[["gold_0", "gold_1"]].to_numpy().tolist() == gold
    assert frame["top_0"].tolist() == ranked[:, 0].tolist()


def test_thousands_of_classes_are_one_table():
    frame = to_frame("test", 40_000, split_of([0, 1, 2, 39_999]), np.ones((4, 40_000)))
    assert frame["label"].tolist() == [0, 1, 2, 39_999] and frame.shape == (4, 40_004)
    assert set(frame["epoch"]) == {40_000}
