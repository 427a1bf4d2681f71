"""The published pages as a static site, made by Sphinx: no server, no network.

The site mirrors the repository: `results/<study>/<folder>/page.json` becomes a page beside its
figures, tables and predictions, with a page for each of its runs in `runs/`; docs and notebooks
become pages too. Nothing but files of these three folders comes into it.
"""

import dataclasses
import shutil
import tempfile
from pathlib import Path

from lib.analysis.display import escape, words
from lib.analysis.predictions import Predictions
from lib.errors import InputError
from lib.publish.record import (
    citations,
    code,
    histories,
    literal,
    page_of,
    run_blocks,
    run_names,
    table,
    text,
)
from lib.publish.render import DEMO, is_demo
from lib.publish.swap import new_folder, read_unchanged
from lib.runs.files import read_json
from lib.runs.store import ROOT

PAGES = "results/*/[!.]*/page.json"
SHOWN = ("results", "notebooks", "docs")  # folders that the site may have files of
BESIDE = ("predictions.parquet", "history.csv", "environment.json", "page.json")  # a page
SUFFIXES = {"table": "csv", "audit": "csv", "measured": "csv", "data": "csv", "figure": "png"}
HIDDEN = ("data", "runs")  # kinds of blocks that a page does not show
COPIED = (".png", ".csv", ".json")  # files that docs and other texts may link to
FIRST_ROWS = 6  # of a table on the first page


@dataclasses.dataclass
class Site:
    """What will be in the site: its `documents` (name -> blocks), the `files` that are copied,
    the `targets` of links (file of the repository -> file of the site), and the parts of the
    navigation (caption -> (title or none, document) each)."""

    root: Path
    documents: dict[str, list[dict]] = dataclasses.field(default_factory=dict)
    files: list[str] = dataclasses.field(default_factory=list)
    targets: dict[str, str] = dataclasses.field(default_factory=dict)
    nav: dict[str, list[tuple]] = dataclasses.field(default_factory=dict)

    def source(self, name: str) -> Path:
        """A file of the repository. Raises InputError where it is none that may be shown."""
        path = self.root / name
        if Path(name).parts[0] not in SHOWN or path.resolve() != self.root.resolve() / name:
            raise InputError(f"{path} is a link, or lies outside {', '.join(SHOWN)}")
        if not path.is_file():
            raise InputError(f"{path} is named by a page, and there is no such file")
        return path

    def add_file(self, name: str) -> None:
        """Copy a file to where it is in the repository."""
        self.source(name)
        self.files.append(name)
        self.targets[name] = name

    def add_document(self, name: str, blocks: list[dict], source: str, nav: str, title="") -> None:
        """A page made from the file `source`, in a part of the navigation (or in none)."""
        self.documents[name] = blocks
        self.targets |= {source: f"{name}.html", f"{name}.html": f"{name}.html"}
        if nav:
            self.nav.setdefault(nav, []).append((title or None, name))


def collect(root: Path) -> Site:
    """All that the site of a repository shows. Raises InputError."""
    site = Site(root)
    pages = {}
    for file in sorted(root.glob(PAGES)):
        name = file.parent.relative_to(root).as_posix()
        if "--" not in file.parent.name:  # which are unpublished
            pages[name] = page_of(site.source(f"{name}/page.json").parent)
    for name, page in sorted(pages.items(), key=lambda item: is_demo(item[1])):
        try:
            add_page(site, name, page)
        except (KeyError, TypeError) as error:
            raise InputError(f"{name}/page.json is damaged ({error!r}); publish it again") from None
    for file in sorted([*root.glob("docs/**/*.*"), *root.glob("results/**/*.*")]):
        name = file.relative_to(root).as_posix()
        if name.rpartition("/")[0] in pages or "--" in name or "/." in name:
            continue
        if file.suffix == ".md":
            add_text(site, name)
        elif file.suffix in COPIED:
            site.add_file(name)
    for file in sorted(root.glob("notebooks/*.ipynb")):
        add_notebook(site, f"notebooks/{file.name}")
    site.add_document("index", front(site, pages), "", "")
    return site


