"""What a run is, in plain text: from the store, or else from a published page."""

import json
import math
from pathlib import Path

import pandas as pd

from lib.errors import InputError
from lib.publish.record import describe_config
from lib.runs.files import read_json
from lib.runs.store import ROOT, Run, store

BARS = "▁▂▃▄▅▆▇█"
CURVES = (
    "train_loss",
    "dev_loss",
    "learning_rate",
    "dev_accuracy",
    "dev_macro_f1",
    "dev_P@1",
    "dev_spearman",
)


def sparkline(values: list[float]) -> str:
    """One character a value, from the lowest to the highest; a dot where there is none."""
    finite = [value for value in values if math.isfinite(value)]
    low = min(finite, default=0.0)
    span = max(finite, default=0.0) - low
    characters = []
    for value in values:
        if math.isfinite(value):
            characters.append(BARS[round((value - low) / span * 7) if span else 0])
        else:
            characters.append("·")
    return "".join(characters)


def published_runs(results: Path) -> dict[str, dict[Path, dict]]:
    """The runs of all pages below a folder: key -> page -> what the page says the run was."""
    import pyarrow.parquet as pq

    runs: dict[str, dict[Path, dict]] = {}
    for file in sorted(results.glob("*/*/predictions.parquet")):
        study = json.loads(pq.read_schema(file).metadata[b"study"])
        for key, run in study["runs"].items():
            runs.setdefault(key, {})[file.parent] = run
    return runs


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


def the_key(key: str, keys: set[str], results: Path) -> str:
    """The only one of `keys` that begins as `key` does. Raises InputError."""
    matching = sorted(name for name in keys if key and name.startswith(key[:16]))
    if len(matching) == 1:
        return matching[0]
    number = f"{len(matching)} runs ({', '.join(matching[:3])}, …)" if matching else "no run"
    raise InputError(
        f"{key!r} begins the key of {number} in {store()} and on the pages of {results}"
    )


def describe(key: str, results: Path = ROOT / "results") -> str:
    """A run by (the beginning of) its key: how it ended, its configuration against the defaults,
    its curves, and the pages that show it. Raises InputError."""
    pages = published_runs(results)
    stored = {path.parent.name[:16]: path.parent for path in store().glob("*/status.json")}
    name = the_key(key, {*pages, *stored}, results)
    cited = pages.get(name, {})
    if name in stored:
        run = Run(stored[name])
        status, config, history = run.status, read_json(run.folder / "config.json"), run.history
        place = f"{run.folder} (config.json, history.jsonl, predictions.parquet)"
    else:
        page, status = next(iter(cited.items()))
        config, history = status["config"], page_history(page, name)
        place = "not in the store; as its page tells"
    reason = f" ({status['reason']})" if status.get("reason") else ""
    epochs = f"epoch {status['chosen_epoch']} of {status['last_epoch']} chosen"
    lines = [f"run {name}: {status['status']}{reason}, {epochs}", f"  {place}"]
    lines.append("configuration, where it differs from the defaults:")
    changed, _ = describe_config(config)
    for field, value, default in changed:
        lines.append(f"  {field} = {value!r} (default {default!r})")
    if not changed:
        lines.append("  nothing")
    if len(history):
        lines.append(f"curves, epochs {history['epoch'].iloc[0]} to {history['epoch'].iloc[-1]}:")
        lines += [f"  {line}" for line in curves(history, config["select_by"])]
    lines.append("cited on:" if cited else "cited on no page of results/")
    for page in cited:
        predictions = f"its predictions: {page / 'predictions.parquet'}, run = {name}"
        lines.append(f"  {page / 'README.md'}; {predictions}")
    return "\n".join(line.replace(f"{ROOT}/", "") for line in lines)


def page_history(page: Path, key: str) -> pd.DataFrame:
    """A run's rows of a page's history; empty where it has none."""
    file = page / "history.csv"
    if not file.is_file():
        return pd.DataFrame()
    history = pd.read_csv(file)
    return history[history["run"] == key]
