"""The rows of Parquet and of saved datasets, and the names that either has for classes."""

import json
from collections.abc import Iterator
from pathlib import Path

from lib.errors import InputError
from lib.reading.columns import distinct_names
from lib.reading.compressed import HEAD, check_content, open_bytes, out_of_memory

SAVED = "state.json"  # a folder with this file is a dataset that was saved to disk
SAVED_SPLITS = "dataset_dict.json"  # and one with this, a dataset in splits
BATCH = 1024  # rows that are in memory at once


def is_saved(path: Path) -> bool:
    """Whether a path is a folder that `Dataset.save_to_disk` made."""
    return (path / SAVED).is_file()


# ---- rows


def arrow_rows(path: Path) -> Iterator[tuple[int, dict]]:
    """(position from 1, values by column) of each row. Raises InputError."""
    rows = _saved_rows(path) if is_saved(path) else _parquet_rows(path)
    yield from enumerate(rows, 1)


def _parquet_rows(path: Path) -> Iterator[dict]:
    import pyarrow
    import pyarrow.parquet

    with open_bytes(path) as file:  # says in our words where it cannot be opened
        check_content(path, file.peek(HEAD)[:HEAD], wanted=b"PAR1")
    try:
        with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True) as file:
            for batch in file.iter_batches(BATCH):
                yield from _rows_of(batch)
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise _unreadable(path, "Parquet", error) from None


def _saved_rows(path: Path) -> Iterator[dict]:
    dataset = _load_saved(path)
    try:
        for table in dataset.with_format("arrow").iter(BATCH):
            for batch in table.to_batches():
                yield from _rows_of(batch)
    except Exception as error:  # the library wraps what damaged files raise in many ways
        raise _unreadable(path, "a saved dataset", error) from None


def _load_saved(path: Path):
    """A saved dataset, memory-mapped. Raises InputError."""
    import datasets

    try:
        return datasets.load_from_disk(str(path))
    except Exception as error:
        raise _unreadable(path, "a saved dataset", error) from None


def _rows_of(batch) -> list[dict]:
    """The rows of a record batch; bytes that are text in UTF-8 become text."""
    import pyarrow

    names = distinct_names(batch.schema.names)
    rows = batch.rename_columns(names).to_pylist()
    for name, field in zip(names, batch.schema, strict=True):
        if pyarrow.types.is_binary(field.type) or pyarrow.types.is_large_binary(field.type):
            for row in rows:
                row[name] = _as_text(row[name])
    return rows


def _as_text(value: bytes | None) -> str | bytes | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return value


def _unreadable(path: Path, kind: str, error: Exception) -> InputError:
    if isinstance(error, MemoryError):
        return out_of_memory(path)
    lines = str(error).splitlines() or [type(error).__name__]
    return InputError(f"{path.name} cannot be read as {kind}: {lines[0]}; it is damaged or cut")


# ---- names of classes


def class_names_in(path: Path) -> dict[str, tuple[str, ...]]:
    """The names of the classes that a column's numbers stand for, by column, where the file was
    written by the `datasets` library. Raises InputError."""
    if is_saved(path):
        features = _load_saved(path).features.to_dict()
    else:
        features = _features_of_parquet(path)
    return names_of_features(features)


def names_of_features(features: dict) -> dict[str, tuple[str, ...]]:
    """The names of classes by column, from the features of a dataset as a dictionary."""
    names = {column: _class_names(feature) for column, feature in features.items()}
    return {column: classes for column, classes in names.items() if classes}


def _features_of_parquet(path: Path) -> dict:
    import pyarrow.parquet

    metadata = pyarrow.parquet.read_schema(path).metadata or {}
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def _class_names(feature) -> tuple[str, ...]:
    """The classes of a feature, or of the items of a list."""
    while isinstance(feature, dict) and isinstance(feature.get("feature"), dict):
        feature = feature["feature"]
    if isinstance(feature, list) and feature:
        feature = feature[0]
    if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
        return ()
    names = feature.get("names") or ()
    return tuple(str(name) for name in names)
