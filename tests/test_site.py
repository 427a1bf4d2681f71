"""The site: every page and run is there, every link leads somewhere, nothing that users name runs,
and nothing but the repository's own files comes into it."""

import json
import re
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from lib.analysis.display import escape
from lib.analysis.predictions import Predictions
from lib.errors import InputError
from lib.publish import site as site_module
from lib.publish.site import build
from lib.runs.config import RunConfig
from tests import site_check

HOSTILE = [  # class names, texts, values
    "<script>alert(1)</script>",
    "b --> <img src=x onerror=alert(2)>",
    "[x](../../../.git/config)",
    "{{ project }} {eval-rst}`x` | $a$ ``",
    '"onmouseover="alert(3)',
]
FENCE = "```{eval-rst}\n.. raw:: html\n\n   <script>alert(4)</script>\n```"
ROLE = "{sub}`2` (target)= {{ project }} % remark"
KEYS = ["0123456789abcdef", "fedcba9876543210", "00000000000000aa"]
REFERENCES = [None, None, "tfidf"]


LONG_TABLE = {"section": "details", "columns": [["class", "---", *["a"] * 13]]}


def a_page(name: str = "small", dataset: str = "reviews.csv") -> dict:
    """A page.json as a study writes it."""
    runs = {}
    for number, (key, reference) in enumerate(zip(KEYS, REFERENCES, strict=True)):
        config = RunConfig(dataset=dataset, reference=reference, text=HOSTILE[number], seed=1)
        run = {"config": json.loads(config.model_dump_json()), "status": "finished"}
        run |= {"key": key * 4, "outcome": None, "reason": None}
        runs[key] = run | {"chosen_epoch": 1, "last_epoch": 2}
    origin = {"function": "lib.analysis.tables:by_group", "arguments": {"by": HOSTILE[1]}}
    table = {"section": "", "caption": "A caption.", "note": "A note.\n\nOn two lines."} | origin
    score = "90.1 ± 1.0"
    scores = [score, f"**{score}**", *["90.1 (89.9, 90.3)"] * (len(HOSTILE) - 2)]
    columns = [["class", "---", *map(escape, HOSTILE)], ["accuracy (%)", "---:", *scores]]
    columns.append(["run", "---", *KEYS[:1] * len(HOSTILE)])
    table |= {"columns": columns}
    finding = {"kind": "finding", "name": "leader", "section": "answer", "runs": KEYS[:2]} | origin
    best = " and ".join(map(escape, HOSTILE))
    figure = {"kind": "figure", "section": "", "name": "scores", "alt": HOSTILE[4], "runs": KEYS}
    figure |= {"caption": f"Dots: {escape(HOSTILE[2])}.", "width": 40, "height": 20}
    literal = "\n\n".join([*HOSTILE[:2], ROLE])
    blocks = [
        {"kind": "text", "section": "answer", "text": "## Findings"},
        finding | {"text": f"**{best}** leads, *not* {escape(HOSTILE[1])}."},
        finding | {"text": "A second finding: 90.1 %.", "runs": KEYS[2:]},
        {"kind": "text", "section": "", "text": f"## Scores\n\nLiteral: {literal}\n\n{FENCE}"},
        table | {"kind": "table", "name": "by_class", "runs": KEYS},
        figure,
        table | {"kind": "measured", "name": "speed", "runs": []},
        {"kind": "text", "section": "details", "text": f"### Every run\n\n{HOSTILE[2]}"},
        table | {"kind": "audit", "name": "audit", "runs": [], "section": "details"},
        {"kind": "data", "name": "hidden", "section": "", "function": ""},
        table | {"kind": "table", "name": "drawn", "runs": KEYS, "drawn": True} | LONG_TABLE,
    ]
    page = {"study": "a_study", "folder": name, "profile": name, "title": "Is **it** so?"}
    page |= {"command": f"make a_study ARGS='x={HOSTILE[0]}'", "summary": HOSTILE[1]}
    page["short"] = ["reviews", "tiny"]
    parameters = {"dataset": dataset, "label": HOSTILE[0]}
    return page | {"parameters": parameters, "blocks": blocks, "runs": runs}


