"""Is a run that scores badly slow, or has it collapsed? What the document embeddings say, and the verdict on a run."""

import numpy as np
import pandas as pd
import torch

SAMPLE = 256  # documents of dev that are looked at, the first in its order
ONE_POINT = 0.99  # mean cosine above which all documents are taken for one point
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


@torch.inference_mode()
def attention_maps(model, ids: torch.Tensor) -> torch.Tensor:
    """What each token of one document, ids (tokens,), attends to in each layer: (layers, tokens, tokens), the mean over
    heads; a row sums to one."""
    encoder = model.backbone.base_model
    kind = encoder.config._attn_implementation
    encoder.set_attn_implementation("eager")  # the one that hands its weights out
    try:
        found = encoder(input_ids=ids[None], attention_mask=torch.ones_like(ids)[None], output_attentions=True)
    finally:
        encoder.set_attn_implementation(kind)
    return torch.stack([layer[0].mean(0) for layer in found.attentions])


def label_shares(labels: np.ndarray, num_labels: int) -> np.ndarray:
    """The share of documents that have each label (num_labels,), of labels (rows,) or padded id lists (rows, most)."""
    return np.bincount(labels[(labels >= 0) & (labels < num_labels)], minlength=num_labels) / len(labels)


def prior_logits(labels: np.ndarray, num_labels: int) -> np.ndarray:
    """The logits (num_labels,) that predict each label's share: logarithms of the shares, or for id lists, log-odds."""
    share = np.clip(label_shares(labels, num_labels), 0.5 / len(labels), 1 - 0.5 / len(labels))
    return np.log(share) if labels.ndim == 1 else np.log(share / (1 - share))


def prior_loss(train: np.ndarray, dev: np.ndarray, num_labels: int) -> float:
    """The loss on dev of always predicting train's label shares: what a model that reads nothing can reach.

    Cross-entropy for labels (rows,), binary cross-entropy over documents and labels for padded id lists (rows, most).
    """
    share = np.clip(label_shares(train, num_labels), 1e-12, 1 - 1e-12)
    counts = label_shares(dev, num_labels)
    if train.ndim == 1:
        return float(-(counts * np.log(share)).sum())
    return float(-(counts * np.log(share) + (1 - counts) * np.log(1 - share)).mean())


def even_loss(labels: np.ndarray, num_labels: int) -> float:
    """The loss of all logits zero, where training starts but for noise: ln(num_labels), for padded id lists ln 2."""
    return float(np.log(num_labels if labels.ndim == 1 else 2))


def outcome(history: pd.DataFrame, prior: float, even: float) -> str:
    """The verdict on a run from its history: learned, still at the prior, collapsed or diverged.

    Diverged: dev loss ends above twice `even_loss`: worse than weights that were never trained. Learned: dev loss has
    come at least 2 % below that of the label shares, and fewer than 95 % of the documents get the same first label.
    Collapsed: it has not, the documents have been one point for two epochs (mean cosine above 0.99), and dev loss no
    longer falls (by less than 0.1 % in the last epoch). Anything else is still at the prior: it may be a slow starter,
    and a constant prediction alone does not tell.
    """
    if not len(history):
        return AT_PRIOR
    last = history.iloc[-1]
    if last["dev_loss"] > 2 * even:
        return DIVERGED
    if history["dev_loss"].min() <= 0.98 * prior and last["top_label_share"] < 0.95:
        return LEARNED
    tail = history.tail(2)
    stuck = len(tail) == 2 and tail["dev_loss"].iloc[1] > 0.999 * tail["dev_loss"].iloc[0]
    return COLLAPSED if stuck and (tail["embedding_cosine"] > ONE_POINT).all() else AT_PRIOR
