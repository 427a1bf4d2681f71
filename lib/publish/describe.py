"""What a run is, in plain text: from the store, or else from a published page."""

import json
import math
from pathlib import Path

import pandas as pd

from lib.errors import InputError
from lib.runs.config import RunConfig
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
    real = [value for value in values if math.isfinite(value)]
    low, wide = (min(real), max(real) - min(real)) if real else (0.0, 0.0)
    return "".join(
        BARS[round((value - low) / wide * 7) if wide else 0] if math.isfinite(value) else "·"
        for value in values
    )


def published(results: Path) -> dict[str, dict[Path, dict]]:
    """The runs of all pages below a folder: key -> page -> what the page says the run was."""
    import pyarrow.parquet as pq

    found: dict[str, dict[Path, dict]] = {}
    for file in sorted(results.glob("*/*/predictions.parquet")):
        for key, about in json.loads(pq.read_schema(file).metadata[b"study"])["runs"].items():
            found.setdefault(key, {})[file.parent] = about
    return found


def changes(config: dict) -> list[str]:
    """`name = value (default …)` for every field of a configuration that is not at its default."""

    def flat(fields: dict) -> dict:
        inner = {f"reading.{name}": value for name, value in (fields.get("reading") or {}).items()}
        return {name: value for name, value in fields.items() if name != "reading"} | inner

    defaults = flat(RunConfig().model_dump())
    return [
        f"{k} = {v!r} (default {defaults.get(k)!r})"
        for k, v in flat(config).items()
        if v != defaults.get(k)
    ]


def curves(history: pd.DataFrame, metric: str) -> list[str]:
    """A line for each curve: its sparkline, first, lowest, highest and last value."""
    lines = []
    for name in dict.fromkeys([*CURVES, f"dev_{metric}"]):
        if name in history:
            values = history[name].astype(float).tolist()
            ends = " ".join(
                f"{end} {value:.4g}" for end, value in (("first", values[0]), ("last", values[-1]))
            )
            lines.append(
                f"{name:<16} {sparkline(values)}  {ends} lowest {min(values):.4g} highest {max(values):.4g}"
            )
    return lines


def describe(key: str, results: Path = ROOT / "results") -> str:
    """A run by (the beginning of) its key: how it ended, its configuration against the defaults,
    its curves, and the pages that show it. Raises InputError."""
    pages = published(results)
    stored = {path.parent.name[:16]: path.parent for path in store().glob("*/status.json")}
    short = key[:16]
    found = sorted(name for name in {*pages, *stored} if short and name.startswith(short))
    if len(found) != 1:
        told = f"{len(found)} runs ({', '.join(found[:3])}, …)" if found else "no run"
        raise InputError(
            f"{key!r} begins the key of {told} in {store()} and on the pages of {results}"
        )
    name = found[0]
    cited = pages.get(name, {})
    if name in stored:
        run = Run(stored[name])
        about, config, history = run.status, run._json("config.json"), run.history
        where = f"{run.folder} (config.json, history.jsonl, predictions.parquet)"
    else:
        page, about = next(iter(cited.items()))
        config, file, where = (
            about["config"],
            page / "history.csv",
            "not in the store; as its page tells",
        )
        history = pd.read_csv(file) if file.is_file() else pd.DataFrame({"run": []})
        history = history[history["run"] == name]
    reason = f" ({about['reason']})" if about.get("reason") else ""
    lines = [
        f"run {name}: {about['status']}{reason}, epoch {about['chosen_epoch']} of {about['last_epoch']} chosen"
    ]
    lines += [f"  {where}", "configuration, where it differs from the defaults:"]
    lines += [f"  {line}" for line in changes(config)] or ["  nothing"]
    if len(history):
        epochs = f"{history['epoch'].iloc[0]} to {history['epoch'].iloc[-1]}"
        lines += [
            f"curves, epochs {epochs}:",
            *(f"  {line}" for line in curves(history, config["select_by"])),
        ]
    lines += ["cited on:" if cited else "cited on no page of results/"]
    lines += [
        f"  {page / 'README.md'}; its predictions: {page / 'predictions.parquet'}, run = {name}"
        for page in cited
    ]
    return "\n".join(line.replace(f"{ROOT}/", "") for line in lines)
