"""The README's examples run, and its findings are those of the pages."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from lib.publish.page import SPEC
from lib.runs.store import ROOT

STUDIES = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
README = (ROOT / "README.md").read_text()


def code(language: str, containing: str) -> str:
    found = [
        block
        for block in re.findall(rf"```{language}\n(.*?)\n *```", README, flags=re.S)
        if containing in block
    ]
    assert len(found) == 1
    return found[0]


def test_the_script_on_a_file_of_ones_own(tmp_path, monkeypatch, capsys):
    from lib.demo import news

    texts, labels, _ = news(120, 7)
    pd.DataFrame({"review": texts, "stars": [1 + label for label in labels]}).to_csv(
        tmp_path / "reviews.csv", index=False
    )
    monkeypatch.chdir(tmp_path)
    exec(compile(code("python", "reviews.csv"), "README.md", "exec"), {})
    assert "'accuracy': " in capsys.readouterr().out


def test_the_script_with_the_store(capsys):
    exec(compile(code("python", "run_all"), "README.md", "exec"), {})
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
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"(?:^|`)make ([a-z_-]+)", README, flags=re.M)):
        assert target in STUDIES or f"\n{target}:" in makefile


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


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
