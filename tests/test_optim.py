"""Schedules as whole sequences, and the clipping of gradients."""

import math

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from lib import optim
from lib.errors import InputError


def rates(schedule, steps_per_epoch=4, epochs=5, optimizer="sgd", **arguments):
    steps = {"steps_per_epoch": steps_per_epoch, "epochs": epochs}
    return [
        step["lr"]
        for step in optim.plan_steps(schedule, optimizer, learning_rate=0.1, **steps, **arguments)
    ]


def test_epoch_schedules():
    assert rates("constant") == [0.1] * 20
    assert rates("exponential", gamma=0.5) == pytest.approx(
        [0.1 * 0.5**e for e in range(5) for _ in range(4)]
    )
    wanted = [0.1] * 8 + [0.02] * 8 + [0.004] * 4
    assert rates("multistep", milestones=[2, 4], gamma=0.2) == pytest.approx(wanted)


def test_step_schedules():
    linear = [0.1 * min(t / 5, (20 - t) / 15) for t in range(20)]
    assert rates("linear", warmup_ratio=0.25) == pytest.approx(linear)
    cosine = [
        0.1 * (t / 5 if t < 5 else 0.5 * (1 + math.cos(math.pi * (t - 5) / 15))) for t in range(20)
    ]
    assert rates("cosine", warmup_ratio=0.25) == pytest.approx(cosine)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_one_cycle_is_torchs(optimizer):
    live = optim.OPTIMIZERS[optimizer]([nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = lr_scheduler.OneCycleLR(
        live, 0.1, total_steps=20, pct_start=0.3, cycle_momentum=optimizer == "adam"
    )
    steps = optim.plan_steps(
        "one_cycle", optimizer, learning_rate=0.1, steps_per_epoch=4, epochs=5, pct_start=0.3
    )
    for planned in steps:
        assert planned["lr"] == live.param_groups[0]["lr"]
        assert planned.get("betas") == live.param_groups[0].get("betas")
        live.step()
        if planned is not steps[-1]:
            scheduler.step()
    assert max(step["lr"] for step in steps) == pytest.approx(0.1)


def test_wrong_names_and_arguments():
    with pytest.raises(
        InputError, match="Unknown schedule 'exponentail'. Did you mean exponential"
    ):
        rates("exponentail")
    with pytest.raises(
        InputError, match="warmup_ratio is 2; it is a share of the steps, from 0 to 1"
    ):
        optim.plan_steps(
            "linear", "adam", learning_rate=1.0, steps_per_epoch=2, epochs=2, warmup_ratio=2
        )
    with pytest.raises(InputError, match="multistep cannot be made with"):
        rates("multistep", gama=1)
    with pytest.raises(InputError, match="Unknown optimizer 'adamax'"):
        rates("constant", optimizer="adamax")


@pytest.mark.parametrize(
    ("schedule", "arguments"),
    [
        ("multistep", {"milestones": [4, 2]}),
        ("multistep", {"milestones": [-1, 2]}),
        ("multistep", {"milestones": [2, 2]}),
        ("multistep", {"milestones": "24"}),
        ("multistep", {"milestones": [1.5]}),
        ("multistep", {"milestones": 2}),
        ("multistep", {"milestones": [2], "gamma": 0}),
        ("exponential", {"gamma": 0}),
        ("exponential", {"gamma": -0.5}),
        ("exponential", {"gamma": math.inf}),
        ("exponential", {"gamma": "0.5"}),
        ("linear", {"warmup_ratio": math.nan}),
        ("linear", {"warmup_ratio": True}),
        ("cosine", {"warmup_ratio": [0.1]}),
        ("one_cycle", {"div_factor": 0}),
        ("one_cycle", {"final_div_factor": 0}),
        ("one_cycle", {"pct_start": "0.3"}),
        ("one_cycle", {"pct_start": 2}),
        ("one_cycle", {"pct_start": 0.05}),  # of 20 steps
        ("constant", {"self": 1}),
        ("constant", {"total": 1}),
    ],
)
def test_arguments_that_no_schedule_can_have(schedule, arguments):
    with pytest.raises(InputError, match=f"^The schedule {schedule} cannot be made with "):
        rates(schedule, **arguments)


def test_a_rate_that_grows_beyond_all_numbers_and_a_plan_without_end():
    assert rates("exponential", gamma=2)[-1] == pytest.approx(1.6)
    with pytest.raises(InputError, match=r"^The schedule exponential gives a learning rate of inf"):
        rates("exponential", gamma=1e200)
    with pytest.raises(InputError, match=r"^epochs = 100000: at 1,000 steps each they are 100,000"):
        rates("constant", steps_per_epoch=1000, epochs=100_000)


def test_a_row_adds_an_optimizer(monkeypatch):
    monkeypatch.setitem(optim.OPTIMIZERS, "rprop", torch.optim.Rprop)
    monkeypatch.setitem(
        optim.SCHEDULES, "halves", (lambda o, t: lr_scheduler.StepLR(o, 1, 0.5), "epoch")
    )
    steps = optim.plan_steps("halves", "rprop", learning_rate=1.0, steps_per_epoch=1, epochs=3)
    assert [step["lr"] for step in steps] == [1.0, 0.5, 0.25]


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_an_optimizers_state_follows_its_model(name, monkeypatch):
    """To another device; steps are counted there by fused kernels, else on the CPU."""
    model = nn.Linear(2, 3)
    optimizer = optim.make_optimizer(name, model, learning_rate=0.1)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    there = torch.device("meta")
    # parameters stay the same objects, as they do on the way to a GPU
    monkeypatch.setattr(torch.__future__, "_swap_module_params_on_conversion", True)
    model.to(there)
    optim.follow_model(optimizer, there)
    is_fused = optimizer.param_groups[0].get("fused")
    assert bool(is_fused) == (name in ("adam", "adamw", "amsgrad", "sgd"))
    states = [optimizer.state[parameter] for parameter in model.parameters()]
    assert all(states) or name == "sgd"
    for state in states:
        for field, tensor in state.items():
            stays = field == "step" and not is_fused
            assert tensor.device == (torch.device("cpu") if stays else there)


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_following_changes_nothing_where_the_model_stays(name):
    def weights(follows: bool) -> torch.Tensor:
        torch.manual_seed(0)
        model = nn.Linear(2, 3)
        optimizer = optim.make_optimizer(name, model, learning_rate=0.1)
        for _ in range(3):
            if follows:
                optim.follow_model(optimizer, torch.device("cpu"))
            model(torch.ones(1, 2)).square().sum().backward()
            optimizer.step()
        assert name not in ("adam", "adagrad") or optimizer.param_groups[0]["fused"]
        return model.weight

    assert torch.equal(weights(True), weights(False))
