"""The runs of the study of optimizers: learning rates tuned until the best lies inside, and the
best with fresh seeds."""

import pandas as pd

from lib.analysis.cells import CELL, cell_of
from lib.analysis.predictions import Predictions, collect
from lib.many.pool import run_all
from lib.runs.config import RunConfig
from lib.runs.paths import ROOT
from lib.runs.store import Runs
from notebooks.eurlex_optimizers import tuned

DECAYED = ("adam", "adamw")  # compared at several weight decays
STEP = 10.0  # from an edge of a grid to the next learning rate
FACTORS = {0.01: "a hundredth of", 0.1: "a tenth of", 10: "ten times", 100: "a hundred times"}
Cell = tuple[str, float, float]  # optimizer, learning rate, weight decay


def rounded(rate: float) -> float:
    """A learning rate to six digits."""
    return float(f"{rate:.6g}")


def grid_cells(
    optimizers: list[str], rates: dict[str, float], factors: list[float], decays: dict[str, float]
) -> list[Cell]:
    """Each optimizer at factors of its default learning rate, with its default weight decay."""
    return [
        (name, rounded(rates[name] * factor), decays.get(name, 0.0))
        for name in optimizers
        for factor in factors
    ]


def configs(base: RunConfig, cells: list[Cell], seeds: list[int]) -> list[RunConfig]:
    """A run of each cell and seed."""
    return [
        base.with_(**dict(zip(CELL, cell, strict=True)), seed=seed)
        for cell in cells
        for seed in seeds
    ]


def rates_of(p: Predictions, optimizer: str) -> list[float]:
    """The learning rates at which an optimizer was run, from low to high."""
    runs = p.where(optimizer=optimizer).trained.values()
    return sorted({run["config"]["learning_rate"] for run in runs})


def of_default(factor: float) -> str:
    """In words a learning rate that is so many times the default one."""
    factor = float(f"{factor:.3g}")
    if factor == 1:
        return "its default"
    return f"{FACTORS.get(factor, f'{factor:g} times')} its default"


def beyond_edges(p: Predictions) -> list[Cell]:
    """The next cell of each optimizer whose best one has the lowest or the highest of its
    learning rates."""
    cells = []
    for optimizer, run in tuned(p).items():
        rates = rates_of(p, optimizer)
        _, best, decay = cell_of(run)
        if best == rates[0]:
            cells.append((optimizer, rounded(best / STEP), decay))
        if best == rates[-1]:
            cells.append((optimizer, rounded(best * STEP), decay))
    return cells


def tune(base: RunConfig, cells: list[Cell], *, steps: int, **how) -> Runs:
    """The runs of the cells, and of cells beyond an edge of the grid, until the best one of each
    optimizer on dev lies inside, or so many steps were made. `how` is for `run_all`."""
    runs = run_all(configs(base, cells, [base.seed]), **how)
    for _ in range(steps):
        further = beyond_edges(collect(runs))
        if not further:
            break
        runs = Runs(runs + run_all(configs(base, further, [base.seed]), **how))
    return runs


def final_cells(runs: Runs, decays: list[float]) -> list[Cell]:
    """The best cell of each optimizer, and Adam and AdamW with several weight decays at the
    learning rate that is AdamW's best."""
    chosen = {optimizer: cell_of(run) for optimizer, run in tuned(collect(runs)).items()}
    cells = list(chosen.values())
    if {*DECAYED} <= {*chosen}:
        rate = chosen["adamw"][1]
        cells += [(name, rate, decay) for name in DECAYED for decay in decays]
    return list(dict.fromkeys(cells))


def start_configs(base: RunConfig, rates: list[float]) -> list[RunConfig]:
    """Adam at these learning rates, from the label shares and from even guesses."""
    return [
        base.with_(optimizer="adam", learning_rate=rate, prior_bias=from_shares)
        for rate in rates
        for from_shares in (True, False)
    ]


def published_scores(decays: dict[str, float] | None = None) -> pd.DataFrame:
    """The original's P@1 after the last epoch, a row a run; with `decays`, at each optimizer's
    weight decay alone."""
    table = pd.read_csv(ROOT / "notebooks/reference/eurlex_optimizers.csv")
    table = table[table["epoch"] == table["epoch"].max()]
    if decays is not None:
        table = table[table["weight_decay"] == table["optimizer"].map(decays).fillna(0.0)]
    return table
