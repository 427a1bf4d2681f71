"""The scores of a model on a split, from all its logits at once."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from lib.devices import (
    ONE_PROCESS,
    OneProcess,
    autocast,
    default_device,
    is_out_of_memory,
    to_device,
)
from lib.loaders import batches_of
from lib.losses import plain_loss
from lib.metrics import scores_of
from lib.rankings import top_k

LARGEST = 65504.0  # of the 16-bit numbers that logits are kept as
TOP = 5  # labels of a document that are kept, where it can have several
FEW = 32  # labels, up to which all of them are kept


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Logits rounded to 16 bits, gold labels, and their scores; rows in the dataset's order.

    One label a document: logits (rows, num_labels), labels (rows,), ranked None. Several: the k
    best labels `ranked` (rows, k) with their logits (rows, k), k being `num_kept`, labels (rows,
    most). The scores are those of the rounded logits, so that stored predictions give the same
    numbers again. Real numbers, predictions (rows, 1), are float32.
    """

    logits: np.ndarray
    labels: np.ndarray
    scores: dict[str, float]
    ranked: np.ndarray | None = None


def num_kept(num_labels: int) -> int:
    """How many of the best labels of a document are kept, where it can have several."""
    return num_labels if num_labels <= FEW else TOP


def keep_best(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of scores (rows, num_labels) those of the best labels that are kept (rows, k), the highest
    first, and these labels' ids."""
    ranked = top_k(scores, num_kept(scores.shape[1]))
    return np.take_along_axis(scores, ranked, axis=1), ranked


def logits_of(
    model: nn.Module,
    loader: DataLoader,
    *,
    precision: str = "auto",
    device=None,
    may_halve: bool = True,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The model's output on each batch, in the loader's order.

    Yields float32 logits (batch, num_labels) and labels, on the CPU. A batch that does not fit
    into memory is computed in halves, if it `may_halve`.
    """
    device = torch.device(device or default_device())
    model.to(device).eval()
    for ids, mask, labels, *_ in loader:
        yield batch_logits(model, ids, mask, precision, device, may_halve), labels


def batch_logits(
    model: nn.Module,
    ids: torch.Tensor,
    mask: torch.Tensor,
    precision: str,
    device: torch.device,
    may_halve: bool = True,
) -> torch.Tensor:
    """The output (batch, num_labels) of a model in evaluation mode on a device: float32, on the
    CPU. See `logits_of`."""
    try:
        # not around a yield: leaving one of the two contexts there would undo both
        with torch.inference_mode(), autocast(precision, device):
            return model(to_device(ids, device), mask).float().cpu()
    except RuntimeError as error:
        if not (may_halve and is_out_of_memory(error) and len(ids) > 1):
            raise
    half = len(ids) // 2
    rows = (slice(half), slice(half, None))
    return torch.cat([batch_logits(model, ids[i], mask[i], precision, device) for i in rows])


def in_order(loader: DataLoader) -> np.ndarray:
    """Where each row of the dataset is among the rows that the loader gave, (rows,)."""
    return np.argsort(np.concatenate([np.array(batch) for batch in loader.sampler]))


def evaluate(
    model: nn.Module,
    loader: DataLoader,
    *,
    precision: str = "auto",
    device=None,
    processes: OneProcess = ONE_PROCESS,
) -> Evaluation:
    """Score a model on a loader; rows come back in the dataset's order, whatever the loader's.

    Several processes compute their share of the batches each, and all get the whole.
    """
    batches = list(loader.sampler)
    share = loader
    if processes.size > 1:
        share = batches_of(loader, processes.evaluation_batches(batches))
    outputs = {}
    # processes that hold parts of the model have to call it equally often
    computed = logits_of(
        model, share, precision=precision, device=device, may_halve=not processes.sharded
    )
    for index, (logits, gold) in enumerate(computed):
        number = processes.rank + index * processes.size
        outputs[number] = _to_store(logits, gold)
    labels = loader.dataset.tensors[2].numpy()
    order = in_order(loader)
    sizes = [len(batch) for batch in batches]

    def gather(name: str, sizes: list[int], like: np.ndarray) -> np.ndarray:
        arrays = {number: output[name] for number, output in outputs.items()}
        return processes.gather(arrays, sizes, like)

    if labels.ndim == 1:
        kind = np.float32 if labels.dtype.kind == "f" else np.float16
        logits = gather("logits", sizes, np.empty((0, model.num_labels), kind))[order]
        return Evaluation(logits, labels, scores_of(logits.astype(np.float32), labels))
    width = num_kept(model.num_labels)
    logits = gather("logits", sizes, np.empty((0, width), np.float16))[order]
    ranked = gather("ranked", sizes, np.empty((0, width), np.int64))[order]
    loss_sums = gather("loss_sum", [1] * len(sizes), np.empty(0))
    scores = scores_of(logits, labels, ranked, num_labels=model.num_labels)
    loss = sum(loss_sums.tolist()) / len(labels)
    return Evaluation(logits, labels, {"loss": loss} | scores, ranked)


def _to_store(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, np.ndarray]:
    """What of a batch's logits (batch, num_labels) is kept: in 16 bits, but for real numbers.

    Where a document can have several labels: the best ones with their logits, and the loss of all.
    """
    if labels.is_floating_point():
        return {"logits": logits.numpy()}
    stored = logits.clamp(-LARGEST, LARGEST).numpy().astype(np.float16)
    if labels.ndim == 1:
        return {"logits": stored}
    best, ranked = keep_best(stored.astype(np.float32))
    loss_sum = float(plain_loss(logits, labels)) * len(labels)
    best = best.astype(np.float16)
    return {"logits": best, "ranked": ranked, "loss_sum": np.array([loss_sum])}
