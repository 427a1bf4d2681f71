"""Packed batches on a GPU: the logits of padded ones, and training beside Hugging Face Trainer.

`python -m tests.gpu_check` takes about three minutes, prints its numbers and writes them to
$OUT/gpu_check.json. `--tiny` tries it out on any machine.
"""

import argparse
import copy
import json
import os
import statistics
import time
from pathlib import Path

import torch
from torch.utils.data import TensorDataset
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from lib.attention import attention_for
from lib.devices import autocast, default_device
from lib.fast.families import FAMILIES
from lib.fast.packing import compile_layers, one_kernel, pack
from lib.loaders import make_loader
from lib.models import Classifier
from lib.optim import make_optimizer, plan_steps
from lib.training import train_epochs

DEVICE = default_device()
BATCH = 64
ROUNDS = 3
WARM_UP = 10  # steps of Trainer that do not count
SHAPES = {
    "roberta-base": ("roberta", {"vocab_size": 50265, "max_position_embeddings": 514}),
    "ModernBERT-base": ("modernbert", {"classifier_pooling": "mean"}),
    "MPNet-base": ("mpnet", {"vocab_size": 30527, "max_position_embeddings": 514}),
}
TINY = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
TINY |= {"intermediate_size": 64, "vocab_size": 1000}
TINY_DISTILBERT = {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "vocab_size": 1000}


def configuration(kind: str, **sizes):
    return AutoConfig.for_model(kind, pad_token_id=1, num_labels=4, **sizes)


def classifier(config) -> Classifier:
    """A classifier with random weights and a native head."""
    auto = AutoModelForSequenceClassification
    torch.manual_seed(0)
    attention = attention_for(auto._model_mapping[type(config)])
    model = auto.from_config(config, attn_implementation=attention)
    return Classifier(model, None, 4).to(DEVICE)


