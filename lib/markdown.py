"""Names of the user's own data (classes, columns, files) as Markdown shows them: just so.

A name is data: it is escaped where it is shown, and interpreted nowhere.
"""

import re
import unicodedata

# what Markdown would interpret; _ and ~ where they do not stand inside a word, or alone
MARKUP = re.compile(
    r"[\\`*<>&\[\]|$]|(?<![^\W_])_|_(?![^\W_])|(?<=[^\s~])~|~(?=[^\s~])|(?<=~)~|~(?=~)"
)
SIGNS = {"\n": "↵", "\r": "↵", "\t": "⇥", "\u2028": "↵", "\u2029": "↵", "\x85": "↵"}
TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")  # they turn the text behind them around


def visible(name: str) -> str:
    """A name on one line, with a sign for what would not be seen in it."""
    name = name.replace("\r\n", "\n")
    if not any(map(_is_seen, name)):
        return " ".join(f"U+{ord(char):04X}" for char in name)
    return "".join(map(_sign, name))


def _is_seen(char: str) -> bool:
    return unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Cn", "Zs", "Zl", "Zp")


def _sign(char: str) -> str:
    if char in SIGNS:
        return SIGNS[char]
    if unicodedata.category(char) == "Cc" or TURNING.match(char):
        return f"U+{ord(char):04X}"
    return char


def escape(text: str) -> str:
    """The text as Markdown that shows just this text, on one line."""
    return MARKUP.sub(r"\\\g<0>", visible(text))


def code_span(text: str) -> str:
    """The text as Markdown shows code, on one line."""
    text = visible(text)
    runs = [len(ticks) for ticks in re.findall("`+", text)]
    fence = "`" * next(length for length in range(1, len(runs) + 2) if length not in runs)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"
