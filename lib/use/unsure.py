"""The texts that a run is least sure of: those to label next."""

import dataclasses
import heapq
import itertools

from lib.errors import InputError
from lib.use.inputs import Row
from lib.use.outputs import Labelling


def least_sure(labelling: Labelling, most: int, chunk: int) -> Labelling:
    """The same labelling of `most` rows, the least sure first (`Labeller.margins`); equal texts
    count once, blank ones never. Reads `chunk` rows at once. Raises InputError for numbers, which
    a run is never unsure of."""
    labeller = labelling.labeller
    if labelling.has_numbers:
        raise InputError("The run predicts numbers, and says of none how sure it is")
    rows = (row for row in labelling.rows() if not row.is_blank)
    heap: list[tuple[float, int, Row]] = []  # the surest first
    texts: set = set()  # of the heap
    numbers = itertools.count()
    while several := list(itertools.islice(rows, chunk)):
        margins = labeller.margins(labeller.logits([row.text for row in several]))
        for row, margin in zip(several, margins.tolist(), strict=True):
            entry = (-margin, -next(numbers), row)
            if row.text in texts or (len(heap) == most and entry[:2] <= heap[0][:2]):
                continue
            texts.add(row.text)
            if len(heap) < most:
                heapq.heappush(heap, entry)
            else:
                texts.discard(heapq.heapreplace(heap, entry)[2].text)
    labeller.too_long = 0  # of what is written, it is counted again
    order = sorted(heap, key=lambda entry: entry[:2], reverse=True)
    return dataclasses.replace(labelling, chosen=tuple(row for *_, row in order))
