"""How the number of a metric is written in a table."""

from decimal import Decimal

from lib.errors import lookup
from lib.metrics import METRICS

MOST_DIGITS = 12  # of a number without an exponent


def kind_of(metric: str) -> str:
    """How a metric is shown (`lib.metrics.Metric.kind`). Raises InputError."""
    return lookup(METRICS, metric, "metric").kind


def number(value: float, metric: str | None, decimals: int = 0) -> str:
    """A metric's value; a number that is no metric's has `decimals`."""
    if metric is None:
        return f"{value:,.{decimals}f}"
    kind = kind_of(metric)
    if kind == "share":
        return f"{100 * value:.1f}" if abs(value) >= 0.0005 else "0.0"
    if kind == "p":
        return _p_value(value)
    if kind == "loss":
        return f"{value:.4f}"
    if kind == "small":
        return f"{value:.3g}"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


def differ_as_written(one: float, other: float, metric: str) -> bool:
    """Whether the difference of two values is, as it is written, that of the two as written."""
    written, written_other, apart = (
        Decimal(number(value, metric).replace(",", "")) for value in (one, other, abs(one - other))
    )
    return abs(written - written_other) == apart


def plain_number(value: float) -> str:
    """A setting such as a learning rate, without an exponent where it has few digits: `0.00005`."""
    text = f"{Decimal(f'{value:g}'):f}"
    return text if len(text) <= MOST_DIGITS else f"{value:g}"


def _p_value(value: float) -> str:
    """Never on another side of 0.05 than the value itself."""
    if value < 0.001:
        return "<0.001"
    if value < 0.05 <= round(value, 3):
        return "<0.05"
    return f"{value:.3f}"


def with_half(value: float, half: float, metric: str) -> str:
    """A value ± half of its interval, with a decimal more where one hides which is larger, and
    that one tells."""
    texts = [number(value, metric), number(half, metric)]
    if kind_of(metric) == "share" and texts[0].lstrip("-") == texts[1]:
        finer = [f"{100 * share:.2f}" for share in (value, half)]
        texts = finer if finer[0].lstrip("-") != finer[1] else texts
    return " ± ".join(texts).replace("-", "−")
