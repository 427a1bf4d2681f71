"""Whether probabilities mean what they say: expected calibration error, and temperature scaling
learned on dev."""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax

from lib.analysis.predictions import Group, Predictions
from lib.analysis.stats import cells, draws, limits
from lib.metrics import hits

BINS = 15  # of equal width, as in Guo et al. 2017
WAYS = ("as trained", "scaled by a temperature")


def confidences(
    group: Group, run: int, temperature: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a run says and what is so: confidence, whether it was right, and the document,
    (decisions,) each.

    With one label a document a decision is its most probable class; with several, each kept label
    of each document.
    """
    logits = group.logits[run] / temperature
    if group.ranked is None:
        chance = np.exp(log_softmax(logits, axis=1)).max(1)
        return chance, logits.argmax(1) == group.labels, np.arange(len(logits))
    right = hits(group.ranked[run], group.labels)
    documents = np.broadcast_to(np.arange(len(logits))[:, None], logits.shape)
    return expit(logits).ravel(), right.ravel(), documents.ravel()


def likelihood(group: Group, run: int, temperature: float = 1.0) -> np.ndarray:
    """The negative log-likelihood of each document (rows,), in nats; with several labels, the
    mean over those kept."""
    logits = group.logits[run].astype(np.float64) / temperature
    if group.ranked is None:
        return -log_softmax(logits, axis=1)[np.arange(len(logits)), group.labels]
    gold = hits(group.ranked[run], group.labels)
    return np.logaddexp(0, np.where(gold, -logits, logits)).mean(1)


def fit_temperature(group: Group, run: int) -> float:
    """The temperature that makes the group's labels most likely (Guo et al. 2017), between 1/20
    and 20."""
    found = minimize_scalar(
        lambda log: likelihood(group, run, np.exp(log)).mean(), bounds=(-3, 3), method="bounded"
    )
    return float(np.exp(found.x))


def ece(
    confidence: np.ndarray, right: np.ndarray, weights: np.ndarray | None = None, bins: int = BINS
) -> float:
    """Expected calibration error: the mean distance of confidence and share right over `bins`
    bins of equal width, weighted by their decisions."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    weights = np.ones(len(place)) if weights is None else weights
    gap = np.bincount(place, weights * (confidence - right), minlength=bins)
    return float(np.abs(gap).sum() / weights.sum())


def _pairs(p: Predictions, by: str, group: str) -> tuple[Group, list[dict[str, float]]]:
    """A group on test, and the temperatures of its runs, each from its own dev predictions."""
    dev = next(g for g in p.groups(by, split="dev") if g.name == group)
    test = next(g for g in p.groups(by) if g.name == group)
    ways = [
        dict(zip(WAYS, (1.0, fit_temperature(dev, run)), strict=True))
        for run in range(len(dev.runs))
    ]
    return test, ways


def calibration(p: Predictions, *, by: str, group: str) -> pd.DataFrame:
    """ECE and likelihood on test, before and after temperature scaling on dev: mean over seeds,
    with 95 % intervals."""
    test, ways = _pairs(p, by, group)
    rows = []
    for way in WAYS:
        told = [confidences(test, run, temperatures[way]) for run, temperatures in enumerate(ways)]
        values = np.array([ece(chance, right) for chance, right, _ in told])
        resampled = np.array(
            [
                [ece(chance, right, w[documents]) for chance, right, documents in told]
                for w in draws(len(test.labels))
            ]
        )
        nll = [
            likelihood(test, run, temperatures[way]).mean() for run, temperatures in enumerate(ways)
        ]
        row = {
            "probabilities": way,
            "temperature": f"{np.mean([t[way] for t in ways]):.2f}",
            "seeds": len(ways),
        }
        row |= cells("ece", values, resampled, *limits()) | {"test loss": float(np.mean(nll))}
        row |= {
            "confidence": np.mean([c.mean() for c, _, _ in told]),
            "right": np.mean([r.mean() for _, r, _ in told]),
        }
        rows.append(row)
    return pd.DataFrame(rows)


def reliability(p: Predictions, *, by: str, group: str, bins: int = 10) -> pd.DataFrame:
    """The calibration curve on test, seeds pooled: mean confidence and share right of the
    decisions in each bin."""
    test, ways = _pairs(p, by, group)
    rows = []
    for way in WAYS:
        parts = [
            confidences(test, run, temperatures[way])[:2] for run, temperatures in enumerate(ways)
        ]
        chance, right = (np.concatenate(values) for values in zip(*parts, strict=True))
        place = np.minimum((chance * bins).astype(int), bins - 1)
        for i in np.unique(place):
            at, name = place == i, f"{i / bins:.0%} to {(i + 1) / bins:.0%}"
            row = {
                "probabilities": way,
                "confidence in": name,
                "decisions": round(at.sum() / len(ways)),
            }
            rows.append(row | {"confidence": chance[at].mean(), "right": right[at].mean()})
    return pd.DataFrame(rows)


def calibrated(p: Predictions, *, by: str, group: str) -> str:
    """What a temperature learned on dev does to the calibration on test."""
    before, after = calibration(p, by=by, group=group).to_dict("records")
    change = f"from {100 * before['ece']:.1f} to {100 * after['ece']:.1f} points"
    apart = after["ece"] - before["ece"]
    verdict = (
        "changes it little" if abs(apart) < 0.005 else "mends it" if apart < 0 else "makes it worse"
    )
    sure = "overconfident" if before["confidence"] > before["right"] else "underconfident"
    return (
        f"As trained, the model is {sure}: mean confidence {100 * before['confidence']:.1f} %, right "
        f"{100 * before['right']:.1f} %. A temperature of {after['temperature']}, learned on dev, {verdict}: the "
        f"expected calibration error on test goes {change}."
    )


TABLES = {function.__name__: function for function in (calibration, reliability)}
FINDINGS = {calibrated.__name__: calibrated}
