"""Tables and figures as a notebook shows them."""

import io

import numpy as np
import pandas as pd

DPI = 150
EXACT_COLOURS = 128  # of a figure's 256


class ShownTable(pd.DataFrame):
    """A table that has been shown: Jupyter does not show it again as a cell's last value."""

    @property
    def _constructor(self):
        return pd.DataFrame

    def _ipython_display_(self) -> None:
        pass


def shown_once(table: pd.DataFrame) -> pd.DataFrame:
    shown = ShownTable(table)
    shown.attrs = table.attrs
    return shown


def png_of(figure) -> bytes:
    """A figure as a PNG file, equal data giving equal bytes.

    One that lets nothing shine through has 256 colours: a third of the bytes.
    """
    from PIL import Image

    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, metadata={"Software": None})
    picture = Image.open(drawn)
    if picture.getextrema()[3][0] < 255:
        return drawn.getvalue()
    file = io.BytesIO()
    in_256_colours(picture.convert("RGB")).save(file, "PNG", optimize=True, dpi=(DPI, DPI))
    return file.getvalue()


def in_256_colours(picture):
    """A picture whose most frequent colours (areas, lines, grid) are exact, and whose others
    (rims, shades of a colour bar) are the nearest of 256."""
    from PIL import Image

    pixels = np.asarray(picture.convert("RGBA")).view(np.uint32).ravel()  # one number a colour
    numbers, index, counts = np.unique(pixels, return_inverse=True, return_counts=True)
    colours = numbers.view(np.uint8).reshape(-1, 4)[:, :3]
    frequent = colours[np.argsort(-counts, kind="stable")[:EXACT_COLOURS]]
    others = picture.quantize(
        256 - EXACT_COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
    )
    palette = np.vstack([frequent, np.reshape(others.getpalette(), (-1, 3))])[:256]
    closeness = 2.0 * colours @ palette.T - np.square(palette.astype(float)).sum(axis=1)
    nearest = closeness.argmax(axis=1).astype(np.uint8)
    reduced = Image.fromarray(nearest[index].reshape(picture.size[::-1]), mode="P")
    reduced.putpalette(palette.astype(np.uint8).ravel().tolist())
    return reduced
