"""Whether a page was reproduced: scores within intervals, verdicts and findings beside those of the
page published before."""

import csv
import shutil

import pytest

from lib.errors import InputError
from lib.publish.folder import publish_again
from lib.publish.reproduced import compare_published, compare_with_replaced, describe
from lib.publish.wording import answer
from lib.runs.files import read_json, write_json
from tests.test_cli import cli
from tests.tiny_study import files


@pytest.fixture
def other(page, tmp_path):
    """A copy of the page, as another machine's."""
    folder = tmp_path / "elsewhere" / "tiny"
    shutil.copytree(page, folder)
    return folder


def rewrite(file, change) -> None:
    """Change the rows (dictionaries) of a CSV file in place."""
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    for row in rows:
        change(row)
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def spread(row: dict) -> None:
    """An interval of 40 to 60 %, and a score in it."""
    row |= {"accuracy": "0.5", "accuracy_low": "0.4", "accuracy_high": "0.6"}


def test_scores_outside_their_intervals_are_counted_and_the_largest_named(page, other):
    rewrite(page / "by_head.csv", spread)
    rewrite(other / "by_head.csv", spread)
    changed = {"cls": "0.55", "mean": "0.650"}

    def move(row: dict) -> None:
        row["accuracy"] = changed.get(row["head"], row["accuracy"])

    rewrite(other / "by_head.csv", move)
    lines = describe(compare_published(page, other), "it")
    assert lines[:3] == [
        "Compared with it:",
        "  2 of 3 scores lie within its 95 % intervals",
        "  largest difference: accuracy of mean in by_head.csv is 65.0 % instead of 50.0 % "
        "(+15.0 points; interval 40.0 % to 60.0 %)",
    ]
    rewrite(page / "by_head.csv", lambda row: row.update(accuracy_low="", accuracy_high=""))
    lines = describe(compare_published(page, other), "it")
    assert lines[1] == "  it has no score with a 95 % interval"
    assert "65.0 % instead of 50.0 % (+15.0 points)" in lines[2]


def test_a_column_that_is_named_after_a_method_holds_the_tables_metric(page, other):
    for folder, score in ((page, 0.5), (other, 0.55)):
        content = read_json(folder / "page.json")
        arguments = {"metric": "accuracy"}
        content["blocks"] = [{"kind": "table", "name": "by_size", "arguments": arguments}]
        write_json(folder / "page.json", content)
        text = f"texts,TF-IDF,TF-IDF_low,TF-IDF_high\n50,{score},0.4,0.6\n"
        (folder / "by_size.csv").write_text(text)
    lines = describe(compare_published(page, other), "it")
    assert "TF-IDF of 50 in by_size.csv is 55.0 % instead of 50.0 % (+5.0 points" in lines[2]


def test_rows_are_matched_by_their_names_and_verdicts_compared(page, other):
    content = read_json(page / "page.json")
    head = "what,compared,accuracy,accuracy_low,accuracy_high,verdict\n"
    rows = ["b,x − y,0.1,0.05,0.15,significant\n", "a,x − y,0.0,-0.1,0.1,not significant\n"]
    swapped = [rows[1], rows[0].replace(",significant", ",not significant"), "c,x − z,0,0,0,a\n"]
    for folder, lines in ((page, rows), (other, swapped)):
        (folder / "effects.csv").write_text(head + "".join(lines))
        block = {"kind": "table", "name": "effects"}
        write_json(folder / "page.json", content | {"blocks": [*content["blocks"], block]})
    result = compare_published(page, other)
    assert result.verdicts == [
        ("b in effects.csv", "significant", "not significant", False),
        ("a in effects.csv", "not significant", "not significant", True),
    ]
    assert result.missing == ["c in effects.csv"]
    assert result.record()["other verdicts"] == ["b in effects.csv"]
    assert "  1 of 2 verdicts are the same" in describe(result, "it")


def measured_once(page) -> list[dict]:
    """The blocks of a page, and a finding that was measured: another machine's says another."""
    measured = {"kind": "finding", "name": "faster", "function": "", "text": "Half as fast."}
    return [*read_json(page / "page.json")["blocks"], measured]


