"""Students: what they get of their teacher, what is refused, what is kept and resumed."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import torch

from lib import make_loader, run, run_all, write_results
from lib.backbones import fingerprint
from lib.data import load_corpus
from lib.errors import InputError
from lib.fast.packing import pack
from lib.losses import plain_loss
from lib.many.search import Sweep, sweep
from lib.models import build_model, load_model, save_model
from lib.runs.config import RunConfig
from lib.runs.keys import corpus_of, run_key
from lib.runs.paths import ROOT
from lib.runs.store import Run
from lib.session import student as students
from lib.session.distillation import Distilling, even_map
from lib.session.student import (
    check_task,
    copy_layers,
    forget_projections,
    make_student,
    student_depth,
)
from lib.tokenization import tokenize
from lib.training import fit
from tests.conftest import learnable, save_learnable, save_tiny
from tests.test_cli import cli
from tests.test_distillation import ALL, MAPS, batch
from tests.test_multilabel import many  # noqa: F401

FIXED = {
    "max_length": 16,
    "batch_size": 8,
    "dev_rows": 12,
    "learning_rate": 1e-3,
    "precision": "fp32",
    "epochs": 2,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return save_learnable(tmp_path_factory.mktemp("student") / "data")


@pytest.fixture(scope="module")
def corpus(data):
    return load_corpus(str(data), dev_rows=12)


@pytest.fixture(scope="module")
def base(tiny, data):
    return RunConfig(dataset=str(data), backbone=tiny["bert"], **FIXED)


@pytest.fixture
def teacher(base):
    """A finished run in this test's store."""
    return run(base)


@pytest.fixture(scope="module")
def untrained(tiny, tmp_path_factory):
    """The folder of a model with two layers."""
    return save_teacher(tmp_path_factory.mktemp("untrained") / "model", tiny["bert"])


def save_teacher(folder, backbone, labels=("no", "yes"), **options):
    model = build_model(backbone, num_labels=len(labels), label_names=labels, seed=5, **options)
    description = {"head": "native", "dropout": 0.1, "label_names": labels, "backbone": backbone}
    save_model(model, folder, **description, max_length=16, truncation="head")
    return folder


def student_of(folder, config, corpus, cache=None):
    """A new model made a student of the model in a folder, its objective and its tokens."""
    options = {"head": config.head, "num_labels": 2, "seed": config.seed}
    model = build_model(config.backbone, layers=student_depth(config), **options)
    if config.batching.endswith("packed"):
        model = pack(model)
    tokens = tokenize(corpus, config.backbone, max_length=16)
    given = {"config": config, "corpus": corpus, "tokens": tokens, "cache": cache}
    return model, *make_student(model, teacher_folder=folder, loss=plain_loss, **given)


def test_a_student_starts_with_the_layers_of_its_teacher(tiny, untrained):
    teacher, _ = load_model(untrained)
    for layers in ((1,), (0, 1), (1, 1)):
        student = build_model(tiny["bert"], num_labels=2, layers=len(layers))
        copy_layers(student, teacher, layers)
        state, teacher_state = student.state_dict(), teacher.state_dict()
        for name, weight in state.items():
            for new, old in enumerate(layers):
                name = name.replace(f"layer.{new}.", f"layer.old{old}.")
            assert torch.equal(weight, teacher_state[name.replace("layer.old", "layer.")])
    copy_layers(student, teacher, (0, 1))
    ids, mask, _ = batch()
    assert torch.equal(student.eval()(ids, mask), teacher(ids, mask))


def test_the_unit_of_a_copied_regression_is_beside_its_weights(tiny, tmp_path):
    model = build_model(tiny["bert"], num_labels=1).eval()
    model.unit = (200.0, 30.0)
    ids, mask, _ = batch()
    wanted = model(ids, mask).detach()
    description = {"head": "native", "dropout": 0.1, "label_names": ["x"], "backbone": tiny["bert"]}
    save_model(model, tmp_path / "m", **description, max_length=16, task="regression")
    student = build_model(tiny["bert"], num_labels=1).eval()
    student.unit = (100.0, 10.0)  # of the student's own corpus
    copy_layers(student, load_model(tmp_path / "m")[0], (0, 1))
    students.take_out_unit(student)
    assert student.unit == (100.0, 10.0)
    assert torch.allclose(student(ids, mask), wanted, rtol=1e-5)


