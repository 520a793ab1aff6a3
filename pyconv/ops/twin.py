"""The choice between a compiled kernel, its NumPy twin, and both."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from .. import reference
from ..backend import current_backend

P = ParamSpec("P")
R = TypeVar("R")


def with_twin(native: Callable[P, R]) -> Callable[P, R]:
    """Run `native`, its NumPy twin of the same name, or both, as the backend in force has it."""
    twin: Callable[P, R] = getattr(reference, native.__name__)

    @functools.wraps(native)
    def function(*args: P.args, **kwargs: P.kwargs) -> R:
        backend = current_backend()
        if backend == "check":
            from ..verification import verified  # who never checks never loads it

            return verified(native, *args, **kwargs)
        chosen = twin if backend == "reference" else native
        return chosen(*args, **kwargs)

    return function
