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

from lib.analysis import (
    bug_claims,
    calibration,
    claims,
    decisions,
    findings,
    label_errors,
    originals,
    searches,
    student_findings,
    students,
    tables,
)
from lib.analysis.audit import AUDITS
from lib.analysis.cells import best
from lib.analysis.display import escape, markdown, to_csv, words
from lib.analysis.duplicates import leaked
from lib.analysis.predictions import Predictions, collect, group_of
from lib.runs.keys import corpus_of, tokens_of

SPEC = re.compile(
    r"<!-- (table|finding|audit|measured) (\w+) = (\w+) (\{.*\}) -->\n\n?((?:.+\n?)+)"
)
AUDITED = ("dataset", "train_rows", "dev_rows", "test_rows", "split_seed", "backbone", "max_length")
OF_FILES = {"text", "label", "reading"}  # fields that a user's file sets
RUNS_MIME = "application/vnd.study.runs+json"
TABLES = {}  # functions by name, which may stand on a page
for _module in (tables, searches, calibration, decisions, label_errors, students, originals):
    TABLES |= _module.TABLES
FINDINGS = {}
for _module in (
    findings,
    claims,
    searches,
    calibration,
    decisions,
    label_errors,
    student_findings,
    bug_claims,
):
    FINDINGS |= _module.FINDINGS


def _display(bundle: dict, **metadata) -> None:
    from IPython.display import display

    display(bundle, raw=True, metadata=metadata)


def compute(function, predictions: Predictions, arguments: dict):
    """`function(predictions, **arguments)`; `where` narrows the runs first, by fields of their
    config, and then `best` (arguments of `lib.analysis.cells.best`) to the best cell of each
    group. A table has its runs' keys in `attrs["runs"]`."""
    arguments = dict(arguments)
    predictions = predictions.where(**arguments.pop("where", {}))
    if "best" in arguments:
        predictions = best(predictions, **arguments.pop("best"))
    result = function(predictions, **arguments)
    if isinstance(result, pd.DataFrame):
        result.attrs["runs"] = _runs_of(predictions, **arguments)
    return result


def _runs_of(p: Predictions, *, by=None, group=None, **_) -> list[str]:
    """The keys of the runs that a table is made from: those of one group, or all."""
    if not group:
        return list(p.runs)
    return [key for key, run in p.trained.items() if str(run["config"][by]) == group]


def _comment(kind: str, name: str, function: str, arguments: dict) -> str:
    """The comment that says how a table or finding was computed."""
    as_json = json.dumps(arguments).replace("-->", "--\\u003e")  # a value must not end the comment
    return f"<!-- {kind} {name} = {function} {as_json} -->"


def _show(
    kind: str, name: str, function: str, arguments: dict, table: pd.DataFrame, caption: str
) -> None:
    text = f"{_comment(kind, name, function, arguments)}\n\n{markdown(table)}"
    for line in (caption, table.attrs.get("note")):
        text += f"\n{line}\n" if line else ""
    _display({"text/markdown": text, "text/csv": to_csv(table)}, filename=f"{name}.csv")


def show_table(name: str, runs, function, caption: str = "", **arguments) -> pd.DataFrame:
    """Show and return `compute(function, …)`, for a function of `TABLES`; published as
    `name`.csv."""
    table = compute(function, collect(runs), arguments)
    _show("table", name, function.__name__, arguments, table, caption)
    return table


def show_audit(config, caption: str = "", name: str = "audit") -> None:
    """Show the audit of a configuration's corpus and tokens (a row of
    `lib.analysis.audit.AUDITS`); published as `name`.csv."""
    arguments = {name: getattr(config, name) for name in AUDITED}
    arguments |= config.model_dump(include=OF_FILES, exclude_defaults=True)
    table = AUDITS[name](corpus_of(config), tokens_of(config))
    _show("audit", name, name, arguments, table, caption)


