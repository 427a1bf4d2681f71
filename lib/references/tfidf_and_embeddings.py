"""References that learn: linear models over TF-IDF or over frozen embeddings.

Each learns from train alone; dev chooses its settings, by the metric that chooses the epochs of the
study's runs. Scores are shaped like logits (rows, num_labels), for dev and test.
"""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from lib.data import SPLITS, Corpus
from lib.evaluation import keep_best
from lib.metrics import METRICS, check_metric, scores_of
from lib.models import build_model, reads_pairs
from lib.rankings import label_counts
from lib.references.linear_models import (
    Features,
    Scores,
    logistic,
    machine_a_label,
    machine_of_classes,
    ridge,
)
from lib.references.truncated_text import read_text
from lib.runs.config import MANY_LABELS, RunConfig
from lib.runs.keys import tokens_of
from lib.runs.store import store
from lib.session.frozen import document_vectors
from lib.tokenization import reading_of
from lib.windows import window_of

NGRAMS = {"words": (1, 1), "words and pairs of words": (1, 2)}
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)  # C of a support vector machine, the inverse of its penalty


@dataclasses.dataclass(frozen=True)
class Model:
    """A linear model with the values of its one setting that are tried."""

    fit: Callable[[Features, Corpus, float], Scores]
    setting: str
    values: tuple[float, ...]


OVER_TFIDF = {  # by task
    "classification": Model(machine_of_classes, "C", STRENGTHS),
    "multilabel": Model(machine_a_label, "C", STRENGTHS),
    "regression": Model(ridge, "penalty", (0.1, 0.3, 1.0, 3.0, 10.0)),
}
OVER_EMBEDDINGS = {
    "classification": Model(logistic, "C", (0.001, 0.01, 0.1, 1.0)),
    "multilabel": Model(logistic, "C", (0.001, 0.01, 0.1, 1.0)),
    "regression": Model(ridge, "penalty", (1.0, 10.0, 100.0, 1000.0, 10000.0)),
}


Learned = tuple[Scores, str]  # and the settings, in words


def tfidf(config: RunConfig, corpus: Corpus) -> Learned:
    """A linear model over TF-IDF of whole texts: a support vector machine a label, one against the
    rest; ridge regression of numbers."""
    texts = {name: getattr(corpus, name).whole_texts for name in SPLITS}
    return choose(_over_tfidf(texts, config, corpus), config, corpus)


def tfidf_same_text(config: RunConfig, corpus: Corpus) -> Learned:
    """The same over the text that the transformer reads of each document."""
    reading = reading_of(config.model_dump())
    texts = {}
    for name in SPLITS:
        texts[name] = read_text(getattr(corpus, name).documents, config.backbone, **reading)
    return choose(_over_tfidf(texts, config, corpus), config, corpus)


def embedding_linear(config: RunConfig, corpus: Corpus) -> Learned:
    """A linear model over standardised embeddings, the means of a frozen backbone's last states:
    logistic regression, of several labels one against the rest; ridge regression of numbers."""
    from sklearn.preprocessing import StandardScaler

    tokens = tokens_of(config, corpus)
    options = {"num_labels": corpus.num_labels, "layers": config.layers}
    model = build_model(config.backbone, head="mean_linear", **options)
    if corpus.train.pairs is not None:
        reads_pairs(model, config.backbone)
    model.window = window_of(config.model_dump())
    options = {"precision": config.precision, "cache": store() / "features"}
    vectors = {}
    for name, part in document_vectors(model, tokens, config.backbone, **options).items():
        of_windows, used = part
        vectors[name] = of_windows.sum(1) / used.sum(1, keepdim=True)
    scaler = StandardScaler().fit(vectors["train"].numpy())
    features = {name: scaler.transform(part.numpy()) for name, part in vectors.items()}
    candidates = with_settings(OVER_EMBEDDINGS[corpus.task], features, config, corpus)
    return choose(candidates, config, corpus)


