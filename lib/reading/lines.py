"""The lines of a text file: decoded, of bounded length, and with the line of what is wrong."""

import codecs
import io
import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from lib.errors import InputError
from lib.reading.compressed import DAMAGED, HEAD, check_content, check_whole, open_bytes, unreadable
from lib.reading.options import LONGEST_TEXT, Reading

MARKS = (  # the longer first: a mark of UTF-32 begins as one of UTF-16
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
# What text in other scripts than Latin may be encoded in.
OTHER_SCRIPTS = (
    *("cp1251", "koi8_r", "cp1253", "cp1255", "cp1256"),
    *("shift_jis", "euc_jp", "gb18030", "big5", "euc_kr"),
)
FEW = 0.2  # share of bytes beyond ASCII, at most, of text in Latin script
SAMPLE = 200_000  # bytes that the likely encoding is told from


def lines_of(path: Path, reading: Reading, *, longest: int = LONGEST_TEXT) -> Iterator[str]:
    """The lines of a text file, ends included, whether these are \\n, \\r\\n or \\r.

    Raises InputError with the line that cannot be decoded, has a NUL byte, or is longer than
    `longest` characters.
    """
    with open_bytes(path) as packed:
        try:
            head = packed.peek(HEAD)[:HEAD]
            check_content(path, head)
            encoding = _encoding_of(path, head, reading.encoding)
            with io.TextIOWrapper(packed, encoding=encoding, newline="") as text:
                lines = iter(partial(text.readline, longest + 1), "")
                for number, line in enumerate(lines, 1):
                    if len(line) > longest:
                        raise InputError(
                            f"{path.name}, line {number} has more than {longest:,} characters; "
                            "are its line breaks missing, or is it no table?"
                        )
                    if "\0" in line:
                        raise InputError(
                            f"{path.name}, line {number} has a NUL byte: the file is damaged or "
                            "not text; if it is UTF-16, set encoding: utf-16"
                        )
                    yield line
        except UnicodeError:
            check_whole(path)
            evident = _marked_encoding(head) or _wide_encoding(head)
            if evident:
                raise _damaged(path, evident) from None
            raise _undecodable(path, reading.encoding) from None
        except DAMAGED as error:
            raise unreadable(path, error) from None


def _encoding_of(path: Path, head: bytes, said: str) -> str:
    """The encoding to read with: what a mark at the beginning says, or else what is said. Raises
    InputError where the two differ."""
    name = codecs.lookup(said).name
    marked = _marked_encoding(head)
    if marked:
        if name.startswith(("utf-8", marked[:6])):
            return marked
        mark = next(mark for mark, _ in MARKS if head.startswith(mark))
        raise InputError(
            f"{path.name} is {_title(marked)} (its first bytes are "
            f"0x{mark.hex()}), not {said}; leave out encoding"
        )
    wide = _wide_encoding(head)
    if wide and name != wide:
        raise InputError(
            f"{path.name} looks like {wide.upper()} without a mark; set encoding: {wide}"
        )
    return said


def _marked_encoding(head: bytes) -> str:
    """The encoding that a mark at the beginning says; empty where there is none."""
    for mark, marked in MARKS:
        if head.startswith(mark):
            return marked
    return ""


def _title(encoding: str) -> str:
    """UTF-8, UTF-16 or UTF-32."""
    return encoding[:6].strip("-").upper()


def _wide_encoding(head: bytes) -> str:
    """UTF-16 or UTF-32 by where the zeros of ASCII characters are; empty where they are not."""
    for width, name in ((4, "utf-32"), (2, "utf-16")):
        characters = len(head) // width
        if characters < 2:
            continue
        zeros = [head[place::width].count(0) / characters for place in range(width)]
        if min(zeros[1:]) > 0.5 and zeros[0] < 0.1:
            return f"{name}-le"
        if min(zeros[:-1]) > 0.5 and zeros[-1] < 0.1:
            return f"{name}-be"
    return ""


# ---- what cannot be decoded


def _damaged(path: Path, encoding: str) -> InputError:
    """The error that a file does not go on in the encoding that it plainly begins in."""
    place = ""
    if encoding == "utf-8-sig":
        number, _, _ = _first_undecodable(path, "utf-8")
        place = f", line {number}" if number else ""
    return InputError(
        f"{path.name}{place} is damaged or cut: the file begins as {_title(encoding)}, and does "
        "not go on so; save or fetch it again"
    )


def _undecodable(path: Path, encoding: str) -> InputError:
    """The error that a file is not in the encoding said: where, and the one that it may have."""
    number, line, reason = _first_undecodable(path, encoding)
    place = f", line {number}" if number else ""
    byte = ""
    if isinstance(reason, UnicodeDecodeError) and reason.start < len(line):
        byte = f" (byte 0x{line[reason.start]:02x})"
    message = f"{path.name}{place} is not {encoding.upper()}{byte}"
    likely = _likely_encoding(path, number)
    if likely == "utf-8" and codecs.lookup(encoding).name.startswith("utf-8"):
        return InputError(f"{message}, though lines before it are: mend or remove that line")
    if likely == "utf-8":
        return InputError(f"{message}; it may be UTF-8: leave out encoding")
    return InputError(
        f"{message}; it may be {likely}: set encoding: {likely}, or convert it: iconv -f {likely} "
        "-t utf-8"
    )


def _first_undecodable(path: Path, encoding: str) -> tuple[int, bytes, UnicodeError | None]:
    """The first line that is not in an encoding, and why; 0 where each alone can be decoded."""
    with open_bytes(path) as packed:
        for number, line in enumerate(iter(partial(packed.readline, LONGEST_TEXT), b""), 1):
            try:
                line.decode(encoding)
            except UnicodeError as error:
                return number, line, error
    return 0, b"", None


def _likely_encoding(path: Path, number: int) -> str:
    """The encoding that lines beyond ASCII may have, the one with this number among them."""
    from charset_normalizer import from_bytes

    with open_bytes(path) as packed:
        start = packed.read(SAMPLE)
        packed.seek(0)
        lines = iter(partial(packed.readline, LONGEST_TEXT), b"")
        line = next(itertools.islice(lines, max(0, number - 1), None), b"")
    strange = [line for line in start.splitlines() if not line.isascii()]
    if line.isascii() or any(_is_utf8(line) for line in strange):
        return "utf-8"
    sample = b"\n".join([line[:SAMPLE], *strange])
    beyond_ascii = sum(byte > 127 for byte in sample)
    if beyond_ascii > FEW * len(sample):
        best = from_bytes(sample, cp_isolation=list(OTHER_SCRIPTS)).best()
        if best is not None:
            return best.encoding
    try:
        sample.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
