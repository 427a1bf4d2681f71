"""Older pages: left as they are, checked by their bytes, and named as what they are."""

import json
import shutil

import pytest

from lib.errors import InputError
from lib.publish.describe import describe
from lib.publish.older import digests_of
from lib.publish.site import collect
from lib.publish.study import publish_from_results, run_study
from lib.publish.verify import verify
from lib.runs.files import read_json, write_json
from lib.runs.store import ROOT
from tests.test_cli import cli
from tests.test_site import KEYS, save_page
from tests.tiny_study import files, in_process

COMMIT = "29c9ae8"
LACKS = "It has one seed."


def keep(folder) -> None:
    """Make a page one that an earlier version made."""
    content = read_json(folder / "page.json") | {"kept": {"commit": COMMIT, "lacks": LACKS}}
    content["kept"]["files"] = digests_of(folder, content)
    write_json(folder / "page.json", content)


@pytest.fixture
def older(tmp_path):
    """An older page, whose study there is no more."""
    folder = save_page(tmp_path)
    keep(folder)
    return folder


def test_it_stays_as_it_is(page, monkeypatch, capsys):
    keep(page)
    before = files(page)
    assert cli(monkeypatch, "pages", page, page.with_name("made_up")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        f"{page}: left as commit {COMMIT} made it",
        f"{page.with_name('made_up')}: made anew",
    ]
    with pytest.raises(InputError, match=f"stays as commit {COMMIT} made it"):
        publish_from_results("heads", "tiny")
    assert files(page) == before


def test_whole_files_are_right_without_its_notebook(older, monkeypatch, capsys):
    assert cli(monkeypatch, "verify", older) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        f"{older}: {len(files(older))} files and facts checked, 0 differ",
        f"  kept as made by commit {COMMIT}; its files are whole; to check it, verify it there",
    ]


@pytest.mark.parametrize("name", ["by_class.csv", "scores.png", "page.json", "history.csv"])
def test_a_changed_byte_is_wrong_by_name(older, name, monkeypatch, capsys):
    content = bytearray((older / name).read_bytes())
    content[-1:] = b" " + content[-1:]
    (older / name).write_bytes(content)
    assert verify(older).wrong == [f"{name} is not what commit {COMMIT} made"]
    assert cli(monkeypatch, "verify", older) == 1
    assert "its files are whole" not in capsys.readouterr().out


def test_files_added_deleted_and_moved(older):
    (older / "new.csv").write_text("a\n")
    (older / "speed.csv").unlink()
    (older / "folder").mkdir()
    assert verify(older).wrong == [
        "folder is no file of this page",
        "new.csv is no file of this page",
        "speed.csv is missing",
    ]
    moved = shutil.copytree(older, older.with_name("full"))
    assert "it is the page of a_study/small, not of a_study/full" in verify(moved).wrong


@pytest.mark.parametrize("where", [["title"], ["kept", "lacks"], ["kept", "commit"]])
def test_what_page_json_says_cannot_be_changed(older, where):
    content = read_json(older / "page.json")
    section = content["kept"] if where[1:] else content
    section[where[-1]] = "abc1234"
    write_json(older / "page.json", content)
    [difference] = verify(older).wrong
    assert difference.startswith("page.json is not what commit")


@pytest.mark.parametrize("record", [None, {}, {"commit": COMMIT, "lacks": LACKS, "files": []}])
def test_a_damaged_record_is_one_sentence(older, record):
    write_json(older / "page.json", read_json(older / "page.json") | {"kept": record})
    with pytest.raises(InputError, match=r"page.json has no \w+ in kept; publish the page anew"):
        verify(older)


def test_a_new_run_replaces_it_and_says_what_it_replaced(
    published, page, tiny, monkeypatch, capsys
):
    keep(page)
    monkeypatch.setenv("RUNS_DIR", str(published / "runs"))
    overrides = {"backbone": tiny["bert"], "dataset": str(published / "data")}
    with in_process():
        assert run_study("heads", overrides=overrides, publish_as="tiny") == page
    line = f"The page that this one replaces is of an earlier version, {COMMIT}"
    assert line in capsys.readouterr().out
    assert "kept" not in read_json(page / "page.json")
    assert verify(page).compared > len(files(page))  # it is made again


def test_the_site_and_show_read_it(older, tmp_path):
    for name in ("docs", "notebooks"):
        (tmp_path / name).mkdir()
    site = collect(tmp_path)
    texts = [block.get("text", "") for block in site.documents["results/a_study/small/index"]]
    assert any(f"made by commit `{COMMIT}`" in text and LACKS in text for text in texts)
    front = json.dumps(site.documents["index"])
    assert "## Older pages" in front and LACKS in front and "## Findings" not in front
    assert [entry for _, entry in site.nav["Older pages"]] == ["results/a_study/small/index"]
    assert "small/README.md" in describe(KEYS[0], tmp_path / "results")


def test_those_of_this_repository_are_whole_and_say_what_they_lack():
    for file in sorted((ROOT / "results").glob("*/*/page.json")):
        content = read_json(file)
        if "kept" in content:
            assert not verify(file.parent).wrong, file
            _, top, _ = (file.parent / "README.md").read_text(encoding="utf-8").split("\n\n", 2)
            assert top.startswith("> **An older page**") and content["kept"]["lacks"] in top
