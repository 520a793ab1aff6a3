"""Every memory layout is computed right, and small cases are what they are by hand."""

import numpy as np
import pytest

import pyconv

INF, NAN = np.inf, np.nan


@pytest.fixture(params=["native", "reference"])
def backend(request):
    with pyconv.use_backend(request.param):
        yield request.param


def calls(N=2, dtype="float32"):
    """Positional arguments of one call of every function: a 3×2 window over images (N, 4, 6, 7)."""
    rng = np.random.default_rng(1)

    def r(*shape):
        return rng.normal(size=shape).astype(dtype)

    shape, window, conv = (N, 4, 6, 7), (3, 2, 1, "same"), (1, "same", 1, 2)
    x, W, convolved = r(*shape), r(6, 2, 3, 2), r(N, 6, 6, 7)
    argmax = rng.integers(0, 6, shape, dtype=np.uint8)
    return {
        "im2col": (x, *window),
        "col2im": (r(N * 42, 24), shape, *window),
        "conv2d": (x, W, r(6), *conv),
        "conv2d_backward_data": (convolved, W, shape, *conv),
        "conv2d_backward_weight": (x, convolved, W.shape, *conv),
        "max_pool2d": (x, *window),
        "max_pool2d_backward": (r(*shape), argmax, shape, *window),
        "avg_pool2d": (x, *window),
        "avg_pool2d_backward": (r(*shape), shape, *window),
        "affine": (r(N, 4), r(4, 3), r(3)),
        "affine_backward": (r(N, 4), r(N, 3), r(4, 3)),
        "relu": (x,),
        "relu_backward": (r(*shape), np.maximum(x, 0)),
    }


def results(name, arguments):
    out = getattr(pyconv, name)(*arguments)
    return out if isinstance(out, tuple) else (out,)


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def strided(a):
    wide = np.full((*a.shape[:-1], 3 * a.shape[-1]), 99, a.dtype)
    wide[..., 1::3] = a
    return wide[..., 1::3]


def misaligned(a):
    return np.frombuffer(b"?" + a.tobytes(), a.dtype, a.size, offset=1).reshape(a.shape)


