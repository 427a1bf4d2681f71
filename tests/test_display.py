"""How numbers and names are written: what METRICS says of a column, and names of the user's own
data, which say nothing."""

import dataclasses
import io
import re

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt

from lib.analysis import classes, decisions, display
from lib.analysis.display import to_csv, with_metrics
from lib.analysis.numbers import differ_as_written, plain_number
from lib.analysis.predictions import Predictions
from lib.errors import InputError
from lib.metrics import METRICS
from lib.publish import page
from lib.publish.render import block_markdown
from tests.synthetic import markdown

TRAPS = (  # classes whose names are also those of columns, of metrics, or of markup
    "right",
    "loss",
    "gold",
    "risk_low",
    "risk",
    "accuracy",
    "p (x)",
    "run",
    "a|b",
    "<b>",
    "_x_",
    "$1$",
)


def predictions_of(names: tuple[str, ...], rows: int = 120) -> Predictions:
    """One run of a classifier of these classes, right in three cases of four."""
    rng = np.random.default_rng(0)
    labels = np.arange(rows) % len(names)
    predicted = np.where(rng.random(rows) < 0.75, labels, rng.integers(len(names), size=rows))
    logits = 4.0 * np.eye(len(names))[predicted]
    columns = {f"logit_{i}": logits[:, i] for i in range(len(names))}
    frames = [
        pd.DataFrame(
            {"run": "k" * 16, "split": split, "epoch": 1, "row": np.arange(rows), "tokens": 9}
            | {"label": labels}
            | columns
        )
        for split in ("dev", "test")
    ]
    config = {"backbone": "tiny", "head": "cls", "seed": 1}
    run = {"config": config, "status": "finished", "chosen_epoch": 1, "last_epoch": 1}
    return Predictions(pd.concat(frames, ignore_index=True), {"k" * 16: run}, names)


def shown(text: str) -> list[list[str]]:
    """The cells of a pipe table as a reader sees them."""
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert "<em>" not in html and "<b>" not in html
    for character, entity in (("<", "&lt;"), (">", "&gt;")):
        html = html.replace(f"{entity}", f"\0{character}\0")
    rows = re.findall(r"<tr>(.*?)</tr>", html, flags=re.S)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.S) for row in rows]
    return [[cell.replace("\0", "") for cell in row] for row in cells]


def test_a_class_is_shown_as_a_class_whatever_its_name():
    p = predictions_of(TRAPS)
    table = classes.confusion_table(p, by="head", group="cls")
    head, *rows = shown(markdown(table))
    assert head == ["gold", *TRAPS]
    assert [row[0] for row in rows] == list(TRAPS)
    counts = classes.confusions(p.groups("head")[0], len(TRAPS))[0]
    assert [[int(cell) for cell in row[1:]] for row in rows] == counts.tolist()


def test_the_csv_of_a_confusion_has_every_class_and_the_gold_names():
    table = classes.confusion_table(predictions_of(TRAPS), by="head", group="cls")
    lines = to_csv(table).splitlines()
    assert lines[0] == "gold," + ",".join(TRAPS)
    assert [line.split(",")[0] for line in lines[1:]] == list(TRAPS)
    assert len(lines[3].split(",")) == 1 + len(TRAPS)


def test_class_names_in_rows_are_shown_as_they_are():
    report = decisions.class_report(predictions_of(TRAPS), by="head", group="cls")
    head, *rows = shown(markdown(report))
    assert head == ["class", "documents", "precision (%)", "recall (%)", "F1 (%)"]
    assert {row[0] for row in rows} == set(TRAPS)


def test_such_classes_on_a_page_are_what_they_are_in_a_table(monkeypatch):
    p = predictions_of((*TRAPS, "--> {}"))
    blocks = []
    monkeypatch.setattr(page, "_display", lambda block, **_: blocks.append(block))
    page.show_table("confusion", p, classes.confusion_table, by="head", group="cls")
    page.show_table("report", p, decisions.class_report, by="head", group="cls")
    head, *rows = shown(block_markdown(blocks[0]))
    assert head == ["gold", *TRAPS, "--> {}"]
    assert [row[0] for row in rows] == head[1:]
    assert {row[0] for row in shown(block_markdown(blocks[1]))[1:]} == set(head[1:])


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("accuracy", 0.91234, "91.2"),
        ("accuracy", -0.0003, "0.0"),
        ("loss", 0.123456, "0.1235"),
        ("mcc", -0.5, "−0.500"),
        ("rmse", 12345.6, "12,346"),
        ("p", 0.0004, "<0.001"),
        ("p", 0.0404, "0.040"),
        ("p", 0.04996, "<0.05"),
        ("p", 0.0501, "0.050"),
        ("gradient_norm", 0.00745123, "0.00745"),
        (None, 1234.0, "1,234"),
        (None, float("nan"), "–"),
        (None, None, "–"),
        (None, "3 | 4", "3 \\| 4"),
    ],
)
def test_cells(metric, value, text):
    assert display.cell(value, metric) == text


