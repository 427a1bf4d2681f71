"""Shared figures: sorted, labelled, with their baseline, and readable on a phone."""

import ast
import itertools
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import plots
from lib.analysis import classes
from lib.references.baselines import NAMES
from lib.runs.paths import ROOT
from plots.curves import DASH, dashes
from plots.grids import contrast, heat_map, luminance
from plots.intervals import BELOW
from plots.style import GREY, MOST_LINES, SMALLEST, WIDTH, log_axis

SCORES = pd.DataFrame(
    {
        "head": ["cls", "weighted_average", "TF-IDF, whole text", NAMES["noise_ceiling"]],
        "seeds": [3, 3, 1, 1],
        "accuracy": [0.7, 0.8, 0.75, 0.97],
        "accuracy_low": [0.65, 0.78, 0.74, 0.96],
        "accuracy_high": [0.75, 0.82, 0.76, 0.98],
    }
)


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_parse_math"))]


def test_scores_are_sorted_labelled_and_beside_the_best_reference():
    figure = plots.score_intervals(SCORES, by="head", metric="accuracy", title="Heads")
    [ax] = figure.axes
    labels = [label.get_text() for label in ax.get_yticklabels()]  # from above
    assert labels[1:] == ["weighted average", "TF-IDF, whole text", "CLS"]
    assert {"80.0 %", "75.0 %", "70.0 %"} <= set(texts(figure))
    [line] = [line for line in ax.lines if line.get_linestyle() == ":"]
    assert line.get_color() == GREY and line.get_xdata()[0] == 0.75


def test_the_seeds_of_a_mean_are_below_it():
    table = SCORES.copy()
    table.attrs["seed_scores"] = {"accuracy": {"cls": [0.69, 0.7, 0.71]}}
    figure = plots.score_intervals(table, by="head", metric="accuracy", title="Heads")
    [ax] = figure.axes
    [seeds] = [line for line in ax.lines if list(line.get_xdata()) == [0.69, 0.7, 0.71]]
    [mean] = [line for line in ax.lines if list(line.get_xdata()) == [0.7]]
    assert set(seeds.get_ydata()) == {mean.get_ydata()[0] - BELOW}
    assert seeds.get_color() == mean.get_color()


def test_values_stand_off_the_axis_on_white():
    """The lowest score of four has a label that its narrow interval leaves no room for."""
    table = SCORES.assign(head=["a name that takes all", "b", "c", "d"])
    table[["accuracy_low", "accuracy_high"]] = table[["accuracy", "accuracy"]].to_numpy()
    figure = plots.score_intervals(table, by="head", metric="accuracy", title="Heads")
    figure.draw_without_rendering()
    [ax] = figure.axes
    for text in ax.texts:
        assert text.get_bbox_patch().get_facecolor() == (1, 1, 1, 1)
        place = text.get_window_extent()
        assert ax.bbox.x0 < place.x0 and place.x1 < ax.bbox.x1


def test_scores_by_class_have_their_values_beside_them():
    table = SCORES.assign(**{"class": "yes"}).iloc[:2]
    missing = table.iloc[:1].assign(accuracy=np.nan, accuracy_low=np.nan, accuracy_high=np.nan)
    table = pd.concat([table, missing.assign(head="lstm")])
    figure = plots.class_intervals(table, by="head", metric="accuracy", title="Classes")
    assert [text.get_text() for text in figure.axes[0].texts] == ["70.0", "80.0"]
    assert [text.xy[0] for text in figure.axes[0].texts] == [0.75, 0.82]


@pytest.mark.parametrize(
    ("value", "text"), [(1e-5, "1e-5"), (0.001, "0.001"), (0.3, "0.3"), (20_000, "20,000")]
)
def test_ticks_of_a_logarithmic_axis_are_plain_numbers(value, text):
    figure = Figure()
    ax = figure.subplots()
    ax.plot([value, value], [1, 2])
    ax.set_xscale("log")
    log_axis(ax.xaxis)
    assert ax.xaxis.get_major_formatter()(value, 0) == text
    assert ax.xaxis.get_minor_formatter()(value, 0) == ""


