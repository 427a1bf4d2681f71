"""Settings from YAML files and command lines: read strictly, whatever the names of their sections.

A file has `name: value` lines, alone or in sections (`data`, `model`, `trainer`); a command line
has `name=value` or `section.name=value`. The keys of the CSV and YAML plugin that this replaces are
understood, too.
"""

import re
from pathlib import Path

import yaml

from lib.errors import InputError, nearest

SECTIONS = {
    "data": (
        "dataset",
        "dev_file",
        "test_file",
        "text",
        "text_pair",
        "label",
        "task",
        "labels",
        "label_separator",
        "delimiter",
        "quotes",
        "encoding",
        "header",
        "on_bad_rows",
        "train_rows",
        "dev_rows",
        "test_rows",
        "split_seed",
    ),
    "model": ("backbone", "layers", "head", "dropout", "max_length", "truncation"),
    "trainer": (
        "epochs",
        "patience",
        "batch_size",
        "batching",
        "accumulation",
        "optimizer",
        "learning_rate",
        "weight_decay",
        "warmup",
        "clip_norm",
        "class_weight",
        "label_smoothing",
        "focal_gamma",
        "precision",
        "metric",
        "seeds",
        "tracker",
        "checkpoint_every",
        "backend",
        "processes",
    ),
}

RENAMED = {  # the plugin's keys -> ours
    "data.train_filepath": "dataset",
    "data.val_filepath": "dev_file",
    "data.header": "header",
    "data.text_a_col": "text",
    "data.text_b_col": "text_pair",
    "data.label_col": "label",
    "data.labels_list": "labels",
    "model.hf_model": "backbone",
    "model.model_path": "backbone",
    "module.metric": "metric",
    "module.max_lr": "learning_rate",
    "module.warmup_prop": "warmup",
    "module.max_seq_len": "max_length",
    "trainer.train_batch_size": "batch_size",
    "trainer.max_grad_norm": "clip_norm",
}
METRICS_OF_PLUGIN = {
    "acc": "accuracy",
    "acc_and_f1": "weighted_f1",
    "mcc": "mcc",
    "pearson_and_spearman": "spearman",
}
NEEDLESS = {  # the plugin's keys without a counterpart -> what is done instead
    "data.file_format": "the file's name tells its format",
    "data.train_dir": "name the file, or the folder, with data.dataset",
    "data.val_dir": "name the file with data.dev_file",
    "data.hf_tokenizer": "the backbone has its tokenizer",
    "data.has_labels": "python -m lib predict labels texts without labels",
    "data.cpu_threads": "OMP_NUM_THREADS=n before the command",
    "model.encoder_key": "weights are found by their names",
    "model.model_file": "a backbone is a folder with model.safetensors",
    "model.model_config_path": "a backbone's folder has its configuration",
    "model.model_config_file": "a backbone's folder has its configuration",
    "model.tokenizer_path": "a backbone's folder has its tokenizer",
    "module.has_labels": "python -m lib predict labels texts without labels",
    "trainer.val_batch_size": "evaluation batches do not change a result",
    "trainer.gpu_batch_size_limit": "a batch is one optimizer step",
    "trainer.clip_grads": "clip_norm: 0 is no clipping",
    "trainer.use_gpu": "CUDA_VISIBLE_DEVICES= before the command hides it",
    "trainer.disable_tqdm": "only a terminal shows bars; TQDM_DISABLE=1 hides them there, too",
    "trainer.log_level": "there is one line an epoch",
    "ckpt": "the chosen epoch's model is kept with every run",
    "stats": "the tracker gets every step",
    "wrts": "tracker: tensorboard writes below the run's folder",
    "distill": "a student is a run, python -m lib train: notebooks/params/distillation/README.md",
}


NUMBER = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"
)
TRUTH = re.compile("(true|True|TRUE|false|False|FALSE)$")
TEXT_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")


class StrictLoader(yaml.SafeLoader):
    """YAML 1.2 scalars (1e-5 is a number; yes, no, on and off are words), and no key twice."""


