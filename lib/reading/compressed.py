"""The bytes of a file, unpacked, and what kind of file they are whatever its name says."""

import bz2
import gzip
import lzma
import stat
import zipfile
import zlib
from pathlib import Path

from lib.errors import InputError

OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
PACKINGS = (*OPENERS, ".zip")
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError)
BLOCK = 2**20  # bytes
HEAD = 512  # bytes that tell what a file is

# How other kinds of files begin, what they are, and the way out.
SIGNATURES = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old or a locked Excel workbook", "save it as CSV"),
    (b"PAR1", "Parquet", "name it .parquet"),
    (b"ARROW1", "an Arrow or Feather file", "save it as Parquet"),
    (b"\x1f\x8b", "packed by gzip", "name it .gz, after the table's own suffix"),
    (b"BZh91AY&SY", "packed by bzip2", "name it .bz2, after the table's own suffix"),
    (b"\xfd7zXZ\0", "packed by xz", "name it .xz, after the table's own suffix"),
    (b"\x28\xb5\x2f\xfd", "packed by zstd", "unpack it: zstd -d"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it"),
    (b"Rar!\x1a\x07", "a RAR archive", "unpack it"),
    (b"%PDF-", "a PDF document", "export its table as CSV"),
    (b"{\\rtf", "an RTF document", "save it as plain text"),
    (b"SQLite format 3\0", "an SQLite database", "export its table as CSV"),
    (b"\x80\x04\x95", "a Python pickle", "save it as Parquet or CSV"),
    (b"\x80\x05\x95", "a Python pickle", "save it as Parquet or CSV"),
    (b"version https://git-lfs", "a pointer of Git LFS", "fetch the file: git lfs pull"),
)
MARKUP = (b"<!doctype html", b"<html", b"<head", b"<body", b"<table", b"<!-- ")


def packing_of(path: Path) -> str:
    """The suffix that says how a file is packed; empty where it is not."""
    suffix = path.suffix.lower()
    return suffix if suffix in PACKINGS else ""


def open_bytes(path: Path):
    """The file's bytes as a stream, unpacked. Raises InputError where it cannot be opened."""
    check_is_file(path)
    packing = packing_of(path)
    try:
        if packing == ".zip":
            return _open_only_member(path)
        return OPENERS.get(packing, Path.open)(path, "rb")
    except DAMAGED as error:
        raise unreadable(path, error) from None


def out_of_memory(path: Path) -> InputError:
    """The error that reading a file takes more memory than there is."""
    return InputError(
        f"{path.name} takes more memory to read than there is; save it in parts, or fetch it again "
        "if it is not large: a damaged size asks for as much"
    )


def check_is_file(path: Path) -> None:
    """Refuse what is no ordinary file: a pipe would be waited for, a device has no end."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise InputError(f"There is no file {path}") from None
    except OSError as error:
        raise unreadable(path, error) from None
    except ValueError:
        raise InputError(f"{str(path)!r} is no name that a file can have") from None
    if stat.S_ISDIR(mode):
        raise InputError(f"{path} is a folder; name a file in it")
    if not stat.S_ISREG(mode):
        raise InputError(
            f"{path} is a pipe, a socket or a device; a table is an ordinary file: save it as one"
        )


def unreadable(path: Path, error: Exception) -> InputError:
    """The error that a file's bytes cannot be read, or not be unpacked."""
    if isinstance(error, OSError) and error.strerror:
        return InputError(f"{path} cannot be read: {error.strerror.lower()}")
    if packing_of(path):
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return InputError(
            f"{path.name} cannot be unpacked: {reason}; it is damaged or cut: fetch or pack it "
            "again"
        )
    return InputError(f"{path.name} cannot be read: {error}")


def check_whole(path: Path) -> None:
    """Refuse a packed file that is cut, which may be what is wrong in its lines."""
    if not packing_of(path):
        return
    try:
        with open_bytes(path) as unpacked:
            while unpacked.read(BLOCK):
                pass
    except DAMAGED as error:
        raise unreadable(path, error) from None


def members_of(path: Path) -> list[str]:
    """The files in a ZIP archive, without those that macOS adds. Raises InputError."""
    check_is_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = [member.filename for member in archive.infolist() if not member.is_dir()]
    except DAMAGED as error:
        raise unreadable(path, error) from None
    return [name for name in names if not name.startswith("__MACOSX/")]


def _open_only_member(path: Path):
    """The one file in a ZIP archive, as a stream."""
    names = members_of(path)
    if len(names) != 1:
        listed = ", ".join(names[:5]) or "none"
        raise InputError(
            f"{path.name} has {len(names)} files ({listed}), and a table is one: unpack it, and "
            "name the file or the folder"
        )
    with zipfile.ZipFile(path) as archive:  # the member's stream keeps the file open
        return archive.open(names[0])


def check_content(path: Path, head: bytes, *, wanted: bytes = b"") -> None:
    """Refuse a file whose first bytes say that it is of another kind than its name, with what it
    is. `wanted`: how files of its kind begin."""
    if wanted and head.startswith(wanted):
        return
    other = _kind_of(path, head)
    if other:
        kind, way_out = other
        raise InputError(f"{path.name} is {kind}, whatever its name says; {way_out}")


def _kind_of(path: Path, head: bytes) -> tuple[str, str] | None:
    """What a file is by its first bytes, and what to do; None for what may be text."""
    for signature, kind, way_out in SIGNATURES:
        if head.startswith(signature):
            return kind, way_out
    if head.startswith(b"PK\x03\x04"):
        if not packing_of(path) and any(name.startswith("xl/") for name in members_of(path)):
            return "an Excel workbook", "name it .xlsx, or save it as CSV"
        return "a ZIP archive", "name it .zip, after the table's own suffix"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith(MARKUP):
        return "an HTML page", "perhaps of a site that asks to log in: download the table itself"
    if start.startswith(b"<?xml"):
        return "XML", "save it as CSV"
    return None
