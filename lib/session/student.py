"""How a new model becomes the student of a finished one.

What has to fit, the layers that it starts with, and the teacher's outputs that it learns from.
"""

import dataclasses
import json
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import TensorDataset

from lib import devices, evaluation
from lib.attention import record_attention
from lib.backbones import fingerprint, load_tokenizer, resolve_backbone
from lib.data import Corpus
from lib.errors import InputError
from lib.loaders import make_loader
from lib.losses import Loss
from lib.models import Classifier, load_model
from lib.runs.config import RunConfig
from lib.runs.files import cached_tensors, digest
from lib.session.distillation import BATCH, Distilling, check_maps, compares_states
from lib.tokenization import Tokens, encode, reading_of

FEW = 5  # label names in a message


def make_student(
    model: Classifier,
    *,
    config: RunConfig,
    teacher_folder: Path,
    loss: Loss,
    corpus: Corpus,
    tokens: Tokens,
    cache: Path | None,
) -> tuple[Distilling, Tokens]:
    """Make a new model a student of the teacher in a folder: its objective, and tokens whose train
    and dev have the teacher's logits as a further tensor, where soft labels count.

    The student gets the layers that it is to start with, and projections (from the run's seed)
    where hidden states are compared whose widths differ. `loss` is the one for labels; `cache` is
    a folder that keeps the teacher's logits. Raises InputError where the two do not fit.
    """
    settings = config.distil
    check_config(config)
    teacher, description = load_model(teacher_folder)
    teacher.requires_grad_(False)
    check_task(settings.teacher, description, corpus)
    check_maps(settings, model.backbone.config, teacher.backbone.config)
    if settings.student_layers is not None:
        copy_layers(model, teacher, settings.student_layers)
        take_out_unit(model)
    if compares_states(settings):
        check_tokenizers(config.backbone, teacher_folder)
    if "hidden" in settings.weights:
        add_projections(model, teacher, len(settings.hidden_map), seed=config.seed)
    if "attentions" in settings.weights:
        record_attention(model)
        record_attention(teacher)
    if "soft" in settings.weights:
        options = {
            "reading": reading_of(description),
            "precision": config.precision,
            "cache": cache,
        }
        tokens = add_teacher_logits(tokens, corpus, teacher, teacher_folder, **options)
    task = {"numbers": corpus.task == "regression", "several": corpus.multilabel}
    return Distilling(settings, teacher, loss, **task), tokens


def student_depth(config: RunConfig) -> int | None:
    """How many of the backbone's layers a run's model has; None: all. Raises InputError."""
    if config.distil is None or config.distil.student_layers is None:
        return config.layers
    for name in ("layers", "prior_bias"):
        if value := getattr(config, name):
            raise InputError(
                f"{name} = {value!r}: distil.student_layers copies all of the student; leave one "
                "of them out"
            )
    return len(config.distil.student_layers)


def check_config(config: RunConfig) -> None:
    """Raises InputError where another setting of a run does not go with distillation."""
    if config.freeze:
        raise InputError(
            f"freeze = {config.freeze!r}: a student's backbone learns, too; leave one of freeze "
            "and distil out"
        )
    if config.batching.endswith("packed") and compares_states(config.distil):
        raise InputError(
            f"batching = {config.batching!r}: hidden states and attentions are compared in padded "
            "batches; choose grouped or random"
        )
    if config.truncation == "windows" and compares_states(config.distil):
        raise InputError(
            "truncation = 'windows': hidden states and attentions are compared of one window; "
            "choose head, tail or head_tail"
        )
    if config.class_weight is not None:
        raise InputError(
            f"class_weight = {config.class_weight!r} weighs documents, and distillation counts "
            "them alike; leave it out"
        )


def check_task(teacher: str, description: dict, corpus: Corpus) -> None:
    """Raises InputError where a teacher was trained for another task or other labels."""
    task = description.get("task", "classification")
    label_names = description["label_names"]
    if task != corpus.task or tuple(label_names) != tuple(corpus.label_names):
        raise InputError(
            f"The teacher {teacher} was trained for {_task_words(task, label_names)}; this run is "
            f"for {_task_words(corpus.task, corpus.label_names)}"
        )


def _task_words(task: str, label_names) -> str:
    more = len(label_names) - FEW
    words = f"{task} of {', '.join(label_names[:FEW])}"
    return f"{words} and {more} more" if more > 0 else words


def check_tokenizers(student: str | Path, teacher: str | Path) -> None:
    """Raises InputError where two backbones read other tokens."""
    if tokenizer_rules(resolve_backbone(student)) != tokenizer_rules(Path(teacher)):
        raise InputError(
            "Hidden states and attentions are compared token by token, but the student's backbone "
            "reads other tokens than the teacher; use soft and hard labels alone, or a backbone "
            "with the teacher's tokenizer"
        )


