"""Predictions of many runs in one Parquet file: what every published number is computed from."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from lib.data import Split
from lib.errors import InputError, nearest
from lib.metrics import hits, inverse_propensity
from lib.runs.baselines import BASELINES

HEALTH = [
    "dev_loss",
    "embedding_cosine",
    "embedding_rank",
    "top_label_share",
    "gradient_norm",
]  # of the last epoch


def to_frame(
    split_name: str, epoch: int, split: Split, logits: np.ndarray, ranked: np.ndarray | None = None
) -> pd.DataFrame:
    """Predictions of one split after one epoch: split, epoch, row, label and a 16-bit column for
    each logit (of real numbers, label and logit_0 are float32).

    With several labels a document: gold_0… (padded with −1) and top_0… of label ids, and the logits
    of the latter.
    """
    frame = pd.DataFrame(
        {"split": split_name, "epoch": np.int16(epoch), "row": split.rows.astype(np.int32)}
    )
    frame["split"] = frame["split"].astype(pd.CategoricalDtype(["dev", "test"]))
    if ranked is None:
        ids = {"label": split.labels}
    else:
        ids = {f"gold_{i}": column for i, column in enumerate(split.labels.T)}
        ids |= {f"top_{i}": column for i, column in enumerate(ranked.T)}
    real = split.labels.dtype.kind == "f"
    for name, values in ids.items():
        frame[name] = values.astype(np.float32 if real else np.int16)
    for i in range(logits.shape[1]):
        frame[f"logit_{i}"] = logits[:, i].astype(np.float32 if real else np.float16)
    return frame


def _ids(frame: pd.DataFrame, kind: str) -> np.ndarray:
    return frame.filter(regex=rf"^{kind}_\d+$").to_numpy().astype(np.int64)


def _labels(frame: pd.DataFrame) -> np.ndarray:
    if "label" not in frame:
        return _ids(frame, "gold")
    return (
        frame["label"]
        .to_numpy()
        .astype(np.float32 if frame["label"].dtype.kind == "f" else np.int64)
    )


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that share what a table compares them by; `seeds` gives each run's seed.

    With several labels a document, labels are (rows, most) and logits those of the labels in
    `ranked`.
    """

    name: str
    runs: list[str]  # keys
    seeds: list[int]
    labels: np.ndarray  # (rows,) int64, or float32 of real numbers
    logits: np.ndarray  # (runs, rows, num_labels), float32
    ranked: np.ndarray | None = None  # (runs, rows, k) label ids, best first
    tokens: np.ndarray | None = None  # (rows,) lengths before truncation

    @property
    def predicted(self) -> np.ndarray:
        """Label ids (runs, rows); ties go to the lower one."""
        return self.logits.argmax(-1)

    @property
    def right(self) -> np.ndarray:
        """Whether the first label of each document is a gold one: booleans (runs, rows)."""
        if self.ranked is None:
            return self.predicted == self.labels
        return np.stack([hits(ranked[:, :1], self.labels)[:, 0] for ranked in self.ranked])


