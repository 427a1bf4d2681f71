"""False claims planted on a page, each caught by its name: a bold difference that does not
stand, a digit, a threshold tuned on test, a note on another test; and what a page says of them
when they are true."""

import json
import re

import pandas as pd
import pytest

from lib.analysis import decisions, findings, tables
from lib.analysis.predictions import Predictions
from lib.publish import page
from lib.publish.verify import verify
from tests.synthetic import classifiers, taggers


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Publish predictions with some tables and sentences as a study does, without a notebook."""

    def publish(p: Predictions, shown: list) -> tuple:
        said = []
        monkeypatch.setattr(
            page, "_display", lambda bundle, **metadata: said.append((bundle, metadata))
        )
        for kind, function, arguments in shown:
            if kind == "table":
                page.show_table(function.__name__, p, function, **arguments)
            else:
                page.show_finding(p, function, **arguments)
        for bundle, metadata in said:
            if "text/csv" in bundle:
                (tmp_path / metadata["filename"]).write_text(bundle["text/csv"])
        epochs = [{"run": key, "epoch": 1} for key in p.runs]
        pd.DataFrame(epochs).to_csv(tmp_path / "history.csv", index=False)
        (tmp_path / "environment.json").write_text(
            json.dumps({"run_seconds": dict.fromkeys(p.runs, 1.0)})
        )
        p.write(tmp_path / "predictions.parquet")
        text = "\n\n".join(bundle["text/markdown"].strip() for bundle, _ in said) + "\n"
        (tmp_path / "README.md").write_text(text)
        assert verify(tmp_path)[1] == []
        return tmp_path, text

    return publish


def planted(folder, text: str, old: str, new: str) -> list[str]:
    assert text.count(old) == 1
    (folder / "README.md").write_text(text.replace(old, new))
    return verify(folder)[1]


def row(text: str, begins: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"| {begins}"))


def test_what_stands_is_bold_and_a_false_claim_on_it_is_named(published):
    shown = [
        ("table", tables.by_group, {"by": "head", "metrics": ["accuracy"], "verdict": True}),
        ("table", tables.differences, {"by": "head", "verdict": True}),
        ("finding", findings.outlook, {"by": "head"}),
    ]
    folder, text = published(classifiers(), shown)
    assert "**" in row(text, "far |") and "**" not in row(text, "near |") + row(text, "level |")
    assert "**" in row(text, "near − far") and "**" not in row(text, "level − near")
    assert "Family: the 3 pairs of this table. n: 600 documents, 3 pairs of runs." in text
    assert (
        re.search(r"level − near \([+−]?\d.\d points\) takes \d", text)
        and "near − far" not in text.split("as much")[1]
    )

    insignificant = row(text, "level − near")
    number = insignificant.split(" | ")[3]
    wrong = planted(folder, text, insignificant, insignificant.replace(number, f"**{number}**"))
    assert wrong == [
        f"table differences, row level − near, column accuracy (%): the page says **{number}**, "
        f"the predictions say {number}"
    ]
    wrong = planted(folder, text, insignificant, insignificant.replace("| no |", "| yes |"))
    assert wrong == [
        "table differences, row level − near, column stands: the page says yes, the predictions "
        "say no"
    ]
    best = row(text, "far |")
    digit = next(i for i, char in enumerate(best) if i > 20 and char.isdigit())
    wrong = planted(
        folder, text, best, best[:digit] + str((int(best[digit]) + 1) % 10) + best[digit + 1 :]
    )
    assert len(wrong) == 1 and wrong[0].startswith("table by_group, row far, column")
    wrong = planted(
        folder, text, "Family: the 3 pairs of this table", "Family: the 2 pairs of this table"
    )
    assert len(wrong) == 1 and wrong[0].startswith(
        "table differences: the note on its tests differs"
    )
    wrong = planted(folder, text, "(four times in five, before Holm)", "(always)")
    assert len(wrong) == 1 and wrong[0].startswith("finding outlook: the page says")


def test_where_two_are_level_none_is_bold(published):
    p = classifiers()
    p = p.keep(lambda run: run["config"]["head"] != "far")
    shown = [("table", tables.by_group, {"by": "head", "metrics": ["accuracy"], "verdict": True})]
    text = published(p, shown)[1]
    assert "**" not in text and "n: 600 documents, 3 pairs of runs." in text


def test_a_threshold_tuned_on_test_is_named(published, monkeypatch):
    own = decisions.group_of
    shown = [("table", decisions.label_thresholds, {"by": "head", "group": "tags"})]
    folder, honest = published(taggers(), shown)
    monkeypatch.setattr(
        decisions, "group_of", lambda p, by, group, split="test": own(p, by, group, "test")
    )
    _, tuned = published(taggers(), shown)
    monkeypatch.setattr(decisions, "group_of", own)
    assert tuned != honest
    wrong = verify(folder)[1]
    name = "table label_thresholds, row "
    assert any(
        line.startswith(name) and ", column threshold: the page says" in line for line in wrong
    )
    assert "label_thresholds.csv is missing or differs from what the predictions say" in wrong
