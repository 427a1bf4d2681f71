"""Optimizers and learning-rate schedules: two tables. Adding one is adding a row."""

import math
from functools import partial

import torch
from torch import nn
from torch.optim import lr_scheduler

from lib.attention import parts_from_below
from lib.errors import InputError, lookup, shown

# name -> optimizer class with its fixed arguments; called with (parameters, lr=, weight_decay=)
OPTIMIZERS = {
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True),
    "amsgrad": partial(torch.optim.Adam, amsgrad=True, fused=True),
    "adagrad": partial(torch.optim.Adagrad, fused=True),
    "adadelta": torch.optim.Adadelta,
    "sgd": partial(torch.optim.SGD, fused=True),
}

SHARE = "share"  # of the learning rate that a group of parameters has
MOST_STEPS = 10_000_000  # that a plan has


def _number(name: str, value, *, above: float, most: float = math.inf) -> float:
    """A schedule's argument. Raises ValueError where it is no number within the limits."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not above < value <= most or value == math.inf:
        limits = f"above {above:g}" + (f" and at most {most:g}" if most < math.inf else "")
        raise ValueError(f"{name} is {shown(value)}; it wants a number {limits}")
    return float(value)


def _warmup_then(total: int, warmup_ratio: float, after):
    is_number = isinstance(warmup_ratio, int | float) and not isinstance(warmup_ratio, bool)
    if not is_number or not 0 <= warmup_ratio <= 1:
        raise ValueError(
            f"warmup_ratio is {shown(warmup_ratio)}; it is a share of the steps, from 0 to 1"
        )
    warmup = math.ceil(total * warmup_ratio)
    return lambda step: (
        step / warmup if step < warmup else after((step - warmup) / max(1, total - warmup))
    )


def constant(optimizer, total):
    return lr_scheduler.LambdaLR(optimizer, lambda epoch: 1.0)


def exponential(optimizer, total, gamma=0.9):
    """Times gamma after every epoch."""
    return lr_scheduler.ExponentialLR(optimizer, _number("gamma", gamma, above=0))


def multistep(optimizer, total, milestones, gamma=0.1):
    """Times gamma after each of the milestones, in epochs."""
    are_epochs = isinstance(milestones, list | tuple) and all(
        type(epoch) is int and epoch > 0 for epoch in milestones
    )
    if not are_epochs or list(milestones) != sorted(set(milestones)):
        raise ValueError(
            f"milestones are {shown(milestones)}; they want a rising list of epochs, such as [2, 4]"
        )
    return lr_scheduler.MultiStepLR(optimizer, list(milestones), _number("gamma", gamma, above=0))


def linear(optimizer, total, warmup_ratio=0.1):
    """Up from zero over the first share of the steps, then down to zero."""
    return lr_scheduler.LambdaLR(
        optimizer, _warmup_then(total, warmup_ratio, lambda x: max(0.0, 1 - x))
    )


def cosine(optimizer, total, warmup_ratio=0.1):
    """Up from zero over the first share of the steps, then down to zero along a half cosine."""
    return lr_scheduler.LambdaLR(
        optimizer,
        _warmup_then(total, warmup_ratio, lambda x: 0.5 * (1 + math.cos(math.pi * min(1.0, x)))),
    )


def one_cycle(optimizer, total, pct_start=0.3, div_factor=25.0, final_div_factor=1e4):
    """torch's OneCycleLR; its cycling of the first momentum coefficient, too, where the
    optimizer has betas."""
    div_factor = _number("div_factor", div_factor, above=0)
    final_div_factor = _number("final_div_factor", final_div_factor, above=0)
    try:
        return lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in optimizer.param_groups],
            total_steps=total,
            pct_start=pct_start,
            div_factor=div_factor,
            final_div_factor=final_div_factor,
            cycle_momentum="betas" in optimizer.defaults,
        )
    except ZeroDivisionError:
        raise ValueError(
            f"pct_start = {pct_start} of {total} steps leaves no step to rise, or none to fall; "
            "take another share"
        ) from None


# name -> (make(optimizer, total steps, **arguments), after what it steps: "epoch" or "step")
SCHEDULES = {
    "constant": (constant, "epoch"),
    "exponential": (exponential, "epoch"),
    "multistep": (multistep, "epoch"),
    "linear": (linear, "step"),
    "cosine": (cosine, "step"),
    "one_cycle": (one_cycle, "step"),
}


def make_optimizer(
    name: str,
    model: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float = 0.0,
    layer_decay: float = 1.0,
):
    """An optimizer over all parameters that need a gradient, with weight decay on every one, as
    torch has it.

    With `layer_decay` below 1 each layer of the backbone has so many times the learning rate of
    the one above it, and the embeddings of the lowest; the head and the top layer have all of it.
    Raises InputError.
    """
    make = lookup(OPTIMIZERS, name, "optimizer")
    by_depth: dict[int, list[nn.Parameter]] = {}
    for parameter, depth in depths(model, layer_decay).items():
        by_depth.setdefault(depth, []).append(parameter)
    groups = []
    for depth in sorted(by_depth):
        share = layer_decay**depth
        groups.append({"params": by_depth[depth], "lr": learning_rate * share, SHARE: share})
    return make(groups, lr=learning_rate, weight_decay=weight_decay)


def depths(model: nn.Module, layer_decay: float) -> dict[nn.Parameter, int]:
    """Layers between each trained parameter and the top; 0 for all where they do not matter."""
    trained = {parameter: 0 for parameter in model.parameters() if parameter.requires_grad}
    if layer_decay == 1:
        return trained
    for depth, part in enumerate(reversed(parts_from_below(model.backbone))):
        for parameter in part:
            if parameter in trained:
                trained[parameter] = depth
    return trained


def follow_model(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Bring an optimizer's state to the device that its model's parameters are on now, and have it
    compute as torch can there."""
    if isinstance(optimizer, torch.optim.Adagrad) and device.type != "cpu":
        for group in optimizer.param_groups:
            group["fused"] = None  # up to torch 2.11 its fused kernel is the CPU's alone
    optimizer.load_state_dict(optimizer.state_dict())  # which knows what belongs where


