"""The choice between a compiled kernel and its NumPy twin."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from .. import reference
from ..backend import current_backend

P = ParamSpec("P")
R = TypeVar("R")


def with_twin(native: Callable[P, R]) -> Callable[P, R]:
    """Run `native`, or its NumPy twin of the same name when the reference backend is in force."""
    twin: Callable[P, R] = getattr(reference, native.__name__)

    @functools.wraps(native)
    def function(*args: P.args, **kwargs: P.kwargs) -> R:
        chosen = twin if current_backend() == "reference" else native
        return chosen(*args, **kwargs)

    return function
