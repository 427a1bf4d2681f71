"""What the benchmark measures, and how much of it."""

import json
import os
from typing import Annotated, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lib import devices
from lib.backbones import EMBEDDED
from lib.errors import explain
from lib.runs.config import RunConfig

DEVICE = devices.default_device()
BATCHINGS = get_args(RunConfig.model_fields["batching"].annotation)
ON_GPU = DEVICE.type == "cuda"


class NotEqualError(ArithmeticError):
    """Two that are compared do not compute the same: there is nothing to compare."""


def native_precision() -> str:
    """bf16 where the device multiplies in it, else fp32: nothing is measured in an emulation."""
    return devices.resolve_precision("auto", DEVICE)


class Settings(BaseModel):
    """What is measured, and how. Raises InputError."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str = EMBEDDED  # a name or folder, as in RunConfig
    # None: AG News of DATA_DIR, or the demo corpus where that is not set
    dataset: str | None = None
    max_length: int = Field(128, ge=3)  # tokens
    batch_size: int = Field(32, ge=1)  # documents
    learning_rate: float = Field(1e-4, gt=0)  # peak; AdamW, linear to zero, clipped at norm 1
    threads: int = Field(len(os.sched_getaffinity(0)), ge=1)
    # speed
    # batching, or batching:precision
    ours: tuple[str, ...] = ("random:fp32", "grouped_packed:fp32", *BATCHINGS)
    rounds: int = Field(7, ge=1)
    steps: int = Field(4, ge=1)  # measured in each round and configuration
    warm_up: int = Field(1, ge=1)  # steps before them
    pool: int = Field(6400, ge=1)  # documents that batches are made from
    gate_steps: int = Field(10, ge=1)
    # rows and columns of the matrices whose product tells the machine's speed
    matmul: int = Field(8192 if ON_GPU else 2048, ge=1)
    # time to accuracy
    train_rows: int | None = Field(512, ge=2)
    dev_rows: int | None = Field(200, ge=1)
    test_rows: int | None = Field(500, ge=1)
    epochs: int = Field(3, ge=1)
    seeds: tuple[int, ...] = (1, 2, 3)
    target: float | None = Field(None, gt=0, lt=1)  # dev accuracy; None: one that both reach
    every: int = Field(8, ge=1)  # steps between evaluations
    # cost against rows
    row_counts: tuple[Annotated[int, Field(ge=100)], ...] = (1_000, 10_000, 100_000)
    row_rounds: int = Field(3, ge=1)  # of reading and tokenizing beside pandas and datasets
    # labelling
    label_texts: int = Field(320, ge=2)
    single_texts: int = Field(32, ge=1)  # of them, one at a time
    label_rounds: int = Field(5, ge=1)
    # waits
    wait_rounds: int = Field(3, ge=1)
    out: str = ""  # folder; by default results/benchmark/<machine>

    def __init__(self, **values):
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise explain(error, type(self).model_fields) from None


def arguments_of(settings: Settings) -> list[str]:
    """The command-line words that give these settings again, as far as they differ from the
    defaults."""
    words = []
    for name, value in settings.model_dump(exclude_defaults=True, exclude={"out"}).items():
        several = value if isinstance(value, tuple) else [value]
        words += [f"--{name.replace('_', '-')}", *map(str, several)]
    return words


def to_json(settings: Settings) -> str:
    """The settings as one word, for another process."""
    return json.dumps(settings.model_dump(mode="json", exclude_defaults=True))
