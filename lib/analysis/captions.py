"""What several studies say below their tables and figures: how the numbers come about."""

SCORES = (
    "Mean ± standard deviation over seeds, and in brackets a 95 % interval that counts the spread "
    "of the seeds (Student's t) and 2,000 bootstrap resamples of the test documents"
)
DOTS = "Dots: mean over seeds. Bars: 95 % interval over test documents and seeds."
CURVES = "Bold: mean over seeds; faint: each seed."
LAST_EPOCH = "Test accuracy of each run at its chosen and at its last epoch."


def differences(family: str = "this table") -> str:
    """Of a table of differences in percentage points whose p is adjusted over a family."""
    return (
        "Differences in percentage points on the same test documents, seed by seed, with a 95 % "
        "interval that counts both. p: the larger of McNemar's test of these models and Student's "
        f"t, adjusted by Holm over {family}. A difference stands where the interval leaves out "
        "zero and p is below 0.05."
    )
