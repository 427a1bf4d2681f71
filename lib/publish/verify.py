"""Whether a page says what its runs say: the study is executed again, and every byte compared."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from lib.analysis.predictions import Predictions
from lib.errors import InputError
from lib.publish.blocks import read_page
from lib.publish.compare import Check, compare_folders
from lib.publish.evidence import check_columns, check_evidence
from lib.publish.folder import write_page
from lib.runs.published import HISTORY, PREDICTIONS, page_runs, runs_of_page

AT_ONCE = 4  # pages, where there are as many processors
MEANING = (
    "This shows that a page agrees with the predictions and histories that it publishes, not that "
    "they came from training."
)


def verify(folder: Path) -> Check:
    """Execute a page's study on what it publishes, into a temporary folder, and compare all of it.

    Besides, keys are hashed again from configurations, chosen epochs derived again from dev, and
    digests, steps and learning rates compared. Raises InputError where the page is not whole.
    """
    folder = folder.resolve()
    page = read_page(folder)
    check = Check()
    place = f"{folder.parent.name}/{folder.name}"
    if place != f"{page['study']}/{page['folder']}":
        check.wrong.append(f"it is the page of {page['study']}/{page['folder']}, not of {place}")
    with tempfile.TemporaryDirectory() as root:
        again = Path(root) / place
        copy_files(folder, again)
        predictions = read_predictions(again)
        try:
            with runs_of_page(again):
                check_sources(again, predictions, check)
            check.unchecked += write_page(again)
            check.wrong += check_columns(read_history(again))
        except Exception as error:  # what a damaged page makes its study's code raise is any
            check.wrong.append(f"its study cannot be made of what it publishes: {one_line(error)}")
            return check
        try:
            compare_folders(folder, again, check)
        except Exception as error:
            check.wrong.append(f"its files cannot be compared: {one_line(error)}")
    return check


def verify_all(folders: list[Path]) -> Iterator[tuple[list[str], bool]]:
    """Of each page, in order, what `verified` gives; several at once, each in a new process."""
    workers = min(AT_ONCE, os.cpu_count() or 1, len(folders))
    if workers < 2:
        yield from map(verified, folders)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(verified, folders)


def verified(folder: Path) -> tuple[list[str], bool]:
    """What `verify` finds of a page, in lines, and whether the page is what its runs give."""
    try:
        check = verify(folder)
    except InputError as error:
        return [f"{folder}: {error}"], False
    return describe(folder, check), not check.wrong


def copy_files(folder: Path, copy: Path) -> None:
    """Copy a page's files; no folder, which the comparison tells of. Raises InputError where one
    cannot be read, or is a pipe or device."""
    copy.mkdir(parents=True)
    for path in sorted(folder.iterdir()):
        if path.is_dir() or not path.exists():
            continue
        if not path.is_file():
            raise InputError(f"{path} is no file, and a page consists of files; remove it")
        try:
            shutil.copyfile(path, copy / path.name)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {(error.strerror or '').lower()}") from None


def check_sources(folder: Path, predictions: Predictions, check: Check) -> None:
    """Check what a page is made from, by itself."""
    page_runs.cache_clear()
    runs = page_runs(folder).values()
    count, wrong = check_evidence(predictions, runs, read_history(folder))
    check.compared += count
    check.wrong += wrong


def read_history(folder: Path) -> str:
    """A page's history.csv; empty where it has none."""
    path = folder / HISTORY
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def one_line(error: Exception) -> str:
    """An error in one line: a sentence as it is, another with its type."""
    if isinstance(error, OSError) and error.filename:
        return f"{Path(error.filename).name}: {(error.strerror or '').lower()}"
    line = (str(error).splitlines() or [""])[0]
    return line if isinstance(error, InputError) else f"{type(error).__name__} {line}".strip()


def read_predictions(folder: Path) -> Predictions:
    """A page's predictions. Raises InputError where they cannot be read."""
    path = folder / PREDICTIONS
    if not path.is_file():
        raise InputError(
            f"{folder.parent.name}/{folder.name} has no {PREDICTIONS}; publish it anew"
        )
    try:
        return Predictions.read(path)
    except Exception as error:  # pyarrow's are many
        raise InputError(
            f"{PREDICTIONS} of {folder.name} cannot be read: {one_line(error)}"
        ) from None


def describe(folder: Path, check: Check) -> list[str]:
    """What a check found, in lines."""
    lines = [f"{folder}: {check.compared} files and facts checked, {len(check.wrong)} differ"]
    if check.moved:
        lines.append(f"  {check.moved} numbers differ by one unit of their last digit")
    lines += [f"  {figure}" for figure in check.redrawn]
    lines += [f"  not checked here: {reason}" for reason in dict.fromkeys(check.unchecked)]
    lines += [f"  {difference}" for difference in check.wrong]
    return lines
