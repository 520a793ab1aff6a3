"""The shapes that are measured, by name, and what each costs.

The convolutions are layers of well-known networks: the book's MNIST network, ResNet-50 (He et al.,
2015, with the stride in the 3×3 layers), VGG-16 (Simonyan and Zisserman, 2014), GoogLeNet (Szegedy
et al., 2014), MobileNet (Howard et al., 2017), and Deep Speech as DeepBench measures it.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from ..checks import Array
from ..networks import SimpleConvNet
from ..window import Window, make_window

# dx: the gradient of the input; dw: of the weights; step: a whole training step
Pass: TypeAlias = Literal["forward", "dx", "dw", "step"]
PASSES: tuple[Pass, ...] = get_args(Pass)
Inputs: TypeAlias = dict[str, Array]

FLOAT_BYTES = 4  # everything is measured in float32
# What the NumPy reference gets done in some tenths of a second.
REFERENCE_COST = (1e9, 30e6)  # operations, bytes


class Cost(NamedTuple):
    """What a call has to do whoever does it.

    Attributes
    ----------
    operations : int
        Multiplications and additions.
    bytes : int
        Size of every array read or written, each counted once; 0 for networks, where it depends on
        what stays in the cache between layers.
    """

    operations: int
    bytes: int


def random(*shape: int, seed: int) -> Array:
    """Normal float32 numbers, none of them zero: some libraries are faster where zeros are."""
    values = np.random.default_rng(seed).standard_normal(shape, np.float32)
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

    @property
    def geometry(self) -> Window:
        return make_window(*self.window, self.stride, self.pad, 1, self.image[1:])

    @property
    def output_size(self) -> tuple[int, int]:
        return self.geometry.output_size(*self.image[1:])


@dataclass(frozen=True)
class Convolution(Windowed):
    """A convolution with bias."""

    filters: int = 1
    groups: int = 1
    passes: ClassVar[tuple[Pass, ...]] = ("forward", "dx", "dw")

    @property
    def filter_shape(self) -> tuple[int, int, int, int]:
        return (self.filters, self.image[0] // self.groups, *self.window)

    def cost(self, which: Pass, batch: int) -> Cost:
        outputs = batch * self.filters * math.prod(self.output_size)
        weights = math.prod(self.filter_shape)
        elements = batch * math.prod(self.image) + outputs + weights
        return Cost(2 * outputs * weights // self.filters, FLOAT_BYTES * elements)

    def inputs(self, batch: int) -> Inputs:
        return {
            "x": random(batch, *self.image, seed=1),
            "W": random(*self.filter_shape, seed=2),
            "b": random(self.filters, seed=3),
            "dout": random(batch, self.filters, *self.output_size, seed=4),
        }


@dataclass(frozen=True)
class Pooling(Windowed):
    """Maximum or mean of windows."""

    kind: Literal["max", "average"] = "max"
    passes: ClassVar[tuple[Pass, ...]] = ("forward", "dx")

    def cost(self, which: Pass, batch: int) -> Cost:
        outputs = batch * self.image[0] * math.prod(self.output_size)
        elements = batch * math.prod(self.image) + outputs
        return Cost(outputs * math.prod(self.window), FLOAT_BYTES * elements)

    def inputs(self, batch: int) -> Inputs:
        return {
            "x": random(batch, *self.image, seed=1),
            "dout": random(batch, self.image[0], *self.output_size, seed=4),
        }


@dataclass(frozen=True)
class Columns(Windowed):
    """im2col as the forward pass and col2im, which is its gradient, as dx."""

    passes: ClassVar[tuple[Pass, ...]] = ("forward", "dx")

    def column_shape(self, batch: int) -> tuple[int, int]:
        return batch * math.prod(self.output_size), self.image[0] * math.prod(self.window)

    def cost(self, which: Pass, batch: int) -> Cost:
        columns = math.prod(self.column_shape(batch))
        elements = batch * math.prod(self.image) + columns
        return Cost(columns if which == "dx" else 0, FLOAT_BYTES * elements)

    def inputs(self, batch: int) -> Inputs:
        return {
            "x": random(batch, *self.image, seed=1),
            "col": random(*self.column_shape(batch), seed=4),
        }


@dataclass(frozen=True)
class Network:
    """The book's `SimpleConvNet`: its prediction, or a step of its training with Adam."""

    name: str
    batches: tuple[int, ...]
    passes: tuple[Pass, ...]

    def build(self) -> SimpleConvNet:
        """The network every side computes, with the same weights."""
        return SimpleConvNet(rng=5)

    def cost(self, which: Pass, batch: int) -> Cost:
        layers = [row.multiply_adds for row in self.build().summary_rows() if row.multiply_adds]
        multiply_adds = sum(layers)
        if which == "step":  # the weights' gradients, and the inputs' but for the first layer's
            multiply_adds += sum(layers) + sum(layers[1:])
        return Cost(2 * multiply_adds * batch, 0)

    def inputs(self, batch: int) -> Inputs:
        x = random(batch, 1, 28, 28, seed=1)
        return {"x": x, "t": np.random.default_rng(2).integers(0, 10, batch)}


