"""From a prepared run to what is trained: its model, what it minimises, and its batches."""

import dataclasses
from contextlib import suppress

import torch
from torch import nn
from torch.utils.data import DataLoader

from lib.devices import default_device
from lib.errors import InputError
from lib.fast.packing import PackedClassifier, compile_layers, one_kernel, pack
from lib.loaders import make_loader
from lib.losses import Objective, make_loss, prior_logits
from lib.metrics import check_metric
from lib.models import Classifier, build_model, reads_pairs
from lib.optim import make_optimizer
from lib.pretrained import check_layers, depth_of
from lib.runs.keys import Prepared, tokens_of
from lib.runs.store import EVALUATION_BATCH, model_folder, store
from lib.session.adapters import add_adapter, check_adapter
from lib.session.frozen import check_freeze, freeze_backbone, freeze_layers
from lib.session.student import make_student, student_depth
from lib.tokenization import Tokens
from lib.windows import window_of

COMPILE_FROM = 3000  # steps of a run on a GPU: fewer are done before compiling its layers pays


@dataclasses.dataclass
class Trainable:
    """What a run trains, and on what."""

    model: Classifier
    optimizer: torch.optim.Optimizer
    objective: Objective
    train: DataLoader
    dev: DataLoader
    test: DataLoader


def build(prepared: Prepared) -> Trainable:
    """The model with its new head, the optimizer, the objective, and the loaders.

    Raises InputError where settings do not go together.
    """
    config = prepared.config
    corpus = prepared.corpus
    objective = Objective(training_loss(prepared))
    tokens = tokens_of(config, corpus)
    model = new_classifier(prepared)
    if config.distil:
        objective, tokens = make_student(
            model,
            config=config,
            teacher_folder=model_folder(config.distil.teacher),
            loss=objective.loss,
            corpus=corpus,
            tokens=tokens,
            cache=store() / "teachers",
        )
    if config.adapter:
        add_adapter(model, config)
    if config.freeze == "backbone":
        model, tokens = freeze_backbone(
            model, tokens, config.backbone, precision=config.precision, cache=store() / "features"
        )
    elif config.freeze:
        freeze_layers(model, config.freeze)
    elif isinstance(model, PackedClassifier) and not config.weight_decay:
        model.compact(used_tokens(tokens))
    compile_where_it_pays(model, prepared)
    optimizer = make_optimizer(
        config.optimizer,
        model,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        layer_decay=config.layer_decay,
    )
    train = make_loader(
        tokens.train, batch_size=config.batch_size, batching=config.batching, seed=config.seed
    )
    dev = make_loader(tokens.dev, batch_size=EVALUATION_BATCH)
    test = make_loader(tokens.test, batch_size=EVALUATION_BATCH)
    return Trainable(model, optimizer, objective, train, dev, test)


def check_settings(prepared: Prepared) -> None:
    """Raises InputError where settings do not go together, as far as that is known before there is
    a model."""
    config = prepared.config
    corpus = prepared.corpus
    check_metric(config.select_by, corpus.task, corpus.num_labels)
    if config.adapter:
        check_adapter(config)
    if config.layers:
        check_layers(config.layers, config.backbone)
    if isinstance(config.freeze, int) and not config.distil:
        check_freeze(config.freeze, config.layers or depth_of(config.backbone))
    if config.health and corpus.task == "regression":
        raise InputError("health = True judges classifiers; the task is regression")


def training_loss(prepared: Prepared):
    config = prepared.config
    return make_loss(
        prepared.corpus.train.labels,
        prepared.corpus.num_labels,
        class_weight=config.class_weight,
        label_smoothing=config.label_smoothing,
        focal_gamma=config.focal_gamma,
    )


def new_classifier(prepared: Prepared) -> Classifier:
    """The backbone with a new head, as the configuration wants it, before it learns anything."""
    config = prepared.config
    corpus = prepared.corpus
    labels = corpus.train.labels
    model = build_model(
        config.backbone,
        head=config.head,
        num_labels=corpus.num_labels,
        label_names=corpus.label_names,
        dropout=config.dropout,
        layers=student_depth(config),
        seed=config.seed,
    )
    if config.batching.endswith("packed"):
        model = pack(model)
    if config.prior_bias:
        model.start_at(prior_logits(labels, corpus.num_labels))
    if corpus.task == "regression":
        model.unit = (float(labels.mean()), float(labels.std()))
    if config.gradient_checkpointing:
        checkpoint_layers(model)
    model.window = window_of(config.model_dump())
    if corpus.train.pairs is not None:
        reads_pairs(model, config.backbone)
    return model


def checkpoint_layers(model: Classifier) -> None:
    """Compute a backbone's layers anew in the backward pass, in the place of keeping all that they
    gave. Raises InputError where transformers cannot."""
    if not model.backbone.supports_gradient_checkpointing:
        raise InputError(
            f"gradient_checkpointing = True: transformers cannot do it for a "
            f"{model.backbone.config.model_type}; take accumulation for less memory"
        )
    model.backbone.activation_checkpointing_enable({"use_reentrant": False})


def used_tokens(tokens: Tokens) -> torch.Tensor:
    """The ids (some,), int64, of all tokens that occur in any split."""
    splits = (tokens.train, tokens.dev, tokens.test)
    return torch.cat([split.tensors[0].unique() for split in splits]).unique().long()


def compile_where_it_pays(model: nn.Module, prepared: Prepared) -> None:
    """Compile the backbone's layers for a long run on a GPU."""
    on_gpu = default_device().type == "cuda"
    long = len(prepared.settings_by_step) >= COMPILE_FROM
    if on_gpu and long and not prepared.config.distil:
        attention_in_one_kernel = one_kernel(model, prepared.config.precision)
        with suppress(InputError):  # of one layer that is computed several times
            compile_layers(model.backbone, attention=attention_in_one_kernel)
