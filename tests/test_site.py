"""The site: every page is there, every link leads somewhere, no request leaves it, every number
has its runs."""

import html
import re
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from lib.analysis.predictions import Predictions
from lib.errors import InputError
from lib.publish.page import SPEC
from lib.publish.site import build
from lib.runs.store import ROOT
from tests import site_check

PAGES = [path.parent.relative_to(ROOT) for path in sorted((ROOT / "results").glob("*/*/README.md"))]
PAGES = [page for page in PAGES if "--" not in page.name]
STUDIES = [
    page for page in PAGES if (ROOT / page / "predictions.parquet").exists()
]  # the benchmark has no runs


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("built") / "site"
    build(out)
    return out


def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def test_every_page_and_run_is_there(site):
    front = {a["href"] for a in soup(site / "index.html").find_all("a", href=True)}
    for page in PAGES:
        assert f"{page.as_posix()}/index.html" in front
    for page in STUDIES:
        runs = Predictions.read(ROOT / page / "predictions.parquet").runs
        assert {path.stem for path in (site / page / "runs").iterdir()} == set(runs)


def test_links_lead_somewhere_and_nothing_is_asked_of_the_network(site):
    texts = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    anchors = {path: re.findall(r'<[^<>]* id="([^"]*)"', text) for path, text in texts.items()}
    for path, text in texts.items():
        assert len(set(anchors[path])) == len(anchors[path]), path
        assert not re.search(r"<(script|iframe|object|embed)|url\(|@import", text), path
        assert all(re.search(r' alt="[^"]', image) for image in re.findall(r"<img[^>]*>", text)), (
            path
        )
        for tag, target in re.findall(r'<(\w+)[^<>]* (?:href|src)="([^"]*)"', text):
            if target == "data:," or (tag == "a" and target.startswith("https://")):
                continue  # a plain link is followed by a person, not by the page
            file, _, anchor = unquote(html.unescape(target)).partition("#")
            to = (path.parent / file).resolve() if file else path
            assert to.is_file() and to.is_relative_to(site), f"{path.relative_to(site)}: {target}"
            assert not anchor or anchor in anchors[to], f"{path.relative_to(site)}: {target}"


@pytest.mark.parametrize("page", STUDIES, ids=str)
def test_each_number_leads_to_its_runs(page, site):
    read, text = (
        soup(site / page / "index.html"),
        (ROOT / page / "README.md").read_text(encoding="utf-8"),
    )
    count = 0
    for kind, name, *_ in SPEC.findall(text):
        count += kind == "finding"
        shown = read.find(id=f"finding-{count}" if kind == "finding" else f"table-{name}")
        links = [a["href"] for a in shown.find_all("a")]
        assert kind == "finding" or f"{name}.csv" in links
        if kind in ("table", "finding"):
            assert "predictions.parquet" in links and any(
                link.startswith("runs/") for link in links
            ), name
    for path in (site / page / "runs").iterdir():
        text = path.read_text(encoding="utf-8")
        assert 'id="configuration"' in text and 'href="../predictions.parquet"' in text


def test_a_table_names_the_runs_it_shows_and_no_others(site):
    read = soup(site / "results/ag_news/small/index.html")
    runs = Predictions.read(ROOT / "results/ag_news/small/predictions.parquet").runs
    links = read.find(id="table-confusion").select(".from li a")
    named = {Path(link["href"]).stem for link in links}
    page = (ROOT / "results/ag_news/small/README.md").read_text()
    group = re.search(r'table confusion = confusion_table .*"group": "(\w+)"', page)[1]
    assert named == {key for key, run in runs.items() if run["config"]["schedule"] == group}
    assert len(read.find(id="table-by_schedule").select(".from li")) == len(runs)


def test_a_record_tells_the_runs_scores(site):
    shown = pd.read_csv(ROOT / "results/ag_news/small/runs.csv").iloc[0]
    cells = [
        td.text
        for td in soup(site / f"results/ag_news/small/runs/{shown['run']}.html").find_all("td")
    ]
    assert cells[cells.index("accuracy (%)") + 1] == f"{100 * shown['accuracy']:.2f}"


def small(root: Path, text: str) -> Path:
    (root / "results" / "study" / "demo").mkdir(parents=True)
    (root / "README.md").write_text("# Title\n\nWhat it is.\n")
    (root / "results" / "study" / "demo" / "README.md").write_text(text)
    return root


def test_a_page_without_runs(tmp_path):
    root = small(
        tmp_path / "root",
        "# A <b> & c\n\n| a | b |\n| --- | --- |\n| x \\| y | 90.1 ± 0.2 [89.0, 91.0] |\n",
    )
    assert build(tmp_path / "site", root) == 3
    page = (tmp_path / "site/results/study/demo/index.html").read_text()
    assert "x | y" in page and "90.1<small> ± 0.2 [89.0, 91.0]</small>" in page
    assert "<title>A &lt;b&gt; &amp; c</title>" in page


def test_a_dead_link_stops_the_build_and_leaves_the_old_site(tmp_path):
    root = small(tmp_path / "root", "# Title\n\n[there](there.md)\n")
    (root / "results/study/demo/there.md").write_text("# There\n")
    build(tmp_path / "site", root)
    (root / "results/study/demo/there.md").unlink()
    with pytest.raises(InputError, match=r"results/study/demo/README.md links to there.md"):
        build(tmp_path / "site", root)
    assert (tmp_path / "site/results/study/demo/there.html").is_file()


def test_a_folder_that_is_no_site_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="is no site"):
        build(tmp_path / "mine", small(tmp_path / "root", "# Title\n"))


def test_in_a_browser(site):
    if not site_check.browser():
        pytest.skip("there is no Chromium here (Debian: apt install chromium)")
    pages = [page for page in site_check.chosen(site) if page.parts[0] != "notebooks"]
    assert site_check.look(site, pages) == []


def test_the_browser_check_finds_what_is_wrong(tmp_path):
    if not site_check.browser():
        pytest.skip("there is no Chromium here (Debian: apt install chromium)")
    (tmp_path / "bad.html").write_text(
        '<!DOCTYPE html><body style="background: #fff; color: #aaa"><p>pale</p>'
        '<div style="width: 2000px">wide</div><img src="gone.png"></body>'
    )
    told = "\n".join(site_check.look(tmp_path, [Path("bad.html")]))
    for wrong in (
        "phone, dark: the body is 20",
        "contrast 2.3 of p",
        "no alternative text",
        "not shown",
        "a request failed",
    ):
        assert wrong in told, told
