"""The training loop and the evaluation, without a store or a study in sight."""

import dataclasses
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

from lib.errors import InputError, nearest
from lib.fast.parallel import Team, team
from lib.loaders import batches_of, resident, trim
from lib.losses import Objective, plain_loss
from lib.metrics import (
    METRICS,
    classification_scores,
    decision_scores,
    ranking_scores,
    regression_scores,
    top_k,
)
from lib.optim import make_optimizer, plan
from lib.runs.health import SAMPLE, embedding_health

VERSION = (
    1  # part of a run's key: raise it when a change here or below alters what training computes
)
PRECISIONS = ("auto", "fp32", "bf16")
PLAIN = Objective(plain_loss)
LINE_EVERY = 60.0  # seconds between lines of a log
LOOK_EVERY = 16  # steps between looks at the losses, where looking waits for the device


class DivergedError(ArithmeticError):
    """Training met a loss or gradient that is not finite."""


def resolve_precision(precision: str, device: torch.device | str = "cpu") -> str:
    """`auto` becomes bf16 where the device multiplies in it natively, else fp32. Raises
    InputError."""
    if precision not in PRECISIONS:
        raise InputError(f"Unknown precision {precision!r}.{nearest(precision, PRECISIONS)}")
    if precision != "auto":
        return precision
    if torch.device(device).type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return (
        "bf16"
        if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        else "fp32"
    )


def default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Seed torch for one step from (seed, step): a run can go on at any step without stored random
    states.

    The numbers are hashed, because torch's CPU generator looks at 32 bits of its seed only.
    Processes that train together draw different masks.
    """
    torch.manual_seed(
        int(
            np.random.SeedSequence([seed, step, rank] if rank else [seed, step]).generate_state(1)[
                0
            ]
        )
    )


def bar(items, text: str, done: int = 0):
    """A progress bar with an ETA at a terminal or in an open notebook; elsewhere (or with
    TQDM_DISABLE) a plain line about every minute."""
    if not team().leads:
        return items
    if ("ipykernel" in sys.modules or sys.stderr.isatty()) and not os.environ.get("TQDM_DISABLE"):
        return tqdm(items, text, leave=False, total=len(items), initial=done)
    return _lines(items, text, done)


def _lines(items, text: str, done: int):
    start = last = time.monotonic()
    for number, item in enumerate(items, done + 1):
        yield item
        now = time.monotonic()
        if now - last >= LINE_EVERY:
            left = (now - start) / (number - done) * (len(items) - number) / 60
            print(
                f"    {text}: step {number} of {len(items)}, about {left:.1f} min to go", flush=True
            )
            last = now


LARGEST = 65504.0  # of the 16-bit numbers that logits are kept as
TOP = 5  # labels of a document that are kept, where it can have several
FEW = 32  # labels, up to which all of them are kept


def kept(num_labels: int) -> int:
    """How many of the best labels of a document are kept, where it can have several."""
    return num_labels if num_labels <= FEW else TOP


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Logits rounded to 16 bits, gold labels, and their scores; rows in the dataset's order.

    One label a document: logits (rows, num_labels), labels (rows,), ranked None. Several: the k
    best labels `ranked` (rows, k) with their logits (rows, k), k being `kept`, labels (rows, most).
    The scores are those of the rounded logits, so that stored predictions give the same numbers
    again. Real numbers, predictions (rows, 1), are float32.
    """

    logits: np.ndarray
    labels: np.ndarray
    scores: dict[str, float]
    ranked: np.ndarray | None = None


def logits_of(model: nn.Module, loader: DataLoader, *, precision: str = "auto", device=None):
    """The model's output on each batch, in the loader's order: pairs of float32 logits (batch,
    num_labels) and labels, on the CPU. A batch that does not fit into memory is computed in
    halves."""
    device = torch.device(device or default_device())
    model.to(device).eval()

    def compute(ids, mask):
        try:
            with (
                torch.inference_mode(),
                autocast(precision, device),
            ):  # not around the yield: leaving one undoes both
                return model(ids.to(device), mask).float().cpu()
        except RuntimeError as error:
            if not out_of_memory(error) or len(ids) == 1:
                raise
        half = len(ids) // 2
        return torch.cat([compute(ids[:half], mask[:half]), compute(ids[half:], mask[half:])])

    for ids, mask, labels, *_ in loader:
        yield compute(ids, mask), labels


