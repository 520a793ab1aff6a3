"""Neighbouring layers that a network computes in one pass over memory.

Convolution, ReLU and max-pooling side by side become one kernel, which never writes what lies
between them; affine takes its ReLU along. A block stands for layers that stay what they are: it
reads their parameters and settings at every call and sets their gradients. Whatever a block has
no kernel for, its layers compute one after another.
"""

import math
from operator import attrgetter, is_
from typing import Any, NamedTuple

import numpy as np

from .. import _core, checks, ops
from ..backend import current_backend
from ..checks import Array
from ..layers import Affine, Convolution, Layer, Pooling, Relu
from ..layers.base import Keeps, gradient_like
from ..window import PoolingWindow, explicit, per_axis

# A block stands for these functions, and not for others that someone put in their place.
KINDS: tuple[type[Layer], ...] = (Convolution, Relu, Pooling, Affine)
functions_of = attrgetter("forward", "backward")
OWN_FUNCTIONS = dict(zip(KINDS, map(functions_of, KINDS), strict=True))


class Step:
    """Layers computed one after another: what every block is, and what it falls back on.

    Attributes
    ----------
    layers : tuple of Layer
    frees : bool
        Whether `backward` lets go of what `forward` kept; layers hold it until the next forward.
    """

    frees = False

    def __init__(self, *layers: Layer) -> None:
        self.layers = layers
        self._kept: tuple[Any, ...] | None = None

    def keeps(self, shape: tuple[int, ...], N: int, itemsize: int) -> Keeps:
        """What `forward` keeps of N samples of this shape where it may; see `Layer.keeps`."""
        (layer,) = self.layers  # a step of several layers is a block, with a `keeps` of its own
        return layer.keeps(shape, N, itemsize)

    def held(self) -> list[Array]:
        """The arrays that the last `forward` left for `backward`."""
        held = [array for layer in self.layers for array in layer.held()]
        parameters = [array for layer in self.layers for array in layer.arrays().values()]
        for value in self._kept or ():
            for array in value if type(value) is tuple else (value,):
                known = any(array is parameter for parameter in parameters)
                if isinstance(array, np.ndarray) and not known:
                    held.append(array)
        return held

    def known(self, shape: tuple[int, ...]) -> "Known | None":
        """The kernel's arguments in the last `forward`; None where none did it all.

        `shape` is that of a sample then: another thread may have asked the step about others since.
        """
        return None

    def forward(self, x: Array, train_flg: bool, keep: bool) -> Array:
        """Output for a batch. `keep`: whether a `backward` follows, for which to keep it."""
        for layer in self.layers:
            x = layer.forward(x, train_flg)
        return x

    def backward(self, dout: Array, need_dx: bool) -> Array | None:
        """Set the layers' gradients. Returns the one with respect to x, or None."""
        dx: Array | None = dout
        for layer in reversed(self.layers):
            if dx is None:
                break
            if need_dx or layer is not self.layers[0] or not _can_leave_dx_out(layer):
                dx = layer.backward(dx)
            else:
                dx = layer.backward(dx, need_dx=False)  # type: ignore[call-arg]
        return dx


def _can_leave_dx_out(layer: Layer) -> bool:
    """Whether its `backward` is one that takes `need_dx`, and no one else's."""
    function = getattr(layer.backward, "__func__", None)
    return any(function is OWN_FUNCTIONS[kind][1] for kind in (Convolution, Affine))


class Block(Step):
    """Layers that one kernel computes, where it can."""

    frees = True

    def __init__(self, *layers: Layer) -> None:
        super().__init__(*layers)
        self._memory = _Memory()

    def known(self, shape: tuple[int, ...]) -> "Known | None":
        known = self._memory.known
        return known if known is not None and known.shape == shape else None


class ConvolutionBlock(Block):
    """Convolution, ReLU and, where there is one, max-pooling in windows side by side."""

    def __init__(
        self, convolution: Convolution, relu: Relu, pooling: Pooling | None = None
    ) -> None:
        super().__init__(convolution, relu, *([pooling] if pooling is not None else []))
        self.convolution, self.relu, self.pooling = convolution, relu, pooling

    def forward(self, x: Array, train_flg: bool, keep: bool) -> Array:
        if keep:
            self._kept = None  # should the layers do it this time
        x = checks.float_array("x", x)
        convolution, pooling = self.convolution, self.pooling
        settings: tuple[object, ...] = (
            convolution.W, convolution.b, convolution.stride, convolution.pad,
            convolution.dilation, convolution.groups,
        )  # fmt: skip
        if pooling is not None:
            settings += (
                pooling.pool_h, pooling.pool_w, pooling.stride, pooling.pad, pooling.dilation,
                pooling.mode, pooling.ceil_mode,
            )  # fmt: skip
        arguments = self._memory.recall(x, settings)
        if arguments is None:
            arguments = self._check(x)
            if arguments is None:
                return super().forward(x, train_flg, keep)
            self._memory.remember(x, settings, arguments)
        W, b, window, groups, pool = arguments
        if current_backend() == "check":
            stride, pad, dilation = window.arguments
            y, argmax = ops.conv2d_block(x, W, b, stride, pad, dilation, groups, pool, keep)
        else:
            y, argmax = _core.conv2d_block(x, W, b, window, groups, pool, keep)
        if keep:
            self._kept = (x, y, argmax, arguments)
        self._forget()
        return y

    def _check(self, x: Array) -> tuple[Any, ...] | None:
        """What the kernel takes beside x, or None where it cannot do what the layers do."""
        if self.pooling is not None and not stands_side_by_side(self.pooling):
            return None
        layer, pool = self.convolution, (1, 1)
        _, W, b, window, groups = checks.conv2d(
            x, layer.W, layer.b, layer.stride, layer.pad, layer.dilation, layer.groups
        )
        if self.pooling is not None:
            pool = (int(self.pooling.pool_h), int(self.pooling.pool_w))
            OH, OW = window.output_size(x.shape[2], x.shape[3])
            PoolingWindow(*pool, *pool, 1, 1, 0, 0, 0, 0).output_size(OH, OW)  # refuses a large one
        return W, b, window, groups, pool

    def keeps(self, shape: tuple[int, ...], N: int, itemsize: int) -> Keeps:
        taps = self.pooling.pool_h * self.pooling.pool_w if self.pooling is not None else 1
        if self.pooling is None or taps == 1:  # nothing to choose between
            return Keeps(input=True, output=True)
        argmax = self.pooling.keeps(self.convolution.output_shape(shape), N, itemsize).own
        return Keeps(input=True, output=True, own=argmax)

    def _forget(self) -> None:
        """A layer must not go back through a batch that was not the last one."""
        self.convolution.x = self.relu.y = None
        if self.pooling is not None:
            self.pooling.x_shape = self.pooling.argmax = None

    def backward(self, dout: Array, need_dx: bool) -> Array | None:
        if self._kept is None:
            return super().backward(dout, need_dx)
        x, y, argmax, (W, _, window, groups, pool) = self._kept
        self._kept = None
        dout = gradient_like(dout, y.shape, y.dtype)
        layer = self.convolution
        need_dx = bool(need_dx and layer.need_dx)
        if current_backend() == "check":
            stride, pad, dilation = window.arguments
            dx, layer.dW, layer.db = ops.conv2d_block_backward(
                x, W, y, dout, argmax, stride, pad, dilation, groups, pool, need_dx
            )
        else:
            dx, layer.dW, layer.db = _core.conv2d_block_backward(
                x, W, y, dout, argmax, window, groups, pool, need_dx
            )
        return dx


