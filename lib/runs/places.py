"""Where the project, its notebooks and the runs are on this machine."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"


def store() -> Path:
    """The folder of all runs: RUNS_DIR, or `runs/` in the checkout; where this is an installed
    package, in the current folder."""
    is_checkout = (ROOT / "pyproject.toml").is_file()
    return Path(os.environ.get("RUNS_DIR") or (ROOT if is_checkout else Path.cwd()) / "runs")
