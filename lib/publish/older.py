"""Older pages: made by an earlier version of their notebooks, which no longer make them.

They are left as they are. Their page.json says so in `kept`: the commit that made them, a sentence
of what they lack, and the digest of each of their files.
"""

import hashlib
from pathlib import Path

from lib.publish.blocks import PAGE_FILE
from lib.publish.compare import Check
from lib.runs.files import file_digests, json_text
from lib.runs.markup import code_span


def is_older(page: dict) -> bool:
    return "kept" in page


def remark(page: dict) -> str:
    """What stands at the top of an older page, as Markdown."""
    commit = code_span(page["kept"]["commit"])
    return (
        f"> **An older page**, made by commit {commit}: the study has changed since, and its "
        f"notebook no longer makes this page. What it lacks: {page['kept']['lacks']}"
    )


def digests_of(folder: Path, page: dict) -> dict[str, str]:
    """The SHA-256 of each file of an older page, by name; that of page.json leaves these out."""
    said = {name: value for name, value in page["kept"].items() if name != "files"}
    text = json_text(page | {"kept": said})
    of_page = hashlib.sha256(text.encode("utf-8")).hexdigest()
    return {PAGE_FILE: of_page} | file_digests(folder, leave_out=PAGE_FILE)


def check_files(folder: Path, page: dict, check: Check) -> None:
    """Check that an older page has the files, and these the bytes, that it was kept with."""
    check.older_commit = page["kept"]["commit"]
    written = page["kept"]["files"]
    digests = digests_of(folder, page)
    if (folder / PAGE_FILE).read_bytes() != json_text(page).encode("utf-8"):
        digests[PAGE_FILE] = "other characters"
    for name in sorted({*written, *(path.name for path in folder.iterdir())}):
        check.compared += 1
        if name not in written:
            check.wrong.append(f"{name} is no file of this page")
        elif name not in digests:
            check.wrong.append(f"{name} is missing")
        elif digests[name] != written[name]:
            check.wrong.append(f"{name} is not what commit {check.older_commit} made")
