"""Batches around the sizes where Winograd's algorithm lays out its work in another way."""

import numpy as np
import pytest

import pyconv
from pyconv import reference

# Tiles of 2x2 outputs: those of one strip, and of several; then filters in one block and in two.
BATCHES = {
    "one strip, two blocks of filters": ((1, 12, 32, 32), 1300),
    "several strips, two blocks of filters": ((5, 230, 16, 16), 380),
    "one strip, nearly full": ((7, 70, 12, 12), 40),
    "a strip more, nearly empty": ((6, 40, 14, 14), 40),
}


@pytest.mark.parametrize("batch", BATCHES)
def test_batches_of_one_strip_and_of_several(batch, set_threads):
    shape, filters = BATCHES[batch]
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).astype(np.float32)
    W = rng.normal(size=(filters, shape[1], 3, 3)).astype(np.float32)
    b = rng.normal(size=filters).astype(np.float32)
    y = reference.conv2d(x, W, b, pad=1)
    dout = rng.normal(size=y.shape).astype(np.float32)
    dx = reference.conv2d_backward_data(dout, W, shape, pad=1)
    for threads in (1, 3):
        set_threads(threads)
        np.testing.assert_allclose(pyconv.conv2d(x, W, b, pad=1), y, atol=2e-3)
        found = pyconv.conv2d_backward_data(dout, W, shape, pad=1)
        np.testing.assert_allclose(found, dx, atol=2e-3)


@pytest.mark.parametrize("channels", [128, 200, 256, 512])
def test_sums_over_channels_round_little(channels):
    """Of numbers of one sign, whose partial sums grow longest: held against a running sum."""
    rng = np.random.default_rng(0)
    x = rng.random((4, channels, 8, 8), np.float32)
    W = rng.random((32, channels, 3, 3), np.float32)
    exact = reference.conv2d(x.astype(float), W.astype(float))
    terms = (W * x[0, :, :3, :3]).reshape(32, -1)
    running = np.cumsum(terms, axis=1, dtype=np.float32)[:, -1]
    of_running_sum = np.abs(running - exact[0, :, 0, 0]).mean()
    assert np.abs(pyconv.conv2d(x, W) - exact).mean() < of_running_sum / (0.57 * channels**0.5)
