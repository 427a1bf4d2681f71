"""This project's training loop against Hugging Face Trainer, in one process: `make bench` measures
and writes the page.

Not part of `make test`. `python -m tests.bench --help` lists the settings; `--page FOLDER` writes a
page again from its tables.
"""

import argparse
import copy
import dataclasses
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.data import DataLoader, TensorDataset

from lib import devices, evaluation, training
from lib.backbones import EMBEDDED, load_tokenizer, resolve_backbone
from lib.data import Corpus, load_corpus
from lib.demo import news
from lib.errors import InputError, explain
from lib.fast.packing import pack
from lib.loaders import IndexBatches, make_loader
from lib.models import Classifier, build_model
from lib.optim import make_optimizer, plan_steps
from lib.runs.config import RunConfig
from lib.runs.files import write_json
from lib.runs.store import EVALUATION_BATCH, ROOT, environment
from lib.tokenization import encode, tokenize
from tests import bench_page

DEVICE = devices.default_device()
BATCHINGS = get_args(RunConfig.model_fields["batching"].annotation)
# tokens of AG News' items at every 5 % of a 26,843-row sample, special tokens included, cut at 128
AG_NEWS_LENGTHS = (
    16,
    31,
    35,
    38,
    41,
    43,
    44,
    46,
    48,
    49,
    51,
    52,
    54,
    56,
    58,
    60,
    62,
    66,
    71,
    84,
    128,
)


class NotEqualError(ArithmeticError):
    """The two loops do not compute the same: there is nothing to compare."""


class Settings(BaseModel):
    """What is measured, and how. Raises InputError."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str = EMBEDDED  # a name or folder, as in RunConfig
    dataset: str | None = (
        None  # None: AG News of DATA_DIR, or the demo corpus where that is not set
    )
    max_length: int = Field(128, ge=3)  # tokens
    batch_size: int = Field(32, ge=1)  # documents
    learning_rate: float = Field(1e-4, gt=0)  # peak; AdamW, linear to zero, clipped at norm 1
    ours: tuple[str, ...] = ("random:fp32", *BATCHINGS)  # batching, or batching:precision
    rounds: int = Field(7, ge=1)
    steps: int = Field(4, ge=1)  # measured in each round and configuration
    warm_up: int = Field(1, ge=1)  # steps before them
    pool: int = Field(6400, ge=1)  # documents that batches are made from
    gate_steps: int = Field(20, ge=1)
    accuracy: bool = True  # train to a target accuracy too
    train_rows: int | None = Field(512, ge=2)
    dev_rows: int | None = Field(200, ge=1)
    test_rows: int | None = Field(1000, ge=1)
    epochs: int = Field(4, ge=1)
    seeds: tuple[int, ...] = (1, 2, 3)
    target: float = Field(0.88, gt=0, lt=1)  # dev accuracy
    every: int = Field(8, ge=1)  # steps between evaluations
    token_rows: tuple[int, ...] = (1_000, 10_000, 100_000)  # documents to tokenize
    matmul: int = Field(
        8192 if DEVICE.type == "cuda" else 2048, ge=1
    )  # rows and columns of the matrices whose product tells the machine's speed
    threads: int = Field(len(os.sched_getaffinity(0)), ge=1)
    out: str = ""  # folder; by default results/benchmark/<machine>

    def __init__(self, **values):
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise explain(error, type(self).model_fields) from None


@dataclasses.dataclass(frozen=True)
class Way:
    """A way to train: by whom, in which precision, and how batches are made."""

    name: str
    by: str  # Trainer or ours
    precision: str = "bf16"
    batching: str = "random"
    padded: bool = False  # to max_length


TRAINER = (
    Way("Trainer, default script", "Trainer", "fp32", padded=True),
    Way("Trainer, dynamic padding", "Trainer", "fp32"),
    Way("Trainer, dynamic padding, bf16", "Trainer"),
    Way("Trainer, bf16, group by length", "Trainer", batching="group_by_length"),
)


def ways(settings: Settings) -> list[Way]:
    """Trainer's ways and ours; raises InputError where a run cannot be configured so."""
    found = []
    for text in settings.ours:
        batching, _, precision = text.partition(":")
        RunConfig(batching=batching, precision=precision or "bf16")
        found.append(
            Way(f"ours, {batching}, {precision or 'bf16'}", "ours", precision or "bf16", batching)
        )
    return [*TRAINER, *found]


