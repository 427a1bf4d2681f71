"""The runs of a published page, in the place of the store's: nothing is trained.

While `published_page()` is a folder, `run_all` and searches give the runs that the page publishes:
what they were and what they predicted (predictions.parquet), and their histories (history.csv).
"""

import dataclasses
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import pandas as pd

from lib.errors import InputError
from lib.runs.config import RunConfig
from lib.runs.files import read_json
from lib.runs.paths import ELSEWHERE, locations_file
from lib.runs.store import Runs

PAGE = "PUBLISHED_PAGE"  # the environment variable that names the page's folder
PREDICTIONS = "predictions.parquet"
HISTORY = "history.csv"


def published_page() -> Path | None:
    """The folder of the page whose runs are taken; None where runs are trained."""
    folder = os.environ.get(PAGE)
    return Path(folder) if folder else None


@contextmanager
def runs_of_page(folder: Path) -> Iterator[None]:
    """Meanwhile, runs are those of a published page."""
    before = os.environ.get(PAGE)
    os.environ[PAGE] = str(folder)
    try:
        yield
    finally:
        os.environ.pop(PAGE)
        if before:
            os.environ[PAGE] = before


def located(config: RunConfig) -> RunConfig:
    """A configuration of the page whose runs are taken, with its files and folders where they are
    on this machine; another as it is. Raises InputError where that is not known."""
    named = {name: getattr(config, name) or "" for name in ("dataset", "backbone", "reference")}
    named = {name: value for name, value in named.items() if value.startswith(ELSEWHERE)}
    page = published_page()
    if not named or page is None:
        return config
    header = read_json(page / "page.json")
    notes = locations_file(header["study"], header["folder"])
    places = read_json(notes) if notes.is_file() else {}
    for value in named.values():
        if not os.path.exists(places.get(value, "")):
            raise InputError(f"{value} is not at hand: it is of the machine that made the page")
    return config.with_(**{name: places[value] for name, value in named.items()})


@dataclasses.dataclass(frozen=True)
class PublishedRun:
    """A run as a page publishes it; it has what `lib.runs.store.Run` has, but no model."""

    page: Path
    name: str  # the beginning of its key
    facts: dict  # what predictions.parquet says of it
    page_data: dict  # source, fingerprint and rows of what the page's first run was trained on
    label_names: list[str]

    @property
    def key(self) -> str:
        return self.facts.get("key", self.name)

    @property
    def data(self) -> dict:
        """Source, fingerprint and rows of what it was trained on."""
        return self.facts.get("data", self.page_data)

    @property
    def fields(self) -> dict:
        return self.facts["config"]

    @property
    def config(self) -> RunConfig:
        return RunConfig(**self.fields)

    @property
    def status(self) -> dict:
        return self.facts | {"data": self.data, "label_names": self.label_names}

    @property
    def verdict(self) -> dict[str, str]:
        """How the run ended, and why, where its health was watched."""
        if "outcome" not in self.facts:
            return {}
        return {name: self.facts[name] for name in ("outcome", "reason") if name in self.facts}

    @property
    def environment(self) -> dict:
        """The hardware and versions that it was trained with."""
        return read_json(self.page / "environment.json")["runs"][self.facts.get("machine", 0)]

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch, with the numbers that the page prints."""
        table = _read_history(self.page / HISTORY)
        rows = table[table["run"] == self.name] if len(table) else table
        fields = {*RunConfig.model_fields, "run", "outcome"} - {"learning_rate"}
        measured = rows.drop(columns=[name for name in rows if name in fields])
        return measured.dropna(axis=1, how="all").reset_index(drop=True)

    @property
    def model(self) -> tuple:
        raise InputError(f"The run {self.name} is read from {self.page}, which has no models")


@lru_cache(maxsize=4)
def _read_history(path: Path) -> pd.DataFrame:
    if not path.is_file():
        return pd.DataFrame({"run": []})
    return pd.read_csv(path, dtype={"run": str})  # a name may look like a number


@lru_cache(maxsize=4)
def page_runs(page: Path) -> dict[str, PublishedRun]:
    """All runs of a page, by their names. Raises InputError where it has none."""
    import pyarrow.parquet as pq

    path = page / PREDICTIONS
    if not path.is_file():
        raise InputError(f"The page has no {PREDICTIONS}; publish it anew from the store")
    study = json.loads(pq.read_schema(path).metadata[b"study"])
    data = study.get("data", {})
    label_names = study["label_names"]
    return {
        name: PublishedRun(page, name, facts, data, label_names)
        for name, facts in study["runs"].items()
    }


def published_runs(page: Path, configs: list[RunConfig]) -> Runs:
    """The runs of configurations, from a page. Raises InputError where it lacks one."""
    by_config = {repr(run.config.as_recorded()): run for run in page_runs(page).values()}
    runs = Runs()
    for config in configs:
        recorded = repr(config.as_recorded())
        if recorded not in by_config:
            fields = config.model_dump(exclude_defaults=True)
            raise InputError(
                f"The page has no run of {fields}: it was published from other parameters, or of "
                "another version of its notebook; publish it anew from the store"
            )
        runs.append(by_config[recorded])
    return runs