def tokenizer_rules(folder: Path) -> dict:
    """How a folder's tokenizer reads texts, whatever it was last told of their length."""
    rules = json.loads(load_tokenizer(folder).backend_tokenizer.to_str())
    return rules | {"truncation": None, "padding": None}


def copy_layers(student: Classifier, teacher: Classifier, layers: tuple[int, ...]) -> None:
    """Give a student the teacher's weights, with the chosen layers (from 0) in their order.
    Raises InputError."""
    depth = teacher.backbone.config.num_hidden_layers
    for layer in layers:
        if not 0 <= layer < depth:
            raise InputError(
                f"distil.student_layers names layer {layer}; the teacher has layers 0 to "
                f"{depth - 1}"
            )
    state = choose_layers(teacher, depth, layers)
    try:
        student.load_state_dict(state)
    except RuntimeError:
        raise InputError(
            "distil.student_layers copies a teacher with a "
            f"{teacher.backbone.config.model_type} backbone and "
            f"{'a native' if teacher.head is None else 'its own'} head; give the student the same "
            "backbone and head, or leave student_layers out"
        ) from None


def choose_layers(teacher: Classifier, depth: int, layers: tuple[int, ...]) -> dict:
    """The teacher's weights by name, its `depth` layers replaced by the chosen ones in their
    order."""
    state = teacher.state_dict()
    lists = [name for name, module in teacher.named_modules() if isinstance(module, nn.ModuleList)]
    stacks = [f"{name}." for name in lists if len(teacher.get_submodule(name)) == depth]
    if not stacks:  # one layer that is computed several times
        return state
    chosen = {name: tensor for name, tensor in state.items() if not name.startswith(stacks[0])}
    for new, old in enumerate(layers):
        prefix = f"{stacks[0]}{old}."
        for name, tensor in state.items():
            if name.startswith(prefix):
                chosen[f"{stacks[0]}{new}.{name.removeprefix(prefix)}"] = tensor
    return chosen


def take_out_unit(student: Classifier) -> None:
    """Undo what saving a regression did to the output layer that was copied from its teacher: the
    student has its unit beside its weights."""
    if student.unit is not None:
        shift, scale = student.unit
        student.scale_output(-shift / scale, 1 / scale)


def add_projections(student: Classifier, teacher: Classifier, number: int, *, seed: int) -> None:
    """Let a student whose hidden states have another width than its teacher's learn a projection
    of each state that is compared."""
    size = student.backbone.config.hidden_size
    teacher_size = teacher.backbone.config.hidden_size
    if size != teacher_size:
        torch.manual_seed(seed)
        linear = [nn.Linear(size, teacher_size, bias=False) for _ in range(number)]
        student.projections = nn.ModuleList(linear)


def forget_projections(student: nn.Module) -> None:
    """Leave a student as a plain classifier, to be saved."""
    if hasattr(student, "projections"):
        del student.projections


def add_teacher_logits(
    tokens: Tokens, corpus: Corpus, teacher: Classifier, folder: Path, **options
) -> Tokens:
    """Tokens whose train and dev have the teacher's logits as a further tensor (`options`: see
    `teacher_logits`)."""
    datasets = {}
    for name in ("train", "dev"):
        logits = teacher_logits(teacher, folder, getattr(corpus, name).documents, **options)
        datasets[name] = TensorDataset(*getattr(tokens, name).tensors, logits)
    return dataclasses.replace(tokens, **datasets)


def teacher_logits(
    teacher: Classifier,
    folder: Path,
    documents: list,
    *,
    reading: dict,
    precision: str,
    cache: Path | None,
) -> torch.Tensor:
    """The teacher's logits (rows, num_labels) on documents, each read once, as its own run read
    them (`reading`: the arguments of `encode`); a folder `cache` keeps them by the content they
    depend on."""
    ids, mask, _ = encode(documents, folder, **reading)
    precision = devices.resolve_precision(precision, devices.default_device())
    shape = tuple(ids.shape)
    key = digest("teacher logits", fingerprint(folder), precision, shape, ids, mask)
    return cached_tensors(cache, key, partial(_logits, teacher, ids, mask, precision))["logits"]


def _logits(teacher: Classifier, ids, mask, precision: str) -> dict[str, torch.Tensor]:
    dataset = TensorDataset(ids, mask, torch.zeros(len(ids), dtype=torch.int32))
    loader = make_loader(dataset, batch_size=BATCH)
    batches = [logits for logits, _ in evaluation.logits_of(teacher, loader, precision=precision)]
    return {"logits": torch.cat(batches)[evaluation.in_order(loader)]}