@dataclasses.dataclass(frozen=True)
class Predictions:
    """`frame` has a row for each run, split, epoch and document; `runs` says what each run was."""

    frame: pd.DataFrame
    runs: dict[str, dict]  # key -> config, status, chosen_epoch, last_epoch
    label_names: tuple[str, ...]
    train_rows: int = 0
    train_counts: np.ndarray | None = (
        None  # (num_labels,) train documents of each label, where a document has several
    )

    @property
    def task(self) -> str:
        """classification, multilabel or regression."""
        if "label" not in self.frame:
            return "multilabel"
        return "regression" if self.frame["label"].dtype.kind == "f" else "classification"

    @cached_property
    def weights(self) -> np.ndarray | None:
        """Inverse propensities (num_labels + 1,), with several labels a document."""
        return (
            None
            if self.train_counts is None
            else inverse_propensity(self.train_counts, self.train_rows)
        )

    @classmethod
    def collect(cls, runs: Iterable, lengths: dict[str, pd.Series], *train) -> "Predictions":
        """Gather the predictions of runs from the store; `lengths` are tokens before truncation,
        by split and row."""
        frames, about, names = [], {}, ()
        for run in runs:
            status, key = run.status, run.key[:16]
            names = tuple(status["label_names"])
            about[key] = {"config": run.config.model_dump(), "status": status["status"]}
            told = ("chosen_epoch", "last_epoch", "reason", "prior_loss")
            about[key] |= {name: status[name] for name in told if name in status}
            about[key] |= run.verdict
            if run.verdict and len(run.history):
                about[key]["health"] = run.history[HEALTH].iloc[-1].to_dict()
            if status["chosen_epoch"]:
                frame = run.predictions
                frame.insert(0, "run", key)
                frames.append(frame)
        if not frames:
            raise InputError(
                "None of these runs has predictions: all diverged in their first epoch"
            )
        frame = pd.concat(frames, ignore_index=True)
        frame["tokens"] = np.int32(0)
        for split, tokens in lengths.items():
            at = frame["split"] == split
            frame.loc[at, "tokens"] = tokens.loc[frame.loc[at, "row"]].to_numpy().astype(np.int32)
        frame["run"] = frame["run"].astype(pd.CategoricalDtype(list(about)))
        return cls(frame, about, names, *train)

    def write(self, path: Path) -> None:
        """Write one Parquet file, what the runs were in its schema's metadata."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pandas(self.frame, preserve_index=False)
        about = {"runs": self.runs, "label_names": self.label_names, "train_rows": self.train_rows}
        about |= {} if self.train_counts is None else {"train_counts": self.train_counts.tolist()}
        table = table.replace_schema_metadata({"study": json.dumps(about)})
        pq.write_table(table, path, compression="zstd", compression_level=19)

    @classmethod
    def read(cls, path: Path) -> "Predictions":
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        about = json.loads(table.schema.metadata[b"study"])
        counts = np.array(about["train_counts"]) if "train_counts" in about else None
        return cls(
            table.to_pandas(),
            about["runs"],
            tuple(about["label_names"]),
            about["train_rows"],
            counts,
        )

    def where(self, **fields) -> "Predictions":
        """The runs whose configuration has these values (a list: one of them), and all
        baselines."""
        allowed = {
            name: value if isinstance(value, list) else [value] for name, value in fields.items()
        }
        return self.keep(
            lambda run: all(run["config"][name] in values for name, values in allowed.items())
        )

    def keep(self, wanted: Callable[[dict], bool]) -> "Predictions":
        """The runs that are wanted, and all baselines."""
        kept = {
            k: run
            for k, run in self.runs.items()
            if run["config"]["backbone"] in BASELINES or wanted(run)
        }
        return dataclasses.replace(
            self, frame=self.frame[self.frame["run"].isin(list(kept))], runs=kept
        )

    def single(self, split: str) -> Iterator[tuple[str, int, Group]]:
        """Each run alone after each epoch that was kept of a split: its key, the epoch, a group
        of one."""
        part = self.frame[self.frame["split"] == split]
        for (epoch, key), rows in part.groupby(["epoch", "run"], observed=True):
            logits = rows.filter(regex=r"^logit_\d+$").to_numpy().astype(np.float32)
            top = _ids(rows, "top")[None] if "top_0" in rows else None
            seed = self.runs[key]["config"]["seed"]
            yield (
                key,
                epoch,
                Group(
                    key, [key], [seed], _labels(rows), logits[None], top, rows["tokens"].to_numpy()
                ),
            )

    def groups(self, by: str, *, split: str = "test", epoch: str | int = "chosen") -> list[Group]:
        """The runs grouped by a field of their configuration, in order of appearance; baselines by
        their name, last.

        `epoch` is `chosen` (on dev), `last`, or a number; runs that have no such predictions are
        left out.
        """
        keys: dict[str, list[str]] = {}
        for key, run in self.runs.items():
            if by not in run["config"]:
                raise InputError(f"Runs have no field {by!r}.{nearest(by, run['config'])}")
            backbone = run["config"]["backbone"]
            keys.setdefault(
                backbone if backbone in BASELINES else str(run["config"][by]), []
            ).append(key)
        part = self.frame[self.frame["split"] == split]
        by_run = dict(tuple(part.groupby("run", observed=True)))
        groups = []
        for name in sorted(keys, key=lambda name: name in BASELINES):
            found, seeds, logits, ranked, labels, tokens = [], [], [], [], None, None
            for key in keys[name]:
                run = self.runs[key]
                wanted = (
                    run[f"{epoch}_epoch"]
                    if isinstance(epoch, str)
                    else 1
                    if name in BASELINES
                    else epoch
                )
                rows = by_run.get(key, part.iloc[:0])
                rows = rows[rows["epoch"] == wanted]
                if len(rows):
                    if run["config"]["seed"] in seeds:
                        raise InputError(
                            f"{by} {name}: several runs with seed {seeds[-1]}; narrow them with where=…"
                        )
                    found.append(key)
                    seeds.append(run["config"]["seed"])
                    labels = _labels(rows)
                    tokens = rows["tokens"].to_numpy()
                    logits.append(rows.filter(regex=r"^logit_\d+$").to_numpy().astype(np.float32))
                    ranked += [_ids(rows, "top")] if "top_0" in rows else []
            if logits:
                top = np.stack(ranked) if ranked else None
                groups.append(Group(name, found, seeds, labels, np.stack(logits), top, tokens))
        return groups
