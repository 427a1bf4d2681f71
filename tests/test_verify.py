"""What `verify` finds on a page: every edit by its name, damage in one sentence; and what it lets
pass, and says so."""

import dataclasses
import json
import os
import re
import shutil
import sys
from decimal import Decimal

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lib import __main__
from lib.analysis.predictions import Predictions
from lib.errors import InputError
from lib.publish import compare, verify
from lib.publish import folder as page_folder
from lib.publish.blocks import HEADER
from lib.publish.evidence import check_digests, history_digest, predictions_digest
from lib.publish.folder import SOURCES, publish_again, write_page
from lib.publish.render import page_markdown
from lib.runs.files import digest, read_json, write_json
from lib.runs.paths import ROOT
from lib.runs.published import HISTORY, PREDICTIONS, page_runs
from tests.tiny_study import files


@pytest.fixture(scope="module")
def made():
    return {}


@pytest.fixture(autouse=True)
def made_once(made, monkeypatch):
    """A page is made again once for the same sources: that is what takes the time."""

    def remember(folder):
        header = read_json(folder / "page.json")
        sources = [(folder / name).read_bytes() for name in SOURCES]
        sources += [header.get(name) for name in HEADER]
        sources += [path.read_bytes() for path in sorted(folder.glob("[cn]*.csv"))]  # measured
        key = digest(*sources)
        if key not in made:
            kept = write_page(folder)
            made[key] = kept, files(folder)
        kept, contents = made[key]
        shutil.rmtree(folder)
        folder.mkdir()
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        return kept

    for module in (verify, page_folder):
        monkeypatch.setattr(module, "write_page", remember)


def wrong(page) -> list[str]:
    return verify.verify(page).wrong


def edit(path, pattern: str, new) -> None:
    """Replace the first match of a pattern, which there must be."""
    text = path.read_text(encoding="utf-8")
    changed, count = re.subn(pattern, new, text, count=1)
    assert count and changed != text
    path.write_text(changed, encoding="utf-8")


def other_digit(match) -> str:
    return str((int(match[0][0]) + 1) % 10) + match[0][1:]


def edit_facts(page, change) -> None:
    """Change what predictions.parquet says of runs, by name."""
    predictions = Predictions.read(page / "predictions.parquet")
    change(predictions.runs)
    predictions.write(page / "predictions.parquet")


def edit_json(page, change) -> None:
    content = read_json(page / "page.json")
    change(content)
    write_json(page / "page.json", content)


def test_a_page_verifies_and_says_what_that_means(page, capsys, monkeypatch):
    for folder in (page, page.with_name("made_up")):
        check = verify.verify(folder)
        assert not check.wrong and not check.moved and check.compared > 10
        place = "measured on the machine that made the page"
        assert check.unchecked == [f"cost: {place}", f"numbers: {place}"]
    status, lines = command_line(page, monkeypatch, capsys)
    assert status == 0 and lines[0].endswith("files and facts checked, 0 differ")
    assert lines[-1] == verify.MEANING
    assert "not that they came from training" in lines[-1]


def command_line(page, monkeypatch, capsys) -> tuple[int, list[str]]:
    monkeypatch.setattr(sys, "argv", ["lib", "verify", str(page)])
    with pytest.raises(SystemExit) as end:
        __main__.main()
    output = capsys.readouterr()
    assert not output.err
    return end.value.code, output.out.splitlines()


def test_several_pages_are_verified_at_once_and_told_in_order(page, monkeypatch, tmp_path):
    folders = [tmp_path / name for name in ("none", "no_page", "nothing")]
    results = list(verify.verify_all(folders))
    told = [f"{folder}: There is no folder {folder}" for folder in folders]
    assert [lines[0].split(";")[0] for lines, _ in results] == told
    assert not any(is_well for _, is_well in results)
    monkeypatch.setattr(verify, "AT_ONCE", 1)
    (lines, is_well), (other, _) = verify.verify_all([page, folders[0]])
    assert is_well and lines[0].endswith(" 0 differ") and other == results[0][0]