LAYOUTS = {
    "read-only": read_only,
    "Fortran-ordered": np.asfortranarray,
    "strided": strided,
    "negative strides": lambda a: np.flip(np.flip(a).copy()),
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "misaligned": misaligned,
    "a subclass": lambda a: a.view(np.recarray),
    "a matrix": lambda a: a.view(np.matrix) if a.ndim == 2 else a,
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", calls())
def test_every_layout_gives_the_same_bits_as_a_contiguous_copy(backend, name, layout, dtype):
    arguments = calls(dtype=dtype)[name]
    expected = results(name, arguments)
    arranged = [LAYOUTS[layout](a) if isinstance(a, np.ndarray) else a for a in arguments]
    before = [a.tobytes() if isinstance(a, np.ndarray) else None for a in arranged]
    for result, same in zip(results(name, arranged), expected, strict=True):
        assert result.tobytes() == same.tobytes()
        assert result.shape == same.shape
    assert before == [a.tobytes() if isinstance(a, np.ndarray) else None for a in arranged]


@pytest.mark.parametrize("N", [0, 1, 2])
@pytest.mark.parametrize("layout", ["read-only", "byte-swapped", "a matrix"])
@pytest.mark.parametrize("name", calls())
def test_results_are_plain_arrays_one_can_write_to(backend, name, layout, N):
    arguments = [LAYOUTS[layout](a) if isinstance(a, np.ndarray) else a for a in calls(N)[name]]
    for result in results(name, arguments):
        assert type(result) is np.ndarray
        assert result.flags.c_contiguous
        assert result.flags.writeable
        assert result.flags.aligned
        assert result.dtype.isnative
        base = result if result.base is None else result.base
        assert base.nbytes == result.nbytes, "no larger array is kept alive"
        assert base.base is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", calls())
def test_an_empty_batch_goes_through_forward_and_backward(backend, name, dtype):
    for result, of_two in zip(
        results(name, calls(0, dtype)[name]), results(name, calls(2, dtype)[name]), strict=True
    ):
        assert result.dtype == of_two.dtype
        assert result.shape[1:] == of_two.shape[1:]
        if len(result):  # no image: gradients of weights are 0
            assert result.shape == of_two.shape
            assert not result.any()


def image(rows):
    return np.array(rows, np.float64)[np.newaxis, np.newaxis]


def row(*values):
    return image([values])


# Sizes as PyTorch's and ONNX's formula gives them: ceil((H + 2P - K) / S) + 1, less a last window
# that would start at or after H + P.
@pytest.mark.parametrize(
    ("size", "taps", "stride", "pad", "floored", "rounded_up"),
    [
        (5, 2, 2, 0, 2, 3),
        (6, 2, 2, 0, 3, 3),
        (6, 3, 2, 0, 2, 3),
        (3, 2, 2, 1, 2, 2),  # a third would start at 3 + 1, the far padding
        (4, 2, 2, 1, 3, 3),
        (5, 3, 3, 1, 2, 2),  # a third would start at 5 + 1
        (6, 3, 3, 1, 2, 3),
        (1, 1, 3, 0, 1, 1),
        (2, 1, 5, 0, 1, 1),  # a second would start outside
        (7, 1, 4, ((0, 0), (0, 2)), 3, 2),
        (2, 2, 1, ((0, 0), (0, 3)), 4, 3),  # the last one alone is dropped
    ],
)
def test_ceil_mode_keeps_an_overhanging_window_unless_it_starts_in_the_far_padding(
    backend, size, taps, stride, pad, floored, rounded_up
):
    x = row(*range(size))
    pad = pad if isinstance(pad, tuple) else (0, pad)
    for ceil_mode, width in ((False, floored), (True, rounded_up)):
        y, _ = pyconv.max_pool2d(x, 1, taps, (1, stride), pad, ceil_mode=ceil_mode)
        assert y.shape == (1, 1, 1, width)
        y = pyconv.avg_pool2d(x, 1, taps, (1, stride), pad, ceil_mode=ceil_mode)
        assert y.shape == (1, 1, 1, width)


@pytest.mark.parametrize(
    ("arguments", "with_padding", "without"),
    [
        # 1 2 3 4 5, pad 1: (0 1 2) (2 3 4) (4 5 0), and all of them lie in the padded image
        (((1, 3), (1, 2), (0, 1)), [1, 3, 3], [1.5, 3, 4.5]),
        # 1 2 3 4 5 in pairs; the last window hangs over the edge: it never divides by 2
        (((1, 2), (1, 2), 0, True), [1.5, 3.5, 5], [1.5, 3.5, 5]),
        # pad 1, step 3: (0 1 2) (3 4 5); step 4: (0 1 2) (4 5 0)
        (((1, 3), (1, 3), (0, 1), True), [1, 4], [1.5, 4]),
        (((1, 3), (1, 4), (0, 1), True), [1, 3], [1.5, 4.5]),
        # pad 1, 4 taps, step 3: (0 1 2 3) (3 4 5 0), both inside
        (((1, 4), (1, 3), (0, 1), True), [1.5, 3], [2, 4]),
        # pad 2, 4 taps, step 3: (0 0 1 2) (2 3 4 5) (5 0 0 and one over the edge)
        (((1, 4), (1, 3), (0, 2), True), [0.75, 3.5, 5 / 3], [1.5, 3.5, 5]),
    ],
)
def test_average_divides_by_what_lies_in_the_image_or_the_padded_image(
    backend, arguments, with_padding, without
):
    (taps, *window), x = arguments, row(1, 2, 3, 4, 5)
    for count_include_pad, expected in ((True, with_padding), (False, without)):
        y = pyconv.avg_pool2d(x, *taps, *window, count_include_pad=count_include_pad)
        np.testing.assert_allclose(y, row(*expected), rtol=1e-15)
        # The gradient of sum(y) shares 1 / divisor among the pixels: it sums up to sum(y) on x = 1.
        dx = pyconv.avg_pool2d_backward(
            np.ones_like(y), x.shape, *taps, *window[:2], count_include_pad=count_include_pad
        )
        np.testing.assert_allclose((dx * x).sum(), y.sum(), rtol=1e-15)


# x, window (taps, stride, pad, dilation), maxima, winning taps, gradient of their sum
MAXIMA = {
    "padding never wins": (row(-3, -2, -5), (3, 1, 1, 1), [-2, -2, -2], [2, 1, 0], [0, 3, 0]),
    "the first maximum wins a tie": (row(7, 7, 7), (2, 1, 0, 1), [7, 7], [0, 0], [1, 1, 0]),
    "-0 and 0 tie": (row(-0.0, 0.0), (2, 1, 0, 1), [-0.0], [0], [1, 0]),
    "the first NaN wins": (row(9, NAN, NAN, 1), (4, 1, 0, 1), [NAN], [1], [0, 1, 0, 0]),
    "NaN wins over infinity": (row(INF, NAN), (2, 1, 0, 1), [NAN], [1], [0, 1]),
    "the first of -inf alone wins": (row(-INF, -INF), (2, 1, 0, 1), [-INF], [0], [1, 0]),
    "-inf wins over padding": (row(-INF), (3, 1, 1, 1), [-INF], [1], [1]),
    "padding alone gives -inf": (row(5), (2, 1, 1, 2), [-INF], [0], [0]),
    "and passes no gradient": (row(5, 6), (2, 1, 2, 4), [-INF, -INF], [0, 0], [0, 0]),
    "overlapping winners add up": (row(1, 9, 1), (2, 1, 0, 1), [9, 9], [1, 0], [0, 2, 0]),
}


@pytest.mark.parametrize("case", MAXIMA)
@pytest.mark.parametrize("along", ["rows", "columns"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_maximum_of_a_window(backend, case, along, dtype):
    x, (taps, stride, pad, dilation), maxima, winners, gradient = MAXIMA[case]
    size, pad, arranged = (1, taps), (0, pad), np.asarray
    if along == "columns":
        size, pad, arranged = size[::-1], pad[::-1], lambda a: np.swapaxes(a, 2, 3)
    x = arranged(x).astype(dtype)
    y, argmax = pyconv.max_pool2d(x, *size, stride, pad, dilation)
    np.testing.assert_array_equal(y, arranged(row(*maxima)))
    assert argmax.tolist() == arranged(row(*winners)).tolist()
    dx = pyconv.max_pool2d_backward(np.ones_like(y), argmax, x.shape, *size, stride, pad, dilation)
    np.testing.assert_array_equal(dx, arranged(row(*gradient)))


@pytest.mark.parametrize(
    ("pool_h", "pool_w", "dtype"), [(1, 1, "u1"), (16, 16, "u1"), (17, 16, "u2"), (257, 256, "u4")]
)
def test_argmax_has_the_smallest_type_that_counts_the_window(backend, pool_h, pool_w, dtype):
    x = np.zeros((1, 1, pool_h, pool_w), np.float32)
    x[0, 0, -1, -1] = 1
    y, argmax = pyconv.max_pool2d(x, pool_h, pool_w)
    assert argmax.dtype == dtype
    assert argmax.item() == pool_h * pool_w - 1
    dx = pyconv.max_pool2d_backward(y, argmax.astype(np.int64), x.shape, pool_h, pool_w)
    np.testing.assert_array_equal(dx, x)


def convolve_row(x, taps, **window):
    return pyconv.conv2d(x, row(*taps), **window)[0, 0, 0].tolist()


def test_padding_is_counted_per_side(backend):
    """Taps 100 10 1 spell the window's pixels out as digits."""
    x, taps = row(1, 2, 3, 4), (100, 10, 1)
    assert convolve_row(x, taps) == [123, 234]
    assert convolve_row(x, taps, pad=(0, 1)) == [12, 123, 234, 340]
    assert convolve_row(x, taps, pad=((0, 0), (2, 0))) == [1, 12, 123, 234]
    assert convolve_row(x, taps, pad=((0, 0), (0, 2)), stride=(1, 2)) == [123, 340]
    column = pyconv.conv2d(x.reshape(1, 1, 4, 1), np.ones((1, 1, 1, 1)), pad=((2, 1), (0, 0)))
    assert column.ravel().tolist() == [0, 0, 1, 2, 3, 4, 0]


def test_same_padding_keeps_ceil_of_size_by_stride_and_puts_the_odd_pixel_last(backend):
    x = row(1, 2, 3, 4)
    assert convolve_row(x, (10, 1), pad="same") == [12, 23, 34, 40]
    assert convolve_row(x, (100, 10, 1), pad="same") == [12, 123, 234, 340]
    assert convolve_row(x, (100, 10, 1), pad="same", stride=2) == [123, 340]
    assert convolve_row(x, (1,), pad="same", stride=3) == [1, 4]
    assert convolve_row(x, (10, 1), pad="same", stride=(1, 2), dilation=2) == [13, 30]
    assert convolve_row(x, (10, 1), pad="valid") == [12, 23, 34]


def test_a_filter_may_exceed_an_edge_that_padding_makes_longer(backend):
    x = row(1, 2)
    assert convolve_row(x, (1000, 100, 10, 1), pad=((0, 0), (1, 1))) == [120]
    assert convolve_row(x, (100, 10, 1), pad=((0, 0), (0, 1))) == [120]
    assert pyconv.avg_pool2d(x, 1, 5, pad=(0, 2)).tolist() == [[[[1.5, 1.5]]]]


@pytest.mark.parametrize("name", ["im2col", "max_pool2d", "avg_pool2d", "conv2d"])
def test_indices_count_beyond_2_to_the_31(name):
    """Corners of an image of 9.1 GB that takes no memory: nobody writes to it but in one place."""
    try:
        x = np.zeros((1, 1, 17, 2**27), np.float32)
    except MemoryError:
        pytest.skip("this system does not promise 9.1 GB of memory that is never used")
    x[0, 0, -1, -1] = 7  # element 17 * 2^27 - 1 > 2^31
    window = (np.ones((1, 1, 1, 1), np.float32),) if name == "conv2d" else (1, 1)
    with pyconv.use_backend("native"):  # the reference pads a copy, which would take it all
        corners = getattr(pyconv, name)(x, *window, stride=(16, 2**27 - 1))
    corners = corners[0] if isinstance(corners, tuple) else corners
    assert corners.ravel().tolist() == [0, 0, 0, 7]


def test_sizes_may_be_small_numpy_integers(backend):
    """144 taps do not fit into the int8 that the window's height and width come in."""
    x, size = np.random.default_rng(0).random((1, 2, 20, 20)), np.int8(12)
    y, argmax = pyconv.max_pool2d(x, size, size)
    dx = pyconv.max_pool2d_backward(y, argmax, x.shape, size, size)
    col = pyconv.im2col(x, size, size)
    assert argmax.max() > 127
    assert dx.sum() == pytest.approx(y.sum())
    assert col.shape == (81, 288)
    folded = pyconv.col2im(col, x.shape, size, size)
    assert folded[0, 0, 10, 10] == pytest.approx(81 * x[0, 0, 10, 10])