def stands_side_by_side(pooling: Pooling) -> bool:
    """Whether its windows neither overlap nor leave gaps nor reach over padding, for maxima."""
    return (
        pooling.mode == "max"
        and not pooling.ceil_mode
        and per_axis("stride", pooling.stride) == (pooling.pool_h, pooling.pool_w)
        and per_axis("dilation", pooling.dilation) == (1, 1)
        and explicit(pooling.pad) in ("valid", [[0, 0], [0, 0]])
    )


class AffineBlock(Block):
    """Affine and, where there is one, the ReLU after it."""

    def __init__(self, affine: Affine, relu: Relu | None = None) -> None:
        super().__init__(affine, *([relu] if relu is not None else []))
        self.affine, self.relu = affine, relu

    def forward(self, x: Array, train_flg: bool, keep: bool) -> Array:
        if keep:
            self._kept = None
        x, affine = checks.float_array("x", x), self.affine
        settings = (affine.W, affine.b)
        arguments = self._memory.recall(x, settings)
        if arguments is None:
            if x.ndim < 2:  # the layer has a sentence about it
                return super().forward(x, train_flg, keep)
            rows = x.reshape(len(x), math.prod(x.shape[1:]))
            arguments = *checks.affine(rows, affine.W, affine.b, False)[1:], self.relu is not None
            self._memory.remember(x, settings, arguments)
        W, b, relu = arguments
        rows = x if x.ndim == 2 else x.reshape(len(x), len(W))
        kernels = ops if current_backend() == "check" else _core
        y: Array = kernels.affine(rows, W, b, relu)
        if keep:
            self._kept = (x.shape, rows, W, y)
        affine.x = None  # see ConvolutionBlock._forget
        if self.relu is not None:
            self.relu.y = None
        return y

    def backward(self, dout: Array, need_dx: bool) -> Array | None:
        if self._kept is None:
            return super().backward(dout, need_dx)
        shape, rows, W, y = self._kept
        self._kept = None
        dout = gradient_like(dout, y.shape, y.dtype)
        past_relu = y if self.relu is not None else None
        affine = self.affine
        kernels = ops if current_backend() == "check" else _core
        dx, affine.dW, affine.db = kernels.affine_backward(rows, dout, W, past_relu, need_dx)
        return dx.reshape(shape) if dx is not None else None

    def keeps(self, shape: tuple[int, ...], N: int, itemsize: int) -> Keeps:
        return Keeps(input=True, output=True)


class Known(NamedTuple):
    """A kernel's arguments as a check found them, and for which samples and settings."""

    shape: tuple[int, ...]  # of a sample
    dtype: np.dtype[Any]
    settings: tuple[object, ...]
    arguments: tuple[Any, ...]  # that the kernel takes beside x

    def fits(self, x: Array) -> bool:
        """Whether it was found for samples like these."""
        return x.shape[1:] == self.shape and x.dtype == self.dtype


class _Memory:
    """What a check found, for as long as it would find the same: checks cost more than kernels.

    Settings are compared by identity, so only those that cannot change inside are remembered, and
    only checks that returned the layer's own arrays.
    """

    def __init__(self) -> None:
        self.known: Known | None = None

    def recall(self, x: Array, settings: tuple[object, ...]) -> tuple[Any, ...] | None:
        """What `remember` was given for the same settings and samples like those of `x`."""
        known = self.known
        if known is not None and known.fits(x) and all(map(is_, settings, known.settings)):
            return known.arguments
        self.known = None  # what is known is always of the last forward
        return None

    def remember(self, x: Array, settings: tuple[object, ...], arguments: tuple[Any, ...]) -> None:
        W, b, *others = settings
        try:
            hash(tuple(others))
        except TypeError:  # a list could change without becoming another object
            return
        if arguments[0] is W and (arguments[1] is b or arguments[1] is None):
            self.known = Known(x.shape[1:], x.dtype, settings, arguments)
