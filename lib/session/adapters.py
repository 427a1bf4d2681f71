"""Low-rank adapters (LoRA, Hu et al. 2022) by peft, merged before a model is saved.

A backbone's layers stay as they are, and small matrices beside their linear maps learn; what comes
out is an ordinary model.
"""

import torch
from torch import nn

from lib.attention import layers_of, parts_from_below
from lib.errors import InputError
from lib.models import Classifier
from lib.runs.config import RunConfig


def add_adapter(model: Classifier, config: RunConfig) -> None:
    """Let low-rank matrices (drawn from the run's seed) and what stands above the layers train
    alone. Raises InputError where the layers have no linear maps, or peft is missing."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise InputError("adapter = 'lora' needs peft: pip install peft") from None
    layers = layers_of(model.backbone)
    names, transposed = linear_maps(layers)
    if not names:
        raise InputError(
            "adapter = 'lora' learns beside linear maps, and the layers of a "
            f"{model.backbone.config.model_type} have none; leave it out, or set freeze"
        )
    for part in parts_from_below(model.backbone):
        for parameter in part:
            parameter.requires_grad_(False)
    torch.manual_seed(config.seed)
    options = {"r": config.lora_rank, "lora_alpha": config.lora_alpha}
    options |= {"target_modules": names, "fan_in_fan_out": transposed}
    inject_adapter_in_model(LoraConfig(**options), layers)


def linear_maps(layers: nn.ModuleList) -> tuple[list[str], bool]:
    """The names of the linear maps in a backbone's layers, and whether their weights are
    transposed, as GPT-2's are."""
    from transformers.pytorch_utils import Conv1D

    modules = dict(layers.named_modules())
    names = [name for name, module in modules.items() if isinstance(module, nn.Linear | Conv1D)]
    return names, any(isinstance(modules[name], Conv1D) for name in names)


def check_adapter(config: RunConfig) -> None:
    """Raises InputError where other settings do not go with an adapter."""
    if config.freeze == "backbone":
        raise InputError(
            "freeze = 'backbone' trains the head alone; leave out one of freeze and adapter"
        )
    if config.batching.endswith("packed"):
        raise InputError(
            f"batching = {config.batching!r} computes linear maps together, without what an "
            "adapter adds; take grouped or random"
        )


def merge_adapter(model: Classifier) -> None:
    """Add low-rank matrices to the weights that they stand beside, and leave a plain classifier;
    one without an adapter stays as it is."""
    for name, module in list(model.named_modules()):
        if hasattr(module, "lora_A"):
            module.merge()
            owner, _, field = name.rpartition(".")
            setattr(model.get_submodule(owner), field, module.get_base_layer())
