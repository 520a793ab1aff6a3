"""What a network asks of every layer."""

from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np

from .. import checks
from ..checks import Array

T = TypeVar("T")


class Keeps(NamedTuple):
    """What `forward` leaves for `backward`.

    Attributes
    ----------
    input, output : bool
        Whether the batch that came in stays, or the one that went out.
    own : int
        Bytes of what stays beside them.
    """

    input: bool = False
    output: bool = False
    own: int = 0


class Layer:
    """One step of a network.

    Attributes
    ----------
    parameters : tuple of str
        Names of the attributes that training changes. The gradient of `W` is `dW`, and so on.
    buffers : tuple of str
        Names of the arrays that are part of the layer's state but have no gradient.
    label : str
        Short name; networks number their layers with it ("Conv1").
    output_is_input : bool
        Whether the output is the input's memory, seen in another shape.
    """

    parameters: tuple[str, ...] = ()
    buffers: ClassVar[tuple[str, ...]] = ()
    label: ClassVar[str] = "Layer"
    output_is_input: ClassVar[bool] = False

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        """Output for a batch. `train_flg` matters to Dropout and BatchNormalization alone."""
        raise NotImplementedError

    def backward(self, dout: Array) -> Array | None:
        """Gradient with respect to the last `forward`'s x, from the one with respect to its result.

        Raises
        ------
        RuntimeError
            When `forward` has not been called before.
        """
        raise NotImplementedError

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of one sample's output, without N, for a sample of the given shape."""
        return shape

    def multiply_adds(self, shape: tuple[int, ...]) -> int:
        """Multiply-add operations of `forward` for one sample of the given shape."""
        return 0

    def column_shape(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Shape of what `im2col` makes of one sample: (OH*OW, C*FH*FW); (0, 0) without a window."""
        return 0, 0

    def keeps(self, shape: tuple[int, ...], N: int, itemsize: int) -> Keeps:
        """What `forward` leaves for `backward`, of N samples of the given shape."""
        return Keeps()

    def held(self) -> list[Array]:
        """The arrays that the last `forward` left, as they are."""
        state = (*self.parameters, *self.buffers)
        return [
            value
            for name, value in vars(self).items()
            if isinstance(value, np.ndarray)
            and name not in state
            # a gradient, maybe of a bias that is the scalar 0
            and not (name.startswith("d") and name[1:] in vars(self))
        ]

    def branches(self) -> Array | None:
        """Which way each element went in the last `forward`; None where the layer has no kinks."""
        return None

    def settings(self) -> dict[str, Any]:
        """Constructor arguments that are not arrays; with `arrays()` they build the layer anew."""
        return {}

    def arrays(self) -> dict[str, Array]:
        """Parameters and buffers by name."""
        return {name: getattr(self, name) for name in (*self.parameters, *self.buffers)}

    def _remembered(self, value: T | None) -> T:
        """What `forward` kept for `backward`, if it has run."""
        if value is None:
            name = type(self).__name__
            raise RuntimeError(
                f"{name}.backward needs a forward before it; call forward(x) first (a network "
                "passes over layers that it computes in one, unless its fused is False)"
            )
        return value

    def __repr__(self) -> str:
        arrays = [f"{name}={array.shape}" for name, array in self.arrays().items()]
        settings = [f"{name}={value!r}" for name, value in self.settings().items()]
        return f"{type(self).__name__}({', '.join(arrays + settings)})"


def gradient_like(dout: object, output_shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """`dout` as an array of the output's shape and dtype, or a sentence about it."""
    checked = checks.float_array("dout", dout)
    checks.same_shape("dout", checked.shape, output_shape, "the output of forward")
    if checked.dtype != dtype:
        raise TypeError(f"dout is {checked.dtype}, but forward computed in {dtype}")
    return checked


def image_shape(layer: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """A sample's shape as (C, H, W)."""
    if len(shape) != 3:
        raise ValueError(f"{layer} takes images (C, H, W), but its input has shape {shape}")
    C, H, W = shape
    return C, H, W
