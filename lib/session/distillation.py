"""What a student minimises: how far it is from the labels and from its teacher, layer by layer."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from lib import devices
from lib.errors import InputError
from lib.loaders import make_loader
from lib.losses import Loss, Objective
from lib.models import Classifier
from lib.runs.config import Distillation

TINY = 1e-8  # below which a probability's logarithm is not taken
BATCH = 128  # documents


def soft_classes(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """KL divergence of the student's classes from the teacher's, both logits (batch, num_labels)
    at a temperature, mean over documents; times its square, which keeps the gradient's size
    (Hinton et al. 2015)."""
    student = student.div(temperature).log_softmax(1)
    teacher = teacher.div(temperature).log_softmax(1)
    return F.kl_div(student, teacher, reduction="batchmean", log_target=True) * temperature**2


def soft_lists(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """The same where a document has several labels: binary KL divergences, mean over documents
    and labels."""
    student = student / temperature
    teacher = teacher / temperature
    probability = teacher.sigmoid()
    divergence = probability * (F.logsigmoid(teacher) - F.logsigmoid(student))
    divergence = divergence + (1 - probability) * (F.logsigmoid(-teacher) - F.logsigmoid(-student))
    return divergence.mean() * temperature**2


def document_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over real tokens of each document, and over documents, of values (batch, tokens)."""
    return ((values * mask).sum(1) / mask.sum(1)).mean()


def hidden_distance(
    student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Squared distance of each real token's vectors (batch, tokens, size), at length one (Sun et
    al. 2019): 0 to 4."""
    student = F.normalize(student.float(), dim=-1)
    teacher = F.normalize(teacher.float(), dim=-1)
    return document_mean((student - teacher).square().sum(-1), mask)


def attention_kl(student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """KL divergence of what each real token attends to, weights (batch, heads, tokens, tokens),
    mean over heads."""
    student = student.float()
    teacher = teacher.float()
    divergence = teacher * (teacher.clamp_min(TINY).log() - student.clamp_min(TINY).log())
    return document_mean((divergence * mask[:, None, None]).sum(-1).mean(1), mask)


def attention_mse(student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of the attention weights between real tokens."""
    squares = (student.float() - teacher.float()).square() * mask[:, None, None]
    return document_mean(squares.sum(-1).mean(1) / mask.sum(1, keepdim=True), mask)


ATTENTION_LOSSES = {"kl": attention_kl, "mse": attention_mse}
MAPS = {  # by the loss: the field of its map, and what the numbers in it count
    "hidden": ("hidden_map", "hidden states"),
    "attentions": ("attention_map", "layers"),
}


def even_map(student: int, teacher: int) -> list[list[int]]:
    """Pairs of hidden states, the embeddings (0) and every layer's of a student, spread evenly
    over the teacher's; the last one meets the last. Less one, those after the first are pairs of
    layers for attentions."""
    return [[i, round(i * teacher / student)] for i in range(student + 1)]


def check_maps(settings: Distillation, student, teacher) -> None:
    """Raises InputError where a map does not fit the two configurations of transformers."""
    depths = (student.num_hidden_layers, teacher.num_hidden_layers)
    states = even_map(*depths)
    layers = [[pair[0] - 1, pair[1] - 1] for pair in states[1:]]
    check_map(settings, "hidden", states, [depth + 1 for depth in depths], "; 0 is the embeddings")
    check_map(settings, "attentions", layers, depths)
    if "attentions" in settings.weights:
        heads = (student.num_attention_heads, teacher.num_attention_heads)
        if settings.head_map is not None:
            check_pairs("head_map", settings.head_map, "attention heads", heads)
        elif heads[0] != heads[1]:
            raise InputError(
                f"The student has {heads[0]} attention heads and the teacher {heads[1]}; give "
                "distil.head_map, pairs of a student's and a teacher's head such as "
                f"{even_map(*heads)[:-1]}, or leave attentions out"
            )


def check_map(settings: Distillation, loss: str, proposal: list, sizes, remark: str = "") -> None:
    """Raises InputError where the map of a loss is missing, or does not fit the `sizes` (student,
    teacher)."""
    field, counted = MAPS[loss]
    pairs = getattr(settings, field)
    if pairs is not None:
        check_pairs(field, pairs, counted, sizes, remark)
    elif loss in settings.weights:
        raise InputError(
            f"distil.weights has {loss}, but there is no distil.{field}: pairs of a student's and "
            f"a teacher's {counted}, from 0{remark}, such as {proposal}"
        )


def check_pairs(field: str, pairs, counted: str, sizes, remark: str = "") -> None:
    """Raises InputError for the first pair (student, teacher) with a number that is none of 0 to
    its size."""
    for pair in pairs:
        for number, size, model in zip(pair, sizes, ("student", "teacher"), strict=True):
            if not 0 <= number < size:
                raise InputError(
                    f"distil.{field} has {[*pair]}, but the {model} has {counted} 0 to "
                    f"{size - 1}{remark}"
                )


