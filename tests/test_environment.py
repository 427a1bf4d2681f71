"""Environment variables: odd ones are refused in one sentence, before anything waits for them."""

import os

import pytest

from lib.errors import InputError
from lib.fast import environment, parallel
from lib.many.pool import run
from lib.runs.paths import store
from lib.sources import named_folder

TWO = {
    "WORLD_SIZE": "2",
    "RANK": "1",
    "LOCAL_RANK": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}


@pytest.fixture
def two(monkeypatch):
    """The variables of one of two processes, and no address that is waited for."""
    monkeypatch.setattr(environment, "NAME_TIMEOUT", 0)
    monkeypatch.setattr(environment.time, "sleep", lambda seconds: None)
    for name, value in TWO.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("WORLD_SIZE", ["x", "", "0", "-1", "1.5", "9" * 20, "²", "1_000"]),
        ("RANK", ["x", "", "2", "-1", None]),
        ("LOCAL_RANK", ["x", "", "99", "-1", None]),
        ("LOCAL_WORLD_SIZE", ["x", "", "0", "3"]),
        ("MASTER_PORT", ["abc", "", "0", "70000", None]),
        ("MASTER_ADDR", ["", " ", None, "x" * 300, "a..b"]),
        ("PROCESS_TIMEOUT", ["x", "", "0", "-1", "nan", "inf", "1e300"]),
    ],
)
def test_variables_of_several_processes(two, monkeypatch, name, values):
    for value in values:
        monkeypatch.setenv(name, value or "")
        if value is None:
            monkeypatch.delenv(name)
        with pytest.raises(InputError, match=name):
            parallel.processes()


def test_variables_as_torchrun_sets_them(two, monkeypatch):
    environment.check_environment(gpus=0)
    with pytest.raises(InputError, match="LOCAL_RANK is 1, but there are 1 GPUs, counted from 0"):
        environment.check_environment(gpus=1)


def test_who_cannot_join_the_others_says_so(two, monkeypatch):
    def refuse(**options):
        raise RuntimeError("connection refused\nby the first")

    monkeypatch.setattr("accelerate.Accelerator", refuse)
    parallel._accelerator.cache_clear()
    with pytest.raises(InputError, match=r"RANK 1 of 2\) cannot join the others .*: connection re"):
        parallel.processes()


def test_a_run_alone_is_tracked_whatever_its_rank_is(base, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "99")
    finished = run(base.with_(epochs=1), tracker="tensorboard")
    assert list((finished.folder / "tensorboard").iterdir())
    assert os.environ["LOCAL_RANK"] == "99"


def test_a_store_is_a_folder_or_can_become_one(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for value in (
        tmp_path / "file",
        tmp_path / "file" / "x",
        "/dev/null",
        " ",
        "x" * 300,
        "\udcff",
    ):
        monkeypatch.setenv("RUNS_DIR", str(value))
        with pytest.raises(InputError, match=r"^The store .* RUNS_DIR$") as error:
            store()
        assert str(error.value).encode()
    for value in (tmp_path, tmp_path / "new" / "er"):
        monkeypatch.setenv("RUNS_DIR", str(value))
        assert store() == value


@pytest.mark.parametrize("data_dir", ["", "/none", "/dev/null", "x" * 300, "a\0b"])
def test_a_data_dir_that_has_no_folder(data_dir):
    with pytest.raises(InputError, match=r"^The dataset imdb is read from a folder 'imdb' below"):
        named_folder("imdb", data_dir)
