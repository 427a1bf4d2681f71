"""What a student minimises: what each loss is of equal models, which weights it moves, which maps
do not fit."""

import numpy as np
import pytest
import torch
from torch import nn

from lib.errors import InputError
from lib.losses import plain_loss
from lib.models import build_model
from lib.runs.config import Distillation, RunConfig
from lib.session.distillation import (
    Distilling,
    check_maps,
    even_map,
    hidden_distance,
    soft_classes,
    soft_lists,
)
from lib.session.student import add_projections, record_attention
from tests.conftest import save_tiny

ALL = {"soft": 1.0, "hard": 1.0, "hidden": 1.0, "attentions": 1.0}
MAPS = {"hidden_map": [[0, 0], [1, 1], [2, 2]], "attention_map": [[0, 0], [1, 1]]}


def batch(rows: int = 6, tokens: int = 9, labels: int = 3):
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(4, 40, (rows, tokens), generator=generator)
    mask = (torch.arange(tokens) < torch.tensor([[9], [4], [6], [3], [9], [7]])).long()
    return ids * mask, mask, torch.arange(rows) % labels


@torch.no_grad()
def values(objective, *arguments) -> dict[str, float]:
    return {name: float(value) for name, value in objective.terms(*arguments).items()}


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
@pytest.mark.parametrize("attention_loss", ["kl", "mse"])
@pytest.mark.parametrize("head", ["native", "mean"])
def test_an_equal_student_loses_nothing_and_padding_changes_nothing(
    tiny, kind, attention_loss, head
):
    options = {"head": head, "num_labels": 3}
    model, other = (build_model(tiny[kind], **options, seed=seed).eval() for seed in (1, 2))
    record_attention(model)
    record_attention(other)
    ids, mask, labels = batch()
    logits = model(ids, mask).detach()
    settings = Distillation(teacher="t", weights=ALL, attention_loss=attention_loss, **MAPS)
    for several in (False, True):
        objective = Distilling(settings, model, plain_loss, several=several)
        found = values(objective, model, ids, mask, labels, logits)
        for name in ("soft", "hidden", "attentions"):
            assert found[name] == pytest.approx(0, abs=1e-6)
        assert found["hard"] == pytest.approx(float(plain_loss(logits, labels)))
        with torch.no_grad():
            [weight.add_(0.1 * torch.randn_like(weight)) for weight in other.parameters()]
        found = values(objective, other, ids, mask, labels, logits)
        assert min(found.values()) > 1e-5
        wide = [nn.functional.pad(tensor, (0, 7)) for tensor in (ids, mask)]
        padded = values(objective, other, *wide, labels, logits)
        for name, value in found.items():
            assert padded[name] == pytest.approx(value, rel=1e-4)
        halves = [
            [tensor[at] for tensor in (ids, mask, labels, logits)]
            for at in (slice(0, 2), slice(2, 6))
        ]
        with torch.no_grad():
            whole = float(objective(other, ids, mask, labels, logits))
            together = sum(
                objective.weight(half[2]) * float(objective(other, *half)) for half in halves
            ) / len(ids)
        assert together == pytest.approx(whole, rel=1e-4)


@pytest.mark.parametrize("soft", [soft_classes, soft_lists])
def test_the_soft_gradient_keeps_its_size_at_any_temperature(soft):
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(64, 5, generator=generator) for _ in range(2))

    def norm(temperature, loss=soft):
        logits = student.clone().requires_grad_()
        loss(logits, teacher, temperature).backward()
        return float(logits.grad.norm())

    norms = np.array([norm(t) for t in range(1, 11)])
    assert norms.max() / norms.min() < 1.6
    assert norm(1) / (norm(10) / 100) > 50  # what it would be without the factor


def test_soft_labels_are_the_divergences_of_the_textbook():
    student, teacher = torch.tensor([[2.0, 0.0, -1.0]]), torch.tensor([[0.5, 1.0, 0.0]])
    one, two = (
        np.exp(x / 2) / np.exp(x / 2).sum() for x in (student.numpy()[0], teacher.numpy()[0])
    )
    assert float(soft_classes(student, teacher, 2.0)) == pytest.approx(
        4 * float((two * np.log(two / one)).sum()), rel=1e-5
    )
    one, two = (1 / (1 + np.exp(-x / 2)) for x in (student.numpy()[0], teacher.numpy()[0]))
    each = two * np.log(two / one) + (1 - two) * np.log((1 - two) / (1 - one))
    assert float(soft_lists(student, teacher, 2.0)) == pytest.approx(
        4 * float(each.mean()), rel=1e-5
    )


