"""Where the project, its notebooks and the runs are on this machine."""

import os
import stat
from pathlib import Path

from lib.errors import InputError, shown
from lib.reading.options import is_whole

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
KEY_LENGTH = 16  # characters of a run's key that name it
ELSEWHERE = "…/"  # begins a page's name for a file or folder of the machine that made it


def store() -> Path:
    """The folder of all runs: RUNS_DIR, or `runs/` in the checkout; where this is an installed
    package, in the current folder. Raises InputError where something else has its name, or none
    can have it."""
    is_checkout = (ROOT / "pyproject.toml").is_file()
    folder = Path(os.environ.get("RUNS_DIR") or (ROOT if is_checkout else Path.cwd()) / "runs")
    problem = _problem_of(folder)
    if problem:
        name = folder if is_whole(str(folder)) else shown(str(folder))
        raise InputError(
            f"The store {name} is {problem}; move it away, or name a folder in RUNS_DIR"
        )
    return folder


def _problem_of(folder: Path) -> str:
    """Why a folder can be no store; empty where it can."""
    if not str(folder).strip() or not is_whole(str(folder)):
        return "no name of a folder"
    try:
        is_there = stat.S_ISDIR(folder.stat().st_mode)
    except FileNotFoundError:
        return "a link to a folder that is not there" if folder.is_symlink() else ""
    except OSError as error:
        return f"no folder ({(error.strerror or str(error)).lower()})"
    return "" if is_there else "no folder"


def locations_file(study: str, folder: str) -> Path:
    """Where the store notes what a page's files and folders are on this machine."""
    return store() / "locations" / f"{study}--{folder}.json"
