"""Figures: a tidy DataFrame in, a matplotlib Figure out. One figure, one claim; no file is
written here."""

from plots.curves import (
    learning_curves,
    learning_rates,
    losses,
    number_scatter,
    position_weights,
    reliability,
    score_curves,
)
from plots.grids import cell_curves, confusion_matrix, search_cost, search_grid
from plots.intervals import (
    accuracy_by_length,
    averages,
    class_intervals,
    effect_intervals,
    score_intervals,
    speeds,
)
from plots.optimizers import (
    attention_grid,
    decay_ablation,
    health_curves,
    outcome_grid,
    sweep_panels,
    with_factor,
)
from plots.students import depth_scores, frontier, loss_terms
from plots.style import styled

__all__ = [
    "accuracy_by_length",
    "attention_grid",
    "averages",
    "cell_curves",
    "class_intervals",
    "confusion_matrix",
    "decay_ablation",
    "depth_scores",
    "effect_intervals",
    "frontier",
    "health_curves",
    "learning_curves",
    "learning_rates",
    "loss_terms",
    "losses",
    "number_scatter",
    "outcome_grid",
    "position_weights",
    "reliability",
    "score_curves",
    "score_intervals",
    "search_cost",
    "search_grid",
    "speeds",
    "styled",
    "sweep_panels",
    "with_factor",
]
