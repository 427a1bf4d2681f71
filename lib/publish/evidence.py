"""What a page says of its runs that can be checked: keys, chosen epochs, digests, rates."""

import dataclasses
import io
from collections.abc import Iterable

import numpy as np
import pandas as pd

from lib.analysis.predictions import Predictions
from lib.analysis.scores import run_scores
from lib.errors import InputError, shown
from lib.metrics import METRICS
from lib.runs.config import RunConfig
from lib.runs.files import digest
from lib.runs.keys import content_of, corpus_of, hash_inputs, key_inputs, planned_steps
from lib.runs.published import PublishedRun

MEASURED = (  # in history.csv, beside scores on dev
    "outcome",
    "epoch",
    "step",
    "train_loss",
    "train_loss_max",
    "train_loss_max_step",
    "gradient_norm",
    "gradient_norm_max",
    "embedding_cosine",
    "embedding_rank",
    "top_label_share",
)
DISTILLATION_LOSSES = ("soft", "hard", "hidden", "attentions")


def with_evidence(predictions: Predictions, runs: Iterable, history: str) -> Predictions:
    """Predictions that say of each run its key, what that counts by content, and digests.

    `runs` are those of the store, `history` is history.csv.
    """
    machines = machines_of(runs)
    facts = {}
    data: dict = {}  # of the page: the first run's
    for run in runs:
        name = run.name
        of_run = run.status["data"]
        data = data or of_run
        facts[name] = predictions.runs[name] | {
            "key": run.key,
            "content": content_of(run.config),
            "machine": machines.index(run.environment),
            "predictions": predictions_digest(predictions, name),
            "history": history_digest(history, name),
        }
        if of_run != data:  # other rows of the same source
            facts[name]["data"] = of_run
    return dataclasses.replace(predictions, runs=facts, data=data)


def machines_of(runs: Iterable) -> list[dict]:
    """The machines that trained runs, each once: a page numbers them in this order."""
    machines: list[dict] = []
    for run in runs:
        if run.environment not in machines:
            machines.append(run.environment)
    return machines


def predictions_digest(predictions: Predictions, name: str) -> str:
    """A digest of a run's predictions, whatever else the file holds."""
    parts: list = []
    frame = predictions.frame[predictions.frame["run"] == name].drop(columns="run")
    for column in frame:
        values = frame[column]
        if isinstance(values.dtype, pd.CategoricalDtype):
            values = values.cat.codes
        parts += [column, np.ascontiguousarray(values.to_numpy()).tobytes()]
    return digest(*parts)


def history_digest(history: str, name: str) -> str:
    """A digest of a run's rows in history.csv."""
    lines = history.splitlines()
    return digest(*[line for line in lines[1:] if line.startswith(f"{name},")])


def check_evidence(
    predictions: Predictions, runs: Iterable[PublishedRun], history: str
) -> tuple[int, list[str]]:
    """How many facts of a page's runs were checked, and which are wrong."""
    table = pd.DataFrame({"run": []})
    if history:
        table = pd.read_csv(io.StringIO(history), dtype={"run": str})
    runs = list(runs)
    wrong = check_data(predictions, runs)
    for run in runs:
        wrong += check_digests(predictions, run, history)
        wrong += check_key(run)
        if not run.config.is_reference:
            wrong += check_chosen_epoch(predictions, run, table[table["run"] == run.name])
            wrong += check_steps(run, table[table["run"] == run.name])
        wrong += check_rows(predictions, run)
    return len(runs), wrong


def check_columns(history: str) -> list[str]:
    """history.csv has columns of known names: a run's rows have a digest, the names have none.

    Called once the study's module, which may add metrics, is imported.
    """
    names = history.split("\n", 1)[0].split(",") if history else []
    known = {"run", *RunConfig.model_fields, *MEASURED}
    known |= {f"dev_{name}" for name in (*METRICS, *DISTILLATION_LOSSES)}
    unknown = [name for name in names if name not in known or names.count(name) > 1]
    return [f"history.csv has the column {shown(name)}, which no run has" for name in unknown]


def check_data(predictions: Predictions, runs: list[PublishedRun]) -> list[str]:
    """The data is what it is said to be, where it is at hand."""
    for run in runs:
        fingerprint = run.data["fingerprint"]
        if run.facts["content"]["data"] != fingerprint:
            return ["the fingerprint of the data is not that of the runs' records"]
    trained = [run for run in runs if not run.config.is_reference]
    first_of = {run.data["fingerprint"]: run for run in reversed(trained)}
    wrong = []
    for run in first_of.values():
        wrong += check_rows_at_hand(predictions, run)
    return list(dict.fromkeys(wrong))


