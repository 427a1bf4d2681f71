"""What a study shows: tables, findings and figures, in a notebook and on its page.

A table or finding is shown with a comment that says how it was computed, for example `<!-- table
by_schedule = by_group {"by": "schedule", "metrics": ["accuracy"]} -->`; `lib.publish.verify`
computes it again.
"""

import base64
import io
import json
import re

import numpy as np
import pandas as pd
from scipy.special import softmax

from lib.analysis import calibration, decisions, findings, originals, students, tables
from lib.analysis import searches as search
from lib.analysis.audit import AUDITS
from lib.analysis.duplicates import leaked
from lib.analysis.predictions import Predictions
from lib.analysis.tables import best
from lib.metrics import METRICS
from lib.runs.baselines import BASELINES
from lib.runs.store import corpus_of, tokens_of

RANKINGS = ("P", "R", "nDCG", "PSP", "PSnDCG")
SPEC = re.compile(
    r"<!-- (table|finding|audit|measured) (\w+) = (\w+) (\{.*\}) -->\n\n?((?:.+\n?)+)"
)
AUDITED = ("dataset", "train_rows", "dev_rows", "test_rows", "split_seed", "backbone", "max_length")
HEADERS = {
    "mcc": "MCC",
    "ece": "ECE",
    "r2": "R²",
    "spearman": "Spearman",
    "pearson": "Pearson",
    "rmse": "RMSE",
}
RUNS_MIME = "application/vnd.study.runs+json"
MODULES = (tables, search, calibration, decisions, students, originals)
TABLES = {name: function for module in MODULES for name, function in module.TABLES.items()}
FINDINGS = {n: f for module in (findings, *MODULES[1:]) for n, f in module.FINDINGS.items()}
SHARES = {
    *(name for name, m in METRICS.items() if m.kind == "share" and m.functions),
    "weighted_f1",
    "ece",
    "confidence",
    "right",
    "sureness",
    "top_label_share",
    "share of the grid",
    "share of variance",
    "kept",
    "agreement",
    "precision",
    "recall",
    "f1",
    *(f"{m}@{k}" for m in RANKINGS for k in range(1, 6)),
}


def _display(bundle: dict, **metadata) -> None:
    from IPython.display import display

    display(bundle, raw=True, metadata=metadata)


def cell(value, column: str, decimals: int = 0) -> str:
    """One number or word as a page shows it: scores in percent, losses with four decimals,
    others with `decimals`."""
    if isinstance(value, str):
        return value.replace("|", "\\|")
    if value is None or value != value:
        return "–"
    if column.startswith("p ("):
        return f"{value:.3f}" if value >= 0.001 else "<0.001"
    if column.split(",")[0] in SHARES:
        return f"{100 * value:.2f}"
    if column.split(",")[0] in METRICS and METRICS[column.split(",")[0]].kind in (
        "number",
        "signed",
    ):
        return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"
    if "cosine" in column or "gradient" in column:
        return f"{value:.3g}"
    return f"{value:.4f}" if "loss" in column else f"{value:,.{decimals}f}"


def markdown(table: pd.DataFrame) -> str:
    """A pipe table; `x`, `x_sd`, `x_low`, `x_high` become one column `x ± sd [low, high]`. Cells
    (row, column) named in `attrs["bold"]` are bold."""
    extra = {f"{name}{end}" for name in table.columns for end in ("_sd", "_low", "_high")}
    shown = [name for name in table.columns if name not in extra]
    numbers = table.select_dtypes("number")
    decimals = {
        name: int(name in numbers and bool((numbers[name] % 1 != 0).any())) for name in shown
    }
    lines, bold = [], set(table.attrs.get("bold", []))
    for i, row in enumerate(table.to_dict("records")):
        cells = []
        for name in shown:
            text = cell(row[name], name, decimals[name])
            if row.get(f"{name}_sd", float("nan")) == row.get(f"{name}_sd", float("nan")):
                text += f" ± {cell(row[f'{name}_sd'], name)}"
            if f"{name}_low" in row:
                text += f" [{cell(row[f'{name}_low'], name)}, {cell(row[f'{name}_high'], name)}]"
            text = (
                text.replace("-", "−") if name != "run" and not isinstance(row[name], str) else text
            )
            cells.append(f"**{text}**" if (i, name) in bold else text)
        lines.append(cells)
    names = [
        HEADERS.get(name, name.replace("_", " ").replace("f1", "F1"))
        + " (%)" * (name.split(",")[0] in SHARES)
        for name in shown
    ]
    right = [
        "---" if len(table) and isinstance(table[name].iloc[0], str) else "---:" for name in shown
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [names, right, *lines]) + "\n"


