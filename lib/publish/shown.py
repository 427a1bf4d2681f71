"""Tables that have been shown in a notebook."""

import pandas as pd


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
