"""How a run ended: is one that scores badly slow, or has it collapsed?"""

import numpy as np
import pandas as pd

from lib.rankings import label_shares

ONE_POINT = 0.99  # mean cosine above which all documents are taken for one point
ONE_RANK = 1.25  # and their effective rank below which
GAIN = 0.02  # share of the loss of the label shares by which dev loss is below it: learned
ONE_LABEL = 0.95  # of the documents with the same first label: the prediction is constant
LEARNED = "learned"
AT_PRIOR = "still at the prior"
COLLAPSED = "collapsed"
DIVERGED = "diverged"


def prior_loss(train: np.ndarray, dev: np.ndarray, num_labels: int) -> float:
    """The loss on dev of always predicting train's label shares: what reading nothing can reach.

    Cross-entropy for labels (rows,), binary cross-entropy over documents and labels for padded id
    lists (rows, most).
    """
    predicted = np.clip(label_shares(train, num_labels), 1e-12, 1 - 1e-12)
    actual = label_shares(dev, num_labels)
    if train.ndim == 1:
        return float(-(actual * np.log(predicted)).sum())
    return float(-(actual * np.log(predicted) + (1 - actual) * np.log(1 - predicted)).mean())


def even_loss(labels: np.ndarray, num_labels: int) -> float:
    """The loss of all logits zero, where training starts but for noise.

    ln(num_labels) for labels (rows,), ln 2 for padded id lists (rows, most).
    """
    return float(np.log(num_labels if labels.ndim == 1 else 2))


def outcome(history: pd.DataFrame, prior: float, even: float) -> str:
    """The verdict on a run from its history: learned, diverged, collapsed or still at the prior.

    Learned: dev loss has come by `GAIN` below that of the label shares, and fewer than `ONE_LABEL`
    of the documents get the same first label. Diverged: it has not, and in some epoch train or dev
    loss was above twice `even_loss`. Collapsed: neither, the documents have been one point for two
    epochs (mean cosine above `ONE_POINT`, effective rank below `ONE_RANK`), and dev loss is within
    2 % of that of the label shares or no longer falls (by less than 0.1 % in the last epoch). It is
    a state, which a run may leave again. Anything else is still at the prior: a constant prediction
    alone tells nothing.
    """
    if not len(history):
        return AT_PRIOR
    last = history.iloc[-1]
    tail = history.tail(2)
    is_below = history["dev_loss"].min() <= (1 - GAIN) * prior
    if is_below and last["top_label_share"] < ONE_LABEL:
        return LEARNED
    if history[["train_loss", "dev_loss"]].max().max() > 2 * even:
        return DIVERGED
    one_cosine = (tail["embedding_cosine"] > ONE_POINT).all()
    one_rank = (tail["embedding_rank"] < ONE_RANK).all()
    falls = last["dev_loss"] <= 0.999 * tail["dev_loss"].iloc[0]
    at_rest = last["dev_loss"] <= 1.02 * prior or not falls
    return COLLAPSED if len(tail) == 2 and one_cosine and one_rank and at_rest else AT_PRIOR


def judge(history: pd.DataFrame, status: dict) -> dict[str, str]:
    """The outcome of a run whose health was watched, and why, if it diverged.

    Empty for a run whose health was not watched.
    """
    if "prior_loss" not in status:
        return {}
    if status["status"] == "diverged":  # a loss or gradient that is not finite
        return {"outcome": DIVERGED, "reason": status["reason"]}
    verdict = {"outcome": outcome(history, status["prior_loss"], status["even_loss"])}
    if verdict["outcome"] == DIVERGED:
        worst = history.loc[history["train_loss_max"].idxmax()]
        verdict["reason"] = (
            f"train loss came to {worst['train_loss_max']:.3g} at step "
            f"{worst['train_loss_max_step']:.0f}, where even guesses have "
            f"{status['even_loss']:.3g}; dev loss ended at {history['dev_loss'].iloc[-1]:.3g}"
        )
    return verdict
