"""The study of a table of one's own: what is shown of numbers, and what the model is worth."""

import dataclasses

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lib.analysis import captions, label_errors
from lib.analysis.comparisons import EQUAL, EQUAL_NUMBERS, OPEN, SIGNIFICANT, differences
from lib.analysis.display import count, escape, listed, percent, score, title
from lib.analysis.findings import difference_of
from lib.analysis.groups import Group
from lib.analysis.lengths import share_read_of
from lib.analysis.names import display_name, short_name
from lib.analysis.predictions import Predictions, group_of
from lib.analysis.references import best_reference, learning_references
from lib.analysis.tables import by_group
from lib.data import Split
from lib.datasets import may_quote
from lib.errors import InputError
from lib.metrics import METRICS
from lib.publish.page import show_as_published, show_table, show_text
from lib.reading.vocabulary import NOT_IN_TRAIN
from lib.references import baselines
from lib.runs.config import RunConfig
from lib.runs.keys import corpus_of
from lib.runs.published import PREDICTIONS, published_page
from plots.style import COLOURS, GREY, WIDTH, add_legend, add_title, colours, metric_axis, styled

SHOWN = {  # metrics for each task, after the one that chooses the epoch
    "classification": ["accuracy", "macro_f1", "weighted_f1", "mcc"],
    "multilabel": ["micro_f1", "macro_f1", "P@1"],
    "regression": ["spearman", "pearson", "rmse", "mae", "r2"],
}

ANSWERS = {  # by the verdict and whether the model is the better one: whether it is worth it
    (SIGNIFICANT, True): ("Yes", "significantly better than"),
    (SIGNIFICANT, False): ("No", "significantly worse than"),
    (OPEN, True): ("Not shown", "not significantly better than"),
    (OPEN, False): ("Not shown", "not significantly worse than"),
    (EQUAL, True): ("No", "within 1 point of"),
    (EQUAL, False): ("No", "within 1 point of"),
    (EQUAL_NUMBERS, True): ("No", "within 0.01 of"),
    (EQUAL_NUMBERS, False): ("No", "within 0.01 of"),
}

FEW_DECISIONS = 20  # under which a bin's share right is mostly luck
ALL_READ = 0.995  # the share of a text from which on nothing is said of it

CAPTIONS = {  # of the tables and figures by their names
    "audit": "A duplicate equals an earlier text of its split but for case and white space; also "
    "in train: a leak.",
    "balance": "Rows of each class.",
    "suspicious": "Texts worth a look before a model is blamed, with the lines of the first.",
    "scores": f"{captions.SCORES}, each run at its best epoch on dev.",
    "scores_figure": captions.DOTS_BESIDE,
    "learning_curves": captions.CURVES,
    "first_fold": f"Of the first fold. {captions.CURVES}",
    "predicted": "Each dot is a test document, the mean over seeds. On the line, the two are "
    "equal.",
    "report": "By class on test, mean over seeds; F1 with its 95 % interval.",
    "confusion_matrix": "Test documents, mean over seeds, each run at its best epoch on dev: given "
    "class in rows, predicted in columns.",
    "thresholds": "Test F1 with thresholds that dev chose, and the gain over one half with its "
    "95 % interval.",
    "label_thresholds": "The probability above which a label is given; with under five dev "
    "documents, the common one.",
    "calibration": "Expected calibration error on test over 15 bins, before and after a "
    "temperature fitted on dev.",
    "reliability": "On the line, a model that says 80 % is right in 80 % of cases. "
    f"Hollow: fewer than {FEW_DECISIONS} cases, which tell little.",
    "kept_right": captions.KEPT_RIGHT,
    "risk_coverage": captions.RISK_COVERAGE,
    "cost": "Parameters, and documents trained per second on the machine that trained.",
}

NO_MODEL = [display_name(name) for name in baselines.NO_MODEL]  # which learn nothing from a text

