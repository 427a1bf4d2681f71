"""The list of all published pages, as results/README.md."""

from pathlib import Path

from lib.analysis.display import escape, pipe_table
from lib.publish.front import profile_pages
from lib.runs.files import read_json, write_text

INTRODUCTION = """# Published pages

Each page opens with its answer. Its folder has what it rests on: the predictions, the history of
training, all tables as CSV and, in environment.json, the machine. `make verify` computes all pages
again; `make STUDY PROFILE=…` makes one with new runs. Minutes are of training and scoring, one run
after the other.
"""
HEADER = (("page", "data", "model", "minutes", "machine"), ("---", "---", "---", "---:", "---"))


def contents(results: Path) -> str:
    """results/README.md, from the pages of `results`."""
    rows = list(HEADER)
    for name, page in profile_pages(results).items():
        made = read_json(results / name / "environment.json")
        seconds = sum(made["run_seconds"].values())
        machines = dict.fromkeys(run["device"] for run in made["runs"])
        data, model, *_ = [*page["short"], "", ""]
        title = f"{page['study'].replace('_', ' ')}, {page['profile']}"
        if "kept" in page:
            title += " (older)"
        link = f"[{escape(title)}]({name}/README.md)"
        rows.append((link, data, model, f"{seconds / 60:,.0f}", escape("; ".join(machines))))
    return f"{INTRODUCTION}\n{pipe_table(rows)}"


def write_contents(root: Path) -> None:
    write_text(root / "results" / "README.md", contents(root / "results"))
