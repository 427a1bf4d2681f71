"""Settings from YAML files and command lines: read strictly, whatever the names of their sections.

A file has `name: value` lines, alone or in sections (`data`, `model`, `trainer`); a command line
has `name=value` or `section.name=value`. The keys of the CSV and YAML plugin that this replaces are
understood, too: notebooks/params/plugin_keys.yaml has them.
"""

from functools import lru_cache

from lib.errors import InputError, nearest
from lib.publish.strict_yaml import read_value, read_yaml
from lib.reading.options import Reading
from lib.runs.paths import NOTEBOOKS

PLUGIN_KEYS = NOTEBOOKS / "params" / "plugin_keys.yaml"

READ_WITH_THE_DATA = ("dataset", "text", "label", *Reading.model_fields)
DATA = (
    *READ_WITH_THE_DATA,
    "reference_files",
    *("train_rows", "dev_rows", "test_rows", "split_seed", "folds"),
)
MODEL = (
    *("backbone", "layers", "head", "dropout", "freeze", "adapter", "lora_rank", "lora_alpha"),
    *("max_length", "truncation", "stride", "windows"),
)
SECTIONS = ("data", "model", "trainer")  # the last has every other parameter


@lru_cache
def plugin_keys() -> dict:
    """What the older plugin's keys are here: `renamed` (its key to our name), `metrics` (its name
    of a metric to ours) and `needless` (a key or section to what is done instead)."""
    return read_yaml(PLUGIN_KEYS)


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
    renamed = plugin_keys()["renamed"]
    if key not in renamed:
        return None
    name, given = renamed[key], value
    if key == "data.header":  # null is the plugin's way to say none, false is ours
        value = given is not None and given is not False
    if key == "module.metric":
        value = plugin_keys()["metrics"].get(str(given))
        if value is None:
            raise InputError(f"{where}: {key} = {given!r} has no counterpart")
    print(f"{where}: {key} is {name} here", flush=True)
    return name, value


def check_run_settings(values: dict, where: str) -> None:
    """Raises InputError where the settings of a single run have a section of a study's, or say how
    files are read outside `reading`."""
    for section in SECTIONS:
        if section in values:
            raise InputError(
                f"{where}: unknown parameter {section!r}; a run's settings have no sections, but "
                "how files are read is below reading, as in reading.encoding=latin-1"
            )
    for name in Reading.model_fields:
        if name in values:
            raise InputError(f"{where}: unknown parameter {name!r}. Did you mean reading.{name}?")


def section_of(name: str) -> str:
    """The section that a parameter may stand in."""
    if name in DATA:
        return "data"
    return "model" if name in MODEL else "trainer"


def check_name(key: str, allowed: dict, where: str) -> None:
    """Raises InputError, which proposes a name, unless `key` is a parameter of `allowed`, alone
    or in its section."""
    section, _, name = key.rpartition(".")
    if name in allowed and section in ("", section_of(name)):
        return
    choices = list(allowed)
    if section:
        choices = [f"{section_of(inner)}.{inner}" for inner in allowed]
    same_name = [full for full in choices if full.endswith(f".{name}")]
    proposal = nearest(key, same_name or choices)
    raise InputError(f"{where}: unknown parameter {key!r}.{proposal}")


def to_parameters(values: dict, allowed: dict, where: str) -> dict:
    """Settings as a notebook's parameters: without sections, and with our names. Raises InputError.

    None stands for a parameter's way to say none: an empty text or list, or zero.
    """
    parameters = {}
    needless = plugin_keys()["needless"]
    for key, value in flatten(values).items():
        section, _, name = key.rpartition(".")
        renamed = from_plugin(key, value, where)
        instead = needless.get(key) or needless.get(section)
        if renamed:
            name, value = renamed
        elif instead:
            print(f"{where}: {key} is not needed: {instead}", flush=True)
            continue
        else:
            check_name(key, allowed, where)
        if value is None and allowed[name] is not None:
            value = type(allowed[name])()
        if name in parameters:
            raise InputError(f"{where}: {name} is there twice, the second time as {key}")
        parameters[name] = value
    return parameters
