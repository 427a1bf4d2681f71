"""Teacher to student: what a model learns from a finished one, beside the labels or instead of
them."""

import dataclasses
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from lib import training
from lib.backbones import fingerprint, load_tokenizer, resolve_backbone
from lib.runs.config import Distillation, RunConfig
from lib.data import Corpus, Split
from lib.errors import InputError
from lib.loaders import make_loader
from lib.losses import Loss, Objective
from lib.models import Classifier, load_model
from lib.tokenization import Tokens, encode

TINY = 1e-8  # below which a probability's logarithm is not taken
BATCH = 128  # documents


def soft_classes(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """KL divergence of the student's classes from the teacher's, both logits (batch, num_labels)
    at a temperature, mean over documents; times its square, which keeps the gradient's size
    (Hinton et al. 2015)."""
    student, teacher = (logits.div(temperature).log_softmax(1) for logits in (student, teacher))
    return F.kl_div(student, teacher, reduction="batchmean", log_target=True) * temperature**2


def soft_lists(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """The same where a document has several labels: binary KL divergences, mean over documents
    and labels."""
    student, teacher = student / temperature, teacher / temperature
    chance = teacher.sigmoid()
    apart = chance * (F.logsigmoid(teacher) - F.logsigmoid(student))
    apart = apart + (1 - chance) * (F.logsigmoid(-teacher) - F.logsigmoid(-student))
    return apart.mean() * temperature**2


def by_document(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over real tokens of each document, and over documents, of values (batch, tokens)."""
    return ((values * mask).sum(1) / mask.sum(1)).mean()


def hidden_distance(student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Squared distance of each real token's vectors (batch, tokens, size), at length one (Sun et
    al. 2019): 0 to 4."""
    student, teacher = (F.normalize(states.float(), dim=-1) for states in (student, teacher))
    return by_document((student - teacher).square().sum(-1), mask)


def attention_kl(student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """KL divergence of what each real token attends to, weights (batch, heads, tokens, tokens),
    mean over heads."""
    student, teacher = student.float(), teacher.float()
    apart = teacher * (teacher.clamp_min(TINY).log() - student.clamp_min(TINY).log())
    return by_document((apart * mask[:, None, None]).sum(-1).mean(1), mask)


def attention_mse(student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of the attention weights between real tokens."""
    apart = (student.float() - teacher.float()).square() * mask[:, None, None]
    return by_document(apart.sum(-1).mean(1) / mask.sum(1, keepdim=True), mask)


ATTENTION_LOSSES = {"kl": attention_kl, "mse": attention_mse}


def even_map(student: int, teacher: int) -> list[list[int]]:
    """Pairs of hidden states, the embeddings (0) and every layer's of a student, spread evenly
    over the teacher's; the last one meets the last. Less one, those after the first are pairs of
    layers for attentions."""
    return [[i, round(i * teacher / student)] for i in range(student + 1)]


class Distilling(Objective):
    """The mean loss of a batch: a weighted sum of the terms named in `settings.weights`.

    `loss` is the one for labels, `teacher` in evaluation mode; `numbers` says that the task is
    regression, `several` that a document can have several labels.
    """

    def __init__(self, settings: Distillation, teacher: Classifier, loss: Loss, *, numbers=False, several=False):
        super().__init__(loss)
        self.settings, self.teacher, self.numbers, self.several = settings, teacher, numbers, several
        self.inside = {"hidden", "attentions"} & {*settings.weights}

    def __call__(self, model: nn.Module, ids, mask, labels, *extra) -> torch.Tensor:
        found = self.terms(model, ids, mask, labels, *extra)
        return sum(weight * found[name] for name, weight in self.settings.weights.items())

    def terms(self, model: nn.Module, ids, mask, labels, teacher_logits=None) -> dict[str, torch.Tensor]:
        """Each loss by its name, before its weight: means over the documents (batch,) of token
        ids and mask (batch, tokens), labels, and where soft labels count, the teacher's logits
        (batch, num_labels)."""
        told = model(ids, mask, inside=True) if self.inside else (model(ids, mask),)
        seen = None
        if self.inside:
            with torch.no_grad():
                seen = self.teacher.to(ids.device)(ids, mask, inside=True)
        mask = mask.to(ids.device)
        with torch.autocast(ids.device.type, enabled=False):  # distances in full precision
            makers: dict[str, Callable] = {
                "hard": lambda: self.loss(told[0].float(), labels),
                "soft": lambda: self.soft(told[0].float(), teacher_logits.float()),
                "hidden": lambda: self.hidden(getattr(model, "module", model).projections, told[1], seen[1], mask),
                "attentions": lambda: self.attentions(told[2], seen[2], mask),
            }
            return {name: makers[name]() for name in self.settings.weights}

    @torch.no_grad()
    def measure(self, model: nn.Module, dataset: TensorDataset, *, precision: str, device=None) -> dict[str, float]:
        """Each loss on a dataset, the model in evaluation mode: dev_soft, dev_hidden and so on."""
        device, sums = torch.device(device or training.default_device()), dict.fromkeys(self.settings.weights, 0.0)
        model.to(device).eval()
        for batch in make_loader(dataset, batch_size=BATCH):
            with training.autocast(precision, device):
                found = self.terms(model, *(tensor.to(device) for tensor in batch))
            for name, value in found.items():
                sums[name] += float(value) * len(batch[0])
        return {f"dev_{name}": value / len(dataset) for name, value in sums.items()}

    def soft(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        """The loss against the teacher's logits (batch, num_labels); of numbers (batch, 1), the
        loss against its."""
        if self.numbers:
            return self.loss(student, teacher[:, 0])
        return (soft_lists if self.several else soft_classes)(student, teacher, self.settings.temperature)

    def hidden(self, projections, student, teacher, mask) -> torch.Tensor:
        """The mean distance of the mapped hidden states, the student's first projected where
        widths differ."""
        found = []
        for i, (own, other) in enumerate(self.settings.hidden_map):
            states = student[own] if projections is None else projections[i](student[own].float())
            found.append(hidden_distance(states, teacher[other], mask))
        return torch.stack(found).mean()

    def attentions(self, student, teacher, mask) -> torch.Tensor:
        """The mean distance of the mapped layers' attentions, of the mapped heads."""
        distance, heads = ATTENTION_LOSSES[self.settings.attention_loss], self.settings.head_map
        found = []
        for own, other in self.settings.attention_map:
            one, two = student[own], teacher[other]
            if heads is not None:
                one, two = (weights[:, [pair[i] for pair in heads]] for i, weights in enumerate((one, two)))
            found.append(distance(one, two, mask))
        return torch.stack(found).mean()


def copy_layers(student: Classifier, teacher: Classifier, layers: tuple[int, ...]) -> None:
    """Give a student the teacher's weights, with the chosen layers (from 0) in their order.
    Raises InputError."""
    depth = teacher.backbone.config.num_hidden_layers
    if strange := [layer for layer in layers if not 0 <= layer < depth]:
        raise InputError(f"distil.student_layers names layer {strange[0]}; the teacher has layers 0 to {depth - 1}")
    stacks = [name for name, m in teacher.named_modules() if isinstance(m, nn.ModuleList) and len(m) == depth]
    places, state = {}, {}
    for new, old in enumerate(layers):
        places.setdefault(str(old), []).append(new)
    for name, tensor in teacher.state_dict().items():
        number, _, rest = name.removeprefix(f"{stacks[0]}.").partition(".") if stacks else ("", "", "")
        if stacks and name.startswith(f"{stacks[0]}."):
            state |= {f"{stacks[0]}.{new}.{rest}": tensor for new in places.get(number, ())}
        else:
            state[name] = tensor
    try:
        student.load_state_dict(state)
    except RuntimeError:
        raise InputError(
            f"distil.student_layers copies a teacher with a {teacher.backbone.config.model_type} backbone and "
            f"{'a native' if teacher.head is None else 'its own'} head; give the student the same backbone and head, "
            "or leave student_layers out"
        ) from None


def check_maps(settings: Distillation, student, teacher) -> None:
    """Raises InputError where a map does not fit the two configurations of transformers."""
    depths = student.num_hidden_layers, teacher.num_hidden_layers
    even = even_map(*depths)
    proposals = {"hidden": even, "attentions": [[a - 1, b - 1] for a, b in even[1:]]}
    about = {
        "hidden": ("hidden_map", "hidden states", [depth + 1 for depth in depths], "; 0 is the embeddings"),
        "attentions": ("attention_map", "layers", depths, ""),
    }
    if "attentions" in settings.weights:
        heads = student.num_attention_heads, teacher.num_attention_heads
        if heads[0] != heads[1] and settings.head_map is None:
            raise InputError(
                f"The student has {heads[0]} attention heads and the teacher {heads[1]}; give distil.head_map, pairs "
                f"of a student's and a teacher's head such as {even_map(*heads)[:-1]}, or leave attentions out"
            )
        about["head"] = ("head_map", "attention heads", heads, "")
    for name, (field, what, sizes, remark) in about.items():
        pairs = getattr(settings, field)
        if name in settings.weights and pairs is None:
            raise InputError(
                f"distil.weights has {name}, but there is no distil.{field}: pairs of a student's and a teacher's "
                f"{what}, from 0{remark}, such as {proposals[name]}"
            )
        for pair in pairs or ():
            for i, who in enumerate(("student", "teacher")):
                if not 0 <= pair[i] < sizes[i]:
                    have = f"{what} 0 to {sizes[i] - 1}{remark}"
                    raise InputError(f"distil.{field} has {[*pair]}, but the {who} has {have}")


def teacher_logits(teacher: Classifier, about: dict, folder: Path, split: Split, *, precision: str, cache: Path):
    """The teacher's logits (rows, num_labels) on the documents of a split, each read once, as
    its own run read them; kept in the folder `cache` by the content they depend on."""
    from safetensors.torch import load_file, save_file

    reading = {name: about[name] for name in ("max_length", "truncation")}
    ids, mask, _ = encode(split.documents, folder, **reading)
    precision = training.resolve_precision(precision, training.default_device())
    digest = hashlib.sha256(f"1 {fingerprint(folder)} {precision} {tuple(ids.shape)}".encode())
    for tensor in (ids, mask):
        digest.update(tensor.numpy().tobytes())
    path = cache / f"{digest.hexdigest()[:32]}.safetensors"
    if not path.exists():
        loader = make_loader(TensorDataset(ids, mask, torch.zeros(len(ids), dtype=torch.int32)), batch_size=BATCH)
        parts = [logits for logits, _ in training.logits_of(teacher, loader, precision=precision)]
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        save_file({"logits": torch.cat(parts)[training.in_order(loader)].contiguous()}, part)
        os.replace(part, path)
    return load_file(path)["logits"]


def depth_of(config: RunConfig) -> int | None:
    """How many of the backbone's layers a run's model has; None: all. Raises InputError."""
    if config.distil is None or config.distil.student_layers is None:
        return config.layers
    for name in ("layers", "prior_bias"):
        if value := getattr(config, name):
            raise InputError(
                f"{name} = {value!r}: distil.student_layers copies all of the student; leave one of them out"
            )
    return len(config.distil.student_layers)


def prepare(
    config: RunConfig, student: Classifier, folder: Path, loss: Loss, corpus: Corpus, tokens: Tokens, cache: Path
) -> tuple[Distilling, Tokens]:
    """Make a new model a student of the teacher in `folder`: its objective, and tokens whose train
    and dev have the teacher's logits as a further tensor, where soft labels count.

    The student gets the layers that it is to start with, and projections (from the run's seed)
    where hidden states are compared whose widths differ. `cache` is a folder. Raises InputError
    where the two do not fit.
    """
    settings = config.distil
    if config.freeze:
        raise InputError(
            f"freeze = {config.freeze!r}: a student's backbone learns, too; leave one of freeze and distil out"
        )
    if student.packed and {"hidden", "attentions"} & {*settings.weights}:
        raise InputError(
            f"batching = {config.batching!r}: hidden states and attentions are compared in padded batches; choose "
            "grouped or random"
        )
    teacher, about = load_model(folder)
    teacher.requires_grad_(False)
    if config.class_weight is not None:
        raise InputError(
            f"class_weight = {config.class_weight!r} weighs documents, and distillation counts them alike; leave it out"
        )
    if tuple(about["label_names"]) != tuple(corpus.label_names) or about.get("task", "classification") != corpus.task:
        raise InputError(
            f"The teacher {settings.teacher} was trained for {_told(about.get('task', 'classification'), about)}; "
            f"this run is for {_told(corpus.task, {'label_names': corpus.label_names})}"
        )
    own, other = student.backbone.config, teacher.backbone.config
    check_maps(settings, own, other)
    if settings.student_layers is not None:
        copy_layers(student, teacher, settings.student_layers)
        if student.unit is not None:  # it is in the weights of the teacher's output layer: take it out again
            (shift, scale), unit = student.unit, student.unit
            student.unit = (-shift / scale, 1 / scale)
            student.fold_unit()
            student.unit = unit
    objective = Distilling(settings, teacher, loss, numbers=corpus.task == "regression", several=corpus.multilabel)
    if objective.inside:
        tokenizers = [load_tokenizer(place).backend_tokenizer for place in (resolve_backbone(config.backbone), folder)]
        if tokenizers[0].to_str() != tokenizers[1].to_str():
            raise InputError(
                "Hidden states and attentions are compared token by token, but the student's backbone reads other "
                "tokens than the teacher; use soft and hard labels alone, or a backbone with the teacher's tokenizer"
            )
    if "hidden" in settings.weights and own.hidden_size != other.hidden_size:
        torch.manual_seed(config.seed)
        linear = [nn.Linear(own.hidden_size, other.hidden_size, bias=False) for _ in settings.hidden_map]
        student.projections = nn.ModuleList(linear)
    if "attentions" in settings.weights:
        student.record_attention()
        teacher.record_attention()
    if "soft" in settings.weights:
        parts = {}
        for name in ("train", "dev"):
            options = {"precision": config.precision, "cache": cache}
            logits = teacher_logits(teacher, about, folder, getattr(corpus, name), **options)
            parts[name] = TensorDataset(*getattr(tokens, name).tensors, logits)
        tokens = dataclasses.replace(tokens, **parts)
    return objective, tokens


def _told(task: str, about: dict) -> str:
    names = [*about["label_names"]]
    return f"{task} of {', '.join(names[:5])}" + (f" and {len(names) - 5} more" if len(names) > 5 else "")
