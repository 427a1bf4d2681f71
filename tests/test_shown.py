"""Figures as files."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from lib.publish.shown import DPI, in_256_colours, png_of

GREY = 232  # of the grid: red, green and blue


@pytest.fixture
def figure():
    """Lines over a grid, and a map with its bar of colours."""
    figure = Figure(figsize=(6, 3))
    lines, cells = figure.subplots(1, 2)
    lines.plot(np.sin(np.arange(20.0)[:, None] * [1, 2, 3]))
    lines.fill_between(range(20), -1, np.cos(range(20)), alpha=0.3)
    lines.grid(color=[GREY / 255] * 3, linewidth=2)
    figure.colorbar(cells.imshow(np.arange(64.0).reshape(8, 8)))
    return figure


def pixels_of(file: io.BytesIO) -> np.ndarray:
    return np.asarray(Image.open(file).convert("RGB")).astype(int)


def test_a_figure_of_256_colours_keeps_its_areas_and_lines(figure):
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    file = png_of(figure)
    before, after = pixels_of(drawn), pixels_of(io.BytesIO(file))
    wrong = np.abs(after - before).max(axis=2)
    assert Image.open(io.BytesIO(file)).mode == "P" and len(file) < len(drawn.getvalue())
    assert (wrong == 0).mean() > 0.85 and wrong.max() < 40
    in_grid = (before == GREY).all(axis=2)
    assert in_grid.sum() > 100 and not wrong[in_grid].any()
    assert png_of(figure) == file


def test_a_picture_of_few_colours_is_itself():
    picture = Image.new("RGB", (20, 10), (240, 221, 233))
    picture.paste((230, 236, 226), (0, 0, 10, 10))
    assert in_256_colours(picture).convert("RGB").tobytes() == picture.tobytes()
