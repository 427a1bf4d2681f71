"""Names of classes, columns and files are data: shown just so on a page, and taken for nothing."""

import csv
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt
from matplotlib.figure import Figure

import plots
from lib.analysis.names import study_name
from lib.markdown import code_span, escape, visible
from lib.publish import study
from lib.publish.verify import verify
from lib.runs.files import read_json
from plots import fonts
from plots.grids import NAME_WIDTH
from plots.style import literal
from tests.conftest import learnable
from tests.synthetic import markdown

CLASSES = [
    *("right", "gold", "loss", "accuracy", "precision", "f1", "mean", "total", "all", "index"),
    *("label", "count", "split", "epoch", "run", "seed", "documents", "nan", "None", "macro avg"),
    *("risk", "risk_low", "risk_sd", "$", "$$", "$a^b$ \\frac", "$5-$10 <b>", "a|b_c $x$", "_x_"),
    *("*a*", "**", "`", "```", "~~x~~", "\\(x\\)", "[x](../../.git/config)", "![a](b.png)", "# a"),
    *("<script>alert(1)</script>", "b --> <img src=x onerror=alert(2)>", "</details>", "&lt;"),
    *(
        "{x} %s {}",
        "1. a",
        "- a",
        "=1+1",
        '"',
        "'",
        "a,b",
        "é",
        "😀",
        "עברית",
        "\u200b",
        "a\nb",
        "a\tb",
    ),
    *("long " * 60 + "name", "1 ± 2 [0, 3]", "0" * 16),
]
ON_A_PAGE = [  # as many as a page shows confusions of
    *(
        "right",
        "gold",
        "accuracy",
        "risk",
        "risk_low",
        "nan",
        "count",
        "$",
        "$a^b$ \\frac",
        "a|b_c $x$",
    ),
    *("_x_ **y**", "`", "~~x~~", "[x](../../.git/config)", "<script>alert(1)</script>", "&lt; -->"),
    *("a\nb", "😀", "long " * 60 + "name", "=1+1"),
]


def html_of(markdown: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown)


def cells_of(markdown: str) -> list[list[str]]:
    """The rows of all tables, as a reader sees them."""
    soup = BeautifulSoup(html_of(markdown), "html.parser")
    return [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in soup.find_all("tr")]


