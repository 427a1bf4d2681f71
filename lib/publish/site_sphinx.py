"""The Sphinx extension that shows the blocks of a page.

Source files are JSON: lists of blocks, in page.json's form. What their texts, captions and cells
say is CommonMark, rendered by MyST-Parser with HTML, directives and roles switched off; everything
else in them is shown as it is. A link that leads to nothing in the site is shown as its text.
"""

import html
import json
import posixpath
import re
import sys
from pathlib import Path
from urllib.parse import quote, unquote

from docutils import nodes
from markdown_it.token import Token
from myst_parser.config.main import MdParserConfig
from myst_parser.mdit_to_docutils.sphinx_ import SphinxRenderer
from myst_parser.parsers.mdit import create_md_parser
from myst_parser.parsers.sphinx_ import MystParser
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

from lib.analysis.display import pipe_table
from lib.publish.layout import below, shows_table
from lib.publish.site_style import CSS

ELSEWHERE = re.compile(r"(https?|mailto):")
SPREAD = re.compile(r"(.*?\d)( ± \S+| \([−\d., ]+\))")  # a score, and what follows it
UNIT = re.compile(r"(?<=\d) (?=%)")  # a number stays with its percent sign at a line's end
LANGUAGES = ("bash", "json", "make", "python", "sh", "yaml")
SCALE = 0.6  # of a figure, in pixels of the screen: sharp on a dense one


class BlockRenderer(SphinxRenderer):
    """Adds blocks, and the CommonMark in them, to a document."""

    def render_block(self, token) -> None:
        self._add_block(token.meta)

    def _add_block(self, block: dict) -> None:
        """A block of page.json, or one of `code`, `nav`, `said` or `fold`."""
        kind = block["kind"]
        if kind == "text" and block.get("name") == "why":
            container = nodes.container(classes=["why"])
            with self.current_node_context(container, append=True):
                self.nested_render_text(block["text"], 0)
        elif kind == "text":
            self.nested_render_text(block["text"], 0)
        elif kind == "code":
            self._add_code(block["text"], block["language"])
        elif kind == "nav":
            self._add_nav(block["caption"], block["entries"])
        elif kind == "said":
            self._add_paragraphs(block["text"], "said")
        else:
            container = nodes.container(classes=[kind] + ["lead"] * ("lead" in block))
            container["ids"] = [block["anchor"]] if block.get("anchor") else []
            with self.current_node_context(container, append=True):
                if kind == "fold":
                    self._add_fold(block["title"], block["blocks"])
                else:
                    self._add_content(kind, block)

    def _add_fold(self, title: str, blocks: list[dict]) -> None:
        """Blocks behind a title that opens them."""
        summary = f"<details><summary>{html.escape(title.replace('`', ''))}</summary>"
        self.current_node.append(nodes.raw("", summary, format="html"))
        for block in blocks:
            self._add_block(block)
        self.current_node.append(nodes.raw("", "</details>", format="html"))

    def _add_content(self, kind: str, block: dict) -> None:
        if kind in ("finding", "link"):
            self._add_paragraphs(block["text"])
        elif kind == "figure":
            self._add_picture(block["file"], block["alt"], block["width"], block["height"])
        elif shows_table(block):
            self._add_table(block["columns"])
        self._add_paragraphs(block.get("caption"), "said")
        self._add_paragraphs(below(block), "said")
        if "origin" in block:
            self.current_node.append(nodes.raw("", origin_html(block), format="html"))

    def _add_paragraphs(self, text: str | None, *classes: str) -> None:
        for part in (text or "").split("\n\n"):
            if part:
                paragraph = nodes.paragraph(classes=list(classes))
                with self.current_node_context(paragraph, append=True):
                    self.nested_render_text(part, 0, inline=True)

    def _add_table(self, columns: list[list[str]]) -> None:
        """A table of columns as page.json has them; the spread of a score is set apart."""
        table = nodes.container()
        with self.current_node_context(table):
            self.nested_render_text(pipe_table(zip(*columns, strict=True)), 0)
        for entry in table.findall(nodes.entry):
            for text in list(entry.findall(nodes.Text)):
                score = SPREAD.fullmatch(text)
                if score and "text-right" in entry["classes"]:
                    spread = nodes.inline("", score[2], classes=["spread"])
                    text.parent.replace(text, [nodes.Text(score[1]), spread])
        self.current_node += table.children

    def _add_code(self, text: str, language: str) -> None:
        language = language if language in LANGUAGES else "none"
        self.current_node.append(nodes.literal_block(text, text, language=language, force=True))

    def _add_nav(self, caption: str, entries: list) -> None:
        """A part of the navigation: (title, document) each; the document's own title if none."""
        attributes = {"parent": self.sphinx_env.docname, "caption": caption, "rawcaption": caption}
        attributes |= {"maxdepth": 1, "glob": False, "hidden": True, "includehidden": False}
        attributes |= {"numbered": 0, "titlesonly": True}
        attributes["entries"] = [tuple(entry) for entry in entries]
        attributes["includefiles"] = [document for _, document in entries]
        tree = addnodes.toctree(**attributes)
        self.current_node.append(nodes.compound("", tree, classes=["toctree-wrapper"]))

    def _add_picture(self, file: str, alt: str, width: int = 0, height: int = 0) -> None:
        size = f' width="{SCALE * width:.0f}" height="{SCALE * height:.0f}"' if width else ""
        href = html.escape(file)
        picture = f'<a href="{href}"><img src="{href}" alt="{html.escape(alt)}"{size}></a>'
        self.current_node.append(nodes.raw("", picture, format="html"))

    # CommonMark that does not come from MyST as it is

    def render_text(self, token) -> None:
        self.current_node.append(nodes.Text(UNIT.sub("\u00a0", token.content)))

    def render_link(self, token) -> None:
        href = self._href(token.attrGet("href") or "")
        if href is None:
            self.render_children(token)
            return
        is_internal = not ELSEWHERE.match(href)
        with self.current_node_context(
            nodes.reference(refuri=href, internal=is_internal), append=True
        ):
            self.render_children(token)

    def render_image(self, token) -> None:
        alt = self.renderInlineAsText(token.children or [])
        href = self._href(token.attrGet("src") or "")
        if href is None or ELSEWHERE.match(href):
            self.current_node.append(nodes.Text(alt))
        else:
            self._add_picture(href, alt)

    def render_fence(self, token) -> None:
        self._add_code(token.content, token.info.strip())

    def render_code_block(self, token) -> None:
        self._add_code(token.content, "")

    def _href(self, href: str) -> str | None:
        """A link as one of the site; None where it leads to nothing in it."""
        path, mark, anchor = href.partition("#")
        if ELSEWHERE.match(href) or not path:
            return href or None
        folder = posixpath.dirname(self.sphinx_env.docname)
        file = posixpath.normpath(posixpath.join(folder, unquote(path)))
        target = self.sphinx_env.config.site_targets.get(file)
        if target is None:
            return None
        return quote(posixpath.relpath(target, folder or ".")) + mark + anchor


