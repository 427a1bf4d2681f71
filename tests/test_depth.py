"""What differs by layer: learning rates, frozen layers, and layers that are computed twice."""

import pytest
import torch
from torch.nn import functional as F
from transformers import PerceiverModel

from lib.attention import parts_from_below
from lib.errors import InputError
from lib.fast.packing import pack
from lib.many.pool import run
from lib.many.single import prepare
from lib.models import build_model, load_model
from lib.optim import OPTIMIZERS, make_optimizer, plan_steps, set_step
from lib.session.building import checkpoint_layers
from lib.session.frozen import freeze_layers
from tests.architectures import small_config
from tests.conftest import digests, save_learnable, save_tiny, tiny_run
from tests.test_models import batch
from tests.test_resume import killed_at


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return save_learnable(tmp_path_factory.mktemp("depth") / "data")


@pytest.fixture(scope="module")
def xlm(tmp_path_factory):
    """A backbone whose native head stands before its embeddings."""
    return str(save_tiny(tmp_path_factory.mktemp("depth") / "xlm-roberta", "xlm-roberta"))


def shares(model, optimizer) -> dict[str, float]:
    """The learning rate of each parameter by its name."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {names[p]: group["lr"] for group in optimizer.param_groups for p in group["params"]}


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "xlm-roberta"])
@pytest.mark.parametrize("head", ["native", "cls"])
def test_rates_fall_layer_by_layer(tiny, xlm, kind, head):
    model = build_model({**tiny, "xlm-roberta": xlm}[kind], head=head, num_labels=2)
    optimizer = make_optimizer("adamw", model, learning_rate=0.1, layer_decay=0.5)
    rates = shares(model, optimizer)
    assert rates.keys() == dict(model.named_parameters()).keys()
    for name, rate in rates.items():
        wanted = 0.1
        wanted *= 0.5 if "layer.0." in name else 1.0
        wanted *= 0.25 if "embeddings" in name else 1.0
        assert rate == pytest.approx(wanted), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_step_of_a_schedule_moves_every_group(tiny, optimizer):
    model = build_model(tiny["bert"], num_labels=2)
    stepper = make_optimizer(optimizer, model, learning_rate=0.1, layer_decay=0.5)
    options = {"learning_rate": 0.1, "steps_per_epoch": 4, "epochs": 1}
    for settings in plan_steps("linear", optimizer, warmup_ratio=0.5, **options):
        set_step(stepper, settings)
        for group, share in zip(stepper.param_groups, (1, 0.5, 0.25), strict=True):
            assert group["lr"] == pytest.approx(settings["lr"] * share)
            assert group.get("betas") == settings.get("betas", group.get("betas"))
    model(*batch([4, 3])).sum().backward()
    stepper.step()


def test_one_step_of_plain_descent_is_the_gradient_times_its_rate(tiny):
    model = build_model(tiny["bert"], num_labels=2).double()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = make_optimizer("sgd", model, learning_rate=0.1, layer_decay=0.5)
    set_step(optimizer, {"lr": 0.02})
    F.cross_entropy(model(*batch([4, 3])), torch.tensor([0, 1])).backward()
    optimizer.step()
    for name, p in model.named_parameters():
        rate = 0.02 * (0.25 if "embeddings" in name else 0.5 if "layer.0." in name else 1)
        assert torch.allclose(before[name] - p, rate * p.grad, rtol=1e-6), name


def test_killed_with_rates_by_layer_it_ends_with_the_same_bytes(tiny, data, monkeypatch, tmp_path):
    settings = {"layer_decay": 0.6, "schedule": "one_cycle", "batching": "grouped_packed"}
    config = tiny_run(tiny, data, epochs=2, **settings)
    whole = run(config, tracker="none")
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "again"))
    killed_at(monkeypatch, config, 7, checkpoint_every="1 step")
    assert digests(run(config, tracker="none")) == digests(whole)


@pytest.mark.parametrize("batching", ["grouped", "grouped_packed"])
def test_frozen_layers_stay_and_the_others_learn(tiny, data, batching):
    config = tiny_run(tiny, data, epochs=1, head="mean", freeze=1, batching=batching)
    trained = load_model(run(config, tracker="none").folder / "model")[0]
    fresh = build_model(tiny["bert"], head="mean", num_labels=2, seed=1)
    fresh_weights = fresh.state_dict()
    for name, weight in trained.state_dict().items():
        stays = "embeddings" in name or "layer.0." in name
        assert torch.equal(weight, fresh_weights[name]) == stays, name
    assert [len(part) for part in parts_from_below(fresh.backbone)] == [5, 16, 16]


def test_a_head_that_stands_before_the_embeddings_is_not_frozen(xlm):
    model = build_model(xlm, num_labels=2)
    assert next(model.named_parameters())[0] == "backbone.classifier.dense.weight"
    freeze_layers(model, 1)
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert frozen and all("embeddings" in name or "layer.0." in name for name in frozen)


def test_what_cannot_be_frozen(tiny, data, tmp_path):
    config = tiny_run(tiny, data)
    with pytest.raises(InputError, match="freeze is 3; the backbone has 2 layers: take fewer"):
        run(config.with_(freeze=3))
    for value in (0, -1, True, "all", 2.5):
        with pytest.raises(InputError, match="^freeze = .*: it is 'backbone', or a number of lay"):
            config.with_(freeze=value)
    assert config.with_(freeze="1").freeze == 1
    albert = save_tiny(tmp_path / "albert", "albert")
    for change in ({"layer_decay": 0.9}, {"freeze": 1}):
        with pytest.raises(InputError, match="is a albert, whose 2 layers cannot be told apart"):
            run(config.with_(backbone=str(albert), **change))
    bart = save_tiny(tmp_path / "bart", "bart")
    for change in ({"layer_decay": 0.9}, {"freeze": 1}, {"adapter": "lora"}):
        with pytest.raises(InputError, match="is a bart, whose encoder and decoder both have"):
            run(config.with_(backbone=str(bart), **change))
    perceiver = PerceiverModel(small_config("perceiver"))  # with no number of layers
    with pytest.raises(InputError, match="is a perceiver, whose layers cannot be told apart"):
        parts_from_below(perceiver)


@pytest.mark.parametrize("packed", [False, True])
def test_layers_computed_twice_give_the_same_gradients(tiny, packed):
    """With dropout; each layer but a packed one of first tokens is computed once more."""
    gradients, calls = [], []
    for checkpointed in (False, True):
        model = build_model(tiny["bert"], head="mean", num_labels=2, seed=1)
        model = (pack(model) if packed else model).train()
        if checkpointed:
            checkpoint_layers(model)
        count = []
        for layer in model.backbone.encoder.layer:
            layer.intermediate.register_forward_hook(lambda *_, count=count: count.append(1))
        torch.manual_seed(3)
        F.cross_entropy(model(*batch([4, 9, 2])), torch.tensor([0, 1, 1])).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
        calls.append(len(count))
    assert calls == [2, 4]
    for name, gradient in gradients[0].items():
        assert torch.equal(gradient, gradients[1][name]), name


def test_a_run_with_layers_computed_twice_is_the_run_without(tiny, data):
    config = tiny_run(tiny, data, epochs=1)
    twice = config.with_(gradient_checkpointing=True)
    assert prepare(config).key != prepare(twice).key
    one, other = (run(each, tracker="none") for each in (config, twice))
    assert one.predictions.equals(other.predictions)


def test_defaults_leave_keys_alone(tiny, data):
    config = tiny_run(tiny, data)
    same = config.with_(layer_decay=1.0, gradient_checkpointing=False, freeze=None)
    assert prepare(config).key == prepare(same).key
    others = ({"layer_decay": 0.9}, {"freeze": 1}, {"freeze": 2})
    assert len({prepare(config.with_(**change)).key for change in others}) == 3
