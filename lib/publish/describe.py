"""What `lib show` prints of a run: from the store, or else from a published page."""

import dataclasses
from pathlib import Path

import pandas as pd

from lib.errors import InputError
from lib.publish.blocks import page_files
from lib.publish.record import citations, describe_config, histories, page_of, sparkline
from lib.publish.swap import read_unchanged
from lib.runs.paths import KEY_LENGTH, ROOT, store
from lib.runs.store import load_run

CURVES = (
    "train_loss",
    "dev_loss",
    "learning_rate",
    "dev_accuracy",
    "dev_macro_f1",
    "dev_P@1",
    "dev_spearman",
)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a run is: its name, its folder in the store (None: it is in none), and the pages that
    show it, by their folders."""

    name: str
    stored: Path | None
    pages: dict[Path, dict]


def describe(key: str, results: Path = ROOT / "results") -> str:
    """A run by (the beginning of) its key: how it ended, its configuration against the defaults,
    its curves, and what shows it on which pages. Raises InputError."""
    where = find_run(key, results)
    name, cited = where.name, where.pages
    if where.stored:
        run = load_run(where.stored)
        facts = run.status | run.verdict | {"config": run.fields}
        history = run.history
        place = f"{run.folder} (config.json, history.jsonl, predictions.parquet)"
    else:
        folder = next(iter(cited))
        facts = cited[folder]["runs"][name]
        history = histories(folder / "history.csv").get(name, pd.DataFrame())
        place = "not in the store; as its page tells"
    lines = [f"run {name}: {ending(facts)}", f"  {place}"]
    lines.append("configuration, where it differs from the defaults:")
    changed, _ = describe_config(facts["config"])
    lines += [f"  {field} = {value!r} (default {default!r})" for field, value, default in changed]
    if not changed:
        lines.append("  nothing")
    if len(history):
        lines.append(f"curves, epochs {history['epoch'].iloc[0]} to {history['epoch'].iloc[-1]}:")
        lines += [f"  {line}" for line in curves(history, facts["config"]["select_by"])]
    lines.append("cited on:" if cited else "cited on no page of results/")
    for folder, page in cited.items():
        shown = ", ".join(label for label, _ in citations(page, name))
        lines.append(f"  {folder / 'README.md'}: {shown or 'its runs'}")
        lines.append(f"  its predictions: {folder / 'predictions.parquet'}, run = {name}")
    return "\n".join(line.replace(f"{ROOT}/", "") for line in lines)


def find_run(key: str, results: Path) -> Place:
    """Where the only run is whose key begins so, or whose folder in the store is named. Raises
    InputError."""
    if Path(key).is_dir():
        key = Path(key).name
    pages = read_unchanged(
        lambda: page_files(results),
        lambda: {file.parent: page_of(file.parent) for file in page_files(results)},
    )
    stored = {path.parent.name[:KEY_LENGTH]: path.parent for path in store().glob("*/status.json")}
    published = {name for page in pages.values() for name in page["runs"]}
    name = the_key(key, published | set(stored), results)
    cited = {folder: page for folder, page in pages.items() if name in page["runs"]}
    return Place(name, stored.get(name), cited)


def the_key(key: str, keys: set[str], results: Path) -> str:
    """The only one of `keys` that begins as `key` does. Raises InputError."""
    matching = sorted(name for name in keys if key and name.startswith(key[:KEY_LENGTH]))
    if len(matching) == 1:
        return matching[0]
    number = f"{len(matching)} runs ({', '.join(matching[:3])}, …)" if matching else "no run"
    raise InputError(
        f"{key!r} begins the key of {number} in {store()} and on the pages of {results}"
    )


def ending(facts: dict) -> str:
    """How a run ended, and which epoch was chosen."""
    words = facts["status"]
    if facts.get("outcome") not in (None, facts["status"]):
        words += f", {facts['outcome']}"
    if facts.get("reason"):
        words += f" ({facts['reason']})"
    chosen = f"epoch {facts['chosen_epoch']}" if facts["chosen_epoch"] else "no epoch"
    return f"{words}, {chosen} of {facts['last_epoch']} chosen"


def curves(history: pd.DataFrame, metric: str) -> list[str]:
    """A line for each curve: its sparkline, first, last, lowest and highest value."""
    lines = []
    for name in dict.fromkeys([*CURVES, f"dev_{metric}"]):
        if name not in history:
            continue
        values = history[name].astype(float).tolist()
        lines.append(
            f"{name:<16} {sparkline(values)}  first {values[0]:.4g} last {values[-1]:.4g} "
            f"lowest {min(values):.4g} highest {max(values):.4g}"
        )
    return lines
