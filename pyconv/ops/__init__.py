"""The functions on arrays. Each checks its arguments and calls a compiled kernel.

Inside `use_backend("reference")` the function of the same name in `pyconv.reference` runs instead,
and inside `use_backend("check")` both run and are compared.
"""

from .activation import relu, relu_backward
from .columns import col2im, im2col
from .convolution import (
    conv2d,
    conv2d_backward_data,
    conv2d_backward_weight,
    conv2d_block,
    conv2d_block_backward,
)
from .fully_connected import affine, affine_backward
from .pooling import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward

__all__ = [
    "affine",
    "affine_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "col2im",
    "conv2d",
    "conv2d_backward_data",
    "conv2d_backward_weight",
    "conv2d_block",
    "conv2d_block_backward",
    "im2col",
    "max_pool2d",
    "max_pool2d_backward",
    "relu",
    "relu_backward",
]
