"""What several studies say below their tables and figures: how the numbers come about."""

SCORES = (
    "Mean over seeds ± half of the 95 % interval, over other seeds and other test documents; of "
    "fewer than three seeds, the score of each"
)
DOTS = "Dots: mean over seeds. Bars: 95 % interval over test documents and seeds."
CURVES = "Bold: mean over seeds; faint: each seed."
LAST_EPOCH = "Test accuracy of each run at its chosen and at its last epoch."


def differences(family: str = "this table") -> str:
    """Of a table of differences in percentage points whose intervals hold over a family."""
    return (
        "Differences in percentage points on the same test documents ± half of the 95 % interval, "
        f"over other seeds and documents and over all of {family}. A difference is significant "
        "where the interval leaves out zero; p is below 0.05 just there."
    )
