"""The two convolutional networks of the book, and how their weights start."""

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import checks
from ..checks import Array
from ..layers import Affine, Convolution, Dropout, Layer, Pooling, Relu
from ..window import per_axis, whole
from .sequential import Sequential

Seed: TypeAlias = int | np.random.Generator | None


class SimpleConvNet(Sequential):
    """The deck's network: convolution, ReLU, 2×2 max-pooling, affine, ReLU, affine.

    Parameters
    ----------
    input_dim : (C, H, W)
        Shape of one image.
    conv_param : mapping, optional
        "filter_num" (30), "filter_size" (5, or (height, width)), "pad" (0), "stride" (1) and
        "dilation" (1).
    hidden_size, output_size : int
        Width of the two affine layers.
    weight_init_std : float
        Standard deviation of the normal distribution that weights start from; biases start at 0.
    rng : None, int or numpy.random.Generator
        Seed of the weights.
    dtype : float32 or float64
    fused : bool
        As for `Sequential`.

    Raises
    ------
    TypeError, ValueError
        When an argument is out of range, or a layer does not fit the one before.
    """

    def __init__(
        self,
        input_dim: tuple[int, int, int] = (1, 28, 28),
        conv_param: Mapping[str, Any] | None = None,
        hidden_size: int = 100,
        output_size: int = 10,
        weight_init_std: float = 0.01,
        rng: Seed = None,
        dtype: npt.DTypeLike = np.float32,
        fused: bool = True,
    ) -> None:
        default = {"filter_num": 30, "filter_size": 5, "pad": 0}
        build = _Builder(input_dim, checks.generator(rng), dtype, weight_init_std)
        build.convolution(conv_param, default, "conv_param")
        build.add(Relu(), Pooling(2, 2, stride=2))
        build.affine(whole("hidden_size", hidden_size, 1))
        build.add(Relu())
        build.affine(whole("output_size", output_size, 1))
        super().__init__(build.layers, build.input_dim, type(self).__name__, fused)


class DeepConvNet(Sequential):
    """The book's deep network: six 3×3 convolutions, three poolings, two affine layers, dropout.

    Parameters
    ----------
    input_dim : (C, H, W)
        Shape of one image.
    conv_param_1, ..., conv_param_6 : mapping, optional
        As `conv_param` of `SimpleConvNet`; 16, 16, 32, 32, 64, 64 filters of 3×3 with pad 1, the
        fourth with pad 2.
    hidden_size, output_size : int
        Width of the two affine layers.
    rng : None, int or numpy.random.Generator
        Seed of the weights and of dropout.
    dtype : float32 or float64
    fused : bool
        As for `Sequential`.

    Raises
    ------
    TypeError, ValueError
        When an argument is out of range, or a layer does not fit the one before.

    Notes
    -----
    Weights start from normal distributions of variance 2 / fan-in: He, Zhang, Ren and Sun, "Delving
    Deep into Rectifiers" (2015).
    """

    def __init__(
        self,
        input_dim: tuple[int, int, int] = (1, 28, 28),
        conv_param_1: Mapping[str, Any] | None = None,
        conv_param_2: Mapping[str, Any] | None = None,
        conv_param_3: Mapping[str, Any] | None = None,
        conv_param_4: Mapping[str, Any] | None = None,
        conv_param_5: Mapping[str, Any] | None = None,
        conv_param_6: Mapping[str, Any] | None = None,
        hidden_size: int = 50,
        output_size: int = 10,
        rng: Seed = None,
        dtype: npt.DTypeLike = np.float32,
        fused: bool = True,
    ) -> None:
        given = (
            conv_param_1, conv_param_2, conv_param_3, conv_param_4, conv_param_5, conv_param_6
        )  # fmt: skip
        filters_and_pads = ((16, 1), (16, 1), (32, 1), (32, 2), (64, 1), (64, 1))
        generator = checks.generator(rng)
        build = _Builder(input_dim, generator, dtype)
        for i, (param, (filters, pad)) in enumerate(zip(given, filters_and_pads, strict=True), 1):
            default = {"filter_num": filters, "filter_size": 3, "pad": pad}
            build.convolution(param, default, f"conv_param_{i}")
            build.add(Relu())
            if i % 2 == 0:
                build.add(Pooling(2, 2, stride=2))
        build.affine(whole("hidden_size", hidden_size, 1))
        build.add(Relu(), Dropout(0.5, generator))
        build.affine(whole("output_size", output_size, 1))
        build.add(Dropout(0.5, generator))
        super().__init__(build.layers, build.input_dim, type(self).__name__, fused)


class _Builder:
    """Collects layers, and makes each layer's weights to fit the shape that arrives there."""

    def __init__(
        self,
        input_dim: tuple[int, ...],
        rng: np.random.Generator,
        dtype: npt.DTypeLike,
        weight_init_std: float | None = None,
    ) -> None:
        if not isinstance(input_dim, tuple | list) or len(input_dim) != 3:
            raise ValueError(
                f"input_dim must be (C, H, W), the shape of one image, not {input_dim!r}"
            )
        self.input_dim = tuple(whole("input_dim", size, 1) for size in input_dim)
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise TypeError(f"dtype must be float32 or float64, not {self.dtype}")
        if weight_init_std is not None and not (
            isinstance(weight_init_std, int | float | np.number) and 0 <= weight_init_std < math.inf
        ):
            raise ValueError(
                f"weight_init_std must be a number of at least 0, not {weight_init_std!r}"
            )
        self.rng, self.std = rng, weight_init_std
        self.shape = self.input_dim
        self.layers: list[Layer] = []

    def add(self, *layers: Layer) -> None:
        for layer in layers:
            self.shape = layer.output_shape(self.shape)
            self.layers.append(layer)

    def convolution(
        self, given: Mapping[str, Any] | None, default: Mapping[str, Any], argument: str
    ) -> None:
        default = {"stride": 1, "dilation": 1, **default}
        given = {} if given is None else given
        if not isinstance(given, Mapping):
            raise TypeError(f"{argument} must be a mapping, e.g. {default}, not {given!r}")
        unknown = set(given) - set(default)
        if unknown:
            raise ValueError(f"{argument} takes {sorted(default)}, not {sorted(unknown, key=str)}")
        param = {**default, **given}
        filters = whole(f"{argument}['filter_num']", param["filter_num"], 1)
        FH, FW = per_axis(f"{argument}['filter_size']", param["filter_size"])
        W = self._weights((filters, self.shape[0], FH, FW), self.shape[0] * FH * FW)
        b = np.zeros(filters, self.dtype)
        self.add(Convolution(W, b, param["stride"], param["pad"], param["dilation"]))

    def affine(self, outputs: int) -> None:
        inputs = math.prod(self.shape)
        self.add(Affine(self._weights((inputs, outputs), inputs), np.zeros(outputs, self.dtype)))

    def _weights(self, shape: tuple[int, ...], fan_in: int) -> Array:
        std = math.sqrt(2 / fan_in) if self.std is None else self.std
        return (std * self.rng.standard_normal(shape)).astype(self.dtype)
