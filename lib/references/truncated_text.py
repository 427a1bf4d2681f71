"""The part of each document that a transformer reads, as text."""

from pathlib import Path

from lib.backbones import load_tokenizer, resolve_backbone
from lib.tokenization import is_single, longest_whole, pairs_shortened, shorten


def read_text(
    documents: list, backbone: str | Path, *, max_length: int, truncation: str, **windows
) -> list[str]:
    """The characters of the tokens that `lib.tokenization.encode`, which has the same arguments,
    keeps of each document; where it keeps a beginning and an end, or a pair, these in lines of
    their own."""
    if truncation == "windows":
        reading = {"max_length": max_length, "truncation": truncation, **windows}
        max_length = longest_whole(backbone, **reading)
        truncation = "head"
    tokenizer = load_tokenizer(resolve_backbone(backbone))
    engine = tokenizer.backend_tokenizer
    if not is_single(documents):
        return _read_of_pairs(documents, engine, max_length, truncation)
    room = max_length - tokenizer.num_special_tokens_to_add()
    texts = []
    for text, encoded in zip(
        documents, engine.encode_batch(documents, add_special_tokens=False), strict=True
    ):
        spans = encoded.offsets
        places = shorten(list(range(len(spans))), room, truncation)
        spans_read = [text[spans[run[0]][0] : spans[run[-1]][1]] for run in _runs(places)]
        texts.append(text if len(places) == len(spans) else "\n".join(spans_read))
    return texts


def _runs(places: list[int]) -> list[list[int]]:
    """Ascending numbers in runs of which each is one more than that before."""
    runs: list[list[int]] = []
    for place in places:
        if runs and place == runs[-1][-1] + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return runs


def _read_of_pairs(
    pairs: list[tuple[str, str]], engine, max_length: int, truncation: str
) -> list[str]:
    with pairs_shortened(engine, max_length, truncation):
        encoded = engine.encode_batch(pairs)
    texts = []
    for pair, item in zip(pairs, encoded, strict=True):
        spans_read = []
        for number, text in enumerate(pair):
            tokens = zip(item.sequence_ids, item.offsets, strict=True)
            spans = [span for sequence, span in tokens if sequence == number]
            spans_read.append(text[spans[0][0] : spans[-1][1]] if spans else "")
        texts.append("\n".join(spans_read))
    return texts
