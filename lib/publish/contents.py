"""The list of all published pages, in results/README.md."""

import re
from pathlib import Path

from lib.analysis.display import escape, pipe_table
from lib.analysis.names import study_name
from lib.publish.front import profile_pages
from lib.runs.files import read_json, write_text

TABLE = re.compile(r"(<!-- pages -->\n\n)(?:\|.*\n)*")
HEADER = (("page", "data", "model", "minutes", "machine"), ("---", "---", "---", "---:", "---"))


def contents(results: Path) -> str:
    """A Markdown table with a row for each page of `results`."""
    rows = list(HEADER)
    for name, page in profile_pages(results).items():
        made = read_json(results / name / "environment.json")
        seconds = sum(made["run_seconds"].values())
        machines = dict.fromkeys(run["device"] for run in made["runs"])
        data, model, *_ = [*page["short"], "", ""]
        title = f"{study_name(page['study'])}, {page['profile']}"
        link = f"[{escape(title)}]({name}/README.md)"
        rows.append((link, data, model, f"{seconds / 60:,.0f}", escape("; ".join(machines))))
    return pipe_table(rows)


def write_contents(root: Path) -> None:
    """Make the table below results/README.md's remark `pages` anew."""
    readme = root / "results" / "README.md"
    table = contents(root / "results")
    text = TABLE.sub(lambda match: match[1] + table, readme.read_text(encoding="utf-8"))
    write_text(readme, text)
