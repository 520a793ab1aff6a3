"""Convolutions of few channels, and blocks with 2×2 windows: what is multiplied without packing."""

import numpy as np
import pytest

import pyconv
from pyconv import reference

FLOATS = ["float32", "float64"]
# More of them than a tile has, by one.
FILTERS = np.array([1, -1, 0.5, -2, 3, 1, -0.25]).reshape(7, 1, 1, 1)


# Input channels, filters, filter height and width, with every remainder of a tile's filters.
CONVOLUTIONS = [(1, 6, 5, 5), (1, 7, 3, 3), (3, 8, 2, 3), (2, 3, 3, 1), (1, 10, 7, 7), (3, 5, 5, 5)]
CONVOLUTIONS += [(1, 1, 1, 4), (1, 30, 20, 5), (4, 16, 4, 4), (2, 2, 3, 3)]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("step", [(1, 1), (2, 1), (3, 1), (1, 2), ((1, 2), (2, 1))])
@pytest.mark.parametrize("pad", [0, 2, ((0, 3), (1, 0))])
def test_few_channels_on_images_of_every_width(pad, step, dtype, set_threads):
    stride, dilation = step
    rng = np.random.default_rng(0)
    for i, (C, FN, FH, FW) in enumerate(CONVOLUTIONS):
        groups = 1 + i % 2
        W = [28, 37, 64, 90, 150][i % 5]
        x = rng.normal(size=(3, groups * C, 52, W)).astype(dtype)
        filters = rng.normal(size=(groups * FN, C, FH, FW)).astype(dtype)
        b = rng.normal(size=groups * FN).astype(dtype)
        window = (stride, pad, dilation, groups)
        y = reference.conv2d(x.astype(float), filters.astype(float), b.astype(float), *window)
        rounding = {"rtol": 0, "atol": 1e-12 if dtype == "float64" else 1e-4}
        for threads in (1, 3):
            set_threads(threads)
            np.testing.assert_allclose(pyconv.conv2d(x, filters, b, *window), y, **rounding)
            with_relu, none = pyconv.conv2d_block(x, filters, b, *window)
            assert none is None
            np.testing.assert_allclose(with_relu, np.maximum(y, 0), **rounding)
            pooled, _ = pyconv.conv2d_block(x, filters, b, *window, pool=2)
            expected = reference.max_pool2d(np.maximum(y, 0), 2, 2, 2)[0]
            np.testing.assert_allclose(pooled, expected, **rounding)


@pytest.mark.parametrize("column", [0, 5, 15, 16, 27])
def test_a_nan_reaches_the_outputs_that_see_it_and_no_others(column):
    x, filters = np.ones((2, 1, 28, 28), np.float32), np.ones((7, 1, 5, 5), np.float32)
    x[0, 0, 27, column] = np.nan
    expected = reference.conv2d(x, filters)
    np.testing.assert_array_equal(pyconv.conv2d(x, filters), expected)
    with_relu, _ = pyconv.conv2d_block(x, filters)
    np.testing.assert_array_equal(with_relu, expected)


def assert_same_as_reference(x, W, b):
    with np.errstate(invalid="ignore"):  # infinities of both signs
        y, argmax = reference.conv2d_block(x, W, b, pool=2)
    ours, our_argmax = pyconv.conv2d_block(x, W, b, pool=2)
    np.testing.assert_array_equal(ours, y)
    np.testing.assert_array_equal(our_argmax, argmax)
    without, none = pyconv.conv2d_block(x, W, b, pool=2, need_argmax=False)
    np.testing.assert_array_equal(without, y)
    assert none is None


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("bias", [None, 0.5, -3, np.inf, -np.inf, np.nan])
@pytest.mark.parametrize(
    "values", [(-1, 0, 2, 5), (-np.inf, -1, 2, np.nan), (-np.inf, -1, 2, 3), (-1, 2, 3, np.inf)]
)
def test_every_order_of_four_values_wins_alike_in_every_lane(values, bias, dtype):
    """All 2×2 windows over four values, side by side, each image a window further along."""
    windows = np.array(values, dtype)[np.indices((4, 4, 4, 4)).reshape(2, 2, 256)]
    row_pair = windows.transpose(0, 2, 1).reshape(2, 512)
    x = np.stack([np.roll(row_pair, 2 * shift, axis=1) for shift in range(16)])[:, np.newaxis]
    b = None if bias is None else np.full(7, bias, dtype)
    assert_same_as_reference(x, FILTERS.astype(dtype), b)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("tap", range(4))
def test_a_nan_wins_its_window_and_no_other(tap, dtype):
    x = np.random.default_rng(tap).integers(-9, 9, (3, 1, 12, 22)).astype(dtype)
    for window in (0, 7, 10):
        one = x.copy()
        one[1, 0, 6 + tap // 2, 2 * window + tap % 2] = np.nan
        assert_same_as_reference(one, FILTERS.astype(dtype), np.arange(7, dtype=dtype))


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_largest_of_sums_whose_squares_no_float_holds_wins(dtype):
    large = np.ldexp(np.ones(1, dtype), np.finfo(dtype).maxexp // 2 - 8)
    x = np.random.default_rng(0).integers(-9, 9, (3, 1, 12, 22)).astype(dtype) * large
    assert_same_as_reference(x, FILTERS.astype(dtype) * large, np.arange(7, dtype=dtype))


@pytest.mark.parametrize("dtype", FLOATS)
def test_sums_that_are_equal_once_the_bias_is_added_are_a_tie(dtype):
    """The first one wins, as it does where the layers are apart."""
    tiny = np.finfo(dtype).eps / 8
    x = (np.random.default_rng(0).integers(0, 16, (2, 1, 8, 34)) * tiny).astype(dtype)
    assert_same_as_reference(x, np.ones((7, 1, 1, 1), dtype), np.ones(7, dtype))
    assert_same_as_reference(x, np.ones((7, 1, 1, 1), dtype), np.full(7, tiny, dtype))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(30, 16, 48, 49), (3, 32, 14, 14), (1, 20, 300, 300)])
def test_many_channels_are_pooled_as_where_the_layers_are_apart(shape, dtype):
    """Some images at a time: 1 << 20 numbers of the convolution's output."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).astype(dtype)
    W = rng.normal(size=(18, shape[1], 3, 3)).astype(dtype)
    y, argmax = pyconv.conv2d_block(x, W, pad=1, pool=2)
    expected, expected_argmax = pyconv.max_pool2d(pyconv.relu(pyconv.conv2d(x, W, pad=1)), 2, 2, 2)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(argmax, expected_argmax)
