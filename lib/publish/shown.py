"""Tables and figures as a notebook shows them."""

import io

import pandas as pd

DPI = 150


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

    One that lets nothing shine through has 256 colours, each within 6 % of the one drawn: a third
    of the bytes.
    """
    from PIL import Image

    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, metadata={"Software": None})
    picture = Image.open(drawn)
    if picture.getextrema()[3][0] < 255:
        return drawn.getvalue()
    colours = picture.convert("RGB").quantize(
        256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
    )
    file = io.BytesIO()
    colours.save(file, "PNG", optimize=True, dpi=(DPI, DPI))
    return file.getvalue()