def in_order(loader: DataLoader) -> np.ndarray:
    """Where each row of the dataset is among the rows that the loader gave, (rows,)."""
    return np.argsort(np.concatenate([np.array(batch) for batch in loader.sampler]))


def evaluate(
    model: nn.Module, loader: DataLoader, *, precision: str = "auto", device=None
) -> Evaluation:
    """Score a model on a loader; rows come back in the dataset's order whatever the loader's.
    Processes that train together compute every so many batches each, and all get the whole."""
    us, rows, labels = team(), list(loader.sampler), loader.dataset.tensors[2]
    mine = loader if us.size == 1 else batches_of(loader, rows[us.rank :: us.size])
    parts, ranked, losses = {}, {}, {}
    for i, (logits, own) in enumerate(logits_of(model, mine, precision=precision, device=device)):
        number, rounded = us.rank + i * us.size, logits.numpy()
        if not own.is_floating_point():
            rounded = logits.clamp(-LARGEST, LARGEST).numpy().astype(np.float16)
        if own.ndim == 2:
            losses[number] = np.array([float(plain_loss(logits, own)) * len(own)])
            ranked[number] = top_k(rounded.astype(np.float32), kept(model.num_labels))
            rounded = np.take_along_axis(rounded, ranked[number], axis=1)
        parts[number] = rounded
    width = kept(model.num_labels) if labels.ndim == 2 else model.num_labels
    back, sizes, kind = (
        in_order(loader),
        [len(batch) for batch in rows],
        "f4" if labels.is_floating_point() else "f2",
    )
    logits, labels = us.gather(parts, sizes, np.empty((0, width), kind))[back], labels.numpy()
    if labels.dtype.kind == "f":
        return Evaluation(logits, labels, regression_scores(logits[:, 0], labels))
    if labels.ndim == 1:
        return Evaluation(logits, labels, classification_scores(logits.astype(np.float32), labels))
    top = us.gather(ranked, sizes, np.empty((0, width), "i8"))[back]
    total = sum(us.gather(losses, [1] * len(rows), np.empty(0)).tolist())
    found = {"loss": total / len(labels)} | ranking_scores(top, labels)
    return Evaluation(
        logits, labels, found | decision_scores(top, logits > 0, labels, model.num_labels), top
    )


@torch.inference_mode()
def look_inside(
    model: nn.Module, dataset: TensorDataset, *, precision: str, device
) -> dict[str, float]:
    """The health of the embeddings of a fixed sample of documents (see `lib.runs.health`)."""
    ids, mask = (tensor[:SAMPLE].to(device) for tensor in dataset.tensors[:2])
    with autocast(precision, device):
        parts = [model.embed(*part) for part in zip(ids.split(64), mask.split(64), strict=True)]
    return embedding_health(torch.cat(parts).float())


def autocast(precision: str, device: torch.device):
    return torch.autocast(
        device.type, torch.bfloat16, enabled=resolve_precision(precision, device) == "bf16"
    )


@dataclasses.dataclass
class Progress:
    """How far training has come. With the weights and the optimizer's state it is all that
    training needs to go on: there are no random states to keep, because every step is seeded
    from (seed, step)."""

    step: int  # steps done
    losses: torch.Tensor  # of each step so far, and room for those to come
    norms: torch.Tensor  # of the gradients before clipping
    seconds: float = 0.0  # of training, in the current epoch
    parts: int = 1  # pieces of a batch that are computed one after the other
    halved: list = dataclasses.field(
        default_factory=list
    )  # (step, parts) where memory was too small for fewer
    collect: Callable[[], None] = lambda: (
        None
    )  # brings model and optimizer up to this, where processes hold parts

    @classmethod
    def start(cls, steps: int, parts: int = 1) -> "Progress":
        return cls(0, torch.zeros(steps), torch.zeros(steps), parts=parts)


