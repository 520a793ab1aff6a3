"""The sentences of the walk, in English and in Korean, the language of the lecture."""

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def languages() -> dict[str, dict[str, str]]:
    """All sentences, by language and key."""
    text = files(__package__).joinpath("words.json").read_text(encoding="utf-8")
    known: dict[str, dict[str, str]] = json.loads(text)
    return known


class Words:
    """The sentences of a language.

    Parameters
    ----------
    lang : {"en", "ko"}

    Raises
    ------
    ValueError
        For another language.
    """

    def __init__(self, lang: str) -> None:
        known = languages()
        if lang not in known:
            raise ValueError(f"lang must be one of {', '.join(map(repr, known))}, not {lang!r}")
        self.sentences = known[lang]

    def __call__(self, key: str, **values: Any) -> str:
        """A sentence with its numbers."""
        return self.sentences[key].format(**values)

    def count(self, what: str, number: int) -> str:
        """So many images, channels or filters."""
        return self(f"{'one' if number == 1 else 'several'} {what}", number=number)
