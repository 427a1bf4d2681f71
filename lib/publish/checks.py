"""What is wrong with a study's data and names, said before a kernel starts, as its notebook would.

The data is read only where it is a user's own file or folder. torch is imported only where a head,
an optimizer or another setting of a run is changed.
"""

import contextlib
import io
import os
import typing
from importlib import import_module
from importlib.util import find_spec

from lib.data import load_corpus
from lib.datasets import DATASETS
from lib.errors import InputError, lookup, shown
from lib.publish.settings import READ_WITH_THE_DATA
from lib.reading.options import PLAIN, Reading
from lib.session.tracking import check_tracker
from lib.sources import generated_source, named_folder

TABLES = {  # what a parameter's value is called -> the module and the name of the table that has it
    "head": ("lib.heads", "HEADS"),
    "optimizer": ("lib.optim", "OPTIMIZERS"),
    "schedule": ("lib.optim", "SCHEDULES"),
}
ROW_LIMITS = ("train_rows", "dev_rows", "test_rows")


def check_study(study: str, parameters: dict, changed: dict) -> None:
    """Check what all `parameters` of a study name, and the settings that a user `changed`. Raises
    the InputError that the notebook would."""
    if "dataset" in parameters:
        if _may_be_registered(parameters["dataset"]):
            register_rows(study)
        check_data(parameters)
    for file in parameters.get("reference_files", ()):
        if not os.path.isfile(os.path.expanduser(file)):
            raise InputError(
                f"reference_files = {shown(file)}: there is no such file; name one from this "
                "folder, or with its whole path"
            )
    if "tracker" in parameters:
        check_tracker(parameters["tracker"])
    for name, value in changed.items():
        kind = name.removesuffix("s").rpartition("_")[2]  # optimizers, truncation_head
        if kind in TABLES:
            check_names(study, kind, value)
    check_settings(changed)


def _may_be_registered(dataset: str) -> bool:
    """Whether it can only be a row that a study's module adds to the datasets."""
    is_file = os.path.exists(dataset) or bool({".", os.sep} & set(dataset))
    return not is_file and dataset not in DATASETS


def register_rows(study: str) -> None:
    """Import the module beside a study's notebook, which may add rows to tables."""
    if find_spec("notebooks") and find_spec(f"notebooks.{study}"):
        import_module(f"notebooks.{study}")


def check_data(parameters: dict) -> None:
    """Read the file or folder that a study's parameters name; of a named dataset, see that its
    folder is there. Raises InputError."""
    dataset = parameters["dataset"]
    reading = reading_of(parameters)
    if dataset in DATASETS:
        data_dir = os.environ.get("DATA_DIR")
        entry = DATASETS[dataset]
        if entry.make and reading != PLAIN:
            generated_source(dataset, entry, reading)
        if entry.folder and (data_dir or not entry.hub):
            named_folder(dataset, data_dir)
        return
    arguments = {name: parameters[name] for name in ("text", "label") if name in parameters}
    arguments |= {name: parameters[name] or None for name in ROW_LIMITS if name in parameters}
    arguments["split_seed"] = parameters.get("split_seed", 0)
    if parameters.get("folds"):
        arguments |= {"folds": parameters["folds"], "fold": 1, "test_rows": None}
    with contextlib.redirect_stdout(io.StringIO()):  # the notebook says it again
        load_corpus(dataset, reading=reading, **arguments)


def reading_of(parameters: dict) -> Reading:
    """How a study's parameters say that files are read; "" and [] stand for None. Raises
    InputError."""
    fields = {}
    for name, field in Reading.model_fields.items():
        if name in parameters:
            may_be_none = field.default is None
            fields[name] = parameters[name] or None if may_be_none else parameters[name]
    if fields.get("labels"):
        fields["labels"] = tuple(map(str, fields["labels"]))
    return Reading(**fields)


def check_names(study: str, kind: str, value) -> None:
    """Raises InputError where a head, an optimizer or a schedule, or one of a list of them, is in
    no table, and is not added by the study's module."""
    module, table_name = TABLES[kind]
    table = getattr(import_module(module), table_name)
    others = {"native": None} if kind == "head" else {}
    for name in value if isinstance(value, list) else [value]:
        if name not in others | table:
            register_rows(study)
        lookup(others | table, name, kind)


def check_settings(changed: dict) -> None:
    """Raises InputError where a parameter that is a run's setting has a value that no run can have;
    0 and "" stand for None where a setting may be None."""
    if not set(changed) - set(READ_WITH_THE_DATA):
        return
    from lib.runs.config import SELECTORS, RunConfig  # which imports torch

    for name, value in changed.items():
        field = name
        settings = [value]
        if isinstance(value, list) and name not in READ_WITH_THE_DATA:  # seeds, batch_sizes
            field = name.removesuffix("s")
            settings = value
        if field not in RunConfig.model_fields:
            continue
        may_be_none = type(None) in typing.get_args(RunConfig.model_fields[field].annotation)
        for setting in settings:
            RunConfig(**{field: setting or None if may_be_none else setting})
    if "metric" in changed:
        lookup(dict.fromkeys(("auto", *SELECTORS)), changed["metric"], "metric")
    check_training(changed)


def check_training(changed: dict) -> None:
    """Raises InputError where a parameter that says how to train is wrong; 0 and "" stand for
    None."""
    from lib.fast.launch import resolve_backend
    from lib.runs.config import MOST
    from lib.session.checkpoints import CheckpointTimer

    resolve_backend(
        changed.get("backend") or None,
        changed.get("processes") or None,
        precision="auto",
        batch_size=changed.get("batch_size", MOST),
    )
    if "checkpoint_every" in changed:
        with contextlib.redirect_stdout(io.StringIO()):  # the notebook says it again
            CheckpointTimer.of(changed["checkpoint_every"])