@pytest.mark.parametrize(
    ("metric", "low", "high", "text"),
    [
        ("f1", -1.0, 1.0, "50.0 (not estimable)"),
        ("f1", 0.0, 1.0, "50.0 (not estimable)"),
        ("f1", 0.0, 0.8, "50.0 ± 50.0"),
        ("rmse", 0.0, 1.0, "0.500 ± 0.500"),
    ],
)
def test_an_interval_that_is_cut_off_at_both_ends_has_no_half(metric, low, high, text):
    row = {metric: 0.5, f"{metric}_low": low, f"{metric}_high": high}
    table = with_metrics(pd.DataFrame([row]), {metric: metric})
    assert markdown(table).splitlines()[-1] == f"| {text} |"
    sure = {"f1": 1.0, "f1_low": 1.0, "f1_high": 1.0}
    table = with_metrics(pd.DataFrame([sure]), {"f1": "f1"})
    assert markdown(table).splitlines()[-1] == "| 100.0 ± 0.0 |"


def test_a_metric_is_shown_with_its_spread_and_interval():
    row = {"head": "cls", "f1": 0.5, "f1_sd": 0.01, "f1_low": 0.4, "f1_high": 0.6}
    cut_off = row | {"f1_high": 0.52}
    few = row | {"f1_low": np.nan, "f1_high": np.nan, "f1_values": "0.410000 0.590000"}
    table = with_metrics(pd.DataFrame([row, cut_off, few, few | {"f1_values": ""}]), {"f1": "f1"})
    table.attrs["bold"] = [(0, "f1")]
    assert markdown(table).splitlines() == [
        "| head | F1 (%) |",
        "| --- | ---: |",
        "| CLS | **50.0 ± 10.0** |",
        "| CLS | 50.0 ± 10.0 |",
        "| CLS | 50.0 (41.0, 59.0) |",
        "| CLS | 50.0 |",
    ]


def test_a_decimal_more_where_one_hides_the_verdict():
    row = {"f1": -0.0492, "f1_low": -0.0982, "f1_high": -0.0002}
    table = with_metrics(pd.DataFrame([row]), {"f1": "f1"})
    assert markdown(table).splitlines()[-1] == "| −4.92 ± 4.90 |"
    row = {"f1": 1e-6, "f1_low": -1e-6, "f1_high": 3e-6}
    table = with_metrics(pd.DataFrame([row]), {"f1": "f1"})
    assert markdown(table).splitlines()[-1] == "| 0.0 ± 0.0 |"


def test_columns_without_a_metric_are_neither_merged_nor_guessed():
    table = pd.DataFrame({"f1": [0.5], "f1_low": [0.4], "f1_high": [0.6], "right": [27]})
    assert markdown(table).splitlines() == [
        "| f1 | f1 low | f1 high | right |",
        "| ---: | ---: | ---: | ---: |",
        "| 0.5 | 0.4 | 0.6 | 27 |",
    ]


def test_headers_name_the_metric_and_keep_what_follows():
    table = pd.DataFrame({"mcc, last epoch": [0.5], "dev_loss": [0.5], "p (Holm)": [0.5]})
    with_metrics(table, {"mcc, last epoch": "mcc", "dev_loss": "loss", "p (Holm)": "p"})
    headers = [display.header(table, column) for column in table]
    assert headers == ["MCC, last epoch", "dev loss", "p (Holm)"]


def test_a_new_metric_is_one_row_and_an_unknown_one_is_named(monkeypatch):
    row = dataclasses.replace(METRICS["mcc"], title="kappa", kind="signed")
    monkeypatch.setitem(METRICS, "cohen", row)
    assert display.score(-0.1234, "cohen") == "−0.123"
    assert display.difference(0.1, "cohen") == "+0.100"
    assert display.axis_label("cohen") == "test kappa, with 95 % interval"
    with pytest.raises(InputError, match="Unknown metric 'accurcy'. Did you mean accuracy?"):
        display.score(0.5, "accurcy")


def test_sentence_parts():
    assert display.score(0.9123, "accuracy") == "91.2 %"
    assert display.difference(-0.0123, "accuracy") == "−1.2 points"
    assert display.signed(0.0004, "accuracy") == "0.0"
    assert display.difference_interval(-0.01, 0.02, "f1") == "95 % interval −1.0 to +2.0"
    assert display.difference_interval(-0.1, -0.0002, "f1") == "95 % interval −10.0 to −0.02"
    assert display.difference_interval(np.nan, np.nan, "f1") == "too few seeds for an interval"
    assert display.difference_interval(-0.01, 0.02, "rmse") == "95 % interval −0.010 to +0.020"
    assert display.count(1, "seed") == "1 seed" and display.count(1200, "seed") == "1,200 seeds"
    assert display.listed(["a"]) == "a" and display.listed(["a", "b", "c"]) == "a, b and c"


@pytest.mark.parametrize(
    ("one", "other", "metric", "as_written"),
    [
        (0.8674, 0.8656, "accuracy", False),  # 86.7 and 86.6, but 0.2 points apart
        (0.8656, 0.8674, "accuracy", False),
        (0.775, 0.703, "accuracy", True),
        (1234.4, 1.0, "mae", True),
        (1234.4, 1.6, "mae", False),  # 1,234 and 1.600, but 1,233 apart
    ],
)
def test_whether_a_difference_is_that_of_the_scores_as_written(one, other, metric, as_written):
    assert differ_as_written(one, other, metric) == as_written


def test_a_name_with_a_carriage_return_is_one_cell_of_csv():
    table = pd.DataFrame({"class": ["a\rb", "c"], "n": [1, 2]})
    read = pd.read_csv(io.StringIO(to_csv(table), newline=""))
    assert read["class"].tolist() == ["a\rb", "c"] and read["n"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("value", "text"), [(5e-5, "0.00005"), (0.001, "0.001"), (3.0, "3"), (1e6, "1000000")]
)
def test_settings_have_no_exponent(value, text):
    assert plain_number(value) == text
