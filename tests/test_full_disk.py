"""A disk without room, and a store that cannot be used: one sentence, and the same command works
again to the same bytes."""

import ctypes
import os
import resource
import shutil
import subprocess
import sys
import threading
import warnings
from functools import partial
from pathlib import Path
from unittest.mock import ANY

import pytest

from lib import __main__ as command_line
from lib.analysis.predictions import collect
from lib.errors import InputError, reason_of, system_error
from lib.many.pool import run_all
from lib.many.single import run
from lib.publish import study
from lib.runs.paths import store
from lib.runs.store import load_run
from lib.session import session, tracking
from lib.use import export as use_export
from tests.conftest import digests, exit_code, start_child
from tests.tiny_study import in_process, only_study

REASON = "file too large"  # what a limit on the size of files says, in the place of a full disk


def with_room(size: int, action) -> tuple[int, str]:
    """Do something in a process that can write no file of more than `size` bytes; its exit status,
    and what it printed."""
    read, write = os.pipe()

    def limited():
        os.dup2(write, 1)
        os.dup2(write, 2)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        threading.excepthook = threading.__excepthook__  # pytest's keeps it to itself
        warnings.simplefilter("always")  # as at a terminal
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        code = 0
        try:
            action()
        except SystemExit as ending:
            code = ending.code or 0
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    child = start_child(limited)
    os.close(write)
    with open(read, encoding="utf-8") as printed:
        text = printed.read()
    return exit_code(child), text


def lib(*words: object) -> None:
    sys.argv = ["lib", *map(str, words)]
    command_line.main()


def one_sentence(code: int, printed: str, *, of: str) -> None:
    lines = [line for line in printed.splitlines() if "Error" in line]
    assert code == 1 and "Traceback" not in printed and "ignored" not in printed, printed
    assert len(lines) == 1 and REASON in lines[0].lower(), printed
    assert lines[0].removeprefix("Out[0]: ").startswith("Error: ")  # of a notebook's shell
    assert of in lines[0]


@pytest.fixture
def spec(base, tmp_path):
    path = tmp_path / "run.yaml"
    fields = base.with_(epochs=1).model_dump_json(exclude={"reading", "schedule_args"})
    path.write_text(fields, encoding="utf-8")
    return path


@pytest.fixture
def whole(base, tmp_path, monkeypatch):
    """The digests of the run that had room, in a store of its own."""
    with monkeypatch.context() as patch:
        patch.setenv("RUNS_DIR", str(tmp_path / "whole"))
        return digests(run(base.with_(epochs=1), tracker="none"))


@pytest.mark.parametrize("size", [10, 300, 1000, 4000, 20_000, 90_000])
def test_train(spec, base, whole, size):
    code, printed = with_room(size, partial(lib, "train", spec, "tracker=none"))
    one_sentence(code, printed, of=str(store()))
    assert not list(store().rglob("*.part"))
    assert digests(run(base.with_(epochs=1), tracker="none")) == whole


def without_room(function, size: int):
    """The function, meanwhile in a process that can write no file of more than `size` bytes."""

    def limited(*arguments):
        before, highest = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, highest))
        try:
            return function(*arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (before, highest))

    return limited


def test_a_tracker_that_cannot_start(spec, monkeypatch):
    """It writes in a thread, whose traceback nobody wants."""
    monkeypatch.setattr(tracking, "_start", without_room(tracking._start, 10))
    code, printed = with_room(10**9, partial(lib, "train", spec))
    one_sentence(code, printed, of="The tracker tensorboard did not start; mend that, or go")


def test_a_tracker_that_fails_later_ends_no_run(spec, base, whole, monkeypatch):
    monkeypatch.setattr(tracking.Log, "attempt", without_room(tracking.Log.attempt, 10))
    code, printed = with_room(10**9, partial(lib, "train", spec))
    assert code == 0 and "Traceback" not in printed, printed
    assert (
        digests(run(base.with_(epochs=1), tracker="none"))
        == {"README.md": ANY, "decisions.json": ANY} | whole
    )


def test_a_checkpoint_without_room_is_left_out(base, whole, monkeypatch, capfd):
    config = base.with_(epochs=1)
    monkeypatch.setattr(session, "save_newest", without_room(session.save_newest, 50_000))
    again = run(config, tracker="none", checkpoint_every="2 steps")
    out = capfd.readouterr().out
    assert out.count(f"the checkpoint could not be written to {store()}") == 2 and REASON in out
    assert digests(again) == whole


@pytest.mark.parametrize("size", [10, 150_000])
def test_predict(trained, size, tmp_path):
    source = tmp_path / "texts.txt"
    source.write_text("kana lobe\n" * 9000, encoding="utf-8")
    out = tmp_path / "out.csv"
    words = ("predict", trained.folder, source, "--out")
    with_room(10**9, partial(lib, *words, tmp_path / "whole.csv"))
    one_sentence(*with_room(size, partial(lib, *words, out)), of=str(out))
    assert not out.exists()
    code, printed = with_room(10**9, partial(lib, *words, out))
    assert code == 0 and ("Goes on after" in printed) == (size > 10)
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not list(tmp_path.glob("out.csv.*"))


