"""The named shapes, the suites that they make up, and the tasks that options ask for.

The convolutions are layers of well-known networks: the book's MNIST network, ResNet-50 (He et al.,
2015, with the stride in the 3×3 layers), VGG-16 (Simonyan and Zisserman, 2014), GoogLeNet (Szegedy
et al., 2014), MobileNet (Howard et al., 2017), and Deep Speech as DeepBench measures it.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from .shapes import (
    DTYPES,
    PASSES,
    Activation,
    Block,
    Columns,
    Convolution,
    Cost,
    DType,
    FullyConnected,
    Inputs,
    Network,
    Pass,
    Pooling,
    Shape,
    Update,
)  # fmt: skip

# What the NumPy reference gets done in some tenths of a second.
REFERENCE_COST = (1e9, 7.5e6)  # operations, elements

_MNIST_MAPS = (30, 24, 24)
_LIST: tuple[Shape, ...] = (
    Convolution("mnist_conv1", (1, 28, 28), (5, 5), (100,), filters=30),
    Activation("mnist_relu1", _MNIST_MAPS, (100,)),
    Pooling("mnist_pool1", _MNIST_MAPS, (2, 2), (100,), stride=2),
    Block("mnist_block1", (1, 28, 28), (5, 5), (100,), filters=30),
    FullyConnected("mnist_affine1", (100,), (4320, 100), relu=True),
    FullyConnected("mnist_affine2", (100,), (100, 10)),
    Update("mnist_update", (100,)),
    Network("mnist_train_step", (100,), ("step",)),
    Network("mnist_predict", (1, 100), ("forward",)),
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
    Pooling("mnist_avgpool1", _MNIST_MAPS, (2, 2), (100,), stride=2, kind="average"),
    Pooling("resnet50_pool1", (64, 112, 112), (3, 3), (32,), stride=2, pad=1),
    Columns("mnist_im2col", (1, 28, 28), (5, 5), (100,)),
)
SHAPES: dict[str, Shape] = {shape.name: shape for shape in _LIST}
OPS = tuple(dict.fromkeys(shape.op for shape in _LIST))

_NAMES = list(SHAPES)
SUITES: dict[str, list[str]] = {
    # the network as it is computed, layer by layer
    "mnist": _NAMES[: _NAMES.index("mnist_predict") + 1],
    **{
        network: [name for name in _NAMES if name.startswith(f"{network}_")]
        for network in ("resnet50", "vgg", "mobilenet")
    },
    "pooling": [shape.name for shape in _LIST if shape.op == "pool"],
    "columns": [shape.name for shape in _LIST if shape.op == "columns"],
    "all": _NAMES,
}
# What a training step consists of; its loss is computed in NumPy and has no kernel.
TRAINING_STEP = "mnist_train_step"
PARTS_OF_A_STEP = ("mnist_block1", "mnist_affine1", "mnist_affine2", "mnist_update")

OWN = "N,C,H,W*FN,FH,FW/stride/pad/dilation/groups"
EXAMPLE = "16,64,56,56*64,3,3/1/1"


def shape_of(name: str) -> Shape:
    """The shape of a name, or the convolution that a text like "16,64,56,56*64,3,3/1/1" says.

    Raises
    ------
    ValueError
        When it is neither, or the parts of a convolution do not fit together.
    """
    if name in SHAPES:
        return SHAPES[name]
    if "*" not in name:
        raise ValueError(
            f"there is no shape {name!r}; there are {', '.join(SHAPES)}, or one's own as "
            f"{OWN}, e.g. {EXAMPLE}"
        )
    return _own_convolution(name)


def _own_convolution(text: str) -> Convolution:
    if not re.fullmatch(r"\d+(,\d+){3}\*\d+(,\d+){2}(/\d+){0,4}", text, re.ASCII):
        raise ValueError(
            f"cannot read the convolution {text!r}; it takes whole numbers as {OWN}, of which "
            f"parts from the end may be left out, e.g. {EXAMPLE}"
        )
    sizes, *settings = text.split("/")
    N, C, H, W, FN, FH, FW = map(int, re.split(r"[,*]", sizes))
    # stride, pad, dilation, groups, and what those left out are
    stride, pad, dilation, groups = (*map(int, settings), *(1, 0, 1, 1)[len(settings) :])
    if min(N, C, H, W, FN, FH, FW, groups) < 1:
        raise ValueError(f"every size, and the groups, of the convolution {text!r} must be above 0")
    if C % groups or FN % groups:
        raise ValueError(
            f"the convolution {text!r} has {C} channels and {FN} filters, which do not both go "
            f"into {groups} groups"
        )
    shape = Convolution(
        text, (C, H, W), (FH, FW), (N,), stride, pad, dilation, filters=FN, groups=groups
    )
    try:
        shape.geometry.output_size(H, W)  # refuses a window that does not fit
    except ValueError as error:
        raise ValueError(f"the convolution {text!r}: {error}") from None
    return shape


class Task(NamedTuple):
    """One row of the table: a pass over a batch of a shape."""

    shape: str
    which: Pass
    batch: int
    dtype: DType = "float32"

    def __str__(self) -> str:
        dtype = "" if self.dtype == "float32" else f", {self.dtype}"
        return f"{self.shape} {self.which}, batch {self.batch}{dtype}"

    @property
    def cost(self) -> Cost:
        return shape_of(self.shape).cost(self.which, self.batch)

    @property
    def item_bytes(self) -> int:
        """Size of a number."""
        return np.dtype(self.dtype).itemsize

    @property
    def bytes(self) -> int:
        """Size of every array read or written, each counted once."""
        return self.cost.elements * self.item_bytes

    @property
    def op(self) -> str:
        return shape_of(self.shape).op

    def inputs(self) -> Inputs:
        return shape_of(self.shape).inputs(self.batch, self.dtype)

    def for_validation(self) -> "Task":
        """The same over as many images as the NumPy reference computes at once in little time."""
        cost = zip(REFERENCE_COST, self._replace(batch=1).cost, strict=True)
        images = min(int(affordable // max(one, 1)) for affordable, one in cost)
        return self._replace(batch=min(self.batch, max(images, 2)))


def chosen_names(suites: list[str], names: list[str]) -> list[str]:
    """The shapes of suites and those named; of the suite mnist where nothing is chosen.

    Raises
    ------
    ValueError
        When there is no such suite.
    """
    known("suite", suites, SUITES)
    if not suites and not names:
        suites = ["mnist"]
    return list(dict.fromkeys([*(name for suite in suites for name in SUITES[suite]), *names]))


def tasks(
    names: list[str],
    passes: list[str],
    batch: int | None = None,
    dtypes: list[str] | None = None,
    ops: list[str] | None = None,
) -> list[Task]:
    """Every pass of every named shape.

    Parameters
    ----------
    names : list of str
        Of `SHAPES`, or convolutions as `shape_of` reads them.
    passes : list of str
        Of `PASSES`.
    batch : int, optional
        Images a call, instead of the shape's own number.
    dtypes : list of str, optional
        Of `DTYPES`; float32 where it is left out.
    ops : list of str, optional
        Of `OPS`: shapes of other operations are left out.

    Raises
    ------
    ValueError
        When there is no such name, or nothing has all that is asked for.
    """
    shapes = [shape_of(name) for name in names]
    if not passes:
        raise ValueError(f"no pass was named; there are {', '.join(PASSES)}")
    known("pass", passes, PASSES)
    known("dtype", dtypes or [], DTYPES)
    known("op", ops or [], OPS)
    chosen = [
        Task(shape.name, which, size, dtype)
        for shape in shapes
        if not ops or shape.op in ops
        for size in ((batch,) if batch else shape.batches)
        for dtype in DTYPES
        if dtype in (dtypes or ["float32"])
        for which in shape.passes
        if which in passes
    ]
    if not chosen:
        of = f" of op {' or '.join(ops)}" if ops else ""
        raise ValueError(f"none of {', '.join(names)}{of} has a pass {' or '.join(passes)}")
    return chosen


def known(what: str, words: list[str], there_are: Iterable[str]) -> None:
    """Refuse a word that is not one of those there are."""
    choices = list(there_are)
    for word in words:
        if word not in choices:
            raise ValueError(f"there is no {what} {word!r}; there are {', '.join(choices)}")
