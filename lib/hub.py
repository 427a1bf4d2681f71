"""The tables of a dataset of the Hugging Face Hub."""

import re
from pathlib import Path

from lib.backbones import probe_hub
from lib.errors import InputError
from lib.reading.arrow import names_of_features
from lib.reading.options import Reading, Table
from lib.reading.splits import SPLIT_NAMES

# user/name or user/name/subset, perhaps at a revision
HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+(/[\w.-]+)?(@[\w.-]+)?")


def pinned(dataset: str) -> tuple[str, str]:
    """The name and the revision of a dataset `user/name@revision` of the Hub, or of its subset
    `user/name/subset@revision`; without a revision the newest one, which is said. Raises InputError
    where the Hub does not know it."""
    name, _, revision = dataset.partition("@")
    if revision:
        return name, revision
    probe_hub()
    from huggingface_hub import dataset_info

    try:
        revision = dataset_info(repository_of(name)[0], timeout=5).sha
    except Exception as error:
        raise InputError(
            f"There is no file or folder {dataset}, and no such dataset that the Hugging Face Hub "
            f"gives ({type(error).__name__}); a downloaded one is read by {name}@revision"
        ) from None
    print(f"{name}: its newest revision; {name}@{revision} will be the same one", flush=True)
    return name, revision


def repository_of(name: str) -> tuple[str, str | None]:
    """The repository of a dataset of the Hub, and the subset of it that the name ends with."""
    if not HUB_NAME.fullmatch(name) or name.count("/") == 1:
        return name, None
    repository, _, subset = name.rpartition("/")
    return repository, subset


def hub_tables(
    hub: str, *, revision: str, folder: str | None, reading: Reading
) -> dict[str, Table]:
    """The table of each split that a dataset has at a revision. Raises InputError, also where it
    has no train split; `folder` is its twin below DATA_DIR, if it has one, which the message
    names."""
    loaded = load_hub_dataset(hub, revision=revision, folder=folder)
    if not {*SPLIT_NAMES["train"]} & {*loaded}:
        splits = ", ".join(map(repr, loaded))
        raise InputError(
            f"The dataset {hub} has no split 'train', but {splits}; name a subset that has one "
            "(user/name/subset@revision), or save a split as train.parquet and name that file"
        )
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


def load_hub_dataset(hub: str, *, revision: str, folder: str | None):
    """All splits of a Hub dataset, by its own names for them, from the Hub or its cache."""
    probe_hub()
    import datasets

    print(f"Reading {hub} at {revision[:7]} from the Hugging Face Hub or its cache", flush=True)
    try:
        repository, subset = repository_of(hub)
        return datasets.load_dataset(repository, subset, revision=revision)
    except (ValueError, datasets.exceptions.DatasetsError) as error:
        raise _refused(hub, revision, error) from None
    except Exception as error:
        way_out = ""
        if folder:
            files = f"{folder}/train.parquet and {folder}/test.parquet"
            way_out = f", or set DATA_DIR to a folder that holds {files}"
        raise InputError(
            f"The dataset {hub} is neither in the Hugging Face cache nor can the Hub be "
            f"reached ({type(error).__name__}). Go online once{way_out}."
        ) from None


def _refused(hub: str, revision: str, error: Exception) -> InputError:
    """The error that a dataset is there, but cannot be given: in the library's words, with the way
    to name one of several subsets."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = " ".join(lines[:2]).rstrip(".") or type(error).__name__
    way_out = ""
    if "config" in reason.lower():  # the library's word for a subset
        way_out = f"; name the subset: {repository_of(hub)[0]}/SUBSET@{revision}"
    return InputError(f"The dataset {hub} at {revision[:7]} cannot be read: {reason}{way_out}")
