"""What a run is asked to be: typed, frozen, and without a field that nobody reads."""

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, ConfigDict, Field, field_validator

from lib.backbones import EMBEDDED
from lib.errors import Strict
from lib.metrics import INPUTS, metrics_of
from lib.optim import plan_steps
from lib.reading.columns import ColumnText
from lib.reading.options import PLAIN, Reading
from lib.runs.field_values import check_path, plain
from lib.tokenization import TRUNCATIONS, WINDOWS

DATA_FIELDS = (
    "dataset",
    "text",
    "label",
    "train_rows",
    "dev_rows",
    "test_rows",
    "split_seed",
    "folds",
    "fold",
    "subset_seed",
    "reading",
)
READ_TEXT = ("backbone", "max_length", "truncation", "stride", "windows")  # by a transformer
READ_BY_REFERENCE = {  # the fields, beside the data's, that a reference's result depends on
    "majority": (),
    "train_mean": (),
    "noise_ceiling": (),
    "tfidf": ("select_by",),
    "tfidf_same_text": ("select_by", *READ_TEXT),
    "embedding_linear": ("select_by", *READ_TEXT, "layers", "precision"),
    "embedding_ridge": ("select_by", *READ_TEXT, "layers", "precision"),
}
MANY_LABELS = 200  # of more, so many frequent ones choose a reference's settings
CHOOSES_SETTINGS = ("tfidf", "tfidf_same_text", "embedding_linear")
SELECTORS = ("loss", "last", *dict.fromkeys(name for task in INPUTS for name in metrics_of(task)))

MOST = 2**31 - 1  # of anything that is counted
MOST_EPOCHS = 100_000  # the settings of every step are planned before the first
MOST_SEED = 2**32 - 1  # what every generator of random numbers takes

Pairs = tuple[tuple[int, int], ...]
PathText = Annotated[str, AfterValidator(check_path)]  # a name, or a path


