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
from lib.analysis.names import study_name
from lib.analysis.predictions import Predictions
from lib.errors import InputError
from lib.publish.blocks import page_files
from lib.publish.layout import HIDDEN, findings_of, layout
from lib.publish.record import citations, code, histories, page_of, run_blocks, text
from lib.publish.render import DEMO, footnote, is_demo
from lib.publish.run_titles import run_names
from lib.publish.site_blocks import (
    BESIDE,
    SUFFIXES,
    card,
    fold,
    how_made,
    list_of_runs,
    with_origin,
)
from lib.publish.swap import new_folder, read_unchanged
from lib.runs.files import read_json
from lib.runs.paths import ROOT

SHOWN = ("results", "notebooks", "docs")  # folders that the site may have files of
COPIED = (".png", ".csv", ".json")  # files that docs and other texts may link to


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
    for file in page_files(root / "results"):
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
    site.add_document(document, blocks, name, "Notebooks", study_name(Path(document).name))


def add_page(site: Site, name: str, page: dict) -> None:
    """A study's page with its files, and a page for each of its runs."""
    files = [f"{b['name']}.{SUFFIXES[b['kind']]}" for b in page["blocks"] if b["kind"] in SUFFIXES]
    files += [file for file in BESIDE if (site.root / name / file).exists()]
    for file in files:
        site.add_file(f"{name}/{file}")
    names = run_names(page["runs"])
    add_runs(site, name, page, names)
    shown = [with_origin(b, names) for b in page["blocks"] if b["kind"] not in HIDDEN]
    answer, study, folds = layout(shown)
    findings, evidence = findings_of(answer)
    blocks = [text(f"# {page['title']} #"), *[block | {"lead": True} for block in findings[:1]]]
    blocks.append(text(" · ".join([*page["short"], f"[{len(names)} runs](#runs)"])))
    blocks += [text(DEMO)] * is_demo(page) + findings[1:] + evidence
    blocks += [{"kind": "said", "text": sentence} for sentence in footnote(page)] + study + folds
    blocks += [fold("How it was made", how_made(name, page)), list_of_runs(page, names)]
    nav = "Studies on demo corpora" if is_demo(page) else "Studies"
    title = f"{study_name(page['study'])}, {page['folder']}"
    site.add_document(f"{name}/index", blocks, f"{name}/README.md", nav, title)


def add_runs(site: Site, name: str, page: dict, names: dict[str, str]) -> None:
    """A page for each run of a study's page."""
    predictions = Predictions.read(site.source(f"{name}/predictions.parquet"))
    environment = read_json(site.source(f"{name}/environment.json"))
    curves = histories(site.root / name / "history.csv")
    for key, facts in page["runs"].items():
        links = []
        for label, anchor in citations(page, key):
            links.append(f"[{escape(words(label))}](../index.html#{anchor})")
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
    read_unchanged(lambda: page_files(root / "results"), lambda: _build_once(out, root))
    return len(list(out.rglob("*.html")))


def _build_once(out: Path, root: Path) -> None:
    from lib.publish.site_sphinx import run_sphinx

    site = collect(root)
    with tempfile.TemporaryDirectory() as work, new_folder(out) as part:
        run_sphinx(site.documents, site.targets, Path(work), part)
        for name in site.files:
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(site.source(name), part / name)
