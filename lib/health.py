"""Is a run that scores badly slow, or has it collapsed? What the document embeddings say, and the verdict on a run."""

import numpy as np
import pandas as pd
import torch

SAMPLE = 256  # documents of dev that are looked at, the first in its order
LEARNED, AT_PRIOR, COLLAPSED, DIVERGED = "learned", "still at the prior", "collapsed", "diverged"


def embedding_health(embeddings: torch.Tensor) -> dict[str, float]:
    """Mean pairwise cosine and effective rank of document embeddings (rows, size).

    The effective rank (Roy and Vetterli 2007) is exp of the entropy of the singular values, as shares of their sum, of
    the embeddings at length one: 1 when all documents are one point, at most the smaller side.
    """
    unit = torch.nn.functional.normalize(embeddings.double(), dim=1)
    rows = len(unit)
    cosine = (float(unit.sum(0).square().sum()) - rows) / (rows * (rows - 1))
    values = torch.linalg.svdvals(unit)
    share = values / values.sum()
    return {"embedding_cosine": cosine, "embedding_rank": float(torch.exp(torch.special.entr(share).sum()))}


def prior_loss(train: np.ndarray, dev: np.ndarray, num_labels: int) -> float:
    """The loss on dev of always predicting train's label shares: what a model that reads nothing can reach.

    Cross-entropy for labels (rows,), binary cross-entropy over documents and labels for padded id lists (rows, most).
    """
    share = np.bincount(train[(train >= 0) & (train < num_labels)], minlength=num_labels) / len(train)
    share = np.clip(share, 1e-12, 1 - 1e-12)
    counts = np.bincount(dev[(dev >= 0) & (dev < num_labels)], minlength=num_labels) / len(dev)
    if train.ndim == 1:
        return float(-(counts * np.log(share)).sum())
    return float(-(counts * np.log(share) + (1 - counts) * np.log(1 - share)).mean())


def outcome(history: pd.DataFrame, prior: float, *, finished: bool = True) -> str:
    """The verdict on a run from its history: learned, still at the prior, collapsed or diverged.

    Learned: dev loss has come at least 2 % below that of the label shares, and fewer than 95 % of the documents get
    the same first label. Collapsed: it has not, the documents have been one point for two epochs (mean cosine above
    0.99), and dev loss no longer falls (by less than 0.1 % in the last epoch). Anything else is still at the prior: it
    may be a slow starter, and a constant prediction alone does not tell.
    """
    if not finished:
        return DIVERGED
    if not len(history):
        return AT_PRIOR
    last = history.iloc[-1]
    if history["dev_loss"].min() <= 0.98 * prior and last["top_label_share"] < 0.95:
        return LEARNED
    tail = history.tail(2)
    stuck = len(tail) == 2 and tail["dev_loss"].iloc[1] > 0.999 * tail["dev_loss"].iloc[0]
    return COLLAPSED if stuck and (tail["embedding_cosine"] > 0.99).all() else AT_PRIOR