def check_rows_at_hand(predictions: Predictions, run: PublishedRun) -> list[str]:
    """The rows that a run was trained on are what they are said to be, where they are at hand."""
    data = run.data
    fingerprint = data["fingerprint"]
    try:
        corpus = corpus_of(run.config)
    except InputError:  # which the page's audit meets too, and tells
        return []
    wrong = []
    for split, rows in data["rows"].items():
        number = len(getattr(corpus, split))
        if number != rows:
            wrong.append(f"the data has {number} {split} rows, not {rows} as told")
    if corpus.fingerprint != fingerprint:
        wrong.append("the data at hand has another fingerprint than told")
    if tuple(corpus.label_names) != tuple(predictions.label_names):
        wrong.append("the labels of the data at hand have other names than told")
    return wrong


def check_digests(predictions: Predictions, run: PublishedRun, history: str) -> list[str]:
    wrong = []
    if list(predictions.frame["split"].cat.categories) != ["dev", "test"]:  # digested by number
        wrong.append(f"run {run.name}: its splits are not dev and test")
    if run.facts.get("predictions") != predictions_digest(predictions, run.name):
        wrong.append(f"run {run.name}: its predictions are not those that its record tells of")
    if run.facts.get("history") != history_digest(history, run.name):
        wrong.append(f"run {run.name}: its history is not the one that its record tells of")
    return wrong


def check_key(run: PublishedRun) -> list[str]:
    """The key is the hash of the configuration and of the content it names."""
    inputs = key_inputs(run.config, run.facts["content"])
    if hash_inputs(inputs).startswith(run.name):
        return []
    return [f"run {run.name}: its key is not that of its configuration"]


def check_chosen_epoch(
    predictions: Predictions, run: PublishedRun, history: pd.DataFrame
) -> list[str]:
    """The chosen epoch is the best one on dev, by the run's own metric."""
    select_by = run.config.select_by
    chosen = run.facts["chosen_epoch"]
    if select_by == "last":
        best = run.facts["last_epoch"]
    else:
        scores = dev_scores(predictions, run.name, select_by, history)
        sign = 1 if METRICS[select_by].higher_is_better else -1
        best = max(scores, key=lambda epoch: (sign * scores[epoch], -epoch), default=0)
    if best == chosen:
        return []
    return [f"run {run.name}: epoch {chosen} is said to be chosen, but dev chooses {best}"]


def dev_scores(
    predictions: Predictions, name: str, metric: str, history: pd.DataFrame
) -> dict[int, float]:
    """A run's score on dev after each epoch, from its predictions where they have it."""
    if metric == "loss" and predictions.task == "multilabel":  # of all labels, not those kept
        return dict(zip(history["epoch"], history["dev_loss"], strict=True))
    alone = predictions.only({name: predictions.runs[name]})
    return {
        epoch: float(run_scores(alone, group)[metric].iloc[0])
        for _, epoch, group in alone.single("dev")
    }


def check_steps(run: PublishedRun, history: pd.DataFrame) -> list[str]:
    """Each epoch has its steps, and ends with the learning rate of the schedule."""
    rows = run.data["rows"]["train"]
    settings_by_step = planned_steps(run.config, rows)
    steps_per_epoch = len(settings_by_step) // run.config.epochs
    if len(history) != run.facts["last_epoch"]:
        return [f"run {run.name}: its history has not the {run.facts['last_epoch']} epochs told"]
    for row in history.to_dict("records"):
        place = f"run {run.name}: epoch {row['epoch']}"
        steps = row["epoch"] * steps_per_epoch
        if row["step"] > steps or (row["step"] < steps and run.facts["status"] == "finished"):
            return [f"{place} ends with step {row['step']}, but {rows} train rows give {steps}"]
        planned = settings_by_step[int(row["step"]) - 1]["lr"]
        if f"{planned:.6f}" != f"{row['learning_rate']:.6f}":
            return [f"{place} has another learning rate than its schedule gives"]
    return []


def check_rows(predictions: Predictions, run: PublishedRun) -> list[str]:
    """As many documents were scored as the data is said to have."""
    frame = predictions.frame[predictions.frame["run"] == run.name]
    for split in ("dev", "test"):
        rows = frame[frame["split"] == split]
        number = int(rows.groupby("epoch").size().max()) if len(rows) else 0
        stated = run.data["rows"][split]
        if number and number != stated:
            return [f"run {run.name}: {number} {split} rows were scored, not {stated} as told"]
    return []