def save_page(root: Path, name: str = "small", dataset: str = "reviews.csv") -> Path:
    """The folder of a page with all its files."""
    folder = root / "results" / "a_study" / name
    folder.mkdir(parents=True)
    page = a_page(name, dataset)
    (folder / "page.json").write_text(json.dumps(page), encoding="utf-8")
    for table in ("by_class", "speed", "audit", "hidden", "drawn"):
        (folder / f"{table}.csv").write_text("class,accuracy\n")
    Image.new("RGB", (40, 20)).save(folder / "scores.png")
    rows = []
    for key in KEYS:
        for row in range(2):
            document = {"run": key, "split": "test", "epoch": 1, "row": row, "label": row}
            rows.append(document | {"logit_0": 1.0, "logit_1": 0.5, "tokens": 3})
    frame = pd.DataFrame(rows)
    Predictions(frame, page["runs"], tuple(HOSTILE[:2])).write(folder / "predictions.parquet")
    history = {"run": KEYS[0], "epoch": [1, 2], "dev_loss": [0.5, 0.25], "learning_rate": 1e-4}
    pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
    machine = {"device": HOSTILE[0], "threads": 1}
    environment = {"run_seconds": {KEYS[0]: 2.5}, "runs": [machine, machine | {"threads": 2}]}
    (folder / "environment.json").write_text(json.dumps(environment))
    return folder


def save_repository(root: Path) -> Path:
    """A repository with two pages, a text without one, a doc and a notebook."""
    save_page(root)
    save_page(root, "demo", "demo_news")
    save_page(root, "small--seed=9")  # is not published
    (root / "results/other").mkdir()
    (root / "results/other/README.md").write_text("# Other\n\n| a |\n| --- |\n| [b](b.csv) |\n")
    (root / "results/other/b.csv").write_text("a\n")
    (root / "docs").mkdir()
    links = "[page](../results/a_study/small/README.md) [code](../lib/heads.py) [up](#a-heading)"
    links += " [study](../notebooks/a_study.ipynb) [mail](https://example.org)"
    (root / "docs/topic.md").write_text(f"# A topic\n\n## A heading\n\n{links}\n\n{FENCE}\n")
    (root / "notebooks").mkdir()
    cells = [
        {"cell_type": "markdown", "source": ["# Is it so?\n", "\n", HOSTILE[0]]},
        {"cell_type": "code", "source": [f"print('{HOSTILE[0]}')"]},
    ]
    (root / "notebooks/a_study.ipynb").write_text(json.dumps({"cells": cells}))
    (root / "notebooks/a_study.py").write_text("x = 1\n")
    (root / "secret.txt").write_text("secret")
    (root / ".git").mkdir()
    (root / ".git/config").write_text("secret")
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return save_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def site(root, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("built") / "site"
    build(out, root)
    return out


def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def article(path: Path) -> BeautifulSoup:
    return soup(path).find("article")


def test_a_long_table_that_a_figure_draws_is_a_link(site):
    shown = article(site / "results/a_study/small/index.html").find(id="table-drawn")
    assert "Drawn: a table of 13 rows, drawn.csv, beside its figure. A caption." in shown.text
    assert not shown.find("table") and "A note." not in shown.text
    assert shown.find("a", string="drawn.csv")["href"] == "drawn.csv"


def test_every_page_and_run_is_there(site):
    front = article(site / "index.html")
    hrefs = [a["href"] for a in front.find_all("a", href=True)]
    for name in ("small", "demo"):
        page = f"results/a_study/{name}"
        assert f"{page}/index.html" in hrefs and f"{page}/scores.png" in hrefs
        assert {path.stem for path in (site / page / "runs").glob("*.html")} == set(KEYS)
    assert not (site / "results/a_study/small--seed=9").exists()
    assert "leads, not" in front.text and "A second finding" not in front.text
    navigation = soup(site / "index.html").find(class_="sidebar-tree").text
    for title in ("A study, small", "A topic", "Other", "A study"):
        assert title in navigation


def test_links_lead_somewhere_and_nothing_is_asked_of_the_network(site):
    pages = {path: soup(path) for path in site.rglob("*.html")}
    anchors = {path: [e["id"] for e in page.find_all(id=True)] for path, page in pages.items()}
    for path, page in pages.items():
        assert len(set(anchors[path])) == len(anchors[path]), path
        assert not page.find(["iframe", "object", "embed"]), path
        assert all(image.get("alt") for image in page.find_all("img")), path
        for element in page.find_all(href=True) + page.find_all(src=True):
            target = element.get("href") or element["src"]
            if element.name == "a" and target.startswith("https://"):
                continue  # followed by a person, not by the page
            file, _, anchor = unquote(target).partition("#")
            to = (path.parent / file.partition("?")[0]).resolve() if file else path
            assert to.is_file() and to.is_relative_to(site), f"{path.relative_to(site)}: {target}"
            assert not anchor or anchor in anchors[to], f"{path.relative_to(site)}: {target}"
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"""@import|url\(["']?(https?:)?//""", text), style