def out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def backward(
    model: nn.Module, objective, batch: tuple, parts: int, team: Team, precision: str, device
) -> torch.Tensor:
    """Add up the gradients of a batch, computed in `parts` pieces; returns its loss.

    The loss is the mean over the whole batch, however many pieces and processes compute it.
    """
    whole, (rows, counts), total = objective.weight(batch[2]), team.share(batch), 0.0
    pieces = (
        [rows]
        if parts == 1
        else [trim(piece) for piece in zip(*(t.chunk(parts) for t in rows), strict=True)]
    )
    for number, (ids, mask, *others) in enumerate(pieces, 1):
        with team.alone(model) if number < len(pieces) else nullcontext():
            with autocast(precision, device):
                loss = objective(
                    model, ids.to(device), mask, *(tensor.to(device) for tensor in others)
                )
            loss = loss * (counts * objective.weight(others[0]) / whole)
            (loss * team.size).backward()  # gradients of processes are averaged
        total = total + loss.detach()
    return team.sum(total)


def train_epochs(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    plan: list[dict],
    train: DataLoader,
    dev: DataLoader,
    *,
    clip_norm: float | None = 1.0,
    precision: str = "auto",
    seed: int = 0,
    health: bool = False,
    objective=PLAIN,
    accumulation: int = 1,
    progress: Progress | None = None,
    after_step: Callable[[Progress], None] = lambda progress: None,
    device=None,
) -> Iterator[tuple[dict, Evaluation, list[float]]]:
    """Train, and after every epoch yield its row of the history, the evaluation on dev, and the
    loss of each step.

    `plan` has the optimizer's settings for every step (`lib.optim.plan`); `objective` is minimised
    (`lib.losses.Objective`), each batch in `accumulation` pieces. `progress` says how much of the
    plan is behind the model and optimizer given, is kept up to date, and shown to `after_step`,
    which may raise to stop. A row has the epoch (from 1), steps so far, mean train loss, the
    learning rate of its last step, the mean and largest gradient norm before clipping, dev loss and
    scores, seconds of training, samples and real tokens per second; with `health`, what
    `look_inside` finds, the share of dev that the most frequent first label gets, and the largest
    train loss with its step. Raises DivergedError at the first step whose loss or gradient is not
    finite, before it changes a weight.
    """
    device, us = torch.device(device or default_device()), team()
    model.to(device)
    called, stepper, collect = us.wrap(model, optimizer)
    steps, train = len(train), resident(train, device)
    epochs, tokens = len(plan) // steps, int(train.dataset.tensors[1].sum())
    parameters = [p for p in called.parameters() if p.requires_grad]
    max_norm = float("inf") if clip_norm is None else clip_norm
    progress = progress or Progress.start(len(plan), accumulation)
    losses, norms = (
        nn.functional.pad(found.to(device), (0, len(plan) - len(found)))
        for found in (progress.losses, progress.norms)
    )
    progress.losses, progress.norms, progress.collect = losses, norms, collect
    look_every = 1 if device.type == "cpu" else LOOK_EVERY
    for epoch in range(progress.step // steps, epochs):
        first = epoch * steps
        train.sampler.set_epoch(epoch, progress.step - first)
        called.train()
        start = time.perf_counter() - progress.seconds
        for batch in bar(train, f"epoch {epoch + 1}/{epochs}", progress.step - first):
            step = progress.step
            stepper.param_groups[0].update(plan[step])
            while True:
                seed_step(seed, step, us.rank)
                try:
                    losses[step] = backward(
                        called, objective, batch, progress.parts, us, precision, device
                    )
                    break
                except RuntimeError as error:
                    halve(progress, len(batch[0]), us, error)
                    stepper.zero_grad()
            norms[step] = us.norm(nn.utils.clip_grad_norm_(parameters, max_norm))
            if (step + 1) % look_every == 0 or step + 1 == first + steps:
                look(losses, norms, step + 1 - look_every, step, plan)
            stepper.step()
            stepper.zero_grad()
            progress.step, progress.seconds = step + 1, time.perf_counter() - start
            if progress.step < first + steps:
                after_step(progress)
        seconds, progress.seconds = progress.seconds, 0.0
        collect()
        result = evaluate(model, dev, precision=precision, device=device)
        if not np.isfinite(result.logits).all():
            raise DivergedError(f"logits on dev were not finite after step {progress.step}")
        inside, own, size = {}, losses[first : first + steps], norms[first : first + steps]
        if health:
            inside = look_inside(model, dev.dataset, precision=precision, device=device)
            best = result.logits.argmax(1) if result.ranked is None else result.ranked[:, 0]
            inside["top_label_share"] = float(np.bincount(best).max() / len(best))
            inside |= {
                "train_loss_max": float(own.max()),
                "train_loss_max_step": first + int(own.argmax()) + 1,
            }
        yield (
            inside
            | {
                "epoch": epoch + 1,
                "step": progress.step,
                "train_loss": float(own.double().mean()),
                "learning_rate": plan[first + steps - 1]["lr"],
                "gradient_norm": float(size.double().mean()),
                "gradient_norm_max": float(size.max()),
                **{
                    f"dev_{name}": value
                    for name, value in result.scores.items()
                    if METRICS[name].in_history
                },
                "seconds": seconds,
                "samples_per_second": len(train.dataset) / seconds,
                "tokens_per_second": tokens / seconds,
            },
            result,
            own.tolist(),
        )
        after_step(progress)


def look(
    losses: torch.Tensor, norms: torch.Tensor, first: int, last: int, plan: list[dict]
) -> None:
    """Raise DivergedError for the first step of `first` to `last` whose loss or gradient norm is
    not finite."""
    first = max(0, first)
    bad = torch.nonzero(~(losses[first : last + 1] + norms[first : last + 1]).isfinite())
    if len(bad):
        step = first + int(bad[0])
        what = "gradient norm" if losses[step].isfinite() else "loss"
        raise DivergedError(
            f"the {what} was not finite at step {step + 1} (learning rate {plan[step]['lr']:.3g})"
        )


def halve(progress: Progress, rows: int, team: Team, error: RuntimeError) -> None:
    """Compute a batch in twice as many pieces from here on, if memory was too small and it can
    be cut; else raise."""
    if not out_of_memory(error):
        raise error
    if progress.parts * team.size >= rows or team.size > 1:
        fewer = "documents per batch" if team.size > 1 else "max_length"
        raise InputError(
            f"Memory is too small for step {progress.step + 1}; choose a smaller {fewer}"
        ) from None
    progress.parts *= 2
    progress.halved.append((progress.step + 1, progress.parts))
    print(
        f"    memory is too small: from step {progress.step + 1} on, a batch of {rows} documents is computed in "
        f"{progress.parts} parts",
        flush=True,
    )


def fit(
    model: nn.Module,
    train: DataLoader,
    dev: DataLoader,
    *,
    epochs: int,
    learning_rate: float,
    optimizer: str = "adamw",
    weight_decay: float = 0.0,
    schedule: str = "constant",
    schedule_args: dict | None = None,
    **options,
) -> pd.DataFrame:
    """Train a model in place and return its history, one row an epoch; the other options are
    `train_epochs`'."""
    chosen = make_optimizer(
        optimizer, model, learning_rate=learning_rate, weight_decay=weight_decay
    )
    shape = {"learning_rate": learning_rate, "steps_per_epoch": len(train), "epochs": epochs}
    steps = plan(schedule, optimizer, **shape, **(schedule_args or {}))
    return pd.DataFrame(
        [row for row, *_ in train_epochs(model, chosen, steps, train, dev, **options)]
    )
