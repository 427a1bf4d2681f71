"""Where the project, its notebooks and the runs are on this machine."""

import os
from pathlib import Path

from lib.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"


def store() -> Path:
    """The folder of all runs: RUNS_DIR, or `runs/` in the checkout; where this is an installed
    package, in the current folder. Raises InputError where something else has its name."""
    is_checkout = (ROOT / "pyproject.toml").is_file()
    folder = Path(os.environ.get("RUNS_DIR") or (ROOT if is_checkout else Path.cwd()) / "runs")
    if os.path.lexists(folder) and not folder.is_dir():
        what = "a link to a folder that is not there" if folder.is_symlink() else "no folder"
        raise InputError(
            f"The store {folder} is {what}; move it away, or name a folder in RUNS_DIR"
        )
    return folder
