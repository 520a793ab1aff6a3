"""Pages of HTML that need nothing but themselves: a template filled with parts, written whole."""

import html
import json
import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from ..files import replacing


def write(target: Path, package: str, parts: dict[str, str]) -> None:
    """Fill the `page.html` of a package with parts and write it, all of it or nothing.

    Parameters
    ----------
    target : Path
        The file to write, in a folder that exists.
    package : str
        Whose folder holds `page.html`. A mark in it, `<!--name-->`, stands for the part of that
        name; a mark with a dot, `<!--page.css-->`, for a file in that folder or, where that has
        none, in this one (`base.css`, `base.js`, `head.html`).
    parts : dict of str
        Markup as it is: text goes through `html.escape` first, data through `as_script`.

    Raises
    ------
    OSError
        When the file cannot be written.
    """

    def part(mark: re.Match[str]) -> str:
        return _file(package, mark[1]).read_text("utf-8") if "." in mark[1] else parts[mark[1]]

    # All the marks in one go: what looks like a mark in a part stays as it is.
    template = _file(package, "page.html").read_text("utf-8")
    page = re.sub("<!--([a-z0-9_.]+)-->", part, template)
    with replacing(target) as new:
        new.write_text(page, encoding="utf-8")


def words(package: str, lang: str) -> dict[str, str]:
    """The texts of a page in one language, from the package's `words.json`.

    Raises
    ------
    ValueError
        When the page has not been translated into that language.
    """
    languages: dict[str, dict[str, str]] = json.loads(
        _file(package, "words.json").read_text("utf-8")
    )
    if lang not in list(languages):  # a list takes what has no hash, too
        known = " or ".join(repr(language) for language in languages)
        raise ValueError(f"lang must be {known}, not {lang!r}")
    return languages[lang]


def escaped(texts: dict[str, str]) -> dict[str, str]:
    """Texts as parts of a page, for elements and for attributes."""
    return {name: html.escape(text) for name, text in texts.items()}


def as_script(data: object) -> str:
    """JSON that is safe inside a `<script>`: whatever its strings say, they cannot end it.

    Raises
    ------
    ValueError
        When it holds a number that is not finite, which JSON cannot.
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _file(package: str, name: str) -> Traversable:
    own = files(package).joinpath(name)
    return own if own.is_file() else files(__package__).joinpath(name)
