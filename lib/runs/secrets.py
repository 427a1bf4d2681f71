"""Passwords and tokens: they are in no message, whoever wrote it."""

import os
import re
from urllib.parse import unquote, urlsplit

HIDDEN = "…"
IN_A_URL = re.compile(r"(\w[\w+.-]*://)[^\s'\"<>]*@")  # user, password, to the last @
SECRET = (
    r"(?:passw(?:or)?d|passphrase|pwd|secret|credential|token(?!s|iz)"
    r"|(?:api|access|private)[_-]?key)"
)
VALUE = r"""(?:"[^"]*"|'[^']*'|[^\s,;&)'"]+)"""
NAMED = re.compile(rf"(?i)(\b[\w-]*{SECRET}[\w-]*['\"]?\s*[:=]\s*){VALUE}")
BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}")
SECRET_NAME = re.compile(rf"(?i){SECRET}|_key$")
SHORTEST = 4  # characters of a secret of the environment; a shorter one may be part of any word


def without_passwords(text: str) -> str:
    """A message without the passwords and tokens in it: of URLs, of `password=…`, and those that
    the environment gives."""
    for secret in _of_environment():
        text = text.replace(secret, HIDDEN)
    text = IN_A_URL.sub(rf"\1{HIDDEN}@", text)
    text = NAMED.sub(rf"\1{HIDDEN}", text)
    return BEARER.sub(rf"\1 {HIDDEN}", text)


def _of_environment() -> list[str]:
    """The secrets that the environment gives, the longest first."""
    secrets = set()
    for name, value in os.environ.items():
        if SECRET_NAME.search(name):
            secrets.add(value)
        if "://" in value and "@" in value:
            secrets |= _of_url(value)
    return sorted((each for each in secrets if len(each) >= SHORTEST), key=len, reverse=True)


def _of_url(url: str) -> set[str]:
    try:
        password = urlsplit(url).password or ""
    except ValueError:  # no URL
        return set()
    return {password, unquote(password)}