def add_text(site: Site, name: str) -> None:
    """A Markdown file as a page."""
    markdown = site.source(name).read_text(encoding="utf-8")
    markdown = markdown.replace("<details>\n<summary>Details</summary>", "## Details")
    folder, _, file = name.rpartition("/")
    document = f"{folder}/{'index' if file == 'README.md' else file.removesuffix('.md')}"
    nav = "Documentation" if folder.startswith("docs") else "Other pages"
    site.add_document(document, [text(markdown.replace("</details>", ""))], name, nav)


def add_notebook(site: Site, name: str) -> None:
    """A notebook, and the module beside it, as a page of texts and code."""
    blocks = []
    for cell in read_json(site.source(name))["cells"]:
        source = "".join(cell["source"])
        blocks.append(code(source, "python") if cell["cell_type"] == "code" else text(source))
    document = name.removesuffix(".ipynb")
    for file in sorted(site.root.glob(f"{document}*.py")):
        module = f"notebooks/{file.name}"
        source = site.source(module).read_text(encoding="utf-8")
        blocks += [text(f"## {escape(file.name)} #"), code(source, "python")]
        site.targets[module] = f"{document}.html"
    site.add_document(document, blocks, name, "Notebooks", words(Path(document).name))


def add_page(site: Site, name: str, page: dict) -> None:
    """A study's page with its files, and a page for each of its runs."""
    files = [f"{b['name']}.{SUFFIXES[b['kind']]}" for b in page["blocks"] if b["kind"] in SUFFIXES]
    files += [file for file in BESIDE if (site.root / name / file).exists()]
    for file in files:
        site.add_file(f"{name}/{file}")
    names = run_names(page["runs"])
    add_runs(site, name, page, names)
    shown: dict[str, list] = {"answer": [], "": [], "details": []}
    for block in page["blocks"]:
        if block["kind"] not in HIDDEN:
            shown[block["section"]].append(with_origin(block, names))
    blocks = [text(f"# {page['title']} #\n\n{page['summary']} [{len(names)} runs](#runs).")]
    blocks += [text(DEMO)] * is_demo(page) + shown["answer"] + shown[""] + how_made(name, page)
    if shown["details"]:
        blocks += [text("## Details"), *shown["details"]]
    runs = []
    for key, run in page["runs"].items():
        outcome = run.get("outcome") or run["status"]
        runs.append([f"[{key}](runs/{key}.html)", escape(names[key]), escape(outcome)])
    blocks += [text("## Runs"), table(["run", "what", "outcome"], runs)]
    nav = "Studies on demo corpora" if is_demo(page) else "Studies"
    title = f"{words(page['study'])}, {page['folder']}"
    site.add_document(f"{name}/index", blocks, f"{name}/README.md", nav, title)


def how_made(name: str, page: dict) -> list[dict]:
    """How a page is made again."""
    notebook = f"[The notebook](../../../notebooks/{page['study']}.ipynb)"
    verify = f"python -m lib verify {name}"
    rows = literal([[parameter, value] for parameter, value in page["parameters"].items()])
    links = ", ".join(f"[{file}]({file})" for file in BESIDE)
    return [
        text("## How it was made"),
        code(f"{page['command']}\n{verify}  # compares what is published: see below", "sh"),
        text(f"{notebook} is executed with these parameters. It leaves {links}."),
        table(["parameter", "value"], rows),
    ]


