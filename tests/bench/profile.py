"""Where the time of a training step goes."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import TensorDataset

from lib.models import Classifier
from tests.bench.accuracy import compared
from tests.bench.documents import Work, with_weights_of
from tests.bench.intervals import Interval, measured_on, pipe
from tests.bench.settings import ON_GPU, Settings
from tests.bench.speed import choose, epoch_of
from tests.bench.train import Amount, train_ours
from tests.bench.ways import Way

GROUPS = {  # what operators do, by parts of their names; the first that fits
    "optimizer": r"_fused_adam|optimizer",
    "attention": r"scaled_dot_product|flash|softmax|bmm|baddbmm",
    "matrix products of linear layers": r"addmm|::mm|linear|matmul|mkldnn",
    "dropout": r"dropout|random_|bernoulli|::ge$|masked_fill",
    "layer normalisation": r"layer_norm",
    "activation": r"gelu|relu|tanh",
    "gradient clipping": r"norm|_foreach",
    "embeddings and gathering": r"embedding|index|gather|scatter|::cat|pad",
    "copies and changes of precision": (
        r"copy_|_to_copy|contiguous|clone|::to$|zero_|fill_|empty|zeros"
    ),
    "views and shapes": (
        r"view|transpose|expand|slice|select|unsqueeze|::t$|as_strided|reshape|split|narrow|permute"
    ),
    "sums, products and bias gradients": r"::add|::mul|::sum|::div|::sub",
}


def measure(work: Work) -> tuple[dict[str, pd.DataFrame], dict]:
    """Self time by operator of the fastest of our ways."""
    dataset, _ = work.documents
    _, ours = compared(work)
    return {"profile": profile(work.settings, work.start, dataset, ours)}, {}


def group_of(operator: str) -> str:
    names = (group for group, pattern in GROUPS.items() if re.search(pattern, operator))
    return next(names, "other")


def profile(
    settings: Settings, start: Classifier, dataset: TensorDataset, way: Way
) -> pd.DataFrame:
    """Self time of every operator of our loop in as many steps as a round has, the longest
    first."""
    from torch.profiler import ProfilerActivity

    batches = choose(epoch_of(way, dataset, settings, seed=0), np.full(settings.steps, 0.5))
    model = with_weights_of(start, settings, way.batching, dataset)
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * ON_GPU
    with torch.profiler.profile(activities=activities, acc_events=True) as recorded:
        train_ours(model, dataset, way, settings, Amount(batches))
    time_of = "self_device_time_total" if ON_GPU else "self_cpu_time_total"
    rows = []
    for event in recorded.key_averages():
        row = {"operator": event.key, "group": group_of(event.key), "calls": event.count}
        rows.append(row | {"ms": getattr(event, time_of) / 1000})
    order = {"by": ["ms", "operator"], "ascending": [False, True]}
    table = pd.DataFrame(rows).sort_values(**order, ignore_index=True)
    return table[table["ms"] > 0].assign(configuration=way.name)


def measures(folder: Path, facts: dict) -> dict[str, Interval]:
    return {}


def section(folder: Path, facts: dict) -> str:
    table = pd.read_csv(folder / "profile.csv").sort_values("ms", ascending=False)
    total = table["ms"].sum()
    groups = table.groupby("group").agg(ms=("ms", "sum"), calls=("calls", "sum"))
    longest = table.drop_duplicates("group").set_index("group")["operator"]
    rows = [
        [name, f"{row.ms / total:.1%}", f"{row.ms:,.1f}", f"{row.calls:,.0f}", f"`{longest[name]}`"]
        for name, row in groups.sort_values("ms", ascending=False).head(10).iterrows()
    ]
    name = table["configuration"].iloc[0]
    return f"""
## Where the time goes

Of {name}, {rows[0][1]} of the operators' self time is {rows[0][0]}.

{pipe(["operators", "share of self time", "ms", "calls", "the longest of them"], rows)}
torch.profiler over {facts["settings"]["steps"]} steps; an operator's self time leaves out the \
operators that it calls. The profiler itself slows down small operators. \
[profile.csv](profile.csv) has every operator. What was tried, and kept or not: \
[docs/speed.md](../../../docs/speed.md#what-was-tried).

{measured_on(facts)}
"""
