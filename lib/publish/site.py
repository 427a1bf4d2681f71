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
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from string import Template

import nbformat
import pandas as pd
from markdown_it import MarkdownIt
from PIL import Image

from lib.analysis.predictions import Predictions
from lib.errors import InputError
from lib.publish.page import SHARES, cell, compute
from lib.publish.record import named, record, shows, table
from lib.runs.baselines import NAMES
from lib.runs.store import ROOT

UNIT = re.compile(r"(?<=\d) (?=%)")  # a number stays with its percent sign at a line's end
MD = MarkdownIt("commonmark", {"html": True}).enable("table")
SPEC = re.compile(r"<!-- (table|finding|audit|measured) (\w+) = (\w+) (\{.*\}) -->")
FINDING = re.compile(r"<!-- finding .* -->\n\n(.+)")
ROW = re.compile(
    r"^\| (.+?) \| .* \| \[page\]\((\S+)\) \| (.+) \|$", flags=re.M
)  # of the README's findings
SPREAD = re.compile(
    r"((?: ± [\d.,]+)?(?: \[[^\[\]<]+\])?)</td>"
)  # what follows a score in its cell


def target(source: Path) -> Path:
    """Where a file of the repository lies in the site."""
    if source.name == "README.md":
        return source.with_name("index.html") if source.parent.parts else Path("about.html")
    return source.with_suffix(".html") if source.suffix in (".md", ".ipynb") else source


def slug(text: str) -> str:
    return re.sub(r"\W+", "-", text.lower()).strip("-")


def blocks(tokens: list):
    """The outermost blocks of a parsed text, each a list of tokens."""
    start = depth = 0
    for end, token in enumerate(tokens, 1):
        depth += token.nesting
        if depth == 0:
            yield tokens[start:end]
            start = end


def emphasis(block: list) -> list:
    """What a paragraph says that is set in italics as a whole, as a figure's caption is."""
    inside = block[1].children if len(block) == 3 and block[1].type == "inline" else []
    return (
        inside[1:-1]
        if inside and (inside[0].type, inside[-1].type) == ("em_open", "em_close")
        else []
    )


def bars(folder: Path, text: str, most: int = 8) -> str:
    """The first table of a page that has scores with intervals, as a small plot in the page's
    own colours and type."""
    for kind, name, _, options in SPEC.findall(text):  # noqa: B007
        rows = pd.read_csv(folder / f"{name}.csv") if kind == "table" else pd.DataFrame()
        metric = next((c for c in rows if f"{c}_low" in rows), None)
        if metric and "compared" not in rows:
            break
    else:
        return ""
    first = next(i for i, c in enumerate(rows) if c in ("seeds", "documents", metric))
    names = rows.iloc[:, :first].astype(str).agg(" · ".join, axis=1)
    kept = names != NAMES["majority"]  # far below all else: it would squeeze what is to be compared
    rows, names = rows[kept].head(most), names[kept]
    low, high = rows[f"{metric}_low"].min(), rows[f"{metric}_high"].max()
    drawn = ""
    for label, row in zip(names, rows.to_dict("records"), strict=False):
        left, middle, right = (
            100 * (row[f"{metric}{end}"] - low) / (high - low) for end in ("_low", "", "_high")
        )
        drawn += f'<div class="bar{" reference" * (label in NAMES.values())}"><span>{html.escape(label)}</span>'
        drawn += f'<span class="track"><i style="left:{left:.1f}%;width:{right - left:.1f}%"></i>'
        drawn += f'<b style="left:{middle:.1f}%"></b></span><span>{cell(row[metric], metric)}</span></div>'
    split, words = (
        json.loads(options).get("split", "test").title(),
        metric.replace("_", " ").replace("f1", "F1"),
    )
    told = f"{split} {words}{' in %' * (metric in SHARES)}, with its 95 % interval"
    more = f"; the first {most} of {kept.sum()}" if kept.sum() > most else ""
    return f'<figure class="bars">{drawn}<figcaption>{told}{more}</figcaption></figure>'