def to_csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, float_format="%.6f", lineterminator="\n")


def compute(function, predictions: Predictions, arguments: dict):
    """`function(predictions, **arguments)`; `where` narrows the runs first, by fields of their
    config, and then `best` (arguments of `lib.analysis.tables.best`) to the best cell of each
    group. A table has its runs' keys in `attrs["runs"]`."""
    arguments = dict(arguments)
    predictions = predictions.where(**arguments.pop("where", {}))
    if "best" in arguments:
        predictions = best(predictions, **arguments.pop("best"))
    found = function(predictions, **arguments)
    if isinstance(found, pd.DataFrame):
        found.attrs["runs"] = _shown(predictions, **arguments)
    return found


def _shown(p: Predictions, *, by=None, group=None, **_) -> list[str]:
    """The keys of the runs that a table is made from: those of one group, or all."""
    trained = {
        key: run["config"]
        for key, run in p.runs.items()
        if run["config"]["backbone"] not in BASELINES
    }
    return (
        [key for key, config in trained.items() if str(config[by]) == group]
        if group
        else list(p.runs)
    )


def _show(
    kind: str, name: str, function: str, arguments: dict, table: pd.DataFrame, caption: str
) -> None:
    text = f"<!-- {kind} {name} = {function} {json.dumps(arguments)} -->\n\n{markdown(table)}"
    text += "".join(f"\n{line}\n" for line in (caption, table.attrs.get("note")) if line)
    _display({"text/markdown": text, "text/csv": to_csv(table)}, filename=f"{name}.csv")


def show_table(name: str, runs, function, caption: str = "", **arguments) -> pd.DataFrame:
    """Show and return `compute(function, …)`, for a function of `lib.analysis.tables`; published
    as `name`.csv."""
    table = compute(function, _predictions(runs), arguments)
    _show("table", name, function.__name__, arguments, table, caption)
    return table


def show_audit(config, caption: str = "", name: str = "audit") -> None:
    """Show the audit of a configuration's corpus and tokens (a row of
    `lib.analysis.audit.AUDITS`); published as `name`.csv."""
    arguments = {name: getattr(config, name) for name in AUDITED}
    own = config.model_dump(
        include={"text", "label", "reading"}, exclude_defaults=True
    )  # where it is a user's file
    arguments |= own
    _show(
        "audit", name, name, arguments, AUDITS[name](corpus_of(config), tokens_of(config)), caption
    )


def show_leaks(runs, config, *, by: str, metrics: list[str], **narrowed) -> None:
    """Show which documents have near-duplicates in their split or another, and if some of test
    leaked from train or dev, what the runs score without them."""
    show_audit(
        config,
        "Near-duplicates: at least 60 % of all word pairs of two texts are in both.",
        "leaks",
    )
    if rows := leaked(corpus_of(config)):
        caption = (
            "On all of test, and without the documents that have a near-duplicate in train or dev."
        )
        arguments = {"by": by, "metrics": metrics, "rows": rows} | narrowed
        show_table("without_leaks", runs, tables.without_rows, caption, **arguments)


def show_measured(name: str, table: pd.DataFrame, caption: str = "") -> None:
    """Show what was measured on this machine (times, sizes), which no prediction can tell;
    published as `name`.csv."""
    _show("measured", name, "none", {}, table, caption)


