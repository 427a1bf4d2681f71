"""The training loop and the evaluation, without a store or a study in sight."""

import dataclasses
import sys
import time
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

from lib.errors import InputError, nearest
from lib.health import SAMPLE, embedding_health
from lib.losses import Loss, plain_loss
from lib.metrics import BY_NAME, number_scores, scores
from lib.optim import make_optimizer, plan
from lib.ranking import f1_at_threshold, ranking_scores, top_k

VERSION = 1  # part of a run's key: raise it when a change here or below alters what training computes
PRECISIONS = ("auto", "fp32", "bf16")


class DivergedError(ArithmeticError):
    """Training met a loss or gradient that is not finite."""


def resolve_precision(precision: str, device: torch.device | str = "cpu") -> str:
    """`auto` becomes bf16 where the device multiplies in it natively, else fp32. Raises InputError."""
    if precision not in PRECISIONS:
        raise InputError(f"Unknown precision {precision!r}.{nearest(precision, PRECISIONS)}")
    if precision != "auto":
        return precision
    if torch.device(device).type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"


def default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def seed_step(seed: int, step: int) -> None:
    """Seed torch for one step from (seed, step): a run can go on at any step without stored random states.

    The two numbers are hashed, because torch's CPU generator looks at 32 bits of its seed only.
    """
    torch.manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1)[0]))


def progress(items, text: str):
    """A progress bar with an ETA at a terminal or in an open notebook; nothing in a log (TQDM_DISABLE, too)."""
    shown = "ipykernel" in sys.modules or sys.stderr.isatty()
    return tqdm(items, text, leave=False) if shown else items


LARGEST = 65504.0  # of the 16-bit numbers that logits are kept as
TOP = 5  # labels of a document that are kept, where it can have several
FEW = 32  # labels, up to which all of them are kept


