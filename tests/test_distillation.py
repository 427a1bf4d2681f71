"""Teacher and student: what each loss is of equal models, which weights it moves, what is
refused, what is resumed."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from lib.backbones import fingerprint
from lib.errors import InputError
from lib.losses import plain_loss
from lib.models import build_model, load_model
from lib.runs import distillation
from lib.runs import pool as runs
from lib.runs.config import Distillation, RunConfig
from lib.runs.distillation import Distilling, even_map, hidden_distance, soft_classes, soft_lists
from lib.runs.pool import run, run_all, run_key
from lib.runs.store import ROOT, Run, corpus_of
from lib.runs.sweep import Sweep, sweep
from tests.conftest import learnable, save_tiny
from tests.test_cli import cli
from tests.test_multilabel import many  # noqa: F401

FIXED = {
    "max_length": 16,
    "batch_size": 8,
    "dev_rows": 12,
    "learning_rate": 1e-3,
    "precision": "fp32",
    "epochs": 2,
}
ALL = {"soft": 1.0, "hard": 1.0, "hidden": 1.0, "attentions": 1.0}
MAPS = {"hidden_map": [[0, 0], [1, 1], [2, 2]], "attention_map": [[0, 0], [1, 1]]}


@pytest.fixture
def base(tiny, folder):
    return RunConfig(dataset=str(folder), backbone=tiny["bert"], **FIXED)


@pytest.fixture
def teacher(base):
    return run(base)


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
    model.record_attention()
    other.record_attention()
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


def test_hidden_states_reach_the_last_layer_and_train_their_projection(tiny, tmp_path, folder):
    wide = save_tiny(tmp_path / "wide", hidden=48, layers=4)
    teacher, student = (
        build_model(wide, num_labels=2).eval(),
        build_model(tiny["bert"], num_labels=2),
    )
    student.projections = nn.ModuleList(nn.Linear(32, 48, bias=False) for _ in range(2))
    settings = Distillation(teacher="t", weights={"hidden": 1.0}, hidden_map=[[1, 2], [2, 4]])
    ids, mask, labels = batch(labels=2)
    Distilling(settings, teacher, plain_loss)(student, ids, mask, labels).backward()
    last = student.backbone.bert.encoder.layer[-1].output.dense.weight
    assert float(last.grad.norm()) > 0 and all(
        p.weight.grad.norm() > 0 for p in student.projections
    )
    assert all(p.grad is None for p in teacher.parameters() if p.grad is not None)
    states = student(ids, mask, inside=True)[1]
    assert (
        len(states) == 3 and torch.equal(states[0], student.backbone.bert.embeddings(ids)) is False
    )  # dropout
    student.eval()
    assert torch.allclose(
        student(ids, mask, inside=True)[1][0], student.backbone.bert.embeddings(ids)
    )
    unit = nn.functional.normalize(torch.randn(2, 3, 4), dim=-1)
    assert float(hidden_distance(unit, -unit, torch.ones(2, 3))) == pytest.approx(4)

    seen = {}
    real = distillation.prepare

    def watched(config, model, *rest):
        found = real(config, model, *rest)
        seen["model"] = model
        seen["before"] = [linear.weight.detach().clone() for linear in model.projections]
        seen["after"] = list(model.projections)
        return found

    big = run(RunConfig(dataset=str(folder), backbone=str(wide), **FIXED))
    distil = {"teacher": big.key, "weights": {"hard": 1, "hidden": 1}, "hidden_map": even_map(2, 4)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "prepare", watched)
        done = run(RunConfig(dataset=str(folder), backbone=tiny["bert"], distil=distil, **FIXED))
    assert all(
        not torch.equal(a, b.weight) for a, b in zip(seen["before"], seen["after"], strict=True)
    )
    assert not any(
        "projection" in name for name in load_model(done.folder / "model")[0].state_dict()
    )
    assert done.history["dev_hidden"].iloc[-1] < 1.9


def test_a_student_starts_with_the_layers_of_its_teacher(base, teacher):
    distil = {"teacher": teacher.key, "student_layers": [1], "weights": {"soft": 1.0}}
    own, other = (
        build_model(base.backbone, num_labels=2, layers=1),
        load_model(teacher.folder / "model")[0],
    )
    distillation.copy_layers(own, other, (1,))
    own, other = own.state_dict(), other.state_dict()
    for name, value in own.items():
        assert torch.equal(value, other[name.replace("layer.0.", "layer.1.")])
    both = build_model(base.backbone, num_labels=2)
    distillation.copy_layers(both, load_model(teacher.folder / "model")[0], (0, 1))
    ids, mask, _ = batch()
    assert torch.equal(both.eval()(ids, mask), load_model(teacher.folder / "model")[0](ids, mask))
    done = run(base.with_(distil=distil))
    assert done.config.distil.student_layers == (1,) and done.status["status"] == "finished"
    assert load_model(done.folder / "model")[0].backbone.config.num_hidden_layers == 1
    assert {"dev_soft"} <= set(done.history) and len(done.predict(["kana lona"])[0]) == 1


def test_a_distilled_run_is_kept_by_content_and_goes_on_where_it_stopped(
    base, teacher, tmp_path, capsys, monkeypatch
):
    distil = {"teacher": teacher.key[:16], "student_layers": [0], "weights": ALL}
    distil |= {"hidden_map": [[0, 0], [1, 2]], "attention_map": [[0, 1]]}
    config = base.with_(distil=distil, epochs=3)
    whole = run(config)
    assert {f"dev_{name}" for name in ALL} <= set(whole.history)
    capsys.readouterr()
    elsewhere = tmp_path / "elsewhere"
    (teacher.folder).rename(elsewhere)  # the teacher counts by its content
    again = run_all([config.with_(distil=distil | {"teacher": str(elsewhere)})])
    assert again[0].folder == whole.folder and "1 runs: 0 trained" in capsys.readouterr().out
    assert (
        run_all([config.with_(distil=distil | {"teacher": str(elsewhere / "model")})])[0].folder
        == whole.folder
    )
    near = config.with_(distil=distil | {"teacher": str(elsewhere)})
    drop = {"schedule": "multistep", "schedule_args": {"milestones": [2], "gamma": 0.1}}
    two = run_all(
        [near, near.with_(**drop), near.with_(**drop, epochs=2)]
    )  # one goes on from the other's checkpoint
    assert two[0].folder == whole.folder
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "other"))
    alone = run(near.with_(**drop))
    pd.testing.assert_frame_equal(
        alone.history.filter(regex="loss|dev_"),
        two[1].history.filter(regex="loss|dev_"),
        check_exact=True,
    )
    assert fingerprint(alone.folder / "model") == fingerprint(two[1].folder / "model")


def test_what_changes_the_key_of_a_distilled_run(base, teacher):
    corpus, distil = corpus_of(base), {"teacher": teacher.key}
    plain = run_key(base, corpus)
    keys = [
        run_key(base.with_(distil=distil | more), corpus)
        for more in (
            {},
            {"temperature": 4.0},
            {"weights": {"soft": 1.0}},
            {"student_layers": [0]},
            {"student_layers": [1]},
        )
    ]
    other = run(base.with_(seed=2))
    keys.append(run_key(base.with_(distil={"teacher": other.key}), corpus))
    assert len({plain, *keys}) == 7
    assert run_key(base.with_(distil=distil | {"temperature": 2.0}), corpus) == keys[0]
    assert (
        run_key(
            base.with_(distil=distil | {"weights": {"hard": 0.5, "soft": 0.5, "hidden": 0}}), corpus
        )
        == keys[0]
    )
    assert (
        json.loads((run(base.with_(distil=distil)).folder / "config.json").read_text())["distil"][
            "teacher"
        ]
        == teacher.key
    )


def test_another_architecture_learns_from_soft_labels(base, teacher, tiny):
    weights = {"soft": 1.0}
    student = base.with_(
        backbone=tiny["distilbert"],
        head="cls",
        distil={"teacher": teacher.key, "weights": weights},
        epochs=4,
    )
    done = run(student)
    assert done.history["dev_soft"].iloc[-1] < done.history["dev_soft"].iloc[0]
    with pytest.raises(
        InputError,
        match="distil.student_layers copies a teacher with a bert backbone and a native head",
    ):
        run(student.with_(distil={"teacher": teacher.key, "student_layers": [0]}))
    with pytest.raises(InputError, match="reads other tokens than the teacher"):
        run(
            base.with_(
                backbone=tiny["roberta"], distil={"teacher": teacher.key, "weights": ALL, **MAPS}
            )
        )


def test_several_labels_and_numbers(many, tiny, tmp_path):  # noqa: F811
    config = RunConfig(
        dataset=str(many), backbone=tiny["bert"], **FIXED | {"select_by": "micro_f1"}
    )
    distil = {"teacher": run(config).key, "student_layers": [0, 1]}
    done = run(config.with_(distil=distil, learning_rate=1e-9))
    assert done.history["dev_soft"].iloc[-1] == pytest.approx(0, abs=1e-5)
    texts, labels = learnable(60)
    numbers = [
        50 + 10 * (label == "yes") + len(text) / 10
        for text, label in zip(texts, labels, strict=True)
    ]
    file = tmp_path / "numbers.csv"
    pd.DataFrame({"text": texts, "label": numbers}).to_csv(file, index=False)
    config = RunConfig(
        dataset=str(file),
        backbone=tiny["bert"],
        reading={"task": "regression"},
        select_by="rmse",
        **FIXED,
    )
    first = run(config)
    soft = []
    for layers in ([0, 1], [1]):
        own = config.with_(
            distil={"teacher": first.key, "student_layers": layers}, learning_rate=1e-9, epochs=1
        )
        done = run(own)
        soft.append(done.history["dev_soft"].iloc[-1])
    assert soft[0] < 1e-10 < 1e-9 < soft[1]
    values = done.predict(texts[:3])[0]
    assert min(values) > 20 and max(values) < 100


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"weights": {"hidden": 1.0}},
            "distil.weights has hidden, but there is no distil.hidden_map: pairs of a student's and a teacher's hidden "
            "states, from 0; 0 is the embeddings, such as [[0, 0], [1, 2]]",
        ),
        (
            {"weights": {"attentions": 1.0}},
            "distil.weights has attentions, but there is no distil.attention_map: pairs of a student's and a teacher's "
            "layers, from 0, such as [[0, 1]]",
        ),
        (
            {"weights": {"hidden": 1.0}, "hidden_map": [[0, 0], [1, 3]]},
            "distil.hidden_map has [1, 3], but the teacher has hidden states 0 to 2; 0 is the embeddings",
        ),
        (
            {"weights": {"attentions": 1.0}, "attention_map": [[1, 0]]},
            "distil.attention_map has [1, 0], but the student has layers 0 to 0",
        ),
        (
            {"weights": {"attentions": 1.0}, "attention_map": [[0, 0]], "head_map": [[0, 4]]},
            "distil.head_map has [0, 4], but the teacher has attention heads 0 to 3",
        ),
        (
            {"student_layers": [2]},
            "distil.student_layers names layer 2; the teacher has layers 0 to 1",
        ),
    ],
)
def test_maps_that_do_not_fit_are_one_sentence(base, teacher, change, message):
    with pytest.raises(InputError) as error:
        run(base.with_(distil={"teacher": teacher.key, "student_layers": [0]} | change))
    assert str(error.value) == message


def test_other_numbers_of_heads_want_a_map(base, tmp_path, folder, tiny):
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    config = AutoConfig.from_pretrained(tiny["bert"])
    config.num_attention_heads = 2
    AutoModel.from_config(config).save_pretrained(tmp_path / "two")
    AutoTokenizer.from_pretrained(tiny["bert"]).save_pretrained(tmp_path / "two")
    big = run(base.with_(backbone=str(tmp_path / "two")))
    student = {"teacher": big.key, "weights": {"attentions": 1.0}, "attention_map": [[1, 1]]}
    with pytest.raises(InputError) as error:
        run(base.with_(distil=student))
    assert str(error.value) == (
        "The student has 4 attention heads and the teacher 2; give distil.head_map, pairs of a student's and a "
        "teacher's head such as [[0, 0], [1, 0], [2, 1], [3, 2]], or leave attentions out"
    )
    done = run(base.with_(distil=student | {"head_map": [[0, 0], [3, 1]]}))
    assert done.history["dev_attentions"].iloc[-1] > 0


@pytest.mark.parametrize(
    "values, message",
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
            "unknown parameter 'temprature'. Did you mean temperature?",
        ),
        ({"teacher": "t", "student_layers": []}, "student_layers = .*at least 1 item"),
        ({}, "teacher is missing"),
    ],
)
def test_wrong_settings_are_refused(base, values, message):
    with pytest.raises(InputError, match=message):
        base.with_(distil=values)


def test_a_teacher_that_does_not_fit_is_refused(base, teacher, tmp_path):
    with pytest.raises(InputError, match="nobody is the folder or key of no finished run"):
        run(base.with_(distil={"teacher": "nobody"}))
    with pytest.raises(
        InputError, match="layers = 1: distil.student_layers copies all of the student"
    ):
        run(base.with_(layers=1, distil={"teacher": teacher.key, "student_layers": [0]}))
    with pytest.raises(
        InputError, match="batching = 'packed': hidden states and attentions are compared in padded"
    ):
        run(base.with_(batching="packed", distil={"teacher": teacher.key, "weights": ALL, **MAPS}))
    with pytest.raises(InputError, match="freeze = 'backbone': a student's backbone learns, too"):
        run(base.with_(freeze="backbone", head="cls", distil={"teacher": teacher.key}))
    with pytest.raises(InputError, match="class_weight = 'balanced' weighs documents"):
        run(base.with_(class_weight="balanced", distil={"teacher": teacher.key}))
    other = run(
        RunConfig(
            train_rows=32, dev_rows=8, test_rows=8, backbone=base.backbone, max_length=16, epochs=1
        )
    )
    with pytest.raises(
        InputError,
        match="was trained for classification of World, Sports, Business, Sci/Tech; this run",
    ):
        run(base.with_(distil={"teacher": other.key}))


def test_the_documented_file_distils_from_the_command_line(
    tiny, folder, tmp_path, monkeypatch, capsys
):
    six = save_tiny(tmp_path / "six", layers=6)
    text = (ROOT / "notebooks" / "params" / "distillation" / "README.md").read_text()
    file = tmp_path / "student.yaml"
    file.write_text(re.search(r"```yaml\n(.*?)```", text, flags=re.S)[1])
    sizes = [
        "max_length=16",
        "dev_rows=12",
        "batch_size=16",
        f"backbone={six}",
        f"dataset={folder}",
        "text=text",
    ]
    (tmp_path / "teacher.yaml").write_text("epochs: 1\n")
    assert cli(monkeypatch, "train", tmp_path / "teacher.yaml", *sizes) == 0
    teacher = capsys.readouterr().out.splitlines()[-1]
    assert (
        cli(
            monkeypatch,
            "train",
            file,
            f"distil.teacher={teacher}",
            *sizes,
            "label=label",
            "epochs=1",
        )
        == 0
    )
    done = Run(Path(capsys.readouterr().out.splitlines()[-1]))
    assert done.config.distil.student_layers == (0, 2, 4) and set(done.history) >= {
        f"dev_{name}" for name in ALL
    }


def test_a_student_with_a_projection_goes_on_at_any_step(base, tiny, tmp_path, folder, monkeypatch):
    wide = save_tiny(tmp_path / "wide", hidden=48, layers=2)
    big = run(base.with_(backbone=str(wide)))
    distil = {
        "teacher": str(big.folder),
        "weights": {"soft": 1.0, "hidden": 1.0},
        "hidden_map": [[2, 2]],
    }
    config = base.with_(distil=distil, accumulation=2)
    whole = run(config)
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "again"))
    real, seen = Distilling.__call__, []

    def killed(self, *batch):
        seen.append(1)
        if len(seen) == 9:
            raise MemoryError
        return real(self, *batch)

    monkeypatch.setattr(Distilling, "__call__", killed)
    with pytest.raises(MemoryError):
        run(config, checkpoint_every="1 steps")
    seen.extend([1])
    again = run(config, checkpoint_every="1 steps")
    assert len(seen) > 10 and again.key == whole.key
    assert fingerprint(again.folder / "model") == fingerprint(whole.folder / "model")
    columns = "loss|dev_|step|norm"
    pd.testing.assert_frame_equal(
        again.history.filter(regex=columns), whole.history.filter(regex=columns), check_exact=True
    )


def test_students_are_swept_like_any_run(base, teacher):
    distil = {"teacher": teacher.key, "student_layers": [0]}
    shared = base.model_dump(exclude_defaults=True) | {"distil": distil, "epochs": 1}
    found = sweep(Sweep(name="students", base=shared, space={"learning_rate": [1e-3, 1e-4]}))
    assert len(found) == 2 and all(each.config.distil.teacher == teacher.key for each in found)
    assert str(found[0].config.distil) == f"soft + hard of {teacher.key[:16]}, layers 0"
    card = (found[0].folder / "model" / "README.md").read_text()
    assert "student_layers" in card and teacher.key not in card


def test_a_packed_student_learns_from_soft_labels(base, teacher):
    distil = {"teacher": teacher.key, "student_layers": [0, 1], "weights": {"soft": 1.0}}
    done = run(base.with_(batching="grouped_packed", distil=distil, learning_rate=1e-9, epochs=1))
    assert done.history["dev_soft"].iloc[-1] == pytest.approx(0, abs=1e-6)
