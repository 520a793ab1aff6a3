"""Matrix products whose sizes leave a rest: of the depth, and of columns behind whole vectors."""

import numpy as np
import pytest

import pyconv
from pyconv import reference


def test_sums_of_every_length():
    for K in [*range(1, 300), 319, 320, 321, 640, 672]:
        y = pyconv.affine(np.ones((7, K), np.float32), np.ones((K, 37), np.float32))
        assert (y == K).all(), K


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [3, 7, 100])
@pytest.mark.parametrize("outputs", [9, 10, 17, 18, 20, 21, 35, 98, 100])
def test_columns_that_leave_most_of_a_vector_empty(outputs, rows, dtype):
    """Sums in several parts, on one thread and on two, and shorter than a vector."""
    rng = np.random.default_rng(outputs)
    for inputs in (5, 70, 643, 11000) if rows == 7 else (300,):
        x = rng.normal(size=(rows, inputs)).astype(dtype)
        W = rng.normal(size=(inputs, outputs)).astype(dtype)
        dout = rng.normal(size=(rows, outputs)).astype(dtype)
        rounding = {"rtol": 0, "atol": 1e-6 * (inputs + outputs) if dtype == "float32" else 1e-11}
        native = pyconv.affine(x, W), *pyconv.affine_backward(x, dout, W)
        twin = reference.affine(x, W), *reference.affine_backward(x, dout, W)
        for ours, theirs in zip(native, twin, strict=True):
            np.testing.assert_allclose(ours, theirs, **rounding)


@pytest.mark.parametrize("rows", [1, 7, 30])
@pytest.mark.parametrize("outputs", [16, 17, 20, 100])
def test_long_sums_round_as_little_as_several_short_ones(rows, outputs):
    rng = np.random.default_rng(0)
    x, W = rng.random((rows, 100_000), np.float32), rng.random((100_000, outputs), np.float32)
    exact = x.astype(float) @ W.astype(float)
    np.testing.assert_allclose(pyconv.affine(x, W), exact, rtol=2e-6)
    # rows of one are the products of the other: dW of x's transpose sums up as many
    _, dW, _ = pyconv.affine_backward(np.ascontiguousarray(x.T), W, np.ones((rows, outputs), "f"))
    np.testing.assert_allclose(dW, exact, rtol=2e-6)


def test_gradient_of_one_row_rounds_less_than_a_running_sum():
    rng = np.random.default_rng(0)
    W, dout = rng.random((2000, 100), np.float32), rng.random((1, 100), np.float32)
    exact = dout.astype(float) @ W.T.astype(float)
    dx, _, _ = pyconv.affine_backward(np.ones((1, 2000), np.float32), dout, W)
    running = np.cumsum(dout * W, axis=1, dtype=np.float32)[:, -1]
    assert np.abs(dx - exact).mean() < np.abs(running - exact).mean() / 1.5