def test_findings_and_settings_that_differ_are_told(page, other):
    content = read_json(other / "page.json")
    finding = next(block for block in content["blocks"] if block["name"] == "outlook")
    finding["text"] = "Nothing is left open."
    content["blocks"].append(
        {"kind": "finding", "name": "faster", "function": "", "text": "Twice."}
    )
    content["parameters"]["epochs"] = 9
    write_json(other / "page.json", content)
    write_json(page / "page.json", read_json(page / "page.json") | {"blocks": measured_once(page)})
    lines = describe(compare_published(page, other), "it")
    assert lines[1] == "  made with other settings: epochs 9 instead of 3"
    assert "  1 of 2 findings are the same" in lines
    assert lines[-1].startswith("    outlook: 'Nothing is left open.' instead of 'With")


@pytest.mark.parametrize(
    ("text", "same", "another"),
    [
        (
            "**A** leads with 92.8 % (95 % interval 91.0 % to 94.5 %; 3 seeds).",
            "**A** leads with 90.1 % (95 % interval 88.9 % to 91.5 %; 3 seeds).",
            "**B** leads with 92.8 % (95 % interval 91.0 % to 94.5 %; 3 seeds).",
        ),
        (
            "It is ahead of b (+0.1 points, 95 % interval −2.5 to +2.7).",
            "It is ahead of b (−0.2 points, 95 % interval −2.0 to +2.1).",
            "It is ahead of b (+2.2 points, 95 % interval +1.5 to +2.7).",
        ),
        (
            "This changes P@1 by +7.4 points (95 % interval +4.4 to +10.4): significant.",
            "This changes P@1 by +5.5 points (95 % interval +2.3 to +8.7): significant.",
            "This changes P@1 by −7.4 points (95 % interval −10.4 to −4.4): significant.",
        ),
        (
            "Heads reach 81–83 % on 1,000 texts; dev chooses 0.001.",
            "Heads reach 80–84 % on 1,000 texts; dev chooses 0.001.",
            "Heads reach 81–83 % on 1,000 texts; dev chooses 0.01.",
        ),
        (
            "With 3 seeds, 1 of 6 bugs change it: loss 0.014 higher.",
            "With 3 seeds, 1 of 6 bugs change it: loss 0.019 higher.",
            "With 3 seeds, 2 of 6 bugs change it: loss 0.014 higher.",
        ),
        (
            "It gains +2.1 points (too few seeds for an interval).",
            "It gains +0.1 points (too few seeds for an interval).",
            "It gains −2.1 points (too few seeds for an interval).",
        ),
    ],
)
def test_an_answer_is_the_same_whatever_the_scores(text, same, another):
    settings = {0.001, 0.01}
    assert answer(text, settings) == answer(same, settings) != answer(another, settings)


def test_a_rerun_is_compared_with_the_page_that_it_replaces(page, other):
    environment = read_json(page / "environment.json")
    environment.pop("replaced page", None)  # where another test has published it twice
    write_json(page / "environment.json", environment)
    before = files(page)
    lines = compare_with_replaced(other, page)
    assert lines[0] == "Compared with the page that this one replaces:"
    changed = {name for name, content in files(page).items() if content != before[name]}
    assert changed == {"environment.json"}
    record = read_json(page / "environment.json")["replaced page"]
    assert record["findings"] == 2 and not record["other findings"]
    assert record["made on"] == read_json(other / "environment.json")["page"]
    publish_again(page)
    assert read_json(page / "environment.json")["replaced page"] == record
    (other / "page.json").write_text("{")
    assert compare_with_replaced(other, page) == []
    assert compare_with_replaced(other / "none", page) == []


def test_the_command_compares_or_says_why_it_cannot(page, other, monkeypatch, capsys):
    assert cli(monkeypatch, "compare", page, other) == 0
    assert "2 of 2 findings are the same" in capsys.readouterr().out
    content = read_json(other / "page.json")
    write_json(other / "page.json", content | {"study": "tails"})
    assert cli(monkeypatch, "compare", page, other) == 1
    assert "are pages of two studies, heads and tails" in capsys.readouterr().err
    (page / "by_head.csv").unlink()
    write_json(other / "page.json", content)
    with pytest.raises(InputError, match="by_head.csv cannot be read: no such file"):
        compare_published(page, other)