# ---- documents and models


def news_like(settings: Settings) -> TensorDataset:
    """`pool` documents with the lengths of AG News' items, cut from the demo corpus; ids, mask
    and labels."""
    dice = np.random.default_rng(0)
    texts, _, _ = news(2000, 0)
    ids, mask, _ = encode(texts, settings.backbone, max_length=min(settings.max_length, 64))
    rows = [row[m.bool()].tolist() for row, m in zip(ids, mask, strict=True)]
    first, last, stream = rows[0][0], rows[0][-1], [i for row in rows for i in row[1:-1]]
    shares = np.linspace(0, 1, len(AG_NEWS_LENGTHS))
    lengths = np.interp(dice.random(settings.pool), shares, AG_NEWS_LENGTHS).round().astype(int)
    lengths = lengths.clip(3, settings.max_length)
    ids = torch.full(
        (settings.pool, int(lengths.max())),
        load_tokenizer(resolve_backbone(settings.backbone)).pad_token_id,
    )
    for row, length in zip(ids, lengths, strict=True):
        start = dice.integers(len(stream) - length)
        row[:length] = torch.tensor([first, *stream[start : start + length - 2], last])
    mask = torch.arange(ids.shape[1]) < torch.from_numpy(lengths)[:, None]
    return TensorDataset(
        ids.int(), mask.int(), torch.from_numpy(dice.integers(4, size=settings.pool)).int()
    )


def corpus_of(settings: Settings) -> Corpus:
    """The corpus to learn, and, if it is real, to measure on."""
    data, name = os.environ.get("DATA_DIR"), settings.dataset
    if name is None:
        name = "demo_news"
        if data:
            name = next((n for n in ("ag_news", "ag_news_26k") if (Path(data) / n).is_dir()), None)
            if name is None:
                raise InputError(
                    f"DATA_DIR = {data} has neither ag_news nor ag_news_26k; name "
                    f"another one: --dataset"
                )
    rows = {name: getattr(settings, name) for name in ("train_rows", "dev_rows", "test_rows")}
    return load_corpus(name, data_dir=data, **rows)


def documents_of(settings: Settings, corpus: Corpus) -> tuple[TensorDataset, str]:
    """The documents that speed is measured on, and where they come from."""
    if corpus.name == "demo_news":
        return news_like(settings), "made-up documents with the lengths of AG News' items"
    whole = load_corpus(corpus.name, data_dir=os.environ.get("DATA_DIR"))
    texts, labels = whole.train.texts[: settings.pool], whole.train.labels[: settings.pool]
    ids, mask, _ = encode(texts, settings.backbone, max_length=settings.max_length)
    return TensorDataset(ids, mask, torch.from_numpy(labels.astype("i4"))), whole.source


def new_model(
    settings: Settings, num_labels: int, seed: int = 0, batching: str = "random"
) -> Classifier:
    model = build_model(settings.backbone, num_labels=num_labels, seed=seed)
    if batching.endswith("packed"):
        model = pack(model)
    return model.to(DEVICE)


def with_weights_of(start: Classifier, settings: Settings, batching: str) -> Classifier:
    """A new model for this batching, with the weights of another."""
    model = new_model(settings, start.num_labels, batching=batching)
    model.load_state_dict(start.state_dict())
    return model