MACRO_F1 = {  # what the mean is over
    "classification": " Macro F1 is the mean over the classes that occur in test or are predicted.",
    "multilabel": " Macro F1 is the mean over all labels of train.",
}


def metrics_of(task: str, first: str) -> list[str]:
    """The metrics that are shown for a task, one first."""
    return list(dict.fromkeys([first, *SHOWN[task]]))


def predicted_numbers(p: Predictions, *, by: str, group: str) -> pd.DataFrame:
    """Given and predicted number of each test document, the mean over seeds."""
    runs = group_of(p, by, group)
    return pd.DataFrame({"given": runs.labels, "predicted": runs.logits[:, :, 0].mean(0)})


def result(p: Predictions, *, by: str, metric: str = "accuracy") -> str:
    """Whether fine-tuning is worth it: what it scores on test, beside the reference that is best on
    dev."""
    table = by_group(p, by=by, metrics=[metric]).set_index(by)
    model = table.iloc[0]
    reached = f"fine-tuning reaches {title(metric)} {score(model[metric], metric)}"
    share = share_read_of(p)
    if share < ALL_READ:
        reached = f"reading {percent(share, 0)} of a text, {reached}"
    else:
        reached += f" on {count(int(model['documents']), 'test text')}"
    if not learning_references(p, metric=metric):
        return f"{reached[0].upper()}{reached[1:]}."
    reference = best_reference(p, metric=metric)
    name = short_name(reference)
    beside = score(table.loc[reference, metric], metric)
    gain = difference_of(differences(p, by=by, metric=metric), model.name, reference, metric)
    is_better = (gain["value"] > 0) == METRICS[metric].higher_is_better
    if (gain["verdict"], is_better) not in ANSWERS:
        return f"Not tested, {gain['verdict']}: {reached}; {name} reaches {beside}."
    answer, verdict = ANSWERS[gain["verdict"], is_better]
    return f"{answer}: {reached}, {verdict} {name} ({beside})."


def caution(p: Predictions, *, by: str, group: str) -> str:
    """What to know before a score is believed: runs that learned nothing, and classes that test
    lacks; empty where there is nothing."""
    runs = group_of(p, by, group)
    return f"{_learned_nothing(runs)} {_absent_classes(p, runs)}".strip()


def _learned_nothing(group: Group) -> str:
    """How many runs of a group tell no documents apart."""
    number = int(label_errors.learned_nothing(group).sum())
    if not number:
        return ""
    how = "every document is given the same class"
    if group.labels.dtype.kind == "f":
        how = "the mean of test is nearer to its numbers"
    elif group.ranked is not None:
        how = "every document has the same label first"
    return (
        f"**{number} of {count(len(group.seeds), 'seed')} learned nothing**: {how}; more epochs or "
        "another learning rate may help."
    )


def _absent_classes(p: Predictions, group: Group) -> str:
    """Which classes test lacks, and what that means for macro F1."""
    if p.task != "classification":
        return ""
    there = set(group.labels.tolist())
    absent = [name for i, name in enumerate(p.label_names) if i not in there]
    absent = [escape(name) for name in absent if name != NOT_IN_TRAIN]
    if not absent:
        return ""
    return (
        f"Test has no document of {len(absent)} of {len(p.label_names)} classes "
        f"({listed(absent)}): macro F1 is the mean over those that test has, or that are predicted."
    )


