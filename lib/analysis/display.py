"""How numbers and names are written: in tables, in sentences and on axes.

What a metric is, `lib.metrics.METRICS` says. Which metric a column of a table holds, the table
says itself: `with_metrics` names it in the table's attributes. A column without one holds plain
numbers or words, and a column that is named after the user's own data is shown as it is.
"""

import csv
from collections.abc import Iterable, Mapping

import pandas as pd

from lib.analysis.columns import SAID_BELOW, chosen_columns, own_columns, shared_numbers, turned
from lib.analysis.names import spelled as spelled
from lib.analysis.names import spelled_in
from lib.analysis.numbers import kind_of, number, with_half
from lib.errors import lookup
from lib.markdown import escape as escape
from lib.metrics import METRICS

MISSING = "–"
NO_INTERVAL = "(not estimable)"


def with_metrics(
    table: pd.DataFrame, metrics: Mapping[str, str], literal: Iterable[str] = ()
) -> pd.DataFrame:
    """The table, told which metric each column holds.

    `metrics` maps columns to names in METRICS: they are formatted so, and `x_sd`, `x_low`,
    `x_high` and `x_values` are shown beside such a column `x`. `literal` are the columns that are
    named after the user's data, such as classes.
    """
    table.attrs["metrics"] = dict(metrics)
    table.attrs["literal"] = list(literal)
    return table


def metric_of(table: pd.DataFrame, column: str) -> str | None:
    """The metric that a column of a table holds."""
    if column in table.attrs.get("literal", ()):
        return None
    return table.attrs.get("metrics", {}).get(column)


# Names


def words(name: str) -> str:
    """A field or column as a sentence names it."""
    return name.replace("_", " ")


def title(metric: str) -> str:
    """A metric as a sentence or an axis names it."""
    return lookup(METRICS, metric, "metric").title


def header(table: pd.DataFrame, column: str) -> str:
    """The header of a column on a page, with its unit; as `attrs["headers"]` has it, if at all."""
    if column in table.attrs.get("literal", ()):
        return escape(column)
    metric = metric_of(table, column)
    if metric is None:
        return words(column)
    if column in table.attrs.get("headers", {}):
        return table.attrs["headers"][column]
    text = words(column)
    if column.startswith(metric):
        text = title(metric) + column.removeprefix(metric)
    unit = " (%)" if kind_of(metric) == "share" else ""
    if column in table.attrs.get("differences", ()):
        text += " difference"
        unit = unit.replace("%", "points")
    return text + unit


def axis_label(metric: str) -> str:
    """A test score with its interval, as an axis names it."""
    return f"test {title(metric)}, with 95 % interval"


# Numbers in sentences and figures


def percent(share: float, decimals: int = 1) -> str:
    return f"{100 * share:.{decimals}f} %"


def percents(shares: pd.Series, decimals: int = 1) -> str:
    """The lowest to the highest of some shares: `52–53 %`."""
    low = percent(shares.min(), decimals)
    high = percent(shares.max(), decimals)
    return high if low == high else f"{low.removesuffix(' %')}–{high}"


def score(value: float, metric: str) -> str:
    """A metric's value: a share in percent, another number as it is."""
    if kind_of(metric) == "share":
        return percent(value)
    return f"{value:.3g}".replace("-", "−")


def signed(value: float, metric: str) -> str:
    """A difference of two values of a metric, with its sign and without a unit: of two shares in
    percentage points."""
    if kind_of(metric) != "share":
        return f"{value:+.3f}".replace("-", "−")
    return "0.0" if abs(value) < 0.0005 else f"{100 * value:+.1f}".replace("-", "−")


def difference(value: float, metric: str) -> str:
    """A difference of two values of a metric, with its sign and unit."""
    unit = " points" if kind_of(metric) == "share" else ""
    return signed(value, metric) + unit


def distance(value: float, metric: str) -> str:
    """How far two values of a metric are apart, whichever is larger, with its unit."""
    return difference(abs(value), metric).removeprefix("+")


def difference_interval(low: float, high: float, metric: str) -> str:
    """The interval of a difference of two values of a metric."""
    if pd.isna(low):
        return "too few seeds for an interval"
    return f"95 % interval {_end(low, metric)} to {_end(high, metric)}"


def _end(value: float, metric: str) -> str:
    """An end of an interval, never rounded to zero from either side of it."""
    if kind_of(metric) == "share" and 1e-6 < abs(value) < 0.0005:
        return f"{100 * value:+.1g}".replace("-", "−")
    return signed(value, metric)


