"""What a study is compared with: the majority class, linear models, and ceilings.

Each reference maps a configuration and its corpus to scores, shaped like logits (rows, num_labels),
for dev and test, and to what dev chose, in words; train is all it learns from.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lib.data import Corpus, Split
from lib.datasets import is_generated
from lib.errors import InputError, shown
from lib.evaluation import keep_best
from lib.rankings import label_counts
from lib.references.from_file import predicted_in_file
from lib.references.linear_models import SCORED
from lib.references.tfidf_and_embeddings import Learned, embedding_linear, tfidf, tfidf_same_text
from lib.runs.config import RunConfig
from lib.runs.predictions_table import to_frame


def majority(config: RunConfig, corpus: Corpus) -> Learned:
    """Every document gets train's most frequent class, or the most frequent labels in order."""
    counts = label_counts(corpus.train.labels, corpus.num_labels)
    shares = (counts / len(corpus.train)).astype(np.float32)
    return {name: np.tile(shares, (len(getattr(corpus, name)), 1)) for name in SCORED}, ""


def noise_ceiling(config: RunConfig, corpus: Corpus) -> Learned:
    """The true labels, where a generator knows them: what is left to lose is its label noise."""

    def one_hot(split: Split) -> np.ndarray:
        if split.true_labels is None or split.true_labels.ndim > 1:
            raise InputError(
                f"The corpus {corpus.name} has no known label noise, so no known ceiling"
            )
        return np.eye(corpus.num_labels)[split.true_labels]

    return {name: one_hot(getattr(corpus, name)) for name in SCORED}, ""


def train_mean(config: RunConfig, corpus: Corpus) -> Learned:
    """Every document gets the mean of train's numbers. Raises InputError where there are none."""
    if corpus.task != "regression":
        raise InputError(f"The corpus {corpus.name} has classes; train_mean is for real numbers")
    means = np.float32(corpus.train.labels.mean())
    return {name: np.full((len(getattr(corpus, name)), 1), means) for name in SCORED}, ""


def baseline_predictions(config: RunConfig, corpus: Corpus) -> tuple[pd.DataFrame, str]:
    """A reference's predictions on dev and test (see `lib.runs.predictions_table.to_frame`), and
    what dev chose for it, in words."""
    make = BASELINES.get(config.reference, predicted_in_file)
    scores_by_split, choice = make(config, corpus)
    frames = []
    for split_name, scores in scores_by_split.items():
        ranked = None
        if corpus.multilabel:
            scores, ranked = keep_best(scores)
        frames.append(to_frame(split_name, 1, getattr(corpus, split_name), scores, ranked))
    return pd.concat(frames, ignore_index=True), choice


BASELINES = {  # from configuration and corpus to the scores of dev and test, and dev's choice
    "majority": majority,
    "tfidf": tfidf,
    "tfidf_same_text": tfidf_same_text,
    "embedding_linear": embedding_linear,
    "embedding_ridge": embedding_linear,
    "noise_ceiling": noise_ceiling,
    "train_mean": train_mean,
}
NAMES = {  # on a page
    "tfidf": "TF-IDF, whole text",
    "tfidf_same_text": "TF-IDF, same text",
    "embedding_linear": "embeddings + logistic regression",
    "embedding_ridge": "embeddings + ridge regression",
    "majority": "majority class",
    "noise_ceiling": "ceiling set by label noise",
    "train_mean": "mean of train",
}
NO_MODEL = ("majority", "noise_ceiling", "train_mean")  # no difference is tested against these
BY_TASK = {  # the best known first
    "classification": ("tfidf", "tfidf_same_text", "embedding_linear", "majority"),
    "multilabel": ("tfidf", "tfidf_same_text", "embedding_linear", "majority"),
    "regression": ("tfidf", "tfidf_same_text", "embedding_ridge", "train_mean"),
}


def reference_name(config: dict) -> str | None:
    """What a table calls a reference, from a run's configuration: its row of `BASELINES`, or its
    file's name without the ending; None for a run that is none."""
    name = config.get("reference")
    return name if name is None or name in BASELINES else Path(name).stem


def references(
    config: RunConfig,
    task: str = "classification",
    *,
    ceiling: bool = True,
    files: Sequence[str] = (),
) -> list[RunConfig]:
    """The references that a run is compared with, as configurations, the best known first; those
    of `files` of predictions (`lib.references.from_file`) before them, and with `ceiling`, of a
    generated corpus of one label a document, what its replaced labels leave possible at the end.

    Raises InputError where two files would have one name.
    """
    names = [*BY_TASK[task]]
    if ceiling and task == "classification" and is_generated(config.dataset):
        names.append("noise_ceiling")
    configs = [config.baseline(name) for name in [*files, *names]]
    titles = [reference_name(each.model_dump()) for each in configs]
    for file, title in zip(files, titles, strict=False):
        if titles.count(title) > 1 or title in BASELINES:
            raise InputError(f"{shown(file)}: a reference is called {title!r} already; rename it")
    return configs
