"""Runs that a table compares as one: their predictions on the same documents, as arrays."""

import dataclasses
from collections.abc import Iterable
from functools import cached_property

import numpy as np
import pandas as pd

from lib.errors import InputError
from lib.rankings import hits
from lib.runs.files import digest
from lib.runs.predictions_table import numbered


def _labels(frame: pd.DataFrame) -> np.ndarray:
    if "label" not in frame:
        return numbered(frame, "gold", np.int64)
    real_numbers = frame["label"].dtype.kind == "f"
    return frame["label"].to_numpy().astype(np.float32 if real_numbers else np.int64)


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that share what a table compares them by; `seeds` gives each run's seed.

    With several labels a document, labels are (rows, most) and logits those of the labels in
    `ranked`.
    """

    name: str
    runs: list[str]  # keys
    seeds: list[int]
    labels: np.ndarray  # (rows,) int64, or float32 of real numbers
    logits: np.ndarray  # (runs, rows, num_labels), float32
    ranked: np.ndarray | None = None  # (runs, rows, k) label ids, best first
    tokens: np.ndarray | None = None  # (rows,) lengths before truncation
    rows: np.ndarray | None = None  # (rows,) of the source that the documents are
    is_reference: bool = False
    averaged: int = 0  # models of which the only run is the ensemble

    @classmethod
    def of(cls, name: str, runs: list[str], seeds: list[int], frames: list[pd.DataFrame]):
        """From each run's rows of the frame; all have the same documents."""
        ranked = None
        if "top_0" in frames[-1]:
            ranked = np.stack([numbered(frame, "top", np.int64) for frame in frames])
        return cls(
            name,
            runs,
            seeds,
            labels=_labels(frames[-1]),
            logits=np.stack([numbered(frame, "logit", np.float32) for frame in frames]),
            ranked=ranked,
            tokens=frames[-1]["tokens"].to_numpy(),
            rows=frames[-1]["row"].to_numpy(),
        )

    @property
    def predicted(self) -> np.ndarray:
        """Label ids (runs, rows); ties go to the lower one."""
        return self.logits.argmax(-1)

    @property
    def right(self) -> np.ndarray:
        """Whether the first label of each document is a gold one: booleans (runs, rows)."""
        if self.ranked is None:
            return self.predicted == self.labels
        return np.stack([hits(ranked[:, :1], self.labels)[:, 0] for ranked in self.ranked])

    @cached_property
    def models(self) -> list[str]:
        """Of each run a digest of its predictions: two runs that predict the same to the last bit
        are the same model."""
        predictions = [self.logits] if self.ranked is None else [self.logits, self.ranked]
        return [
            digest(*(np.ascontiguousarray(array[run]).tobytes() for array in predictions))
            for run in range(len(self.runs))
        ]

    @property
    def has_seeds(self) -> bool:
        """Whether another run could give other predictions; a reference is computed once,
        and so is an ensemble of all seeds."""
        return len(self.runs) > 1 or not (self.is_reference or self.averaged)

    def only(self, places: list[int]) -> "Group":
        """The group with the runs at these places alone."""
        return dataclasses.replace(
            self,
            runs=[self.runs[place] for place in places],
            seeds=[self.seeds[place] for place in places],
            logits=self.logits[places],
            ranked=None if self.ranked is None else self.ranked[places],
        )

    @cached_property
    def counted_once(self) -> "Group":
        """The group without runs that are the same model as an earlier one."""
        models = self.models
        places = [place for place, model in enumerate(models) if model not in models[:place]]
        return self if len(places) == len(models) else self.only(places)


def families_of(runs: dict[str, dict], keys: Iterable[str], group: str) -> dict[int, list[str]]:
    """By seed the keys of a group's runs, fold by fold, of all that `runs` have; without seeds that
    lack one. Raises InputError where a seed has several runs on a fold."""

    def fold_of(key: str) -> int:
        return runs[key]["config"].get("fold") or 0

    folds = {fold_of(key) for key in runs}
    families: dict[int, dict[int, str]] = {}
    for key in keys:
        seed = runs[key]["config"]["seed"]
        family = families.setdefault(seed, {})
        if fold_of(key) in family:
            raise InputError(f"{group}: several runs with seed {seed}; narrow them with where=…")
        family[fold_of(key)] = key
    return {
        seed: [family[fold] for fold in sorted(folds)]
        for seed, family in families.items()
        if len(family) == len(folds)
    }