def test_export(trained, tmp_path, monkeypatch):
    texts = tmp_path / "texts.txt"
    texts.write_text("kana lobe\nmina lofu\n", encoding="utf-8")
    out = tmp_path / "onnx"
    # as many bytes as torch's exporter writes, which takes its time
    monkeypatch.setattr(use_export, "write_onnx", lambda _, path: path.write_bytes(bytes(150_000)))
    command = partial(lib, "export", trained.folder, "--texts", texts, "--out", out)
    one_sentence(*with_room(50_000, command), of=str(out))
    assert [path.name for path in tmp_path.iterdir() if "onnx" in path.name] == []


@pytest.mark.parametrize("size", [12_000])
def test_publish_a_page(published, tiny, size, tmp_path, monkeypatch):
    results = tmp_path / "results"
    shutil.copytree(published / "results", results)
    monkeypatch.setenv("RUNS_DIR", str(published / "runs"))
    page = results / "heads" / "tiny"
    before = {path.name: path.read_bytes() for path in page.iterdir()}
    overrides = {"backbone": tiny["bert"], "dataset": str(published / "data")}

    def publish():
        with only_study(published / "notebooks", results), in_process():
            command_line.app = lambda **_: study.run_study(
                "heads", overrides=overrides, publish_as="tiny"
            )
            lib("study")

    one_sentence(*with_room(size, publish), of="could not be")
    assert {path.name: path.read_bytes() for path in page.iterdir()} == before
    code, printed = with_room(10**9, publish)
    assert code == 0, printed
    after = {path.name: path.read_bytes() for path in page.iterdir()}
    assert {name for name in before if before[name] != after[name]} <= {"environment.json"}


def test_what_the_system_refused_is_known_by_number_or_words():
    words = "Error while serializing: I/O error: No space left on device (os error 28)"
    refusal = system_error(ValueError(words))
    assert reason_of(refusal) == "no space left on device"
    chained = RuntimeError("outer")
    chained.__cause__ = OSError(28, "No space left on device")
    assert system_error(chained) is chained.__cause__
    said = InputError("said already")
    said.__cause__ = chained.__cause__
    assert system_error(said) is None and system_error(ValueError("no error of the system")) is None


# A store that cannot be used


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_store_that_is_no_folder(kind, spec, tmp_path, monkeypatch):
    path = tmp_path / "runs"
    if kind == "file":
        path.write_text("", encoding="utf-8")
    else:
        path.symlink_to(tmp_path / "nowhere")
    monkeypatch.setenv("RUNS_DIR", str(path))
    code, printed = with_room(10**9, partial(lib, "train", spec))
    what = "no folder" if kind == "file" else "a link to a folder that is not there"
    assert code == 1 and printed.splitlines()[-1] == (
        f"Error: The store {path} is {what}; move it away, or name a folder in RUNS_DIR"
    )


def test_a_store_behind_a_link(base, tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "link"))
    first = run(base.with_(epochs=1), tracker="none")
    assert run(base.with_(epochs=1), tracker="none").folder == first.folder
    assert load_run(first.folder.name).predict(["kana"])


def test_a_store_that_is_deleted_while_a_run_trains(base, whole, monkeypatch):
    config = base.with_(epochs=1)
    made = session.Session.record_epoch

    def delete(self, *arguments):
        shutil.rmtree(store())
        made(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(session.Session, "record_epoch", delete)
        with pytest.raises(InputError, match=r"could not be kept in .* \(no such file or dir"):
            run(config, tracker="none")
    assert not (store() / "status.json").exists()
    assert digests(run(config, tracker="none")) == whole


CANNOT_MOUNT = 77  # an exit status


def make_read_only(folder: Path) -> None:
    """Make a folder one that this process can only read. As no permission stops root, it gets a
    view of the disk of its own for that, which ends with it."""
    if os.geteuid():
        for path in [folder, *folder.rglob("*")]:
            path.chmod(path.stat().st_mode & ~0o222)
        return
    new_view = 0x20000  # CLONE_NEWNS
    if ctypes.CDLL(None).unshare(new_view):
        os._exit(CANNOT_MOUNT)
    commands = (
        ["--make-rprivate", "/"],
        ["--bind", folder, folder],
        ["-o", "remount,bind,ro", folder],
    )
    for words in commands:
        if subprocess.run(["mount", *words], capture_output=True).returncode:
            os._exit(CANNOT_MOUNT)


def test_a_store_that_can_only_be_read(base, capfd, tmp_path):
    config = base.with_(epochs=1)
    first = run(config, tracker="none")
    shutil.rmtree(store() / "tokens")
    copy = tmp_path / "elsewhere"
    shutil.copytree(config.dataset, copy)
    capfd.readouterr()

    def use():
        make_read_only(store())
        runs = run_all([config, config.with_(dataset=str(copy))], "none")
        assert [each.folder for each in runs] == [first.folder] * 2
        again = load_run(first.folder.name)
        assert len(again.predictions) and again.predict(["kana"])
        assert len(collect(runs[:1]).frame)
        with pytest.raises(InputError, match=r"could not be kept in .* \((read-only|permission)"):
            run(config.with_(seed=9), tracker="none")

    code = exit_code(start_child(use))
    if code == CANNOT_MOUNT:
        pytest.skip("no folder can be made read-only here")
    assert code == 0
    out = capfd.readouterr().out
    assert "0 trained" in out and "tokens" in out and "cannot be written (" in out
