"""The files of a folder: which ones hold which split, and what the labels are called."""

import filecmp
import itertools
import json
import re
from pathlib import Path

from lib.errors import InputError
from lib.reading.arrow import SAVED_SPLITS, is_saved
from lib.reading.compressed import check_is_file
from lib.reading.formats import FORMATS, SUFFIXES
from lib.reading.options import Reading
from lib.reading.splits import SPLIT_NAMES
from lib.reading.vocabulary import listed

LABELS = "labels.json"
NO_TABLES = (LABELS, "dataset_info.json", "dataset_infos.json")  # nor of any split
SHARD = re.compile(r"(.+)-(\d+)-of-(\d+)(\.\w+(?:\.\w+)?)")  # a file of several that hold a split

Files = dict[str, tuple[Path, ...]]  # of each split, in their order


def find_files(path: Path, reading: Reading) -> Files:
    """The files of each split that there is, from a folder or a train file. Raises InputError."""
    if path.is_dir() and not is_saved(path):
        files = _files_in(path)
    else:
        if not is_saved(path):
            check_is_file(path)
        files = {"train": (path,)}
    files |= named_files(reading)
    single = {split: paths[0] for split, paths in files.items() if len(paths) == 1}
    for (earlier, one), (later, other) in itertools.combinations(single.items(), 2):
        if one.is_file() and other.is_file():
            if other.samefile(one):
                raise InputError(f"{other.name} is given both as {earlier} and as {later}")
            if filecmp.cmp(other, one, shallow=False):
                raise InputError(
                    f"{one.name} ({earlier}) and {other.name} ({later}) are the same, byte for byte"
                )
    return files


def tell_unread(files: Files) -> None:
    """Name the tables beside train's that are of no split: a name may be mistyped."""
    if is_saved(files["train"][0]):
        return
    folder = files["train"][0].parent
    of_splits = {path.resolve() for paths in files.values() for path in paths}
    unread = [
        path.name
        for path in sorted(folder.iterdir())
        if path.name.lower().endswith(SUFFIXES)
        and path.name not in NO_TABLES
        and path.resolve() not in of_splits
    ]
    if unread:
        be = "is" if len(unread) == 1 else "are"
        names = ", ".join(itertools.chain.from_iterable(SPLIT_NAMES.values()))
        print(
            f"{folder.name}: {listed(unread)} {be} of no split; files are read that are called "
            f"{names}, or that dev_file and test_file name",
            flush=True,
        )


def named_files(reading: Reading) -> Files:
    """The files of the splits that a reading names one for."""
    named = {"dev": reading.dev_file, "test": reading.test_file}
    return {split: (Path(file).expanduser(),) for split, file in named.items() if file}


def _files_in(folder: Path) -> Files:
    """The files of each split, train at least, in a folder or its only subfolder with such."""
    files = _splits_of(folder)
    if "train" not in files:
        below = {}
        for subfolder in sorted(path for path in folder.iterdir() if path.is_dir()):
            splits = _splits_of(subfolder)
            if "train" in splits:
                below[subfolder.name] = splits
        if len(below) > 1:
            raise InputError(
                f"The folder {folder} has several with a train file: {', '.join(below)}; name one"
            )
        files = next(iter(below.values()), files)
    if "train" not in files:
        names = sorted(path.name for path in folder.iterdir())
        tables = listed([name for name in names if name.lower().endswith(SUFFIXES)])
        raise InputError(
            f"The folder {folder} has no train file; name one train with any of "
            f"{', '.join(FORMATS)}, or say which of its tables ({tables or 'it has none'}) is "
            "the dataset, dev_file and test_file; of a folder of texts for each class, "
            "sklearn.datasets.load_files makes a table"
        )
    return files


def _splits_of(folder: Path) -> Files:
    """The files of each split that are in a folder itself."""
    entries = sorted(folder.iterdir())
    is_saved_whole = (folder / SAVED_SPLITS).is_file()
    files = {}
    for split, stems in SPLIT_NAMES.items():
        if is_saved_whole:
            candidates = [(folder / stem,) for stem in stems if is_saved(folder / stem)]
        else:
            candidates = [
                *_whole_files(entries, stems),
                *_sharded_files(entries, stems),
                *_files_below(entries, stems),
            ]
        if len(candidates) > 1:
            files_or_folders = listed([paths[0].name for paths in candidates])
            raise InputError(
                f"{folder.name} has several files for {split}: {files_or_folders}; keep one"
            )
        if candidates:
            files[split] = candidates[0]
    return files


def _whole_files(entries: list[Path], stems: tuple[str, ...]) -> list[tuple[Path]]:
    """The files of a split that are whole."""
    names = [stem + suffix for stem in stems for suffix in SUFFIXES]
    paths = [path for name in names for path in entries if path.name.lower() == name]
    for path in paths:
        check_is_file(path)
    return [(path,) for path in paths]


def _sharded_files(entries: list[Path], stems: tuple[str, ...]) -> list[tuple[Path, ...]]:
    """The files of a split that is stored in several, such as train-00000-of-00002.parquet."""
    groups: dict[tuple, list[Path]] = {}
    for path in entries:
        match = SHARD.fullmatch(path.name)
        if match and match[1] in stems and match[4] in SUFFIXES and path.is_file():
            groups.setdefault((match[1], match[3], match[4]), []).append(path)
    for (stem, count, suffix), paths in groups.items():
        if len(paths) != int(count):
            raise InputError(
                f"{paths[0].parent.name} has {len(paths)} of the {int(count)} files "
                f"{stem}-*-of-{count}{suffix}; fetch the others"
            )
    return [tuple(paths) for paths in groups.values()]


def _files_below(entries: list[Path], stems: tuple[str, ...]) -> list[tuple[Path, ...]]:
    """A split's folder of tables of one format; a text file there may be one document."""
    of_split = []
    for folder in entries:
        if folder.name in stems and folder.is_dir():
            files = sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIXES))
            formats = {path.suffix for path in files}
            if len(formats) == 1 and formats != {".txt"}:
                of_split.append(tuple(files))
    return of_split


def read_label_names(folder: Path) -> dict[str, str]:
    """The names to show for labels, from a folder's labels.json, if there is one: a JSON mapping,
    or a list in the order of ids. Raises InputError."""
    path = folder / LABELS
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name} is not JSON: {error}") from None
    if isinstance(content, list):
        content = dict(enumerate(content))
    if not isinstance(content, dict):
        raise InputError(
            f"{path.name} is neither a mapping from labels to their names nor a list of names"
        )
    return {str(label): str(name) for label, name in content.items()}
