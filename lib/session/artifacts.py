"""The files that a trained run leaves."""

import json

import pandas as pd

from lib.models import Classifier, save_model
from lib.runs.files import write_text
from lib.runs.keys import Prepared
from lib.runs.verdict import even_loss, prior_loss
from lib.session.adapters import merge_adapter
from lib.session.checkpoints import Record, steps_in
from lib.session.student import forget_projections
from lib.tokenization import reading_of
from lib.training import Progress


def write_model(model: Classifier, prepared: Prepared) -> None:
    """Write weights, tokenizer, and how texts are read for them, to the run's `model` folder."""
    forget_projections(model)
    merge_adapter(model)
    config = prepared.config
    save_model(
        model,
        prepared.folder / "model",
        backbone=config.backbone,
        head=config.head,
        dropout=config.dropout,
        label_names=prepared.corpus.label_names,
        **reading_of(config.model_dump()),
        task=prepared.corpus.task,
    )


def write_record(record: Record, prepared: Prepared) -> None:
    """Write the history, a JSON line an epoch, and all predictions."""
    lines = [json.dumps(row) + "\n" for row in record.history]
    write_text(prepared.folder / "history.jsonl", "".join(lines))
    if record.chosen_epoch:
        predictions = pd.concat(record.predictions, ignore_index=True)
        predictions.to_parquet(prepared.folder / "predictions.parquet", index=False)


def tested_epochs(record: Record) -> set[int]:
    """The epochs whose predictions on test are kept."""
    epochs: set[int] = set()
    for frame in record.predictions:
        tested = frame.loc[frame["split"] == "test", "epoch"]
        epochs |= {int(epoch) for epoch in tested.unique()}
    return epochs


def describe_end(
    prepared: Prepared, record: Record, progress: Progress, diverged: str | None
) -> dict:
    """What a run's status says of how it ended; `diverged` is why it did, if so."""
    status: dict = {"status": "finished"}
    if diverged:
        status = {"status": "diverged", "reason": diverged}
        good = steps_in(prepared.folder / "checkpoint")
        if good:
            status["checkpoint"] = good[-1].name
    if progress.halved:
        status["halved"] = progress.halved
    status["test_scored"] = {  # test decides nothing
        "epochs": sorted(tested_epochs(record)),
        "chosen_by": f"dev {prepared.config.select_by}",
    }
    if prepared.config.health:
        corpus = prepared.corpus
        labels = corpus.train.labels
        status["prior_loss"] = prior_loss(labels, corpus.dev.labels, corpus.num_labels)
        status["even_loss"] = even_loss(labels, corpus.num_labels)
    status["chosen_epoch"] = record.chosen_epoch
    status["last_epoch"] = len(record.history)
    return status
