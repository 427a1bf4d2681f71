"""What is asked of every classifier before it is used: that a text's result is its own, whatever it
is padded to, and that its words count."""

from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from lib.backbones import load_tokenizer
from lib.errors import InputError, first_line

SHORT_TEXT = "a b c"
LONG_TEXT = "a b c d e f g h i j"
MOVED = 1e-4  # of the largest value: more than rounding


@contextmanager
def reading(model: nn.Module, folder: Path):
    """Evaluation mode, without gradients or a trace in torch's random numbers; an error inside is
    an InputError that names the backbone and head."""
    modes = [(module, module.training) for module in model.modules()]
    head = "its native head" if model.head is None else type(model.head).__name__
    model.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            yield
    except Exception as error:
        raise InputError(
            f"The backbone {folder} ({model.backbone.config.model_type}) with {head} cannot be "
            f"used: {first_line(error)}; take another head or backbone"
        ) from None
    finally:
        for module, training in modes:
            module.training = training


def words_like(text: str, folder: Path) -> tuple[list[int], list[int]]:
    """The ids of two texts that differ in a word in their middle: laid out by a folder's tokenizer
    as `text` is, but of words that it knows, each of them once."""
    tokenizer = load_tokenizer(folder)
    layout = tokenizer.backend_tokenizer.encode(text)
    special = set(tokenizer.all_special_ids)
    words = [number for number in range(len(tokenizer)) if number not in special]
    words = words[len(words) // 2 :]
    places = [place for place, fixed in enumerate(layout.special_tokens_mask) if not fixed]
    ids = list(layout.ids)
    for place, word in zip(places, words, strict=False):
        ids[place] = word
    other = list(ids)
    if places:
        other[places[len(places) // 2]] = words[-1]
    return ids, other


def check_padding(model: nn.Module, folder: Path) -> None:
    """Raises InputError where what a classifier (`lib.models.Classifier`) gives for a text moves
    with the longest text of its batch."""
    short, _ = words_like(SHORT_TEXT, folder)
    long, _ = words_like(LONG_TEXT, folder)
    with reading(model, folder):
        alone = read(model, [short])
        together = read(model, [short, long])
        for one, other in zip(alone, together, strict=True):
            difference = (one[0] - other[0, : one.shape[1]]).abs().max()
            if difference > MOVED * one.abs().max():
                raise InputError("it gives a text another result when that is padded")


def check_words(model: nn.Module, folder: Path) -> None:
    """Raises InputError where what a new classifier gives for a text does not move with a word in
    the middle of it."""
    first, second = words_like(LONG_TEXT, folder)
    with reading(model, folder):
        if first != second and torch.equal(read(model, [first])[0], read(model, [second])[0]):
            raise InputError("it gives texts with different words the same result")


def read(model: nn.Module, rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (rows, 1, num_labels) of rows of token ids, and the states (rows, tokens, size) that
    they are of; with a native head, the logits again."""
    mask = nn.utils.rnn.pad_sequence([torch.ones(len(row)).int() for row in rows], True)
    ids = nn.utils.rnn.pad_sequence([torch.tensor(row).int() for row in rows], True)
    logits = model(ids, mask)[:, None]
    if model.head is None:
        return logits, logits
    return logits, model.last_states(ids, mask)[0]