def test_a_projection_learns_and_is_not_kept(base, corpus, tmp_path):
    wide = save_tiny(tmp_path / "wide", hidden=48, layers=4)
    folder = save_teacher(tmp_path / "teacher", str(wide))
    settings = {"weights": {"hard": 1, "hidden": 1}, "hidden_map": even_map(2, 4)}
    config = base.with_(distil={"teacher": str(folder)} | settings)
    model, objective, tokens = student_of(folder, config, corpus)
    before = [linear.weight.detach().clone() for linear in model.projections]
    torch.manual_seed(config.seed)
    drawn = [torch.nn.Linear(32, 48, bias=False).weight for _ in range(3)]
    assert all(torch.equal(a, b) for a, b in zip(before, drawn, strict=True))
    train = make_loader(tokens.train, batch_size=8, seed=1)
    options = {"epochs": 2, "learning_rate": 1e-3, "precision": "fp32"}
    first = objective.measure(model, tokens.dev, precision="fp32")
    fit(model, train, make_loader(tokens.dev), objective=objective, **options)
    assert (
        objective.measure(model, tokens.dev, precision="fp32")["dev_hidden"] < first["dev_hidden"]
    )
    assert all(not torch.equal(a, b.weight) for a, b in zip(before, model.projections, strict=True))
    forget_projections(model)
    forget_projections(model)  # nothing to remove is no error
    assert [*model.state_dict()] == [*build_model(base.backbone, num_labels=2).state_dict()]


def test_a_teachers_logits_are_computed_once(base, corpus, untrained, tmp_path, monkeypatch):
    config = base.with_(distil={"teacher": str(untrained)})
    cache = tmp_path / "cache"
    _, _, tokens = student_of(untrained, config, corpus, cache)
    teacher, _ = load_model(untrained)
    for dataset in (tokens.train, tokens.dev):
        ids, mask, _, logits = dataset.tensors
        with torch.inference_mode():
            assert torch.allclose(teacher(ids, mask), logits, atol=1e-5)
    assert len(tokens.test.tensors) == 3
    assert len(list(cache.iterdir())) == 2
    monkeypatch.setattr(students, "_logits", lambda *_: pytest.fail("computed again"))
    again = student_of(untrained, config, corpus, cache)[2]
    assert torch.equal(again.train.tensors[3], tokens.train.tensors[3])


def test_a_distilled_run_is_kept_by_content_and_goes_on_where_it_stopped(
    base, teacher, tmp_path, capsys, monkeypatch
):
    distil = {"teacher": teacher.key[:16], "student_layers": [0], "weights": ALL}
    distil |= {"hidden_map": [[0, 0], [1, 2]], "attention_map": [[0, 1]]}
    config = base.with_(distil=distil, epochs=3)
    whole = run(config)
    assert {f"dev_{name}" for name in ALL} <= set(whole.history)
    model, _ = load_model(whole.folder / "model")
    assert model.backbone.config.num_hidden_layers == 1
    assert len(whole.predict(["kana lona"])[0]) == 1
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


def test_another_architecture_learns_from_soft_labels(base, corpus, untrained, tiny):
    settings = {"teacher": str(untrained), "weights": {"soft": 1.0}}
    config = base.with_(backbone=tiny["distilbert"], head="cls", distil=settings)
    model, objective, tokens = student_of(untrained, config, corpus)
    first = objective.measure(model, tokens.dev, precision="fp32")["dev_soft"]
    train = make_loader(tokens.train, batch_size=8, seed=1)
    options = {"epochs": 4, "learning_rate": 1e-3, "precision": "fp32"}
    fit(model, train, make_loader(tokens.dev), objective=objective, **options)
    assert objective.measure(model, tokens.dev, precision="fp32")["dev_soft"] < first
    with pytest.raises(
        InputError,
        match="distil.student_layers copies a teacher with a bert backbone and a native head",
    ):
        student_of(untrained, config.with_(distil=settings | {"student_layers": [0]}), corpus)


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