def test_what_users_name_is_shown_as_it_is(site):
    page = article(site / "results/a_study/small/index.html")
    for value in HOSTILE:
        assert sum(value in cell.text for cell in page.find_all("td")) >= 3, value
        assert value in page.find(id="finding-leader").text
    for literal in (*HOSTILE[:2], ROLE.replace("`", "")):
        assert literal in page.find(id="scores").text
    runs = [cell.text for cell in page.find(id="runs").find_all("td")]
    for number in (0, 1):
        name = f"{HOSTILE[number]}, seed 1"
        page_of_run = article(site / f"results/a_study/small/runs/{KEYS[number]}.html")
        assert name in runs and page_of_run.find("h1").text.startswith(name)
        assert name in page.find(id="finding-leader").find(class_="from").text
    assert ".. raw:: html\n\n   <script>alert(4)" in page.find(id="scores").find("pre").text
    assert HOSTILE[1] in page.find(class_="from").text  # an argument
    run = article(site / f"results/a_study/small/runs/{KEYS[0]}.html")
    assert sum(HOSTILE[0] in cell.text for cell in run.find_all("td")) >= 2  # text column, device
    for path in site.rglob("*.html"):
        read = soup(path)
        for script in read.find_all("script"):
            assert re.search("_static/|^searchindex.js$|^$", script.get("src", "")), path
            assert "alert" not in script.text, path
        assert not any(attribute.startswith("on") for e in read.find_all() for attribute in e.attrs)
        assert not read.find("img", src="x") and "git/config" not in str(read.find_all(href=True))


def test_each_number_leads_to_its_runs_and_files(site):
    page = article(site / "results/a_study/small/index.html")
    shown = {
        "finding-leader": (KEYS[:2], ["predictions.parquet"]),
        "finding-leader-2": (KEYS[2:], ["predictions.parquet"]),
        "table-by-class": (KEYS, ["by_class.csv", "predictions.parquet"]),
        "figure-scores": (KEYS, ["predictions.parquet"]),
        "measured-speed": ([], ["speed.csv"]),
        "audit-audit": ([], ["audit.csv"]),
    }
    for anchor, (keys, files) in shown.items():
        origin = page.find(id=anchor).find(class_="from")
        hrefs = [a["href"] for a in origin.find_all("a")]
        assert hrefs == [f"runs/{key}.html" for key in keys] + files, anchor
    cells = page.find(id="table-by-class").find_all("td")
    assert [cell.a["href"] for cell in cells if cell.a] == [f"runs/{KEYS[0]}.html"] * len(HOSTILE)
    listed = page.find(id="runs").find_all("a", href=True)
    assert [a["href"] for a in listed if a["href"].startswith("runs/")] == [
        f"runs/{key}.html" for key in KEYS
    ]


def test_tables_show_scores_with_their_spread_set_apart(site):
    table = article(site / "results/a_study/small/index.html").find(id="table-by-class")
    cell = table.find_all("tr")[2].find_all("td")[1]
    assert cell.find("strong").text == "90.1 ± 1.0"
    assert cell.find(class_="spread").text == " ± 1.0"
    of_few_seeds = table.find_all("tr")[3].find_all("td")[1]
    assert of_few_seeds.find(class_="spread").text == " (89.9, 90.3)"
    assert "text-right" in cell["class"]
    assert "90.1\u00a0%" in article(site / "results/a_study/small/index.html").text
    said = [paragraph.text for paragraph in table.find_all("p", class_="said")]
    assert said == ["A caption.", "A note.", "On two lines."]


