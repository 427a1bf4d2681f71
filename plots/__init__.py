"""Figures that several studies share: a tidy DataFrame in, a matplotlib Figure out. One figure, one
claim; no file is written here."""

from plots.curves import risk_coverage, score_curves
from plots.grids import confusion_matrix
from plots.intervals import class_intervals, score_intervals, speeds
from plots.overview import overview
from plots.style import styled

__all__ = [
    "class_intervals",
    "confusion_matrix",
    "overview",
    "risk_coverage",
    "score_curves",
    "score_intervals",
    "speeds",
    "styled",
]
