"""The files of a folder: which one holds which split, and what the labels are called."""

import filecmp
import itertools
import json
from pathlib import Path

from lib.errors import InputError
from lib.formats import SUFFIXES
from lib.readers import Reading

# What a split's file may be called, before its suffix.
SPLIT_NAMES = {"train": ("train",), "dev": ("dev", "validation", "valid", "val"), "test": ("test",)}


def find_files(path: Path, reading: Reading) -> dict[str, Path]:
    """The file of each split that there is, from a folder or a train file. Raises InputError."""
    files = {"train": path} if path.is_file() else _files_in(path)
    if reading.dev_file:
        files["dev"] = Path(reading.dev_file)
    if reading.test_file:
        files["test"] = Path(reading.test_file)
    for (earlier, one), (later, other) in itertools.combinations(files.items(), 2):
        if one.is_file() and other.is_file():
            if other.samefile(one):
                raise InputError(f"{other.name} is given both as {earlier} and as {later}")
            if filecmp.cmp(other, one, shallow=False):
                raise InputError(
                    f"{one.name} ({earlier}) and {other.name} ({later}) are the same, byte for byte"
                )
    return files


def _files_in(folder: Path) -> dict[str, Path]:
    """The file of each split in a folder, which must have one for train."""
    files = {}
    for split, stems in SPLIT_NAMES.items():
        names = [stem + suffix for stem in stems for suffix in SUFFIXES]
        names = [name for name in names if (folder / name).is_file()]
        if len(names) > 1:
            raise InputError(
                f"{folder.name} has several files for {split}: {', '.join(names)}; keep one"
            )
        if names:
            files[split] = folder / names[0]
    if "train" not in files:
        raise InputError(
            f"The folder {folder} has no train file; name one train{{{','.join(SUFFIXES)}}}"
        )
    return files


def read_label_names(folder: Path) -> dict[str, str]:
    """The names to show for labels, from a folder's labels.json, if there is one: a JSON mapping,
    or a list in the order of ids. Raises InputError."""
    path = folder / "labels.json"
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name} is not JSON: {error}") from None
    if isinstance(content, list):
        content = dict(enumerate(content))
    if not isinstance(content, dict):
        raise InputError(
            f"{path.name} is neither a mapping from labels to their names nor a list of names"
        )
    return {str(label): str(name) for label, name in content.items()}