def documents(rows: int, vocabulary: int) -> TensorDataset:
    """Random documents as long as AG News ones: about 53 tokens on average."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.normal(53.0, 18.0, (rows,), generator=generator).clamp(12, 128).int()
    mask = (torch.arange(128) < lengths[:, None]).int()
    shape = (rows, 128)
    ids = torch.randint(5, vocabulary, shape, generator=generator, dtype=torch.int32)
    labels = torch.randint(4, (rows,), generator=generator)
    return TensorDataset(torch.where(mask.bool(), ids, 1), mask, labels)


@torch.no_grad()
def difference(kind: str, precision: str) -> float:
    """How far packed logits are from padded ones in fp32, as a share of the largest."""
    sizes = TINY_DISTILBERT if kind == "distilbert" else TINY
    model = classifier(configuration(kind, **sizes)).eval()
    packed = pack(copy.deepcopy(model)).eval()
    ids, mask, _ = documents(32, 1000).tensors
    padded = model(ids.to(DEVICE), mask)
    with autocast(precision, DEVICE):
        logits = packed(ids.to(DEVICE), mask).float()
    return float((logits - padded).abs().max() / padded.abs().max())


def ours(config, data: TensorDataset, *, compiled: bool):
    """Documents a second of each epoch; the first one warms up."""
    model = pack(classifier(config))
    model.compact(torch.arange(config.vocab_size))
    if compiled:
        compile_layers(model.backbone, attention=one_kernel(model, "bf16"))
    optimizer = make_optimizer("adamw", model, learning_rate=1e-5)
    train = make_loader(data, batch_size=BATCH, batching="grouped_packed", seed=1)
    dev = make_loader(TensorDataset(*(tensor[:BATCH] for tensor in data.tensors)))
    steps = {"steps_per_epoch": len(train), "epochs": ROUNDS + 1}
    settings = plan_steps("constant", "adamw", learning_rate=1e-5, **steps)
    for row, _ in train_epochs(model, optimizer, settings, train, dev, precision="bf16"):
        yield row["samples_per_second"]


class Clock(TrainerCallback):
    """Seconds of the steps after the first few."""

    def on_step_end(self, args, state, control, **_):
        if state.global_step == WARM_UP:
            self.start = now()

    def on_train_end(self, args, state, control, **_):
        self.seconds = now() - self.start


def now() -> float:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def collate(rows: list[dict]) -> dict:
    """A batch padded to its longest row."""
    ids = torch.nn.utils.rnn.pad_sequence([row["input_ids"] for row in rows], True, 1)
    labels = torch.stack([row["labels"] for row in rows])
    return {"input_ids": ids, "attention_mask": (ids != 1).long(), "labels": labels}


def trainer(config, data: TensorDataset):
    """The same of Trainer in bf16, grouped by length."""
    model = AutoModelForSequenceClassification.from_config(config)
    rows = [
        {"input_ids": ids[: int(mask.sum())].long(), "labels": label} for ids, mask, label in data
    ]
    options = {"per_device_train_batch_size": BATCH, "num_train_epochs": 1, "report_to": "none"}
    options |= {"save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True}
    options |= {"train_sampling_strategy": "group_by_length", "use_cpu": DEVICE.type == "cpu"}
    folder = "/tmp/gpu_check"
    arguments = TrainingArguments(folder, bf16=True, learning_rate=1e-5, **options)
    while True:
        clock = Clock()
        Trainer(model, arguments, collate, rows, callbacks=[clock]).train()
        yield (len(rows) - WARM_UP * BATCH) / clock.seconds


def peak(size: int) -> float:
    """Floating-point operations a second of a product of two bf16 matrices."""
    one = torch.randn(size, size, dtype=torch.bfloat16, device=DEVICE)
    seconds = []
    for _ in range(20):
        start = now()
        one @ one
        seconds.append(now() - start)
    return 2 * size**3 / statistics.median(seconds)


def operations(config, lengths: torch.Tensor) -> float:
    """Floating-point operations of training on a document, of real tokens alone."""
    h = config.hidden_size
    matrices = 3 if config.model_type == "modernbert" else 2  # of a feed-forward layer
    token = 2 * (4 * h * h + matrices * h * config.intermediate_size) + 4 * lengths.double() * h
    return 3 * config.num_hidden_layers * float((token * lengths).mean())


def compare(name: str, rows: int, tiny: bool) -> dict:
    """Speeds of one shape, rounds interleaved."""
    kind, sizes = SHAPES[name]
    config = configuration(kind, **sizes | (TINY if tiny else {}))
    data = documents(rows, config.vocab_size)
    ways = {"trainer": trainer(config, data), "ours": ours(config, data, compiled=False)}
    if DEVICE.type == "cuda":
        ways["ours compiled"] = ours(config, data, compiled=True)
    speeds = {way: [] for way in ways}
    start = time.perf_counter()
    for _ in range(ROUNDS + 1):
        for way, measured in list(ways.items()):
            try:
                speeds[way].append(next(measured))
            except Exception as error:  # what else there is to measure is worth more
                speeds[way] = [f"{type(error).__name__}: {error}"[:2000]]
                del ways[way]
    result = {"operations": operations(config, data.tensors[1].sum(1)), "seconds": 0.0}
    result["seconds"] = time.perf_counter() - start
    return result | {"docs_per_second": speeds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--shapes", nargs="*", default=list(SHAPES))
    arguments = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    device = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "cpu"
    result = {"device": device, "torch": torch.__version__, "families": {}, "shapes": {}}
    for kind in FAMILIES:
        differences = {precision: difference(kind, precision) for precision in ("fp32", "bf16")}
        result["families"][kind] = differences
        print(kind, differences, flush=True)
    result["peak"] = peak(512 if arguments.tiny else 8192)
    out = Path(os.environ.get("OUT", "/tmp"))
    for name in arguments.shapes:
        row = compare(name, BATCH * (14 if arguments.tiny else 100), arguments.tiny)
        result["shapes"][name] = row
        base = row["docs_per_second"]["trainer"]
        for way, speeds in row["docs_per_second"].items():
            print(name, way, [s if isinstance(s, str) else round(s) for s in speeds])
            if len(speeds) == len(base) == ROUNDS + 1:
                ratio = statistics.median(a / b for a, b in zip(speeds[1:], base[1:], strict=True))
                share = statistics.median(speeds[1:]) * row["operations"] / result["peak"]
                print(f"    {ratio:.2f} times Trainer, {share:.0%} of the peak", flush=True)
        (out / "gpu_check.json").write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
