"""Labels as CSV: a line for each row of what was labelled, that reads back as it was."""

import csv
import dataclasses
from collections.abc import Iterable, Iterator

from lib.readers import Reading
from lib.runs.store import Run
from lib.use.inputs import Row, rows_of

COLUMNS = ("text", "label", "probability")  # after those that are kept
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # begins a cell that a spreadsheet may compute


@dataclasses.dataclass(frozen=True)
class Labelling:
    """What is labelled, and how it is written."""

    run: Run
    source: str  # a file; - is standard input
    column: str | None  # of the texts; None: a text a line
    reading: Reading
    keep: tuple[str, ...] = ()  # columns that are written, too
    safe_csv: bool = False  # an apostrophe before what a spreadsheet may compute

    def rows(self) -> Iterator[Row]:
        return rows_of(self.source, self.column, self.reading, self.keep)

    @property
    def has_numbers(self) -> bool:
        """Whether labels are numbers."""
        return self.run.model[1].get("task") == "regression"


def header_line(labelling: Labelling, row: Row) -> str:
    """The names of the columns; one that is kept and has a name of ours ends in `_given`."""
    names: list[str] = []
    for column in row.kept:
        name = column
        taken = {*COLUMNS, *names, *row.kept} - {column}
        while name in taken or name in COLUMNS:
            name += "_given"
        names.append(name)
    return csv_lines([[*_guarded(names, labelling), *COLUMNS]])


def to_csv(labelling: Labelling, rows: list[Row]) -> str:
    """A line for each row: what is kept, the text, its label, and the label's probability; several
    are parted by |. For a regression, the number alone; for a blank text, neither."""
    answers = _answers(labelling, [row.text for row in rows if not row.is_blank])
    lines = []
    for row in rows:
        label, probability = ("", "") if row.is_blank else next(answers)
        if not labelling.has_numbers:
            (label,) = _guarded([label], labelling)
        lines.append([*_guarded([*row.kept.values(), row.first], labelling), label, probability])
    return csv_lines(lines)


def _answers(labelling: Labelling, texts: list) -> Iterator[tuple[str, str]]:
    """The label of each text and its probability, in words."""
    labels, probabilities = labelling.run.predict(texts)
    names = labelling.run.model[1]["label_names"]
    for label, chances in zip(labels, probabilities, strict=True):
        if labelling.has_numbers:
            yield f"{label:.6g}", ""
        elif isinstance(label, list):
            each = [f"{chances[names.index(name)]:.6f}" for name in label]
            yield "|".join(map(_without_bar, label)), "|".join(each)
        else:
            yield label, f"{chances.max():.6f}"


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
