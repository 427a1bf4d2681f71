"""The published pages as a static site: each page is one file with its style in it; no server, no
network.

The site mirrors the repository: `results/<page>/README.md` becomes `results/<page>/index.html`,
with its figures, tables and predictions beside it and a page for each run in `runs/`; linked texts
and notebooks become pages too.
"""

import html
import json
import os
import re
import shutil
from pathlib import Path
from string import Template

import pandas as pd

from lib.analysis.display import cell, kind_of, title
from lib.analysis.predictions import Predictions
from lib.errors import InputError
from lib.metrics import METRICS
from lib.publish.record import record, table
from lib.publish.site_markdown import MD, SPEC, no_citation, notebook_text, render, slug
from lib.publish.site_runs import Citations
from lib.runs.baselines import NAMES
from lib.runs.store import ROOT

UNIT = re.compile(r"(?<=\d) (?=%)")  # a number stays with its percent sign at a line's end
FINDING = re.compile(r"<!-- finding .* -->\n\n(.+)")
ROW = re.compile(  # of the README's findings
    r"^\| (.+?) \| .* \| \[page\]\((\S+)\) \| (.+) \|$", flags=re.M
)


def target(source: Path) -> Path:
    """Where a file of the repository lies in the site."""
    if source.name == "README.md":
        return source.with_name("index.html") if source.parent.parts else Path("about.html")
    return source.with_suffix(".html") if source.suffix in (".md", ".ipynb") else source


def plotted(folder: Path, text: str) -> tuple[pd.DataFrame, str, str] | None:
    """The first table of a page that has scores with intervals, its metric, and the options it
    was made with."""
    for kind, name, function, options in SPEC.findall(text):
        if kind != "table" or function == "confusion_table":  # whose columns are classes
            continue
        rows = pd.read_csv(folder / f"{name}.csv")
        scored = [column for column in rows if column in METRICS and f"{column}_low" in rows]
        metric = next(iter(scored), None)
        if metric and "compared" not in rows:
            return rows, metric, options
    return None


def bars(folder: Path, text: str, most: int = 8) -> str:
    """The first table of a page that has scores with intervals, as a small plot in the page's
    own colours and type."""
    scores = plotted(folder, text)
    if scores is None:
        return ""
    rows, metric, options = scores
    first = next(i for i, c in enumerate(rows) if c in ("seeds", "documents", metric))
    names = rows.iloc[:, :first].astype(str).agg(" · ".join, axis=1)
    compared = names != NAMES["majority"]  # which is far below, and would squeeze the others
    rows, names = rows[compared].head(most), names[compared]
    low, high = rows[f"{metric}_low"].min(), rows[f"{metric}_high"].max()
    lines = ""
    for label, row in zip(names, rows.to_dict("records"), strict=False):
        left, middle, right = (
            100 * (row[f"{metric}{end}"] - low) / (high - low) for end in ("_low", "", "_high")
        )
        kind = "bar reference" if label in NAMES.values() else "bar"
        interval = f'<i style="left:{left:.1f}%;width:{right - left:.1f}%"></i>'
        track = f'<span class="track">{interval}<b style="left:{middle:.1f}%"></b></span>'
        score = f"<span>{cell(row[metric], metric)}</span>"
        lines += f'<div class="{kind}"><span>{html.escape(label)}</span>{track}{score}</div>'
    split = json.loads(options).get("split", "test").title()
    unit = " in %" if kind_of(metric) == "share" else ""
    caption = f"{split} {title(metric)}{unit}, with its 95 % interval"
    if compared.sum() > most:
        caption += f"; the first {most} of {compared.sum()}"
    return f'<figure class="bars">{lines}<figcaption>{caption}</figcaption></figure>'


