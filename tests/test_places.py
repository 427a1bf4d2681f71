"""A page has the names of this machine's files and folders, and never their places."""

import json
import os
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lib.errors import InputError
from lib.publish.parameters import as_words, folder_of
from lib.publish.places import places_of, published, without_places
from lib.publish.site import collect
from lib.runs.config import RunConfig
from lib.runs.files import read_json
from lib.runs.published import located, runs_of_page


def test_a_page_has_no_place_of_this_machine(request, tiny):
    published_root = request.getfixturevalue("published")
    folder = published_root / "results" / "heads" / "tiny"
    content = {path.name: path.read_bytes() for path in folder.iterdir()}
    metadata = pq.read_schema(folder / "predictions.parquet").metadata
    content["metadata"] = b"".join([*metadata, *metadata.values()])
    shown = collect(published_root)
    content["site"] = json.dumps(shown.documents, ensure_ascii=False, default=str).encode()
    places = (published_root, Path(tiny["bert"]).parent, Path.home(), Path.cwd())
    for name, data in content.items():
        for place in places:
            assert os.fsencode(place) not in data, (name, place)
            assert json.dumps(str(place))[1:-1].encode() not in data
    page = read_json(folder / "page.json")
    assert page["parameters"]["dataset"] == "…/data"
    assert page["parameters"]["backbone"] == "…/bert"
    assert "dataset=…/data" in page["command"] and "`backbone = '…/bert'`" in str(
        content["README.md"], "utf-8"
    )
    assert "model: …/bert (" in page["summary"]


def test_paths_have_the_names_of_their_ends():
    settings = {"dataset": "/a/x.csv", "reading": {"dev_file": "/b/x.csv", "delimiter": "/"}}
    settings |= {"backbones": ["/a/bert", "roberta-base"], "text": "/a/bert/", "folder": "a/b"}
    places = places_of(settings, {"teacher": "/a/bert"})
    assert places == {"/a/x.csv": "…/x.csv", "/b/x.csv": "…/2/x.csv", "/a/bert": "…/bert"}
    assert published(settings, places) == {
        "dataset": "…/x.csv",
        "reading": {"dev_file": "…/2/x.csv", "delimiter": "/"},
        "backbones": ["…/bert", "roberta-base"],
        "text": "/a/bert/",
        "folder": "a/b",
    }
    assert without_places("1,/a/bert\n", places) == "1,…/bert\n"


def test_the_name_of_a_folder_has_no_path():
    names = {folder_of("demo", {"backbone": f"/{place}/bert"}) for place in ("home/me", "tmp")}
    assert len(names) == 2
    assert all(re.fullmatch(r"demo--backbone=-bert--[0-9a-f]{8}", name) for name in names)
    assert as_words({"dataset": "…/Größe.csv"}) == "dataset=…/Größe.csv"
    assert as_words({"dataset": "…/my table.csv"}) == "'dataset=…/my table.csv'"


def test_what_a_page_names_is_found_where_it_was(page, monkeypatch, tmp_path):
    config = RunConfig(dataset="…/data", backbone="…/bert")
    assert located(config) == config  # of no page: a name like another
    with runs_of_page(page):
        found = located(config)
        assert Path(found.dataset).is_dir() and (Path(found.backbone) / "config.json").is_file()
        assert located(RunConfig()) == RunConfig()
        monkeypatch.setenv("RUNS_DIR", str(tmp_path / "another"))
        with pytest.raises(InputError, match="^…/data is not at hand"):
            located(config)
