"""A page's Markdown as the site's HTML: anchors, and runs under tables, findings and figures."""

import html
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import nbformat
from markdown_it import MarkdownIt
from PIL import Image

MD = MarkdownIt("commonmark", {"html": True}).enable("table")
SPEC = re.compile(r"<!-- (table|finding|audit|measured) (\w+) = (\w+) (\{.*\}) -->")
SPREAD = re.compile(  # what follows a score in its cell
    r"((?: ± [\d.,]+)?(?: \[[^\[\]<]+\])?)</td>"
)


def slug(text: str) -> str:
    """A heading or name as an anchor."""
    return re.sub(r"\W+", "-", text.lower()).strip("-")


def notebook_text(text: str) -> str:
    """A notebook as Markdown."""
    cells = []
    for item in nbformat.reads(text, as_version=4).cells:
        code = item.cell_type == "code"
        cells.append(f"```python\n{item.source}\n```" if code else item.source)
    return "\n\n".join(cells)


def blocks(tokens: list):
    """The outermost blocks of a parsed text, each a list of tokens."""
    start = depth = 0
    for end, token in enumerate(tokens, 1):
        depth += token.nesting
        if depth == 0:
            yield tokens[start:end]
            start = end


def inline(block: list) -> list:
    """The tokens within a block that is one paragraph or heading."""
    return block[1].children or [] if len(block) == 3 and block[1].type == "inline" else []


def emphasis(block: list) -> list:
    """What a paragraph says that is set in italics as a whole, as a figure's caption is."""
    tokens = inline(block)
    if tokens and (tokens[0].type, tokens[-1].type) == ("em_open", "em_close"):
        return tokens[1:-1]
    return []


def no_citation(kind: str, name: str, function: str = "", arguments: str = "", body: str = ""):
    """What a text without runs says of its tables and figures."""
    return ""


def render(
    text: str, folder: Path, link: Callable[[str], str], cite: Callable[..., str] = no_citation
) -> tuple[str, str, list[tuple[str, str, str]]]:
    """Title, HTML and contents (tag, anchor, heading) of a text.

    `folder` has its figures. `link` makes a link of the text one of the page. What
    `cite(kind, name, function, arguments, body)` says of its runs follows each table, finding and
    figure.
    """
    tokens = MD.parse(text)
    for token in tokens:
        for child in token.children or []:
            for name in {"href", "src"} & set(child.attrs):
                child.attrs[name] = link(child.attrs[name])
    pieces: list[str] = []
    contents = []
    spec: tuple = ()  # of the table or finding that follows
    findings = 0
    for block, after in pairwise([*blocks(tokens), []]):
        match = SPEC.match(block[0].content)
        if match:
            spec = match.groups()
            continue
        children = inline(block)
        if block[0].type == "heading_open":
            contents.append(anchor_heading(block))
        if block[0].type == "table_open":
            pieces.append(render_table(block, spec, str(len(pieces)), cite))
            spec = ()
        elif spec:
            findings += 1
            body = MD.renderer.render(block, MD.options, {})
            runs = cite("finding", str(findings), *spec[2:], body)
            pieces.append(f'<div id="finding-{findings}" class="finding">{body}{runs}</div>')
            spec = ()
        elif [child.type for child in children] == ["image"]:
            pieces.append(render_figure(children[0], emphasis(after), folder, cite))
        elif not (emphasis(block) and pieces[-1].startswith("<figure")):  # which has its caption
            pieces.append(MD.renderer.render(block, MD.options, {}))
    title = contents[0][2] if contents else ""
    return title, "".join(pieces), contents[1:]


def anchor_heading(block: list) -> tuple[str, str, str]:
    """Give a heading an anchor; (tag, anchor, heading)."""
    heading = "".join(child.content for child in inline(block))
    block[0].attrs["id"] = slug(heading)
    return block[0].tag, slug(heading), heading


def render_table(block: list, spec: tuple, number: str, cite: Callable[..., str]) -> str:
    """A table that scrolls alone where it is wide, with its runs."""
    name = spec[1] if spec else number
    body = MD.renderer.render(block, MD.options, {})
    body = SPREAD.sub(lambda m: f"<small>{m[1]}</small></td>" if m[1] else m[0], body)
    label = f'role="region" tabindex="0" aria-label="Table {name}"'
    body = f'<div class="scroll" {label}>{body}</div>'
    runs = cite(*spec, body) if spec else ""
    return f'<div id="table-{name}" class="table">{body}{runs}</div>'


def render_figure(image, caption: list, folder: Path, cite: Callable[..., str]) -> str:
    """An image with its size and its caption, which is its alternative text too."""
    source = image.attrs["src"]
    words = "".join(child.content for child in caption)
    name = slug(source.rpartition(".")[0])
    alt = html.escape(f"{image.content}. {words}".strip())
    with Image.open(folder / source) as picture:
        width, height = (3 * pixels // 5 for pixels in picture.size)  # sharp on a dense screen
    size = f'width="{width}" height="{height}"'
    body = f'<a href="{source}"><img src="{source}" alt="{alt}" {size}></a>'
    below = f"{MD.renderer.render(caption, MD.options, {})} {cite('figure', name)}"
    return f'<figure id="figure-{name}">{body}<figcaption>{below}</figcaption></figure>'