def test_a_page_of_odd_names(tiny, tmp_path, monkeypatch, no_kernel):
    """The file, its columns and its classes have names that mean something else elsewhere."""
    texts, _ = learnable(8 * len(ON_A_PAGE), 5)
    path = tmp_path / "price $ list `a|b` <b> _c_ $x.jsonl"
    rows = zip(texts, ON_A_PAGE * 8, strict=True)
    lines = [json.dumps({"label": text, "right|$x$": name}) for text, name in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(study, "RESULTS", tmp_path / "results")
    overrides = {"dataset": str(path), "text": "label", "label": "right|$x$", "labels": ON_A_PAGE}
    overrides |= {"backbone": tiny["bert"], "epochs": 1, "seeds": [1], "tracker": "none"}
    overrides |= {"train_rows": 0, "dev_rows": 0, "test_rows": 0, "max_length": 16}
    overrides |= {"layers": 0}
    folder = study.run_study("your_data", "demo", overrides | {"precision": "fp32"})
    assert not verify(folder).wrong
    page = (folder / "README.md").read_text(encoding="utf-8")
    names = [visible(name).strip() for name in ON_A_PAGE]
    rows = cells_of(page)
    confusion = next(row for row in rows if row[0] == "gold" and len(row) > len(ON_A_PAGE))
    assert confusion == ["gold", *names]
    begin = rows.index(confusion) + 1
    assert [row[0] for row in rows[begin : begin + len(names)]] == names
    assert all(
        re.fullmatch(r"[\d.,]+", cell)
        for row in rows[begin : begin + len(names)]
        for cell in row[1:]
    )
    soup = BeautifulSoup(html_of(page), "html.parser")
    assert not soup.find(["script", "b", "s"])
    assert {link.get("href") for link in soup.find_all("a")} == {
        "../../../notebooks/your_data.ipynb",
        "../../../docs/statistics.md",
        *("calibration.csv", "runs.csv"),
        *("predictions.parquet", "history.csv", "page.json", "environment.json"),
    }
    assert path.name in soup.get_text() and "label = 'right|$x$'" in soup.get_text()
    with (folder / "confusion.csv").open(newline="", encoding="utf-8") as file:
        head, *lines = csv.reader(file)
    assert head == ["gold", *ON_A_PAGE] and [line[0] for line in lines] == ON_A_PAGE
    blocks = {block.get("name"): block for block in read_json(folder / "page.json")["blocks"]}
    assert [column[0] for column in blocks["confusion"]["columns"]] == [
        "gold",
        *map(escape, ON_A_PAGE),
    ]


@pytest.mark.parametrize("name", CLASSES, ids=repr)
def test_a_name_in_a_table_a_sentence_and_code(name):
    shown = " ".join(visible(name).split())
    table = pd.DataFrame({"class": [name, "b"], "n": [1, 2]})
    assert [row[0] for row in cells_of(markdown(table))] == ["class", shown, "b"]
    for text in (f"Of **{escape(name)}**, 3.", f"Of {code_span(name)}, 3."):
        soup = BeautifulSoup(html_of(text), "html.parser")
        assert " ".join(soup.get_text().split()) == f"Of {shown}, 3."
        assert not soup.find(["a", "img", "b", "i", "s", "script"])


def test_names_that_are_not_seen_are_told_by_their_numbers():
    assert visible("\u200b") == "U+200B" and visible("\xa0 ") == "U+00A0 U+0020"
    assert visible("a\u202eb") == "aU+202Eb" and visible("a\r\nb\tc") == "a↵b⇥c"
    assert visible("می\u200cخواهم") == "می\u200cخواهم" and visible("") == ""


@pytest.mark.parametrize("names", [CLASSES[:30], CLASSES[30:]], ids=["first", "second"])
def test_names_are_drawn_as_they_are(names):
    table = pd.DataFrame(np.eye(len(names)), index=names, columns=names)
    figure = plots.confusion_matrix(table, title="$x$ and $y^2$")
    figure.savefig(io.BytesIO(), dpi=20)
    labels = figure.axes[0].get_xticklabels()
    assert [label.get_text() for label in labels] == [literal(name, NAME_WIDTH) for name in names]
    assert not any(label.get_parse_math() for label in labels)
    scores = pd.DataFrame({"class": names, "head": "$x$"})
    scores = scores.assign(f1=0.5, f1_low=0.4, f1_high=0.6)
    figure = plots.class_intervals(scores, by="head", metric="f1", title="$")
    figure.savefig(io.BytesIO(), dpi=20)


def test_a_long_name_is_shortened_in_figures_alone():
    assert literal("long " * 60 + "name") == "long long long long long l…ong long name"
    assert literal("$x$") == "$x$" and len(literal("x" * 41)) == 40


def test_powers_along_a_logarithmic_axis_stay_powers():
    @plots.styled
    def draw():
        figure = Figure()
        figure.subplots().set_yscale("log")
        return figure

    figure = draw()
    figure.savefig(io.BytesIO())
    labels = figure.axes[0].get_yticklabels()
    assert all(label.get_parse_math() for label in labels) and "$" in labels[0].get_text()


def test_characters_that_no_font_has_are_said_once(capsys):
    fonts.fonts_with.cache_clear()
    table = pd.DataFrame(np.eye(2), index=["中", "b"], columns=["中", "b"])
    for _ in range(2):
        plots.confusion_matrix(table, title="x").savefig(io.BytesIO())
    told = capsys.readouterr().err
    has_no_font = fonts.BOXES in fonts.fonts_with("中")
    assert told.count("No installed font has 中") == has_no_font
    assert literal("中文 a") == ("U+4E2D U+6587  a" if has_no_font else "中文 a")


def test_studies_are_named_as_people_do():
    names = ["ag_news", "imdb_heads", "eurlex_optimizers", "grid_search", "audit"]
    spelled = ["AG News", "IMDB heads", "EURLex optimizers", "Grid search", "Audit"]
    assert [study_name(name) for name in names] == spelled
