"""The files that transformers' example scripts leave, and a model card, in a finished run's
folder: for tools that read them."""

from pathlib import Path

import numpy as np
import pandas as pd

from lib.runs.files import write_json, write_text
from lib.runs.predictions_table import numbered
from lib.runs.published import PublishedRun
from lib.runs.store import Run
from lib.use.card import write_card
from lib.use.decisions import AS_TRAINED, DECISIONS, decisions_of

PREDICTED = 5  # labels of a document that test_predictions.txt names, where it can have several


def write_results(run: Run) -> None:
    """Write train, eval, test and all results, the predictions on test as text, the trainer's
    state and a model card.

    All is read from the run. One without a model (a baseline, or a run that diverged in its first
    epoch) gets none of them.
    """
    if isinstance(run, PublishedRun):  # read from a page, which has no such files
        return
    if not (run.folder / "model").is_dir():
        return
    history = run.history_rows
    results = results_of(run.status, history)
    for name, values in results.items():
        write_json(run.folder / f"{name}_results.json", values)
    everything = results["train"] | results["eval"] | results["test"]
    write_json(run.folder / "all_results.json", everything)
    write_text(run.folder / "test_predictions.txt", predictions_text(run))
    last = history[-1]
    state = {
        "epoch": last["epoch"],
        "global_step": last["step"],
        "best_epoch": run.status["chosen_epoch"],
        "log_history": history,
    }
    write_json(run.folder / "trainer_state.json", state)
    write_decisions(run, run.folder / "model")
    write_card(run)


def write_decisions(run: Run, folder: Path) -> None:
    """Write what dev decided into a folder of a run's model, for whoever takes that alone."""
    decisions = decisions_of([run])
    if decisions is not AS_TRAINED:
        thresholds = decisions.probabilities(run.status["label_names"])
        values = {"temperature": decisions.temperature, "thresholds": thresholds}
        write_json(folder / DECISIONS, values)


def results_of(status: dict, history: list[dict]) -> dict[str, dict]:
    """What the example scripts say of training, dev and test."""
    last, rows = history[-1], status["data"]["rows"]
    chosen = status["chosen_epoch"]
    seconds = sum(row["seconds"] for row in history)
    train = {
        "epoch": last["epoch"],
        "train_loss": last["train_loss"],
        "train_runtime": seconds,
        "train_samples": rows["train"],
        "train_samples_per_second": rows["train"] * len(history) / seconds,
    }
    dev = {"epoch": chosen, "eval_samples": rows["dev"]}
    for name, value in history[chosen - 1].items():
        if name.startswith("dev_"):
            dev[f"eval_{name.removeprefix('dev_')}"] = value
    test = {"epoch": chosen, "test_samples": rows["test"]}
    test |= {f"test_{name}": value for name, value in status["test_scores"].items()}
    return {"train": train, "eval": dev, "test": test}


def predictions_text(run: Run) -> str:
    """What the chosen epoch predicts for each test document: its number, a tab, and its label, its
    best labels, or its number."""
    frame, status = run.predictions, run.status
    frame = frame[(frame["split"] == "test") & (frame["epoch"] == status["chosen_epoch"])]
    lines = ["index\tprediction"]
    for index, words in enumerate(predicted_words(frame, status["label_names"])):
        lines.append("\t".join([str(index), *words]))
    return "\n".join(lines) + "\n"


def predicted_words(frame: pd.DataFrame, label_names: list[str]) -> list[list[str]]:
    """The predictions of one split, as `lib.runs` keeps them, in words."""
    if "top_0" in frame:  # several labels a document, the best first
        ids = numbered(frame, "top", np.int64)[:, :PREDICTED]
    elif frame["label"].dtype.kind == "f":  # a number
        return [[f"{value:.6g}"] for value in frame["logit_0"]]
    else:
        ids = numbered(frame, "logit", np.float32).argmax(1)[:, None]
    return [[label_names[i] for i in row] for row in ids]
