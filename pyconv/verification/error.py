"""The error of check mode."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import _core
from ..files import replacing

CALL = (
    "pyconv_call"  # the entry of a saved call that says which function, and holds what is no array
)


@dataclass(frozen=True)
class Difference:
    """How a result of a compiled kernel differs from that of NumPy; see `KernelError`."""

    result: str
    index: tuple[int, ...]
    place: dict[str, int]
    native: Any
    reference: Any
    wrong: int
    size: int
    max_absolute: float
    max_relative: float
    max_ulp: float
    note: str = ""


class KernelError(AssertionError):
    """A compiled kernel and its NumPy twin disagree; `pyconv.use_backend("check")` raises it.

    Attributes
    ----------
    function : str
        The function whose results differ, "conv2d" for example, or a step of an optimizer.
    arguments : dict
        What it was called with, by name.
    result : str
        Which of its results is wrong: "y", "argmax", "dx", "dW", "db", ...
    index : tuple of int
        The first wrong value, in C order; empty where shape or dtype are wrong.
    place : dict of str to int
        The same in words: image, channel, row and column for example.
    native, reference : NumPy scalar
        What the kernel has there, and what NumPy has; shapes and dtypes where these differ.
    wrong, size : int
        How many values differ by more than rounding, and of how many.
    max_absolute, max_relative, max_ulp : float
        The largest errors among these. An ULP is the distance from the reference to the next number
        of the result's dtype; infinite where a number meets an infinity or NaN.
    """

    def __init__(self, function: str, arguments: dict[str, Any], difference: Difference) -> None:
        super().__init__(function, arguments, difference)
        self.function, self.arguments, self._difference = function, arguments, difference
        self.result, self.index, self.place = difference.result, difference.index, difference.place
        self.native, self.reference = difference.native, difference.reference
        self.wrong, self.size = difference.wrong, difference.size
        self.max_absolute = difference.max_absolute
        self.max_relative = difference.max_relative
        self.max_ulp = difference.max_ulp

    def __str__(self) -> str:
        call = ", ".join(f"{name}={_shown(value)}" for name, value in self.arguments.items())
        lines = [f"{self.function}: the compiled kernel and NumPy disagree about {self.result}"]
        if self.index:
            place = ", ".join(f"{axis} {i}" for axis, i in self.place.items())
            lines[0] += f" at {place}: {self.native!s} instead of {self.reference!s}"
            if self._difference.note:
                lines.append(self._difference.note)
            lines.append(
                f"{self.wrong} of {self.size} values differ by more than rounding, by at most "
                f"{self.max_absolute:.3g} absolute, {self.max_relative:.3g} relative, "
                f"{self.max_ulp:.3g} ULP"
            )
        else:
            lines[0] += f": it is {self.native!s} instead of {self.reference!s}"
        lines += [
            f"call: {self.function}({call})",
            f"kernels: {_core.build_info()['isa']}, {_core.num_threads()} threads",
            'replay() of this error calls it again, save("call.npz") keeps the arguments',
        ]
        return "\n  ".join(lines)

    def replay(self) -> Any:
        """Call the function once more with the same arguments, in check mode.

        Returns
        -------
        What the compiled kernel returns, when it is right this time.

        Raises
        ------
        KernelError
            When it is wrong again.
        """
        from .run import call

        return call(self.function, self.arguments)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the call to an .npz file, for `pyconv.verification.replay(path)`.

        Parameters
        ----------
        path : str or PathLike

        Raises
        ------
        OSError
            When the file cannot be written.
        """
        arrays = {k: v for k, v in self.arguments.items() if isinstance(v, np.ndarray)}
        others = {k: v for k, v in self.arguments.items() if k not in arrays}
        said = json.dumps({"function": self.function, "arguments": others}, default=_plain)
        with replacing(Path(path)) as part, part.open("wb") as file:
            np.savez(file, **{CALL: np.array(said)}, **arrays)  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    """A NumPy number as JSON can hold it."""
    return value.item()


def _shown(value: object) -> str:
    """An array by its dtype and shape, anything else as it is written."""
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else repr(value)