def show_finding(runs, function, **arguments) -> None:
    """Show the sentence that a function of `lib.analysis.findings` computes."""
    text = compute(function, _predictions(runs), arguments)
    spec = f"<!-- finding sentence = {function.__name__} {json.dumps(arguments)} -->"
    _display({"text/markdown": f"{spec}\n\n{text}\n"})


def show_figure(figure, name: str, caption: str, runs=None) -> None:
    """Show a figure; published as `name`.png, equal data giving equal bytes.

    Its metadata has its name and the keys of the runs it shows: `runs`, or else those that its
    tables were made from.
    """
    keys = [run.key[:16] for run in runs] if runs is not None else getattr(figure, "runs", [])
    metadata = {"Title": name, "Runs": " ".join(keys)} if keys else {}
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150, metadata={"Software": None} | metadata)
    picture = base64.b64encode(file.getvalue()).decode()
    _display({"image/png": picture, "text/plain": name.replace("_", " ")}, filename=f"{name}.png")
    _display({"text/markdown": f"*{caption}*\n"})


def show_text(text: str) -> None:
    _display({"text/markdown": text})


def show_errors(runs, config, *, by: str, group: str, count: int = 6) -> None:
    """Quote the test documents that a group gets wrong with the highest mean confidence over its
    seeds.

    Only of a generated corpus: other texts are not ours to publish. Says where the given label
    itself is the noise.
    """
    corpus = corpus_of(config)
    if corpus.test.true_labels is None:
        return
    found = next(g for g in _predictions(runs).groups(by) if g.name == group)
    confidence = softmax(found.logits, axis=-1).mean(0)
    predicted = confidence.argmax(1)
    order = np.argsort(-confidence.max(1), kind="stable")
    wrong = [i for i in order if predicted[i] != found.labels[i]]
    noisy = sum(corpus.test.true_labels[i] != found.labels[i] for i in wrong)
    lines = [
        f"Of {len(wrong)} test items that {group} gets wrong (mean of its seeds), {noisy} carry a replaced label."
    ]
    for i in wrong[:count]:
        noise = corpus.test.true_labels[i] != found.labels[i]
        given, taken = (corpus.label_names[k] for k in (found.labels[i], predicted[i]))
        remark = "the label was replaced" if noise else "a real error"
        lines.append(
            f"- labelled {given}, taken for **{taken}** ({confidence[i].max():.2f}; {remark}): “{corpus.test.texts[i]}”"
        )
    show_text("\n".join([lines[0], "", *lines[1:]]))


def show_label_errors(runs, config, *, by: str, group: str, count: int = 10) -> None:
    """Show `lib.analysis.decisions.label_errors`, and quote the documents: their beginnings, and
    of a generated corpus, what is so."""
    arguments = {"by": by, "group": group, "most": count}
    table = show_table("label_errors", runs, decisions.label_errors, **arguments)
    dev, lines = corpus_of(config).dev, []
    place = {row: i for i, row in enumerate(dev.rows.tolist())}
    for row in table.to_dict("records"):
        i = place[row["row"]]
        text = " ".join(dev.whole_texts[i].split())
        where = f"line {dev.lines[i]}" if dev.lines is not None else f"row {row['row']}"
        truth = ""
        if dev.true_labels is not None and dev.true_labels.ndim == 1:
            replaced = dev.true_labels[i] != dev.labels[i]
            truth = "; the generator did replace this label" if replaced else "; the label is right"
        shown = f"{text[:160]}…" if len(text) > 160 else text
        lines.append(
            f"- {where}, given {row['given']}, believed **{row['believed']}**{truth}: “{shown}”"
        )
    show_text("\n".join(lines) or "None.")


def show_runs(runs) -> None:
    """Name the runs that a page shows, so that their predictions and histories are published
    with it."""
    _display(
        {
            RUNS_MIME: [run.key for run in runs],
            "text/plain": f"{len(runs)} runs published with this page",
        }
    )


def _predictions(runs) -> Predictions:
    return runs if isinstance(runs, Predictions) else runs.predictions
