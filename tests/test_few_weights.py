"""Gradients of first layers: few weights, each a sum over many positions."""

import numpy as np
import pytest

import pyconv
from pyconv import reference

# Channels and filter sizes around those of 5 to 48 taps, which are summed together.
FILTERS = [(1, 1, 4), (1, 1, 5), (3, 1, 3), (1, 3, 3), (3, 2, 2), (1, 5, 5), (3, 4, 4), (1, 7, 7)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("step", [(1, 1), (2, 1), (1, 2), ((3, 2), (2, 1))])
@pytest.mark.parametrize("pad", [0, 1, ((0, 2), (1, 0))])
def test_few_weights_on_rows_of_every_width(pad, step, dtype, set_threads):
    stride, dilation = step
    rng = np.random.default_rng(0)
    for i, (C, FH, FW) in enumerate(FILTERS):
        FN, W = [5, 30, 7, 4, 12][i % 5], [35, 38, 44, 53, 66, 95, 140][i % 7]
        x = rng.normal(size=(3, C, 29, W)).astype(dtype)
        filters = (FN, C, FH, FW)
        y = reference.conv2d(x, np.zeros(filters, dtype), None, stride, pad, dilation)
        dout = rng.normal(size=y.shape).astype(dtype)
        exact = (x.astype(float), dout.astype(float), filters, stride, pad, dilation)
        expected = reference.conv2d_backward_weight(*exact)
        for threads in (1, 3):
            set_threads(threads)
            found = pyconv.conv2d_backward_weight(x, dout, filters, stride, pad, dilation)
            rounding = 2e-4 if dtype == "float32" else 1e-12 * x[:, 0].size
            for ours, theirs in zip(found, expected, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=0, atol=rounding)


@pytest.mark.parametrize("where", ["x", "dout"])
@pytest.mark.parametrize("column", [0, 5, 12, 15, 18])
def test_a_nan_reaches_the_weights_that_meet_it_and_no_others(column, where):
    """Columns that a last vector sees twice, and the pixels behind those that a tap sees."""
    x, dout = np.ones((2, 1, 8, 23), np.float32), np.ones((2, 6, 4, 19), np.float32)
    (x if where == "x" else dout)[1, 0, 3, column] = np.nan
    found = pyconv.conv2d_backward_weight(x, dout, (6, 1, 5, 5))
    expected = reference.conv2d_backward_weight(x, dout, (6, 1, 5, 5))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
