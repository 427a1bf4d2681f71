"""Why a model says what it says of a text: what each word adds, by gradient times input.

The gradient of the label's logit with respect to a token's embedding, times this embedding (Denil
et al. 2014; Shrikumar et al. 2016): to first order what the token adds. A hint, no proof: it says
what the model reacts to, not why that is so.
"""

import html
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lib.backbones import fingerprint, load_tokenizer, resolve_backbone
from lib.errors import InputError, nearest
from lib.markdown import escape
from lib.models import Classifier
from lib.runs.files import cached_tensors, digest, file_digest
from lib.runs.store import Run, check_texts, load_run
from lib.tokenization import encode, is_single, pieces_of, reading_of, special_tokens

NUMBERS = ("start", "end", "contribution")
STRONG = 0.5  # of the largest contribution: a word that Markdown marks
FOR, AGAINST = "0,114,178", "213,94,0"  # red, green, blue


def explain(
    run: Run | str, text: str, *, label: str | None = None, cache: Path | None = None
) -> pd.DataFrame:
    """A row for each word that the model reads of a text: `word`, `start` and `end` (characters),
    and `contribution` to a label, the largest being 1 or −1; of a regression, to the number.

    `run` is a run, its key or folder, `label` the name of a class, or None for the predicted one,
    which `attrs["label"]` names. `cache` is a folder that keeps the result, by model, text and this
    code: a model takes seconds to load. Raises InputError.
    """
    run = run if isinstance(run, Run) else load_run(run)
    check_texts([text])
    if not is_single([text]) or not text.strip():
        raise InputError(
            "explain wants one text that is not blank; pairs of texts are not explained"
        )
    folder = run.folder / "model"
    if cache is None or not folder.is_dir():
        return _explained(run, text, label)
    key = digest(file_digest(Path(__file__)), run.key, fingerprint(folder), text, [label])

    def make() -> dict[str, torch.Tensor]:
        table = _explained(run, text, label)
        numbers = {name: torch.tensor(table[name].to_numpy()) for name in NUMBERS}
        return numbers | {"label": torch.tensor(_names_of(run).index(table.attrs["label"]))}

    tensors = cached_tensors(cache, key, make)
    table = pd.DataFrame({name: tensors[name].numpy() for name in NUMBERS})
    spans = zip(table["start"], table["end"], strict=True)
    table.insert(0, "word", [text[start:end].strip() for start, end in spans])
    table.attrs["label"] = _names_of(run)[int(tensors["label"])]
    return table


def _names_of(run: Run) -> list[str]:
    return run.status["label_names"]


def _explained(run: Run, text: str, label: str | None) -> pd.DataFrame:
    """`explain`, by the run's model."""
    model, settings = run.model
    folder = run.folder / "model"
    reading = reading_of(settings)
    ids, mask, _ = encode([text], folder, **reading)
    target = _target(settings, label)
    gradients, place = _gradient_times_input(model, ids, mask, target)
    engine = load_tokenizer(resolve_backbone(folder)).backend_tokenizer
    encoded = engine.encode(text, add_special_tokens=False)
    added = np.zeros(len(encoded.ids))
    was_read = np.zeros(len(encoded.ids), bool)
    before, after = special_tokens(engine)
    room = reading.pop("max_length") - len(before) - len(after)
    pieces = pieces_of(list(range(len(encoded.ids))), room, **reading)
    for row, piece in zip(gradients, pieces, strict=True):
        added[piece] += row[len(before) : len(before) + len(piece)]
        was_read[piece] = True
    table = _words(text, encoded, added, was_read)
    largest = table["contribution"].abs().max()
    if largest > 0:
        table["contribution"] /= largest
    table.attrs["label"] = settings["label_names"][place]
    return table


def _target(settings: dict, label: str | None) -> int | None:
    names = list(settings["label_names"])
    if label is None:
        return None
    if label not in names:
        raise InputError(f"The model has no label {label!r}.{nearest(label, names)}")
    return names.index(label)


def _gradient_times_input(
    model: Classifier, ids: torch.Tensor, mask: torch.Tensor, target: int | None
) -> tuple[np.ndarray, int]:
    """What each token (windows, tokens) adds to a label's logit, against the mean of all where a
    text has one class; and the label, which is the predicted one where none is given."""
    embedded: list[torch.Tensor] = []

    def follow(_module, _inputs, output: torch.Tensor) -> torch.Tensor:
        embedded.append(output.detach().requires_grad_())
        return embedded[-1]

    device = next(model.parameters()).device
    hook = model.eval().backbone.get_input_embeddings().register_forward_hook(follow)
    try:
        with torch.enable_grad():
            logits = model(ids.to(device), mask)[0].float()
    finally:
        hook.remove()
    place = int(logits.argmax()) if target is None else target
    against = logits.mean() if len(logits) > 1 else 0.0
    [gradient] = torch.autograd.grad(logits[place] - against, embedded[-1])
    return (gradient * embedded[-1]).sum(-1).detach().float().cpu().numpy(), place


def _words(text: str, encoded, added: np.ndarray, was_read: np.ndarray) -> pd.DataFrame:
    """The words of the tokens that were read, with the sum of what these add."""
    rows = []
    tokens = np.flatnonzero(was_read).tolist()
    for _, of_word in itertools.groupby(tokens, key=lambda token: encoded.word_ids[token]):
        group = list(of_word)
        start, end = encoded.offsets[group[0]][0], encoded.offsets[group[-1]][1]
        row = {"word": text[start:end].strip(), "start": start, "end": end}
        rows.append(row | {"contribution": float(added[group].sum())})
    return pd.DataFrame(rows, columns=["word", "start", "end", "contribution"])


def as_markdown(explanation: pd.DataFrame) -> str:
    """The words in their order: **bold** what speaks for the label, *slanted* what speaks against
    it, where it does so by half of the strongest word or more."""
    shown = ""
    before = None
    for row in explanation.to_dict("records"):
        word = escape(row["word"])
        if row["contribution"] >= STRONG:
            word = f"**{word}**"
        elif row["contribution"] <= -STRONG:
            word = f"*{word}*"
        apart = before and (_is_marked_sign(before) or _is_marked_sign(row))
        shown += " " + word if apart else _space(before, row) + word
        before = row
    return shown


def _is_marked_sign(row: dict) -> bool:
    """Whether a word is punctuation that is to be bold or slanted, which Markdown does not read
    beside a letter."""
    return abs(row["contribution"]) >= STRONG and not any(char.isalnum() for char in row["word"])


def _space(before: dict | None, row: dict) -> str:
    """What is between two words: nothing where the text has nothing."""
    if before is None or before["end"] == row["start"]:
        return ""
    return " "


def as_html(explanation: pd.DataFrame) -> str:
    """The words in their order, on blue what speaks for the label and on orange what speaks
    against it, the paler the less."""
    shown = ""
    before = None
    for row in explanation.to_dict("records"):
        colour = FOR if row["contribution"] > 0 else AGAINST
        shade = f"rgba({colour},{0.6 * abs(row['contribution']):.2f})"
        word = html.escape(row["word"])
        number = f"{row['contribution']:+.2f}"
        shown += (
            f'{_space(before, row)}<span style="background:{shade}" title="{number}">{word}</span>'
        )
        before = row
    return shown
