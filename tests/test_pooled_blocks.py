"""Blocks with 2×2 windows: sums are pooled where they are made, faster where none is a NaN."""

import numpy as np
import pytest

import pyconv
from pyconv import reference

FLOATS = ["float32", "float64"]
# More filters than a tile has, by one.
FILTERS = np.array([1, -1, 0.5, -2, 3, 1, -0.25]).reshape(7, 1, 1, 1)


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
def test_sums_that_are_equal_once_the_bias_is_added_are_a_tie(dtype):
    """The first one wins, as it does where the layers are apart."""
    tiny = np.finfo(dtype).eps / 8
    x = (np.random.default_rng(0).integers(0, 16, (2, 1, 8, 34)) * tiny).astype(dtype)
    assert_same_as_reference(x, np.ones((7, 1, 1, 1), dtype), np.ones(7, dtype))
    assert_same_as_reference(x, np.ones((7, 1, 1, 1), dtype), np.full(7, tiny, dtype))
