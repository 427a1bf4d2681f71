"""What labels texts: a run's model, or several whose logits are averaged."""

import dataclasses
from functools import cached_property

import numpy as np
from scipy.special import expit, softmax

from lib.errors import InputError
from lib.runs.store import Run
from lib.tokenization import longest_whole, reading_of
from lib.use.decisions import AS_TRAINED, Decisions


@dataclasses.dataclass
class Labeller:
    """Runs of one task and the same labels; their logits' mean is what labels a text.

    `too_long` counts the texts labelled so far that lost tokens. Raises InputError where labels
    differ.
    """

    runs: list[Run]
    decisions: Decisions = AS_TRAINED
    too_long: int = 0

    def __post_init__(self):
        self.settings = self.runs[0].model[1]
        for run in self.runs[1:]:
            settings = run.model[1]
            if self._labels(settings) != self._labels(self.settings):
                names = " and ".join(each.key[:16] for each in (self.runs[0], run))
                raise InputError(f"The runs {names} have other labels, and so no mean of logits")

    @staticmethod
    def _labels(settings: dict) -> tuple:
        return settings.get("task", "classification"), list(settings["label_names"])

    @property
    def keys(self) -> list[str]:
        return [run.key for run in self.runs]

    @property
    def names(self) -> list[str]:
        return self.settings["label_names"]

    @property
    def task(self) -> str:
        """classification, multilabel or regression."""
        return self.settings.get("task", "classification")

    @cached_property
    def longest(self) -> list[int]:
        """The tokens of the longest text that loses none, of each run."""
        return [
            longest_whole(run.folder / "model", **reading_of(run.model[1])) for run in self.runs
        ]

    def logits(self, texts: list) -> np.ndarray:
        """The mean of the runs' logits (rows, num_labels); counts the texts that are too long."""
        if not texts:
            return np.empty((0, len(self.names)))
        scored = [run.logits_of(texts) for run in self.runs]
        is_long = [lengths > most for (_, lengths), most in zip(scored, self.longest, strict=True)]
        self.too_long += int(np.any(is_long, axis=0).sum())
        return np.mean([logits.double().numpy() for logits, _ in scored], axis=0)

    def chances(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities (rows, num_labels); of real numbers, these."""
        if self.task == "regression":
            return logits
        logits = logits / self.decisions.temperature
        return expit(logits) if self.task == "multilabel" else softmax(logits, axis=1)

    def above(self, logits: np.ndarray) -> np.ndarray:
        """How far each logit is above its threshold (rows, num_labels)."""
        return logits - (0 if self.decisions.thresholds is None else self.decisions.thresholds)

    def margins(self, logits: np.ndarray) -> np.ndarray:
        """How sure each text's answer is (rows,): how far the best label's probability is above the
        second's; with several labels, the distance of the nearest logit from its threshold."""
        if self.task == "multilabel":
            return np.abs(self.above(logits)).min(1)
        best = np.sort(self.chances(logits), axis=1)
        return best[:, -1] - (best[:, -2] if best.shape[1] > 1 else 0)
