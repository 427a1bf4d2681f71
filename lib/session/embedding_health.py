"""What the document embeddings of a model say of its health, epoch by epoch."""

import numpy as np
import torch
from torch.utils.data import TensorDataset

from lib.devices import autocast, default_device
from lib.evaluation import Evaluation
from lib.models import Classifier
from lib.training import Progress

SAMPLE = 256  # documents of dev that are looked at, the first in its order
BATCH = 64  # documents


def embedding_health(embeddings: torch.Tensor) -> dict[str, float]:
    """Mean pairwise cosine and effective rank of document embeddings (rows, size).

    The effective rank (Roy and Vetterli 2007) is exp of the entropy of the singular values, as
    shares of their sum, of the embeddings at length one: 1 when all documents are one point, at
    most the smaller side.
    """
    unit = torch.nn.functional.normalize(embeddings.double(), dim=1)
    rows = len(unit)
    cosine = (float(unit.sum(0).square().sum()) - rows) / (rows * (rows - 1))
    singular_values = torch.linalg.svdvals(unit)
    shares = singular_values / singular_values.sum()
    rank = torch.exp(torch.special.entr(shares).sum())
    return {"embedding_cosine": cosine, "embedding_rank": float(rank)}


@torch.inference_mode()
def embed_sample(model: Classifier, dataset: TensorDataset, precision: str) -> torch.Tensor:
    """Embeddings (rows, size) of the first documents of a dataset."""
    device = default_device()
    ids, mask = (tensor[:SAMPLE].to(device) for tensor in dataset.tensors[:2])
    batches = zip(ids.split(BATCH), mask.split(BATCH), strict=True)
    with autocast(precision, device):
        embeddings = [model.embed(*batch) for batch in batches]
    return torch.cat(embeddings).float()


def health_of_epoch(
    model: Classifier,
    dataset: TensorDataset,
    evaluation: Evaluation,
    progress: Progress,
    steps_per_epoch: int,
    *,
    precision: str,
) -> dict[str, float]:
    """What an epoch's row of the history says of health.

    The health of the embeddings of a sample of dev, the share of dev that the most frequent first
    label gets, and the largest train loss of the epoch with its step.
    """
    first = progress.step - steps_per_epoch
    losses = progress.losses[first : progress.step]
    best = evaluation.logits.argmax(1) if evaluation.ranked is None else evaluation.ranked[:, 0]
    return {
        **embedding_health(embed_sample(model, dataset, precision)),
        "top_label_share": float(np.bincount(best).max() / len(best)),
        "train_loss_max": float(losses.max()),
        "train_loss_max_step": first + int(losses.argmax()) + 1,
    }