def huggingface_twin(model: Classifier, settings: Settings) -> torch.nn.Module:
    """transformers' own model, as its scripts make it, with our model's weights."""
    from transformers import AutoModelForSequenceClassification

    folder = resolve_backbone(settings.backbone)
    twin = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=model.num_labels, dtype=torch.float32, ignore_mismatched_sizes=True
    )
    twin.load_state_dict(model.backbone.state_dict())
    return twin.to(DEVICE)


def huggingface_rows(dataset: TensorDataset, settings: Settings, padded: bool):
    """The same documents as a `datasets.Dataset` with the columns that the tokenizer gives."""
    import datasets

    tokenizer = load_tokenizer(resolve_backbone(settings.backbone))
    ids, mask, labels = dataset.tensors
    rows = [row[m.bool()].tolist() for row, m in zip(ids, mask, strict=True)]
    room = [settings.max_length - len(row) if padded else 0 for row in rows]
    columns = {
        "input_ids": [row + [tokenizer.pad_token_id] * n for row, n in zip(rows, room, strict=True)]
    }
    if "token_type_ids" in tokenizer.model_input_names:
        columns["token_type_ids"] = [[0] * len(row) for row in columns["input_ids"]]
    columns["attention_mask"] = [
        [1] * len(row) + [0] * n for row, n in zip(rows, room, strict=True)
    ]
    return datasets.Dataset.from_dict(columns | {"label": labels.tolist()})


# ---- the two loops


class Given(IndexBatches):
    """Batches that were chosen beforehand."""

    def __init__(self, batches: list[list[int]], lengths: torch.Tensor):
        super().__init__(lengths, batch_size=len(batches[0]), batching="random")
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self):
        yield from self.batches[self.done :]


def train_ours(
    model: Classifier,
    dataset: TensorDataset,
    way: Way,
    settings: Settings,
    *,
    batches=None,
    seed=1,
    epochs=1,
    **options,
) -> list[float]:
    """Train in place by `lib.training`, on these batches or on the way's own; the loss of every
    step."""
    train = make_loader(dataset, batch_size=settings.batch_size, batching=way.batching, seed=seed)
    if batches is not None:
        sampler = Given(batches, train.sampler.lengths)
        train = DataLoader(dataset, sampler=sampler, batch_size=None, collate_fn=train.collate_fn)
    few = make_loader(
        TensorDataset(*(tensor[:2] for tensor in dataset.tensors))
    )  # the loop wants a dev split
    rate = {"learning_rate": settings.learning_rate}
    steps = plan_steps(
        "linear", "adamw", steps_per_epoch=len(train), epochs=epochs, warmup_ratio=0.0, **rate
    )
    optimizer = make_optimizer("adamw", model, **rate)
    options = {
        "clip_norm": 1.0,
        "precision": way.precision,
        "seed": seed,
        "device": DEVICE,
    } | options
    progress = training.Progress.start(len(steps))
    options["progress"] = progress
    for _ in training.train_epochs(model, optimizer, steps, train, few, **options):
        pass
    return progress.losses.tolist()


def train_trainer(
    model: torch.nn.Module, rows, way: Way, settings: Settings, *, batches=None, seed=1, epochs=1
) -> list[float]:
    """Train in place by transformers' Trainer, on these batches or on its own; the loss of every
    step."""
    import transformers as hf

    losses = []

    class Recorded(hf.Trainer):
        def _get_train_sampler(self, train_dataset=None):
            return (
                super()._get_train_sampler(train_dataset)
                if batches is None
                else [i for b in batches for i in b]
            )

        def training_step(self, *arguments, **options):
            losses.append(super().training_step(*arguments, **options))
            return losses[-1]

    tokenizer = load_tokenizer(resolve_backbone(settings.backbone))
    with tempfile.TemporaryDirectory() as folder:
        arguments = hf.TrainingArguments(
            folder,
            per_device_train_batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            seed=seed,
            max_steps=len(batches) if batches is not None else -1,
            num_train_epochs=epochs,
            lr_scheduler_type="linear",
            max_grad_norm=1.0,
            bf16=way.precision == "bf16",
            use_cpu=DEVICE.type == "cpu",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=DEVICE.type != "cpu",
            train_sampling_strategy=way.batching,
        )
        collator = hf.default_data_collator if way.padded else hf.DataCollatorWithPadding(tokenizer)
        trainer = Recorded(
            model, arguments, train_dataset=rows, data_collator=collator, processing_class=tokenizer
        )
        trainer.remove_callback(hf.PrinterCallback)
        trainer.train()
    return torch.stack(losses).tolist()


