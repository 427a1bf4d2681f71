"""Searches: the runs of a space of configurations, the best first.

A grid, random cells and halving are runs and a sort; `tpe` asks Optuna which cell is next.
"""

import math
import random
from collections import Counter
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from lib.errors import InputError, nearest
from lib.many.pool import bring_models, engine, interruptible, train_all
from lib.many.report import best_dev_score
from lib.many.single import prepare
from lib.runs.config import RunConfig, Settings
from lib.runs.keys import Prepared, hash_inputs, prefix_hashes
from lib.runs.part_files import remove
from lib.runs.published import page_runs, published_page
from lib.runs.store import Run, Runs, store
from lib.session.tracking import check_tracker

MOST_CELLS = 10_000  # of a grid


class Sweep(Settings):
    """What is searched, and how. Raises InputError."""

    name: str = Field(pattern=r"^\w[\w.-]*$")
    base: dict[str, Any]  # fields of RunConfig
    space: dict[str, list[Any]]  # field -> its values
    search: Literal["grid", "random", "tpe", "halving"] = "grid"
    trials: int | None = Field(None, ge=1)  # of random and tpe; None: as many as there are cells
    eta: int = Field(3, ge=2)  # halving: one cell in so many goes on, for so many times the epochs
    seed: int = 0
    tracker: str = "tensorboard"  # of each run (see `lib.session.tracking`)

    def __init__(self, **values):
        super().__init__(**values)
        for name, choices in self.space.items():
            if name not in RunConfig.model_fields:
                hint = nearest(name, RunConfig.model_fields)
                raise InputError(f"space: unknown parameter {name!r}.{hint}")
            if not choices:
                raise InputError(f"space: {name} has no values")
            for value, number in Counter(map(repr, choices)).items():
                if number > 1:
                    raise InputError(f"space: {name} has {value} twice")
        if self.search == "halving" and {"epochs", "backbone"} & set(self.space):
            raise InputError(
                "space: halving trains all cells for the same epochs of one backbone; leave epochs "
                "and backbone out, or choose another search"
            )
        for cell in self.samples():
            if self.config(cell).select_by == "last":
                raise InputError("select_by = 'last': a search ranks runs by a dev score; name one")

    @classmethod
    def of(cls, base: RunConfig, space: dict[str, list], study: str, **options) -> "Sweep":
        """A sweep around a configuration, named after the study and what is searched."""
        values = {"base": base.model_dump(exclude_defaults=True), "space": space} | options
        identity = {name: value for name, value in values.items() if name != "tracker"}
        return cls(name=f"{study}-{hash_inputs(identity)[:8]}", **values)

    @property
    def size(self) -> int:
        """How many cells the space has."""
        return math.prod(len(values) for values in self.space.values())

    def cell(self, number: int) -> dict:
        """One cell of the space by its number, the last field's values turning fastest."""
        cell = {}
        for name, values in reversed(self.space.items()):
            number, place = divmod(number, len(values))
            cell[name] = values[place]
        return {name: cell[name] for name in self.space}

    def samples(self) -> list[dict]:
        """Cells that have every value of the space at least once."""
        longest = max(map(len, self.space.values()), default=1)
        return [
            {name: values[min(i, len(values) - 1)] for name, values in self.space.items()}
            for i in range(longest)
        ]

    def cells(self) -> list[dict]:
        """Every combination of the space's values; for `random`, `trials` of them, drawn without
        replacement; for `tpe`, none, as Optuna names them one by one. Raises InputError."""
        if self.search == "tpe":
            return []
        numbers = range(self.size)
        count = min(self.trials or self.size, self.size)
        if self.search == "random":
            numbers = random.Random(self.seed).sample(numbers, count)
        if len(numbers) > MOST_CELLS:
            raise InputError(
                f"The search {self.name} has {len(numbers):,} cells, and {MOST_CELLS:,} are the "
                "most; give it search: random or tpe, with trials"
            )
        return [self.cell(number) for number in numbers]

    def config(self, cell: dict) -> RunConfig:
        return RunConfig(**self.base | cell)

    def rungs(self) -> list[int]:
        """After how many epochs halving chooses, the last being the end; one rung for every
        other search."""
        rungs = [self.config(self.cell(0)).epochs]
        if self.search == "halving":
            while rungs[0] > 1 and self.eta ** len(rungs) <= self.size:
                rungs.insert(0, max(1, rungs[0] // self.eta))
        return rungs


def train_cells(spec: Sweep, cells: list[dict], crew, *, rung: int | None = None) -> dict[int, Run]:
    """The runs of cells by their positions, up to the end, or to a rung's epoch, where their
    checkpoints are kept. A cell that cannot be trained has none, and why is printed."""
    prepared: dict[int, Prepared] = {}
    for i, cell in enumerate(cells):
        try:
            config = spec.config(cell)
            prepared[i] = prepare(config.with_(stop_after=rung) if rung else config)
        except InputError as error:
            print(f"{cell}: {error}", flush=True)
    configs = list(prepared.values())
    keep = {i: prefix_hashes(one)[rung - 1] for i, one in enumerate(configs) if rung}
    name = f"{spec.name}, {rung} epochs" if rung else spec.name
    failures = train_all(configs, crew, keep=keep, name=name, tracker=spec.tracker)
    return {
        i: Run(one.folder)
        for (i, one), failure in zip(prepared.items(), failures, strict=True)
        if failure is None
    }


def rank(run: Run) -> float:
    """What sorts runs, the best first; one without a score comes last."""
    score = best_dev_score(run)
    return math.inf if score is None else -score


def sweep(spec: Sweep, *, workers: int = 1, cluster: str | None = None) -> Runs:
    """The runs of a sweep, the best dev score first; those that diverged are the last.

    `workers` and `cluster` as in `lib.many.pool.run_all`. What is finished is not run again, and
    the same command elsewhere, with the same store, joins in. Raises InputError, StoppedError.
    """
    check_tracker(spec.tracker)
    page = published_page()
    if page:
        return published_cells(spec, page)
    prepare(spec.config(spec.samples()[0]))  # what is wrong with the data is said first
    with closing(engine(workers, cluster, go_on=True)) as crew, interruptible():
        if spec.search == "tpe":
            from lib.many.tpe import proposed_runs

            train = partial(train_cells, spec, crew=crew)
            runs = proposed_runs(spec, train, at_once=lambda: crew.size)
        else:
            cells = spec.cells()
            for rung in spec.rungs()[:-1]:
                trained = train_cells(spec, cells, crew, rung=rung)
                best = survivors(trained, len(cells), spec.eta)
                forget(
                    spec, [cell for i, cell in enumerate(cells) if i in set(trained) - set(best)]
                )
                cells = [cells[i] for i in best]
            runs = train_cells(spec, cells, crew).values()
        if not runs:
            raise InputError(f"No cell of {spec.name} could be run; why is told above")
        runs = sorted(runs, key=rank)
        bring_models(crew, [prepare(runs[0].config)], tracker=spec.tracker)
    return Runs(runs)


def survivors(trained: dict[int, Run], count: int, eta: int) -> list[int]:
    """The positions of a rung's best runs, one in `eta` of so many cells; equal ones in the order
    of the space."""
    ranked = sorted(trained, key=lambda i: (rank(trained[i]), i))
    return sorted(ranked[: max(1, -(-count // eta))])


def forget(spec: Sweep, cells: list[dict]) -> None:
    """Remove the checkpoints of cells that halving does not go on with."""
    for cell in cells:
        for name in prefix_hashes(prepare(spec.config(cell))):
            remove(store() / "checkpoints" / name)


def dropped(spec: Sweep) -> Runs:
    """The runs that a halving sweep did not go on with, each as far as it was trained, those of
    later rungs first."""
    page = published_page()
    if page:
        return published_cells(spec, page, dropped=True)
    cells = spec.cells()
    runs: list[Run] = []
    for rung in spec.rungs()[:-1]:
        trained = {}
        for i, cell in enumerate(cells):
            with suppress(InputError):  # why a cell cannot be trained was told when it was tried
                one = prepare(spec.config(cell).with_(stop_after=rung))
                if one.is_finished:
                    trained[i] = Run(one.folder)
        best = survivors(trained, len(cells), spec.eta)
        stopped = sorted((run for i, run in trained.items() if i not in best), key=rank)
        runs = stopped + runs
        cells = [cells[i] for i in best]
    return Runs(runs)


def published_cells(spec: Sweep, page: Path, *, dropped: bool = False) -> Runs:
    """The runs of a search that a page publishes: the best first, or those that halving dropped.

    Of the dropped ones, those that came further first.
    """
    cells = spec.cells() or map(spec.cell, range(min(spec.size, MOST_CELLS)))
    settings = [repr(spec.config(cell).as_recorded()) for cell in cells]
    by_settings = {}
    for published in page_runs(page).values():
        config = published.config
        stopped = config.stop_after is not None
        if not config.is_reference and stopped == dropped:
            by_settings[repr(config.with_(stop_after=None).as_recorded())] = published
    runs = [by_settings[each] for each in settings if each in by_settings]
    if not runs and not dropped:
        raise InputError(
            f"The page has no runs of the search {spec.name}: it was published from other "
            "parameters; publish it anew from the store"
        )
    if dropped:
        return Runs(sorted(runs, key=lambda run: -run.config.stop_after))
    return Runs(sorted(runs, key=rank))