def kept(num_labels: int) -> int:
    """How many of the best labels of a document are kept, where it can have several."""
    return num_labels if num_labels <= FEW else TOP


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Logits rounded to 16 bits, gold labels, and their scores; rows in the dataset's order.

    One label a document: logits (rows, num_labels), labels (rows,), ranked None. Several: the k best labels `ranked`
    (rows, k) with their logits (rows, k), k being `kept`, labels (rows, most). The scores are those of the rounded
    logits, so that stored predictions give the same numbers again. Real numbers, predictions (rows, 1), are float32.
    """

    logits: np.ndarray
    labels: np.ndarray
    scores: dict[str, float]
    ranked: np.ndarray | None = None


def logits_of(model: nn.Module, loader: DataLoader, *, precision: str = "auto", device=None):
    """The model's output on each batch, in the loader's order: pairs of float32 logits (batch, num_labels) and labels,
    on the CPU."""
    device = torch.device(device or default_device())
    model.to(device).eval()
    for ids, mask, labels in loader:
        with torch.inference_mode(), autocast(precision, device):  # not around the yield: leaving one undoes the other
            logits = model(ids.to(device), mask.to(device)).float().cpu()
        yield logits, labels


def in_order(loader: DataLoader) -> np.ndarray:
    """Where each row of the dataset is among the rows that the loader gave, (rows,)."""
    return np.argsort(np.concatenate([np.array(batch) for batch in loader.sampler]))


def evaluate(model: nn.Module, loader: DataLoader, *, precision: str = "auto", device=None) -> Evaluation:
    """Score a model on a loader; rows come back in the dataset's order whatever the loader's."""
    parts, ranked, losses = [], [], []
    for logits, labels in logits_of(model, loader, precision=precision, device=device):
        rounded = logits.numpy()
        if not labels.is_floating_point():
            rounded = logits.clamp(-LARGEST, LARGEST).numpy().astype(np.float16)
        if labels.ndim == 2:
            losses.append(float(plain_loss(logits, labels)) * len(labels))
            ranked.append(top_k(rounded.astype(np.float32), kept(model.num_labels)))
            rounded = np.take_along_axis(rounded, ranked[-1], axis=1)
        parts.append(rounded)
    back = in_order(loader)
    logits, labels = np.concatenate(parts)[back], loader.dataset.tensors[2].numpy()
    if labels.dtype.kind == "f":
        return Evaluation(logits, labels, number_scores(logits[:, 0], labels))
    if not ranked:
        return Evaluation(logits, labels, scores(logits.astype(np.float32), labels))
    top = np.concatenate(ranked)[back]
    found = {"loss": sum(losses) / len(labels)} | ranking_scores(top, labels)
    return Evaluation(logits, labels, found | f1_at_threshold(top, logits > 0, labels, model.num_labels), top)


@torch.inference_mode()
def look_inside(model: nn.Module, dataset: TensorDataset, *, precision: str, device) -> dict[str, float]:
    """The health of the embeddings of a fixed sample of documents (see `lib.health`)."""
    ids, mask = (tensor[:SAMPLE].to(device) for tensor in dataset.tensors[:2])
    with autocast(precision, device):
        parts = [model.embed(*part) for part in zip(ids.split(64), mask.split(64), strict=True)]
    return embedding_health(torch.cat(parts).float())


def autocast(precision: str, device: torch.device):
    return torch.autocast(device.type, torch.bfloat16, enabled=resolve_precision(precision, device) == "bf16")


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
    loss_of: Loss = plain_loss,
    done: int = 0,
    device=None,
) -> Iterator[tuple[dict, Evaluation, list[float]]]:
    """Train, and after every epoch yield its row of the history, the evaluation on dev, and the loss of each step.

    `plan` has the optimizer's settings for every step (`lib.optim.plan`); `done` epochs of it are behind the model and
    optimizer given. A row has the epoch (from 1), steps so far, mean train loss, the learning rate of its last step,
    the mean and largest gradient norm before clipping, dev loss and scores, seconds of training, samples and real
    tokens per second; with `health`, what `look_inside` finds, the share of dev that the most frequent first label
    gets, and the largest train loss with its step. Raises DivergedError, with the step, after the first epoch whose
    loss or gradient is not finite.
    """
    device = torch.device(device or default_device())
    model.to(device)
    steps = len(train)
    epochs = len(plan) // steps
    parameters = [p for p in model.parameters() if p.requires_grad]
    max_norm = float("inf") if clip_norm is None else clip_norm
    for epoch in range(done, epochs):
        train.sampler.set_epoch(epoch)
        model.train()
        losses, norms = torch.zeros(steps, device=device), torch.zeros(steps, device=device)
        tokens, start = 0, time.perf_counter()
        for i, (ids, mask, labels) in enumerate(progress(train, f"epoch {epoch + 1}/{epochs}")):
            step = epoch * steps + i
            seed_step(seed, step)
            optimizer.param_groups[0].update(plan[step])
            with autocast(precision, device):
                logits = model(ids.to(device), mask.to(device))
            loss = loss_of(logits.float(), labels.to(device))
            loss.backward()
            norms[i] = nn.utils.clip_grad_norm_(parameters, max_norm)
            losses[i] = loss.detach()
            optimizer.step()
            optimizer.zero_grad()
            tokens += int(mask.sum())
        seconds = time.perf_counter() - start
        bad = torch.nonzero(~(losses + norms).isfinite())
        if len(bad):
            step = epoch * steps + int(bad[0])
            what = "gradient norm" if losses[bad[0]].isfinite() else "loss"
            raise DivergedError(f"the {what} was not finite at step {step + 1} (learning rate {plan[step]['lr']:.3g})")
        result = evaluate(model, dev, precision=precision, device=device)
        inside = {}
        if health:
            inside = look_inside(model, dev.dataset, precision=precision, device=device)
            first = result.logits.argmax(1) if result.ranked is None else result.ranked[:, 0]
            inside["top_label_share"] = float(np.bincount(first).max() / len(first))
            inside |= {
                "train_loss_max": float(losses.max()),
                "train_loss_max_step": epoch * steps + int(losses.argmax()) + 1,
            }
        yield (
            inside
            | {
                "epoch": epoch + 1,
                "step": (epoch + 1) * steps,
                "train_loss": float(losses.double().mean()),
                "learning_rate": plan[step]["lr"],
                "gradient_norm": float(norms.double().mean()),
                "gradient_norm_max": float(norms.max()),
                **{f"dev_{name}": value for name, value in result.scores.items() if name not in BY_NAME},
                "seconds": seconds,
                "samples_per_second": len(train.dataset) / seconds,
                "tokens_per_second": tokens / seconds,
            },
            result,
            losses.tolist(),
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
    """Train a model in place and return its history, one row an epoch; the other options are `train_epochs`'."""
    chosen = make_optimizer(optimizer, model, learning_rate=learning_rate, weight_decay=weight_decay)
    shape = {"learning_rate": learning_rate, "steps_per_epoch": len(train), "epochs": epochs}
    steps = plan(schedule, optimizer, **shape, **(schedule_args or {}))
    return pd.DataFrame([row for row, *_ in train_epochs(model, chosen, steps, train, dev, **options)])