def without_dropout(model: torch.nn.Module) -> torch.nn.Module:
    for module in model.modules():
        if "dropout" in type(module).__name__.lower():
            module.p = 0.0
    return model


def gate(
    settings: Settings,
    start: Classifier,
    dataset: TensorDataset,
    tolerance: float = 1e-5,
    **options,
) -> pd.DataFrame:
    """Losses of both loops in fp32 without dropout on the same batches, a row a step; `options`
    change our loop.

    Raises NotEqualError where a loss differs by more than `tolerance` relatively, or the weights by
    more than 1 % of how far they moved (Adam makes a full step of a gradient that is only rounding,
    such as that of a key's bias).
    """
    sampler = IndexBatches(
        dataset.tensors[1].sum(1),
        batch_size=settings.batch_size,
        batching="grouped",
        seed=settings.seeds[0],
    )
    batches = [batch for batch in sampler if len(batch) == settings.batch_size][
        : settings.gate_steps
    ]
    first, twin = start.backbone.state_dict(), without_dropout(huggingface_twin(start, settings))
    rows = huggingface_rows(dataset, settings, padded=False)
    theirs = train_trainer(twin, rows, Way("", "Trainer", "fp32"), settings, batches=batches)
    reference = twin.state_dict()
    tables = []
    layouts = {
        "packed" if "packed" in way.batching else "padded": way.batching
        for way in ways(settings)[len(TRAINER) :]
    }
    for layout, batching in layouts.items():
        model = without_dropout(with_weights_of(start, settings, batching))
        ours = train_ours(
            model, dataset, Way("", "ours", "fp32", batching), settings, batches=batches, **options
        )
        table = pd.DataFrame(
            {
                "layout": layout,
                "step": range(1, len(ours) + 1),
                "trainer_loss": theirs,
                "our_loss": ours,
            }
        )
        table["difference"] = (table["our_loss"] / table["trainer_loss"] - 1).abs()
        apart, moved = 0.0, 0.0
        for name, value in model.backbone.state_dict().items():
            if value.is_floating_point():
                apart += float((value - reference[name]).double().square().sum())
                moved += float((reference[name] - first[name]).double().square().sum())
        table["weights_apart"] = (apart / moved) ** 0.5
        worst = table.loc[table["difference"].idxmax()]
        if not worst["difference"] <= tolerance or not worst["weights_apart"] <= 0.01:
            raise NotEqualError(
                f"Equality gate ({layout}): the losses differ by up to "
                f"{worst['difference']:.1e} relatively, at step "
                f"{worst['step']} (allowed {tolerance:.0e}), the weights by "
                f"{worst['weights_apart']:.1e} of how far "
                "they moved (allowed 1e-02): nothing is measured"
            )
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


# ---- speed


@contextmanager
def after_each_step(
    model: torch.nn.Module, note: Callable[[int], None]
) -> Iterator[Callable[[], int]]:
    """Call `note` with the number of steps so far after each step that any optimizer makes with
    this model's weights; yields a function that tells this number."""
    own, count = {id(parameter) for parameter in model.parameters()}, 0

    def hook(optimizer, *_):
        nonlocal count
        if id(optimizer.param_groups[0]["params"][0]) in own:
            count += 1
            note(count)

    handle = register_optimizer_step_post_hook(hook)
    try:
        yield lambda: count
    finally:
        handle.remove()


