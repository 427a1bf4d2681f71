"""The benchmark's page, written from its tables alone."""

import json
import re
from pathlib import Path

import pandas as pd

from tests.bench import accuracy, goals, labelling, profile, rows, speed_page, waits
from tests.bench.gate import APART, TOLERANCE
from tests.bench.intervals import Interval
from tests.bench.ways import written

PAGES = {  # what a part's tables say: its measures and its section, in the page's order
    "speed": speed_page,
    "accuracy": accuracy,
    "rows": rows,
    "labelling": labelling,
    "waits": waits,
    "profile": profile,
}
ENVIRONMENT = "environment.json"


def read_facts(folder: Path) -> dict[str, dict]:
    """When, on what and with which settings each part was measured; empty where there is no
    page, or one of another version."""
    path = folder / ENVIRONMENT
    if not path.is_file():
        return {}
    return json.loads(path.read_text(encoding="utf-8")).get("parts", {})


def measures_of(folder: Path) -> dict[str, Interval]:
    """Every number with an interval that a page's tables give."""
    facts = read_facts(folder)
    results = {}
    for name, page in PAGES.items():
        if name in facts:
            results |= page.measures(folder, facts[name])
    return results


def write(folder: Path) -> None:
    """Write README.md and speed.png from the CSV files and environment.json of a folder."""
    facts = read_facts(folder)
    answer = "Training was not measured; what was, follows."
    if "speed" in facts:
        speed_page.draw(folder)
        answer = speed_page.headline(folder)
    precision = next(iter(facts.values()))["precision"]
    sections = [page.section(folder, facts[name]) for name, page in PAGES.items() if name in facts]
    page = f"""# How fast is this project beside Hugging Face's libraries?

{answer}
{goals.section(measures_of(folder), precision)}\
{"".join(sections)}\
{how(facts)}\
{details(folder, facts["speed"]) if "speed" in facts else ""}"""
    page = re.sub(r"(\d)%", r"\1 %", re.sub(r"\n{3,}", "\n\n", page))
    (folder / "README.md").write_text(written(page), encoding="utf-8")


def how(facts: dict[str, dict]) -> str:
    """The commands and tables."""
    by_command: dict[str, list[str]] = {}
    for name in PAGES:
        if name in facts:
            by_command.setdefault(facts[name]["command"], []).append(name)
    commands = "; ".join(f"`{command}`: {', '.join(part)}" for command, part in by_command.items())
    minutes = sum(part["seconds"] for part in facts.values()) / 60
    tables = [table for name in PAGES if name in facts for table in facts[name]["tables"]]
    links = ", ".join(f"[{table}.csv]({table}.csv)" for table in tables)
    return f"""
## How it was made

{commands}; {minutes:.1f} minutes in all. Every number is computed from the tables beside this \
page: {links}; `python -m tests.bench --page` and this folder's name writes it again. Settings and \
versions of each part are in [{ENVIRONMENT}]({ENVIRONMENT}).
"""


def details(folder: Path, facts: dict) -> str:
    """How training was measured."""
    settings = facts["settings"]
    gate = pd.read_csv(folder / "gate.csv")
    return f"""
**The same computation.** Before training is timed, both loops train in fp32 without dropout on \
the same {gate["step"].max()} batches from the same weights. Their losses differed by at most \
{gate["difference"].max():.1e} relatively (allowed: {TOLERANCE:.0e}), and the final weights by \
{gate["weights_apart"].max():.1e} of how far they had moved (allowed: {APART:.0e}). Otherwise \
there would be no page.

**The same work.** One process; equal initial weights of {Path(settings["backbone"]).name}, AdamW \
with a peak learning rate of {settings["learning_rate"]:g} that falls linearly to zero, clipping \
at norm 1, dropout on. Trainer has its defaults otherwise, with progress bar, saving and reports \
switched off; its rows are a `datasets.Dataset` that is tokenized already. Where batches are \
packed, the optimizer holds the embeddings of the documents' own words, as in a run: the others \
would not move. Nothing is timed in bf16 where the processor emulates it.

<details>
<summary>Details</summary>

- **Rounds.** In each, every configuration trains from the same initial weights, in an order \
shuffled by the round's number: {settings["warm_up"]} warm-up steps, then {settings["steps"]} \
that count, from the end of one optimizer step to the end of another, so that making the batches \
counts, and starting up does not. An unmeasured round comes first.
- **Documents.** A configuration makes an epoch over the pool in its own way (grouping by length \
needs many documents), and the steps are a stratified sample of that epoch's batches by size: the \
places in the strata are the same for all configurations of a round. The seconds are divided by \
documents.
- **Noise.** The matrix product is timed before every turn. Rounds in which its median deviates \
by more than {speed_page.DEVIATION:.0%} from the median over rounds are left out.
- **The best-tuned Trainer** is the fastest of its configurations.
- **Operations.** Forward, a token and layer: 2 (4 h² + 2 h m) for projections and feed-forward \
and 4 n h for attention over n tokens, and 2 h (h + labels) a document for the classifier, with \
hidden size h = {facts["hidden_size"]} and feed-forward size m; {facts["num_hidden_layers"]} \
layers; backward is twice the forward. Embeddings, normalisation and dropout count nothing, \
padding neither.
- **Default script.** `run_classification.py` pads every document to max_seq_length = \
{settings["max_length"]} when it tokenizes, and trains in fp32; its batch size, 8, is \
{settings["batch_size"]} here. Group by length is `train_sampling_strategy="group_by_length"`.
- **Versions.** {", ".join(f"{key} {value}" for key, value in facts["machine"].items())}.

</details>
"""
