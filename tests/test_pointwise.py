"""Convolutions with filters of one pixel: many channels, many filters, images of every size."""

import numpy as np
import pytest

import pyconv
from pyconv import reference

# Images, groups, channels and filters of a group, height and width: whole tiles of pixels and parts
# of them, images in one strip and in several, short last sums, filters that are no multiple of 64.
SHAPES = [
    (3, 1, 128, 64, 7, 7), (2, 1, 130, 128, 14, 14), (1, 1, 300, 192, 15, 15),
    (2, 2, 129, 128, 31, 29), (1, 3, 200, 64, 4, 7), (5, 1, 128, 64, 5, 4), (2, 1, 191, 64, 4, 4),
    (1, 1, 128, 100, 14, 14), (2, 1, 100, 64, 20, 21), (1, 1, 256, 64, 1, 450),
    (2, 1, 150, 64, 9, 9),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_filters_of_one_pixel(shape, dtype, set_threads):
    N, groups, C, FN, H, W = shape
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, groups * C, H, W)).astype(dtype)
    filters = rng.normal(size=(groups * FN, C, 1, 1)).astype(dtype)
    b = rng.normal(size=groups * FN).astype(dtype)
    dout = rng.normal(size=(N, groups * FN, H, W)).astype(dtype)
    window = {"groups": groups}
    y = reference.conv2d(x.astype(float), filters.astype(float), b.astype(float), **window)
    without_bias = reference.conv2d(x.astype(float), filters.astype(float), **window)
    exact = dout.astype(float), filters.astype(float), x.shape
    dx = reference.conv2d_backward_data(*exact, **window)
    rounding = {"rtol": 0, "atol": 1e-12 if dtype == "float64" else 1e-4}
    for threads in (1, 2, 3):
        set_threads(threads)
        found = pyconv.conv2d(x, filters, b, **window)
        np.testing.assert_allclose(found, y, **rounding)
        again = pyconv.conv2d(x, filters, b, **window)
        assert found.tobytes() == again.tobytes(), "the same bits on every run"
        np.testing.assert_allclose(pyconv.conv2d(x, filters, **window), without_bias, **rounding)
        with_relu, _ = pyconv.conv2d_block(x, filters, b, **window)
        np.testing.assert_allclose(with_relu, np.maximum(y, 0), **rounding)
        found = pyconv.conv2d_backward_data(dout, filters, x.shape, **window)
        np.testing.assert_allclose(found, dx, **rounding)


@pytest.mark.parametrize("pad", [((0, 1), (0, 0)), ((0, 0), (0, 7)), ((1, 0), (0, 2)), 1])
def test_padding_around_filters_of_one_pixel(pad):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 128, 14, 14)).astype("float32")
    filters = rng.normal(size=(128, 128, 1, 1)).astype("float32")
    y = reference.conv2d(x.astype(float), filters.astype(float), pad=pad)
    np.testing.assert_allclose(pyconv.conv2d(x, filters, pad=pad), y, rtol=0, atol=1e-4)
    dout = rng.normal(size=y.shape).astype("float32")
    exact = dout.astype(float), filters.astype(float), x.shape
    dx = reference.conv2d_backward_data(*exact, pad=pad)
    found = pyconv.conv2d_backward_data(dout, filters, x.shape, pad=pad)
    np.testing.assert_allclose(found, dx, rtol=0, atol=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("pixel", [0, 6, 7, 200, 224])
def test_a_pixel_that_is_not_finite_reaches_its_outputs_and_no_others(pixel, value):
    x, filters = np.ones((2, 128, 15, 15), np.float32), np.ones((64, 128, 1, 1), np.float32)
    x[1, 100].flat[pixel] = value
    expected = reference.conv2d(x, filters)
    np.testing.assert_array_equal(pyconv.conv2d(x, filters), expected)
    with_relu, _ = pyconv.conv2d_block(x, filters)
    np.testing.assert_array_equal(with_relu, expected)
