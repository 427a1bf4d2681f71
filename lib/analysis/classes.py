"""How often which class is taken for which."""

import numpy as np
import pandas as pd

from lib.analysis.display import with_metrics
from lib.analysis.groups import Group
from lib.analysis.predictions import Predictions, group_of
from lib.metrics import METRICS, confusion

SHARES = METRICS["share"].limits


def confusions(group: Group, num_labels: int) -> np.ndarray:
    """Confusion counts (runs, num_labels, num_labels) of each run of a group."""
    return np.stack([confusion(group.labels, row, num_labels) for row in group.predicted])


def confusion_table(p: Predictions, *, by: str, group: str) -> pd.DataFrame:
    """Of the test documents of each class (rows, the index `gold`), the mean number over seeds
    that got each label (columns)."""
    counts = confusions(group_of(p, by, group), len(p.label_names)).mean(0)
    gold = pd.Index(p.label_names, name="gold")
    table = pd.DataFrame(counts, index=gold, columns=list(p.label_names))
    return with_metrics(table, {}, literal=p.label_names)
