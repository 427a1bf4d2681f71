"""Folds: every row of a table is scored once, by a model that was trained without it."""

from collections.abc import Iterable

from lib.runs.config import RunConfig


def by_fold(configs: Iterable[RunConfig]) -> list[RunConfig]:
    """Configurations as they are, and where they have `folds` one for each fold instead: the first
    fold of all of them, then the second."""
    configs = list(configs)
    most = max((config.folds or 1 for config in configs), default=1)
    ordered = []
    for fold in range(1, most + 1):
        for config in configs:
            if config.folds and fold <= config.folds:
                ordered.append(config.with_(fold=fold))
            elif not config.folds and fold == 1:
                ordered.append(config)
    return ordered