def with_origin(block: dict, names: dict[str, str], up: str = "") -> dict:
    """A block with links to its runs and files; `up` leads to the folder of its page."""
    if block["kind"] == "text":
        return block

    def link(cell: str) -> str:
        return f"[{cell}]({up}runs/{cell}.html)" if cell in names else cell

    runs = [(names[key], f"{up}runs/{key}.html") for key in block.get("runs", ())]
    files = [("Predictions", f"{up}predictions.parquet")] if runs else []
    file = f"{up}{block['name']}.{SUFFIXES.get(block['kind'], '')}"
    if file.endswith(".csv"):
        files.insert(0, ("CSV", file))
    columns = [[link(cell) for cell in column] for column in block.get("columns", ())]
    origin = {"runs": runs, "files": files}
    return block | {"file": file, "columns": columns, "origin": origin}


def add_runs(site: Site, name: str, page: dict, names: dict[str, str]) -> None:
    """A page for each run of a study's page."""
    predictions = Predictions.read(site.source(f"{name}/predictions.parquet"))
    environment = read_json(site.source(f"{name}/environment.json"))
    curves = histories(site.root / name / "history.csv")
    for key, facts in page["runs"].items():
        links = []
        for label, anchor in citations(page, key):
            links.append(f"[{escape(label)}](../index.html#{anchor})")
        heading = text(f"# {escape(names[key])} #\n\nA run of [{page['title']}](../index.html)")
        measured = {"history": curves.get(key), "predictions": predictions}
        blocks = run_blocks(key, facts, cited=links, environment=environment, **measured)
        site.add_document(f"{name}/runs/{key}", [heading, *blocks], "", "")


def front(site: Site, pages: dict[str, dict]) -> list[dict]:
    """The first page: of each page its question, first finding, figure (or table) and command."""
    number = sum(len(page["runs"]) for page in pages.values())
    lead = (
        f"# Fine-tuning studies\n\n{len(pages)} pages and their {number} runs. Under each table "
        "and finding stand the runs that it is computed from; a run has a page of its own, with "
        "its configuration, scores and history."
    )
    blocks = [text(lead)]
    for heading, demo in (("Findings", False), ("Findings on made-up demo corpora", True)):
        shown = [(name, page) for name, page in pages.items() if is_demo(page) == demo]
        if shown:
            blocks.append(text(f"## {heading}"))
        for name, page in shown:
            blocks += card(name, page)
    for caption, entries in site.nav.items():
        blocks.append({"kind": "nav", "caption": caption, "entries": entries})
    return blocks


def card(name: str, page: dict) -> list[dict]:
    """A page on the first page."""
    order = ("answer", "", "details")
    ordered = sorted(page["blocks"], key=lambda block: order.index(block["section"]))
    blocks = [text(f"### [{page['title']}]({name}/index.html) #")]
    first = {block["kind"]: block for block in reversed(ordered)}
    for block in (first.get("finding"), first.get("figure") or first.get("table")):
        if block:
            shown = with_origin(block, run_names(page["runs"]), up=f"{name}/")
            columns = [column[: 2 + FIRST_ROWS] for column in shown["columns"]]
            blocks.append(shown | {"anchor": "", "note": "", "columns": columns})
    return [*blocks, code(page["command"], "sh")]


def build(out: Path, root: Path = ROOT) -> int:
    """Build the site of a repository's pages in the folder `out`; returns how many HTML files it
    has.

    An earlier site is replaced in one step, once the new one is whole. Raises InputError where
    `out` is something else, a page names a file that is not there, or Sphinx is missing.
    """
    if out.exists() and not (out / "searchindex.js").is_file():
        raise InputError(f"{out} is there and is no site; remove it, or name another folder")
    try:
        import lib.publish.site_sphinx  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(f"The site needs {error.name}: `make site` installs it") from None
    read_unchanged(lambda: root.glob(PAGES), lambda: _build_once(out, root))
    return len(list(out.rglob("*.html")))


def _build_once(out: Path, root: Path) -> None:
    from lib.publish.site_sphinx import run_sphinx

    site = collect(root)
    with tempfile.TemporaryDirectory() as work, new_folder(out) as part:
        run_sphinx(site.documents, site.targets, Path(work), part)
        for name in site.files:
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(site.source(name), part / name)
