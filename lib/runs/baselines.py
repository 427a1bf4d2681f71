"""What a study is compared with: the majority class, a linear model over TF-IDF, and the ceiling
that label noise sets.

Each maps a corpus to scores, shaped like logits (rows, num_labels), for dev and test; train is all
it learns from.
"""

import numpy as np

from lib.data import Corpus, Split
from lib.errors import InputError


def majority(corpus: Corpus) -> dict[str, np.ndarray]:
    """Every document gets train's most frequent class, or the most frequent labels in order."""
    labels = corpus.train.labels[corpus.train.labels >= 0]
    share = np.bincount(labels, minlength=corpus.num_labels) / len(corpus.train)
    return {name: np.tile(share.astype(np.float32), (len(getattr(corpus, name)), 1)) for name in ("dev", "test")}


def tfidf_linear(corpus: Corpus) -> dict[str, np.ndarray]:
    """TF-IDF of words and word pairs, sublinear counts, and linear support vector machines (one
    against the rest)."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.svm import LinearSVC

    counter = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2 if corpus.multilabel else 1)
    train = counter.fit_transform(corpus.train.whole_texts)
    parts = {name: counter.transform(getattr(corpus, name).whole_texts) for name in ("dev", "test")}
    if corpus.multilabel:  # a label at a time, so that no matrix of all labels' weights is ever held
        scores = {name: np.zeros((part.shape[0], corpus.num_labels), np.float32) for name, part in parts.items()}
        for label in range(corpus.num_labels):
            with_label = (corpus.train.labels == label).any(1)
            if with_label.all():
                continue
            model = LinearSVC(random_state=0).fit(train, with_label)
            for name, part in parts.items():
                scores[name][:, label] = model.decision_function(part)
        return scores
    model = LinearSVC(random_state=0).fit(train, corpus.train.labels)
    scores = {}
    for name, part in parts.items():
        found = model.decision_function(part)
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


def train_mean(corpus: Corpus) -> dict[str, np.ndarray]:
    """Every document gets the mean of train's numbers."""
    _numbers_only(corpus)
    return {n: np.full((len(getattr(corpus, n)), 1), corpus.train.labels.mean(), np.float32) for n in ("dev", "test")}


def tfidf_ridge(corpus: Corpus) -> dict[str, np.ndarray]:
    """The same TF-IDF, and ridge regression whose penalty five-fold cross-validation on train
    chooses."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV

    _numbers_only(corpus)
    counter = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    train = counter.fit_transform(corpus.train.whole_texts)
    search = GridSearchCV(Ridge(solver="sag", random_state=0), {"alpha": [0.1, 0.3, 1.0, 3.0, 10.0]}, cv=5)
    model = search.fit(train, corpus.train.labels)
    parts = {name: counter.transform(getattr(corpus, name).whole_texts) for name in ("dev", "test")}
    return {name: model.predict(part)[:, None].astype(np.float32) for name, part in parts.items()}


def _numbers_only(corpus: Corpus) -> None:
    if corpus.task != "regression":
        raise InputError(f"The corpus {corpus.name} has classes; train_mean and tfidf_ridge are for real numbers")


NAMES = {  # on a page
    "tfidf_linear": "TF-IDF + linear SVM",
    "majority": "majority class",
    "noise_ceiling": "ceiling set by label noise",
    "train_mean": "mean of train",
    "tfidf_ridge": "TF-IDF + ridge regression",
}
BASELINES = {f.__name__: f for f in (majority, tfidf_linear, noise_ceiling, train_mean, tfidf_ridge)}
NO_MODEL = ("majority", "noise_ceiling", "train_mean")  # references that no difference is tested against
BY_TASK = {"classification": ("tfidf_linear", "majority"), "multilabel": ("tfidf_linear", "majority")}
BY_TASK["regression"] = ("tfidf_ridge", "train_mean")
