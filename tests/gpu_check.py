"""Packed batches on a GPU: the logits of padded ones, and training beside Hugging Face Trainer.

`python -m tests.gpu_check` takes about three minutes and writes $OUT/gpu_check.json; with `--tiny`
any machine can try it out.
"""

import copy
import json
import os
import statistics
import sys
import time
from pathlib import Path

import torch
import transformers
from torch.utils.data import TensorDataset
from transformers import AutoModelForSequenceClassification as AutoClassifier

from lib.attention import attention_for
from lib.devices import autocast, default_device
from lib.fast.families import FAMILIES
from lib.fast.packing import compile_layers, one_kernel, pack
from lib.loaders import make_loader
from lib.models import Classifier
from lib.optim import make_optimizer, plan_steps
from lib.training import train_epochs

DEVICE = default_device()
IS_TINY = "--tiny" in sys.argv
BATCH = 64
ROUNDS = 3  # after one that warms up
WARM_UP = 10  # steps of a round of Trainer that do not count
TINY = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
TINY |= {"intermediate_size": 64, "vocab_size": 1000}
SHAPES = {  # the sizes that are not base models' by default
    "roberta": {"vocab_size": 50265, "max_position_embeddings": 514},
    "modernbert": {"classifier_pooling": "mean"},
    "mpnet": {"vocab_size": 30527, "max_position_embeddings": 514},
}


def configuration(kind: str, sizes: dict):
    return transformers.AutoConfig.for_model(kind, pad_token_id=1, num_labels=4, **sizes)


def classifier(config) -> Classifier:
    """A classifier with random weights and a native head."""
    attention = attention_for(AutoClassifier._model_mapping[type(config)])
    model = AutoClassifier.from_config(config, attn_implementation=attention)
    return Classifier(model, None, 4).to(DEVICE)


def documents(rows: int, vocabulary: int) -> TensorDataset:
    """Random documents as long as AG News ones: about 53 tokens on average."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.normal(53.0, 18.0, (rows,), generator=generator).clamp(12, 128)
    mask = (torch.arange(128) < lengths.int()[:, None]).int()
    ids = torch.randint(5, vocabulary, (rows, 128), generator=generator, dtype=torch.int32)
    labels = torch.randint(4, (rows,), generator=generator)
    return TensorDataset(torch.where(mask.bool(), ids, 1), mask, labels)


@torch.no_grad()
def difference(kind: str, precision: str) -> float:
    """How far packed logits are from padded ones in fp32, as a share of the largest."""
    model = classifier(configuration(kind, {} if kind == "distilbert" else TINY)).eval()
    packed = pack(copy.deepcopy(model)).eval()
    ids, mask, _ = documents(32, 1000).tensors
    padded = model(ids.to(DEVICE), mask)
    with autocast(precision, DEVICE):
        logits = packed(ids.to(DEVICE), mask).float()
    return float((logits - padded).abs().max() / padded.abs().max())


def ours(config, data: TensorDataset, *, compiled: bool):
    """Documents a second of each epoch."""
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


def now() -> float:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


class Clock(transformers.TrainerCallback):
    """Seconds of the steps that count."""

    def on_step_end(self, args, state, control, **_):
        if state.global_step == WARM_UP:
            self.start = now()

    def on_train_end(self, args, state, control, **_):
        self.seconds = now() - self.start


def collate(rows: list) -> dict:
    """A batch padded to its longest row."""
    ids = torch.nn.utils.rnn.pad_sequence([row["input_ids"] for row in rows], True, 1)
    labels = torch.stack([row["labels"] for row in rows])
    return {"input_ids": ids, "attention_mask": (ids != 1).long(), "labels": labels}


def trainer(config, data: TensorDataset):
    """The same of Trainer in bf16, grouped by length."""
    model = AutoClassifier.from_config(config)
    rows = [{"input_ids": ids[mask == 1].long(), "labels": label} for ids, mask, label in data]
    options = {"num_train_epochs": 1, "save_strategy": "no", "logging_strategy": "no"}
    options |= {"report_to": "none", "disable_tqdm": True, "use_cpu": DEVICE.type == "cpu"}
    options |= {"bf16": True, "per_device_train_batch_size": BATCH, "learning_rate": 1e-5}
    options |= {"train_sampling_strategy": "group_by_length"}
    arguments = transformers.TrainingArguments("/tmp/gpu_check", **options)
    while True:
        clock = Clock()
        transformers.Trainer(model, arguments, collate, rows, callbacks=[clock]).train()
        yield (len(rows) - WARM_UP * BATCH) / clock.seconds


def peak(size: int) -> float:
    """Floating-point operations a second of a product of two bf16 matrices."""
    one = torch.randn(size, size, dtype=torch.bfloat16, device=DEVICE)
    one @ one  # prepares it
    start = now()
    for _ in range(20):
        one @ one
    return 20 * 2 * size**3 / (now() - start)


def operations(config, lengths: torch.Tensor) -> float:
    """Floating-point operations of training on a document, of real tokens alone."""
    h = config.hidden_size
    matrices = 3 if config.model_type == "modernbert" else 2  # of a feed-forward layer
    token = 2 * (4 * h * h + matrices * h * config.intermediate_size) + 4 * lengths.double() * h
    return 3 * config.num_hidden_layers * float((token * lengths).mean())


def compare(kind: str, of_peak: float) -> dict:
    """Speeds of one shape, rounds interleaved."""
    config = configuration(kind, SHAPES[kind] | (TINY if IS_TINY else {}))
    data = documents(BATCH * (14 if IS_TINY else 100), config.vocab_size)
    ways = {"trainer": trainer(config, data), "ours": ours(config, data, compiled=False)}
    if DEVICE.type == "cuda":
        ways["compiled"] = ours(config, data, compiled=True)
    speeds = {way: [] for way in ways}
    for _ in range(ROUNDS + 1):
        for way, measured in ways.items():
            speeds[way].append(next(measured))
    share = operations(config, data.tensors[1].sum(1)) / of_peak
    result = {}
    for way, each in speeds.items():
        ratios = [a / b for a, b in zip(each[1:], speeds["trainer"][1:], strict=True)]
        middle = statistics.median(each[1:])
        result[way] = {"docs_per_second": each, "times_trainer": statistics.median(ratios)}
        result[way]["share_of_peak"] = middle * share
    return result


def main() -> None:
    torch.backends.cuda.matmul.allow_tf32 = False
    results = {"torch": torch.__version__, "peak": peak(512 if IS_TINY else 8192)}
    for kind in FAMILIES:
        results[kind] = {name: difference(kind, name) for name in ("fp32", "bf16")}
        print(kind, results[kind], flush=True)
    for kind in SHAPES:
        try:
            results[f"{kind} speed"] = compare(kind, results["peak"])
        except Exception as error:  # the other shapes are worth measuring still
            results[f"{kind} speed"] = f"{type(error).__name__}: {error}"[:3000]
        print(kind, results[f"{kind} speed"], flush=True)
        file = Path(os.environ.get("OUT", "/tmp")) / "gpu_check.json"
        file.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
