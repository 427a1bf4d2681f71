"""What the README and results/README.md show of all published pages, read from their page.json."""

import re
from pathlib import Path

import pandas as pd

from lib.analysis.display import escape, listed, pipe_table
from lib.analysis.names import study_name
from lib.publish.blocks import page_files
from lib.publish.layout import findings_of, layout
from lib.publish.record import page_of
from lib.publish.render import is_demo
from lib.runs.files import read_json, write_text

LARGEST_FIRST = ("paper", "full", "base", "small")  # profiles; then others
# real or demo, and of real ones, which studies: all, or those named
TABLE = re.compile(r"(<!-- answers: (real|demo)(?:, of ([\w, ]+))? -->\n\n)(?:\|.*\n)*")
LIST = re.compile(r"(<!-- pages -->\n\n)(?:\|.*\n)*")  # of all pages, in results/README.md


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


def names_by_study(pages: dict[str, dict], *, demo: bool) -> dict[str, list[str]]:
    """Of each study the names of its pages on real data, or on made-up texts; first the one
    that answers for it: the largest profile that compares what the study is about, if one does."""
    names: dict[str, list[str]] = {}
    for name, page in pages.items():
        if is_demo(page) == demo:
            names.setdefault(page["study"], []).append(name)
    return {
        study: sorted(of_study, key=lambda name: not compares(pages[name]))
        for study, of_study in names.items()
    }


def compares(page: dict) -> bool:
    """Whether a page has several of what its study is about, such as heads."""
    block = best_of(page) or {}
    by = block.get("arguments", {}).get("by")
    configs = [page["runs"][key]["config"] for key in block.get("runs", ())]
    choices = {str(config.get(by)) for config in configs if not config.get("reference")}
    return len(choices) > 1


def best_of(page: dict) -> dict | None:
    """The block of a page that has its best model beside its best reference."""
    return next((block for block in page["blocks"] if block["kind"] == "best"), None)


def answer_of(page: dict) -> str:
    findings, _ = findings_of(layout(page["blocks"])[0])
    return findings[0]["text"].strip().replace("\n", " ") if findings else "–"


def answers(pages: dict[str, dict], studies: list[str] | None = None) -> str:
    """A Markdown table of each study's question and its answer on real data, which is named; other
    pages on real data are linked beside. Of all studies, or of those named, in their order."""
    rows = [("question", "training data, model", "answer"), ("---", "---", "---")]
    names = names_by_study(pages, demo=False)
    for study in names if studies is None else studies:
        first, *others = names[study]
        page = pages[first]
        data = ", ".join(page["short"][:2]).replace(" training ", " ")
        if others:
            data += f"; also {listed(link(pages[name]['folder'], name) for name in others)}"
        rows.append((link(page["title"], first), data, answer_of(page)))
    return pipe_table(rows)


def demo_answers(pages: dict[str, dict]) -> str:
    """A Markdown table of each study and its answer on made-up texts."""
    rows = [("study", "answer"), ("---", "---")]
    for study, (name, *_) in names_by_study(pages, demo=True).items():
        rows.append((link(study_name(study), name), answer_of(pages[name])))
    return pipe_table(rows)


def link(text: str, name: str) -> str:
    """Text that leads to the page of a `study/profile`."""
    return f"[{text}](results/{name}/README.md)"


def with_answers(readme: str, pages: dict[str, dict]) -> str:
    """The README with the tables of answers below its remarks made anew: `answers: real`,
    `answers: real, of study, study` and `answers: demo`."""

    def table(match: re.Match) -> str:
        remark, kind, studies = match.groups()
        if kind == "demo":
            return remark + demo_answers(pages)
        return remark + answers(pages, studies and studies.split(", "))

    return TABLE.sub(table, readme)


def overview_table(pages: dict[str, dict]) -> pd.DataFrame:
    """Of each page on real data its best model and best reference (see `plots.overview`), those
    first that gain most."""
    rows = []
    for page in pages.values():
        block = best_of(page)
        if block is None or is_demo(page):
            continue
        facts = block["facts"]
        data, model, *_ = page["short"]
        if " and " in model:  # several numbers of layers
            model = model.partition(",")[0]
        elif "; " in model:  # several models: the one that is best
            model = facts["best"]["name"]
        study = study_name(page["study"])
        if study.casefold()[:4] == data.casefold()[:4]:  # which names the corpus
            data = data.partition(", ")[2]
        if "labelled_texts" in facts:  # of several numbers, the one that scores are shown of
            data = f"{data.partition(',')[0]}, {facts['labelled_texts']:,} texts"
        data = f"{study}: {data.replace(' training ', ' ')}"
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


def contents(results: Path) -> str:
    """A Markdown table with a row for each page of `results`."""
    columns = ("page", "data", "model", "minutes", "machine")
    rows = [columns, ("---", "---", "---", "---:", "---")]
    for name, page in profile_pages(results).items():
        made = read_json(results / name / "environment.json")
        seconds = sum(made["run_seconds"].values())
        machines = dict.fromkeys(run["device"] for run in made["runs"])
        data, model, *_ = [*page["short"], "", ""]
        title = escape(f"{study_name(page['study'])}, {page['profile']}")
        minutes = f"{seconds / 60:,.0f}"
        rows.append(
            (f"[{title}]({name}/README.md)", data, model, minutes, escape("; ".join(machines)))
        )
    return pipe_table(rows)


def refresh_contents(root: Path) -> None:
    """Make the table below results/README.md's remark `pages` anew."""
    readme = root / "results" / "README.md"
    table = contents(root / "results")
    text = LIST.sub(lambda match: match[1] + table, readme.read_text(encoding="utf-8"))
    write_text(readme, text)
