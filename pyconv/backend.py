"""What the functions of `pyconv` run: the compiled kernels, their NumPy twins, or both."""

import os
from contextvars import ContextVar, Token
from types import TracebackType

BACKENDS = ("native", "reference", "check")


def _checked(name: object, source: str) -> str:
    if name not in BACKENDS:
        raise ValueError(f"{source} must be one of {', '.join(map(repr, BACKENDS))}, not {name!r}")
    return str(name)


# A context variable: a `with use_backend(...)` in one thread or async task leaves the others alone.
_default = _checked(os.environ.get("PYCONV_BACKEND") or "native", "PYCONV_BACKEND")
_current: ContextVar[str] = ContextVar("pyconv_backend", default=_default)


def current_backend() -> str:
    """Name of the backend in force: "native", "reference" or "check"."""
    return _current.get()


class use_backend:
    """Run the functions of `pyconv` on another backend inside a `with` block.

    Parameters
    ----------
    name : {"native", "reference", "check"}
        "native" runs the compiled kernels, "reference" plain NumPy. "check" runs both and compares:
        a call returns what the compiled kernel does, or raises `pyconv.KernelError` when the two
        differ by more than rounding. The environment variable PYCONV_BACKEND sets the default.

    Raises
    ------
    ValueError
        When `name` is not the name of a backend.

    Examples
    --------
    >>> with pyconv.use_backend("reference"):
    ...     y = layer.forward(x)
    >>> with pyconv.use_backend("check"):
    ...     gradients = network.gradient(x, t)
    """

    def __init__(self, name: str) -> None:
        self.name = _checked(name, "backend")
        self._tokens: list[Token[str]] = []

    def __enter__(self) -> "use_backend":
        self._tokens.append(_current.set(self.name))
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _current.reset(self._tokens.pop())