def show_leaks(runs, config, *, by: str, metrics: list[str], **narrowed) -> None:
    """Show which documents have near-duplicates in their split or another, and if some of test
    leaked from train or dev, what the runs score without them."""
    show_audit(
        config,
        "Near-duplicates: at least 60 % of all word pairs of two texts are in both.",
        "leaks",
    )
    rows = leaked(corpus_of(config))
    if rows:
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
    """Show the sentence that a function of `FINDINGS` computes."""
    text = compute(function, collect(runs), arguments)
    comment = _comment("finding", "sentence", function.__name__, arguments)
    _display({"text/markdown": f"{comment}\n\n{text}\n"})


def show_figure(figure, name: str, caption: str, runs=None) -> None:
    """Show a figure; published as `name`.png, equal data giving equal bytes.

    Its metadata has its name and the keys of the runs it shows: `runs`, or else those that its
    tables were made from.
    """
    keys = getattr(figure, "runs", []) if runs is None else [run.key[:16] for run in runs]
    metadata = {"Title": name, "Runs": " ".join(keys)} if keys else {}
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150, metadata={"Software": None} | metadata)
    picture = base64.b64encode(file.getvalue()).decode()
    _display({"image/png": picture, "text/plain": words(name)}, filename=f"{name}.png")
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
    true_labels = corpus.test.true_labels
    if true_labels is None:
        return
    members = group_of(collect(runs), by, group)
    confidence = softmax(members.logits, axis=-1).mean(0)
    predicted = confidence.argmax(1)
    order = np.argsort(-confidence.max(1), kind="stable")
    wrong = [i for i in order if predicted[i] != members.labels[i]]
    replaced = sum(true_labels[i] != members.labels[i] for i in wrong)
    lines = [
        f"Of {len(wrong)} test items that {group} gets wrong (mean of its seeds), {replaced} carry "
        "a replaced label.",
        "",
    ]
    for i in wrong[:count]:
        given = escape(corpus.label_names[members.labels[i]])
        taken = escape(corpus.label_names[predicted[i]])
        is_noise = true_labels[i] != members.labels[i]
        remark = "the label was replaced" if is_noise else "a real error"
        lines.append(
            f"- labelled {given}, taken for **{taken}** ({confidence[i].max():.2f}; {remark}): "
            f"“{escape(corpus.test.texts[i])}”"
        )
    show_text("\n".join(lines))


def show_label_errors(runs, config, *, by: str, group: str, count: int = 10) -> None:
    """Show `lib.analysis.label_errors.label_errors`, and quote the documents: their beginnings,
    and of a generated corpus, what is so."""
    arguments = {"by": by, "group": group, "most": count}
    table = show_table("label_errors", runs, label_errors.label_errors, **arguments)
    dev = corpus_of(config).dev
    place_of = {row: i for i, row in enumerate(dev.rows.tolist())}
    lines = []
    for row in table.to_dict("records"):
        i = place_of[row["row"]]
        text = " ".join(dev.whole_texts[i].split())
        shown = f"{text[:160]}…" if len(text) > 160 else text
        where = f"row {row['row']}" if dev.lines is None else f"line {dev.lines[i]}"
        lines.append(
            f"- {where}, given {escape(row['given'])}, believed **{escape(row['believed'])}**"
            f"{_truth(dev, i)}: “{escape(shown)}”"
        )
    show_text("\n".join(lines) or "None.")


def _truth(split, i: int) -> str:
    """Whether the label of a document is wrong, where a generator knows."""
    if split.true_labels is None or split.true_labels.ndim > 1:
        return ""
    if split.true_labels[i] != split.labels[i]:
        return "; the generator did replace this label"
    return "; the label is right"


def show_runs(runs) -> None:
    """Name the runs that a page shows, so that their predictions and histories are published
    with it."""
    keys = [run.key for run in runs]
    _display({RUNS_MIME: keys, "text/plain": f"{len(keys)} runs published with this page"})
