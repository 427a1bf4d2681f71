"""Where the project, its notebooks and the runs are on this machine."""

import os
import stat
from pathlib import Path

from lib.errors import InputError, shown
from lib.readers import is_whole

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"


def store() -> Path:
    """The folder of all runs: RUNS_DIR, or `runs/` in the checkout; where this is an installed
    package, in the current folder. Raises InputError where it cannot be one."""
    given = os.environ.get("RUNS_DIR")
    if given:
        _check_folder("RUNS_DIR", given)
        return Path(given)
    is_checkout = (ROOT / "pyproject.toml").is_file()
    return (ROOT if is_checkout else Path.cwd()) / "runs"


def _check_folder(variable: str, given: str) -> None:
    """Raises InputError where a variable names what is no folder, and can become none."""
    if not given.strip() or not is_whole(given):
        raise InputError(f"{variable} is {shown(given)}, which names no folder")
    try:
        is_other = not stat.S_ISDIR(os.stat(given).st_mode)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(
            f"{variable} is {shown(given)}, which can be no folder: {error.strerror.lower()}"
        ) from None
    if is_other:
        raise InputError(f"{variable} is {shown(given)}, which is no folder")
