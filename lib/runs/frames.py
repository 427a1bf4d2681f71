"""The table that a run's predictions are stored as."""

import numpy as np
import pandas as pd

from lib.data import Split

SPLITS = pd.CategoricalDtype(["dev", "test"])


def to_frame(
    split_name: str, epoch: int, split: Split, logits: np.ndarray, ranked: np.ndarray | None = None
) -> pd.DataFrame:
    """Predictions of one split after one epoch: split, epoch, row, label and a 16-bit column for
    each logit (of real numbers, label and logit_0 are float32).

    With several labels a document: gold_0… (padded with −1) and top_0… of label ids `ranked`
    (rows, k), and the logits of the latter.
    """
    frame = pd.DataFrame(
        {"split": split_name, "epoch": np.int16(epoch), "row": split.rows.astype(np.int32)}
    )
    frame["split"] = frame["split"].astype(SPLITS)
    real_numbers = split.labels.dtype.kind == "f"
    id_type = np.float32 if real_numbers else np.int16
    if ranked is None:
        frame["label"] = split.labels.astype(id_type)
    else:
        for i, column in enumerate(split.labels.T):
            frame[f"gold_{i}"] = column.astype(id_type)
        for i, column in enumerate(ranked.T):
            frame[f"top_{i}"] = column.astype(id_type)
    for i in range(logits.shape[1]):
        frame[f"logit_{i}"] = logits[:, i].astype(np.float32 if real_numbers else np.float16)
    return frame
