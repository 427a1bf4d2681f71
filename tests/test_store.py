"""Finished runs, by folder and key."""

import pytest

from lib.errors import InputError
from lib.many.single import run
from lib.runs import store


def test_load_run_by_folder_and_key(base):
    finished = run(base.with_(epochs=1))
    assert (
        store.load_run(finished.key[:8]).folder
        == store.load_run(finished.folder).folder
        == finished.folder
    )
    with pytest.raises(InputError, match="nonsense is the folder or key of no finished run"):
        store.load_run("nonsense")