def compares_states(settings: Distillation) -> bool:
    """Whether hidden states or attentions are compared, token by token."""
    return "hidden" in settings.weights or "attentions" in settings.weights


def projections_of(student: nn.Module) -> nn.ModuleList | None:
    """What takes a student's hidden states to its teacher's width, where the two differ."""
    return getattr(getattr(student, "module", student), "projections", None)


class Distilling(Objective):
    """The mean loss of a batch: a weighted sum of the terms named in `settings.weights`.

    `loss` is the one for labels, `teacher` in evaluation mode; `numbers` says that the task is
    regression, `several` that a document can have several labels.
    """

    def __init__(
        self,
        settings: Distillation,
        teacher: Classifier,
        loss: Loss,
        *,
        numbers: bool = False,
        several: bool = False,
    ):
        super().__init__(loss)
        self.settings = settings
        self.teacher = teacher
        self.numbers = numbers
        self.several = several

    def __call__(self, model: nn.Module, ids, mask, labels, *extra) -> torch.Tensor:
        terms = self.terms(model, ids, mask, labels, *extra)
        return sum(weight * terms[name] for name, weight in self.settings.weights.items())

    def terms(
        self, model: nn.Module, ids, mask, labels, teacher_logits=None
    ) -> dict[str, torch.Tensor]:
        """Each loss by its name, before its weight: means over the documents (batch,) of token
        ids and mask (batch, tokens), labels, and where soft labels count, the teacher's logits
        (batch, num_labels)."""
        if compares_states(self.settings):
            logits, hidden, attentions = model(ids, mask, with_states=True)
            with torch.no_grad():
                teacher = self.teacher.to(ids.device)
                _, teacher_hidden, teacher_attentions = teacher(ids, mask, with_states=True)
        else:
            logits = model(ids, mask)
        mask = mask.to(ids.device)
        terms = {}
        with torch.autocast(ids.device.type, enabled=False):  # distances in full precision
            for name in self.settings.weights:
                if name == "hard":
                    terms[name] = self.loss(logits.float(), labels)
                elif name == "soft":
                    terms[name] = self.soft(logits.float(), teacher_logits.float())
                elif name == "hidden":
                    terms[name] = self.hidden(projections_of(model), hidden, teacher_hidden, mask)
                else:
                    terms[name] = self.attentions(attentions, teacher_attentions, mask)
        return terms

    @torch.no_grad()
    def measure(
        self, model: nn.Module, dataset: TensorDataset, *, precision: str
    ) -> dict[str, float]:
        """Each loss on a dataset, the model in evaluation mode: dev_soft, dev_hidden and so on."""
        device = devices.default_device()
        model.to(device).eval()
        sums = dict.fromkeys(self.settings.weights, 0.0)
        for batch in make_loader(dataset, batch_size=BATCH):
            with devices.autocast(precision, device):
                terms = self.terms(model, *(tensor.to(device) for tensor in batch))
            for name, value in terms.items():
                sums[name] += float(value) * len(batch[0])
        return {f"dev_{name}": value / len(dataset) for name, value in sums.items()}

    def soft(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        """The loss against the teacher's logits (batch, num_labels); of numbers (batch, 1), the
        loss against its."""
        if self.numbers:
            return self.loss(student, teacher[:, 0])
        soft_loss = soft_lists if self.several else soft_classes
        return soft_loss(student, teacher, self.settings.temperature)

    def hidden(self, projections, student, teacher, mask) -> torch.Tensor:
        """The mean distance of the mapped hidden states, the student's first projected where
        widths differ."""
        distances = []
        for i, (student_state, teacher_state) in enumerate(self.settings.hidden_map):
            states = student[student_state]
            if projections is not None:
                states = projections[i](states.float())
            distances.append(hidden_distance(states, teacher[teacher_state], mask))
        return torch.stack(distances).mean()

    def attentions(self, student, teacher, mask) -> torch.Tensor:
        """The mean distance of the mapped layers' attentions, of the mapped heads."""
        distance = ATTENTION_LOSSES[self.settings.attention_loss]
        distances = []
        for student_layer, teacher_layer in self.settings.attention_map:
            student_weights = student[student_layer]
            teacher_weights = teacher[teacher_layer]
            if self.settings.head_map is not None:
                student_weights = student_weights[:, [pair[0] for pair in self.settings.head_map]]
                teacher_weights = teacher_weights[:, [pair[1] for pair in self.settings.head_map]]
            distances.append(distance(student_weights, teacher_weights, mask))
        return torch.stack(distances).mean()
