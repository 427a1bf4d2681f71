"""Runs by what tells them apart, as people speak: `1-layer student, soft labels, seed 1`."""

from lib.analysis.display import count, listed, spelled, words
from lib.analysis.names import display_name
from lib.analysis.numbers import plain_number
from lib.references.baselines import reference_name
from lib.runs.config import RunConfig

FIRST = ("backbone", "student", "head", "truncation", "optimizer", "schedule", "learning_rate")
LOSSES = {
    "soft": "soft labels",
    "hard": "true labels",
    "hidden": "hidden states",
    "attentions": "attentions",
}
UNITS = {"epochs": "epochs", "max_length": "tokens", "train_rows": "training texts"}
NOT_NAMED = ("reading", "reference", "layers", "distil", "health")


def run_names(runs: dict[str, dict]) -> dict[str, str]:
    """Each run by the fewest choices that tell it from the others, and its seed; references by
    their names."""
    trained = {key: run["config"] for key, run in runs.items() if not reference_name(run["config"])}
    rest = [f for f in RunConfig.model_fields if f not in (*FIRST, *NOT_NAMED, "seed")]
    titles: dict[str, tuple[str, ...]] = dict.fromkeys(trained, ())
    for field in (*FIRST, *rest):
        longer = {key: (*titles[key], said(field, config)) for key, config in trained.items()}
        if len(set(longer.values())) > len(set(titles.values())):
            titles = longer
    names = {}
    for key, run in runs.items():
        if key in trained:
            choices = [*filter(None, titles[key]), f"seed {run['config']['seed']}"]
            names[key] = ", ".join(choices)
        else:
            names[key] = display_name(reference_name(run["config"]))
    return names


def said(field: str, config: dict) -> str:
    """A choice in a few words; nothing where it was not made."""
    if field == "student":
        return student_said(config)
    value = config.get(field)
    if field in UNITS:
        return f"{value:,} {UNITS[field]}" if value else f"all {UNITS[field]}"
    if not value:
        return ""
    if value is True:
        return words(field)
    if isinstance(value, dict):
        return ", ".join(f"{words(name)} {inner}" for name, inner in value.items())
    if field == "select_by":
        return "last epoch" if value == "last" else "best epoch"
    if field == "truncation":
        return f"reads the {spelled(value)}"
    if isinstance(value, str):
        return spelled(value)
    return f"{words(field)} {plain_number(value)}"


def student_said(config: dict) -> str:
    """How deep a model is, and what beside labels it learns from."""
    distil = config.get("distil")
    if not distil:
        return count(config["layers"], "layer") if config.get("layers") else "all layers"
    layers = distil.get("student_layers")
    student = f"{len(layers)}-layer student" if layers else "student"
    losses = [LOSSES[name] for name in LOSSES if distil["weights"].get(name)]
    return f"{student}, {listed(losses)}"
