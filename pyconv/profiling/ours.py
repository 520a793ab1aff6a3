"""How pyconv computes the shapes, natively and in NumPy."""

from functools import partial
from typing import Any

import numpy as np

import pyconv

from ..backend import use_backend
from ..checks import Array
from ..optimizers import Adam
from .calls import LEARNING_RATE, Call
from .shapes import (
    Activation,
    Block,
    Columns,
    Convolution,
    FullyConnected,
    Inputs,
    Network,
    Pass,
    Pooling,
    Shape,
    Update,
)  # fmt: skip


class Pyconv:
    """This package, through its public functions."""

    backend = "native"

    def __init__(self, threads: int) -> None:
        pyconv.set_num_threads(threads)
        self.version: str = pyconv.__version__

    def calls(self, shape: Shape, which: Pass, inputs: Inputs) -> dict[str, Call]:
        """Ways to compute a pass, by name; none where this library cannot."""
        with use_backend(self.backend):
            return {"": self._call(shape, which, inputs)}

    def _call(self, shape: Shape, which: Pass, inputs: Inputs) -> Call:
        match shape:
            case Convolution():
                return self._convolution(shape, which, **inputs)
            case Pooling():
                return self._pooling(shape, which, **inputs)
            case Columns():
                return self._columns(shape, which, **inputs)
            case Block():
                return self._block(shape, which, **inputs)
            case Activation():
                return self._activation(which, **inputs)
            case FullyConnected():
                return self._fully_connected(shape, which, **inputs)
            case Update():
                return self._update(inputs)
            case Network():
                return self._network(shape, which, **inputs)

    def _convolution(
        self, shape: Convolution, which: Pass, x: Array, W: Array, b: Array, dout: Array
    ) -> Call:
        geometry = {
            "stride": shape.stride,
            "pad": shape.pad,
            "dilation": shape.dilation,
            "groups": shape.groups,
        }
        if which == "forward":
            return Call(lambda: pyconv.conv2d(x, W, b, **geometry), _one)
        if which == "dx":
            return Call(lambda: pyconv.conv2d_backward_data(dout, W, x.shape, **geometry), _one)
        return Call(lambda: pyconv.conv2d_backward_weight(x, dout, W.shape, **geometry), list)

    def _pooling(self, shape: Pooling, which: Pass, x: Array, dout: Array) -> Call:
        window = (*shape.window, shape.stride, shape.pad)
        if shape.kind == "max":
            if which == "forward":
                return Call(lambda: pyconv.max_pool2d(x, *window), lambda result: [result[0]])
            _, argmax = pyconv.max_pool2d(x, *window)
            return Call(lambda: pyconv.max_pool2d_backward(dout, argmax, x.shape, *window), _one)
        if which == "forward":
            return Call(lambda: pyconv.avg_pool2d(x, *window), _one)
        return Call(lambda: pyconv.avg_pool2d_backward(dout, x.shape, *window), _one)

    def _columns(self, shape: Columns, which: Pass, x: Array, col: Array) -> Call:
        window = (*shape.window, shape.stride, shape.pad)
        if which == "forward":
            return Call(lambda: pyconv.im2col(x, *window), _one)
        return Call(lambda: pyconv.col2im(col, x.shape, *window), _one)

    def _block(self, shape: Block, which: Pass, x: Array, W: Array, b: Array, dout: Array) -> Call:
        def forward() -> tuple[Array, Array | None]:
            return pyconv.conv2d_block(x, W, b, pool=shape.pool)

        if which == "forward":
            return Call(forward, lambda result: [result[0]])
        y, argmax = forward()
        backward = partial(
            pyconv.conv2d_block_backward, x, W, y, dout, argmax, pool=shape.pool, need_dx=False
        )
        return Call(backward, lambda gradients: list(gradients[1:]))

    def _activation(self, which: Pass, x: Array, dout: Array) -> Call:
        if which == "forward":
            return Call(lambda: pyconv.relu(x), _one)
        y = pyconv.relu(x)
        return Call(lambda: pyconv.relu_backward(dout, y), _one)

    def _fully_connected(
        self, shape: FullyConnected, which: Pass, x: Array, W: Array, b: Array, dout: Array
    ) -> Call:
        if which == "forward":
            return Call(lambda: pyconv.affine(x, W, b, shape.relu), _one)
        y = pyconv.affine(x, W, b, True) if shape.relu else None
        return Call(lambda: pyconv.affine_backward(x, dout, W, y), list)

    def _update(self, inputs: Inputs) -> Call:
        params, gradients = parameters_and_gradients(inputs)
        optimizer = Adam(lr=LEARNING_RATE)
        return Call(
            lambda: optimizer.update(params, gradients),
            lambda _: [params[name] - inputs[name] for name in params],
        )

    def _network(self, shape: Network, which: Pass, x: Array, t: Array) -> Call:
        network = shape.build(x.dtype)
        if which == "forward":
            return Call(lambda: network.predict(x), _one)
        optimizer = Adam(lr=LEARNING_RATE)

        def step() -> dict[str, Array]:
            gradients = network.gradient(x, t)
            optimizer.update(network.params, gradients)
            return gradients

        return Call(step, lambda gradients: list(gradients.values()))


def parameters_and_gradients(inputs: Inputs) -> tuple[Inputs, Inputs]:
    """The arrays of an `Update`: its parameters, copied to be changed, and their gradients."""
    names = [name for name in inputs if f"d{name}" in inputs]
    return (
        {name: inputs[name].copy() for name in names},
        {name: inputs[f"d{name}"] for name in names},
    )


def _one(result: Array) -> list[Array]:
    return [result]


class Reference(Pyconv):
    """The NumPy twins of pyconv's kernels."""

    backend = "reference"

    def __init__(self, threads: int) -> None:
        self.version = f"NumPy {np.__version__}"

    def calls(self, shape: Shape, which: Pass, inputs: Inputs) -> dict[str, Call]:
        ((name, call),) = super().calls(shape, which, inputs).items()

        def run() -> Any:
            with use_backend(self.backend):
                return call.run()

        return {name: Call(run, call.arrays)}
