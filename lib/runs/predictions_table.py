"""The table that a run's predictions are stored as: how it is made, and read."""

import re
from pathlib import Path

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
    (rows, k), and the logits of the latter. Ids and epochs beyond 16 bits have 32.
    """
    rows = len(split)
    columns = {
        "split": pd.Categorical([split_name] * rows, dtype=SPLITS),
        "epoch": np.full(rows, epoch, _integers(epoch)),
        "row": split.rows.astype(np.int32),
    }
    real_numbers = split.labels.dtype.kind == "f"
    if ranked is None:
        id_type = np.float32 if real_numbers else _integers(logits.shape[1])
        columns["label"] = split.labels.astype(id_type)
    else:
        largest = max(split.labels.max(initial=0), ranked.max(initial=0))
        for kind, ids in (("gold", split.labels), ("top", ranked)):
            for i, column in enumerate(ids.T):
                columns[f"{kind}_{i}"] = column.astype(_integers(largest))
    for i, column in enumerate(logits.T):
        columns[f"logit_{i}"] = column.astype(np.float32 if real_numbers else np.float16)
    return pd.DataFrame(columns)


def write_predictions(table, path: Path) -> None:
    """Write an Arrow table of many runs' predictions as a small Parquet file.

    Runs score the same rows, whose bytes repeat; a dictionary of a column would hide that.
    """
    import pyarrow.parquet as pq

    repeated = ("epoch", "row", "label", "tokens")
    logits = [name for name in table.column_names if name.startswith("logit_")]
    others = [name for name in table.column_names if name not in (*repeated, *logits)]
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=others,
        use_byte_stream_split=logits,
    )


def numbered(frame: pd.DataFrame, kind: str, dtype: type) -> np.ndarray:
    """The columns `kind`_0, `kind`_1 and so on, of logit, gold and top: (rows, columns)."""
    columns = [frame[name].to_numpy() for name in frame if re.fullmatch(rf"{kind}_\d+", name)]
    return np.array(columns, dtype).reshape(len(columns), len(frame)).T


def _integers(largest: int) -> type:
    """The type that holds whole numbers up to the largest: 16 bits, or else 32."""
    return np.int16 if largest <= np.iinfo(np.int16).max else np.int32