def count(number: int, noun: str) -> str:
    """A number of things: `1 seed`, `1,000 documents`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def listed(items: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *most, last = items
    return f"{', '.join(most)} and {last}" if most else last


def share_tick(share: float, _position=None) -> str:
    """A share at an axis's tick."""
    return f"{round(100 * share, 6):g} %".replace("-", "−")


# Tables


def cell(value, metric: str | None = None, decimals: int = 0, column: str = "") -> str:
    """A word or number of a table; one that is no metric's has `decimals`."""
    if isinstance(value, str):
        return escape(spelled_in(column, value))
    if pd.isna(value):
        return MISSING
    return number(value, metric, decimals).replace("-", "−")


def _column(table: pd.DataFrame, column: str) -> list[str]:
    """The cells of a column: where the table has an interval, ± half of it; else, what it has of
    the values of the runs."""
    values = table[column]
    metric = metric_of(table, column)
    whole_numbers = not pd.api.types.is_numeric_dtype(values) or bool((values % 1 == 0).all())
    decimals = 0 if whole_numbers else 1
    cells = [cell(value, metric, decimals, column) for value in values.tolist()]
    if metric is None:
        return cells
    rows = table.to_dict("records")
    return [_beside(text, row, column, metric) for text, row in zip(cells, rows, strict=True)]


def _beside(mean: str, row: Mapping, column: str, metric: str) -> str:
    """The mean of a row with what is shown beside it."""
    values = row.get(f"{column}_values")
    if isinstance(values, str):
        scores = [cell(float(value), metric) for value in values.split()]
        return f"{mean} ({', '.join(scores)})" if scores[1:] else mean
    low = row.get(f"{column}_low")
    if low is None:
        return mean
    high = row[f"{column}_high"]
    if not is_estimable(low, high, metric):
        return f"{mean} {NO_INTERVAL}"
    half = max(row[column] - low, high - row[column])  # one may be cut off
    return mean if pd.isna(half) else with_half(row[column], half, metric)


def is_estimable(low: float, high: float, metric: str) -> bool:
    """Whether an interval says something: not where both its ends are cut off by a metric's
    limits."""
    is_bounded = kind_of(metric) in ("share", "signed")
    return not (is_bounded and low in (-1.0, 0.0) and high == 1.0)


def shown_columns(table: pd.DataFrame) -> list[list[str]]:
    """A table as it is shown: of each column its header, `---` or `---:`, and its cells.

    `x`, `x_low`, `x_high` of a metric are one column `x ± half`. An index that has a name is the
    first column. Cells (row, column) in `attrs["bold"]` are bold. With `attrs["across"]`, rows are
    shown as columns.
    """
    columns: list[list[str]] = []
    if table.index.name is not None:
        columns.append([words(table.index.name), "---", *map(escape, table.index)])
    for name in chosen_columns(table):
        cells = _column(table, name)
        for row, column in table.attrs.get("bold", ()):
            if column == name:
                cells[row] = f"**{cells[row]}**"
        is_text = len(table) and isinstance(table[name].iloc[0], str)
        columns.append([header(table, name), "---" if is_text else "---:", *cells])
    return turned(columns) if table.attrs.get("across") else columns or [["", ""]]


def counts_of(table: pd.DataFrame) -> list[str]:
    """What is said below a table of the numbers that all rows share: `3 seeds`, `600 documents`."""
    shared = shared_numbers(table)
    return [count(number, SAID_BELOW[column]) for column, number in shared.items()]


def note_of(table: pd.DataFrame, file: str = "") -> str:
    """What is said below a table besides: its own note, and which CSV `file` has more columns."""
    sentences = [table.attrs.get("note", "")]
    if any(NO_INTERVAL in cell for cells in shown_columns(table) for cell in cells):
        sentences.append("Not estimable: its seeds differ too much for an interval.")
    hidden = {*own_columns(table)} - {*chosen_columns(table)} - {*shared_numbers(table)}
    if file and hidden:
        sentences.append(f"All columns: [{file}]({file}).")
    return " ".join(filter(None, sentences))


def pipe_table(rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table of rows of cells; the second row says how columns are aligned."""
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def to_csv(table: pd.DataFrame) -> str:
    """The table as CSV, every number with six decimals."""
    how = {"index": table.index.name is not None, "float_format": "%.6f", "lineterminator": "\n"}
    text = table.to_csv(**how)
    if "\r" in text:  # left unquoted, it would end a line for whoever reads it
        text = table.to_csv(**how, quoting=csv.QUOTE_ALL)
    return text
