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
    """A figure as a PNG file, equal data giving equal bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    return file.getvalue()
