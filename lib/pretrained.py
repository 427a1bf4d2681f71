"""Pretrained weights as modules: how a backbone is loaded, and how large it is."""

import json
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from lib.attention import attention_for
from lib.backbones import (
    CONFIG,
    SAFE,
    WEIGHTS,
    check_weights,
    load_config,
    load_tokenizer,
    resolve_backbone,
    weight_files,
)
from lib.errors import InputError, first_line

# Backbones that do not read a text alone, whatever the mask says, and why.
UNFIT = {
    "canine": "takes in what stands behind a text by its convolutions, and so its padding",
    "convbert": "takes in what stands behind a text by its convolutions, and so its padding",
    "fnet": "mixes all positions, and so those of the padding",
    "funnel": "pools neighbouring tokens, and so the padding behind a text",
    "mra": "attends to nothing without a CUDA kernel that is not part of transformers",
    "nystromformer": "sums a text up in landmarks that depend on its padding",
    "reformer": "hashes tokens at random, and together with their padding",
    "yoso": "estimates attention from all positions, and so from those of the padding",
}
# Encoders with decoders, whose hidden states are of texts that they write.
WRITERS = ("t5", "mt5", "umt5", "t5gemma", "t5gemma2")
# Backbones that are loaded with other settings than their own.
SETTINGS = {
    # theirs reads random blocks of a text, depending on the longest text it has seen before
    "big_bird": {"attention_type": "original_full"},
    "bigbird_pegasus": {"attention_type": "original_full"},
}
# Backbones without a table of positions, though their configuration has a size for one.
UNBOUNDED = ("jamba", "tapas", "zamba")
# Backbones whose positions begin after the padding token's id, as RoBERTa's.
AFTER_PADDING = (
    *("roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "camembert", "xmod"),
    *("data2vec-text", "esm", "ibert", "layoutlmv3", "lilt", "longformer", "luke", "markuplm"),
    "mpnet",
)


def longest_text(backbone: str | Path) -> int | None:
    """The most tokens that a backbone can read: as many as its tokenizer names and its table of
    positions has. None: any number. Raises InputError."""
    folder = resolve_backbone(backbone)
    limits = [load_tokenizer(folder).model_max_length]
    positions = _positions_in(folder, (folder / CONFIG).stat().st_mtime_ns)
    if positions is not None:
        limits.append(positions)
    shortest = min(limits)
    return shortest if shortest < 1e12 else None  # transformers' word for no limit is 1e30


@lru_cache(maxsize=4)
def _positions_in(folder: Path, changed: int) -> int | None:
    """`positions_of` a folder's configuration, as it is since a time."""
    return positions_of(load_config(folder))


def save_tokenizer(backbone: str | Path, folder: Path, max_length: int) -> None:
    """Write a backbone's tokenizer so that a pipeline that truncates does it where training did."""
    load_tokenizer(resolve_backbone(backbone)).save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8")) | {"model_max_length": max_length}
    text = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")


def positions_of(config) -> int | None:
    """The tokens that a backbone's table of positions is for; None where it has no table, as with
    relative or rotary positions."""
    text = config.get_text_config()
    relative = getattr(text, "position_embedding_type", "absolute") != "absolute"
    relative = relative or getattr(text, "position_biased_input", True) is False
    rotary = getattr(text, "rope_parameters", None) is not None
    if relative or rotary or text.model_type in UNBOUNDED:
        return None
    if text.model_type == "mpt":
        return text.max_seq_len
    size = getattr(text, "max_position_embeddings", -1)
    if size < 0:
        return None
    if text.model_type not in AFTER_PADDING:
        return size
    padding = 1 if text.model_type == "mpnet" else text.pad_token_id
    return size - padding - 1


def load_pretrained(auto: type, folder: Path, **options) -> nn.Module:
    """A model of one of transformers' `auto` classes with a folder's weights, in float32. Raises
    InputError."""
    from transformers import AutoModel

    _quiet()
    config = load_config(folder)
    kind = config.model_type
    check_fit(kind, folder)
    if kind in WRITERS and auto is AutoModel:
        raise InputError(
            f"The backbone {folder} ({kind}) has no hidden states of a text alone for a head to "
            "read; take head = native, or another backbone"
        )
    for file in weight_files(folder):
        check_weights(file)
    options |= SETTINGS.get(kind, {})
    options["attn_implementation"] = attention_for(model_class(auto, config, folder))
    options["dtype"] = torch.float32
    try:
        model, loaded = auto.from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, **SAFE, **options
        )
    except Exception as error:
        raise InputError(
            f"The backbone {folder} ({kind}) cannot be loaded: {first_line(error)}"
        ) from None
    prefix = "" if auto is AutoModel else f"{model.base_model_prefix}."
    check_complete(loaded, prefix, folder)
    fill_in_padding(model.config, folder)
    if kind == "mobilebert":  # it reads the embedding behind a text, which is zero for one alone
        model.get_input_embeddings().weight.data[model.config.pad_token_id] = 0
    return model


