"""What dev decided for a run: how sure it may sound, and when it gives a label."""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from scipy.special import expit

from lib.runs.predictions_table import numbered
from lib.runs.store import Run
from lib.thresholds import (
    LARGEST_LOG,
    best_temperature,
    class_losses,
    dense,
    label_losses,
    thresholds_of,
)

DECISIONS = "decisions.json"  # beside a model


@dataclasses.dataclass(frozen=True)
class Decisions:
    """Probabilities are those of logits divided by `temperature`; of several labels, those are
    given whose logit is above its threshold (num_labels,), None: above 0."""

    temperature: float = 1.0
    thresholds: np.ndarray | None = None

    def probabilities(self, names: Iterable[str]) -> dict[str, float]:
        """The probability above which each label is given; of one label a document, none."""
        if self.thresholds is None:
            return {}
        chances = expit(self.thresholds / self.temperature)
        return {name: round(float(chance), 6) for name, chance in zip(names, chances, strict=True)}


AS_TRAINED = Decisions()


def decisions_of(runs: list[Run]) -> Decisions:
    """The thresholds and the temperature that dev chooses, as on a page of the run; of several
    runs, for the mean of their logits. As trained, where runs have other dev documents, not all
    logits were kept, or labels are numbers."""
    frames = [_dev(run) for run in runs]
    first = frames[0]
    columns = ["row", *first.filter(regex=r"^(label$|gold_)")]
    if not len(first) or ("label" in first and first["label"].dtype.kind == "f"):
        return AS_TRAINED
    if not all(set(columns) <= {*each} and each[columns].equals(first[columns]) for each in frames):
        return AS_TRAINED
    if "label" in first:
        return of_classes(np.mean([_logits(frame) for frame in frames], axis=0), first["label"])
    num_labels = len(runs[0].status["label_names"])
    labels = numbered(first, "gold", np.int64)
    of_runs = [
        dense(_logits(frame), numbered(frame, "top", np.int64), labels, num_labels)
        for frame in frames
    ]
    logits = np.mean([of_run for of_run, _ in of_runs], axis=0)
    if len(runs) > 1 and not np.isfinite(logits).all():
        return AS_TRAINED
    return _of_labels(logits, of_runs[0][1])


def of_classes(logits: np.ndarray, labels: pd.Series) -> Decisions:
    """Of logits (rows, num_labels), from those of the documents whose label train has."""
    known = (labels < logits.shape[1]).to_numpy()
    if not known.any():
        return AS_TRAINED
    gold = labels.to_numpy(np.int64)[known]
    values = logits[known]
    temperature = _temperature(
        lambda at: class_losses(values / at, gold).mean(), values.argmax(1) == gold
    )
    return AS_TRAINED if temperature == 1 else Decisions(temperature)


def _of_labels(logits: np.ndarray, gold: np.ndarray) -> Decisions:
    """Of logits and gold booleans (rows, num_labels); the temperature from the logits that are
    kept, of each document as many."""
    if not gold.any():
        return AS_TRAINED
    is_finite = np.isfinite(logits)
    values, right = (part[is_finite].reshape(len(logits), -1) for part in (logits, gold))
    temperature = _temperature(
        lambda at: label_losses(values / at, right).mean(), (values > 0) == right
    )
    return Decisions(temperature, thresholds_of(logits, gold)[1])


def _temperature(loss_at: Callable[[float], float], right: np.ndarray) -> float:
    """The best temperature; 1 where it is an end of the range, or all decisions (booleans) are
    right: then dev does not tell how sure to be."""
    temperature = best_temperature(loss_at)
    if right.all() or abs(np.log(temperature)) > 0.95 * LARGEST_LOG:
        return 1.0
    return temperature


def _dev(run: Run) -> pd.DataFrame:
    """A run's predictions on dev at its chosen epoch, by row."""
    frame = run.predictions
    frame = frame[(frame["split"] == "dev") & (frame["epoch"] == run.status["chosen_epoch"])]
    return frame.sort_values("row", ignore_index=True)


def _logits(frame: pd.DataFrame) -> np.ndarray:
    return numbered(frame, "logit", np.float64)


def describe_decisions(decisions: Decisions, names: Iterable[str]) -> str:
    """What dev decided, in a line."""
    if decisions is AS_TRAINED:
        return "Probabilities are as trained: dev does not say how to scale them"
    text = f"Probabilities are scaled by the temperature {decisions.temperature:.2f}"
    if decisions.thresholds is not None:
        chances = decisions.probabilities(names)
        pairs = [f"{name} {chance:.2f}" for name, chance in chances.items()]
        more = ", …" if len(pairs) > 5 else ""
        text += f", labels given above the probabilities {', '.join(pairs[:5])}{more}"
    return f"{text}, which dev chose (--as-trained: without)"
