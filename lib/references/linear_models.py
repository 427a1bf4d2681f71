"""Linear models that references are: from features and train's labels to scores of dev and test.

A label that train lacks is never given.
"""

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from lib.data import Corpus
from lib.evaluation import LARGEST
from lib.rankings import label_counts

SCORED = ("dev", "test")  # splits
STEPS = 500  # of a logistic regression, at most

Features = dict[str, np.ndarray]  # of each split, (rows, features); or sparse matrices
Scores = dict[str, np.ndarray]  # of dev and test, (rows, num_labels)


def machine_a_label(features: Features, corpus: Corpus, strength: float) -> Scores:
    """Scores of one machine a label, so that no matrix of all labels' weights is ever held."""
    from sklearn.svm import LinearSVC

    scores = _never(features, corpus)
    for label in np.flatnonzero(label_counts(corpus.train.labels, corpus.num_labels)):
        has_label = (corpus.train.labels == label).any(1)
        if has_label.all():
            decisions = {name: 0.0 for name in SCORED}
        else:
            model = LinearSVC(C=strength, random_state=0).fit(features["train"], has_label)
            decisions = {name: model.decision_function(features[name]) for name in SCORED}
        for name in SCORED:
            scores[name][:, label] = decisions[name]
    return scores


def machine_of_classes(features: Features, corpus: Corpus, strength: float) -> Scores:
    from sklearn.svm import LinearSVC

    model = LinearSVC(C=strength, random_state=0).fit(features["train"], corpus.train.labels)
    scores = _never(features, corpus)
    for name in SCORED:
        decisions = model.decision_function(features[name])
        if decisions.ndim == 1:  # two classes: the decision is that for the second
            decisions = np.stack([-decisions, decisions], axis=1)
        scores[name][:, model.classes_] = decisions
    return scores


def _never(features: Features, corpus: Corpus) -> Scores:
    """Scores with which no label is ever given: those of a label that train lacks."""
    shapes = {name: (features[name].shape[0], corpus.num_labels) for name in SCORED}
    return {name: np.full(shape, -LARGEST, np.float32) for name, shape in shapes.items()}


def ridge(features: Features, corpus: Corpus, penalty: float) -> Scores:
    from sklearn.linear_model import Ridge

    solver = "cholesky" if isinstance(features["train"], np.ndarray) else "sag"
    model = Ridge(alpha=penalty, solver=solver, random_state=0)
    model.fit(features["train"], corpus.train.labels)
    return {name: model.predict(features[name])[:, None].astype(np.float32) for name in SCORED}


def logistic(features: Features, corpus: Corpus, strength: float) -> Scores:
    """Logistic regression of train's labels, as scikit-learn penalises it: its logits. All labels
    of a document are learned together, which scikit-learn does one after the other."""
    labels = torch.from_numpy(corpus.train.labels)
    occurring = np.flatnonzero(label_counts(corpus.train.labels, corpus.num_labels))
    if corpus.multilabel:
        targets = torch.zeros(len(labels), corpus.num_labels + 2)  # … an unseen label, and none
        targets.scatter_(1, labels % (corpus.num_labels + 2), 1.0)
        targets = targets[:, occurring]
        loss_of = binary_cross_entropy_with_logits
    else:
        targets = torch.from_numpy(np.searchsorted(occurring, corpus.train.labels))
        loss_of = cross_entropy
    inputs = torch.from_numpy(features["train"])
    weights = torch.zeros(inputs.shape[1], len(occurring), requires_grad=True)
    bias = torch.zeros(len(occurring), requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights, bias], max_iter=STEPS, tolerance_grad=1e-4, line_search_fn="strong_wolfe"
    )

    def penalised_loss() -> torch.Tensor:
        optimizer.zero_grad()
        loss = loss_of(torch.addmm(bias, inputs, weights), targets, reduction="sum")
        loss = loss / len(inputs) + weights.square().sum() / (2 * strength * len(inputs))
        loss.backward()
        return loss

    optimizer.step(penalised_loss)
    scores = _never(features, corpus)
    for name in SCORED:
        logits = torch.addmm(bias, torch.from_numpy(features[name]), weights)
        scores[name][:, occurring] = logits.detach().numpy()
    return scores
