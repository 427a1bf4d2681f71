"""The tables of a dataset of the Hugging Face Hub."""

from pathlib import Path

from lib.arrow import names_of_features
from lib.backbones import probe_hub
from lib.errors import InputError
from lib.folders import SPLIT_NAMES
from lib.readers import Reading, Table


def hub_tables(hub: str, *, revision: str, folder: str, reading: Reading) -> dict[str, Table]:
    """The table of each split that a dataset has at a revision. Raises InputError; `folder` is
    its twin below DATA_DIR, which the message names."""
    loaded = load_hub_dataset(hub, revision=revision, folder=folder)
    tables = {}
    for split, names in SPLIT_NAMES.items():
        for name in names:
            if name in loaded:
                rows = loaded[name]
                tables[split] = Table(
                    Path(f"{hub} {name}.parquet"),
                    rows.to_dict(),
                    list(range(1, len(rows) + 1)),
                    reading=reading,
                    class_names=names_of_features(rows.features.to_dict()),
                )
    return tables


def load_hub_dataset(hub: str, *, revision: str, folder: str):
    """All splits of a Hub dataset, by its own names for them, from the Hub or its cache."""
    probe_hub()
    import datasets

    print(
        f"Reading {hub} at {revision[:7]} from the Hugging Face Hub or its cache",
        flush=True,
    )
    try:
        return datasets.load_dataset(hub, revision=revision)
    except Exception as error:
        raise InputError(
            f"The dataset {hub} is neither in the Hugging Face cache nor can the Hub be "
            f"reached ({type(error).__name__}). Go online once, or set DATA_DIR to a folder that "
            f"holds {folder}/train.parquet and {folder}/test.parquet."
        ) from None
