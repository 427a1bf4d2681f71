"""The model card beside a run's weights: what the model is, on what it was trained, how well it
does, how to use it."""

from pathlib import Path

import yaml

from lib.data import Corpus
from lib.runs.config import RunConfig

USE = {
    "native": """from transformers import pipeline

classify = pipeline("text-classification", model="path/to/this/folder")
print(classify("A text like those it was trained on.", truncation=True))""",
    "own": """from lib import load_run

print(load_run("path/to/the/run").predict(["A text like those it was trained on."]))""",
}


def write_card(folder: Path, config: RunConfig, corpus: Corpus, results: dict[str, dict]) -> None:
    """Write `folder`/README.md, with the front matter that model hubs read. `results` are those
    of `write_results`."""
    test = {
        name.removeprefix("test_"): value
        for name, value in results["test"].items()
        if name != "epoch"
    }
    rows, scores = test.pop("samples"), {k: round(v, 4) for k, v in test.items()}
    chosen = [
        name
        for name in (config.select_by, "accuracy", "macro_f1", "micro_f1", "loss")
        if name in scores
    ]
    head = {
        "pipeline_tag": "text-classification",
        "base_model": Path(config.backbone).name
        if Path(config.backbone).exists()
        else config.backbone,
        "tags": ["text-classification", corpus.task],
        "metrics": list(dict.fromkeys(chosen)),
    }
    hidden = {
        "dataset": True,
        "reading": True,
        "backbone": True,
        "distil": {"teacher"},
    }  # may be paths
    changed = config.model_dump(exclude_defaults=True, exclude=hidden)
    names = ", ".join(corpus.label_names[:20]) + (
        f" and {corpus.num_labels - 20} more" * (corpus.num_labels > 20)
    )
    what = (
        f"predicts {names}, a number"
        if corpus.task == "regression"
        else f"has {corpus.num_labels} labels: {names}"
    )
    native = config.head == "native" and corpus.train.pairs is None
    text = f"""---
{yaml.safe_dump(head, sort_keys=False, allow_unicode=True).strip()}
---
# A text classifier fine-tuned from {head["base_model"]}

It {what}. Task: {corpus.task}; head: {config.head}; texts longer than {config.max_length} tokens lose some
(`truncation: {config.truncation}`).

## Data

{corpus.source}: {len(corpus.train):,} train, {len(corpus.dev):,} dev and {rows:,} test rows, fingerprint
`{corpus.fingerprint[:16]}`. Dev chose epoch {results["eval"]["epoch"]} of {config.epochs} by {config.select_by}.

## Scores on test, of this one run

| metric | value |
| --- | ---: |
{chr(10).join(f"| {name} | {value} |" for name, value in scores.items())}

One run has no interval: the page of its study compares seeds and references.

## Use

```python
{USE["native" if native else "own"]}
```

## Limits

It was tested on texts of the same source only. Other sources, times and languages, and labels that are given by other
rules, may score lower; nothing was done to find or mend unfairness towards groups of people. Licence: that of the
backbone and of the data it was trained on.

## Settings that differ from the defaults

`{changed}`
"""
    (folder / "README.md").write_text(text, encoding="utf-8")