def test_a_run_has_a_page_of_its_own(site):
    run = article(site / f"results/a_study/small/runs/{KEYS[0]}.html")
    rows = [[cell.text for cell in row.find_all("td")] for row in run.find_all("tr")]
    assert ["chosen epoch", "1 of 2"] in rows and ["trained in", "2.5 s"] in rows
    assert ["dataset", "reviews.csv", "demo_news"] in rows and "optimizer adamw" in run.text
    assert ["dev loss", "█▁", "0.5", "0.25"] in rows and ["threads", "1, 2"] in rows
    assert ["accuracy (%)", "50.0"] in rows
    cited = next(row for row in run.find_all("tr") if "cited in" in row.text)
    hrefs = [a["href"] for a in cited.find_all("a")]
    assert "../index.html#finding-leader" in hrefs and "../index.html#table-by-class" in hrefs
    assert "../index.html#finding-leader-2" not in hrefs
    quoted = [row for row in rows if row[:2] == ["1", HOSTILE[1]]]
    assert quoted == [["1", HOSTILE[1], f"{HOSTILE[0]} (1.00); {HOSTILE[1]} (0.50)"]]


def test_docs_and_notebooks_are_pages(site):
    doc = article(site / "docs/topic.html")
    links = {a.text: a["href"] for a in doc.find_all("a", href=True)}
    assert links["page"] == "../results/a_study/small/index.html"
    assert links["study"] == "../notebooks/a_study.html" and links["up"] == "#a-heading"
    assert "code" not in links and "code" in doc.text  # leads out of the site
    assert doc.find("pre").text.startswith(".. raw:: html")
    notebook = article(site / "notebooks/a_study.html")
    assert HOSTILE[0] in notebook.find("p").text
    assert [pre.text.strip() for pre in notebook.find_all("pre")] == [
        f"print('{HOSTILE[0]}')",
        "x = 1",
    ]


def test_it_can_be_searched(site):
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert index.startswith("Search.setIndex(") and "results/a_study/small/index" in index
    assert re.search(r'"?lead"?:', index)
    assert "searchindex.js" in (site / "search.html").read_text(encoding="utf-8")


def test_only_files_of_pages_docs_and_notebooks_are_copied(root, site):
    copied = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    copied = {name for name in copied if not name.endswith((".html", ".js", ".css"))}
    theirs = {name for name in copied if name.startswith("_static/")}
    names = ["audit.csv", "by_class.csv", "speed.csv", "scores.png", "page.json", "history.csv"]
    names += ["drawn.csv", "hidden.csv", "predictions.parquet", "environment.json"]
    files = {f"results/a_study/{page}/{name}" for page in ("small", "demo") for name in names}
    assert copied - theirs == files | {"results/other/b.csv", ".buildinfo", "objects.inv"}
    for name in files:
        assert (site / name).read_bytes() == (root / name).read_bytes()
    assert not any("secret" in path.read_text("utf-8") for path in site.rglob("*.html"))


def change(root: Path, **changes) -> Path:
    file = save_page(root) / "page.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return file


def test_equal_pages_give_an_equal_site(root, site, tmp_path):
    build(tmp_path / "site", root)
    for path in site.rglob("*"):
        if path.is_file() and path.name != ".buildinfo":
            assert path.read_bytes() == (tmp_path / "site" / path.relative_to(site)).read_bytes()


@pytest.mark.parametrize("name", ["by_class.csv", "page.json", "environment.json"])
def test_links_are_not_followed(tmp_path, name):
    folder = save_page(tmp_path / "root")
    (tmp_path / "secret").write_bytes((folder / name).read_bytes())
    (folder / name).unlink()
    (folder / name).symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match=rf"{name} is a link, or lies outside results, notebooks"):
        build(tmp_path / "site", tmp_path / "root")
    assert not (tmp_path / "site").exists()


def test_a_folder_of_pages_that_is_a_link_is_not_followed(tmp_path):
    save_page(tmp_path / "elsewhere")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/results").symlink_to(tmp_path / "elsewhere/results")
    with pytest.raises(InputError, match=r"page.json is a link"):
        build(tmp_path / "site", tmp_path / "root")


