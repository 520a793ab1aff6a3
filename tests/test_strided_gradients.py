"""Gradients of pixels where windows scatter what they send: strides, and few channels."""

import kernel_cases
import numpy as np
import pytest
from kernel_cases import Geometry

import pyconv
from pyconv import reference

# Whole images at a time and parts of large ones, channels in blocks, weights packed once and for
# every image, phases put together in pairs and one by one, pixels that no window reaches.
STRIDED = {
    "blocks of channels": {"N": 3, "C": 80, "H": 40, "W": 41, "FN": 20, "stride": (2, 2)},
    "parts of an image": {"N": 2, "C": 9, "H": 70, "W": 75, "FN": 14, "stride": (2, 2)},
    "stacks of images": {"N": 19, "C": 12, "H": 13, "W": 12, "FN": 30, "stride": (2, 2)},
    "more weights than are kept": {
        "N": 2, "C": 61, "H": 9, "W": 8, "FN": 700, "filter": (5, 5), "stride": (2, 2),
    },
    "groups": {"N": 2, "C": 24, "H": 21, "W": 23, "FN": 36, "groups": 3, "stride": (2, 2)},
    "one window to a row": {"N": 40, "C": 8, "H": 9, "W": 4, "FN": 5, "stride": (2, 2)},
    "windows apart": {
        "N": 2, "C": 8, "H": 29, "W": 31, "FN": 16, "filter": (2, 2), "stride": (3, 3),
    },
    "single pixels": {
        "N": 2, "C": 20, "H": 28, "W": 28, "FN": 30, "filter": (1, 1), "stride": (2, 2),
    },
    "one axis": {"N": 2, "C": 8, "H": 30, "W": 27, "FN": 16, "stride": (2, 1)},
    "the other axis": {"N": 2, "C": 8, "H": 30, "W": 27, "FN": 16, "stride": (1, 4)},
    "few channels": {"N": 3, "C": 3, "H": 33, "W": 30, "FN": 330, "filter": (5, 4)},
    "phases": {"N": 3, "C": 64, "H": 27, "W": 41, "FN": 70, "stride": (2, 2)},
    "phases of groups": {
        "N": 2, "C": 256, "H": 9, "W": 28, "FN": 140, "groups": 2, "filter": (2, 4),
        "stride": (3, 2),
    },
    "phases without taps": {
        "N": 2, "C": 64, "H": 11, "W": 56, "FN": 64, "filter": (1, 1), "stride": (2, 2),
    },
    "phases, part by part": {
        "N": 2, "C": 64, "H": 50, "W": 97, "FN": 300, "filter": (2, 2), "stride": (2, 2),
    },
    "phases of columns": {"N": 2, "C": 64, "H": 7, "W": 55, "FN": 64, "stride": (1, 2)},
    "strides beyond the image": {
        "N": 2, "C": 5, "H": 5, "W": 6, "FN": 5, "groups": 5, "stride": (10**8, 10**8),
        "dilation": (2, 2),
    },
    "taps apart": {
        "N": 2, "C": 8, "H": 31, "W": 34, "FN": 9, "stride": (2, 2), "dilation": (3, 2),
    },
}  # fmt: skip
PADS = [((0, 0), (0, 0)), ((1, 1), (1, 1)), ((0, 3), (2, 0)), ((2, 1), (3, 4))]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pad", PADS)
@pytest.mark.parametrize("shape", STRIDED)
def test_windows_scatter_what_they_send(shape, pad, dtype, set_threads):
    sizes = {
        "groups": 1, "filter": (3, 3), "stride": (1, 1), "dilation": (1, 1), **STRIDED[shape],
    }  # fmt: skip
    g = Geometry(
        pad=pad, pool=(1, 1), dtype=dtype, seed=1, ceil_mode=False, count_include_pad=False,
        **sizes,
    )  # fmt: skip
    arguments, _ = kernel_cases.conv2d_backward_data(g)
    expected = reference.conv2d_backward_data(*arguments)
    rounding = 1e-12 if dtype == "float64" else 1e-6 * (g.FN * g.filter[0] * g.filter[1]) ** 0.5
    for threads in (1, 2, 3):
        set_threads(threads)
        dx = pyconv.conv2d_backward_data(*arguments)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(dx, expected, rtol=0, atol=rounding * scale)
        again = pyconv.conv2d_backward_data(*arguments)
        assert dx.tobytes() == again.tobytes(), "the same bits on every run"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_reaches_the_pixels_under_it_and_no_others(value):
    dout, W = np.ones((2, 5, 14, 13), np.float32), np.ones((5, 7, 3, 3), np.float32)
    W[2, 3, 1, 2] = value
    shape, window = (2, 7, 28, 26), {"stride": 2, "pad": 1}
    expected = reference.conv2d_backward_data(dout, W, shape, **window)
    assert 0 < np.isfinite(expected).sum() < expected.size
    np.testing.assert_array_equal(pyconv.conv2d_backward_data(dout, W, shape, **window), expected)
