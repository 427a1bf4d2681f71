"""Predictions of many runs in one Parquet file: what every published number is computed from."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.analysis.groups import Group, families_of
from lib.data import Corpus
from lib.errors import InputError, nearest
from lib.rankings import inverse_propensity, label_counts
from lib.references.baselines import reference_name
from lib.runs.keys import corpus_of, tokens_of
from lib.runs.predictions_table import write_predictions
from lib.runs.published import PREDICTIONS, published_page
from lib.runs.store import Run

# of the last epoch
HEALTH = ["dev_loss", "embedding_cosine", "embedding_rank", "top_label_share", "gradient_norm"]
STATUS_FIELDS = ("chosen_epoch", "last_epoch", "reason", "prior_loss", "choice")


@dataclasses.dataclass(frozen=True)
class Predictions:
    """`frame` has a row for each run, split, epoch and document; `runs` says what each run was."""

    frame: pd.DataFrame
    runs: dict[str, dict]  # key -> config, status, chosen_epoch, last_epoch
    label_names: tuple[str, ...]
    train_rows: int = 0
    train_counts: np.ndarray | None = None  # (num_labels,) documents of each label, if several
    data: dict = dataclasses.field(default_factory=dict)  # source, fingerprint, rows

    @property
    def task(self) -> str:
        """classification, multilabel or regression."""
        if "label" not in self.frame:
            return "multilabel"
        return "regression" if self.frame["label"].dtype.kind == "f" else "classification"

    @property
    def trained(self) -> dict[str, dict]:
        """The runs that are no references."""
        return {key: run for key, run in self.runs.items() if key not in self.references}

    @cached_property
    def references(self) -> dict[str, dict]:
        """The runs that others are compared with (`lib.references.baselines`)."""
        return {key: run for key, run in self.runs.items() if run["config"].get("reference")}

    @cached_property
    def weights(self) -> np.ndarray | None:
        """Inverse propensities (num_labels + 1,), with several labels a document."""
        if self.train_counts is None:
            return None
        return inverse_propensity(self.train_counts, self.train_rows)

    def write(self, path: Path) -> None:
        """Write one Parquet file, what the runs were in its schema's metadata."""
        import pyarrow as pa

        study = {"runs": self.runs, "label_names": self.label_names, "train_rows": self.train_rows}
        if self.data:
            study["data"] = self.data
        if self.train_counts is not None:
            study["train_counts"] = self.train_counts.tolist()
        table = pa.Table.from_pandas(self.frame, preserve_index=False)
        table = table.replace_schema_metadata({"study": json.dumps(study)})
        write_predictions(table, path)

    @classmethod
    def read(cls, path: Path) -> "Predictions":
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        study = json.loads(table.schema.metadata[b"study"])
        counts = np.array(study["train_counts"]) if "train_counts" in study else None
        names = tuple(study["label_names"])
        data = study.get("data", {})
        return cls(table.to_pandas(), study["runs"], names, study["train_rows"], counts, data)

    def where(self, **fields) -> "Predictions":
        """The runs whose configuration has these values (a list: one of them), and all
        references."""
        allowed = {
            name: value if isinstance(value, list) else [value] for name, value in fields.items()
        }
        return self.keep(
            lambda run: all(run["config"][name] in values for name, values in allowed.items())
        )

    def keep(self, wanted: Callable[[dict], bool]) -> "Predictions":
        """The runs that are wanted, and all references."""
        references = self.references
        runs = {key: run for key, run in self.runs.items() if key in references or wanted(run)}
        return self.only(runs)

    def only(self, runs: dict[str, dict]) -> "Predictions":
        """The predictions of `runs`, which may differ from what these say of them."""
        if runs.keys() != self.runs.keys():
            frame = self.frame[self.frame["run"].isin(list(runs))]
            return dataclasses.replace(self, frame=frame, runs=runs)
        others = dataclasses.replace(self, runs=runs)
        others.__dict__["_places"] = self._places  # of the same frame, found once
        return others

    @cached_property
    def _places(self) -> dict[tuple[str, str, int], np.ndarray]:
        """Where in the frame the rows of each split, run and epoch are."""
        return self.frame.groupby(["split", "run", "epoch"], observed=True).indices

    def with_field(self, field: str, values: dict[str, Any]) -> "Predictions":
        """The runs that `values` has by their keys, with a field of these to group them by."""
        runs = {}
        for key, value in values.items():
            config = self.runs[key]["config"] | {field: value}
            runs[key] = self.runs[key] | {"config": config}
        return self.only(runs)

    def single(self, split: str) -> Iterator[tuple[str, int, Group]]:
        """Each run alone after each epoch that was kept of a split: its key, the epoch, a group
        of one."""
        of_split = self.frame[self.frame["split"] == split]
        for (epoch, key), rows in of_split.groupby(["epoch", "run"], observed=True):
            yield key, epoch, Group.of(key, [key], [self.runs[key]["config"]["seed"]], [rows])

    def groups(self, by: str, *, split: str = "test", epoch: str | int = "chosen") -> list[Group]:
        """The runs grouped by a field of their configuration, in order of appearance; references
        by their name, last. Runs that differ in their fold alone are one, on the rows of all folds.

        `epoch` is `chosen` (on dev), `last`, or a number; runs that have no such predictions, on
        all folds, are left out.
        """
        groups = []
        for name, keys in self._keys_by(by).items():
            places = {key: self._places.get((split, key, self._epoch(key, epoch))) for key in keys}
            frames = {key: self.frame.iloc[at] for key, at in places.items() if at is not None}
            families = families_of(self.runs, frames, f"{by} {name}")
            if families:
                first_keys = [family[0] for family in families.values()]
                joined = [pd.concat([frames[key] for key in keys]) for keys in families.values()]
                group = Group.of(name, first_keys, list(families), joined)
                is_reference = first_keys[0] in self.references
                groups.append(dataclasses.replace(group, is_reference=is_reference))
        return groups

    def _keys_by(self, by: str) -> dict[str, list[str]]:
        """The keys of the runs by the value of a field, references by their name and last.

        Raises InputError where a reference is called like other runs.
        """
        keys: dict[str, list[str]] = {}
        of_references: dict[str, list[str]] = {}
        for key, run in self.runs.items():
            if by not in run["config"]:
                raise InputError(f"Runs have no field {by!r}.{nearest(by, run['config'])}")
            name = reference_name(run["config"])
            if name is None:
                keys.setdefault(str(run["config"][by]), []).append(key)
            else:
                of_references.setdefault(name, []).append(key)
        for name in keys.keys() & of_references.keys():
            raise InputError(
                f"{by} {name} and a file of predictions have one name; rename the file"
            )
        return keys | of_references

    def _epoch(self, key: str, epoch: str | int) -> int | None:
        if isinstance(epoch, str):
            return self.runs[key][f"{epoch}_epoch"]
        return 1 if key in self.references else epoch


