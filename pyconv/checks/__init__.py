"""What every function of `pyconv` accepts, and the sentence it answers anything else with.

One function here for each public one: it takes the same arguments and returns what a kernel needs:
arrays in C order and native bytes, and the `Window`. `ops` and `reference` both begin with it, so
the two cannot differ in what they accept.
"""

from .activation import relu, relu_backward
from .arrays import (
    Array,
    Shape4,
    affordable,
    array,
    bias,
    flag,
    float_array,
    generator,
    labels,
    same_dtype,
    same_shape,
    shape4,
)
from .columns import col2im, im2col
from .convolution import (
    conv2d,
    conv2d_backward_data,
    conv2d_backward_weight,
    conv2d_block,
    conv2d_block_backward,
)
from .fully_connected import affine, affine_backward
from .pooling import (
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
    smallest_unsigned,
)

__all__ = [
    "Array",
    "Shape4",
    "affine",
    "affine_backward",
    "affordable",
    "array",
    "avg_pool2d",
    "avg_pool2d_backward",
    "bias",
    "col2im",
    "conv2d",
    "conv2d_backward_data",
    "conv2d_backward_weight",
    "conv2d_block",
    "conv2d_block_backward",
    "flag",
    "float_array",
    "generator",
    "im2col",
    "labels",
    "max_pool2d",
    "max_pool2d_backward",
    "relu",
    "relu_backward",
    "same_dtype",
    "same_shape",
    "shape4",
    "smallest_unsigned",
]
