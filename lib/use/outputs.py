"""Labels as CSV: a line for each row of what was labelled, that reads back as it was."""

import csv
import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

from lib.errors import InputError
from lib.reading.bad_rows import BadRows
from lib.reading.options import Reading
from lib.use.inputs import Row, rows_of
from lib.use.labeller import Labeller

COLUMNS = ("text", "label", "probability")  # after those that are kept
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # begins a cell that a spreadsheet may compute


@dataclasses.dataclass(frozen=True)
class Labelling:
    """What is labelled, and how it is written. Raises InputError where numbers are asked for
    labels' probabilities."""

    labeller: Labeller
    source: str  # a file; - is standard input
    column: str | None  # of the texts; None: a text a line
    reading: Reading
    keep: tuple[str, ...] = ()  # columns that are written, too
    safe_csv: bool = False  # an apostrophe before what a spreadsheet may compute
    every: bool = False  # the probability of every label, too
    top: int | None = None  # the best labels, so many, in the place of the label
    chosen: tuple[Row, ...] | None = None  # None: all rows of the source
    # those that could not be used, as they are read
    bad_rows: BadRows = dataclasses.field(default_factory=BadRows)

    def __post_init__(self):
        if self.has_numbers and (self.every or self.top):
            raise InputError("The run predicts numbers, which have no probabilities or best labels")

    def rows(self) -> Iterator[Row]:
        if self.chosen is not None:
            return iter(self.chosen)
        return rows_of(self.source, self.column, self.reading, self.keep, self.bad_rows)

    @property
    def has_numbers(self) -> bool:
        """Whether labels are numbers."""
        return self.labeller.task == "regression"

    @property
    def columns(self) -> list[str]:
        """The columns that are not kept ones."""
        each = [f"probability_{name}" for name in self.labeller.names] if self.every else []
        return [*COLUMNS, *each]


def header_line(labelling: Labelling, row: Row) -> str:
    """The names of the columns; one that is kept and has a name of ours ends in `_given`."""
    names: list[str] = []
    for column in row.kept:
        name = column
        taken = {*labelling.columns, *names, *row.kept} - {column}
        while name in taken or name in labelling.columns:
            name += "_given"
        names.append(name)
    return csv_lines([[*_guarded(names, labelling), *labelling.columns]])


def to_csv(labelling: Labelling, rows: list[Row]) -> str:
    """A line for each row: what is kept, the text, its label, and the label's probability; several
    are parted by |. For a regression, the number alone; for a blank text, neither."""
    answers = _answers(labelling, [row.text for row in rows if not row.is_blank])
    blank = [""] * (len(labelling.columns) - 1)
    lines = []
    for row in rows:
        label, *probabilities = blank if row.is_blank else next(answers)
        if not labelling.has_numbers:
            (label,) = _guarded([label], labelling)
        carried_cells = _guarded([*row.kept.values(), row.first], labelling)
        lines.append([*carried_cells, label, *probabilities])
    return csv_lines(lines)


def _answers(labelling: Labelling, texts: list) -> Iterator[list[str]]:
    """The label of each text, its probability, and those of every label, if wanted, in words."""
    labeller = labelling.labeller
    names = labeller.names
    logits = labeller.logits(texts)
    chances_of = labeller.chances(logits)
    for chances, above in zip(chances_of, labeller.above(logits), strict=True):
        if labelling.has_numbers:
            yield [f"{chances[0]:.6g}", ""]
            continue
        if labelling.top:
            given = np.argsort(-chances, kind="stable")[: labelling.top]
        elif labeller.task == "multilabel":
            given = np.flatnonzero(above > 0)
        else:
            given = chances.argmax(keepdims=True)
        several = labelling.top or labeller.task == "multilabel"
        label = "|".join(_without_bar(names[i]) if several else names[i] for i in given)
        each = [f"{chance:.6f}" for chance in chances] if labelling.every else []
        yield [label, "|".join(f"{chances[i]:.6f}" for i in given), *each]


def _without_bar(name: str) -> str:
    r"""A name among several; a | in it is written \|."""
    return name.replace("\\", "\\\\").replace("|", "\\|")


def _guarded(cells: list[str], labelling: Labelling) -> list[str]:
    """Cells that a spreadsheet takes for text, where that is asked for."""
    if not labelling.safe_csv:
        return cells
    return [f"'{cell}" if cell.startswith(FORMULA) else cell for cell in cells]


class _Lines(list):
    """What a csv.writer writes to: its lines, with a line feed at their ends."""

    def write(self, line: str) -> None:
        self.append(line.removesuffix("\r\n") + "\n")


def csv_lines(rows: Iterable[list[str]]) -> str:
    """Rows as lines of CSV that end in a line feed; cells hold any text.

    csv quotes a carriage return only where line ends have one; left unquoted, it would end a line
    for whoever reads it.
    """
    lines = _Lines()
    csv.writer(lines, lineterminator="\r\n").writerows(rows)
    return "".join(lines)
