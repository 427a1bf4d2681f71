"""The two loops: `lib.training` and transformers' Trainer, on batches of their own or on given
ones."""

import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.data import DataLoader, TensorDataset

from lib import training
from lib.backbones import load_tokenizer, resolve_backbone
from lib.loaders import IndexBatches, make_loader
from lib.models import Classifier
from lib.optim import make_optimizer, plan_steps
from tests.bench.settings import DEVICE, Settings
from tests.bench.ways import Way

Batches = list[list[int]]  # row numbers


class Given(IndexBatches):
    """Batches that were chosen beforehand."""

    def __init__(self, batches: Batches, lengths: torch.Tensor):
        super().__init__(lengths, batch_size=len(batches[0]), batching="random")
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self):
        yield from self.batches[self.done :]


@dataclasses.dataclass(frozen=True)
class Amount:
    """What is trained on: these batches, or so many epochs of the way's own, from a seed."""

    batches: Batches | None = None
    seed: int = 1
    epochs: int = 1


def train_ours(
    model: Classifier,
    dataset: TensorDataset,
    way: Way,
    settings: Settings,
    amount: Amount,
    **options,
) -> list[float]:
    """Train in place by `lib.training`; the loss of every step."""
    order = {"batching": way.batching, "seed": amount.seed}
    train = make_loader(dataset, batch_size=settings.batch_size, **order)
    if amount.batches is not None:
        sampler = Given(amount.batches, train.sampler.lengths)
        train = DataLoader(dataset, sampler=sampler, batch_size=None, collate_fn=train.collate_fn)
    # the loop wants a dev split
    dev = make_loader(TensorDataset(*(tensor[:2] for tensor in dataset.tensors)))
    rate = {"learning_rate": settings.learning_rate}
    plan = {"steps_per_epoch": len(train), "epochs": amount.epochs, "warmup_ratio": 0.0}
    steps = plan_steps("linear", "adamw", **plan, **rate)
    optimizer = make_optimizer("adamw", model, **rate)
    usual = {"clip_norm": 1.0, "precision": way.precision, "seed": amount.seed, "device": DEVICE}
    progress = training.Progress.start(len(steps))
    options = usual | options | {"progress": progress}
    for _ in training.train_epochs(model, optimizer, steps, train, dev, **options):
        pass
    return progress.losses.tolist()


def train_trainer(
    model: torch.nn.Module,
    rows,
    way: Way,
    settings: Settings,
    amount: Amount,
) -> list[float]:
    """Train in place by transformers' Trainer; the loss of every step."""
    import transformers as hf

    losses = []

    class Recorded(hf.Trainer):
        def _get_train_sampler(self, train_dataset=None):
            if amount.batches is None:
                return super()._get_train_sampler(train_dataset)
            return [row for batch in amount.batches for row in batch]

        def training_step(self, *arguments, **options):
            losses.append(super().training_step(*arguments, **options))
            return losses[-1]

    tokenizer = load_tokenizer(resolve_backbone(settings.backbone))
    collator = hf.default_data_collator
    if not way.padded:
        collator = hf.DataCollatorWithPadding(tokenizer)
    end = {"num_train_epochs": amount.epochs}
    if amount.batches is not None:
        end = {"max_steps": len(amount.batches)}
    with tempfile.TemporaryDirectory() as folder:
        arguments = _trainer_arguments(folder, way, settings, seed=amount.seed, **end)
        parts = {"data_collator": collator, "processing_class": tokenizer}
        trainer = Recorded(model, arguments, train_dataset=rows, **parts)
        trainer.remove_callback(hf.PrinterCallback)
        trainer.train()
    return torch.stack(losses).tolist()


def _trainer_arguments(folder: str, way: Way, settings: Settings, **more):
    from transformers import TrainingArguments

    return TrainingArguments(
        folder,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear",
        max_grad_norm=1.0,
        bf16=way.precision == "bf16",
        use_cpu=DEVICE.type == "cpu",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=DEVICE.type != "cpu",
        train_sampling_strategy=way.batching,
        **more,
    )


@contextmanager
def after_each_step(
    model: torch.nn.Module, note: Callable[[int], None]
) -> Iterator[Callable[[], int]]:
    """Call `note` with the number of steps so far after each step that any optimizer makes with
    this model's weights; yields a function that gives this number."""
    weights = {id(parameter) for parameter in model.parameters()}
    count = 0

    def hook(optimizer, *_):
        nonlocal count
        if id(optimizer.param_groups[0]["params"][0]) in weights:
            count += 1
            note(count)

    handle = register_optimizer_step_post_hook(hook)
    try:
        yield lambda: count
    finally:
        handle.remove()
