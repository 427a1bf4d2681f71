"""Two runs side by side, for `lib show A B`: fields, test scores, documents with another label."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd

from lib.analysis.display import count, difference, difference_interval, listed, score, title
from lib.analysis.groups import Group
from lib.analysis.predictions import Predictions
from lib.analysis.scores import sample_of
from lib.analysis.stats import difference_of_means
from lib.errors import InputError
from lib.metrics import METRICS
from lib.publish.describe import ending, find_run
from lib.publish.record import flat_config
from lib.runs.paths import ROOT
from lib.runs.published import PREDICTIONS
from lib.runs.store import load_run

SCORES = {  # of each task, beside the metrics that the epochs were chosen by
    "classification": ("accuracy", "macro_f1"),
    "multilabel": ("P@1", "micro_f1"),
    "regression": ("rmse", "spearman"),
}
TOLD = 10  # documents whose label changed


@dataclasses.dataclass(frozen=True)
class ScoredRun:
    """A run with its predictions of test documents at its chosen epoch."""

    name: str
    facts: dict
    predictions: Predictions

    @property
    def group(self) -> Group:
        """The run as a group that has no other seeds: the model that it is."""
        frame = self.predictions.frame
        return Group.of(self.name, [self.name], [0], [frame])


def compare_runs(keys: list[str], results: Path = ROOT / "results") -> str:
    """Two runs by (the beginnings of) their keys, from the store or pages, in lines: fields that
    differ, test scores with the interval of the difference, documents whose label changed. Raises
    InputError."""
    runs = [scored_run(key, results) for key in keys]
    lines = [f"{'AB'[i]}: run {run.name}: {ending(run.facts)}" for i, run in enumerate(runs)]
    lines.append("configuration, where it differs, in A and in B:")
    one, other = (flat_config(run.facts["config"]) for run in runs)
    fields = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    lines += [f"  {name} = {one.get(name)!r}, {other.get(name)!r}" for name in fields]
    if not fields:
        lines.append("  nothing")
    return "\n".join(lines + compared_scores(*runs))


def scored_run(key: str, results: Path) -> ScoredRun:
    """Raises InputError where the run has no predictions."""
    place = find_run(key, results)
    if place.stored:
        run = load_run(place.stored)
        facts = run.status | run.verdict | {"config": run.fields}
        names = tuple(facts["label_names"])
        frame = run.predictions if facts["chosen_epoch"] else pd.DataFrame()
        frame = frame.assign(run=place.name, tokens=0)
        predictions = Predictions(frame, {place.name: facts}, names)
    else:
        folder, page = next(iter(place.pages.items()))
        facts = page["runs"][place.name]
        predictions = Predictions.read(folder / PREDICTIONS).only({place.name: facts})
    frame = predictions.frame
    if facts["chosen_epoch"]:
        frame = frame[(frame["split"] == "test") & (frame["epoch"] == facts["chosen_epoch"])]
    if not len(frame):
        raise InputError(f"The run {place.name} has no predictions: {ending(facts)}")
    return ScoredRun(place.name, facts, dataclasses.replace(predictions, frame=frame))


def compared_scores(one: ScoredRun, other: ScoredRun) -> list[str]:
    """Scores and changed labels of two runs, B's difference from A; why not, where they were not
    scored on the same documents."""
    groups = [one.group, other.group]
    names = [run.predictions.label_names for run in (one, other)]
    pairs = [(getattr(groups[0], part), getattr(groups[1], part)) for part in ("rows", "labels")]
    is_same = _of_same_data(one, other) and names[0] == names[1]
    if not is_same or not all(np.array_equal(*pair) for pair in pairs):
        return ["they were not scored on the same test documents, so there is nothing to compare"]
    task = one.predictions.task
    chosen = [run.facts["config"]["select_by"] for run in (one, other)]
    metrics = [name for name in dict.fromkeys([*SCORES[task], *chosen]) if name in METRICS]
    number = count(len(groups[0].labels), "test document")
    lines = [f"A, B and B − A on {number}; intervals: these two models, on other documents:"]
    for metric in metrics:
        lines.append(f"  {title(metric)}: {_difference(one.predictions, groups, metric)}")
    return lines + changed_documents(*groups, one.predictions)


def _of_same_data(one: ScoredRun, other: ScoredRun) -> bool:
    """Whether two runs' rows are of one table: equal by content, or of the same name, as of runs
    that learned from other rows of it."""
    contents = [run.facts.get("content", {}).get("data") for run in (one, other)]
    tables = [run.facts["config"].get("dataset") for run in (one, other)]
    return contents[0] == contents[1] or tables[0] == tables[1]


def _difference(p: Predictions, groups: list[Group], metric: str) -> str:
    samples = [
        dataclasses.replace(sample_of(p, group, metric), has_seeds=False) for group in groups
    ]
    estimate = difference_of_means(samples[1], samples[0])
    values = ", ".join(score(sample.scores[0], metric) for sample in samples)
    interval = difference_interval(*estimate.interval(), metric)
    return f"{values}, {difference(estimate.value, metric)} ({interval})"


def changed_documents(one: Group, other: Group, p: Predictions) -> list[str]:
    """How many documents have another label, or several other ones, and the rows of the first."""
    if p.task == "regression":
        apart = np.abs(one.logits[0, :, 0] - other.logits[0, :, 0])
        most = np.argsort(-apart, kind="stable")[:TOLD]
        farthest = ", ".join(f"{one.rows[row]} ({apart[row]:.3g})" for row in most)
        return [f"numbers {apart.mean():.3g} apart on average; most in rows {farthest}"]
    labels = [_given(group, len(p.label_names)) for group in (one, other)]
    changed = np.flatnonzero((labels[0] != labels[1]).any(1))
    line = f"label changed: {count(len(changed), 'document')}"
    if not len(changed):
        return [line]
    if p.task == "classification":
        right = [int(group.right[0][changed].sum()) for group in (one, other)]
        line += f", of which A alone has {right[0]:,} right and B alone {right[1]:,}"
    first = [str(row) for row in one.rows[changed[:TOLD]]]
    more = f" and {len(changed) - TOLD:,} more" if len(changed) > TOLD else ""
    return [line, f"  rows {', '.join(first) + more if more else listed(first)}"]


def _given(group: Group, num_labels: int) -> np.ndarray:
    """Which labels the only run of a group gives each document, booleans (rows, num_labels)."""
    given = np.zeros((len(group.labels), num_labels), bool)
    if group.ranked is None:
        np.put_along_axis(given, group.predicted[0][:, None], True, axis=1)
    else:
        np.put_along_axis(given, group.ranked[0], group.logits[0] > 0, axis=1)
    return given
