"""The order of a page's blocks: the answer, the study, and what is folded at the end.

Markdown and the site show the same order. A fold is a block too:
`{"kind": "fold", "title", "blocks"}`.
"""

import math
import re

from lib.analysis.display import words

HIDDEN = ("data", "runs", "best")  # kinds of blocks that a page does not show
LONG = 12  # rows of a table that is not folded
FIRST = ("finding", "text", "figure")  # of the answer: in this order, then the rest
HEADING = re.compile(r"(#+) +(.+?) *#*(?:\n+|$)")


def layout(blocks: list[dict]) -> tuple[list[dict], list[dict], list[dict]]:
    """The blocks of the answer, of the study, and the folds.

    The answer's headings are left out. Folded are cells tagged `details`, and of the study the
    sections below a heading of the third level.
    """
    answer: list[dict] = []
    study: list[dict] = []
    folds: dict[str, list[dict]] = {"": [], "details": []}
    is_folded = {"": False, "details": True}
    for block in blocks:
        if block["kind"] in HIDDEN:
            continue
        block = linked_if_drawn(block)
        section = block["section"]
        heading, rest = split_heading(block)
        if section == "answer":
            answer += rest
            continue
        if section == "" and heading:
            is_folded[""] = heading[0] == "###"
        if not is_folded[section]:
            study.append(folded_if_long(block))
            continue
        if heading or not folds[section]:
            title = heading[1] if heading else "Details"
            folds[section].append({"kind": "fold", "title": title, "blocks": []})
        folds[section][-1]["blocks"] += rest
    answer.sort(key=lambda block: (*FIRST, block["kind"]).index(block["kind"]))
    answer = [folded_if_long(block) for block in answer]
    study = without_empty_sections(study)
    filled = [fold for fold in folds[""] + folds["details"] if fold["blocks"]]
    said: set[str] = set()
    parts = (answer, study, filled)
    answer, study, folded = (_with_counts_once(part, said) for part in parts)
    return answer, study, folded


def without_empty_sections(blocks: list[dict]) -> list[dict]:
    """Blocks without the headings below which nothing is shown, such as one about probabilities
    where numbers are predicted."""
    kept: list[dict] = []
    next_is = 1  # level of the heading that comes next, as if another page came at the end
    for block in reversed(blocks):
        heading, rest = split_heading(block)
        level = len(heading[0]) if heading else math.inf
        if not heading or rest or level < next_is:
            kept.append(block)
            next_is = level
    return kept[::-1]


def _with_counts_once(blocks: list[dict], said: set[str]) -> list[dict]:
    """Blocks without the numbers of seeds and documents that were `said` last, which this
    follows."""
    shown = []
    for block in blocks:
        counts = {*block.get("counts", ())}
        if block["kind"] == "fold":
            block = block | {"blocks": _with_counts_once(block["blocks"], said)}
        elif counts <= said:
            block = block | {"counts": []}
        else:
            said.clear()
            said |= counts
        shown.append(block)
    return shown


def below(block: dict) -> str:
    """What is said below a table, after its caption: of how many seeds and documents it is, and its
    note."""
    counts = ", ".join(block.get("counts", ()))
    return " ".join(filter(None, [counts and f"{counts}.", block.get("note", "")]))


def split_heading(block: dict) -> tuple[tuple[str, str] | None, list[dict]]:
    """The heading that a block begins with, as its signs and its title, and what is left of the
    block: one or none."""
    match = HEADING.match(block["text"]) if block["kind"] == "text" else None
    if match is None:
        return None, [block]
    rest = block["text"][match.end() :].strip()
    return (match[1], match[2]), [block | {"text": rest}] if rest else []


def linked_if_drawn(block: dict) -> dict:
    """A table of many rows that a figure draws, as its caption and a link to its CSV file."""
    if rows_of(block) <= LONG or not block.get("drawn"):
        return block
    link = f"[{block['name']}.csv]({block['name']}.csv)"
    text = f"{titled(block)}: a table of {rows_of(block)} rows, {link}, beside its figure."
    said = {"text": f"{text} {block['caption']}".strip(), "caption": "", "columns": []}
    said |= {"counts": [], "note": ""}
    return block | {"kind": "link"} | said


def folded_if_long(block: dict) -> dict:
    """A table of many rows as a fold."""
    if rows_of(block) <= LONG:
        return block
    title = f"{titled(block)}: a table of {rows_of(block)} rows"
    return {"kind": "fold", "title": title, "blocks": [block]}


def rows_of(block: dict) -> int:
    return len(block["columns"][0]) - 2 if block.get("columns") else 0


def shows_table(block: dict) -> bool:
    """Whether a table is shown as one: without rows it is where nothing is said in its place."""
    return rows_of(block) > 0 or not (block.get("caption") or below(block))


def titled(block: dict) -> str:
    """The name of a table as a title."""
    name = words(block["name"])
    return f"{name[0].upper()}{name[1:]}"


def findings_of(answer: list[dict]) -> tuple[list[dict], list[dict]]:
    """The findings of an answer, the first being the answer itself, and its other blocks."""
    findings = [block for block in answer if block["kind"] == "finding"]
    return findings, [block for block in answer if block["kind"] != "finding"]
