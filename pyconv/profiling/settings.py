"""What the options of `pyconv profile` with a list in them mean."""

from typing import NamedTuple

from ..system import MOST_THREADS, build_info, get_num_threads


class Setting(NamedTuple):
    """How pyconv is run: the threads it may use and the instruction set of its kernels."""

    threads: int
    isa: str

    def __str__(self) -> str:
        return f"{self.threads} thread{'s' * (self.threads > 1)}, {self.isa}"


def split(text: str) -> list[str]:
    """The words of a list with commas, each once."""
    words = (part.strip() for part in text.split(","))
    return list(dict.fromkeys(word for word in words if word))


def settings_of(threads: str | None, isas: str | None) -> list[Setting]:
    """Every pair of the threads and the instruction sets of two lists.

    Parameters
    ----------
    threads : str, optional
        Whole numbers with commas; as many as pyconv uses by itself where it is left out.
    isas : str, optional
        Names with commas; the one in use where it is left out.

    Raises
    ------
    ValueError
        When there is no such number of threads, or this CPU or build has no such instruction set.
    """
    counts = [get_num_threads()] if threads is None else _counts(threads)
    return [Setting(count, isa) for count in counts for isa in _isas(isas)]


def _counts(text: str) -> list[int]:
    words = split(text)
    for word in words:
        if not (word.isascii() and word.isdigit() and 1 <= int(word) <= MOST_THREADS):
            raise ValueError(
                f"--threads takes whole numbers from 1 to {MOST_THREADS} with commas, e.g. 1,2; "
                f"{word!r} is none"
            )
    if not words:
        raise ValueError("--threads names no number; it takes some with commas, e.g. 1,2")
    return list(dict.fromkeys(map(int, words)))


def _isas(text: str | None) -> list[str]:
    info = build_info()
    if text is None:
        return [info["isa"]]
    words, there_are = split(text), ", ".join(info["isas"])
    for word in words:
        if word not in info["isas"]:
            raise ValueError(
                f"this CPU, or this build of pyconv, has no instruction set {word!r}; there are "
                f"{there_are}"
            )
    if not words:
        raise ValueError(f"--isa names no instruction set; there are {there_are}")
    return words
