"""What a side of the comparison is asked for: a call that is timed."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

from ..checks import Array

LEARNING_RATE = 0.001


class Call(NamedTuple):
    """What is timed, and what its result is as arrays that can be compared."""

    run: Callable[[], Any]
    arrays: Callable[[Any], list[Array]]


def imported(rival: str, module: str, install: str) -> Any:
    """A module that a rival needs, or a sentence that says how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{rival} needs {module}, which cannot be imported ({error}); pip install {install} "
            f"into the environment of pyconv, or leave {rival} out of --against"
        ) from error
