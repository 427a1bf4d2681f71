"""What several studies say below their tables and figures: how the numbers come about."""

FOOTNOTE = (  # once a page
    "± is half of the 95 % interval of a mean over seeds; it covers other seeds and other test "
    "documents. With fewer than three seeds, each score is shown. The intervals of a table of "
    "differences are corrected for their number. Significant: the interval leaves out zero (p "
    "below 0.05). [How this is computed](../../../docs/statistics.md)."
)
SCORES = "Test scores, mean over seeds"
DOTS = "Dots: mean over seeds; bars: 95 % interval."
SEEDS_BELOW = "Dots: mean over seeds, below each seed; bars: 95 % interval."
DOTS_BESIDE = f"{SEEDS_BELOW} Grey: references, which are not fine-tuned; dotted: the best of them."
CURVES = "Bold: mean over seeds; faint: each seed, or the lowest to the highest."
KEPT_RIGHT = (
    "Dev chooses the lowest confidence from which on so many of its texts are right, run by run; "
    "test says how many texts that answers, and how many of these are right."
)
RISK_COVERAGE = (
    "The surest texts first. Band and bars: 95 % interval; dashed: what was asked for on dev."
)
LAST_EPOCH = "Test accuracy of each run at its chosen and at its last epoch."
DIFFERENCES = "Differences in percentage points on the same test documents."
