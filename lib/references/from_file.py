"""References that others made: a file with a label for each document, by rules, an LLM or people.

Its columns: `text`, or `row` (counted from 0, as in predictions.parquet; of test, unless a column
`split` says dev); `label`: a class, a list of classes, classes with the data's separator between
them, or a number; and perhaps a column for each class, of its name, with the class's probability.
"""

import numpy as np

from lib.data import Corpus
from lib.errors import InputError, nearest, shown
from lib.reading.formats import read_table
from lib.reading.label_cells import read_label_column
from lib.reading.options import Table
from lib.references.linear_models import SCORED, Scores
from lib.runs.config import RunConfig
from lib.runs.keys import file_of

LEAST = 1e-6  # a probability, where its logarithm is taken

Documents = list[tuple]  # (split, row) or (text,) of each


def predicted_in_file(config: RunConfig, corpus: Corpus) -> tuple[Scores, str]:
    """Scores of test from a file of predictions, and of dev where the file has all of it; and what
    is left out, in words.

    Raises InputError where a test document has no label, or a label is unknown.
    """
    table = read_table(file_of(config.reference))
    name = table.path.name
    by_text = "row" not in table.columns
    lines = _line_of_each(table, by_text=by_text)
    answers = _scores_of(table, corpus, config.reading.label_separator)
    scores: Scores = {}
    remarks = []
    used: set[int] = set()
    for split in SCORED:
        documents = _documents(corpus, split, by_text=by_text)
        missing = [document for document in documents if document not in lines]
        if missing and split == "test":
            raise InputError(
                f"{name} has no label for {len(missing):,} of {len(documents):,} test documents, "
                f"the first {shown(missing[0][-1])}; give each a row"
            )
        if missing:
            share = f"{len(missing):,} of {len(documents):,}"
            remarks.append(f"scored on test alone, as it has no label for {share} dev documents")
            continue
        places = [lines[document] for document in documents]
        scores[split] = answers[places]
        used |= {*places}
    unused = len({*lines.values()} - used)
    if unused:
        remarks.append(f"rows of other documents, left out: {unused:,}")
    return scores, "; ".join(remarks)


def _documents(corpus: Corpus, split: str, *, by_text: bool) -> Documents:
    documents = getattr(corpus, split)
    if by_text:
        return [(text,) for text in documents.texts]
    return [(split, int(row)) for row in documents.rows]


def _line_of_each(table: Table, *, by_text: bool) -> dict[tuple, int]:
    """Where each document stands in a table, from 0. Raises InputError."""
    name = table.path.name
    labels = [str(label) for label in table.column("label")]
    if by_text and "text" not in table.columns:
        raise InputError(f"{name} has neither a column 'row' nor 'text'; one says what is labelled")
    splits = table.columns.get("split", ["test"] * len(labels))
    lines: dict[tuple, int] = {}
    for line, cell in enumerate(table.column("text" if by_text else "row")):
        document = (cell,) if by_text else (str(splits[line]), _row_number(table, line, cell))
        first = lines.setdefault(document, line)
        if labels[first] != labels[line]:
            table.refuse(line, f": {shown(cell)} is there before, labelled {labels[first]!r}")
    return lines


def _row_number(table: Table, line: int, cell) -> int:
    text = str(cell).removesuffix(".0")
    if not (text.isascii() and text.isdecimal()):
        table.refuse(line, f": the row {shown(cell)} is no whole number from 0")
    return int(text)


def _scores_of(table: Table, corpus: Corpus, separator: str | None) -> np.ndarray:
    """Scores, shaped like logits (lines, num_labels), of all lines of a table. Raises
    InputError."""
    labels = table.column("label")
    if corpus.task == "regression":
        numbers = [_number(table, line, cell) for line, cell in enumerate(labels)]
        return np.array(numbers, np.float32)[:, None]
    number_of = {name: number for number, name in enumerate(corpus.label_names)}
    given = np.full((len(labels), corpus.num_labels), -1.0, np.float32)
    several = _label_lists(table, corpus, separator) if corpus.multilabel else None
    for line, cell in enumerate(labels):
        names = several[line] if several else [str(cell).strip()]
        for rank, label in enumerate(names, 1):
            if label not in number_of:
                table.refuse(line, f": unknown label {shown(label)}.{nearest(label, number_of)}")
            given[line, number_of[label]] = 1 / rank  # the first is the surest
    chances = _probabilities(table, corpus.label_names)
    if chances is None:
        return given
    if corpus.multilabel:
        return np.log(chances / (1 - chances))
    for line in np.flatnonzero(given.argmax(1) != chances.argmax(1)):
        likely = corpus.label_names[chances[line].argmax()]
        table.refuse(line, f": the label is {labels[line]!r}, but {likely!r} is likelier")
    return np.log(chances)


def _label_lists(table: Table, corpus: Corpus, separator: str | None) -> list[list[str]]:
    """The labels of each line, read as a corpus' own are: lists, such as text, or zeros and ones;
    or names with the separator between them."""
    column = read_label_column({"train": table}, "label", corpus.label_names)
    lists = []
    for line, cell in enumerate(column.cells["train"]):
        names, problem = column.labels_in(cell, separator)
        if problem:
            table.refuse(line, f": column 'label' has {problem}")
        lists.append(names)
    return lists


def _number(table: Table, line: int, cell) -> float:
    try:
        number = float(cell)
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number):
        table.refuse(line, f": the label {shown(cell)} is no number")
    return number


def _probabilities(table: Table, label_names: tuple[str, ...]) -> np.ndarray | None:
    """Probabilities (lines, num_labels), where a table has a column for each class."""
    if not set(label_names) <= table.columns.keys() - {"label", "row", "text", "split"}:
        return None
    chances = np.empty((len(table.lines), len(label_names)), np.float32)
    for number, label in enumerate(label_names):
        for line, cell in enumerate(table.columns[label]):
            chances[line, number] = _number(table, line, cell)
            if not 0 <= chances[line, number] <= 1:
                table.refuse(line, f": {shown(cell)} is no probability of {label!r}")
    return chances.clip(LEAST, 1 - LEAST)
