"""Values as files, keys and trackers can hold them: plain, finite, and of a bounded size."""

import math
import numbers
import os

from pydantic import BaseModel

LONGEST_TEXT = 4096  # characters; also the longest path, in bytes
LONGEST_NAME = 255  # bytes of one name of a path
LARGEST = 2**63 - 1  # of whole numbers, as Parquet and databases have them
DEEPEST = 8  # values within values


def plain(value, depth: int = 0):
    """A value as JSON has it: tuples as lists, numpy's numbers as Python's; models as they are.

    Raises ValueError for what is not plain: text that no file can hold, numbers that are not finite
    or too large, names that are no text, and other types.
    """
    if isinstance(value, BaseModel):
        plain(value.model_dump(), depth)
        return value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return check_text(value)
    if isinstance(value, numbers.Real):
        return plain_number(value)
    if depth == DEEPEST:
        raise ValueError(f"values are nested deeper than {DEEPEST} times")
    if isinstance(value, list | tuple):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, dict):
        for name in value:
            if not isinstance(name, str):
                raise ValueError(f"a name is text, and {name!r:.80} is not")
        return {check_text(name): plain(item, depth + 1) for name, item in value.items()}
    raise ValueError(
        f"a value is text, a number, true, false, a list or a mapping, and no "
        f"{type(value).__name__}"
    )


def check_text(text: str) -> str:
    """The text. Raises ValueError where it is too long, or has what no file can hold."""
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"a text has at most {LONGEST_TEXT:,} characters, this has {len(text):,}")
    if "\0" in text:
        raise ValueError("a text has no NUL characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("a text has whole characters, no halves of them (surrogates)") from None
    return text


def plain_number(value: numbers.Real) -> int | float:
    """The number, as Python has it. Raises ValueError where it is not finite, or too large."""
    if isinstance(value, numbers.Integral):
        integer = int(value)
        if abs(integer) > LARGEST:
            raise ValueError(f"a whole number is at most {LARGEST:,}")
        return integer
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("a number is finite")
    return number


def check_path(text: str) -> str:
    """A text that may be a path. Raises ValueError where none can be like it."""
    if not text.strip():
        raise ValueError("a name is needed, and this is empty")
    if len(os.fsencode(text)) > LONGEST_TEXT:
        raise ValueError(f"a path has at most {LONGEST_TEXT:,} bytes")
    for name in text.split(os.sep):
        if len(os.fsencode(name)) > LONGEST_NAME:
            raise ValueError(f"a file's name has at most {LONGEST_NAME} bytes")
    return text
