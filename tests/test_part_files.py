"""What killed processes left half written goes; what a living one writes stays."""

import os
import re
import signal
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from lib.runs import files, part_files
from lib.session.checkpoints import save_newest
from tests.conftest import exit_code, start_child
from tests.test_checkpoints import state_at

LIB = Path(files.__file__).parents[1]
DAY = 24 * 3600


def change(name: str, **values) -> str:
    """The name of a part with another writer."""
    writer = part_files.WRITER.search(name)
    host, pid, born = (values.get(key, writer[key]) for key in ("host", "pid", "born"))
    return f"{name[: writer.start()]}~{host}~{pid}~{born}~12345678.part"


def make(path: Path, *, days_old: float = 0) -> Path:
    path.write_text("half", encoding="utf-8")
    then = time.time() - days_old * DAY
    os.utime(path, (then, then))
    return path


@pytest.fixture
def own(tmp_path):
    """The name of a part that this process writes."""
    return part_files.part_beside(tmp_path / "file.json").name


def test_the_part_of_a_living_process_stays(own, tmp_path):
    part = make(tmp_path / own, days_old=30)
    part_files.remove_left_over(tmp_path)
    assert part.exists()


@pytest.mark.parametrize(
    ("changed", "days_old", "stays"),
    [
        ({"pid": 999999999}, 0, False),
        ({"born": 1}, 0, False),  # the number belongs to another process by now
        ({"host": "another"}, 0.9, True),
        ({"host": "another"}, 1.1, False),
        ({"host": "another", "pid": 999999999}, 0.9, True),
    ],
)
def test_parts_of_others(own, changed, days_old, stays, tmp_path):
    part = make(tmp_path / change(own, **changed), days_old=days_old)
    part_files.remove_left_over(tmp_path)
    assert part.exists() == stays


def test_a_name_of_another_version_stays_for_a_day(tmp_path):
    new = make(tmp_path / "step-000000001.999999999.part")
    old = make(tmp_path / "step-000000002.1.part", days_old=1.1)
    part_files.remove_left_over(tmp_path)
    assert new.exists() and not old.exists()


def test_a_zombie_writes_nothing_any_more(own, tmp_path):
    child = start_child(partial(time.sleep, 60))
    born = int(psutil.Process(child).create_time())
    part = make(tmp_path / change(own, pid=child, born=born))
    assert not part_files.is_left_over(part)
    os.kill(child, signal.SIGKILL)
    while psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert part_files.is_left_over(part)
    assert exit_code(child) == -signal.SIGKILL


def test_who_writes_a_file_again_removes_what_a_kill_left_of_it(tmp_path):
    def die():
        with files.whole_file(tmp_path / "file.json") as part:
            part.write_text("half", encoding="utf-8")
            os.kill(os.getpid(), signal.SIGKILL)

    theirs = make(tmp_path / "file.json.part")  # a file of the user's
    assert exit_code(start_child(die)) == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    files.write_text(tmp_path / "file.json", "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.json", theirs.name]


def test_a_checkpoint_that_failed_leaves_nothing(tmp_path, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("broken")

    monkeypatch.setattr("lib.session.checkpoints.write_json", broken)
    with pytest.raises(RuntimeError):
        save_newest(tmp_path / "checkpoint", state_at(3))
    assert list((tmp_path / "checkpoint").iterdir()) == []


def test_no_signal_asks_whether_a_process_lives():
    """A process number may belong to somebody else by now, or to another machine."""
    for path in LIB.rglob("*.py"):
        assert not re.search(r"os\.kill\(|pid_exists", path.read_text(encoding="utf-8")), path


def test_folders_that_cannot_be_opened_are_not_synced(tmp_path, monkeypatch):
    """Windows opens no folder."""
    opened = os.open

    def open_files(path, *arguments):
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments)

    monkeypatch.setattr(files.os, "open", open_files)
    files.sync(tmp_path)
    files.write_text(tmp_path / "file", "whole")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "whole"
