"""Searches: the runs of a space of configurations, the best first.

A sweep has cells, each a configuration of the space (or, for `tpe`, one that the sampler names when
the cell is taken). Any number of processes share it (see `lib.runs.slots`).
"""

import hashlib
import itertools
import json
import random
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lib.errors import InputError, explain, nearest
from lib.metrics import METRICS
from lib.runs.baselines import BASELINES
from lib.runs.config import RunConfig
from lib.runs.files import write_json
from lib.runs.keys import prefix_hashes, prepare
from lib.runs.published import page_runs, published_page
from lib.runs.single import run
from lib.runs.slots import (
    finished_trials,
    is_complete,
    open_storage,
    open_study,
    sweep_folder,
)
from lib.runs.store import Run, Runs, store
from lib.runs.tracking import check_tracker
from lib.runs.workers import Worker, start_workers

WORST = -1e30  # the value of a run without a score: it diverged in its first epoch


class Sweep(BaseModel):
    """What is searched, and how. Raises InputError."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^\w[\w.-]*$")
    base: dict[str, Any]  # fields of RunConfig
    space: dict[str, list[Any]]  # field -> its values
    search: Literal["grid", "random", "tpe", "halving"] = "grid"
    trials: int | None = Field(None, ge=1)  # of random and tpe; None: as many as there are cells
    eta: int = Field(3, ge=2)  # halving: one cell in so many goes on, for so many times the epochs
    seed: int = 0
    tracker: str = "tensorboard"  # of each run (see `lib.runs.tracking`)

    def __init__(self, **values):
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise explain(error, type(self).model_fields) from None
        for name, choices in self.space.items():
            if name not in RunConfig.model_fields:
                hint = nearest(name, RunConfig.model_fields)
                raise InputError(f"space: unknown parameter {name!r}.{hint}")
            if not choices:
                raise InputError(f"space: {name} has no values")
        for cell in self.cells():
            if self.config(cell).select_by == "last":
                raise InputError("select_by = 'last': a search ranks runs by a dev score; name one")

    @classmethod
    def of(cls, base: RunConfig, space: dict[str, list], study: str, **options) -> "Sweep":
        """A sweep around a configuration, named after the study and what is searched."""
        values = {"base": base.model_dump(exclude_defaults=True), "space": space} | options
        identity = {name: value for name, value in values.items() if name != "tracker"}
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
        return cls(name=f"{study}-{digest}", **values)

    def cells(self) -> list[dict]:
        """Every combination of the space's values; for `random`, `trials` of them, drawn without
        replacement."""
        combinations = itertools.product(*self.space.values())
        cells = [dict(zip(self.space, values, strict=True)) for values in combinations]
        if self.search == "random":
            count = min(self.trials or len(cells), len(cells))
            return random.Random(self.seed).sample(cells, count)
        return cells

    def config(self, cell: dict) -> RunConfig:
        return RunConfig(**self.base | cell)

    def rungs(self) -> list[int]:
        """After how many epochs halving chooses, the last being the end; one rung for every
        other search."""
        rungs = [self.config(self.cells()[0]).epochs]
        if self.search == "halving":
            while rungs[0] > 1 and self.eta ** len(rungs) <= len(self.cells()):
                rungs.insert(0, max(1, rungs[0] // self.eta))
        return rungs

    def open_study(self, storage, rung: int, slots: int):
        """The study in which one rung's slots are shared out."""
        return open_study(storage, self.model_dump(exclude={"tracker"}), rung=rung, slots=slots)


def best_dev_score(finished: Run) -> float:
    """The best dev score of a run over all its evaluations, the higher the better."""
    metric = finished.config.select_by
    if not finished.status["chosen_epoch"]:
        return WORST
    values = finished.history[f"dev_{metric}"]
    score = values.max() if METRICS[metric].higher_is_better else -values.min()
    return round(float(score), 6)  # as a page prints it: equal there is equal here


