"""What a study is compared with: the majority class, a linear model over TF-IDF, and the ceiling that label noise sets.

Each maps a corpus to scores, shaped like logits (rows, num_labels), for dev and test; train is all it learns from.
"""

import numpy as np

from lib.data import Corpus, Split
from lib.errors import InputError


def majority(corpus: Corpus) -> dict[str, np.ndarray]:
    """Every document gets train's most frequent class."""
    counts = np.bincount(corpus.train.labels, minlength=corpus.num_labels).astype(float)
    return {name: np.tile(counts / counts.sum(), (len(getattr(corpus, name)), 1)) for name in ("dev", "test")}


def tfidf_linear(corpus: Corpus) -> dict[str, np.ndarray]:
    """TF-IDF of words and word pairs, sublinear counts, and a linear support vector machine (one against the rest)."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LinearSVC(random_state=0))
    model.fit(corpus.train.texts, corpus.train.labels)
    scores = {}
    for name in ("dev", "test"):
        found = model.decision_function(getattr(corpus, name).texts)
        if found.ndim == 1:  # two classes: the decision is that for the second
            found = np.stack([-found, found], axis=1)
        scores[name] = np.full((len(found), corpus.num_labels), -65504.0)  # a class that train lacks is never predicted
        scores[name][:, model.classes_] = found
    return scores


def noise_ceiling(corpus: Corpus) -> dict[str, np.ndarray]:
    """The true labels, where a generator knows them: what is left to lose is its label noise."""

    def one_hot(split: Split):
        if split.true_labels is None:
            raise InputError(f"The corpus {corpus.name} has no known label noise, so no known ceiling")
        return np.eye(corpus.num_labels)[split.true_labels]

    return {name: one_hot(getattr(corpus, name)) for name in ("dev", "test")}


BASELINES = {"majority": majority, "tfidf_linear": tfidf_linear, "noise_ceiling": noise_ceiling}