class Site:
    """A site in the making: `out` is its folder, `root` that of the repository."""

    def __init__(self, out: Path, root: Path):
        self.out, self.root, self.done = out, root, set()
        self.shell = Template(Path(__file__).with_name("site.html").read_text(encoding="utf-8"))
        self.style = Path(__file__).with_name("site.css").read_text(encoding="utf-8")
        readme = (root / "README.md").read_text(encoding="utf-8")
        self.told = {Path(page): (name, command) for name, page, command in ROW.findall(readme)}
        found = (path.relative_to(root) for path in sorted((root / "results").rglob("README.md")))
        found = [
            path for path in found if "--" not in path.parent.name
        ]  # other parameters' are not published
        self.pages = [p for p in self.told if p in found] + [p for p in found if p not in self.told]

    def write(
        self, path: Path, title: str, body: str, *, trail=(), contents=(), kind: str = "text"
    ) -> None:
        """Write the page `path`; `trail` leads to it as (title, path), `contents` are its
        (level, anchor, heading)."""
        links = [("Findings", Path("index.html")), *trail]
        trail = " / ".join(
            f'<a href="{self.between(path, to)}">{html.escape(name)}</a>' for name, to in links
        )
        items = (
            f'<li class="{tag}"><a href="#{to}">{html.escape(name)}</a></li>'
            for tag, to, name in contents
        )
        listed = "".join(items)
        aside = (
            f'<nav class="contents" aria-label="On this page"><ul>{listed}</ul></nav>\n'
            if listed
            else ""
        )
        told = {
            "title": html.escape(title),
            "style": self.style,
            "about": self.between(path, Path("about.html")),
        }
        (self.out / path).parent.mkdir(parents=True, exist_ok=True)
        page = self.shell.substitute(
            told, trail=trail, aside=aside, body=UNIT.sub("&nbsp;", body), kind=kind
        )
        (self.out / path).write_text(page, encoding="utf-8")

    def between(self, page: Path, to: Path) -> str:
        return Path(os.path.relpath(to, page.parent)).as_posix()

    def link(self, href: str, source: Path) -> str:
        """A link in `source` as one in its page; the file it leads to comes into the site."""
        path, hash_, anchor = href.partition("#")
        if not path or re.match(r"[a-z]+:", path) or (self.out / source.parent / path).is_file():
            return href
        found = Path(os.path.normpath(source.parent / path))
        if found.parts[0] == ".." or not (self.root / found).is_file():
            raise InputError(f"{source} links to {href}, which is no file of this repository")
        self.document(found)
        return self.between(target(source), target(found)) + hash_ + anchor

    def document(self, source: Path) -> None:
        """Put a file of the repository into the site, once."""
        if source in self.done:
            return
        self.done.add(source)
        text = (
            (self.root / source).read_text(encoding="utf-8")
            if source.suffix in (".md", ".ipynb")
            else None
        )
        if source in self.pages:
            self.study(source, text)
        elif text is None:
            (self.out / source).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.root / source, self.out / source)
        else:
            if source.suffix == ".ipynb":
                cells = nbformat.reads(text, as_version=4).cells
                text = "\n\n".join(
                    f"```python\n{c.source}\n```" if c.cell_type == "code" else c.source
                    for c in cells
                )
            title, body, contents = self.render(text, source)
            self.write(target(source), title, body, contents=contents)

    def render(self, text: str, source: Path, cite=lambda *_: "") -> tuple[str, str, list]:
        """Title, HTML and contents of a text.

        What `cite(kind, name, function, arguments, body)` says of its runs follows each table,
        finding and figure.
        """
        tokens, out, contents, spec = MD.parse(text), [], [], ()
        for token in (child for t in tokens for child in t.children or []):
            for name in {"href", "src"} & set(token.attrs):
                token.attrs[name] = self.link(token.attrs[name], source)
        for block, after in pairwise([*blocks(tokens), []]):
            found, inside = (
                SPEC.match(block[0].content),
                block[1].children or [] if len(block) == 3 else [],
            )
            if found:
                spec = found.groups()
                continue
            if block[0].type == "heading_open":
                words = "".join(c.content for c in inside)
                contents.append((block[0].tag, slug(words), words))
                block[0].attrs["id"] = slug(words)
            shown = MD.renderer.render(block, MD.options, {})
            if block[0].type == "table_open":
                shown = SPREAD.sub(lambda m: f"<small>{m[1]}</small></td>" if m[1] else m[0], shown)
                name = spec[1] if spec else str(len(out))
                shown = f'<div class="scroll" role="region" tabindex="0" aria-label="Table {name}">{shown}</div>'
                shown = f'<div id="table-{name}" class="table">{shown}{cite(*spec, shown) if spec else ""}</div>'
                spec = ()
            elif spec:
                name = str(1 + sum('class="finding"' in piece for piece in out))
                runs, spec = cite("finding", name, *spec[2:], shown), ()
                shown = f'<div id="finding-{name}" class="finding">{shown}{runs}</div>'
            elif [c.type for c in inside] == ["image"]:
                shown = self.figure(inside[0], emphasis(after), target(source), cite)
            elif emphasis(block) and out[-1].startswith("<figure"):
                continue  # the caption, which its figure has taken
            out.append(shown)
        return next((words for *_, words in contents), source.name), "".join(out), contents[1:]

    def figure(self, image, caption: list, page: Path, cite) -> str:
        """An image with its size and its caption, which is its alternative text too."""
        src, words = image.attrs["src"], "".join(c.content for c in caption)
        name, alt = slug(src.rpartition(".")[0]), html.escape(f"{image.content}. {words}".strip())
        with Image.open(self.out / page.parent / src) as picture:
            width, height = (3 * n // 5 for n in picture.size)  # sharp where a pixel has two dots
        shown = (
            f'<a href="{src}"><img src="{src}" alt="{alt}" width="{width}" height="{height}"></a>'
        )
        told = MD.renderer.render(caption, MD.options, {})
        return f'<figure id="figure-{name}">{shown}<figcaption>{told} {cite("figure", name)}</figcaption></figure>'

    def study(self, source: Path, text: str) -> None:
        """A study's page, and a page for each of its runs."""
        folder, at = self.root / source.parent, self.out / source.parent
        trail = [(str(source.parent.relative_to("results")), target(source))]
        at.mkdir(parents=True, exist_ok=True)
        for file in (f for f in folder.iterdir() if f.is_file() and f.suffix != ".md"):
            shutil.copyfile(file, at / file.name)
        if not (folder / "predictions.parquet").is_file():
            title, body, contents = self.render(text, source)
            return self.write(
                target(source), title, body, trail=trail, contents=contents, kind="study"
            )
        predictions, cited = Predictions.read(folder / "predictions.parquet"), defaultdict(list)
        runs, names = predictions.runs, named(predictions.runs)
        (at / "runs").mkdir(exist_ok=True)
        for key in runs:  # a link is looked up before its page is written
            (at / "runs" / f"{key}.html").touch()

        def cite(
            kind: str, name: str, function: str = "", arguments: str = "{}", body: str = ""
        ) -> str:
            if kind == "figure":
                return '<a href="#runs">Runs</a>'
            csv = "" if kind == "finding" else f'<a href="{name}.csv">CSV</a>'
            if kind not in ("table", "finding"):
                return f'<div class="from">{csv}</div>'
            told, arguments = f"{function} {arguments}", json.loads(arguments)
            kept = compute(lambda p, **_: p, predictions, arguments).runs
            keys = [key for key, run in kept.items() if shows(run, arguments, body)]
            for key in keys:
                cited[key].append(f"[{kind} {name}](../index.html#{kind}-{name})")
            listed = "".join(
                f'<li><a href="runs/{key}.html">{html.escape(names[key])}</a></li>' for key in keys
            )
            summary = f"{len(keys)} run{'s' * (len(keys) != 1)}"
            how = f"<p>Computed by <code>{html.escape(told)}</code> from</p><ul>{listed}</ul>"
            files = f'{csv}<a href="predictions.parquet">Predictions</a>'
            return f'<div class="from"><details><summary>{summary}</summary>{how}</details>{files}</div>'

        rows = [
            [f"[{key}](runs/{key}.html)", names[key], r.get("outcome", r["status"])]
            for key, r in runs.items()
        ]
        text += "\n## Runs\n\n" + table(["run", "what", "outcome"], rows)
        title, body, contents = self.render(text, source, cite)
        for key in runs:
            body = body.replace(f"<td>{key}</td>", f'<td><a href="runs/{key}.html">{key}</a></td>')
        self.write(target(source), title, body, trail=trail, contents=contents, kind="study")
        history = pd.read_csv(folder / "history.csv")
        made = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
        for key in runs:
            told = record(
                key, names[key], predictions, history[history["run"] == key], made, cited[key]
            )
            path = source.parent / "runs" / f"{key}.md"
            title, body, _ = self.render(told, path)
            self.write(
                target(path), title, body, trail=[*trail, (f"run {key}", target(path))], kind="run"
            )

    def front(self) -> None:
        """The first page: each page's first finding (or paragraph), its scores as a small plot,
        and the way on."""
        lead = MD.parse((self.root / "README.md").read_text(encoding="utf-8"))
        out = MD.renderer.render(lead[:6], MD.options, {})
        out += f"<p>{len(self.pages)} pages. Under each table and finding stand the runs that it is computed from; a run "
        out += "has a page of its own, with its configuration, history and predictions.</p>"
        for made_up, heading in ((False, "Findings"), (True, "On made-up demo corpora")):
            cards = ""
            for page in (p for p in self.pages if (p.parent.name == "demo") == made_up):
                text, to = (self.root / page).read_text(encoding="utf-8"), target(page).as_posix()
                title = MD.parse(text)[1].content
                name, command = self.told.get(page, ("", ""))
                found = FINDING.search(text)
                first = text.partition("\n\n")[2].partition("\n\n")[0]
                sentence = MD.renderInline(found[1] if found else first)
                question = f'<a href="{to}">{html.escape(title)}</a>'
                plot, command = bars((self.root / page).parent, text), MD.renderInline(command)
                cards += f'<article><p class="name">{html.escape(name)}</p><h3>{question}</h3><p>{sentence}</p>'
                cards += f'{plot}<p class="command">{command}</p></article>'
            out += (
                f'<h2 id="{slug(heading)}">{heading}</h2><div class="cards">{cards}</div>'
                if cards
                else ""
            )
        self.write(Path("index.html"), lead[1].content, out, kind="front")


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