def synchronized() -> float:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def epoch_of(way: Way, dataset: TensorDataset, settings: Settings, seed: int) -> list[list[int]]:
    """The full batches of an epoch over the pool as this way makes them, by rising number of
    tokens."""
    lengths = dataset.tensors[1].sum(1)
    if way.batching == "group_by_length":
        from transformers.trainer_pt_utils import LengthGroupedSampler

        generator = torch.Generator().manual_seed(seed)
        order = list(
            LengthGroupedSampler(settings.batch_size, lengths=lengths.tolist(), generator=generator)
        )
        batches = [
            order[i : i + settings.batch_size] for i in range(0, len(order), settings.batch_size)
        ]
    else:
        batches = list(
            make_loader(
                dataset, batch_size=settings.batch_size, batching=way.batching, seed=seed
            ).sampler
        )
    full = [batch for batch in batches if len(batch) == settings.batch_size]
    return sorted(full, key=lambda batch: int(lengths[batch].sum()))


def choose(batches: list[list[int]], places: np.ndarray) -> list[list[int]]:
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


def matmul_speed(size: int, precision: torch.dtype = torch.bfloat16, times: int = 5) -> float:
    """Floating-point operations a second in a product of two square matrices, the median of
    some."""
    a, b = (torch.ones(size, size, dtype=precision, device=DEVICE) for _ in range(2))
    seconds = []
    for _ in range(times + 1):
        start = synchronized()
        a @ b
        seconds.append(synchronized() - start)
    return 2 * size**3 / float(np.median(seconds[1:]))


def measure(settings: Settings, start: Classifier, dataset: TensorDataset) -> pd.DataFrame:
    """One row a round and way: seconds of `steps` steps after the warm-up, documents, real and
    padded tokens in them, and the speed of the matrix product timed before it. Round 0 warms up
    and is left out."""
    lengths = dataset.tensors[1].sum(1)
    rows_of = {padded: huggingface_rows(dataset, settings, padded) for padded in (False, True)}
    twin, config = huggingface_twin(start, settings), start.backbone.config
    table = []
    for number in range(settings.rounds + 1):
        dice = np.random.default_rng(number)
        places, warm = dice.random(settings.steps), dice.random(settings.warm_up)
        every = ways(settings)
        for turn, i in enumerate(dice.permutation(len(every))):
            way = every[i]
            epoch = epoch_of(way, dataset, settings, seed=number)
            chosen = choose(epoch, places)
            chosen = [chosen[k] for k in np.random.default_rng(number).permutation(len(chosen))]
            batches = choose(epoch, warm) + chosen
            if number == 0:
                batches = batches[: settings.warm_up + 1]
            speed, times, counted = (
                matmul_speed(settings.matmul),
                [],
                (settings.warm_up, len(batches)),
            )

            def note(count, times=times, counted=counted):
                if count in counted:
                    times.append(synchronized())

            if way.by == "ours":
                model = with_weights_of(start, settings, way.batching)
                with after_each_step(model, note) as steps:
                    train_ours(model, dataset, way, settings, batches=batches)
            else:
                model = copy.deepcopy(twin)
                with after_each_step(model, note) as steps:
                    train_trainer(model, rows_of[way.padded], way, settings, batches=batches)
            if steps() != len(batches):
                raise RuntimeError(f"{way.name} made {steps()} steps of {len(batches)} batches")
            if number == 0:
                continue
            shapes = [lengths[batch] for batch in chosen]
            real = int(sum(shape.sum() for shape in shapes))
            computed = sum(
                len(shape) * int(settings.max_length if way.padded else shape.max())
                for shape in shapes
            )
            table.append(
                {
                    "round": number,
                    "turn": turn + 1,
                    "configuration": way.name,
                    "by": way.by,
                    "precision": way.precision,
                    "seconds": times[1] - times[0],
                    "documents": sum(map(len, chosen)),
                    "tokens": real,
                    "computed_tokens": real if "packed" in way.batching else computed,
                    "gflop": flops(torch.cat(shapes), config, start.num_labels) / 1e9,
                    "matmul_gflops": speed / 1e9,
                }
            )
        print(f"round {number} of {settings.rounds}" + " (warm-up)" * (number == 0), flush=True)
    return pd.DataFrame(table)