StrictLoader.yaml_implicit_resolvers = {
    first: [item for item in resolvers if not item[0].endswith((":bool", ":float"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
StrictLoader.add_implicit_resolver("tag:yaml.org,2002:float", NUMBER, list("-+.0123456789"))
StrictLoader.add_implicit_resolver("tag:yaml.org,2002:bool", TRUTH, list("tTfF"))


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag not in TEXT_TAGS:
            raise yaml.MarkedYAMLError(problem="a name is a word", problem_mark=key.start_mark)
        if key.value in lines:
            problem = f"{key.value} is there already, in line {lines[key.value]}"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
        lines[key.value] = key.start_mark.line + 1
    return loader.construct_mapping(node, deep=True)


StrictLoader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_value(name: str, text: str):
    """A value from the command line, read as YAML; a sign such as | or ; stands for itself.
    Raises InputError."""
    if text and not any(char.isalnum() or char in "[]{}\"'" for char in text):
        return text
    try:
        return yaml.load(text, StrictLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise InputError(f"{name}: {text!r} is not YAML; a list is written [1, 2]") from None


def read_yaml(path: Path) -> dict:
    """The mapping in a YAML file. Raises InputError with the line of what is wrong."""
    if not path.is_file():
        raise InputError(f"There is no file {path}")
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), StrictLoader) or {}
    except UnicodeDecodeError:
        raise InputError(f"{path.name} is not UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        if "\\t" in problem:
            problem = "a tab; indent with spaces"
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{path.name}{line} is not YAML: {' '.join(problem.split())}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name} is not YAML that can be read: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path.name} has no `name: value` lines, but {type(values).__name__}")
    return values


def assignments(words: list[str]) -> dict:
    """`name=value` words as a dictionary, values read as YAML. Raises InputError."""
    values = {}
    for word in words:
        name, sign, value = word.removeprefix("--").partition("=")
        if not sign:
            raise InputError(f"{word!r} is not key=value")
        values[name] = read_value(name, value)
    return values


def flatten(values: dict) -> dict:
    """`section.name` for the names inside sections."""
    flat = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": item for inner, item in value.items()}
        else:
            flat[name] = value
    return flat


def from_plugin(key: str, value, where: str) -> tuple[str, object] | None:
    """The name and value that a key of the older plugin has here; None for a key of no plugin.
    Raises InputError."""
    if key == "trainer.clip_grads" and value is False:
        return "clip_norm", 0.0
    if key not in RENAMED:
        return None
    name, given = RENAMED[key], value
    if key == "data.header":  # null is the plugin's way to say none, false is ours
        value = given is not None and given is not False
    if key == "module.metric":
        value = METRICS_OF_PLUGIN.get(str(given))
        if value is None:
            raise InputError(f"{where}: {key} = {given!r} has no counterpart")
    print(f"{where}: {key} is {name} here", flush=True)
    return name, value


def check_name(key: str, allowed: dict, where: str) -> None:
    """Raises InputError, which proposes a name, unless `key` is a parameter of `allowed`, alone
    or in its section."""
    section, _, name = key.rpartition(".")
    if name in allowed and (not section or name in SECTIONS.get(section, ())):
        return
    choices = list(allowed)
    if section:
        choices = [f"{part}.{inner}" for part, names in SECTIONS.items() for inner in names]
    same_name = [full for full in choices if full.endswith(f".{name}")]
    proposal = nearest(key, same_name or choices)
    raise InputError(f"{where}: unknown parameter {key!r}.{proposal}")


def to_parameters(values: dict, allowed: dict, where: str) -> dict:
    """Settings as a notebook's parameters: without sections, and with our names. Raises InputError.

    None stands for a parameter's way to say none: an empty text or list, or zero.
    """
    parameters = {}
    for key, value in flatten(values).items():
        section, _, name = key.rpartition(".")
        renamed = from_plugin(key, value, where)
        needless = NEEDLESS.get(key) or NEEDLESS.get(section)
        if renamed:
            name, value = renamed
        elif needless:
            print(f"{where}: {key} is not needed: {needless}", flush=True)
            continue
        else:
            check_name(key, allowed, where)
        if value is None and allowed[name] is not None:
            value = type(allowed[name])()
        if name in parameters:
            raise InputError(f"{where}: {name} is there twice, the second time as {key}")
        parameters[name] = value
    return parameters
