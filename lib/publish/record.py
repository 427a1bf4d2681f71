"""What a run is, in Markdown: its record on the site."""

import numpy as np
import pandas as pd

from lib.analysis.display import cell, kind_of, title
from lib.analysis.predictions import Predictions
from lib.analysis.tables import run_scores
from lib.runs.baselines import NAMES
from lib.runs.config import RunConfig

LACKING = "a label that train lacks"


def table(header: list, rows: list[list]) -> str:
    """A Markdown table; empty without rows."""
    if not rows:
        return "\n"
    lines = [header, ["---"] * len(header), *rows]
    escaped = [[str(value).replace("|", "\\|") for value in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped) + "\n"


def describe_config(config: dict) -> tuple[list[list], list[str]]:
    """The fields of a configuration that differ from the defaults, as (name, value, default), and
    `name value` of those that do not."""

    def flat(fields: dict) -> dict:
        reading = fields.get("reading") or {}
        inner = {f"reading.{name}": value for name, value in reading.items()}
        return {name: value for name, value in fields.items() if name != "reading"} | inner

    defaults = flat(RunConfig().model_dump())
    changed, same = [], []
    for name, value in flat(config).items():
        if value == defaults.get(name):
            same.append(f"{name} {value}")
        else:
            changed.append([name, value, defaults.get(name)])
    return changed, same


def spark(values) -> str:
    """A run's history of one number, as a line the size of a word."""
    values = np.array(values, float)
    if len(values) < 2 or not np.isfinite(values).all():
        return ""
    heights = 15 - 12 * (values - values.min()) / (np.ptp(values) or 1)
    across = np.linspace(2, 70, len(values))
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, heights, strict=True))
    line = f'<polyline points="{points}"/>'
    return f'<svg class="spark" viewBox="0 0 72 18" aria-hidden="true">{line}</svg>'


def run_names(runs: dict[str, dict]) -> dict[str, str]:
    """Each run by the fields that tell it from the others; baselines by their names."""
    configs = {key: run["config"] for key, run in runs.items()}
    trained = [config for config in configs.values() if config["backbone"] not in NAMES]
    fields = []
    for field in RunConfig.model_fields:
        differs = len({str(config.get(field)) for config in trained}) > 1
        if differs and field not in ("schedule_args", "reading", "seed"):
            fields.append(field)
    fields.append("seed")
    names = {}
    for key, config in configs.items():
        words = []
        for field in fields:
            value = config.get(field)
            named = isinstance(value, str)
            words.append(value if named else f"{field.replace('_', ' ')} {value}")
        names[key] = NAMES.get(config["backbone"]) or ", ".join(words)
    return names


def quoted(predictions: Predictions, rows: pd.DataFrame) -> list[list]:
    """Predictions as a table's rows: document, gold labels, predicted labels with their logits,
    best first."""
    logits = rows.filter(regex=r"^logit_\d+$").to_numpy(np.float32)
    if predictions.task == "regression":
        numbers = zip(rows["row"], rows["label"], logits[:, 0], strict=True)
        return [[row, f"{gold:.3f}", f"{number:.3f}"] for row, gold, number in numbers]
    if predictions.task == "multilabel":
        gold = rows.filter(regex=r"^gold_\d+$").to_numpy()
        ranked = rows.filter(regex=r"^top_\d+$").to_numpy()
    else:
        gold = rows[["label"]].to_numpy()
        ranked = np.argsort(-logits, axis=1, kind="stable")
        logits = np.take_along_axis(logits, ranked, axis=1)
    names = (*predictions.label_names, LACKING)
    lines = []
    for row, labels, best, values in zip(rows["row"], gold, ranked, logits, strict=True):
        given = "; ".join(names[i] for i in labels if i >= 0)
        guesses = [f"{names[i]} ({value:.2f})" for i, value in zip(best, values, strict=True)]
        lines.append([row, given, "; ".join(guesses[:5])])
    return lines


def record(
    key: str,
    name: str,
    predictions: Predictions,
    history: pd.DataFrame,
    environment: dict,
    cited: list[str],
) -> str:
    """A run's record, in Markdown; `environment` is its page's, `cited` links to what shows it."""
    run = predictions.runs[key]
    seconds = environment.get("run_seconds", {}).get(key)
    facts = {
        "status": run["status"],
        "outcome": run.get("outcome"),
        "reason": run.get("reason"),
        "chosen epoch": f"{run['chosen_epoch']} of {run['last_epoch']}",
        "trained in": seconds and f"{seconds:,.1f} s",
        "cited in": ", ".join(cited),
    }
    changed, same = describe_config(run["config"])
    places = pd.DataFrame(environment.get("runs", [])).astype(str)
    sections = [
        f"# {name}\n\n",
        table(["run", f"`{key}`"], [[fact, value] for fact, value in facts.items() if value]),
        "## Configuration\n\n",
        table(["field", "this run", "default"], [[f"`{word}`" for word in row] for row in changed]),
        f"As by default: {', '.join(f'`{field}`' for field in same)}.\n\n",
        scores_section(key, predictions),
        history_section(run, history),
        predictions_section(key, predictions),
        "## Where the runs of this page were trained\n\n",
        table(["what", "value"], [[what, ", ".join(places[what].unique())] for what in places]),
    ]
    return "".join(sections)


def scores_section(key: str, predictions: Predictions) -> str:
    """The test scores of a run's chosen epoch; a line for P@1 … P@5."""
    run = predictions.runs[key]
    alone = predictions.keep(lambda other: other is run)
    group = next((g for g in alone.groups("seed") if key in g.runs), None)
    if group is None:
        return ""
    scores = run_scores(alone, group).iloc[group.runs.index(key)]
    lines: dict[str, list] = {}
    for metric, value in scores.items():
        what = title(metric).partition("@")[0]
        what += " (%)" if kind_of(metric) == "share" else ""
        lines.setdefault(what, [what]).append(cell(value, metric))
    ranks = max(map(len, lines.values())) - 1
    columns = [f"@{k}" for k in range(1, ranks + 1)] if ranks > 1 else ["score"]
    rows = [line + [""] * (ranks + 1 - len(line)) for line in lines.values()]
    return "## Test scores\n\n" + table(["at the chosen epoch", *columns], rows)


def history_section(run: dict, history: pd.DataFrame) -> str:
    """What was measured after each epoch."""
    if not len(history):
        return ""
    fields = ["epoch", *(field for field in run["config"] if field != "learning_rate")]
    measured = history.select_dtypes("number").dropna(axis=1).drop(columns=fields, errors="ignore")
    rows = []
    for name in measured:
        values = [f"{value:.4g}" for value in measured[name]]
        rows.append([name.replace("_", " "), spark(measured[name]), *values])
    header = ["", "", *(f"epoch {epoch}" for epoch in history["epoch"])]
    source = "All runs of the page: [history.csv](../history.csv).\n\n"
    return "## Epoch by epoch\n\n" + table(header, rows) + source


def predictions_section(key: str, predictions: Predictions) -> str:
    """Where a run's predictions are, and the first of them."""
    frame = predictions.frame[predictions.frame["run"] == key]
    chosen = predictions.runs[key]["chosen_epoch"]
    test = frame[(frame["split"] == "test") & (frame["epoch"] == chosen)]
    rows = quoted(predictions, test.head(8))
    return (
        f"## Predictions\n\n{len(frame):,} predictions, of dev and test documents after every "
        "epoch kept, are in [predictions.parquet](../predictions.parquet), "
        f'where `run == "{key}"`. The first of {len(test):,} on test:\n\n'
    ) + table(["document", "gold", "predicted (logit)"], rows)
