"""What several studies say below their tables and figures: how the numbers come about."""

from lib.analysis.numbers import kind_of

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
CHOSEN_REFERENCE = "the reference that dev chooses"  # `lib.analysis.references.best_reference`
LAST_EPOCH = "Test accuracy of each run at its chosen and at its last epoch."
DIFFERENCES = "Differences in percentage points on the same test documents."

OF_ONE_SEED = {  # what is said of several seeds -> what is true of one, which has no interval
    "of a mean over seeds; it covers other seeds and other test documents. With fewer than three "
    "seeds, each score is shown.": "of a score; it covers other test documents alone, and what has "
    "one seed has none.",
    SEEDS_BELOW: "Dots: one seed; bars: 95 % interval of references alone.",
    DOTS: "Dots: one seed; bars: 95 % interval of references alone.",
    CURVES: "Each line is one run.",
    "Band and bars: 95 % interval; dashed": "Dashed",
    ", the mean over seeds": "",
    ", mean over seeds": ", of one seed",
    "mean over seeds": "one seed",
    "; F1 with its 95 % interval": "",
    " with its 95 % interval": "",
}


def for_one_seed(caption: str) -> str:
    """A caption as it is on a page whose runs have one seed."""
    for of_several, of_one in OF_ONE_SEED.items():
        caption = caption.replace(of_several, of_one)
    return caption


def differences(metric: str) -> str:
    """What is said below a table of differences of a metric."""
    is_share = kind_of(metric) == "share"
    return DIFFERENCES if is_share else DIFFERENCES.replace(" in percentage points", "")
