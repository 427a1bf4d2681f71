"""What a study shows: each `show_*` is one block, and what is significant is bold."""

import base64
import io
import re
from types import SimpleNamespace

import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib.figure import Figure
from PIL import Image

from lib.analysis import findings, tables
from lib.errors import InputError
from lib.publish import page
from lib.publish.page import BLOCK_MIME
from lib.publish.render import block_markdown
from lib.runs.config import RunConfig
from lib.runs.published import runs_of_page
from tests.synthetic import classifiers


@pytest.fixture
def shown(monkeypatch):
    """What is displayed, in order."""
    bundles = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: bundles.append(data))
    return bundles


def block_of(bundles: list) -> dict:
    """The one block among what was displayed."""
    [block] = [bundle[BLOCK_MIME] for bundle in bundles if BLOCK_MIME in bundle]
    return block


def row(text: str, begins: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"| {begins}"))


def test_a_table_is_a_block_and_is_returned(shown):
    p = classifiers()
    arguments = {"by": "head", "metrics": ["accuracy"], "where": {"head": ["far", "near"]}}
    table = page.show_table("by_head", p, tables.by_group, "Two heads.", **arguments)
    block = block_of(shown)
    keys = [key for key, run in p.runs.items() if run["config"]["head"] != "level"]
    expected = {
        "kind": "table",
        "name": "by_head",
        "function": "lib.analysis.tables:by_group",
        "arguments": arguments,
        "runs": keys,
        "caption": "Two heads.",
    }
    assert {name: block[name] for name in expected} == expected
    assert block["columns"][0][:2] == ["head", "---"]
    assert block["columns"][0][2:] == ["far", "near"] == table["head"].tolist()
    assert block["csv"].startswith("head,seeds,documents,accuracy,")
    assert shown[0]["text/markdown"] == block_markdown(block) + "\n"


def test_a_table_of_one_group_is_of_its_runs(shown):
    p = classifiers()
    page.show_table("one", p, lambda p, by, group: pd.DataFrame({"a": [1]}), by="head", group="far")
    keys = [key for key, run in p.runs.items() if run["config"]["head"] == "far"]
    assert block_of(shown)["runs"] == keys


def test_a_shown_table_is_not_shown_again_and_is_a_table(shown):
    table = page.show_measured("cost", lambda: pd.DataFrame({"a": [1, 2]}), "Cost.")
    assert DisplayFormatter().format(table) == ({}, {})
    assert isinstance(table, pd.DataFrame) and type(table[table["a"] > 1]) is pd.DataFrame
    assert len(shown) == 1 and block_of(shown)["kind"] == "measured"


def test_a_measured_table_is_shown_as_it_is_arranged_and_published_as_it_was_measured(shown):
    made = pd.DataFrame({"a": [1, 2]})
    table = page.show_measured("cost", lambda: made, arrange=lambda table: 2 * table)
    block = block_of(shown)
    assert block["csv"] == "a\n1\n2\n" and table.equals(made)
    assert [column[2:] for column in block["columns"]] == [["2", "4"]]


def test_what_is_significant_is_bold(shown):
    p = classifiers()
    page.show_table("scores", p, tables.by_group, by="head", metrics=["accuracy"], verdict=True)
    page.show_table("differences", p, tables.differences, by="head", verdict=True)
    page.show_finding(p, findings.outlook, by="head")
    text = "\n\n".join(bundle["text/markdown"] for bundle in shown)
    assert "**" in row(text, "far |") and "**" not in row(text, "near |") + row(text, "level |")
    assert "**" in row(text, "near − far") and "**" not in row(text, "level − near")
    assert text.count("significantly better than every other model") == 1
    assert text.count("3 comparisons together (Šidák).") == 1
    assert re.search(r"A true difference of \d.\d points is found with 80 % power", text)
    assert text.split("Left open, neither different nor equal: ")[1].startswith("level − near.")


def test_where_two_are_level_none_is_bold(shown):
    p = classifiers().keep(lambda run: run["config"]["head"] != "far")
    page.show_table("scores", p, tables.by_group, by="head", metrics=["accuracy"], verdict=True)
    text = shown[0]["text/markdown"]
    assert "**" not in text and "Bold" not in text


