"""The seeds of a group as one model: the mean of their logits."""

import dataclasses

import numpy as np

from lib.analysis.groups import Group
from lib.analysis.names import ENSEMBLE, display_name
from lib.rankings import top_k


def with_ensembles(groups: list[Group], num_labels: int) -> list[Group]:
    """The groups, each of several models followed by its ensemble; where a document can have many
    labels (`lib.evaluation.FEW`), not all logits are kept, and there is none."""
    more = []
    for group in groups:
        more.append(group)
        several = len(group.counted_once.runs) > 1 and not group.is_reference
        if several and (group.ranked is None or group.logits.shape[-1] == num_labels):
            more.append(ensemble_of(group))
    return more


def ensemble_of(group: Group) -> Group:
    """The ensemble of a group's models, as a group of one run: of real numbers their mean. It has
    no other seeds, so that its interval is for other documents alone."""
    models = group.counted_once
    logits = models.logits
    ranked = models.ranked
    if ranked is not None:
        logits = np.take_along_axis(logits, ranked.argsort(-1), axis=-1)  # by label
    mean = logits.mean(0)
    if ranked is not None:
        ranked = top_k(mean, mean.shape[1])
        mean = np.take_along_axis(mean, ranked, axis=1)
        ranked = ranked[None]
    number = len(models.runs)
    name = f"{display_name(group.name)}{ENSEMBLE}{number} seeds"
    return dataclasses.replace(
        group, name=name, runs=[name], seeds=[0], logits=mean[None], ranked=ranked, averaged=number
    )