def set_step(optimizer: torch.optim.Optimizer, settings: dict) -> None:
    """Give an optimizer a step's settings (`plan_steps`), and each group its share of the rate."""
    for group in optimizer.param_groups:
        group.update(settings, lr=settings["lr"] * group.get(SHARE, 1.0))


def plan_steps(
    schedule: str,
    optimizer: str,
    *,
    learning_rate: float,
    steps_per_epoch: int,
    epochs: int,
    **arguments,
) -> list[dict]:
    """What the optimizer's settings are at each step: `lr`, and what else a schedule moves.

    torch's scheduler runs once on a stand-in optimizer. A list can be compared, cut and continued,
    which a live scheduler cannot: two runs whose lists begin alike share that beginning. Raises
    InputError for a wrong argument.
    """
    make_schedule, steps_after = lookup(SCHEDULES, schedule, "schedule")
    make_stand_in = lookup(OPTIMIZERS, optimizer, "optimizer")
    stand_in = make_stand_in([nn.Parameter(torch.zeros(1))], lr=learning_rate)
    total = steps_per_epoch * epochs
    if total > MOST_STEPS:
        raise InputError(
            f"epochs = {epochs}: at {steps_per_epoch:,} steps each they are {total:,} steps, more "
            f"than {MOST_STEPS:,}; take fewer epochs, or a larger batch_size"
        )
    try:
        scheduler = make_schedule(stand_in, total, **arguments)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The schedule {schedule} cannot be made with {shown(arguments)}: {error}"
        ) from None
    group = stand_in.param_groups[0]
    moved = [name for name in ("lr", "betas", "momentum") if name in group]
    settings_by_step = []
    for step in range(1, total + 1):
        if not math.isfinite(group["lr"]):
            raise InputError(
                f"The schedule {schedule} gives a learning rate of {group['lr']} at step {step:,}"
            )
        settings_by_step.append({name: group[name] for name in moved})
        stand_in.step()  # moves nothing, but torch wants it before the schedule's step
        epoch_ends = step % steps_per_epoch == 0
        if step < total and (steps_after == "step" or epoch_ends):
            scheduler.step()
    return settings_by_step