def test_a_finding_is_a_block(shown):
    p = classifiers()
    arguments = {"by": "head", "where": {"head": ["far", "near"]}}
    page.show_finding(p, findings.outlook, **arguments)
    block = block_of(shown)
    assert (block["kind"], block["name"]) == ("finding", "outlook")
    assert block["function"] == "lib.analysis.findings:outlook"
    assert block["arguments"] == arguments and len(block["runs"]) == 6
    assert block["text"] == "No pair is left open."
    assert shown[0]["text/markdown"].strip() == block["text"]


def test_a_measured_finding_is_a_block_that_no_function_computes(shown):
    page.show_measured_finding("faster", "Twice as fast.", [SimpleNamespace(name="a" * 16)])
    block = block_of(shown)
    assert block["kind"] == "finding" and not block["function"] and block["runs"] == ["a" * 16]
    assert shown[0]["text/markdown"].strip() == "Twice as fast."


def test_a_table_says_that_a_figure_draws_it(shown):
    def drawn(p, by):
        table = tables.by_group(p, by=by, metrics=["accuracy"])
        table.attrs["drawn"] = True
        return table

    page.show_table("scores", classifiers(), drawn, by="head")
    page.show_table("plain", classifiers(), tables.by_group, by="head", metrics=["accuracy"])
    blocks = [each[page.BLOCK_MIME] for each in shown if page.BLOCK_MIME in each]
    assert blocks[0]["drawn"] and "drawn" not in blocks[1]


def test_a_figure_is_a_block_of_equal_bytes(shown):
    def figure() -> Figure:
        drawn = Figure(figsize=(2, 1))
        drawn.add_subplot().plot([1, 2])
        return drawn

    drawn = figure()
    drawn.runs = ["a" * 16]
    page.show_figure(drawn, "test_scores", "Dots.")
    page.show_figure(figure(), "test_scores", "Dots.", [SimpleNamespace(name="b" * 16)])
    one, other = (bundle[BLOCK_MIME] for bundle in shown if BLOCK_MIME in bundle)
    assert one["runs"] == ["a" * 16] and other["runs"] == ["b" * 16]
    assert one["png"] == other["png"] == shown[0]["image/png"]
    assert (one["alt"], one["width"], one["height"]) == ("test scores", 300, 150)
    picture = Image.open(io.BytesIO(base64.b64decode(one["png"])))
    assert picture.size == (300, 150) and set(picture.info) == {"dpi"}
    assert shown[1] == {"text/markdown": "*Dots.*\n"}


def test_what_is_measured_is_measured_once(page_folder, shown):
    made = page.measured("numbers", lambda: pd.DataFrame({"a": [0.5]}))
    assert made["a"].tolist() == [0.5]
    assert block_of(shown) == {"kind": "data", "name": "numbers", "csv": "a\n0.500000\n"}
    shown.clear()
    with runs_of_page(page_folder):
        table = page.show_measured("cost", lambda: pytest.fail("measured"), "Cost.")
    kept, block = (bundle[BLOCK_MIME] for bundle in shown)
    assert kept["kind"] == "kept" and kept["name"] == "cost"
    assert block["csv"] == (page_folder / "cost.csv").read_text() and len(table) == 2


@pytest.fixture
def page_folder(published):
    return published / "results" / "heads" / "tiny"


def test_a_measured_table_that_a_page_lacks(page_folder):
    with runs_of_page(page_folder), pytest.raises(InputError, match=r"has no none\.csv; publish"):
        page.measured("none", lambda: pytest.fail("measured"))


def test_an_audit_without_its_data(page_folder, shown):
    config = RunConfig(dataset="nowhere.csv", backbone="tiny")
    with pytest.raises(InputError, match="There is no file or folder nowhere.csv"):
        page.show_audit(config)
    with runs_of_page(page_folder):
        page.show_audit(config)
        kept, block = (bundle[BLOCK_MIME] for bundle in shown)
        assert kept["reason"] == "There is no file or folder nowhere.csv"
        assert block["kind"] == "audit" and block["csv"].startswith("split,rows,")
        with pytest.raises(InputError, match="There is no file or folder nowhere.csv"):
            page.show_audit(config, name="leaks")  # which this page has not


def test_runs_are_named_by_their_keys(shown, trained):
    page.show_runs([trained])
    assert block_of(shown) == {"kind": "runs", "keys": [trained.key]}
    assert shown[0]["text/plain"] == "1 runs published with this page"
