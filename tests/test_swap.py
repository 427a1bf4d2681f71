"""A folder in the place of another: whole whenever it is killed, and by whomever it is made."""

import os
import signal
import sys
import time

import pytest

from lib.errors import InputError
from lib.publish import swap
from lib.publish.blocks import read_page
from lib.publish.swap import hidden, new_folder, replaced, restore
from lib.runs import part_files
from lib.runs.files import write_json, write_text
from lib.runs.part_files import OLD, PART, part_beside
from tests.conftest import exit_code, start_child

NAMES = ("README.md", "page.json", "scores.csv")


def publish(folder, version: str, seconds: float = 0) -> None:
    with new_folder(folder) as part:
        for name in NAMES:
            write_text(part / name, version)
        time.sleep(seconds)


def old_of(folder):
    """Where a page is while it is replaced, on a system that needs two renames for that."""
    part = part_beside(hidden(folder))
    return part.with_name(part.name.removesuffix(PART) + OLD)


def version_of(folder) -> str:
    """The version that all files of a folder have."""
    [version] = {(folder / name).read_text() for name in NAMES}
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)
    return version


def kill_at(moment: int, action) -> int:
    """Do something in a child that is killed before its file operation of a number; its status."""
    count = 0

    def hook(event, _) -> None:
        nonlocal count
        if event == "open" or event.startswith(("os.", "shutil.")):
            count += 1
            if count == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        sys.addaudithook(hook)
        action()

    return exit_code(start_child(work))


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "results" / "heads" / "tiny"
    publish(folder, "old")
    return folder


@pytest.fixture(params=["exchange", "two renames"])
def system(request, monkeypatch):
    """A system that lets two folders change places in one step, or does not."""
    if request.param == "two renames":
        monkeypatch.setattr(part_files, "exchange", lambda one, other: False)
    return request.param


def test_killed_at_any_moment(folder, system):
    seen = set()
    moment = 0
    status = -signal.SIGKILL
    while status:
        moment += 1
        status = kill_at(moment, lambda: publish(folder, "new"))
        assert status in (0, -signal.SIGKILL)
        if system == "two renames" and not folder.exists():
            seen.add("between")
            restore(folder)
        seen.add(version_of(folder))
        publish(folder, "old")
        assert version_of(folder) == "old" and not replaced(folder)
    assert moment > 20
    assert seen == {"old", "new"} | ({"between"} if system == "two renames" else set())


def test_killed_just_before_and_after_the_exchange(folder, monkeypatch):
    exchange = part_files.exchange

    def die(*_) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(part_files, "exchange", die)
        assert exit_code(start_child(lambda: publish(folder, "new"))) == -signal.SIGKILL
    assert version_of(folder) == "old"
    with monkeypatch.context() as patch:
        patch.setattr(part_files, "exchange", lambda *paths: die(exchange(*paths)))
        assert exit_code(start_child(lambda: publish(folder, "new"))) == -signal.SIGKILL
    assert version_of(folder) == "new"


def test_whoever_reads_puts_the_old_page_back(folder):
    page = {"study": "heads", "folder": "tiny", "profile": "demo", "command": "", "parameters": {}}
    write_json(folder / "page.json", page | {"blocks": [{"kind": "text"}]})
    folder.rename(old_of(folder))
    assert read_page(folder)["folder"] == "tiny"
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


def test_what_another_page_left_is_not_taken(folder):
    other = old_of(folder.with_name("tiny.b"))
    folder.rename(other)
    restore(folder)
    assert not folder.exists() and other.exists()


def test_what_killed_processes_left_goes(folder):
    def make_part() -> None:
        part_beside(hidden(folder)).mkdir()

    assert exit_code(start_child(make_part)) == 0
    [left] = folder.parent.glob(".tiny~*")
    ours = part_beside(hidden(folder))
    ours.mkdir()
    publish(folder, "new")
    assert ours.exists() and not left.exists() and version_of(folder) == "new"


def test_a_failure_leaves_the_old_folder(folder, system):
    with pytest.raises(OSError, match="full"), new_folder(folder) as part:
        write_text(part / "README.md", "new")
        raise OSError("full")
    assert version_of(folder) == "old"
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


def test_a_failed_rename_puts_the_old_folder_back(folder, monkeypatch):
    monkeypatch.setattr(part_files, "exchange", lambda one, other: False)
    with pytest.raises(FileNotFoundError):
        part_files.put_in_place(part_beside(hidden(folder)), folder)
    assert version_of(folder) == "old"


def test_two_at_once(folder, system):
    for turn in range(10):
        versions = [f"{turn} one", f"{turn} other"]
        children = [start_child(lambda v=v: publish(folder, v, 0.05)) for v in versions]
        assert [exit_code(child) for child in children] == [0, 0]
        assert version_of(folder) in versions
        assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


def test_what_is_replaced_while_it_is_read_is_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(swap, "PAUSES", (0, 0, 0))
    file = tmp_path / "page.json"
    file.write_text("old")
    turns = []

    def replace(text):
        (tmp_path / "new").write_text(text)
        (tmp_path / "new").replace(file)

    def read():
        turns.append(file.read_text())
        if len(turns) == 1:
            replace("middle")
            raise FileNotFoundError("figure.png")
        if len(turns) == 2:
            replace("new")
        return turns[-1]

    assert swap.read_unchanged(lambda: [file], read) == "new"
    assert turns == ["old", "middle", "new"]
    with pytest.raises(FileNotFoundError):
        swap.read_unchanged(lambda: [file], (tmp_path / "missing").read_text)
    with pytest.raises(InputError, match="^The pages are published again and again"):
        swap.read_unchanged(lambda: [file], lambda: replace("newer"))
