"""Layers: each holds its parameters, and computes forward and backward.

`forward(x)` keeps what `backward(dout)` needs, maybe x or the result themselves: change neither in
between. `backward` returns the gradient with respect to x and sets `dW`, `db`, ... beside `W`, `b`,
... The arrays a layer is given are its parameters themselves, never copies: an optimizer that
changes them in place trains the layer.
"""

from .activation import Relu, Sigmoid
from .affine import Affine, Flatten
from .base import Layer
from .convolution import Convolution
from .loss import SoftmaxWithLoss
from .pooling import Pooling
from .regularization import BatchNormalization, Dropout

__all__ = [
    "Affine",
    "BatchNormalization",
    "Convolution",
    "Dropout",
    "Flatten",
    "Layer",
    "Pooling",
    "Relu",
    "Sigmoid",
    "SoftmaxWithLoss",
]