def choose(candidates: Iterator[Learned], config: RunConfig, corpus: Corpus) -> Learned:
    """What is best on dev, of equal ones the earlier, and what was chosen how."""
    metric = metric_of(config, corpus)
    best = None
    best_score = -np.inf  # the higher the better
    tried = 0
    for scores, settings in candidates:
        tried += 1
        score = dev_score(scores["dev"], corpus, metric)
        if best is None or score > best_score:
            best = scores, settings
            best_score = score
    scores, settings = best
    title = METRICS[metric].title
    score = sign_of(metric) * best_score
    return scores, f"{settings}: {title} {score:.4f} on dev, the best of {tried}"


def metric_of(config: RunConfig, corpus: Corpus) -> str:
    """The name of the metric by which dev chooses. Raises InputError."""
    metric = corpus.metric if config.select_by in ("loss", "last") else config.select_by
    check_metric(metric, corpus.task, corpus.num_labels)
    return metric


def sign_of(metric: str) -> int:
    return 1 if METRICS[metric].higher_is_better else -1


def dev_score(scores: np.ndarray, corpus: Corpus, metric: str) -> float:
    """A metric of the scores of dev; of one that is better lower, the negative."""
    ranked = None
    if corpus.multilabel:
        scores, ranked = keep_best(scores)
    values = scores_of(scores, corpus.dev.labels, ranked, num_labels=corpus.num_labels)
    return sign_of(metric) * values[metric]


def with_settings(
    model: Model, features: Features, config: RunConfig, corpus: Corpus
) -> Iterator[Learned]:
    """A model with each value of its setting. With many labels, with the value alone that is best
    where the most frequent labels are all there is: thousands of labels take hours a value."""
    values = model.values
    how = ""
    if corpus.num_labels > MANY_LABELS:
        metric = metric_of(config, corpus)
        frequent = of_frequent_labels(features, corpus)
        tried = [dev_score(model.fit(*frequent, value)["dev"], corpus, metric) for value in values]
        values = (values[int(np.argmax(tried))],)
        how = f", the best of {len(tried)} for the {MANY_LABELS} most frequent labels"
    for value in values:
        yield model.fit(features, corpus, value), f"{model.setting} = {value:g}{how}"


def of_frequent_labels(features: Features, corpus: Corpus) -> tuple[Features, Corpus]:
    """The same with train's most frequent labels alone, of equally frequent ones the first:
    without documents of other classes; of several labels, without the others."""
    labels = corpus.train.labels
    counts = label_counts(labels, corpus.num_labels)
    is_frequent = np.isin(labels, np.argsort(-counts, kind="stable")[:MANY_LABELS])
    if corpus.multilabel:
        labels = np.where(is_frequent, labels, -1)
    else:
        labels = labels[is_frequent]
        features = features | {"train": features["train"][is_frequent]}
    train = dataclasses.replace(corpus.train, labels=labels)
    return features, dataclasses.replace(corpus, train=train)


def _over_tfidf(
    texts: dict[str, list[str]], config: RunConfig, corpus: Corpus
) -> Iterator[Learned]:
    for words, ngrams in NGRAMS.items():
        features = _tfidf_features(texts, corpus, ngrams)
        for scores, settings in with_settings(OVER_TFIDF[corpus.task], features, config, corpus):
            yield scores, f"{words}, {settings}"


def _tfidf_features(texts: dict[str, list[str]], corpus: Corpus, ngrams: tuple) -> Features:
    """TF-IDF of words, sparse matrices by split; of several labels, of words that two train
    documents have. Where there are no such words, said, no document has anything."""
    from scipy.sparse import csr_array
    from sklearn.feature_extraction.text import TfidfVectorizer

    least = 2 if corpus.multilabel else 1
    vectorizer = TfidfVectorizer(ngram_range=ngrams, sublinear_tf=True, min_df=least)
    try:
        vectorizer.fit(texts["train"])
    except ValueError:  # there is no word of two letters, or none in two documents
        if ngrams == (1, 1):  # said once
            name = Path(corpus.name).name
            print(f"{name}: its texts share no words, so TF-IDF has nothing to go by", flush=True)
        return {name: csr_array((len(part), 1)) for name, part in texts.items()}
    return {name: vectorizer.transform(part) for name, part in texts.items()}
