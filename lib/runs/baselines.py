"""What a study is compared with: the majority class, linear models over TF-IDF, and ceilings.

Each baseline maps a corpus to scores, shaped like logits (rows, num_labels), for dev and test;
train is all it learns from.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from lib.data import Corpus, Split
from lib.errors import InputError
from lib.evaluation import LARGEST, num_kept
from lib.metrics import label_counts, top_k
from lib.runs.frames import to_frame

SCORED = ("dev", "test")  # splits


def majority(corpus: Corpus) -> dict[str, np.ndarray]:
    """Every document gets train's most frequent class, or the most frequent labels in order."""
    counts = label_counts(corpus.train.labels, corpus.num_labels)
    shares = (counts / len(corpus.train)).astype(np.float32)
    return {name: np.tile(shares, (len(getattr(corpus, name)), 1)) for name in SCORED}


def tfidf_linear(corpus: Corpus) -> dict[str, np.ndarray]:
    """TF-IDF of words and word pairs, and linear support vector machines, one against the rest."""
    train, features = _tfidf(corpus, least_documents=2 if corpus.multilabel else 1)
    if corpus.multilabel:
        return _one_label_at_a_time(corpus, train, features)
    return _one_class_a_document(corpus, train, features)


def _tfidf(corpus: Corpus, *, least_documents: int = 1) -> tuple:
    """TF-IDF of words and word pairs that so many train documents have: sparse matrices of train,
    and of each scored split. Where there are no such words, said, no document has anything."""
    from scipy.sparse import csr_array
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=least_documents)
    scored = {name: getattr(corpus, name).whole_texts for name in SCORED}
    try:
        train = vectorizer.fit_transform(corpus.train.whole_texts)
    except ValueError:  # there is no word of two letters, or none in two documents
        name = Path(corpus.name).name
        print(f"{name}: its texts share no words, so TF-IDF has nothing to go by", flush=True)
        nothing = {name: csr_array((len(texts), 1)) for name, texts in scored.items()}
        return csr_array((len(corpus.train), 1)), nothing
    return train, {name: vectorizer.transform(texts) for name, texts in scored.items()}


def _one_label_at_a_time(corpus: Corpus, train, features: dict) -> dict[str, np.ndarray]:
    """Scores of one model a label, so that no matrix of all labels' weights is ever held."""
    from sklearn.svm import LinearSVC

    scores = {
        name: np.zeros((part.shape[0], corpus.num_labels), np.float32)
        for name, part in features.items()
    }
    for label in range(corpus.num_labels):
        has_label = (corpus.train.labels == label).any(1)
        if has_label.all():
            continue
        if not has_label.any():  # a label that train lacks is never given
            for name in scores:
                scores[name][:, label] = -LARGEST
            continue
        model = LinearSVC(random_state=0).fit(train, has_label)
        for name, part in features.items():
            scores[name][:, label] = model.decision_function(part)
    return scores


def _one_class_a_document(corpus: Corpus, train, features: dict) -> dict[str, np.ndarray]:
    from sklearn.svm import LinearSVC

    model = LinearSVC(random_state=0).fit(train, corpus.train.labels)
    scores = {}
    for name, part in features.items():
        decisions = model.decision_function(part)
        if decisions.ndim == 1:  # two classes: the decision is that for the second
            decisions = np.stack([-decisions, decisions], axis=1)
        # a class that train lacks is never predicted
        scores[name] = np.full((len(decisions), corpus.num_labels), -LARGEST)
        scores[name][:, model.classes_] = decisions
    return scores


def noise_ceiling(corpus: Corpus) -> dict[str, np.ndarray]:
    """The true labels, where a generator knows them: what is left to lose is its label noise."""

    def one_hot(split: Split) -> np.ndarray:
        if split.true_labels is None or split.true_labels.ndim > 1:
            raise InputError(
                f"The corpus {corpus.name} has no known label noise, so no known ceiling"
            )
        return np.eye(corpus.num_labels)[split.true_labels]

    return {name: one_hot(getattr(corpus, name)) for name in SCORED}


def train_mean(corpus: Corpus) -> dict[str, np.ndarray]:
    """Every document gets the mean of train's numbers."""
    _check_regression(corpus)
    mean = corpus.train.labels.mean()
    return {name: np.full((len(getattr(corpus, name)), 1), mean, np.float32) for name in SCORED}


def tfidf_ridge(corpus: Corpus) -> dict[str, np.ndarray]:
    """The same TF-IDF, and ridge regression; cross-validation on train chooses its penalty."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV

    _check_regression(corpus)
    train, features = _tfidf(corpus)
    penalties = {"alpha": [0.1, 0.3, 1.0, 3.0, 10.0]}
    folds = max(2, min(5, len(corpus.train) // 2))
    search = GridSearchCV(Ridge(solver="sag", random_state=0), penalties, cv=folds)
    model = search.fit(train, corpus.train.labels)
    scores = {}
    for name in SCORED:
        scores[name] = model.predict(features[name])[:, None].astype(np.float32)
    return scores


def _check_regression(corpus: Corpus) -> None:
    if corpus.task != "regression":
        raise InputError(
            f"The corpus {corpus.name} has classes; train_mean and tfidf_ridge are for real numbers"
        )


def baseline_predictions(name: str, corpus: Corpus) -> pd.DataFrame:
    """A baseline's predictions on dev and test (see `lib.runs.frames.to_frame`)."""
    scores_by_split = BASELINES[name](corpus)
    frames = []
    for split_name in SCORED:
        scores = scores_by_split[split_name]
        ranked = None
        if corpus.multilabel:
            ranked = top_k(scores, num_kept(corpus.num_labels))
            scores = np.take_along_axis(scores, ranked, axis=1)
        frames.append(to_frame(split_name, 1, getattr(corpus, split_name), scores, ranked))
    return pd.concat(frames, ignore_index=True)


BASELINES = {
    "majority": majority,
    "tfidf_linear": tfidf_linear,
    "noise_ceiling": noise_ceiling,
    "train_mean": train_mean,
    "tfidf_ridge": tfidf_ridge,
}
NAMES = {  # on a page
    "tfidf_linear": "TF-IDF + linear SVM",
    "majority": "majority class",
    "noise_ceiling": "ceiling set by label noise",
    "train_mean": "mean of train",
    "tfidf_ridge": "TF-IDF + ridge regression",
}
NO_MODEL = ("majority", "noise_ceiling", "train_mean")  # no difference is tested against these
BY_TASK = {
    "classification": ("tfidf_linear", "majority"),
    "multilabel": ("tfidf_linear", "majority"),
    "regression": ("tfidf_ridge", "train_mean"),
}


def references(config, task: str = "classification", *, ceiling: bool = True) -> list:
    """The baselines that a run is compared with, as configurations; with `ceiling`, of a generated
    corpus of one label a document, what its replaced labels leave possible."""
    names = [*BY_TASK[task]]
    if ceiling and task == "classification" and config.dataset.startswith("demo_"):
        names.append("noise_ceiling")
    return [config.baseline(name) for name in names]
