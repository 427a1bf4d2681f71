"""What a page's runs are, in words: how they are told apart, which of them a table shows, and a
record of each."""

import numpy as np
import pandas as pd

from lib.analysis.predictions import Predictions
from lib.analysis.tables import run_scores
from lib.publish.page import SHARES, cell
from lib.runs.baselines import NAMES
from lib.runs.config import RunConfig


def table(header: list, rows: list[list]) -> str:
    """A Markdown table; empty without rows."""
    lines = [header, ["---"] * len(header), *rows] if rows else []
    return (
        "".join(
            f"| {' | '.join(str(v).replace('|', chr(92) + '|') for v in line)} |\n"
            for line in lines
        )
        + "\n"
    )


def spark(values) -> str:
    """A run's history of one number, as a line the size of a word."""
    values = np.array(values, float)
    if len(values) < 2 or not np.isfinite(values).all():
        return ""
    heights = 15 - 12 * (values - values.min()) / (np.ptp(values) or 1)
    points = " ".join(
        f"{x:.1f},{y:.1f}" for x, y in zip(np.linspace(2, 70, len(values)), heights, strict=True)
    )
    return f'<svg class="spark" viewBox="0 0 72 18" aria-hidden="true"><polyline points="{points}"/></svg>'


def named(runs: dict[str, dict]) -> dict[str, str]:
    """Each run by the fields that tell it from the others; baselines by their names."""
    trained = [run["config"] for run in runs.values() if run["config"]["backbone"] not in NAMES]
    apart = [
        f for f in RunConfig.model_fields if len({str(config.get(f)) for config in trained}) > 1
    ]
    fields = [f for f in apart if f not in ("schedule_args", "reading", "seed")] + ["seed"]

    def name(config: dict) -> str:
        told = (
            v if isinstance(v := config.get(f), str) else f"{f.replace('_', ' ')} {v}"
            for f in fields
        )
        return NAMES.get(config["backbone"]) or ", ".join(told)

    return {key: name(run["config"]) for key, run in runs.items()}


def shows(run: dict, arguments: dict, body: str) -> bool:
    """Whether a table or finding, of the runs that its arguments leave, shows this one."""
    config = run["config"]
    if config["backbone"] in NAMES:
        return NAMES[config["backbone"]] in body
    return "group" not in arguments or str(config[arguments["by"]]) == arguments["group"]


def quoted(predictions: Predictions, rows: pd.DataFrame) -> list[list]:
    """Predictions as a table's rows: document, gold labels, predicted labels with their logits,
    best first."""
    logits = rows.filter(regex=r"^logit_\d+$").to_numpy(np.float32)
    if predictions.task == "regression":
        numbers = zip(rows["row"], rows["label"], logits[:, 0], strict=True)
        return [[row, f"{gold:.3f}", f"{number:.3f}"] for row, gold, number in numbers]
    several = predictions.task == "multilabel"
    gold = rows.filter(regex=r"^gold_\d+$" if several else "^label$").to_numpy()
    ids = (
        rows.filter(regex=r"^top_\d+$").to_numpy()
        if several
        else np.argsort(-logits, axis=1, kind="stable")
    )
    logits = logits if several else np.take_along_axis(logits, ids, axis=1)
    names = (*predictions.label_names, "a label that train lacks")
    told = []
    for row, given, best, values in zip(rows["row"], gold, ids, logits, strict=True):
        guesses = [f"{names[i]} ({value:.2f})" for i, value in zip(best, values, strict=True)]
        told.append([row, "; ".join(names[i] for i in given if i >= 0), "; ".join(guesses[:5])])
    return told


def record(
    key: str,
    name: str,
    predictions: Predictions,
    history: pd.DataFrame,
    made: dict,
    cited: list[str],
) -> str:
    """A run's record, in Markdown."""
    run, defaults = predictions.runs[key], RunConfig().model_dump()
    seconds = made.get("run_seconds", {}).get(key)
    facts = {"status": run["status"], "outcome": run.get("outcome"), "reason": run.get("reason")}
    facts |= {"chosen epoch": f"{run['chosen_epoch']} of {run['last_epoch']}"}
    facts |= {"trained in": seconds and f"{seconds:,.1f} s", "cited in": ", ".join(cited)}
    text = f"# {name}\n\n" + table(
        ["run", f"`{key}`"], [[fact, value] for fact, value in facts.items() if value]
    )
    config = [[f"`{n}`", f"`{v}`", f"`{defaults.get(n)}`"] for n, v in run["config"].items()]
    differing = [row for row in config if row[1] != row[2]]
    text += "## Configuration\n\n" + table(["field", "this run", "default"], differing)
    same = ", ".join(f"{name} {value}" for name, value, default in config if value == default)
    text += f"As by default: {same}.\n\n"
    alone = predictions.keep(lambda other: other is run)
    group = next((g for g in alone.groups("seed") if key in g.runs), None)
    if group:
        scores = run_scores(alone, group).iloc[group.runs.index(key)]
        lines = {}  # P@1 … P@5 are one line
        for metric, value in scores.items():
            what = metric.partition("@")[0].replace("_", " ").replace("f1", "F1") + " (%)" * (
                metric in SHARES
            )
            lines.setdefault(what, [what]).append(cell(value, metric))
        ranks = max(map(len, lines.values())) - 1
        header = [
            "at the chosen epoch",
            *([f"@{k}" for k in range(1, ranks + 1)] if ranks > 1 else ["score"]),
        ]
        text += "## Test scores\n\n" + table(
            header, [line + [""] * (ranks + 1 - len(line)) for line in lines.values()]
        )
    if len(history):
        fields = ["epoch", *(field for field in run["config"] if field != "learning_rate")]
        rows = history.select_dtypes("number").dropna(axis=1).drop(columns=fields, errors="ignore")
        rows = [[c.replace("_", " "), spark(rows[c]), *(f"{v:.4g}" for v in rows[c])] for c in rows]
        text += "## Epoch by epoch\n\n" + table(
            ["", "", *(f"epoch {e}" for e in history["epoch"])], rows
        )
        text += "All runs of the page: [history.csv](../history.csv).\n\n"
    mine = predictions.frame[predictions.frame["run"] == key]
    test = mine[(mine["split"] == "test") & (mine["epoch"] == run["chosen_epoch"])]
    text += f"## Predictions\n\n{len(mine):,} predictions, of dev and test documents after every epoch kept, are in "
    text += f'[predictions.parquet](../predictions.parquet), where `run == "{key}"`. '
    text += f"The first of {len(test):,} on test:\n\n"
    text += table(["document", "gold", "predicted (logit)"], quoted(predictions, test.head(8)))
    places = pd.DataFrame(made.get("runs", [])).astype(str)
    where = [[what, ", ".join(places[what].unique())] for what in places]
    return (
        text + "## Where the runs of this page were trained\n\n" + table(["what", "value"], where)
    )
