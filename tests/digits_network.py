"""What the tests of `pyconv.explain.network` share: a network, images, and what explains them."""

import numpy as np

import pyconv
from pyconv.networks import SimpleConvNet

RNG = np.random.default_rng(3)
X = RNG.random((2, 1, 28, 28), np.float32)
NETWORK = SimpleConvNet(rng=1, weight_init_std=0.1)
TRACE = pyconv.explain.network(NETWORK, X)


def array(*shape):
    """An array of a layer's numbers."""
    return RNG.normal(0, 0.3, shape).astype(np.float32)
