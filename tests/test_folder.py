"""The folder of a page: published, and published again from what it publishes."""

import errno
import os
import signal
import time

import pytest

from lib.errors import InputError
from lib.publish import folder as page_folder
from lib.publish import swap
from lib.publish.folder import (
    command_of,
    publish_again,
    publish_runs,
    published_history,
    split_title,
)
from lib.publish.verify import verify
from lib.runs import keys, part_files
from lib.runs.files import read_json, write_json, write_text
from lib.runs.store import Run, Runs
from tests.conftest import exit_code, start_child
from tests.test_swap import kill_at
from tests.tiny_study import files, publish

MADE = {
    *("README.md", "page.json", "audit.csv", "by_head.csv", "runs.csv"),
    *("cost.csv", "numbers.csv", "dev_loss.png", "train_loss.png"),
}
SOURCES = {"predictions.parquet", "history.csv", "environment.json"}


def test_a_page_made_again_is_the_same_byte_for_byte(page):
    before = files(page)
    assert before.keys() == MADE | SOURCES
    kept = publish_again(page)  # without a store: a test has an empty one
    place = "measured on the machine that made the page"
    assert kept == [f"cost: {place}", f"numbers: {place}"]
    assert files(page) == before
    for name in MADE - {"page.json", "cost.csv", "numbers.csv"}:
        (page / name).unlink()
    (page / "of_an_older_notebook.csv").write_text("a\n")
    publish_again(page)
    assert files(page) == before


def test_a_page_says_what_it_is_made_of(page):
    content = read_json(page / "page.json")
    assert (content["study"], content["folder"], content["profile"]) == ("heads", "tiny", "demo")
    assert content["title"] == "Which head?"
    assert content["parameters"]["schedule"] == "exponential"
    kinds = [(block["kind"], block["name"], block["section"]) for block in content["blocks"]]
    assert kinds == [
        ("text", "", ""),
        ("text", "", "details"),
        ("audit", "audit", "details"),
        ("measured", "cost", "details"),
        ("table", "by_head", ""),
        ("table", "runs", ""),
        ("data", "numbers", ""),
        ("figure", "dev_loss", ""),
        ("figure", "train_loss", ""),
        ("text", "", "answer"),
        ("finding", "outlook", "answer"),
        ("finding", "beyond_baseline", "answer"),
    ]
    runs = content["runs"]
    assert len(runs) == 5
    for name, facts in runs.items():
        assert facts["key"].startswith(name) and len(facts["key"]) == 64
        assert {"config", "chosen_epoch", "predictions", "history", "content"} <= set(facts)
    shown = {block["name"]: block.get("runs") for block in content["blocks"]}
    assert shown["by_head"] == shown["dev_loss"] == shown["outlook"] == list(runs)


def test_without_its_data_a_page_keeps_its_audit(published, page, monkeypatch):
    before = files(page)
    data = published / "data"
    data.rename(published / "elsewhere")
    keys._load_corpus.cache_clear()
    try:
        kept = publish_again(page)
        check = verify(page)
    finally:
        (published / "elsewhere").rename(data)
    assert files(page) == before and not check.wrong
    assert kept == check.unchecked
    place = "…/data is not at hand: it is of the machine that made the page"
    assert kept[0] == f"audit: {place}" and len(kept) == 3


def test_a_study_run_again_gives_the_same_page_even_after_a_full_disk(
    published, page, tiny, monkeypatch
):
    folder = published / "results" / "heads" / "tiny"
    before = files(folder)
    overrides = {"backbone": tiny["bert"], "dataset": str(published / "data")}

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(InputError) as error:
        patch.setattr(page_folder, "write_json", full)
        publish(published, "tiny", **overrides)
    assert str(error.value) == (
        f"The page could not be written to {folder} (no space left on device); the old one "
        "stands, and the runs are kept: make room, and start the study again"
    )
    assert files(folder) == before
    assert sorted(path.name for path in folder.parent.iterdir()) == ["made_up", "tiny"]
    assert publish(published, "tiny", **overrides) == folder
    after = files(folder)
    changed = {name for name in before if before[name] != after.get(name)}
    assert changed <= {"environment.json"} and before.keys() == after.keys()
    assert not verify(folder).wrong