@pytest.mark.parametrize("name", ["../../../secret", "/etc/passwd", "gone"])
def test_a_page_cannot_name_files_of_others(tmp_path, name):
    (tmp_path / "root").mkdir()
    (tmp_path / "root/secret.csv").write_text("secret")
    block = {"kind": "measured", "section": "", "name": name, "columns": [["a", "---", "1"]]}
    change(tmp_path / "root", blocks=[block])
    with pytest.raises(InputError, match=r"is a link, or lies outside|there is no such file"):
        build(tmp_path / "site", tmp_path / "root")


def test_a_key_cannot_name_a_file(tmp_path):
    change(tmp_path / "root", runs={"../../../index": a_page()["runs"][KEYS[0]]})
    with pytest.raises(InputError, match=r"'../../../index' is no run's key"):
        build(tmp_path / "site", tmp_path / "root")


@pytest.mark.parametrize("lacking", ["summary", "runs", "parameters"])
def test_a_damaged_page_is_told_in_a_sentence(tmp_path, lacking):
    change(tmp_path / "root", **{lacking: None})
    with pytest.raises(InputError, match=rf"page.json (has no {lacking}|is damaged)"):
        build(tmp_path / "site", tmp_path / "root")


def test_a_damaged_block_is_told_in_a_sentence(tmp_path):
    change(tmp_path / "root", blocks=[{"kind": "table", "section": ""}])
    with pytest.raises(InputError, match="page.json is damaged"):
        build(tmp_path / "site", tmp_path / "root")


def test_a_site_that_fails_leaves_the_old_one(root, tmp_path, monkeypatch):
    out = tmp_path / "site"
    save_page(tmp_path / "root")
    build(out, tmp_path / "root")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(site_module.shutil, "copyfile", fail)
    with pytest.raises(OSError, match="disk full"):
        build(out, tmp_path / "root")
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert {path.name for path in tmp_path.iterdir()} <= {"site", "root", "runs"}


def test_a_new_site_replaces_the_old_one_whole(tmp_path):
    out = tmp_path / "site"
    save_page(tmp_path / "root", "demo", "demo_news")
    build(out, tmp_path / "root")
    (out / "stale.html").write_text("stale")
    build(out, tmp_path / "root")
    assert not (out / "stale.html").exists() and (out / "index.html").is_file()
    assert "its texts are made up" in (out / "results/a_study/demo/index.html").read_text("utf-8")


def test_a_folder_that_is_no_site_is_left_alone(root, tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="is no site"):
        build(tmp_path / "mine", root)


def test_in_a_browser(site):
    if not site_check.browser():
        pytest.skip("there is no Chromium here (Debian: apt install chromium)")
    assert site_check.look(site, site_check.chosen(site)) == []


def test_it_is_searched_from_the_file_system(site):
    if not site_check.browser():
        pytest.skip("there is no Chromium here (Debian: apt install chromium)")
    links = "[...document.querySelectorAll('#search-results li a')].map(a => a.href)"
    with site_check.open_tab() as tab:
        tab.send("Page.navigate", url=f"{(site / 'search.html').as_uri()}?q=leads")
        tab.evaluate(site_check.LOADED)
        tab.evaluate("new Promise(r => setTimeout(r, 500))")  # results come one after the other
        assert any("results/a_study/small/index.html" in link for link in tab.evaluate(links))
        assert site_check.wrong_events(tab.events) == []


def test_the_browser_check_finds_what_is_wrong(tmp_path):
    if not site_check.browser():
        pytest.skip("there is no Chromium here (Debian: apt install chromium)")
    (tmp_path / "bad.html").write_text(
        '<!DOCTYPE html><body style="background: #fff; color: #aaa"><p>pale</p>'
        '<div style="width: 2000px">wide</div><img src="gone.png">'
        "<script>setTimeout(() => alert(1)); nothing()</script></body>"
    )
    lines = "\n".join(site_check.look(tmp_path, [Path("bad.html")]))
    for wrong in (
        "phone, dark: the body is 20",
        "contrast 2.3 of p",
        "no alternative text",
        "not shown",
        "a request failed",
        "a dialog: 1",
        "nothing is not defined",
    ):
        assert wrong in lines, lines