def check_fit(kind: str, folder: Path) -> None:
    """Raises InputError where a kind of backbone does not read a text alone."""
    if kind in UNFIT:
        raise InputError(f"The backbone {folder} ({kind}) {UNFIT[kind]}; take another backbone")


def _quiet() -> None:
    """No progress bar, no report of the head's missing weights: a new head is what is wanted."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def model_class(auto: type, config, folder: Path) -> type:
    """The class that one of transformers' `auto` classes makes of a configuration. Raises
    InputError."""
    try:
        chosen = auto._model_mapping[type(config)]
    except KeyError:
        raise InputError(
            f"The backbone {folder} is a {config.model_type!r} model, of which transformers has no "
            "text classifier; take another backbone"
        ) from None
    return chosen[0] if isinstance(chosen, tuple) else chosen


def check_complete(loaded: dict, prefix: str, folder: Path) -> None:
    """Raises InputError where weights of the backbone itself, whose names begin with `prefix`, are
    not in its files, or have another shape there: transformers would draw them at random."""
    lacking = [*loaded["missing_keys"], *(entry[0] for entry in loaded["mismatched_keys"])]
    lost = sorted(name for name in lacking if name.startswith(prefix) and "pooler" not in name)
    if lost:
        raise InputError(
            f"The weights in {folder} are not those of its config.json: {len(lost)} are missing or "
            f"have another shape, such as {lost[0]}"
        )


def fill_in_padding(config, folder: Path) -> None:
    """Take the padding token from the tokenizer, where the configuration of a model has none."""
    text = config.get_text_config()
    if getattr(text, "pad_token_id", None) is None:
        text.pad_token_id = load_tokenizer(folder).pad_token_id


def new_backbone(folder: Path) -> nn.Module:
    """A backbone of a folder's configuration with weights drawn at random. Raises InputError."""
    from transformers import AutoModel

    config = load_config(folder)
    check_fit(config.model_type, folder)
    config.update(SETTINGS.get(config.model_type, {}))
    attention = attention_for(model_class(AutoModel, config, folder))
    return AutoModel.from_config(config, attn_implementation=attention, trust_remote_code=False)


def distinct(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors by name, of those that share their memory (tied weights) the first alone."""
    weights = {}
    places = set()
    for name, tensor in state.items():
        place = (tensor.data_ptr(), tensor.shape)
        if tensor.numel() == 0 or place not in places:
            weights[name] = tensor.contiguous()
        places.add(place)
    return weights


def load_weights(model: nn.Module, folder: Path) -> None:
    """Give a model the weights in a folder, each of its own. Raises InputError."""
    from safetensors.torch import load_model

    for file in weight_files(folder):
        check_weights(file)
    try:
        load_model(model, folder / WEIGHTS)  # knows of tied weights
    except (RuntimeError, OSError) as error:
        raise InputError(
            f"{folder / WEIGHTS} does not fit the model's config.json and classifier.json: "
            f"{' '.join(str(error).split())[:200]}"
        ) from None


def without_pooler(backbone: nn.Module) -> nn.Module:
    """A backbone without the layer after its hidden states: heads read these, and a layer that
    nobody reads would confuse weight decay."""
    if getattr(backbone, "pooler", None) is not None:
        backbone.pooler = nn.Identity()
    return backbone


def width_of(config, folder: Path) -> int:
    """The size of a backbone's hidden states. Raises InputError."""
    size = getattr(config.get_text_config(), "hidden_size", None)
    if size is None:
        raise InputError(
            f"The backbone {folder} ({config.model_type}) has no hidden_size for a head to read; "
            "take head = native, or another backbone"
        )
    return size


def depth_of(backbone: str | Path) -> int:
    """The number of a backbone's layers. Raises InputError."""
    return load_config(resolve_backbone(backbone)).get_text_config().num_hidden_layers


def check_layers(layers: int, backbone: str | Path) -> None:
    """Raises InputError where a backbone has fewer layers."""
    depth = depth_of(backbone)
    if layers > depth:
        raise InputError(f"layers is {layers}; the backbone {backbone} has {depth}")


def native_options(num_labels: int, label_names: tuple[str, ...] | None) -> dict:
    """What a sequence-classification model of transformers is told of its labels."""
    names = dict(enumerate(label_names or map(str, range(num_labels))))
    return {
        "num_labels": num_labels,
        "id2label": names,
        "label2id": {name: number for number, name in names.items()},
        "ignore_mismatched_sizes": True,  # a backbone fine-tuned before gets a new final layer
    }
