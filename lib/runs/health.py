"""Is a run that scores badly slow, or has it collapsed? What the document embeddings say, and
the verdict on a run."""

import numpy as np
import pandas as pd
import torch

SAMPLE = 256  # documents of dev that are looked at, the first in its order
ONE_POINT = 0.99  # mean cosine above which all documents are taken for one point
ONE_RANK = 1.25  # and their effective rank below which
LEARNED, AT_PRIOR, COLLAPSED, DIVERGED = "learned", "still at the prior", "collapsed", "diverged"


def embedding_health(embeddings: torch.Tensor) -> dict[str, float]:
    """Mean pairwise cosine and effective rank of document embeddings (rows, size).

    The effective rank (Roy and Vetterli 2007) is exp of the entropy of the singular values, as
    shares of their sum, of the embeddings at length one: 1 when all documents are one point, at
    most the smaller side.
    """
    unit = torch.nn.functional.normalize(embeddings.double(), dim=1)
    rows = len(unit)
    cosine = (float(unit.sum(0).square().sum()) - rows) / (rows * (rows - 1))
    values = torch.linalg.svdvals(unit)
    share = values / values.sum()
    return {"embedding_cosine": cosine, "embedding_rank": float(torch.exp(torch.special.entr(share).sum()))}


@torch.inference_mode()
def attention_maps(model, ids: torch.Tensor) -> torch.Tensor:
    """What each token of one document, ids (tokens,), attends to in each layer: (layers, tokens,
    tokens), the mean over heads; a row sums to one."""
    encoder = model.backbone.base_model
    kind = encoder.config._attn_implementation
    encoder.set_attn_implementation("eager")  # the one that hands its weights out
    try:
        found = encoder(input_ids=ids[None], attention_mask=torch.ones_like(ids)[None], output_attentions=True)
    finally:
        encoder.set_attn_implementation(kind)
    return torch.stack([layer[0].mean(0) for layer in found.attentions])


def label_shares(labels: np.ndarray, num_labels: int) -> np.ndarray:
    """The share of documents that have each label (num_labels,), of labels (rows,) or padded id
    lists (rows, most)."""
    return np.bincount(labels[(labels >= 0) & (labels < num_labels)], minlength=num_labels) / len(labels)


def prior_logits(labels: np.ndarray, num_labels: int) -> np.ndarray:
    """The logits (num_labels,) that predict each label's share: logarithms of the shares, or for
    id lists, log-odds."""
    share = np.clip(label_shares(labels, num_labels), 0.5 / len(labels), 1 - 0.5 / len(labels))
    return np.log(share) if labels.ndim == 1 else np.log(share / (1 - share))


def prior_loss(train: np.ndarray, dev: np.ndarray, num_labels: int) -> float:
    """The loss on dev of always predicting train's label shares: what a model that reads nothing
    can reach.

    Cross-entropy for labels (rows,), binary cross-entropy over documents and labels for padded id
    lists (rows, most).
    """
    share = np.clip(label_shares(train, num_labels), 1e-12, 1 - 1e-12)
    counts = label_shares(dev, num_labels)
    if train.ndim == 1:
        return float(-(counts * np.log(share)).sum())
    return float(-(counts * np.log(share) + (1 - counts) * np.log(1 - share)).mean())


def even_loss(labels: np.ndarray, num_labels: int) -> float:
    """The loss of all logits zero, where training starts but for noise: ln(num_labels), for
    padded id lists ln 2."""
    return float(np.log(num_labels if labels.ndim == 1 else 2))


def outcome(history: pd.DataFrame, prior: float, even: float) -> str:
    """The verdict on a run from its history: learned, diverged, collapsed or still at the prior.

    Learned: dev loss has come at least 2 % below that of the label shares, and fewer than 95 % of
    the documents get the same first label. Diverged: it has not, and in some epoch train or dev
    loss was above twice `even_loss`. Collapsed: neither, the documents have been one point for two
    epochs (mean cosine above `ONE_POINT`, effective rank below `ONE_RANK`), and dev loss is within
    2 % of that of the label shares or no longer falls (by less than 0.1 % in the last epoch). It is
    a state, which a run may leave again. Anything else is still at the prior: a constant prediction
    alone tells nothing.
    """
    if not len(history):
        return AT_PRIOR
    last, tail = history.iloc[-1], history.tail(2)
    if history["dev_loss"].min() <= 0.98 * prior and last["top_label_share"] < 0.95:
        return LEARNED
    if history[["train_loss", "dev_loss"]].max().max() > 2 * even:
        return DIVERGED
    one_point = (tail["embedding_cosine"] > ONE_POINT).all() and (tail["embedding_rank"] < ONE_RANK).all()
    settled = last["dev_loss"] <= 1.02 * prior or last["dev_loss"] > 0.999 * tail["dev_loss"].iloc[0]
    return COLLAPSED if len(tail) == 2 and one_point and settled else AT_PRIOR


def judge(history: pd.DataFrame, status: dict) -> dict[str, str]:
    """The outcome of a run whose health was watched, and why, if it diverged; nothing for any
    other run."""
    if "prior_loss" not in status:
        return {}
    if status["status"] == "diverged":  # a loss or gradient that is not finite
        return {"outcome": DIVERGED, "reason": status["reason"]}
    found = {"outcome": outcome(history, status["prior_loss"], status["even_loss"])}
    if found["outcome"] == DIVERGED:
        worst = history.loc[history["train_loss_max"].idxmax()]
        found["reason"] = (
            f"train loss came to {worst['train_loss_max']:.3g} at step {worst['train_loss_max_step']:.0f}, where even "
            f"guesses have {status['even_loss']:.3g}; dev loss ended at {history['dev_loss'].iloc[-1]:.3g}"
        )
    return found
