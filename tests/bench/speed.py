"""Speed of training: every way in turn, in shuffled rounds."""

import copy
import time

import numpy as np
import pandas as pd
import torch
from torch.utils.data import TensorDataset

from lib.loaders import make_loader
from lib.models import Classifier
from lib.products import linear
from tests.bench.documents import Work, huggingface_rows, huggingface_twin, with_weights_of
from tests.bench.settings import DEVICE, ON_GPU, Settings, native_precision
from tests.bench.train import Amount, Batches, after_each_step, train_ours, train_trainer
from tests.bench.ways import Way, all_ways

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def measure(work: Work) -> tuple[dict[str, pd.DataFrame], dict]:
    """The equality gate's losses and the times of all rounds; and what was measured."""
    settings = work.settings
    dataset, source = work.documents
    tables = {"gate": work.equality, "rounds": time_rounds(settings, work.start, dataset)}
    lengths = dataset.tensors[1].sum(1).double()
    config = work.start.backbone.config
    facts = {
        "source": source,
        "documents": len(dataset),
        "mean_tokens": float(lengths.mean()),
        "longest": int(lengths.max()),
        "precision": native_precision(),
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
    }
    return tables, facts


def time_rounds(settings: Settings, start: Classifier, dataset: TensorDataset) -> pd.DataFrame:
    """One row a round and way: seconds of `steps` steps after the warm-up, documents, real and
    padded tokens in them, and the speed of the matrix product timed before it. Round 0 warms up
    and is left out."""
    rows_of = {
        padded: huggingface_rows(dataset, settings, padded=padded) for padded in (False, True)
    }
    twin = huggingface_twin(start, settings)
    every = all_ways(settings)
    table = []
    for number in range(settings.rounds + 1):
        for turn, i in enumerate(np.random.default_rng(number).permutation(len(every))):
            way = every[i]
            speed = matmul_speed(settings.matmul, DTYPES[native_precision()])
            warm, chosen = batches_of_round(way, dataset, settings, number)
            if number == 0:
                chosen = chosen[:1]
            model = copy.deepcopy(twin)
            rows = rows_of[way.padded]
            if way.by == "ours":
                model = with_weights_of(start, settings, way.batching, dataset)
                rows = dataset
            seconds = time_steps(model, rows, way, settings, warm=warm, chosen=chosen)
            row = {"round": number, "turn": turn + 1, "configuration": way.name, "by": way.by}
            row |= {"precision": way.precision, "seconds": seconds, "matmul_gflops": speed / 1e9}
            table.append(row | amount_of(chosen, way, dataset, settings, start))
        ending = " (warm-up)" if number == 0 else ""
        print(f"speed, round {number} of {settings.rounds}{ending}", flush=True)
    frame = pd.DataFrame(table)
    return frame[frame["round"] > 0]


def batches_of_round(
    way: Way, dataset: TensorDataset, settings: Settings, number: int
) -> tuple[Batches, Batches]:
    """The batches of a way that warm up in a round, and those that count, in random order."""
    dice = np.random.default_rng([number, 1])
    epoch = epoch_of(way, dataset, settings, seed=number)
    chosen = choose(epoch, dice.random(settings.steps))
    warm = choose(epoch, dice.random(settings.warm_up))
    return warm, [chosen[k] for k in dice.permutation(len(chosen))]


def time_steps(
    model: torch.nn.Module, rows, way: Way, settings: Settings, *, warm: Batches, chosen: Batches
) -> float:
    """Seconds of training on the chosen batches, from the end of the last step that warms up."""
    batches = [*warm, *chosen]
    times = []

    def note(count):
        if count in (len(warm), len(batches)):
            times.append(synchronized())

    train = train_ours if way.by == "ours" else train_trainer
    with after_each_step(model, note) as steps:
        train(model, rows, way, settings, Amount(batches))
    if steps() != len(batches):
        raise RuntimeError(f"{way.name} made {steps()} steps of {len(batches)} batches")
    return times[1] - times[0]


def amount_of(
    batches: Batches, way: Way, dataset: TensorDataset, settings: Settings, start: Classifier
) -> dict:
    """Documents in batches, their real tokens and those that are computed, and the operations."""
    shapes = [dataset.tensors[1].sum(1)[batch] for batch in batches]
    real = int(sum(shape.sum() for shape in shapes))
    computed = real
    if "packed" not in way.batching:
        longest = [settings.max_length if way.padded else int(shape.max()) for shape in shapes]
        computed = sum(len(shape) * most for shape, most in zip(shapes, longest, strict=True))
    operations = flops(torch.cat(shapes), start.backbone.config, start.num_labels)
    row = {"documents": sum(map(len, batches)), "tokens": real, "computed_tokens": computed}
    return row | {"gflop": operations / 1e9}


def synchronized() -> float:
    if ON_GPU:
        torch.cuda.synchronize()
    return time.perf_counter()


def epoch_of(way: Way, dataset: TensorDataset, settings: Settings, seed: int) -> Batches:
    """The full batches of an epoch over the pool as this way makes them, by rising number of
    tokens."""
    lengths = dataset.tensors[1].sum(1)
    size = settings.batch_size
    if way.batching == "group_by_length":
        from transformers.trainer_pt_utils import LengthGroupedSampler

        generator = torch.Generator().manual_seed(seed)
        order = list(LengthGroupedSampler(size, lengths=lengths.tolist(), generator=generator))
        batches = [order[i : i + size] for i in range(0, len(order), size)]
    else:
        loader = make_loader(dataset, batch_size=size, batching=way.batching, seed=seed)
        batches = list(loader.sampler)
    full = [batch for batch in batches if len(batch) == size]
    return sorted(full, key=lambda batch: int(lengths[batch].sum()))


def choose(batches: Batches, places: np.ndarray) -> Batches:
    """One batch from each of equally large strata of size, at `places` (steps,) within [0, 1): a
    fair sample of an epoch, whose number of tokens hardly varies, so that every way trains on as
    many."""
    at = ((np.arange(len(places)) + places) * len(batches) / len(places)).astype(int)
    return [batches[i] for i in at]


def flops(lengths: torch.Tensor, config, num_labels: int) -> float:
    """Floating-point operations to train on documents of these lengths (documents,), padding not
    counted.

    Forward, a token and layer: 2 (4 h² + 2 h m) for the projections and the feed-forward, 4 n h for
    attention over n tokens; a document: 2 h (h + labels) for the classifier. Backward is twice the
    forward. h: hidden size, m: size of the feed-forward.
    """
    h = config.hidden_size
    m = getattr(config, "intermediate_size", None) or config.hidden_dim
    n = lengths.double()
    layers = config.num_hidden_layers * (2 * n * (4 * h * h + 2 * h * m) + 4 * n * n * h)
    return 3 * float((layers + 2 * h * (h + num_labels)).sum())


def matmul_speed(size: int, dtype: torch.dtype, times: int = 5) -> float:
    """Floating-point operations a second in a product of two square matrices, by the fastest
    that torch has (`lib.products`), the median of some."""
    a = torch.ones(size, size, dtype=dtype, device=DEVICE)
    b = torch.ones(size, size, dtype=dtype, device=DEVICE)
    seconds = []
    for _ in range(times + 1):
        start = synchronized()
        linear(a, b)
        seconds.append(synchronized() - start)
    return 2 * size**3 / float(np.median(seconds[1:]))
