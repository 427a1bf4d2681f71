"""A file that is labelled is read row by row: a longer one takes no more memory."""

import gzip
import json
import tracemalloc

import pandas as pd
import pytest

from lib.reading.options import Reading
from lib.use.inputs import rows_of

TEXT = "a text of some length, " * 20
FEW, MANY = 2_000, 6_000  # rows: 450 bytes each
MOST = 500_000  # bytes that the longer file may take more; its texts alone are nearly two million


def write(name: str, rows: int, path) -> None:
    texts = [f"{TEXT}{i}" for i in range(rows)]
    if name.endswith(".parquet"):
        pd.DataFrame({"text": texts}).to_parquet(path, row_group_size=100)
    elif name.endswith(".jsonl"):
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    elif name.endswith(".txt"):
        path.write_text("".join(f"{text}\n" for text in texts))
    else:
        lines = "".join(f'"{text}"\n' for text in ["text", *texts])
        path.write_bytes(gzip.compress(lines.encode()) if name.endswith(".gz") else lines.encode())


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz", "a.jsonl", "a.parquet", "a.txt"])
def test_a_longer_file_takes_no_more_memory(name, tmp_path):
    column = None if name.endswith(".txt") else "text"
    peaks = []
    for rows in (FEW, FEW, MANY):  # the first loads what reads it
        path = tmp_path / f"{rows}{name}"
        write(name, rows, path)
        tracemalloc.start()
        assert sum(1 for row in rows_of(str(path), column, Reading())) == rows
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < peaks[1] + MOST