class Settings(Strict):
    """Frozen settings whose values are plain: what JSON can hold, and every file and tracker.

    Raises InputError.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _is_plain(cls, value, info):
        if isinstance(value, bool):
            annotation = cls.model_fields[info.field_name].annotation
            if {int, float} & {annotation, *get_args(annotation)}:
                raise ValueError("true and false are no numbers")
        return plain(value)


class Distillation(Settings):
    """What a run learns from a finished one, its teacher, and how (see `lib.session.distillation`).

    Raises InputError.
    """

    # a finished run: its key or its folder, or a model's folder
    teacher: PathText
    # the teacher's layers, from 0, that the student starts with, its embeddings and head, too;
    # None: a new model of the run's backbone
    student_layers: tuple[int, ...] | None = Field(None, min_length=1)
    # of soft labels
    temperature: float = Field(2.0, gt=0)
    # of the losses
    weights: dict[Literal["soft", "hard", "hidden", "attentions"], float] = Field(
        {"soft": 0.5, "hard": 0.5}
    )
    # (student's, teacher's) hidden states; 0: the embeddings
    hidden_map: Pairs | None = Field(None, min_length=1)
    # (student's, teacher's) layers, from 0
    attention_map: Pairs | None = Field(None, min_length=1)
    # (student's, teacher's) attention heads, from 0; None: alike
    head_map: Pairs | None = Field(None, min_length=1)
    attention_loss: Literal["kl", "mse"] = "kl"

    def __str__(self):
        text = f"{' + '.join(self.weights)} of {Path(self.teacher).name[:16]}"
        if self.student_layers is not None:
            text += f", layers {', '.join(map(str, self.student_layers))}"
        return text

    @field_validator("weights")
    @classmethod
    def _some_are_positive(cls, value):
        if any(weight < 0 for weight in value.values()) or not any(value.values()):
            raise ValueError("weights are positive numbers, at least one")
        return {name: weight for name, weight in value.items() if weight}


class RunConfig(Settings):
    """Everything that a run's result depends on, but for the bytes of its data and backbone.

    A run's key counts the fields that differ from their defaults: a new field leaves old keys
    alone, but whoever changes a default must raise `lib.training.VERSION`. Raises InputError.
    """

    # Data
    dataset: PathText = "demo_news"  # a row of lib.datasets.DATASETS, a folder or a file
    text: ColumnText = "text"  # or several, commas between their names, or a list
    label: ColumnText = "label"  # likewise
    train_rows: int | None = Field(None, ge=2, le=MOST)  # None: all
    dev_rows: int | None = Field(None, ge=1, le=MOST)  # None: the dev file, or a tenth of train
    test_rows: int | None = Field(None, ge=1, le=MOST)  # None: all
    split_seed: int = Field(0, ge=0, le=MOST_SEED)
    folds: int | None = Field(None, ge=2, le=MOST)  # None: one split; else see by_fold
    fold: int | None = Field(None, ge=1, le=MOST)  # that test is
    # draws train and dev together, fewer rows being among those of more
    # (lib.reading.carving.draw_labelled); None: split_seed draws dev, then train
    subset_seed: int | None = Field(None, ge=0, le=MOST_SEED)
    reading: Reading = PLAIN  # how files are read, and what their columns mean
    # a row of lib.references.baselines.BASELINES, or a file of predictions; None: the run trains a
    # model
    reference: PathText | None = None
    # Model
    backbone: PathText = EMBEDDED  # embedded, a folder or a Hub name
    head: str = "native"  # native, or a row of lib.heads.HEADS
    dropout: float = Field(0.1, ge=0, lt=1)  # of the head; native heads have the backbone's
    prior_bias: bool = False  # the output layer's bias starts at train's label shares
    # backbone: train the head alone, documents are embedded once; or the lowest layers, with the
    # embeddings, that do not train; None: all train
    freeze: Literal["backbone"] | int | None = None
    # train low-rank matrices beside the weights of the layers, and the head (lib.session.adapters)
    adapter: Literal["lora"] | None = None
    lora_rank: int = Field(8, ge=1, le=MOST)
    lora_alpha: float = Field(16.0, gt=0)  # over the rank: what the matrices are multiplied by
    layers: int | None = Field(None, ge=1, le=MOST)  # of the backbone, from the bottom; None: all
    max_length: int = Field(128, ge=3, le=MOST)  # tokens
    # what a longer document keeps; windows: all, read in pieces over which logits are averaged
    truncation: Literal[*TRUNCATIONS] = "head"
    # tokens from a window's start to the next; None: windows do not overlap
    stride: int | None = Field(None, ge=1, le=MOST)
    windows: int = Field(WINDOWS, ge=1, le=MOST)  # of a document that are read, the first ones
    # Training
    batch_size: int = Field(32, ge=1, le=MOST)  # documents per optimizer step
    accumulation: int = Field(1, ge=1, le=MOST)  # pieces of a batch, computed one after the other
    # compute layers anew in the backward pass: less memory, a third more time
    gradient_checkpointing: bool = False
    batching: Literal["random", "grouped", "packed", "grouped_packed"] = "grouped"
    epochs: int = Field(3, ge=1, le=MOST_EPOCHS)
    optimizer: str = "adamw"  # a row of lib.optim.OPTIMIZERS
    learning_rate: float = Field(1e-4, gt=0)  # peak
    weight_decay: float = Field(0.0, ge=0)
    layer_decay: float = Field(1.0, gt=0, le=1)  # a layer's learning rate by that of the one above
    schedule: str = "constant"  # a row of lib.optim.SCHEDULES
    schedule_args: dict[str, Any] = Field({})
    clip_norm: float | None = Field(1.0, gt=0)  # None: no clipping
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto is resolved before the run is keyed
    seed: int = Field(1, ge=0, le=MOST_SEED)
    class_weight: Literal["balanced"] | None = None  # classes count alike, however frequent
    label_smoothing: float = Field(0.0, ge=0, lt=1)  # of a target, spread over all classes
    focal_gamma: float = Field(0.0, ge=0)  # exponent of the focal loss; 0: cross-entropy
    # on dev, chooses the epoch; last: none is chosen
    select_by: Literal[*SELECTORS] = "macro_f1"
    patience: int | None = Field(
        None, ge=1, le=MOST
    )  # epochs without a better dev score; None: any number
    stop_after: int | None = Field(
        None, ge=1, le=MOST
    )  # train so many epochs of the plan; None: all
    distil: Distillation | None = None  # None: the labels are the only teacher
    health: bool = False  # look at the embeddings after every epoch, and judge the run
    test_every_epoch: bool = False  # else test is scored for the chosen and the last epoch

    @field_validator("freeze", mode="before")
    @classmethod
    def _is_backbone_or_layers(cls, value):
        text = str(value)
        if value not in (None, "backbone") and not (text.isdecimal() and 0 < int(text) <= MOST):
            raise ValueError("it is 'backbone', or a number of layers from 1")
        return value

    @field_validator("schedule_args")
    @classmethod
    def _are_the_schedules_own(cls, value):
        for name in value:
            if name in inspect.signature(plan_steps).parameters:
                raise ValueError(f"{name} is no argument of a schedule")
        return value

    def with_(self, **changes) -> "RunConfig":
        return RunConfig(**self.model_dump() | changes)

    def baseline(self, name: str) -> "RunConfig":
        """The reference of a row of `lib.references.baselines.BASELINES`, or of a file of
        predictions (see `lib.references.from_file`), on the same data, with the fields that it
        reads and no others."""
        fields = (*DATA_FIELDS, *READ_BY_REFERENCE.get(name, ()))
        return RunConfig(**{field: getattr(self, field) for field in fields}, reference=name)

    def idle_fields(self) -> set[str]:
        """The fields that the result does not depend on, whatever they hold."""
        idle = set()
        if self.is_reference:
            read = {*DATA_FIELDS, "reference", *READ_BY_REFERENCE.get(self.reference, ())}
            idle = {*RunConfig.model_fields} - read
        if self.truncation != "windows":
            idle |= {"stride", "windows"}
        if not self.adapter:
            idle |= {"lora_rank", "lora_alpha"}
        return idle

    def as_recorded(self) -> "RunConfig":
        """The configuration as its run keeps it: a field without an effect has its default, so
        that the record does not depend on which of several like commands came first."""
        return RunConfig(**self.model_dump(exclude=self.idle_fields()))

    @property
    def is_reference(self) -> bool:
        """Whether the run is one that others are compared with, and trains no transformer."""
        return self.reference is not None


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