def test_other_numbers_of_heads_want_a_map(base, corpus, tmp_path, tiny):
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    config = AutoConfig.from_pretrained(tiny["bert"])
    config.num_attention_heads = 2
    AutoModel.from_config(config).save_pretrained(tmp_path / "two")
    AutoTokenizer.from_pretrained(tiny["bert"]).save_pretrained(tmp_path / "two")
    folder = save_teacher(tmp_path / "teacher", str(tmp_path / "two"))
    settings = {"teacher": "t", "weights": {"attentions": 1.0}, "attention_map": [[1, 1]]}
    with pytest.raises(InputError) as error:
        student_of(folder, base.with_(distil=settings), corpus)
    assert str(error.value) == (
        "The student has 4 attention heads and the teacher 2; give distil.head_map, pairs of a "
        "student's and a teacher's head such as [[0, 0], [1, 0], [2, 1], [3, 2]], or leave "
        "attentions out"
    )
    settings["head_map"] = [[0, 0], [3, 1]]
    model, objective, tokens = student_of(folder, base.with_(distil=settings), corpus)
    assert objective.measure(model, tokens.dev, precision="fp32")["dev_attentions"] > 0


ATTENTIONS = {"weights": {"attentions": 1.0}, "attention_map": [[0, 0]]}


@pytest.mark.parametrize(
    "change, distil, message",
    [
        ({"layers": 1}, {"student_layers": [0]}, "layers = 1: distil.student_layers copies all of"),
        (
            {"prior_bias": True, "head": "cls"},
            {"student_layers": [0]},
            "prior_bias = True: distil.student_layers copies all of the student",
        ),
        (
            {"batching": "packed"},
            {"weights": ALL, **MAPS},
            "batching = 'packed': hidden states and attentions are compared in padded",
        ),
        (
            {"freeze": "backbone", "head": "cls"},
            {},
            "freeze = 'backbone': a student's backbone learns, too",
        ),
        ({"class_weight": "balanced"}, {}, "class_weight = 'balanced' weighs documents"),
        (
            {},
            {"student_layers": [2]},
            "^distil.student_layers names layer 2; the teacher has layers 0 to 1$",
        ),
        ({}, {"weights": {"hidden": 1.0}}, "there is no distil.hidden_map"),
        ({"kind": "roberta"}, ATTENTIONS, "reads other tokens than the teacher; use soft and hard"),
    ],
)
def test_a_setting_that_does_not_go_with_it_is_refused(
    base, corpus, untrained, tiny, change, distil, message
):
    if kind := change.get("kind"):
        change = {"backbone": tiny[kind]}
    config = base.with_(**change, distil={"teacher": str(untrained)} | distil)
    with pytest.raises(InputError, match=message):
        student_of(untrained, config, corpus)


def test_a_teacher_of_another_task_is_refused(base, corpus):
    with pytest.raises(InputError, match="nobody is the folder or key of no finished run"):
        run(base.with_(distil={"teacher": "nobody"}))
    check_task("t", {"label_names": ["no", "yes"]}, corpus)
    with pytest.raises(InputError) as error:
        check_task("t", {"label_names": ["a", "b", "c", "d", "e", "f", "g"]}, corpus)
    assert str(error.value) == (
        "The teacher t was trained for classification of a, b, c, d, e and 2 more; this run is for "
        "classification of no, yes"
    )
    with pytest.raises(InputError, match="t was trained for multilabel of no, yes; this run is"):
        check_task("t", {"task": "multilabel", "label_names": ["no", "yes"]}, corpus)


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
    first, second = sweep(
        Sweep(name="students", base=shared, space={"learning_rate": [1e-3, 1e-4]})
    )
    assert first.config.distil.teacher == second.config.distil.teacher == teacher.key
    assert str(first.config.distil) == f"soft + hard of {teacher.key[:16]}, layers 0"
    write_results(first)
    card = (first.folder / "model" / "README.md").read_text()
    assert "student_layers" in card
    assert teacher.key not in card


def test_a_packed_student_learns_from_soft_labels(base, teacher):
    distil = {"teacher": teacher.key, "student_layers": [0, 1], "weights": {"soft": 1.0}}
    done = run(base.with_(batching="grouped_packed", distil=distil, learning_rate=1e-9, epochs=1))
    assert done.history["dev_soft"].iloc[-1] == pytest.approx(0, abs=1e-6)