# ---- what is shown

TEXTS = {  # the file, what is replaced by what, and what verify says
    "a digit in a table": ("README.md", r"\d\d\.\d \(", other_digit, "the page says '| CLS | "),
    "a digit in a CSV": ("by_head.csv", r"\d{6},", other_digit, "by_head.csv, line 2"),
    "a word of a finding": ("README.md", "can be told", "can hardly be told", "hardly"),
    "a caption": ("README.md", "All heads", "Most heads", "the page says 'Most heads.'"),
    "a deleted finding": ("README.md", r"- With the.*\n\n", "", "its runs say '- With the"),
    "an added sentence": ("README.md", "<details>", "All is well.\n\n<details>", "All is well."),
    "rows of train": ("README.md", "48 train", "25,000 train", "25,000 train"),
    "a parameter": ("README.md", "`epochs = 3`", "`epochs = 4`", "README.md, line"),
    "an empty page": ("README.md", r"(?s).*", "", "README.md, line 1: the page says ''"),
    "another line's end": ("README.md", r"\n\Z", "", "README.md"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_changed_text(page, case):
    name, pattern, new, message = TEXTS[case]
    edit(page / name, pattern, new)
    [difference] = wrong(page)
    assert difference.startswith(name) and message in difference


def test_a_demo_without_its_warning(page):
    demo = page.with_name("made_up")
    edit(demo / "README.md", r"> \*\*A demo.*\n\n", "")
    [difference] = wrong(demo)
    assert "its runs say '> **A demo:**" in difference


def test_bytes_that_are_no_text(page):
    (page / "by_head.csv").write_bytes(b"\xff")
    assert wrong(page) == ["by_head.csv is no UTF-8 text"]


def test_swapped_and_painted_figures(page):
    one, other = page / "dev_loss.png", page / "train_loss.png"
    before = one.read_bytes(), other.read_bytes()
    one.write_bytes(before[1])
    other.write_bytes(before[0])
    differences = wrong(page)
    assert [line.split(" is not the figure that its runs give")[0] for line in differences] == [
        "dev_loss.png",
        "train_loss.png",
    ]
    other.write_bytes(before[1])
    paint(before[0], one, 3)
    assert wrong(page) == [
        "dev_loss.png is not the figure that its runs give (0.02% of its pixels differ)"
    ]
    one.write_text("no picture")
    assert wrong(page) == ["dev_loss.png is no picture"]
    Image.new("RGBA", (3, 3)).save(one)
    assert wrong(page) == ["dev_loss.png has another size than its runs give"]


def paint(png: bytes, path, width: int) -> None:
    """Save a picture with a black square in it."""
    path.write_bytes(png)
    picture = Image.open(path)
    pixels = np.array(picture.convert("RGB"))
    pixels[:width, :width] = 255 - pixels[:width, :width]
    Image.fromarray(pixels).save(path, dpi=picture.info["dpi"])


def test_metadata_of_a_figure(page):
    path = page / "dev_loss.png"
    picture = Image.open(path)
    picture.load()
    picture.save(path, dpi=None)
    assert wrong(page) == ["dev_loss.png has other metadata than its runs give"]
    more = PngInfo()
    more.add_text("Title", "the best")
    picture.save(path, dpi=picture.info["dpi"], pnginfo=more)
    assert wrong(page) == ["dev_loss.png has other metadata than its runs give"]


def test_files_added_and_deleted(page):
    (page / "more.csv").write_text("a\n1\n")
    (page / "folder").mkdir()
    shown = "is shown by no cell of the notebook"
    assert wrong(page) == [f"folder {shown}", f"more.csv {shown}"]
    (page / "more.csv").unlink()
    (page / "folder").rmdir()
    for name in ("by_head.csv", "README.md", "dev_loss.png"):
        (page / name).unlink()
    assert wrong(page) == [
        "README.md is missing",
        "by_head.csv is missing",
        "dev_loss.png is missing",
    ]


# ---- numbers that another processor gives


def next_number(match) -> str:
    return str(Decimal(match[0]) + Decimal(1).scaleb(Decimal(match[0]).as_tuple().exponent))


def move(page, pattern: str) -> None:
    """Move a number of page.json by one unit of its last digit, and README.md with it."""
    edit(page / "page.json", pattern, next_number)
    page.joinpath("README.md").write_text(page_markdown(read_json(page / "page.json")))


def test_a_last_digit_may_move_and_is_counted(page, monkeypatch, capsys):
    move(page, r"\d\d\.\d(?= \()")
    edit(page / "by_head.csv", r"\d\.\d{6}", next_number)
    figure = page / "dev_loss.png"
    png = figure.read_bytes()
    check = verify.verify(page)
    assert (check.moved, check.redrawn, check.wrong) == (2, [], [])
    paint(png, figure, 3)
    status, lines = command_line(page, monkeypatch, capsys)
    assert status == 0
    assert "  2 numbers differ by one unit of their last digit" in lines
    assert "  dev_loss.png differs in 0.02% of its pixels" in lines
    paint(png, figure, 60)
    assert "dev_loss.png is not the figure" in wrong(page)[0]
    figure.write_bytes(png)
    edit(page / "by_head.csv", r"\d\.\d{6}", next_number)  # two units away
    assert wrong(page)[0].startswith("by_head.csv, line 2")


def test_a_count_may_not_move(page):
    move(page, r'(?<=")21(?= documents")')
    [difference] = wrong(page)
    assert difference.startswith("page.json, table by_head, counts")


@pytest.mark.parametrize(
    ("shown", "expected", "moved"),
    [
        ("1.25 ± 0.10 [−0.31, 1.20]", "1.26 ± 0.10 [−0.30, 1.20]", 2),
        ("1.2e-05", "1.3e-05", 1),
        ("9.99", "10.00", 1),
        ("12,345.6", "12,345.7", 1),
        ("1e-05", "2e-05", None),
        ("1.25", "1.27", None),
        ("1.25", "1.3", 1),
        ("25 rows", "26 rows", None),
        ("v1.2", "v1.3", None),
        ("1.25 is high", "1.25 is low", None),
    ],
)
def test_last_digits(shown, expected, moved):
    assert compare.moved_digits(shown, expected) == moved


@pytest.mark.parametrize(
    ("field", "moved", "wrong"), [("text", 1, 0), ("caption", 1, 0), ("arguments", 0, 1)]
)
def test_only_computed_numbers_may_move(field, moved, wrong):
    check = compare.Check()
    block = {"kind": "finding", "name": "outlook", field: "0.1"}
    compare.compare_blocks(block, block | {field: "0.2"}, check)
    assert (check.moved, len(check.wrong)) == (moved, wrong)


# ---- what it is made from


def test_rows_that_were_not_trained_on(page):
    predictions = Predictions.read(page / "predictions.parquet")
    predictions.data["rows"]["train"] = 25_000
    predictions.write(page / "predictions.parquet")
    publish_again(page)
    differences = wrong(page)
    assert differences[0] == "the data has 48 train rows, not 25000 as told"
    assert differences[1].endswith("epoch 1 ends with step 6, but 25000 train rows give 3125")
    predictions.data["rows"] |= {"train": 48, "test": 22}
    predictions.write(page / "predictions.parquet")
    publish_again(page)
    assert wrong(page)[1].endswith("21 test rows were scored, not 22 as told")


def test_another_chosen_epoch(page):
    name = next(iter(read_json(page / "page.json")["runs"]))

    def choose(runs) -> None:
        runs[name]["chosen_epoch"] = 3

    before = files(page)
    edit_facts(page, choose)
    edit_json(page, lambda content: choose(content["runs"]))
    told = f"run {name}: epoch 3 is said to be chosen, but dev chooses 1"
    assert wrong(page)[0] == told
    publish_again(page)
    assert wrong(page) == [told]
    (page / "predictions.parquet").write_bytes(before["predictions.parquet"])
    assert "page.json, runs: it is not what its runs give" in wrong(page)


def better(page) -> tuple[Predictions, str]:
    """Predictions of which one run has all of test right."""
    predictions = Predictions.read(page / "predictions.parquet")
    name = next(iter(predictions.runs))
    frame = predictions.frame
    rows = (frame["run"] == name) & (frame["split"] == "test")
    for i in (0, 1):
        frame.loc[rows & (frame["label"] == i), f"logit_{i}"] = np.float16(9)
    predictions.write(page / "predictions.parquet")
    return predictions, name


def test_better_predictions(page):
    predictions, name = better(page)
    told = f"run {name}: its predictions are not those that its record tells of"
    differences = wrong(page)
    assert differences[0] == told and any("by_head.csv, line 2" in line for line in differences)
    publish_again(page)
    assert wrong(page) == [told]
    predictions.runs[name]["predictions"] = predictions_digest(predictions, name)
    predictions.write(page / "predictions.parquet")
    publish_again(page)
    assert wrong(page) == []  # consistent, and false: MEANING says so
    assert "100.0" in (page / "README.md").read_text()


def test_swapped_splits_and_labels(page):
    predictions = Predictions.read(page / "predictions.parquet")
    frame = predictions.frame
    split = frame["split"].cat.rename_categories({"dev": "test", "test": "dev"})
    swapped = dataclasses.replace(predictions, frame=frame.assign(split=split))
    swapped.write(page / "predictions.parquet")
    assert wrong(page)[0].endswith("its splits are not dev and test")
    swapped = dataclasses.replace(predictions, label_names=predictions.label_names[::-1])
    swapped.write(page / "predictions.parquet")
    assert wrong(page)[0] == "the labels of the data at hand have other names than told"


def test_swapped_heads_and_a_falsified_configuration(page):
    def swap(runs) -> None:
        by_head = {run["config"]["head"]: run for run in list(runs.values())[:-1]}
        by_head["cls"]["config"]["head"] = "mean"
        by_head["mean"]["config"]["head"] = "cls"

    before = files(page)
    edit_facts(page, swap)
    publish_again(page)
    assert [re.sub(r"\w{16}", "…", line) for line in wrong(page)] == [
        "run …: its key is not that of its configuration"
    ] * 2
    (page / "predictions.parquet").write_bytes(before["predictions.parquet"])

    def other_rate(runs) -> None:
        for run in list(runs.values())[:-1]:  # the last is the baseline
            run["config"]["learning_rate"] = 1e-3

    edit_facts(page, other_rate)
    edit_json(page, lambda content: content["parameters"].update(learning_rate=1e-3))
    publish_again(page)
    said = "\n".join(wrong(page))
    assert said.count("its key is not that of its configuration") == 4
    assert said.count("epoch 1 has another learning rate than its schedule gives") == 4


def test_a_run_that_does_not_say_what_it_was_trained_with(page):
    edit_facts(page, lambda runs: next(iter(runs.values())).pop("content"))
    publish_again(page)
    assert wrong(page) == ["its study cannot be made of what it publishes: KeyError 'content'"]


@pytest.mark.parametrize("column", ["train_loss", "learning_rate", "step"])
def test_a_changed_history(page, column):
    lines = (page / "history.csv").read_text().splitlines()
    place = lines[0].split(",").index(column)
    row = lines[1].split(",")
    name = row[0]
    row[place] = "7" if column == "step" else "0.123456"
    lines[1] = ",".join(row)
    (page / "history.csv").write_text("\n".join(lines) + "\n")
    assert wrong(page)[0] == f"run {name}: its history is not the one that its record tells of"

    def record(runs) -> None:
        runs[name]["history"] = history_digest((page / "history.csv").read_text(), name)

    edit_facts(page, record)
    publish_again(page)
    expected = {
        "train_loss": [],
        "learning_rate": ["epoch 1 has another learning rate than its schedule gives"],
        "step": ["epoch 1 ends with step 7, but 48 train rows give 6"],
    }
    assert wrong(page) == [f"run {name}: {line}" for line in expected[column]]


PAGES = {  # what is done to page.json alone
    "a finding": (lambda p: p["blocks"][-1].update(text="All is well."), "finding beyond_baseline"),
    "no finding": (lambda p: p["blocks"].pop(), "page.json has nothing beside the finding beyond"),
    "one more": (lambda p: p["blocks"].append(p["blocks"][0]), "page.json has text"),
    "a title": (lambda p: p.update(title="The best head"), "page.json, title: it is not"),
    "a remark": (lambda p: p.update(remark="The best"), "page.json, remark: it is not"),
    "arguments": (lambda p: p["blocks"][-1]["arguments"].update(metric="mcc"), "arguments, line"),
    "a command": (lambda p: p.update(command="make it"), "README.md, line"),
    "another study": (lambda p: p.update(study="ag_news"), "the page of ag_news/tiny, not of"),
}


@pytest.mark.parametrize("case", PAGES)
def test_a_changed_page_json(page, case):
    change, message = PAGES[case]
    edit_json(page, change)
    assert any(message in line for line in wrong(page))


def test_page_json_in_other_characters(page):
    (page / "page.json").write_text(json.dumps(read_json(page / "page.json")))
    assert wrong(page) == ["page.json says the same in other characters"]


@pytest.mark.parametrize(
    ("pattern", "name"),
    [("head,seed", "heAd"), ("gradient_norm", "gradient_norn"), ("head,seed", "seed")],
)
def test_a_history_with_columns_of_other_names(page, pattern, name):
    edit(page / "history.csv", pattern, f"{name},seed" if "," in pattern else name)
    lines = wrong(page)
    assert any(f"history.csv has the column '{name}', which no run has" in line for line in lines)


# ---- damage

DAMAGE = {  # the file, its content, and what is said
    "no JSON": ("page.json", b"{", "page.json is no JSON: Expecting property name"),
    "no text": ("page.json", b"\xff\xfe", "page.json is no JSON"),
    "missing": ("page.json", None, "has no page.json; a page is published by: make STUDY"),
    "empty": ("page.json", b"", "page.json is no JSON: Expecting value"),
    "nested": ("page.json", b"[" * 100_000, "page.json is no JSON"),
    "a list": ("page.json", b"[1]", "page.json has no blocks; publish the page anew"),
    "a number": ("page.json", b"1", "page.json has no blocks; publish the page anew"),
    "no blocks": ("page.json", b'{"blocks": []}', "page.json has no blocks"),
    "odd blocks": ("page.json", b'{"blocks": [1]}', "page.json has a block without a kind"),
    "no study": ("page.json", b'{"blocks": [{"kind": "text"}]}', "page.json has no study"),
    "no predictions": ("predictions.parquet", None, "has no predictions.parquet; publish it anew"),
    "no Parquet": ("predictions.parquet", b"PAR1", "predictions.parquet of tiny cannot be read"),
    "no machines": ("environment.json", None, "cannot be made of what it publishes: environment."),
    "odd machines": ("environment.json", b"[]", "cannot be made of what it publishes: TypeError"),
    "odd history": ("history.csv", b"a\n1,2\n3,4,5\n", "cannot be made of what it publishes"),
    "bytes": ("history.csv", b"run\xff", "cannot be made of what it publishes"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_page_is_one_sentence(page, case, monkeypatch, capsys):
    name, content, message = DAMAGE[case]
    if content is None:
        (page / name).unlink()
    else:
        (page / name).write_bytes(content)
    status, lines = command_line(page, monkeypatch, capsys)
    assert status == 1 and lines[-1] == verify.MEANING
    assert len(lines) <= 3 and any(message in line for line in lines)


@pytest.mark.parametrize("name", ["by_head.csv", "dev_loss.png", "README.md", "page.json"])
def test_a_file_that_is_cut_or_odd_is_one_sentence(page, name, monkeypatch, capsys):
    path = page / name
    content = path.read_bytes()
    odd = (b"", content[: len(content) // 2], content[:-1], b"\0" * 100, content + b"\xff")
    for damaged in odd:
        path.write_bytes(damaged)
        status, lines = command_line(page, monkeypatch, capsys)
        assert status == 1 and name in "".join(lines) and "Traceback" not in "".join(lines)


JSON_VALUES = (None, 1, 1e999, "x", [], {}, [[]], [{}], {"a": 1}, True)


@pytest.mark.parametrize("value", JSON_VALUES, ids=str)
def test_values_of_other_types_in_page_json_are_one_sentence(page, value, monkeypatch, capsys):
    content = read_json(page / "page.json")
    for name in content:
        write_json(page / "page.json", content | {name: value})
        status, lines = command_line(page, monkeypatch, capsys)
        assert status == 1 and "Traceback" not in "".join(lines)
    for place in ("kind", "name", "text", "arguments", "runs"):
        blocks = [block | {place: value} for block in content["blocks"]]
        write_json(page / "page.json", content | {"blocks": blocks})
        status, lines = command_line(page, monkeypatch, capsys)
        assert status == 1 and "Traceback" not in "".join(lines)


def test_what_is_no_file_in_a_page(page, monkeypatch, capsys):
    os.mkfifo(page / "pipe")
    status, lines = command_line(page, monkeypatch, capsys)
    assert status == 1 and "pipe is no file, and a page consists of files; remove it" in lines[0]


def test_truncated_predictions(page, monkeypatch, capsys):
    path = page / "predictions.parquet"
    content = path.read_bytes()
    for length in (0, 4, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        status, lines = command_line(page, monkeypatch, capsys)
        assert status == 1 and len(lines) == 2 and "cannot be read: " in lines[0]
    path.write_bytes(content)
    edit_facts(page, lambda runs: runs.clear())
    assert wrong(page)[-1].startswith("its study cannot be made of what it publishes: ")


@pytest.mark.parametrize(
    "change",
    [dict.clear, lambda run: run.update(config={"warp": 9}), lambda run: run.pop("config")],
)
def test_odd_facts(page, change):
    edit_facts(page, lambda runs: change(next(iter(runs.values()))))
    assert wrong(page)[-1].startswith("its study cannot be made of what it publishes: ")


def test_an_empty_history(page):
    (page / "history.csv").write_text("")
    assert all("history" in line for line in wrong(page)[:-1])
    assert wrong(page)[-1].startswith("its study cannot be made of what it publishes: ")


def test_only_a_study_of_this_project_is_executed(page, tmp_path):
    (tmp_path / "evil.ipynb").write_text("{}")
    edit_json(page, lambda content: content.update(study="../evil"))
    assert "There is no study '../evil'" in wrong(page)[-1]
    edit_json(page, lambda content: content.update(study="heads", parameters={"print": 1}))
    assert "page.json: unknown parameter 'print'" in wrong(page)[-1]


def test_a_page_that_is_not_there(page):
    none = page.with_name("none")
    wanted = f"There is no folder {none}; a page is one like results/STUDY/demo, published by:"
    with pytest.raises(InputError, match=re.escape(wanted)):
        verify.verify(none)


def test_the_pages_of_this_repository_hold_what_their_records_tell_of():
    folders = [path.parent for path in (ROOT / "results").glob("*/*/page.json")]
    assert len(folders) > 10
    for folder in folders:
        predictions = Predictions.read(folder / PREDICTIONS)
        history = folder / HISTORY
        text = history.read_text(encoding="utf-8") if history.is_file() else ""
        for run in page_runs(folder).values():
            assert not check_digests(predictions, run, text), folder
