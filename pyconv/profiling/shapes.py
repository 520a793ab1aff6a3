"""The kinds of work that are measured: their inputs, and what each costs whoever does it."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from ..checks import Array
from ..networks import SimpleConvNet
from ..window import Window, make_window

# dx: the gradient of the input; dw: of the weights; backward: all gradients that one call computes;
# step: a step of an optimizer, or of a whole training
Pass: TypeAlias = Literal["forward", "dx", "dw", "backward", "step"]
PASSES: tuple[Pass, ...] = get_args(Pass)
DType: TypeAlias = Literal["float32", "float64"]
DTYPES: tuple[DType, ...] = get_args(DType)
Inputs: TypeAlias = dict[str, Array]


class Cost(NamedTuple):
    """What a call has to do whoever does it.

    Attributes
    ----------
    operations : int
        Multiplications and additions.
    elements : int
        Size of every array read or written, each counted once; 0 for networks, where it depends on
        what stays in the cache between layers.
    """

    operations: int
    elements: int


def random(*shape: int, seed: int, dtype: DType) -> Array:
    """Normal numbers, none of them zero: some libraries are faster where zeros are."""
    values = np.random.default_rng(seed).standard_normal(shape, np.dtype(dtype).type)
    values[values == 0] = 1
    return values


@dataclass(frozen=True)
class Windowed:
    """A window that moves over images (N, C, H, W)."""

    name: str
    image: tuple[int, int, int]
    window: tuple[int, int]
    batches: tuple[int, ...] = (16,)
    stride: int = 1
    pad: int = 0
    dilation: int = 1

    @property
    def geometry(self) -> Window:
        return make_window(*self.window, self.stride, self.pad, self.dilation, self.image[1:])

    @property
    def output_size(self) -> tuple[int, int]:
        return self.geometry.output_size(*self.image[1:])


@dataclass(frozen=True)
class Convolution(Windowed):
    """A convolution with bias."""

    filters: int = 1
    groups: int = 1
    op: ClassVar[str] = "conv"
    passes: ClassVar[tuple[Pass, ...]] = ("forward", "dx", "dw")

    @property
    def filter_shape(self) -> tuple[int, int, int, int]:
        return (self.filters, self.image[0] // self.groups, *self.window)

    def cost(self, which: Pass, batch: int) -> Cost:
        outputs = batch * self.filters * math.prod(self.output_size)
        weights = math.prod(self.filter_shape)
        elements = batch * math.prod(self.image) + outputs + weights
        return Cost(2 * outputs * weights // self.filters, elements)

    def inputs(self, batch: int, dtype: DType = "float32") -> Inputs:
        return {
            "x": random(batch, *self.image, seed=1, dtype=dtype),
            "W": random(*self.filter_shape, seed=2, dtype=dtype),
            "b": random(self.filters, seed=3, dtype=dtype),
            "dout": random(batch, self.filters, *self.output_size, seed=4, dtype=dtype),
        }


@dataclass(frozen=True)
class Pooling(Windowed):
    """Maximum or mean of windows."""

    kind: Literal["max", "average"] = "max"
    op: ClassVar[str] = "pool"
    passes: ClassVar[tuple[Pass, ...]] = ("forward", "dx")

    def cost(self, which: Pass, batch: int) -> Cost:
        outputs = batch * self.image[0] * math.prod(self.output_size)
        elements = batch * math.prod(self.image) + outputs
        return Cost(outputs * math.prod(self.window), elements)

    def inputs(self, batch: int, dtype: DType = "float32") -> Inputs:
        return {
            "x": random(batch, *self.image, seed=1, dtype=dtype),
            "dout": random(batch, self.image[0], *self.output_size, seed=4, dtype=dtype),
        }


@dataclass(frozen=True)
class Columns(Windowed):
    """im2col as the forward pass and col2im, which is its gradient, as dx."""

    op: ClassVar[str] = "columns"
    passes: ClassVar[tuple[Pass, ...]] = ("forward", "dx")

    def column_shape(self, batch: int) -> tuple[int, int]:
        return batch * math.prod(self.output_size), self.image[0] * math.prod(self.window)

    def cost(self, which: Pass, batch: int) -> Cost:
        columns = math.prod(self.column_shape(batch))
        elements = batch * math.prod(self.image) + columns
        return Cost(columns if which == "dx" else 0, elements)

    def inputs(self, batch: int, dtype: DType = "float32") -> Inputs:
        return {
            "x": random(batch, *self.image, seed=1, dtype=dtype),
            "col": random(*self.column_shape(batch), seed=4, dtype=dtype),
        }


@dataclass(frozen=True)
class Block(Windowed):
    """Convolution, ReLU and 2×2 max-pooling in one pass, as a network's first layers.

    What `forward` keeps for `backward` is written, and `backward` computes no gradient of images.
    """

    filters: int = 1
    op: ClassVar[str] = "block"
    passes: ClassVar[tuple[Pass, ...]] = ("forward", "backward")
    pool: ClassVar[int] = 2

    @property
    def filter_shape(self) -> tuple[int, int, int, int]:
        return (self.filters, self.image[0], *self.window)

    @property
    def pooled_size(self) -> tuple[int, int]:
        OH, OW = self.output_size
        return OH // self.pool, OW // self.pool

    def cost(self, which: Pass, batch: int) -> Cost:
        weights, maps = math.prod(self.filter_shape), batch * self.filters
        elements = batch * math.prod(self.image) + maps * math.prod(self.pooled_size) + weights
        return Cost(2 * maps * math.prod(self.output_size) * weights // self.filters, elements)

    def inputs(self, batch: int, dtype: DType = "float32") -> Inputs:
        return {
            "x": random(batch, *self.image, seed=1, dtype=dtype),
            "W": random(*self.filter_shape, seed=2, dtype=dtype),
            "b": random(self.filters, seed=3, dtype=dtype),
            "dout": random(batch, self.filters, *self.pooled_size, seed=4, dtype=dtype),
        }


@dataclass(frozen=True)
class Activation:
    """ReLU."""

    name: str
    image: tuple[int, ...]
    batches: tuple[int, ...]
    op: ClassVar[str] = "relu"
    passes: ClassVar[tuple[Pass, ...]] = ("forward", "dx")

    def cost(self, which: Pass, batch: int) -> Cost:
        elements = batch * math.prod(self.image)
        return Cost(elements, (2 if which == "forward" else 3) * elements)

    def inputs(self, batch: int, dtype: DType = "float32") -> Inputs:
        return {
            "x": random(batch, *self.image, seed=1, dtype=dtype),
            "dout": random(batch, *self.image, seed=4, dtype=dtype),
        }


@dataclass(frozen=True)
class FullyConnected:
    """Rows times weights plus bias, and the ReLU after it where there is one; all its gradients."""

    name: str
    batches: tuple[int, ...]
    size: tuple[int, int]
    relu: bool = False
    op: ClassVar[str] = "affine"
    passes: ClassVar[tuple[Pass, ...]] = ("forward", "backward")

    def cost(self, which: Pass, batch: int) -> Cost:
        D, M = self.size
        products, elements = (1, D + M) if which == "forward" else (2, 2 * D + (1 + self.relu) * M)
        weights = D * M + M
        return Cost(2 * products * batch * D * M, batch * elements + products * weights)

    def inputs(self, batch: int, dtype: DType = "float32") -> Inputs:
        D, M = self.size
        return {
            "x": random(batch, D, seed=1, dtype=dtype),
            "W": random(D, M, seed=2, dtype=dtype),
            "b": random(M, seed=3, dtype=dtype),
            "dout": random(batch, M, seed=4, dtype=dtype),
        }


@dataclass(frozen=True)
class Update:
    """Adam's step on all parameters of the book's `SimpleConvNet`; the batch does not matter."""

    name: str
    batches: tuple[int, ...]
    op: ClassVar[str] = "update"
    passes: ClassVar[tuple[Pass, ...]] = ("step",)

    def cost(self, which: Pass, batch: int) -> Cost:
        size = sum(array.size for array in SimpleConvNet(rng=5).params.values())
        return Cost(12 * size, 4 * size)  # parameter, gradient, and Adam's two means

    def inputs(self, batch: int, dtype: DType = "float32") -> Inputs:
        params = SimpleConvNet(rng=5, dtype=dtype).params
        arrays = dict(params)
        for seed, (name, array) in enumerate(params.items(), start=10):
            gradient = random(*array.shape, seed=seed, dtype=dtype)
            # far from 0, where libraries differ in what they add to a denominator
            arrays[f"d{name}"] = gradient + np.sign(gradient)
        return arrays


@dataclass(frozen=True)
class Network:
    """The book's `SimpleConvNet`: its prediction, or a step of its training with Adam."""

    name: str
    batches: tuple[int, ...]
    passes: tuple[Pass, ...]

    @property
    def op(self) -> str:
        return "step" if "step" in self.passes else "predict"

    def build(self, dtype: npt.DTypeLike = np.float32) -> SimpleConvNet:
        """The network every side computes, with the same weights."""
        return SimpleConvNet(rng=5, dtype=dtype)

    def cost(self, which: Pass, batch: int) -> Cost:
        layers = [row.multiply_adds for row in self.build().summary_rows() if row.multiply_adds]
        multiply_adds = sum(layers)
        if which == "step":  # the weights' gradients, and the inputs' but for the first layer's
            multiply_adds += sum(layers) + sum(layers[1:])
        return Cost(2 * multiply_adds * batch, 0)

    def inputs(self, batch: int, dtype: DType = "float32") -> Inputs:
        x = random(batch, 1, 28, 28, seed=1, dtype=dtype)
        return {"x": x, "t": np.random.default_rng(2).integers(0, 10, batch)}


Shape: TypeAlias = (
    Convolution | Pooling | Columns | Block | Activation | FullyConnected | Update | Network
)