# ---- time to accuracy, tokenization, profile


def learn(settings: Settings, corpus: Corpus, way: Way) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train with every seed by one way: dev accuracy by seconds of training (a row an
    evaluation), test predictions (a row a document and seed). The clock stands still while the
    model is evaluated, the same way for both."""
    tokens = tokenize(corpus, settings.backbone, max_length=settings.max_length)
    dev, test = (
        make_loader(part, batch_size=EVALUATION_BATCH) for part in (tokens.dev, tokens.test)
    )
    curve, predicted = [], []
    for seed in settings.seeds:
        judge = new_model(
            settings, corpus.num_labels, seed
        )  # scores a copy of the weights, whoever trains them
        if way.by == "ours":
            model = with_weights_of(judge, settings, way.batching)
        else:
            model = huggingface_twin(judge, settings)
        weights = (model.backbone if way.by == "ours" else model).state_dict()
        rows = (
            huggingface_rows(tokens.train, settings, padded=False) if way.by == "Trainer" else None
        )
        total = -(-len(corpus.train) // settings.batch_size) * settings.epochs
        clock = {"begin": 0.0, "spent": 0.0}  # seconds; spent on evaluations

        def scored(loader, judge=judge, weights=weights):
            judge.backbone.load_state_dict(weights)
            return evaluation.evaluate(judge, loader, device=DEVICE)

        def note(count, seed=seed, total=total, clock=clock, scored=scored):
            if count % settings.every == 0 or count == total:
                now = synchronized()
                accuracy = scored(dev).scores["accuracy"]
                seconds = now - clock["begin"] - clock["spent"]
                row = {"configuration": way.name, "seed": seed, "step": count, "seconds": seconds}
                curve.append(row | {"dev_accuracy": accuracy})
                clock["spent"] += synchronized() - now

        clock["begin"] = synchronized()
        with after_each_step(model, note):
            if way.by == "ours":
                train_ours(model, tokens.train, way, settings, seed=seed, epochs=settings.epochs)
            else:
                train_trainer(model, rows, way, settings, seed=seed, epochs=settings.epochs)
        found = scored(test)
        columns = {
            "row": corpus.test.rows,
            "label": found.labels,
            "predicted": found.logits.argmax(1),
        }
        predicted.append(pd.DataFrame({"configuration": way.name, "seed": seed} | columns))
        print(f"{way.name}, seed {seed}: {curve[-1]['seconds']:.0f} s of training", flush=True)
    return pd.DataFrame(curve), pd.concat(predicted, ignore_index=True)


TOKENIZERS = ("lib.tokenization", "datasets.map")


def tokenize_alone(by: str, rows: int, settings: Settings) -> dict:
    """Tokenize made-up documents in this process; seconds, and the memory that it took (MiB)."""
    texts = (news(1000, 0)[0] * (rows // 1000 + 1))[:rows]
    texts = [f"{i} {text}" for i, text in enumerate(texts)]  # no two alike
    tokenizer, longest = load_tokenizer(resolve_backbone(settings.backbone)), settings.max_length

    def peak() -> float:
        status = Path("/proc/self/status")  # ru_maxrss would begin with the parent's on Linux
        if status.exists():
            return int(re.search(r"VmHWM:\s+(\d+)", status.read_text(encoding="utf-8"))[1]) / 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS

    if by == "lib.tokenization":
        before, start = peak(), time.perf_counter()
        encode(texts, settings.backbone, max_length=longest)
        seconds = time.perf_counter() - start
    else:
        import datasets

        datasets.disable_progress_bars()
        with tempfile.TemporaryDirectory() as folder:
            pd.DataFrame({"text": texts}).to_parquet(f"{folder}/texts.parquet")
            table = datasets.Dataset.from_parquet(f"{folder}/texts.parquet", cache_dir=folder)
            before, start = peak(), time.perf_counter()
            table.map(
                lambda part: tokenizer(part["text"], truncation=True, max_length=longest),
                batched=True,
            )
            seconds = time.perf_counter() - start
    return {
        "by": by,
        "rows": rows,
        "seconds": seconds,
        "peak_mib": peak(),
        "added_mib": peak() - before,
    }


def tokenization(settings: Settings) -> pd.DataFrame:
    """`tokenize_alone` in a process of its own for each number of documents and tokenizer."""
    table = []
    for rows in settings.token_rows:
        for by in TOKENIZERS:
            command = [
                sys.executable,
                "-m",
                "tests.bench",
                *arguments_of(settings),
                "--tokenize",
                by,
                str(rows),
            ]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(
                    f"Tokenizing {rows} rows by {by} failed: {done.stderr.strip()[-500:]}"
                )
            table.append(json.loads(done.stdout.splitlines()[-1]))
    return pd.DataFrame(table)


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


def group_of(operator: str) -> str:
    return next(
        (group for group, pattern in GROUPS.items() if re.search(pattern, operator)), "other"
    )


def profile(
    settings: Settings, start: Classifier, dataset: TensorDataset, way: Way
) -> pd.DataFrame:
    """Self time of every operator of our loop in as many steps as a round has, the longest
    first."""
    from torch.profiler import ProfilerActivity

    batches = choose(epoch_of(way, dataset, settings, seed=0), np.full(settings.steps, 0.5))
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (DEVICE.type == "cuda")
    with torch.profiler.profile(activities=activities, acc_events=True) as seen:
        train_ours(
            with_weights_of(start, settings, way.batching), dataset, way, settings, batches=batches
        )
    which = "self_device_time_total" if DEVICE.type == "cuda" else "self_cpu_time_total"
    rows = [
        {
            "operator": event.key,
            "group": group_of(event.key),
            "calls": event.count,
            "ms": getattr(event, which) / 1000,
        }
        for event in seen.key_averages()
    ]
    table = pd.DataFrame(rows).sort_values(
        ["ms", "operator"], ascending=[False, True], ignore_index=True
    )
    return table[table["ms"] > 0].assign(configuration=way.name)


# ---- the whole


def machine() -> str:
    """A folder name from the processor (or GPU) and the number of threads."""
    device = environment()["device"]
    cores = "" if DEVICE.type == "cuda" else f"-{torch.get_num_threads()}-cores"
    return re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-") + cores


def best_of_ours(rounds: pd.DataFrame) -> str:
    table = bench_page.speeds(rounds)
    return table.loc[table[table["by"] == "ours"]["samples_per_second"].idxmax(), "configuration"]


def run(settings: Settings, command: str) -> Path:
    """Everything in turn; the tables first, then the page from the tables. Returns its folder."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    if torch.cuda.device_count() > 1:
        raise InputError(
            "Trainer would share its batches out over all GPUs; show it one: CUDA_VISIBLE_DEVICES=0"
        )
    torch.set_num_threads(settings.threads)
    every, begin = ways(settings), time.perf_counter()
    corpus = corpus_of(settings)
    dataset, source = documents_of(settings, corpus)
    if len(dataset) < settings.batch_size * max(
        settings.steps, settings.warm_up, settings.gate_steps
    ):
        raise InputError(
            f"{len(dataset)} documents are too few for {settings.steps} steps of "
            f"{settings.batch_size}"
        )
    labels = corpus.num_labels
    start = new_model(settings, labels)
    print(
        f"{len(every)} configurations on {environment()['device']}, {settings.threads} "
        f"threads; {source}",
        flush=True,
    )
    tables = {"gate": gate(settings, start, dataset)}
    print(
        f"equality gate passed: losses within {tables['gate']['difference'].max():.1e}", flush=True
    )
    tables["rounds"] = measure(settings, start, dataset)
    best_name = best_of_ours(tables["rounds"])
    best = next(way for way in every if way.name == best_name)
    tables["profile"] = profile(settings, start, dataset, best)
    if settings.accuracy:
        found = [learn(settings, corpus, way) for way in (TRAINER[-1], best)]
        tables["accuracy"], tables["predictions"] = (
            pd.concat(part, ignore_index=True) for part in zip(*found, strict=True)
        )
    tables["tokenization"] = tokenization(settings)
    folder = Path(settings.out or ROOT / "results" / "benchmark" / machine())
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.csv"):
        stale.unlink()
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False, float_format="%.9g", lineterminator="\n")
    lengths, config = dataset.tensors[1].sum(1).double(), start.backbone.config
    versions = {
        "accelerate": __import__("accelerate").__version__,
        "datasets": __import__("datasets").__version__,
    }
    shape = {name: getattr(config, name) for name in ("hidden_size", "num_hidden_layers")}
    measured = {
        "source": source,
        "documents": len(dataset),
        "mean_tokens": float(lengths.mean()),
        "longest": int(lengths.max()),
    }
    learned = {
        "source": corpus.source,
        "fingerprint": corpus.fingerprint,
        "train": len(corpus.train),
        "dev": len(corpus.dev),
        "test": len(corpus.test),
    }
    about = {
        "command": command,
        "seconds": time.perf_counter() - begin,
        "settings": settings.model_dump(exclude={"out"}),
    }
    about |= {
        "measured": measured,
        "learned": learned,
        "model": shape,
        "machine": environment() | versions,
    }
    write_json(folder / "environment.json", about)
    bench_page.write(folder)
    return folder