def test_of_errors_the_lowest_is_above():
    table = SCORES.rename(columns=lambda name: name.replace("accuracy", "rmse"))
    figure = plots.score_intervals(table, by="head", metric="rmse", title="Heads")
    assert figure.axes[0].get_yticklabels()[0].get_text() == "CLS"


def history(groups: int, seeds: int) -> pd.DataFrame:
    rows = [
        {"head": f"h{group}", "seed": seed, "epoch": epoch, "dev_accuracy": 0.1 * epoch + group}
        for group in range(groups)
        for seed in range(seeds)
        for epoch in (1, 2, 3)
    ]
    return pd.DataFrame(rows).assign(train_loss=lambda table: 1 - table["dev_accuracy"])


@pytest.mark.parametrize(
    ("groups", "seeds", "lines", "bands"), [(2, 3, 8, 0), (3, 3, 3, 3), (36, 1, 1, 2)]
)
def test_no_panel_has_more_lines_than_can_be_told_apart(groups, seeds, lines, bands):
    """A few seeds are lines, more of them a band, and many groups quantiles."""
    figure = plots.score_curves(history(groups, seeds), by="head", title="Curves")
    for ax in figure.axes:
        assert len(ax.lines) == lines and len(ax.collections) == bands
    assert groups * seeds <= MOST_LINES or lines <= MOST_LINES


