"""The training loop, without a store or a study in sight."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader

from lib.devices import (
    ONE_PROCESS,
    OneProcess,
    autocast,
    default_device,
    is_out_of_memory,
    seed_step,
    to_device,
)
from lib.evaluation import Evaluation, evaluate
from lib.loaders import trim
from lib.losses import Objective, plain_loss
from lib.metrics import METRICS
from lib.optim import follow_model, make_optimizer, plan_steps, set_step
from lib.progress import Progress, progress_bar

VERSION = 3  # part of a run's key: raise it when a change alters what training computes
PLAIN = Objective(plain_loss)
CHECK_EVERY = 16  # steps between checks of the losses, where looking waits for the device


class DivergedError(ArithmeticError):
    """Training met a loss or gradient that is not finite."""


@dataclasses.dataclass(frozen=True)
class Computation:
    """How each step's loss and gradients are computed."""

    device: torch.device
    objective: Objective = PLAIN  # what is minimised
    precision: str = "auto"
    seed: int = 0
    clip_norm: float | None = 1.0  # None: no clipping
    processes: OneProcess = ONE_PROCESS


def train_epochs(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    settings_by_step: list[dict],
    train: DataLoader,
    dev: DataLoader,
    *,
    accumulation: int = 1,
    progress: Progress | None = None,
    after_step: Callable[[], None] = lambda: None,
    device=None,
    **options,
) -> Iterator[tuple[dict, Evaluation]]:
    """Train, and after every epoch yield its `history_row` and the evaluation on dev.

    `settings_by_step` has the optimizer's settings for every step (`lib.optim.plan_steps`); each
    batch is computed in `accumulation` pieces. `progress` says how much is behind the model and
    optimizer given, and is kept up to date; `after_step` may raise to stop. The other options are
    fields of `Computation`. Raises DivergedError, see `train_epoch`.
    """
    how = Computation(torch.device(device or default_device()), **options)
    model.to(how.device)
    follow_model(optimizer, how.device)
    epochs = len(settings_by_step) // len(train)
    progress = progress or Progress.start(len(settings_by_step), accumulation)
    progress.make_room(len(settings_by_step), how.device)
    module = how.processes.prepare(model, optimizer)  # the model itself, where one process trains
    measured = {"precision": how.precision, "device": how.device, "processes": how.processes}
    for _ in range(progress.step // len(train), epochs):
        train_epoch(module, optimizer, settings_by_step, train, progress, how, after_step)
        evaluation = evaluate(model, dev, **measured)
        if not np.isfinite(evaluation.logits).all():
            raise DivergedError(f"logits on dev were not finite after step {progress.step}")
        row = history_row(progress, train, settings_by_step[progress.step - 1], evaluation)
        progress.seconds = 0.0
        yield row, evaluation
        after_step()


def train_epoch(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    settings_by_step: list[dict],
    train: DataLoader,
    progress: Progress,
    how: Computation,
    after_step: Callable[[], None],
) -> None:
    """Train to the end of the epoch that `progress` is in. Raises DivergedError at the first step
    whose loss or gradient is not finite, before it changes a weight."""
    epoch, steps_done = divmod(progress.step, len(train))
    train.sampler.set_epoch(epoch, steps_done)
    max_norm = float("inf") if how.clip_norm is None else how.clip_norm
    check_every = 1 if how.device.type == "cpu" else CHECK_EVERY
    parameters = [p for p in module.parameters() if p.requires_grad]
    module.train()
    start = time.perf_counter() - progress.seconds
    label = f"epoch {epoch + 1}/{len(settings_by_step) // len(train)}"
    batches = progress_bar(train, label, steps_done) if how.processes.leads else train
    for batch in batches:
        step = progress.step
        epoch_ends = (step + 1) % len(train) == 0
        # this step's learning rate, and what else the schedule moves
        set_step(optimizer, settings_by_step[step])
        # forward and backward, in pieces where memory is too small for a whole batch
        progress.losses[step] = backward_within_memory(module, batch, progress, how)
        # clip all gradients together
        norm = nn.utils.clip_grad_norm_(parameters, max_norm)
        progress.norms[step] = how.processes.norm(norm)
        # a GPU has to be waited for to see a number, so some steps are checked together
        if (step + 1) % check_every == 0 or epoch_ends:
            check_finite(progress, step + 1 - check_every, settings_by_step)
        optimizer.step()
        optimizer.zero_grad()
        progress.step = step + 1
        progress.seconds = time.perf_counter() - start
        if not epoch_ends:
            after_step()


def backward_within_memory(
    module: nn.Module, batch: tuple[torch.Tensor, ...], progress: Progress, how: Computation
) -> torch.Tensor:
    """`backward`, in twice as many pieces from here on whenever memory is too small for these."""
    while True:
        seed_step(how.seed, progress.step, how.processes.rank)
        try:
            return backward(module, batch, progress.pieces, how)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        progress.halve(len(batch[0]), how.processes.size)
        module.zero_grad()


def backward(
    module: nn.Module, batch: tuple[torch.Tensor, ...], pieces: int, how: Computation
) -> torch.Tensor:
    """Add up the gradients of a batch, computed in so many pieces; returns its loss.

    The loss is the mean over the whole batch, however many pieces and processes compute it.
    """
    weight = how.objective.weight
    batch_weight = weight(batch[2])
    rows, counts = how.processes.share(batch)
    cut = [rows]
    if pieces > 1:
        chunks = [tensor.chunk(pieces) for tensor in rows]
        cut = [trim(piece) for piece in zip(*chunks, strict=True)]
    total = 0.0
    for number, (ids, mask, labels, *extra) in enumerate(cut, 1):
        exchanges = number == len(cut)  # processes exchange gradients once a step
        with nullcontext() if exchanges else how.processes.alone(module):
            with autocast(how.precision, how.device):
                ids, labels, *extra = (
                    to_device(each, how.device) for each in (ids, labels, *extra)
                )
                loss = how.objective(module, ids, mask, labels, *extra)
            loss = loss * (counts * weight(labels) / batch_weight)
            (loss * how.processes.size).backward()  # gradients of processes are averaged
        total = total + loss.detach()
    return how.processes.sum(total)


def check_finite(progress: Progress, first: int, settings_by_step: list[dict]) -> None:
    """Raise DivergedError for the first step from `first` on whose loss or norm is not finite."""
    first = max(0, first)
    losses = progress.losses[first : progress.step + 1]
    norms = progress.norms[first : progress.step + 1]
    not_finite = torch.nonzero(~(losses + norms).isfinite())
    if len(not_finite):
        step = first + int(not_finite[0])
        what = "gradient norm" if progress.losses[step].isfinite() else "loss"
        learning_rate = settings_by_step[step]["lr"]
        raise DivergedError(
            f"the {what} was not finite at step {step + 1} (learning rate {learning_rate:.3g})"
        )


def history_row(
    progress: Progress, train: DataLoader, settings: dict, evaluation: Evaluation
) -> dict:
    """An epoch's row of the history: epoch (from 1), steps so far, mean train loss, the learning
    rate of its last step, the mean and largest gradient norm before clipping, dev loss and scores,
    seconds of training, samples and real tokens per second."""
    losses = progress.losses[progress.step - len(train) : progress.step]
    norms = progress.norms[progress.step - len(train) : progress.step]
    dev = {f"dev_{name}": v for name, v in evaluation.scores.items() if METRICS[name].in_history}
    tokens = int(train.dataset.tensors[1].sum())
    return {
        "epoch": progress.step // len(train),
        "step": progress.step,
        "train_loss": float(losses.double().mean()),
        "learning_rate": settings["lr"],
        "gradient_norm": float(norms.double().mean()),
        "gradient_norm_max": float(norms.max()),
        **dev,
        "seconds": progress.seconds,
        "samples_per_second": len(train.dataset) / progress.seconds,
        "tokens_per_second": tokens / progress.seconds,
    }


def fit(
    model: nn.Module,
    train: DataLoader,
    dev: DataLoader,
    *,
    epochs: int,
    learning_rate: float,
    optimizer: str = "adamw",
    weight_decay: float = 0.0,
    layer_decay: float = 1.0,
    schedule: str = "constant",
    schedule_args: dict | None = None,
    **options,
) -> pd.DataFrame:
    """Train a model in place and return its history, one row an epoch. The other options are those
    of `train_epochs`."""
    settings_by_step = plan_steps(
        schedule,
        optimizer,
        learning_rate=learning_rate,
        steps_per_epoch=len(train),
        epochs=epochs,
        **(schedule_args or {}),
    )
    stepper = make_optimizer(
        optimizer,
        model,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        layer_decay=layer_decay,
    )
    epochs = train_epochs(model, stepper, settings_by_step, train, dev, **options)
    return pd.DataFrame([row for row, _ in epochs])