def arguments_of(settings: Settings) -> list[str]:
    """The command-line words that give these settings again, as far as they differ from the
    defaults."""
    words = []
    for name, value in settings.model_dump(exclude_defaults=True, exclude={"out"}).items():
        if name == "accuracy":
            words.append("--no-accuracy")
        else:
            words += [
                f"--{name.replace('_', '-')}",
                *(map(str, value) if isinstance(value, tuple) else [str(value)]),
            ]
    return words


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    for name, field in Settings.model_fields.items():
        option, several = f"--{name.replace('_', '-')}", isinstance(field.default, tuple)
        if name == "accuracy":
            parser.add_argument(
                "--no-accuracy", dest=name, action="store_false", default=argparse.SUPPRESS
            )
        else:
            parser.add_argument(
                option,
                nargs="+" if several else None,
                default=argparse.SUPPRESS,
                help=f"default: {field.default}",
            )
    parser.add_argument("--page", metavar="FOLDER", help="only write a page again from its tables")
    parser.add_argument("--tokenize", nargs=2, metavar=("BY", "ROWS"), help=argparse.SUPPRESS)
    return parser.parse_args(words)


def main(words: list[str]) -> None:
    options = vars(parse(words))
    page, alone = options.pop("page"), options.pop("tokenize")
    settings = Settings(**options)
    if page:
        bench_page.write(Path(page))
    elif alone:
        print(json.dumps(tokenize_alone(alone[0], int(alone[1]), settings)))
    else:
        data = "DATA_DIR=… " if os.environ.get("DATA_DIR") else ""
        changed = " ".join(arguments_of(settings))
        command = f"{data}make bench" + (f' ARGS="{changed}"' if changed else "")
        print(f"{run(settings, command)}/README.md")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (InputError, NotEqualError) as error:
        sys.exit(f"Error: {error}")