def test_hidden_states_reach_the_last_layer_and_train_their_projection(tiny, tmp_path):
    wide = save_tiny(tmp_path / "wide", hidden=48, layers=4)
    teacher = build_model(wide, num_labels=2).eval()
    student = build_model(tiny["bert"], num_labels=2)
    names = [name for name, _ in student.named_parameters()]
    add_projections(student, teacher, 2, seed=1)
    assert [name for name, _ in student.named_parameters()] == [
        *names,
        "projections.0.weight",
        "projections.1.weight",
    ]
    settings = Distillation(teacher="t", weights={"hidden": 1.0}, hidden_map=[[1, 2], [2, 4]])
    ids, mask, labels = batch(labels=2)
    Distilling(settings, teacher, plain_loss)(student, ids, mask, labels).backward()
    last = student.backbone.bert.encoder.layer[-1].output.dense.weight
    assert last.grad.norm() > 0
    assert all(linear.weight.grad.norm() > 0 for linear in student.projections)
    assert all(weight.grad is None for weight in teacher.parameters())


def test_hidden_distance_is_between_directions():
    unit = nn.functional.normalize(torch.randn(2, 3, 4), dim=-1)
    assert float(hidden_distance(unit, -unit, torch.ones(2, 3))) == pytest.approx(4)
    assert float(hidden_distance(unit, 3 * unit, torch.ones(2, 3))) == pytest.approx(0, abs=1e-6)


def test_mapped_heads_are_compared_with_each_other(tiny):
    model = build_model(tiny["bert"], num_labels=3, seed=1).eval()
    record_attention(model)
    ids, mask, labels = batch()
    losses = {}
    for name, heads in (("same", [[0, 0], [3, 3]]), ("crossed", [[0, 3], [3, 0]])):
        maps = {"attention_map": [[1, 1]], "head_map": heads}
        settings = Distillation(teacher="t", weights={"attentions": 1.0}, **maps)
        objective = Distilling(settings, model, plain_loss)
        losses[name] = values(objective, model, ids, mask, labels)["attentions"]
    assert losses["same"] == pytest.approx(0, abs=1e-7)
    assert losses["crossed"] > 1e-6


def test_even_maps_meet_at_both_ends():
    assert even_map(3, 6) == [[0, 0], [1, 2], [2, 4], [3, 6]]
    assert even_map(2, 2) == [[0, 0], [1, 1], [2, 2]]


@pytest.mark.parametrize(
    "settings, message",
    [
        (
            {"weights": {"hidden": 1.0}},
            "distil.weights has hidden, but there is no distil.hidden_map: pairs of a student's "
            "and a teacher's hidden states, from 0; 0 is the embeddings, such as [[0, 0], [1, 2]]",
        ),
        (
            {"weights": {"attentions": 1.0}},
            "distil.weights has attentions, but there is no distil.attention_map: pairs of a "
            "student's and a teacher's layers, from 0, such as [[0, 1]]",
        ),
        (
            {"weights": {"hidden": 1.0}, "hidden_map": [[0, 0], [1, 3]]},
            "distil.hidden_map has [1, 3], but the teacher has hidden states 0 to 2; 0 is the "
            "embeddings",
        ),
        (
            {"weights": {"attentions": 1.0}, "attention_map": [[1, 0]]},
            "distil.attention_map has [1, 0], but the student has layers 0 to 0",
        ),
        (
            {"weights": {"attentions": 1.0}, "attention_map": [[0, 0]], "head_map": [[0, 4]]},
            "distil.head_map has [0, 4], but the teacher has attention heads 0 to 3",
        ),
    ],
)
def test_maps_that_do_not_fit_are_one_sentence(tiny, settings, message):
    student, teacher = (
        build_model(tiny["bert"], num_labels=2, layers=layers).backbone.config for layers in (1, 2)
    )
    with pytest.raises(InputError) as error:
        check_maps(Distillation(teacher="t", **settings), student, teacher)
    assert str(error.value) == message


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"teacher": "t", "weights": {"soft": -1.0}}, "weights are positive numbers, at least one"),
        ({"teacher": "t", "weights": {}}, "weights are positive numbers, at least one"),
        (
            {"teacher": "t", "weights": {"sfot": 1.0}},
            "weights.sfot.*: input should be 'soft', 'hard', 'hidden'",
        ),
        ({"teacher": "t", "temperature": 0}, "temperature = 0: input should be greater than 0"),
        (
            {"teacher": "t", "temprature": 2},
            "nknown parameter 'temprature'. Did you mean temperature?",
        ),
        ({"teacher": "t", "student_layers": []}, "student_layers = .*at least 1 item"),
        ({}, "teacher is missing"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Distillation(**settings)
    with pytest.raises(InputError, match=message):
        RunConfig(distil=settings)
