"""What the README shows of all published pages, read from their page.json."""

import re
from pathlib import Path

import pandas as pd

from lib.analysis.display import words
from lib.publish.blocks import page_files
from lib.publish.layout import findings_of, layout
from lib.publish.older import is_older
from lib.publish.record import page_of
from lib.publish.render import is_demo
from lib.runs.files import write_text

LARGEST_FIRST = ("paper", "full", "base", "small")  # profiles; then others
TABLE = re.compile(r"(<!-- answers: (real|demo) -->\n\n)(?:\|.*\n)*")
OLDER = re.compile(r"(<!-- older pages -->\n\n)(?:Older pages.*\n)?")


def profile_pages(results: Path) -> dict[str, dict]:
    """The pages of profiles without overrides, by `study/profile`, the largest profiles of a
    study first."""
    pages = {}
    for file in page_files(results):
        page = page_of(file.parent)
        if page["folder"] == page["profile"]:
            pages[f"{page['study']}/{page['folder']}"] = page

    def order(name: str) -> tuple[str, int, str]:
        study, _, profile = name.partition("/")
        size = (*LARGEST_FIRST, profile).index(profile)
        return study, size, profile

    return {name: pages[name] for name in sorted(pages, key=order)}


def answer_rows(pages: dict[str, dict], *, demo: bool) -> list[str]:
    """A Markdown table of each study's question and its answer: from the largest profile on real
    data, which is named, or from the demo."""
    columns = ["question", "answer"] if demo else ["question", "data", "answer"]
    rows = {}
    for name, page in pages.items():
        if is_demo(page) == demo and not is_older(page):
            findings, _ = findings_of(layout(page["blocks"])[0])
            cells = {
                "question": f"[{page['title']}](results/{name}/README.md)",
                "data": page["short"][0],
                "answer": findings[0]["text"].strip().replace("\n", " ") if findings else "–",
            }
            rows.setdefault(page["study"], [cells[column] for column in columns])
    lines = [columns, ["---"] * len(columns), *rows.values()]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def with_answers(readme: str, pages: dict[str, dict]) -> str:
    """The README with the tables of answers below its remarks `answers: real` and `answers: demo`
    made anew, and the line below `older pages`."""

    def table(match: re.Match) -> str:
        rows = answer_rows(pages, demo=match[2] == "demo")
        return match[1] + "\n".join(rows) + "\n"

    return OLDER.sub(lambda match: match[1] + older_line(pages), TABLE.sub(table, readme))


def older_line(pages: dict[str, dict]) -> str:
    """A line that leads to all older pages; empty where there is none."""
    links = [
        f"[{words(page['study'])} ({page['folder']})](results/{name}/README.md)"
        for name, page in pages.items()
        if is_older(page)
    ]
    if not links:
        return ""
    says = "Older pages, with known flaws that each lists at its top"
    return f"{says}: {', '.join(links)}.\n"


def overview_table(pages: dict[str, dict]) -> pd.DataFrame:
    """Of each page on real data its best model and best reference (see `plots.overview`), those
    first that gain most."""
    rows = []
    for page in pages.values():
        block = next((block for block in page["blocks"] if block["kind"] == "best"), None)
        if block is None or is_demo(page) or is_older(page):
            continue
        facts = block["facts"]
        data, model, *_ = page["short"]
        if " and " in model:  # several numbers of layers
            model = model.partition(",")[0]
        row = {"data": data, "model": model, "metric": facts["metric"]}
        for role in ("best", "reference"):
            side = facts.get(role, {})
            row[role] = side.get("name")
            row |= {f"{role}_{name}": side.get(name) for name in ("score", "low", "high")}
        rows.append(row)
    table = pd.DataFrame(rows)
    if len(table):
        gain = table["best_score"] - table["reference_score"].astype(float)
        table = table.loc[gain.sort_values(ascending=False, kind="stable").index]
    return table.reset_index(drop=True)


def refresh_readme(root: Path) -> pd.DataFrame:
    """Make the README's answers anew from the pages of `results/`; returns the rows of the figure
    of all pages."""
    pages = profile_pages(root / "results")
    readme = root / "README.md"
    write_text(readme, with_answers(readme.read_text(encoding="utf-8"), pages))
    return overview_table(pages)
