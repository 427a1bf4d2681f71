"""The runs of the study of optimizers, and what their models attend to."""

import numpy as np
import pandas as pd
import torch

from lib.analysis.predictions import collect
from lib.runs.config import RunConfig
from lib.runs.keys import tokens_of
from lib.runs.outcomes import AT_PRIOR, COLLAPSED, DIVERGED, LEARNED
from lib.runs.store import ROOT, Run, Runs
from notebooks.eurlex_optimizers import CELL, best

DECAYED = ("adam", "adamw")  # compared at several weight decays
Cell = tuple[str, float, float]  # optimizer, learning rate, weight decay


def grid_cells(
    optimizers: list[str], rates: dict[str, float], factors: list[float], decays: dict[str, float]
) -> list[Cell]:
    """Each optimizer at factors of its default learning rate, with its default weight decay."""
    return [
        (name, rates[name] * factor, decays.get(name, 0.0))
        for name in optimizers
        for factor in factors
    ]


def decay_cells(rate: float, decays: list[float]) -> list[Cell]:
    """Adam and AdamW at one learning rate, with several weight decays."""
    return [(name, rate, decay) for name in DECAYED for decay in decays]


def configs(base: RunConfig, cells: list[Cell]) -> list[RunConfig]:
    """A run of each cell, its learning rate to six digits."""
    rounded = [(name, float(f"{rate:.6g}"), decay) for name, rate, decay in cells]
    return [base.with_(**dict(zip(CELL, cell, strict=True))) for cell in rounded]


def start_configs(base: RunConfig, rates: list[float]) -> list[RunConfig]:
    """Adam at these learning rates, from the label shares and from even guesses."""
    return [
        base.with_(optimizer="adam", learning_rate=rate, prior_bias=from_shares)
        for rate in rates
        for from_shares in (True, False)
    ]


def again_at_best(runs: Runs, seeds: list[int], **fields) -> list[RunConfig]:
    """The best cell of each optimizer with more seeds, if it learned; among the runs with these
    values in their configuration."""
    chosen = best(collect(runs).where(**fields)).runs
    learned = [run for run in runs if run.verdict.get("outcome") == LEARNED]
    of_best = [run.config for run in learned if run.key[:16] in chosen]
    return [config.with_(seed=seed) for config in of_best for seed in seeds]


def published_curves(optimizers: list[str]) -> pd.DataFrame:
    """The original's published curves of these optimizers, a row an epoch."""
    table = pd.read_csv(ROOT / "notebooks/reference/eurlex_optimizers.csv")
    return table[table["optimizer"].isin(optimizers)]


def last_epoch(curves: pd.DataFrame, rate: float) -> pd.DataFrame:
    """The last epoch of published curves at a learning rate."""
    return curves[(curves["learning_rate"] == rate) & (curves["epoch"] == curves["epoch"].max())]


def healthy_and_failed(runs: Runs, **fields) -> Runs:
    """The best run on dev that learned, with these values in its configuration, and the best of
    those that collapsed; where none did, of those that failed in another way."""
    failed = _ended(runs, COLLAPSED) or _ended(runs, AT_PRIOR, DIVERGED)
    return Runs(_ended(runs, LEARNED, **fields)[:1] + failed[:1])


def _ended(runs: Runs, *outcomes: str, **fields) -> list[Run]:
    """The runs with one of these outcomes and these values, the highest dev P@1 first."""
    selected = [
        run
        for run in runs
        if run.verdict.get("outcome") in outcomes
        and all(getattr(run.config, name) == value for name, value in fields.items())
    ]
    return sorted(selected, key=_best_score, reverse=True)


def _best_score(run: Run) -> float:
    return run.history["dev_P@1"].max() if len(run.history) else 0.0


@torch.inference_mode()
def attention_maps(model, ids: torch.Tensor) -> torch.Tensor:
    """What each token of one document, ids (tokens,), attends to: (layers, tokens, tokens).

    The mean over heads; a row sums to one.
    """
    encoder = model.backbone.base_model
    kind = encoder.config._attn_implementation
    encoder.set_attn_implementation("eager")  # the one that hands its weights out
    try:
        output = encoder(
            input_ids=ids[None],
            attention_mask=torch.ones_like(ids)[None],
            output_attentions=True,
        )
    finally:
        encoder.set_attn_implementation(kind)
    return torch.stack([layer[0].mean(0) for layer in output.attentions])


def first_document_attention(runs: list[Run], most: int = 48) -> pd.DataFrame:
    """What the models of runs attend to in the first dev document, up to `most` tokens: the
    weight from each token (row) to each (column), in each layer, all from 1."""
    tables = []
    for run in runs:
        ids, mask = (tensor[0] for tensor in tokens_of(run.config).dev.tensors[:2])
        weights = attention_maps(run.model[0], ids[mask.bool()][:most]).numpy()
        places = np.indices(weights.shape).reshape(3, -1) + 1
        table = pd.DataFrame(dict(zip(("layer", "row", "column"), places, strict=True)))
        table.insert(0, "run", run.key[:16])
        config = run.config
        outcome = run.verdict["outcome"]
        table.insert(1, "what", f"{config.optimizer} {config.learning_rate:g} ({outcome})")
        tables.append(table.assign(weight=weights.ravel()))
    return pd.concat(tables, ignore_index=True)