class Site:
    """A site in the making: `out` is its folder, `root` that of the repository."""

    def __init__(self, out: Path, root: Path):
        self.out, self.root = out, root
        self.documents: set[Path] = set()  # that are in the site
        self.shell = Template(Path(__file__).with_name("site.html").read_text(encoding="utf-8"))
        self.style = Path(__file__).with_name("site.css").read_text(encoding="utf-8")
        readme = (root / "README.md").read_text(encoding="utf-8")
        self.named = {Path(page): (name, command) for name, page, command in ROW.findall(readme)}
        paths = [path.relative_to(root) for path in sorted((root / "results").rglob("README.md"))]
        pages = [path for path in paths if "--" not in path.parent.name]  # others are unpublished
        self.pages = [page for page in self.named if page in pages]
        self.pages += [page for page in pages if page not in self.named]

    def write(
        self, path: Path, title: str, body: str, *, trail=(), contents=(), kind: str = "text"
    ) -> None:
        """Write the page `path`; `trail` leads to it as (title, path), `contents` are its
        (tag, anchor, heading)."""
        links = [
            f'<a href="{between(path, to)}">{html.escape(name)}</a>'
            for name, to in [("Findings", Path("index.html")), *trail]
        ]
        items = [
            f'<li class="{tag}"><a href="#{anchor}">{html.escape(heading)}</a></li>'
            for tag, anchor, heading in contents
        ]
        label = 'class="contents" aria-label="On this page"'
        aside = f"<nav {label}><ul>{''.join(items)}</ul></nav>\n" if items else ""
        page = self.shell.substitute(
            title=html.escape(title),
            style=self.style,
            about=between(path, Path("about.html")),
            trail=" / ".join(links),
            aside=aside,
            body=UNIT.sub("&nbsp;", body),
            kind=kind,
        )
        (self.out / path).parent.mkdir(parents=True, exist_ok=True)
        (self.out / path).write_text(page, encoding="utf-8")

    def link(self, href: str, source: Path) -> str:
        """A link in `source` as one in its page; the file it leads to comes into the site."""
        path, hash_, anchor = href.partition("#")
        if not path or re.match(r"[a-z]+:", path) or (self.out / source.parent / path).is_file():
            return href
        file = Path(os.path.normpath(source.parent / path))
        if file.parts[0] == ".." or not (self.root / file).is_file():
            raise InputError(f"{source} links to {href}, which is no file of this repository")
        self.document(file)
        return between(target(source), target(file)) + hash_ + anchor

    def render(self, text: str, source: Path, cite=no_citation) -> tuple[str, str, list]:
        """Title, HTML and contents of the text of `source`."""
        folder = self.out / target(source).parent
        title, body, contents = render(text, folder, lambda href: self.link(href, source), cite)
        return title or source.name, body, contents

    def document(self, source: Path) -> None:
        """Put a file of the repository into the site, once."""
        if source in self.documents:
            return
        self.documents.add(source)
        if source.suffix not in (".md", ".ipynb"):
            (self.out / source).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.root / source, self.out / source)
            return
        text = (self.root / source).read_text(encoding="utf-8")
        if source in self.pages:
            self.study(source, text)
            return
        if source.suffix == ".ipynb":
            text = notebook_text(text)
        title, body, contents = self.render(text, source)
        self.write(target(source), title, body, contents=contents)

    def study(self, source: Path, text: str) -> None:
        """A study's page, and a page for each of its runs."""
        folder, copy = self.root / source.parent, self.out / source.parent
        trail = [(str(source.parent.relative_to("results")), target(source))]
        copy.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            if file.is_file() and file.suffix != ".md":
                shutil.copyfile(file, copy / file.name)
        cite, citations = no_citation, None
        if (folder / "predictions.parquet").is_file():
            citations = Citations(Predictions.read(folder / "predictions.parquet"))
            cite = citations.cite
            (copy / "runs").mkdir(exist_ok=True)
            for key in citations.names:  # a link is looked up before its page is written
                (copy / "runs" / f"{key}.html").touch()
            text += "\n## Runs\n\n" + table(["run", "what", "outcome"], citations.rows())
        title, body, contents = self.render(text, source, cite)
        for key in citations.names if citations else ():
            body = body.replace(f"<td>{key}</td>", f'<td><a href="runs/{key}.html">{key}</a></td>')
        self.write(target(source), title, body, trail=trail, contents=contents, kind="study")
        if citations:
            self.runs(source, citations, trail)

    def runs(self, source: Path, citations: Citations, trail: list) -> None:
        """A page for each run of a study's page."""
        folder = self.root / source.parent
        history = pd.read_csv(folder / "history.csv")
        environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
        for key, name in citations.names.items():
            rows = history[history["run"] == key]
            cited = citations.cited[key]
            text = record(key, name, citations.predictions, rows, environment, cited)
            path = source.parent / "runs" / f"{key}.md"
            title, body, _ = self.render(text, path)
            here = [*trail, (f"run {key}", target(path))]
            self.write(target(path), title, body, trail=here, kind="run")

    def front(self) -> None:
        """The first page: each page's first finding (or paragraph), its scores as a small plot,
        and the way on."""
        lead = MD.parse((self.root / "README.md").read_text(encoding="utf-8"))
        out = MD.renderer.render(lead[:6], MD.options, {})
        out += (
            f"<p>{len(self.pages)} pages. Under each table and finding stand the runs that it is "
            "computed from; a run has a page of its own, with its configuration, history and "
            "predictions.</p>"
        )
        real = [page for page in self.pages if page.parent.name != "demo"]
        made_up = [page for page in self.pages if page.parent.name == "demo"]
        for heading, pages in (("Findings", real), ("On made-up demo corpora", made_up)):
            if pages:
                cards = "".join(self.card(page) for page in pages)
                out += f'<h2 id="{slug(heading)}">{heading}</h2><div class="cards">{cards}</div>'
        self.write(Path("index.html"), lead[1].content, out, kind="front")

    def card(self, page: Path) -> str:
        """A page on the first page."""
        text = (self.root / page).read_text(encoding="utf-8")
        name, command = self.named.get(page, ("", ""))
        finding = FINDING.search(text)
        first = text.partition("\n\n")[2].partition("\n\n")[0]
        sentence = MD.renderInline(finding[1] if finding else first)
        title = html.escape(MD.parse(text)[1].content)
        question = f'<a href="{target(page).as_posix()}">{title}</a>'
        plot = bars((self.root / page).parent, text)
        return (
            f'<article><p class="name">{html.escape(name)}</p><h3>{question}</h3><p>{sentence}</p>'
            f'{plot}<p class="command">{MD.renderInline(command)}</p></article>'
        )


def between(page: Path, to: Path) -> str:
    """A link from one page to another."""
    return Path(os.path.relpath(to, page.parent)).as_posix()


def build(out: Path, root: Path = ROOT) -> int:
    """Build the site of a repository's pages in the folder `out`; returns how many HTML files it
    has.

    An earlier site is replaced once the new one is whole. Raises InputError where `out` is
    something else, or a page links to a file that is not there.
    """
    if out.exists() and not (out / "about.html").is_file():
        raise InputError(f"{out} is there and is no site; remove it, or name another folder")
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    site = Site(part, root)
    for page in (*site.pages, Path("README.md")):
        site.document(page)
    site.front()
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)
    return len(list(out.rglob("*.html")))