@styled
def reliability_diagram(table: pd.DataFrame) -> Figure:
    """The share right by mean confidence, a line for each way to make probabilities; below, how
    many decisions each bin has."""
    figure = Figure(figsize=(WIDTH, 5.0))
    ax, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="as sure as right")
    for i, (name, colour) in enumerate(colours(table["probabilities"]).items()):
        way = table[table["probabilities"] == name]
        ax.plot(way["confidence"], way["right"], "o-", color=colour, label=name)
        few = way[way["decisions"] < FEW_DECISIONS]
        ax.plot(few["confidence"], few["right"], "o", color=colour, markerfacecolor="white")
        places = way["confidence"] + (i - 0.5) * 0.016
        below.bar(places, way["decisions"], width=0.016, color=colour)
    lowest = float(np.floor(10 * table[["confidence", "right"]].min().min()) / 10)
    ax.set_xlim(lowest, 1.01)
    ax.set_ylim(lowest, 1.01)
    ax.set_ylabel("share right")
    below.set_ylabel("decisions")
    below.yaxis.set_major_formatter(lambda number, _position: f"{number:,.0f}")
    below.set_xlabel("confidence")
    metric_axis(ax.xaxis)
    metric_axis(ax.yaxis)
    add_legend(figure, ax)
    add_title(figure, "How often it is right, by how sure it is")
    return figure


@styled
def number_scatter(table: pd.DataFrame) -> Figure:
    """Predicted against given numbers, a dot a document."""
    figure = Figure(figsize=(WIDTH, 4.6))
    ax = figure.subplots()
    ends = [table.min().min(), table.max().max()]
    ax.plot(ends, ends, color=GREY, linewidth=1, linestyle="--")
    ax.plot(table["given"], table["predicted"], "o", color=COLOURS[0], markersize=4, alpha=0.4)
    ax.set_xlabel("given")
    ax.set_ylabel("predicted, mean over seeds")
    add_title(figure, "Predicted and given")
    return figure


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a corpus is: its task, its number of labels, and the metric that it is judged by."""

    task: str
    num_labels: int
    metric: str


def kind_of(config: RunConfig) -> Kind:
    """What a configuration's corpus is; of a page, whose data may be elsewhere, what its runs
    say."""
    page = published_page()
    if not page:
        corpus = corpus_of(config)
        return Kind(corpus.task, corpus.num_labels, corpus.metric)
    published = Predictions.read(page / PREDICTIONS)
    first = next(iter(published.trained.values()))
    return Kind(published.task, len(published.label_names), first["config"]["select_by"])


def show_label_errors(runs, config, *, by: str, group: str, count: int = 10) -> None:
    """Show `lib.analysis.label_errors.label_errors`, and quote the beginnings of the documents, but
    not of the corpora in `DATASETS`, whose texts are not ours to publish.

    Of a generated corpus also what is so.
    """
    arguments = {"by": by, "group": group, "most": count}
    table = show_table("label_errors", runs, label_errors.label_errors, **arguments)
    if "note" in table.attrs or not may_quote(config.dataset):
        return
    try:
        corpus = corpus_of(config)
    except InputError as error:
        show_as_published("text", "label_error_quotes", error)
        return
    splits = [corpus.train, corpus.dev, corpus.test] if config.folds else [corpus.dev]
    place_of = {row: (split, i) for split in splits for i, row in enumerate(split.rows.tolist())}
    lines = [_quoted(row, *place_of[row["row"]]) for row in table.to_dict("records")]
    show_text("\n".join(lines) or "None.", "label_error_quotes")


def _quoted(row: dict, split: Split, i: int) -> str:
    """A row of the table of label errors, with the beginning of the i-th document of a split."""
    text = " ".join(split.whole_texts[i].split())
    shown = f"{text[:160]}…" if len(text) > 160 else text
    where = f"row {row['row']}" if split.lines is None else f"line {split.lines[i]}"
    return (
        f"- {where}, given {escape(row['given'])}, believed **{escape(row['believed'])}**"
        f"{_truth(split, i)}: “{escape(shown)}”"
    )


def _truth(split: Split, i: int) -> str:
    """Whether the label of a document is wrong, where a generator knows."""
    if split.true_labels is None or split.true_labels.ndim > 1:
        return ""
    if split.true_labels[i] != split.labels[i]:
        return "; the generator did replace this label"
    return "; the label is right"
