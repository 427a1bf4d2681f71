"""One stage of reading and preparing the rows of a CSV file, alone in a process: `python -m
tests.bench.row_stages STAGE CSV SETTINGS FIRST` prints its seconds and the memory that it took."""

import json
import re
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

STEPS = 2  # of an epoch


def texts_of(csv: str) -> list[str]:
    import pandas as pd

    return pd.read_csv(csv, usecols=["text"])["text"].tolist()


def tokenizer_of(settings):
    """The backbone's tokenizer, loaded; later calls find it."""
    from lib.backbones import load_tokenizer, resolve_backbone

    return load_tokenizer(resolve_backbone(settings.backbone))


# ---- the stages: each is set up, and returns what is timed


def reading(csv: str, settings) -> Callable:
    from lib.data import load_corpus

    return partial(load_corpus, csv)


def near_duplicates(csv: str, settings) -> Callable:
    from lib.analysis.duplicates import near_duplicates

    return partial(near_duplicates, texts_of(csv))


def tokenizing(csv: str, settings) -> Callable:
    from lib.tokenization import encode

    tokenizer_of(settings)
    return partial(encode, texts_of(csv), settings.backbone, max_length=settings.max_length)


def first_steps(csv: str, settings) -> Callable:
    """Making the loader, its first batches, and training on them."""
    import torch
    from torch.utils.data import TensorDataset

    from lib.loaders import make_loader
    from tests.bench.documents import new_model, with_weights_of
    from tests.bench.train import Amount, train_ours
    from tests.bench.ways import our_ways

    torch.set_num_threads(settings.threads)
    way = our_ways(settings)[-1]
    ids, mask, _ = tokenizing(csv, settings)()
    dataset = TensorDataset(ids, mask, torch.zeros(len(ids), dtype=torch.int32))
    start = new_model(settings, 2)
    model = with_weights_of(start, settings, way.batching, dataset)

    def train() -> None:
        size = settings.batch_size
        loader = make_loader(dataset, batch_size=size, batching=way.batching, seed=1)
        train_ours(model, dataset, way, settings, Amount(list(islice(loader.sampler, STEPS))))

    return train


def all_by_lib(csv: str, settings) -> Callable:
    from lib.data import load_corpus
    from lib.tokenization import tokenize

    tokenizer_of(settings)

    def read_and_tokenize() -> None:
        tokenize(load_corpus(csv), settings.backbone, max_length=settings.max_length)

    return read_and_tokenize


def all_by_pandas(csv: str, settings) -> Callable:
    import datasets
    import pandas as pd

    datasets.disable_progress_bars()
    tokenizer = tokenizer_of(settings)

    def tokens_of(part: dict) -> dict:
        return tokenizer(part["text"], truncation=True, max_length=settings.max_length)

    def read_and_tokenize() -> None:
        datasets.Dataset.from_pandas(pd.read_csv(csv)).map(tokens_of, batched=True)

    return read_and_tokenize


ALONE = {
    "reading": reading,
    "near-duplicates": near_duplicates,
    "tokenizing": tokenizing,
    f"first {STEPS} steps": first_steps,
}
BESIDE = {"lib": all_by_lib, "pandas and datasets": all_by_pandas}


def peak_mib() -> float:
    """The most memory that this process has had."""
    status = Path("/proc/self/status")  # ru_maxrss would begin with the parent's on Linux
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text(encoding="utf-8"))[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS


def measured(stage: str, csv: str, settings, *, first: str) -> dict:
    """Wall and CPU seconds of a stage, the peak memory, and what the stage added to it (MiB);
    after the same stage of a small file, `first`, which imports what is imported late."""
    set_up = (ALONE | BESIDE)[stage]
    set_up(first, settings)()
    action = set_up(csv, settings)
    before = peak_mib()
    start = time.perf_counter()
    start_of_cpu = time.process_time()
    action()
    row = {"seconds": time.perf_counter() - start}
    row["cpu_seconds"] = time.process_time() - start_of_cpu
    row["peak_mib"] = peak_mib()
    row["added_mib"] = row["peak_mib"] - before
    return row


def main(stage: str, csv: str, settings: str, first: str) -> None:
    from tests.bench.settings import Settings

    print(json.dumps(measured(stage, csv, Settings(**json.loads(settings)), first=first)))


if __name__ == "__main__":
    main(*sys.argv[1:])