def sweep(spec: Sweep, *, workers: int = 1, storage: str | None = None) -> Runs:
    """The runs of a sweep, the best dev score first.

    Processes with the same specification and storage share the work; `workers` starts so many on
    this machine, each with its share of the threads. What is finished is not run again.
    """
    check_tracker(spec.tracker)
    page = published_page()
    if page:
        return published_cells(spec, page)
    # reads the data: what is wrong with it is said before the sweep's name is taken
    prepare(spec.config(spec.cells()[0]))
    opened = open_storage(spec.name, storage)
    cells, rungs = spec.cells(), spec.rungs()
    if spec.search == "tpe":
        cells = [{}] * min(spec.trials or len(cells), 10 * len(cells))
    for rung in rungs:
        is_last = rung == rungs[-1]
        study = spec.open_study(opened, rung, len(cells))
        if workers > 1 and not is_complete(study):
            start_workers(write_specification(spec), workers=workers, storage=storage)
            workers = 1  # they have worked through all rungs
        title = spec.name if is_last else f"{study.study_name} epochs"
        train = partial(train_cell, spec, rung=None if is_last else rung)
        Worker(study, opened, cells, spec.space, train, title).work()
        if not is_last:
            cells = survivors(study, cells, spec.eta)
    return Runs(runs_of(study))


def train_cell(spec: Sweep, cell: dict, *, rung: int | None) -> tuple[Run, float]:
    """A cell's run up to the end, or to a rung's epoch, where its checkpoint is kept; its score."""
    config, keep = spec.config(cell), set()
    if rung:
        keep = {prefix_hashes(prepare(config))[rung - 1]}
        config = config.with_(stop_after=rung)
    finished = run(config, keep, spec.tracker)
    return finished, best_dev_score(finished)


def write_specification(spec: Sweep):
    """The specification as a file of the store, for worker processes to read."""
    path = sweep_folder() / f"{spec.name}.json"  # JSON is YAML, too
    write_json(path, spec.model_dump())
    return path


def survivors(study, cells: list[dict], eta: int) -> list[dict]:
    """The best cells of a rung, one in `eta`; equal ones in the order of the space."""
    slots = [trial.user_attrs["slot"] for trial in finished_trials(study)]
    count = max(1, -(-len(cells) // eta))
    return [cells[slot] for slot in sorted(slots[:count])]


def dropped(spec: Sweep, *, storage: str | None = None) -> Runs:
    """The runs that a halving sweep did not go on with, each as far as it was trained, those of
    later rungs first."""
    page = published_page()
    if page:
        return published_cells(spec, page, dropped=True)
    opened, cells = open_storage(spec.name, storage), spec.cells()
    runs: list[Run] = []
    for rung in spec.rungs()[:-1]:
        study = spec.open_study(opened, rung, len(cells))
        cells = survivors(study, cells, spec.eta)
        going_on = [settings_of(spec.config(cell), spec) for cell in cells]
        stopped = [r for r in runs_of(study) if settings_of(r.config, spec) not in going_on]
        runs = stopped + runs
    return Runs(runs)


def published_cells(spec: Sweep, page: Path, *, dropped: bool = False) -> Runs:
    """The runs of a search that a page publishes: the best first, or those that halving dropped.

    Of the dropped ones, those that came further first.
    """
    configs = [spec.config(cell) for cell in spec.cells()]
    by_settings = {}
    for published in page_runs(page).values():
        config = published.config
        stopped = config.stop_after is not None
        if config.backbone not in BASELINES and stopped == dropped:
            by_settings[repr(config.with_(stop_after=None))] = published
    runs = [by_settings[repr(config)] for config in configs if repr(config) in by_settings]
    if not runs and not dropped:
        raise InputError(
            f"The page has no runs of the search {spec.name}: it was published from other "
            "parameters; publish it anew from the store"
        )
    if dropped:
        return Runs(sorted(runs, key=lambda run: -run.config.stop_after))
    return Runs(sorted(runs, key=lambda run: -best_dev_score(run)))


def settings_of(config: RunConfig, spec: Sweep) -> dict:
    """What a configuration has in the searched fields."""
    return {name: getattr(config, name) for name in spec.space}


def runs_of(study) -> list[Run]:
    """The runs of a study that are in this store, the best first; says which are in another."""
    trials = finished_trials(study)
    if not trials:
        name = study.user_attrs["spec"]["name"]
        raise InputError(f"No cell of {name} could be run; why is told above")
    folders = [store() / key for key in dict.fromkeys(t.user_attrs["run"] for t in trials)]
    elsewhere = [folder.name for folder in folders if not (folder / "status.json").exists()]
    if elsewhere:
        names = ", ".join(elsewhere)
        print(f"{len(elsewhere)} runs are in another machine's store: {names}", flush=True)
    return [Run(folder) for folder in folders if folder.name not in elsewhere]