def group_of(p: Predictions, by: str, group: str, split: str = "test") -> Group:
    """The group of one name. Raises InputError."""
    groups = {each.name: each for each in p.groups(by, split=split)}
    if group not in groups:
        raise InputError(f"No runs have {by} {group!r}.{nearest(group, groups)}")
    return groups[group]


def collect(runs: Iterable[Run] | Predictions) -> Predictions:
    """The predictions of runs of the store, as they are published; made once for the same runs.

    Raises InputError where no run has any.
    """
    if isinstance(runs, Predictions):
        return runs
    page = published_page()
    if page:
        return _published(page, tuple(dict.fromkeys(run.name for run in runs)))
    return _collect(tuple(run.folder for run in runs))


@lru_cache(maxsize=4)
def _published(page: Path, names: tuple[str, ...]) -> Predictions:
    """The predictions of some of a page's runs, in their order."""
    p = Predictions.read(page / PREDICTIONS)
    by_run = dict(tuple(p.frame.groupby("run", observed=True)))
    frame = pd.concat([by_run[name] for name in names if name in by_run], ignore_index=True)
    frame["run"] = frame["run"].astype(pd.CategoricalDtype(list(names)))
    return dataclasses.replace(p, frame=frame, runs={name: p.runs[name] for name in names})


@lru_cache(maxsize=4)
def _collect(folders: tuple[Path, ...]) -> Predictions:
    runs = [Run(folder) for folder in folders]
    facts = {run.name: _facts_of(run) for run in runs}
    scored = [run for run in runs if run.status["chosen_epoch"]]
    frames = [run.predictions.assign(run=run.name) for run in scored]
    if not frames:
        raise InputError("None of these runs has predictions: all diverged in their first epoch")
    frame = pd.concat(frames, ignore_index=True)
    frame.insert(0, "run", frame.pop("run").astype(pd.CategoricalDtype(list(facts))))
    names = tuple(runs[-1].status["label_names"])
    frame["tokens"] = np.int32(0)
    trained = [run for run in runs if not run.config.is_reference]
    if not trained:
        return Predictions(frame, facts, names)
    for fold, run in {run.config.fold: run for run in reversed(trained)}.items():
        of_fold = [key for key, said in facts.items() if said["config"]["fold"] == fold]
        corpus = _add_lengths(frame, frame["run"].isin(of_fold), run)
    counts = label_counts(corpus.train.labels, corpus.num_labels) if corpus.multilabel else None
    return Predictions(frame, facts, names, len(corpus.train), counts)


def _add_lengths(frame: pd.DataFrame, places: pd.Series, run: Run) -> Corpus:
    """Fill in how many tokens the documents at some places have, by a run's tokenizer; returns the
    run's corpus. Raises InputError where it was changed since."""
    corpus = corpus_of(run.config)
    if corpus.fingerprint != run.status["data"]["fingerprint"]:
        raise InputError(
            f"{Path(corpus.name).name} is not what the run {run.name} was trained on: it "
            "was changed since; run the notebook or the command again from its start"
        )
    tokens = tokens_of(run.config, corpus)
    for split in ("dev", "test"):
        lengths = pd.Series(tokens.lengths[split], index=getattr(corpus, split).rows)
        of_split = places & (frame["split"] == split)
        rows = frame.loc[of_split, "row"]
        # 0 where another run's dev has other rows
        frame.loc[of_split, "tokens"] = lengths.reindex(rows, fill_value=0).to_numpy(np.int32)
    return corpus


def _facts_of(run: Run) -> dict:
    """What a run was and how it ended."""
    status = run.status
    facts = {"config": run.config.model_dump(), "status": status["status"]}
    facts |= {name: status[name] for name in STATUS_FIELDS if name in status}
    facts |= run.verdict
    history = run.history
    if run.verdict and len(history):
        facts["health"] = history[HEALTH].iloc[-1].to_dict()
    return facts
