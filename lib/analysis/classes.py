"""How often which class is taken for which."""

import numpy as np
import pandas as pd

from lib.analysis.display import with_metrics
from lib.analysis.groups import Group
from lib.analysis.predictions import Predictions, group_of
from lib.confusions import confusion


def confusions(group: Group, num_labels: int) -> np.ndarray:
    """Confusion counts (runs, num_labels, num_labels) of each run of a group."""
    return np.stack([confusion(group.labels, row, num_labels) for row in group.predicted])


def whole_documents(means: np.ndarray) -> np.ndarray:
    """Mean numbers (classes,) rounded so that their sum stays: the largest remainders go up."""
    counts = np.floor(means + 1e-9).astype(int)
    missing = round(means.sum()) - counts.sum()
    largest = np.argsort(counts - means, kind="stable")[:missing]
    counts[largest] += 1
    return counts


def confusion_table(p: Predictions, *, by: str, group: str) -> pd.DataFrame:
    """Of the test documents of each class (rows, the index `gold`), the mean number over seeds
    that got each label (columns), in whole documents."""
    means = confusions(group_of(p, by, group), len(p.label_names)).mean(0)
    counts = np.stack([whole_documents(row) for row in means])
    gold = pd.Index(p.label_names, name="gold")
    table = pd.DataFrame(counts, index=gold, columns=list(p.label_names))
    return with_metrics(table, {}, literal=p.label_names)
