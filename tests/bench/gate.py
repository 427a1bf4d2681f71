"""The equality gate: nothing is timed before both loops have computed the same losses."""

import pandas as pd
import torch
from torch.utils.data import TensorDataset

from lib.loaders import IndexBatches
from lib.models import Classifier
from tests.bench.documents import huggingface_rows, huggingface_twin, with_weights_of
from tests.bench.settings import NotEqualError, Settings
from tests.bench.train import Amount, train_ours, train_trainer
from tests.bench.ways import Way, our_ways

TOLERANCE = 1e-5  # of a loss, relatively
APART = 0.01  # of how far the weights moved


def without_dropout(model: torch.nn.Module) -> torch.nn.Module:
    for module in model.modules():
        if "dropout" in type(module).__name__.lower():
            module.p = 0.0
    return model


def gate(settings: Settings, start: Classifier, dataset: TensorDataset, **options) -> pd.DataFrame:
    """Losses of both loops in fp32 without dropout on the same batches, a row a step; `options`
    change our loop.

    Raises NotEqualError where a loss differs by more than TOLERANCE, or the weights by more than
    APART (Adam makes a full step of a gradient that is only rounding, such as that of a key's
    bias).
    """
    lengths = dataset.tensors[1].sum(1)
    order = {"batch_size": settings.batch_size, "seed": settings.seeds[0]}
    sampler = IndexBatches(lengths, batching="grouped", **order)
    full = [batch for batch in sampler if len(batch) == settings.batch_size]
    batches = full[: settings.gate_steps]
    before = start.backbone.state_dict()
    twin = without_dropout(huggingface_twin(start, settings))
    rows = huggingface_rows(dataset, settings, padded=False)
    theirs = train_trainer(twin, rows, Way("", "Trainer", "fp32"), settings, Amount(batches))
    tables = []
    for layout, batching in layouts(settings).items():
        model = without_dropout(with_weights_of(start, settings, batching, dataset))
        way = Way("", "ours", "fp32", batching)
        ours = train_ours(model, dataset, way, settings, Amount(batches), **options)
        model.finish()
        table = pd.DataFrame({"layout": layout, "step": range(1, len(ours) + 1)})
        table = table.assign(trainer_loss=theirs, our_loss=ours)
        table["difference"] = (table["our_loss"] / table["trainer_loss"] - 1).abs()
        table["weights_apart"] = apart(model.backbone.state_dict(), twin.state_dict(), before)
        check_equal(table, layout)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def layouts(settings: Settings) -> dict[str, str]:
    """Padded and packed batches, as far as our ways have them, with one batching of each."""
    return {
        "packed" if "packed" in way.batching else "padded": way.batching
        for way in our_ways(settings)
    }


def apart(ours: dict, theirs: dict, before: dict) -> float:
    """How far our weights are from theirs, relative to how far theirs moved."""
    difference = 0.0
    moved = 0.0
    for name, value in ours.items():
        if value.is_floating_point():
            difference += float((value - theirs[name]).double().square().sum())
            moved += float((theirs[name] - before[name]).double().square().sum())
    return (difference / moved) ** 0.5


def check_equal(table: pd.DataFrame, layout: str) -> None:
    worst = table.loc[table["difference"].idxmax()]
    if worst["difference"] <= TOLERANCE and worst["weights_apart"] <= APART:
        return
    raise NotEqualError(
        f"Equality gate ({layout}): the losses differ by up to {worst['difference']:.1e} "
        f"relatively, at step {worst['step']} (allowed {TOLERANCE:.0e}), the weights by "
        f"{worst['weights_apart']:.1e} of how far they moved (allowed {APART:.0e}): nothing is "
        "measured"
    )
