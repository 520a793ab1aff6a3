"""If only one file is run, it is this one: pyconv is compiled, and right on the deck's example."""

import numpy as np

import pyconv


def test_convolution_of_the_deck():
    """x (1,3,3,3) and W (2,3,2,2): column matrix (4,12), product (4,2), output (1,2,2,2)."""
    x = np.arange(27, dtype=np.float32).reshape(1, 3, 3, 3)
    W = np.ones((2, 3, 2, 2), np.float32)
    col = pyconv.im2col(x, 2, 2)
    assert col.shape == (4, 12)
    first_window = [0, 1, 3, 4]  # D0 D1 D3 D4 of each channel
    assert col[0].tolist() == first_window + [9 + d for d in first_window] + [
        18 + d for d in first_window
    ]

    y = pyconv.conv2d(x, W, np.array([0, 1000], np.float32))
    assert y.shape == (1, 2, 2, 2)
    assert y[0, 0].ravel().tolist() == col.sum(axis=1).tolist()
    assert y[0, 1].ravel().tolist() == (col.sum(axis=1) + 1000).tolist()


def test_build_info():
    info = pyconv.build_info()
    assert info["version"] == pyconv.__version__
    assert info["isa"] in info["isas"]
    assert info["threads"] == pyconv.get_num_threads() >= 1
    assert set(info) == {"version", "compiler", "flags", "isa", "isas", "threads"}
