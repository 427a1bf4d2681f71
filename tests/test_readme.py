"""The examples of the README and docs/ run, and the README's findings are those of the pages."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from lib.backbones import EMBEDDED
from lib.publish.page import SPEC
from lib.runs.store import ROOT

STUDIES = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROSE = {"README.md": README} | {
    f"docs/{path.name}": path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "docs").glob("*.md"))
}


def code(language: str, containing: str) -> str:
    """The one block of code of README.md and docs/ that contains something."""
    blocks = [
        block
        for text in PROSE.values()
        for block in re.findall(rf"```{language}\n(.*?)\n *```", text, flags=re.S)
        if containing in block
    ]
    assert len(blocks) == 1
    return blocks[0]


def run_script(script: str, backbone: str) -> None:
    """Run a script as it stands, but for the backbone, which is tiny: that the embedded one can be
    named so is in the shell's example."""
    script = script.replace(f'"{EMBEDDED}"', repr(backbone)).replace(
        "max_length=128", "max_length=48"
    )
    if "backbone=" not in script and repr(backbone) not in script:
        assert "RunConfig(" in script
        script = script.replace("RunConfig(", f"RunConfig(backbone={backbone!r}, ", 1)
    exec(compile(script, "README.md", "exec"), {})


def test_the_script_on_a_file_of_ones_own(tiny, tmp_path, monkeypatch, capsys):
    from lib.demo import news

    texts, labels, _ = news(120, 7)
    pd.DataFrame({"review": texts, "stars": [1 + label for label in labels]}).to_csv(
        tmp_path / "reviews.csv", index=False
    )
    monkeypatch.chdir(tmp_path)
    run_script(code("python", "reviews.csv"), tiny["bert"])
    assert "'accuracy': " in capsys.readouterr().out


def test_the_script_with_the_store(tiny, capsys):
    run_script(code("python", "run_all"), tiny["bert"])
    out = capsys.readouterr().out
    assert "3 runs: 3 trained" in out and "TF-IDF" in out


def test_the_shell_example(tmp_path):
    (tmp_path / ".venv").symlink_to(sys.prefix)
    script = code("sh", "cat > my_run.yaml")
    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=tmp_path, env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    header, row = done.stdout.splitlines()
    assert header == "text,label,probability"
    assert (
        row.split(",")[1] in ("World", "Sports", "Business", "Sci/Tech")
        and 0.25 < float(row.split(",")[2]) <= 1
    )


def test_every_make_target_named_is_there():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for text in PROSE.values():
        for target in set(re.findall(r"(?:^|`)make ([a-z_-]+)", text, flags=re.M)):
            assert target in STUDIES or f"\n{target}:" in makefile, target


PAGES = [
    ROOT / "results" / study / profile / "README.md"
    for study in STUDIES
    for profile in ("demo", "small", "full")
]


@pytest.mark.parametrize(
    "page", [p for p in PAGES if p.exists()], ids=lambda p: "/".join(p.parts[-3:-1])
)
def test_findings_are_the_pages_own(page: Path):
    first = next(
        body.strip() for kind, *_, body in SPEC.findall(page.read_text()) if kind == "finding"
    )
    assert first in README


@pytest.mark.parametrize("file", PROSE)
def test_links_lead_somewhere(file):
    folder = (ROOT / file).parent
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PROSE[file]):
        assert target.startswith("https://") or (folder / target).exists(), target