def test_a_notebook_that_names_no_runs_is_no_study(tmp_path):
    with pytest.raises(InputError, match=r"heads names no runs; end it with show_runs\(runs\)"):
        publish_runs([], tmp_path / "heads" / "tiny", {"study": "heads"}, 1.0)
    assert not (tmp_path / "heads").exists()


def test_the_command_that_makes_a_page():
    assert command_of("heads", "demo", "", needs_data=False) == "make heads"
    command = command_of("heads", "small", '"a b=$x"', needs_data=True)
    assert command == r'make heads PROFILE=small DATA_DIR=… ARGS="\"a b=\$x\""'
    assert command_of("heads", "demo", "a=!", needs_data=False) == "make heads ARGS='a=!'"


def test_a_history_has_no_times(trained):
    runs = Runs([Run(trained.folder)])
    header = published_history(runs).splitlines()[0]
    assert header.startswith("run,epoch,step,") and "seconds" not in header
    assert "learning_rate" in header and "per_second" not in header


# ---- killed, and two at once; what a page shows is written in no time


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """A page whose files all say the number of its source, which `write_page` counts on."""

    def write_page(part) -> list:
        number = int((part / "predictions.parquet").read_text()) + 1
        write_text(part / "predictions.parquet", str(number))
        for name in ("by_head.csv", "README.md"):
            write_text(part / name, str(number))
        write_json(part / "page.json", number)
        return []

    monkeypatch.setattr(page_folder, "write_page", write_page)
    folder = tmp_path / "results" / "heads" / "tiny"
    folder.mkdir(parents=True)
    for name in ("predictions.parquet", "by_head.csv", "README.md", "page.json"):
        (folder / name).write_text("0")
    return folder


def number_of(folder) -> int:
    [number] = {int(content) for content in files(folder).values()}
    assert len(files(folder)) == 4
    return number


def test_publishing_again_is_killed_at_any_moment_of_two_renames(quick, monkeypatch):
    monkeypatch.setattr(part_files, "exchange", lambda one, other: False)
    number = 0
    moment = 0
    status = -signal.SIGKILL
    while status:
        moment += 1
        status = kill_at(moment, lambda: publish_again(quick))
        swap.restore(quick)
        assert number_of(quick) in (number, number + 1)
        publish_again(quick)
        number = number_of(quick)
    assert moment > 30 and number > 30


def test_publishing_again_is_killed_at_random_moments(quick):
    start = time.perf_counter()
    publish_again(quick)
    length = time.perf_counter() - start
    number = 1
    for i in range(30):
        child = start_child(lambda: publish_again(quick))
        time.sleep(2 * length * ((i * 0.618) % 1))
        os.kill(child, signal.SIGKILL)
        exit_code(child)
        assert number_of(quick) in (number, number + 1)
        number = number_of(quick)
    publish_again(quick)
    assert number_of(quick) == number + 1


def test_two_publishers_at_once(quick, monkeypatch):
    write_page = page_folder.write_page

    def write_slowly(part) -> list:
        time.sleep(0.05)  # so that both are at it
        return write_page(part)

    monkeypatch.setattr(page_folder, "write_page", write_slowly)
    for turn in range(10):
        children = [start_child(lambda: publish_again(quick)) for _ in range(2)]
        assert [exit_code(child) for child in children] == [0, 0]
        assert number_of(quick) == 2 * turn + 2  # one after the other: nothing is lost
    assert [path.name for path in quick.parent.iterdir()] == ["tiny"]


def test_a_title_that_a_study_shows_takes_the_place_of_its_notebooks():
    texts = ["# Which head?", "One.", "# How well?", "## A section"]
    blocks = [{"kind": "text", "text": text} for text in texts]
    assert split_title(blocks) == ("How well?", [blocks[1], blocks[3]])
    assert split_title(blocks[:2]) == ("Which head?", [blocks[1]])