def origin_html(block: dict) -> str:
    """What a table, finding or figure is computed from, and its files."""

    def link(title: str, href: str) -> str:
        return f'<a href="{html.escape(quote(href, safe="/#"))}">{html.escape(title)}</a>'

    runs = block["origin"]["runs"]  # (title, href) each
    files = block["origin"]["files"]
    summary = f"{len(runs)} run{'s' * (len(runs) != 1)}" if runs else "How it is computed"
    how = ""
    if block.get("function"):
        how = f"Computed by <code>{html.escape(block['function'])}</code>"
        if block.get("arguments"):
            arguments = json.dumps(block["arguments"], ensure_ascii=False)
            how += f" with <code>{html.escape(arguments)}</code>"
        how = f"<p>{how}{' from' if runs else ''}</p>"
    items = "".join(f"<li>{link(*run)}</li>" for run in runs)
    details = f"<details><summary>{summary}</summary>{how}<ul>{items}</ul></details>"
    links = "".join(link(*file) for file in files)
    return f'<div class="from">{details if how or runs else ""}{links}</div>'


class PageParser(MystParser):
    """Reads a list of blocks."""

    supported = ("page",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        config = MdParserConfig(commonmark_only=True, heading_anchors=6)
        markdown = create_md_parser(config, BlockRenderer)
        markdown.enable("table").disable(["html_block", "html_inline"])
        markdown.options["document"] = document
        tokens = [Token("block", "", 0, meta=block) for block in json.loads(inputstring)]
        markdown.renderer.render(tokens, markdown.options, {})


def setup(app: Sphinx) -> dict:
    """Called by Sphinx."""
    app.add_source_suffix(".json", "page")
    app.add_source_parser(PageParser)
    app.add_config_value("site_targets", {}, "env", [dict])
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def run_sphinx(documents: dict[str, list], targets: dict[str, str], work: Path, out: Path) -> None:
    """Build HTML from documents (name -> blocks); `work` is an empty folder.

    `targets` are the files that links may lead to: of the repository -> of the site.
    """
    for name, blocks in documents.items():
        file = work / "pages" / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(blocks), encoding="utf-8")
    (work / "static").mkdir()
    (work / "static" / "site.css").write_text(CSS, encoding="utf-8")
    settings = {
        "project": "Fine-tuning studies",
        "html_title": "Fine-tuning studies",
        "extensions": [__name__],
        "site_targets": targets,
        "html_theme": "furo",
        "html_static_path": [str(work / "static")],
        "html_css_files": ["site.css"],
        "smartquotes": False,  # what is shown is what was written
        "html_show_search_summary": False,  # a page of the file system may not read others
        "suppress_warnings": ["myst", "toc"],
    }
    unused = ("copy_source", "show_sourcelink", "show_copyright", "use_index", "domain_indices")
    settings |= {f"html_{name}": False for name in unused}
    folders = (work / "pages", None, out, work / "doctrees")
    with patch_docutils(), docutils_namespace():
        Sphinx(*folders, "html", settings, status=None, warning=sys.stderr).build()
