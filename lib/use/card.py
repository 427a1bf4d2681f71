"""The model card beside a run's weights: what the model is, on what it was trained, how well it
does, how to use it."""

import io
from pathlib import Path

from ruamel.yaml import YAML

from lib.backbones import EMBEDDED
from lib.markdown import code_span, escape
from lib.models import CLASSIFIER_FILE
from lib.runs.config import RunConfig
from lib.runs.files import read_json, write_text
from lib.runs.store import Run
from lib.tokenization import longest_whole, reading_of
from lib.use.decisions import AS_TRAINED, DECISIONS, decisions_of

PIPELINE = """from transformers import pipeline

classify = pipeline("text-classification", model="path/to/this/folder")
print(classify("A text like those it was trained on.", truncation=True))"""
LOAD_MODEL = """from huggingface_hub import snapshot_download
from lib.models import load_model
from lib.tokenization import encode, reading_of

folder = snapshot_download("path/to/this/folder")
model, settings = load_model(folder)
ids, mask, _ = encode(["A text like those it was trained on."], folder, **reading_of(settings))
print(settings["label_names"], model(ids, mask))"""
LOAD_RUN = """from lib import load_run

print(load_run("path/to/the/run").predict(["A text like those it was trained on."]))"""
NAMED = 20  # labels that a card names
PATHS = {"dataset": True, "reading": True, "backbone": True, "distil": {"teacher"}}  # or may be

CARD = """---
{head}
---
# A text classifier fine-tuned from {base_model}

It {what}. Task: {task}; head: {config.head}; texts longer than {longest} tokens lose some
(`truncation: {config.truncation}`).

## Data

{source}: {train:,} train, {dev:,} dev and {test:,} test rows, fingerprint
`{fingerprint}`. Dev chose epoch {epoch} of {config.epochs} by {config.select_by}.

## Scores on test, of this one run

| metric | value |
| --- | ---: |
{scores}

One run has no interval: the page of its study compares seeds and references.

## Use

```python
{use}
```
{decided}
## Limits

It was tested on texts of the same source only. Other sources, times and languages, and labels \
that are given by other
rules, may score lower; nothing was done to find or mend unfairness towards groups of people. \
Licence: that of the
backbone and of the data it was trained on.

## Settings that differ from the defaults

{changed}{again}
"""

DECIDED = f"""
This gives probabilities as trained. `{DECISIONS}` has what dev chose: the temperature to divide \
logits by, and of several
labels the probability, so scaled, above which each is given.
"""

AGAIN = """

## Train it again

With this project, and the data where `settings.yaml` names it:

```sh
python -m lib train settings.yaml
```"""


def write_card(run: Run) -> None:
    """Write model/README.md in a finished run's folder, with the front matter that model hubs
    read."""
    write_text(run.folder / "model" / "README.md", card(run))


def card(run: Run, *, name: str | None = None) -> str:
    """The model card of a finished run, as Markdown; for the Hub, by the `name` that it has there,
    its scores are in the front matter, too."""
    status, config = run.status, run.config
    task = read_json(run.folder / "model" / CLASSIFIER_FILE).get("task", "classification")
    scores = {name: round(value, 4) for name, value in status["test_scores"].items()}
    data = status["data"]
    base_model = name_of_backbone(config.backbone)
    head = {
        "pipeline_tag": "text-classification",
        "base_model": base_model,
        "tags": ["text-classification", task],
        "metrics": headline_metrics(config, scores),
    }
    if name:
        measured = [{"type": metric, "value": value} for metric, value in scores.items()]
        of_data = {"name": data["source"], "type": Path(config.dataset).name}
        result = {"task": {"type": "text-classification"}, "dataset": of_data, "metrics": measured}
        head["model-index"] = [{"name": name, "results": [result]}]
    in_pipeline = config.head == "native" and config.reading.text_pair is None
    in_pipeline = in_pipeline and config.truncation != "windows"
    of_ours = LOAD_MODEL if name else LOAD_RUN
    use = PIPELINE if in_pipeline else of_ours
    return CARD.format(
        head=front_matter(head),
        base_model=escape(base_model),
        what=what_it_predicts(status["label_names"], task),
        task=task,
        config=config,
        longest=longest_whole(run.folder / "model", **reading_of(config.model_dump())),
        source=escape(data["source"]),
        fingerprint=data["fingerprint"][:16],
        epoch=status["chosen_epoch"],
        scores="\n".join(f"| {name} | {value} |" for name, value in scores.items()),
        use=use.replace("path/to/this/folder", name) if name else use,
        decided="" if decisions_of([run]) is AS_TRAINED else DECIDED,
        again=AGAIN if name else "",
        changed=code_span(str(config.model_dump(exclude_defaults=True, exclude=PATHS))),
        **data["rows"],
    )


def name_of_backbone(backbone: str) -> str:
    """A backbone by its name on the Hub; of a folder, the folder's name alone."""
    if backbone == EMBEDDED:
        return f"sentence-transformers/{EMBEDDED}"
    return Path(backbone).name if Path(backbone).exists() else backbone


def front_matter(values: dict) -> str:
    """Values as YAML, a name a line, in their order."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    text = io.StringIO()
    yaml.dump(values, text)
    return text.getvalue().strip()


def headline_metrics(config: RunConfig, scores: dict) -> list[str]:
    """The metrics that a card's front matter names: what chose the epoch, and the usual ones."""
    names = dict.fromkeys([config.select_by, "accuracy", "macro_f1", "micro_f1", "loss"])
    return [name for name in names if name in scores]


def what_it_predicts(label_names: list[str], task: str) -> str:
    """A model's labels, in words; of many, the first."""
    names = ", ".join(map(escape, label_names[:NAMED]))
    if task == "regression":
        return f"predicts {names}, a number"
    more = len(label_names) - NAMED
    return f"has {len(label_names)} labels: {names}" + (f" and {more} more" if more > 0 else "")