Shape: TypeAlias = Convolution | Pooling | Columns | Network

_MNIST_MAPS = (30, 24, 24)
_LIST: tuple[Shape, ...] = (
    Convolution("mnist_conv1", (1, 28, 28), (5, 5), (100,), filters=30),
    Convolution("resnet50_conv1", (3, 224, 224), (7, 7), stride=2, pad=3, filters=64),
    Convolution("resnet50_res2a_2b", (64, 56, 56), (3, 3), pad=1, filters=64),
    Convolution("resnet50_res3b_2a", (512, 28, 28), (1, 1), filters=128),
    Convolution("resnet50_res3_2b", (128, 28, 28), (3, 3), pad=1, filters=128),
    Convolution("resnet50_res4_2b", (256, 14, 14), (3, 3), pad=1, filters=256),
    Convolution("resnet50_res5_2b", (512, 7, 7), (3, 3), pad=1, filters=512),
    Convolution("resnet50_res3a_2b", (128, 56, 56), (3, 3), stride=2, pad=1, filters=128),
    Convolution("resnet50_res4a_2c", (256, 14, 14), (1, 1), filters=1024),
    Convolution("vgg_conv2_1", (64, 112, 112), (3, 3), pad=1, filters=128),
    Convolution("vgg_conv3_1", (128, 56, 56), (3, 3), pad=1, filters=256),
    Convolution("googlenet_5x5", (192, 28, 28), (5, 5), pad=2, filters=32),
    Convolution("deepspeech_conv1", (1, 700, 161), (20, 5), stride=2, filters=32),
    Convolution("mobilenet_pw6", (256, 28, 28), (1, 1), filters=256),
    Convolution("mobilenet_dw3", (128, 56, 56), (3, 3), pad=1, filters=128, groups=128),
    Convolution("mobilenet_dw5", (512, 14, 14), (3, 3), pad=1, filters=512, groups=512),
    Pooling("mnist_pool1", _MNIST_MAPS, (2, 2), (100,), stride=2),
    Pooling("mnist_avgpool1", _MNIST_MAPS, (2, 2), (100,), stride=2, kind="average"),
    Pooling("resnet50_pool1", (64, 112, 112), (3, 3), (32,), stride=2, pad=1),
    Columns("mnist_im2col", (1, 28, 28), (5, 5), (100,)),
    Network("mnist_train_step", (100,), ("step",)),
    Network("mnist_predict", (1, 100), ("forward",)),
)
SHAPES: dict[str, Shape] = {shape.name: shape for shape in _LIST}


class Task(NamedTuple):
    """One row of the table: a pass over a batch of a shape."""

    shape: str
    which: Pass
    batch: int

    def __str__(self) -> str:
        return f"{self.shape} {self.which}, batch {self.batch}"

    @property
    def cost(self) -> Cost:
        return SHAPES[self.shape].cost(self.which, self.batch)

    def inputs(self) -> Inputs:
        return SHAPES[self.shape].inputs(self.batch)

    def for_validation(self) -> "Task":
        """The same over as many images as the NumPy reference computes at once in little time."""
        cost = zip(REFERENCE_COST, self._replace(batch=1).cost, strict=True)
        images = min(int(affordable // max(one, 1)) for affordable, one in cost)
        return self._replace(batch=min(self.batch, max(images, 2)))


def tasks(names: list[str], passes: list[str], batch: int | None = None) -> list[Task]:
    """Every pass of every named shape, of all shapes where none is named.

    Parameters
    ----------
    names : list of str
        Of `SHAPES`.
    passes : list of str
        Of `PASSES`.
    batch : int, optional
        Images a call, instead of the shape's own number.

    Raises
    ------
    ValueError
        When there is no such shape or pass, or none of the shapes has one of the passes.
    """
    for name in names:
        if name not in SHAPES:
            raise ValueError(f"there is no shape {name!r}; there are {', '.join(SHAPES)}")
    if not passes:
        raise ValueError(f"no pass was named; there are {', '.join(PASSES)}")
    for which in passes:
        if which not in PASSES:
            raise ValueError(f"there is no pass {which!r}; there are {', '.join(PASSES)}")
    chosen = [
        Task(shape.name, which, size)
        for shape in (SHAPES[name] for name in dict.fromkeys(names or SHAPES))
        for size in ((batch,) if batch else shape.batches)
        for which in shape.passes
        if which in passes
    ]
    if not chosen:
        raise ValueError(f"none of {', '.join(names)} has a pass {' or '.join(passes)}")
    return chosen