def test_lines_on_each_other_take_turns():
    table = history(3, 2)
    table.loc[table["head"] == "h2", ["dev_accuracy", "train_loss"]] += [-1.0, 1.0]  # as h1 has
    figure = plots.score_curves(table, by="head", title="Curves")
    styles = [line.get_linestyle() for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert styles == ["-", "--", "--"]
    means = {name: pd.Series([0.1, level]) for name, level in (("a", 0.5), ("b", 0.9), ("c", 0.5))}
    assert dashes(means) == {"a": (0, (DASH, DASH)), "b": "-", "c": (DASH, (DASH, DASH))}


def test_quantiles_are_those_of_all_runs():
    table = history(11, 1)
    figure = plots.score_curves(table, by="head", title="Curves")
    median = table.groupby("epoch")["dev_accuracy"].median()
    assert np.allclose(figure.axes[0].lines[0].get_ydata(), median)


def test_contrast_is_that_of_the_guidelines():
    """Against values that are published for these colours."""
    assert contrast("white", "black") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert luminance("#0000ff") == pytest.approx(0.0722)


def test_what_stands_in_a_cell_can_be_read_on_every_shade():
    shades = pd.DataFrame({"down": "a", "across": range(40), "accuracy": np.linspace(0, 1, 40)})
    ax = Figure().subplots()
    axes = {"rows": ("down", ["a"]), "columns": ("across", [*range(40)])}
    heat_map(ax, shades, metric="accuracy", write=lambda cell, text: text, low=0.0, **axes)
    [image] = ax.images
    backgrounds = image.to_rgba(shades["accuracy"].to_numpy())
    colours = [text.get_color() for text in ax.texts]
    assert {*colours} == {"black", "white"} and len(colours) == 40
    for colour, background in zip(colours, backgrounds, strict=True):
        assert contrast(colour, background) >= 4.5


OVERVIEW = pd.DataFrame(
    [
        {"data": "A, 10 training texts", "model": "tiny", "metric": "accuracy", "best": "CLS"}
        | {"best_score": 0.8, "best_low": 0.7, "best_high": 0.9, "reference": "TF-IDF"}
        | {"reference_score": 0.75, "reference_low": 0.74, "reference_high": 0.76},
        {"data": "B, 20 training texts", "model": "tiny", "metric": "P@1", "best": "Adam"}
        | {"best_score": 0.5, "best_low": None, "best_high": None, "reference": None}
        | {"reference_score": None, "reference_low": None, "reference_high": None},
    ]
)


def test_the_overview_has_each_pages_model_and_reference():
    figure = plots.overview(OVERVIEW, title="All")
    shown = texts(figure)
    assert {"A, 10 training texts · tiny", "CLS 80.0 %", "TF-IDF 75.0 %"} <= set(shown)
    assert {"B, 20 training texts · tiny", "Adam P@1 50.0 %"} <= set(shown)


def test_pages_with_far_lower_scores_have_a_panel_of_their_own():
    near = [OVERVIEW.iloc[:1].assign(best_score=0.8 + i / 100) for i in range(4)]
    table = pd.concat([*near, OVERVIEW.iloc[1:].assign(best_score=0.3)], ignore_index=True)
    figure = plots.overview(table, title="All")
    upper, lower = figure.axes
    assert upper.get_xlim()[0] > 0.6 and lower.get_xlim()[1] < 0.4
    assert len(plots.overview(OVERVIEW, title="All").axes) == 1
    assert "sorted by lead" in lower.get_xlabel() and not upper.get_xlabel()


def test_a_long_name_of_a_reference_is_short_in_the_overview():
    table = OVERVIEW.assign(reference="embeddings + logistic regression").iloc[:1]
    assert "embeddings 75.0 %" in texts(plots.overview(table, title="All"))


@pytest.mark.parametrize(
    "figure",
    [
        lambda: plots.overview(OVERVIEW, title="All"),
        lambda: plots.score_intervals(SCORES, by="head", metric="accuracy", title="Heads"),
        lambda: plots.score_curves(history(3, 3), by="head", title="Curves"),
        lambda: plots.confusion_matrix(
            pd.DataFrame(np.eye(3), index=list("abc"), columns=list("abc")), title="Confusion"
        ),
    ],
)
def test_figures_are_narrow_and_their_text_is_large_enough(figure):
    """Drawn 390 pixels wide, of which a page takes some for its margins, 10 points stay 8."""
    drawn = figure()
    assert drawn.get_figwidth() <= WIDTH
    sizes = {text.get_fontsize() for text in drawn.findobj(lambda a: hasattr(a, "get_parse_math"))}
    assert min(sizes) >= SMALLEST and drawn.get_linewidth() == 1


def figures_and_texts() -> list[tuple[str, ast.expr]]:
    """Where the source makes a figure or sets a text's size, and as what."""
    places = []
    for path in sorted([*ROOT.glob("plots/*.py"), *ROOT.glob("notebooks/*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg in ("figsize", "fontsize"):
                places.append((f"{path.name}:{node.value.lineno} {node.arg}", node.value))
    return places


def test_every_figure_has_the_usual_width_and_no_smaller_text():
    for place, value in figures_and_texts():
        source = ast.unparse(value.elts[0] if isinstance(value, ast.Tuple) else value)
        is_large = source.isdigit() and int(source) >= SMALLEST
        assert is_large or re.search("WIDTH|SMALLEST|width", source), f"{place} is {source}"


def test_whole_documents_keep_their_sum():
    means = np.array([231.333333, 3.333333, 7.666667, 9.666667])
    assert classes.whole_documents(means).tolist() == [231, 3, 8, 10]
    assert classes.whole_documents(np.array([1 / 3, 1 / 3, 1 / 3])).sum() == 1


@pytest.mark.parametrize(("low", "high"), [(0.74, 0.88), (0.825, 0.95), (0.3, 1.0), (0.9, 0.93)])
def test_labels_of_ticks_in_percent_do_not_meet(low, high):
    """On an axis beside long names, which leave it little room."""
    names = ["embeddings + logistic regression", "cls"]
    table = pd.DataFrame({"head": names, "seeds": 3, "accuracy": [low, high]})
    table = table.assign(accuracy_low=low, accuracy_high=high)
    figure = plots.score_intervals(table, by="head", metric="accuracy", title="Scores")
    figure.draw_without_rendering()
    [ax] = figure.axes
    boxes = [label.get_window_extent() for label in ax.get_xticklabels() if label.get_text()]
    shown = sorted((box.x0, box.x1) for box in boxes)
    assert len(shown) > 1
    assert all(left[1] < right[0] for left, right in itertools.pairwise(shown))
