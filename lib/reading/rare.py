"""Classes that are too rare to be learned: left out, or together one class."""

import dataclasses

import numpy as np

from lib.errors import InputError
from lib.reading.carving import has_classes
from lib.reading.labels import Encoded
from lib.reading.options import Reading
from lib.reading.splits import Split
from lib.reading.vocabulary import listed

OTHER = "other"  # the class of them all


def gather_rare(
    splits: dict[str, Split], encoded: Encoded, reading: Reading
) -> tuple[dict[str, Split], Encoded]:
    """The splits and their labels without the classes that have fewer rows than
    `reading.min_rows_per_class` in all splits together, or with these as one; a note says which.
    Raises InputError where fewer than two classes are left."""
    least = reading.min_rows_per_class
    if not least:
        return splits, encoded
    if not has_classes(splits["train"]):
        raise InputError(
            f"min_rows_per_class = {least} is for classes, of which each text has one; leave it out"
        )
    names = encoded.names
    counts = np.bincount(
        np.concatenate([split.labels for split in splits.values()]), minlength=len(names)
    )
    is_rare = (counts > 0) & (counts < least)
    if not is_rare.any():
        return splits, encoded
    common = [name for name, rare in zip(names, is_rare, strict=True) if not rare]
    merged = reading.rare_classes == OTHER
    if merged and OTHER not in common:
        common.append(OTHER)
    if len(common) < 2:
        raise InputError(
            f"min_rows_per_class = {least} leaves {len(common)} of {len(names)} classes; take fewer"
        )
    place = {name: number for number, name in enumerate(common)}
    missing = place[OTHER] if merged else -1
    new_ids = np.array([place.get(name, missing) for name in names])
    what = f"are the class {OTHER!r}" if merged else "are left out"
    note = (
        f"{int(is_rare.sum())} of {len(names)} classes have fewer than {least} rows "
        f"({listed([names[i] for i in np.flatnonzero(is_rare)])}): their "
        f"{int(counts[is_rare].sum()):,} rows {what}"
    )
    renumbered = {}
    for name, split in splits.items():
        rest = split.take(np.flatnonzero(new_ids[split.labels] >= 0))
        renumbered[name] = dataclasses.replace(rest, labels=new_ids[rest.labels])
    notes = (*encoded.notes, note)
    return renumbered, dataclasses.replace(encoded, names=tuple(common), notes=notes)
