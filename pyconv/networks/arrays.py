"""The arrays of a network by name."""

from collections.abc import Iterator, MutableMapping

import numpy as np

from .. import checks
from ..checks import Array


class Arrays(MutableMapping[str, Array]):
    """The arrays of a network's layers by name. They stay the layers' own.

    `params["W1"] = values` and `params.update(...)` write into the layers' arrays: a new array in
    the place of one would be an array that the layer knows nothing of.
    """

    def __init__(self) -> None:
        self._arrays: dict[str, Array] = {}

    def alias(self, name: str, array: Array) -> None:
        """Enter a layer's array."""
        self._arrays[name] = array

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def __setitem__(self, name: str, values: Array) -> None:
        array = self[name]
        checks.same_shape(name, np.shape(values), array.shape, "the layer's array")
        checks.same_dtype(**{name: array, "the new array": np.asarray(values)})
        array[...] = values

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"{name} is an array of the network's layers and cannot be removed")

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        return f"Arrays({', '.join(f'{name}={array.shape}' for name, array in self.items())})"
