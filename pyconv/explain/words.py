"""The sentences of the walk, in English and in Korean, the language of the lecture."""

from typing import Any

from .. import pages


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
        self.sentences = pages.words(__package__, lang)

    def __call__(self, key: str, **values: Any) -> str:
        """A sentence with its numbers."""
        return self.sentences[key].format(**values)

    def count(self, what: str, number: int) -> str:
        """So many images, channels or filters."""
        return self(f"{'one' if number == 1 else 'several'} {what}", number=number)
