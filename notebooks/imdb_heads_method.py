"""What a page of the study of pooling heads asks, and how its heads differ: by those it trains."""

from lib.analysis.display import listed
from lib.publish.render import named

READS = {  # head -> what it reads
    "cls": "the first token",
    "weighted_average": "a mean with one learned weight a position",
    "lstm": "the last state of an LSTM over the tokens",
    "transformer": "the first token after one more transformer layer",
    "mean": "a plain mean",
}
SAME = (
    "Dropout, a dense layer, the output layer, data, seeds, schedule and everything else are the "
    "same for all. Where several learning rates are tried, dev chooses each head's among the same "
    "values, and the head is then trained with fresh seeds."
)
ORIGINAL = (
    "The original study fine-tuned RoBERTa-base with `cls`, `weighted_average` and `lstm` on IMDB, "
    "one run each at one learning rate, and found all above 95 %. Its weighted average and its "
    "LSTM read the padding as if it were text; the heads here do not."
)
ORIGINAL_EPOCHS = 3


def title(backbone: str) -> str:
    """The question of a page that has one head alone, as a heading."""
    return f"# How well does {named(backbone)} read film reviews?"


def method(heads: list[str], epochs: int) -> str:
    """What the heads are, as Markdown; one alone is compared with no other."""
    names = [f"{READS[head]} (`{head}`)" if head in READS else f"`{head}`" for head in heads]
    if len(heads) == 1:
        return f"The head here is {names[0]}; no other is tried."
    trained = f"It trained for {ORIGINAL_EPOCHS} epochs"
    trained += ", as here." if epochs == ORIGINAL_EPOCHS else f"; the heads here, for {epochs}."
    return f"Compared are {listed(names)}. {SAME}\n\n{ORIGINAL} {trained}"
