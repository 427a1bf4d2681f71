"""Fonts for the scripts that names come in, where the usual one lacks their characters."""

import sys
from functools import lru_cache

from matplotlib import font_manager
from matplotlib.text import Text

USUAL = "DejaVu Sans"  # comes with matplotlib
BOXES = "Last Resort High-Efficiency"  # comes with matplotlib: a box for any character


def give_fonts(texts: list[Text]) -> None:
    """Draw texts in installed fonts that have their characters; say once which none has."""
    for text in texts:
        missing = set(text.get_text()) - usual_characters()
        missing = {char for char in missing if char.isprintable()}
        if missing:
            fonts = fonts_with("".join(sorted(missing)))
            text.set_fontfamily([USUAL, *fonts])


def drawable(text: str) -> str:
    """A text with the numbers of those characters that no installed font has, such as U+4E2D: told
    from each other, which boxes are not."""
    missing = {char for char in set(text) - usual_characters() if char.isprintable()}
    if not missing or BOXES not in fonts_with("".join(sorted(missing))):
        return text
    shown = (char if _has_font(char) else f"U+{ord(char):04X} " for char in text)
    return "".join(shown).strip()


def _has_font(char: str) -> bool:
    return char in usual_characters() or BOXES not in _fonts_of(char)


@lru_cache
def usual_characters() -> frozenset[str]:
    return _characters(font_manager.findfont(USUAL))


@lru_cache(maxsize=64)
def _characters(path: str) -> frozenset[str]:
    """The characters that a font has; none where it cannot be drawn."""
    try:
        return frozenset(map(chr, font_manager.get_font(path).get_charmap()))
    except (OSError, RuntimeError, ValueError):
        return frozenset()


@lru_cache
def fonts_with(missing: str) -> tuple[str, ...]:
    """The names of installed fonts that have the characters, as few as the first ones allow; said
    where none has one."""
    fonts = _fonts_of(missing)
    if BOXES in fonts:
        characters = "".join(char for char in missing if BOXES in _fonts_of(char))
        print(
            f"No installed font has {characters}: figures show their numbers, tables the "
            "characters; install a font for them, such as Noto",
            file=sys.stderr,
        )
    return fonts


@lru_cache
def _fonts_of(missing: str) -> tuple[str, ...]:
    """The names of fonts that have the characters; `BOXES` for what none has."""
    wanted = set(missing)
    names = []
    fonts = sorted(font_manager.fontManager.ttflist, key=lambda font: (font.name, font.fname))
    for font in fonts:
        if not wanted:
            break
        if font.name == BOXES or font.style != "normal":
            continue
        covered = wanted & _characters(font.fname)
        if covered:
            names.append(font.name)
            wanted -= covered
    if wanted:
        names.append(BOXES)
    return tuple(dict.fromkeys(names))
