"""Every native kernel against its NumPy twin, over random geometry and both dtypes."""

import copy

import kernel_cases
import numpy as np
import pytest
from hypothesis import given, settings
from kernel_cases import Geometry, geometries

import pyconv
from pyconv import _core, reference, steps

EXACT = ("max_pool2d", "conv2d_block", "relu", "relu_backward")
# Held against their twins on the same cases: most of the time of a case goes into drawing it.
FAMILIES = {
    "columns": ["im2col", "col2im"],
    "convolution": [k for k in _core.KERNELS if k.startswith(("conv2d", "affine"))],
    "pooling": [k for k in _core.KERNELS if "_pool2d" in k],
}
# These go through memory once, whatever the shape: their geometry has less to get wrong.
ELEMENTWISE = [k for k in _core.KERNELS if not any(k in family for family in FAMILIES.values())]


def case(name, g):
    """The arguments of a kernel and the shapes of its results; each must have its entry."""
    return getattr(kernel_cases, name)(g)


def native_and_twin(name):
    if name.endswith("_step"):
        return getattr(_core, name), getattr(steps, name)
    return getattr(pyconv, name), getattr(reference, name)


def results(function, arguments):
    """What it returns, as a tuple."""
    arguments = copy.deepcopy(arguments)
    out = function(*arguments)
    if out is None:  # a step: what it has made of its arrays
        out = tuple(a for a in arguments if isinstance(a, np.ndarray))
    return out if isinstance(out, tuple) else (out,)


def assert_twins_agree(name, arguments, shapes, dtype, terms):
    """Native equals reference; `terms` bounds how many products one result sums up."""
    native, twin = (results(function, arguments) for function in native_and_twin(name))
    assert_agree(name, native, twin, shapes, dtype, terms)


def assert_agree(name, native, twin, shapes, dtype, terms):
    rounding = 1e-12 if dtype == "float64" else 1e-6 * max(1, terms) ** 0.5
    for ours, theirs, shape in zip(native, twin, shapes, strict=True):
        if shape is None:
            assert ours is theirs is None
            continue
        assert ours.shape == theirs.shape == shape, name
        assert ours.dtype == theirs.dtype
        assert ours.flags.c_contiguous
        assert theirs.flags.c_contiguous
        if name in EXACT:
            np.testing.assert_array_equal(ours, theirs, name)
        else:
            scale = np.abs(theirs).max(initial=1.0)
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=rounding * scale, err_msg=name)


many = settings(max_examples=10 * settings().max_examples)


def assert_kernel_equals_its_twin(name, g):
    arguments, shapes = case(name, g)
    terms = max(g.C * g.FN * g.filter[0] * g.filter[1] * 10, g.N * g.H * g.W)
    assert_twins_agree(name, arguments, shapes, g.dtype, terms)


@pytest.mark.parametrize("family", FAMILIES)
@many
@given(g=geometries())
def test_kernels_equal_their_twins(family, g):
    for name in FAMILIES[family]:
        assert_kernel_equals_its_twin(name, g)


@pytest.mark.parametrize("name", ELEMENTWISE)
@given(g=geometries())
def test_elementwise_kernels_equal_their_twins(name, g):
    assert_kernel_equals_its_twin(name, g)


# Larger than the blocks of the matrix product and long enough to be shared out among threads.
LARGE = {
    "several strips of positions": {"N": 2, "C": 3, "H": 41, "W": 37, "FN": 20},
    "several blocks of taps": {"N": 3, "C": 64, "H": 9, "W": 11, "FN": 7},
    "several blocks of filters": {"N": 2, "C": 5, "H": 12, "W": 10, "FN": 130},
    "few filters": {"N": 3, "C": 36, "H": 19, "W": 14, "FN": 7},
    "few channels": {"N": 3, "C": 12, "H": 14, "W": 17, "FN": 60, "groups": 2},
    "small groups": {"N": 2, "C": 12, "H": 20, "W": 19, "FN": 12, "groups": 3},
    "depthwise": {"N": 2, "C": 33, "H": 40, "W": 40, "FN": 33, "groups": 33},
    "strided": {"N": 4, "C": 4, "H": 61, "W": 59, "FN": 8, "stride": (2, 3), "dilation": (2, 1)},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", _core.KERNELS)
@pytest.mark.parametrize("shape", LARGE)
def test_large_arrays_on_threads(shape, name, dtype, set_threads):
    defaults = {"groups": 1, "stride": (1, 1), "dilation": (1, 1)}
    sizes = {**defaults, **LARGE[shape]}
    g = Geometry(
        filter=(3, 5), pad=((1, 2), (0, 3)), pool=(2, 3), dtype=dtype, seed=1,
        ceil_mode=True, count_include_pad=False, **sizes,
    )  # fmt: skip
    arguments, shapes = case(name, g)
    native, twin = native_and_twin(name)
    expected = results(twin, arguments)
    for threads in (1, 2, 3):
        set_threads(threads)
        found = results(native, arguments)
        assert_agree(name, found, expected, shapes, dtype, terms=g.N * g.H * g.W * 15)
        for once, again in zip(found, results(native, arguments), strict=True):
            if once is not None:
                assert once.tobytes() == again.tobytes(), "the same bits on every run"


# Single taps, whose pixels are multiplied where they lie: all of an image, every so many rows of
# it, and gradients that are wider than the pixels with their phase.
SINGLE_TAPS = {
    "all pixels": {"N": 3, "H": 32, "W": 24, "filter": 1, "stride": (1, 1), "pad": 0},
    "every other row": {"N": 1, "H": 64, "W": 32, "filter": 1, "stride": (2, 1), "pad": 0},
    "rows of two images": {"N": 2, "H": 61, "W": 32, "filter": 1, "stride": (3, 1), "pad": 0},
    "a column more": {"N": 1, "H": 32, "W": 32, "filter": 2, "stride": (2, 2), "pad": 1},
    "columns more": {"N": 1, "H": 57, "W": 48, "filter": 4, "stride": (3, 3), "pad": 2},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["conv2d", "conv2d_block", "conv2d_backward_data"])
@pytest.mark.parametrize("shape", SINGLE_TAPS)
def test_single_taps(shape, name, dtype, set_threads):
    sizes = {**SINGLE_TAPS[shape]}
    size, pad = sizes.pop("filter"), sizes.pop("pad")
    g = Geometry(
        C=8, FN=16, filter=(size, size), dilation=(1, 1), pad=((pad, pad), (pad, pad)), groups=1,
        pool=(1, 1), dtype=dtype, seed=1, ceil_mode=False, count_include_pad=False, **sizes,
    )  # fmt: skip
    arguments, shapes = case(name, g)
    for threads in (1, 2, 3):
        set_threads(threads)
        assert_twins_agree(name, arguments, shapes, dtype, 8 * 16)


# Filters with channels enough for Winograd's products: whole tiles of 2x2 outputs and cut ones,
# strips of tiles that end within an image or span several, blocks of channels and filters, pieces
# of every length along both axes.
NEIGHBOURS = {
    "one block of channels": {"N": 3, "C": 40, "H": 20, "W": 33, "FN": 37},
    "two blocks of channels": {"N": 2, "C": 100, "H": 13, "W": 18, "FN": 64},
    "more filters than pixels": {"N": 17, "C": 330, "H": 4, "W": 5, "FN": 340},
    "groups": {"N": 1, "C": 96, "H": 40, "W": 31, "FN": 64, "groups": 2},
    "five taps": {"N": 2, "C": 24, "H": 21, "W": 30, "FN": 40, "filter": (5, 5)},
    "a wide filter": {"N": 4, "C": 30, "H": 24, "W": 30, "FN": 50, "filter": (3, 5)},
    "a high filter": {"N": 4, "C": 30, "H": 24, "W": 30, "FN": 50, "filter": (7, 3)},
    "a row of taps": {"N": 2, "C": 40, "H": 17, "W": 23, "FN": 64, "filter": (1, 8)},
    "a column of taps": {"N": 2, "C": 40, "H": 17, "W": 23, "FN": 64, "filter": (7, 1)},
    "every second": {"N": 3, "C": 70, "H": 33, "W": 32, "FN": 64, "stride": (2, 2)},
    "one channel": {
        "N": 2, "C": 1, "H": 60, "W": 41, "FN": 32, "filter": (20, 5), "stride": (2, 2),
    },
    "few channels": {
        "N": 2, "C": 3, "H": 45, "W": 40, "FN": 48, "filter": (7, 7), "stride": (2, 2),
    },
    "unequal strides": {
        "N": 2, "C": 10, "H": 50, "W": 37, "FN": 32, "groups": 2, "filter": (11, 6),
        "stride": (4, 1),
    },
    "even rows of every second": {
        "N": 3, "C": 32, "H": 40, "W": 36, "FN": 64, "filter": (7, 7), "stride": (2, 2),
    },
}  # fmt: skip
PADS = [((1, 1), (1, 1)), ((0, 0), (0, 0)), ((2, 2), (2, 2)), ((0, 2), (1, 0)), ((3, 0), (0, 4))]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pad", PADS)
@pytest.mark.parametrize(
    "name", ["conv2d", "conv2d_block", "conv2d_backward_data", "conv2d_backward_weight"]
)
@pytest.mark.parametrize("shape", NEIGHBOURS)
def test_filters_of_neighbouring_taps(shape, name, pad, dtype, set_threads):
    sizes = {"groups": 1, "filter": (3, 3), "stride": (1, 1), **NEIGHBOURS[shape]}
    g = Geometry(
        dilation=(1, 1), pad=pad, pool=(1, 1), dtype=dtype, seed=1, ceil_mode=False,
        count_include_pad=False, **sizes,
    )  # fmt: skip
    arguments, shapes = case(name, g)
    native, twin = native_and_twin(name)
    expected = results(twin, arguments)
    for threads in (1, 3):
        set_threads(threads)
        found = results(native, arguments)
        terms = g.filter[0] * g.filter[1] * max(g.C, g.FN)
        if name == "conv2d_backward_weight":
            terms = g.N * g.H * g.W
        assert_agree(name, found, expected, shapes, dtype, terms)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stride", [(1, 1), (1, 2), (2, 1), (3, 2)])
@pytest.mark.parametrize("size", [(9, 1), (1, 9), (2, 2)])
@pytest.mark.parametrize("name", ["conv2d", "conv2d_backward_data", "conv2d_backward_weight"])
def test_images_narrower_than_their_stride(name, size, stride, dtype):
    g = Geometry(
        N=2, C=8, H=size[0], W=size[1], FN=5, filter=(min(size[0], 3), 1), stride=stride,
        dilation=(1, 1), pad="valid", groups=1, pool=(1, 1), dtype=dtype, seed=1,
        ceil_mode=False, count_include_pad=False,
    )  # fmt: skip
    assert_kernel_equals_its_twin(name, g)


@pytest.mark.parametrize("at", [(0, 0), (4, 5), (5, 4), (7, 7), (17, 22)])
def test_a_nan_reaches_the_outputs_that_see_it_and_no_others(at):
    x, W = np.ones((2, 48, 18, 23), np.float32), np.ones((48, 48, 3, 3), np.float32)
    x[1, 3, *at] = np.nan
    expected = np.isnan(reference.conv2d(x, W, pad=1))
    assert expected.sum() > 0
    np.testing.assert_array_equal(np.isnan(pyconv.conv2d(x, W, pad=1)), expected)


# Rows from narrower than the narrowest vector to several of the widest, most with a remainder.
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pad", [((0, 0), (0, 0)), ((1, 1), (1, 1)), ((0, 2), (2, 1))])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (2, 1), (1, 3)])
@pytest.mark.parametrize("name", [k for k in _core.KERNELS if "pool" in k or "col" in k])
def test_rows_of_every_width(name, stride, pad, dtype):
    for size in [(2, 2), (3, 3), (1, 4), (4, 5), (2, 7), (2, 9)]:
        for W in [9, 10, 16, 17, 24, 31, 33, 34, 47, 66, 67, 101]:
            g = Geometry(
                N=2, C=3, H=7, W=W, filter=size, stride=stride, dilation=(1, 1), pad=pad,
                groups=1, FN=1, pool=(1, 1), dtype=dtype, seed=W,
                ceil_mode=W % 2 == 0, count_include_pad=W % 3 == 0,
            )  # fmt: skip
            arguments, shapes = case(name, g)
            assert_twins_agree(name, arguments, shapes, dtype, size[0] * size[1])


# Patches, as vision transformers begin with: side by side, apart and overlapping, from fewer to a
# row than any square of numbers has to more than the largest; some with rest of a row behind them.
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["conv2d", "conv2d_backward_weight"])
@pytest.mark.parametrize("pad", [((0, 0), (0, 0)), ((2, 1), (0, 3)), ((0, 0), (1, 0))])
@pytest.mark.parametrize("size", [(16, 16), (14, 14), (5, 5), (5, 7), (9, 6)])
def test_patches(size, pad, name, dtype):
    filter_size, stride = size
    for positions, rest in [(1, 0), (2, 3), (5, 0), (7, 4), (8, 0), (13, 1), (20, 0)]:
        g = Geometry(
            N=2, C=3, H=filter_size + stride, W=positions * stride + rest + filter_size,
            filter=(filter_size, filter_size), stride=(stride, stride), dilation=(1, 1), pad=pad,
            groups=1, FN=6, pool=(1, 1), dtype=dtype, seed=1, ceil_mode=False,
            count_include_pad=False,
        )  # fmt: skip
        arguments, shapes = case(name, g)
        assert_twins_agree(name, arguments, shapes, dtype, 3 * filter_size**2 * 40)


# Pooled where they are summed: rows of windows from one to more than a vector, filters of whole
# tiles and less, strips of an image and whole ones.
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pad", [((0, 0), (0, 0)), ((1, 2), (3, 0)), ((6, 7), (7, 6))])
@pytest.mark.parametrize("step", [((1, 1), (1, 1)), ((2, 1), (1, 2)), ((1, 3), (3, 1))])
@pytest.mark.parametrize("groups", [1, 2])
def test_blocks_of_every_size(groups, step, pad, dtype):
    for size, channels, filters in [
        ((41, 2), 1, 6), ((9, 11), 3, 7), ((13, 33), 2, 10), ((6, 71), 1, 3), ((60, 90), 12, 2),
        ((4, 9000), 5, 2),
    ]:  # fmt: skip
        g = Geometry(
            N=2, C=groups * channels, H=size[0] + 3, W=size[1] + 4, filter=(2, 3), stride=step[0],
            dilation=step[1], pad=pad, groups=groups, FN=groups * filters, pool=(2, 2),
            dtype=dtype, seed=1, ceil_mode=False, count_include_pad=False,
        )  # fmt: skip
        assert_kernel_equals_its_twin("conv2d_block", g)


# Depthwise rows from narrower than the narrowest vector to several of the widest, of filters that
# have kernels of their own and some that have none; then planes of several strips of rows.
DEPTHWISE = ["conv2d", "conv2d_backward_data", "conv2d_backward_weight"]
WIDTHS = [*range(1, 20), 23, 24, 31, 32, 33, 48, 50, 63, 64, 65, 70]
DEPTHWISE_WINDOWS = [
    (3, 1, 1), (5, 1, 1), (7, 1, 1), (3, 2, 1), (5, 2, 1),
    (7, 2, 1), (4, 1, 1), (3, 3, 1), (3, 1, 2),
]  # fmt: skip
DEPTHWISE_PADS = [((0, 0), (0, 0)), ((1, 1), (1, 1)), ((2, 0), (0, 2)), ((6, 7), (9, 3))]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pad", DEPTHWISE_PADS)
@pytest.mark.parametrize("window", DEPTHWISE_WINDOWS)
@pytest.mark.parametrize("name", DEPTHWISE)
def test_depthwise_rows_of_every_width(name, window, pad, dtype, set_threads):
    size, stride, dilation = window
    set_threads(3)
    for H, W in [*((5 + W % 3, W) for W in WIDTHS), (70, 67), (35, 260)]:
        C = [3, 7][W % 3 == 0]
        if min(H + sum(pad[0]), W + sum(pad[1])) <= (size - 1) * dilation:
            continue
        g = Geometry(
            N=2, C=C, H=H, W=W, filter=(size, size), stride=(stride, stride),
            dilation=(dilation, dilation), pad=pad, groups=C, FN=C, pool=(1, 1), dtype=dtype,
            seed=W, ceil_mode=False, count_include_pad=False,
        )  # fmt: skip
        arguments, shapes = case(name, g)
        assert_twins_agree(name, arguments, shapes, dtype, 2 * H * W)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(("size", "stride"), [(3, 1), (4, 1), (5, 1), (7, 1), (3, 2), (5, 2)])
@pytest.mark.parametrize("W", [3, 7, 14, 17, 40])
def test_depthwise_results_that_do_not_see_a_nan_stay_finite(W, size, stride, value):
    """A pixel at each end of a row and plane, and then a gradient there."""
    rng = np.random.default_rng(0)
    for pad in [size // 3, size // 2]:
        for at in [(0, 0), (0, W - 1), (5, 0), (5, W - 1), (3, W // 2)]:
            x = rng.integers(1, 5, (2, 3, 6, W)).astype(np.float32)
            weights = rng.integers(1, 5, (3, 1, size, size)).astype(np.float32)
            window = {"stride": stride, "pad": pad, "groups": 3}
            dout = np.ones_like(pyconv.conv2d(x, weights, **window))
            x[0, 1, *at] = value
            # taps that see the pixel: those whose gradients, moved back to the pixels, fall on it
            y, at_y = np.zeros_like(dout), np.array(at) + pad
            sees = np.zeros((size, size), bool)
            for fy, fx in np.ndindex(size, size):
                (oy, ox), rest = np.divmod(at_y - (fy, fx), stride)
                sees[fy, fx] = not rest.any() and 0 <= oy < y.shape[2] and 0 <= ox < y.shape[3]
            dW, _ = pyconv.conv2d_backward_weight(x, dout, weights.shape, **window)
            np.testing.assert_array_equal(np.isfinite(dW[1, 0]), ~sees)
            assert np.isfinite(dW[[0, 2]]).all()
            seen = ~np.isfinite(pyconv.conv2d(x, weights, **window))
            expected = ~np.isfinite(reference.conv2d(x, weights, **window))
            np.testing.assert_array_equal(seen, expected)
            dout[0, 1, 0, -1] = value
            seen = ~np.isfinite(pyconv.conv2d_backward_data(dout, weights, x.shape, **window))
            expected = ~np.isfinite(
                reference.conv2d_backward_data(dout, weights, x.shape, **window)
            )
            np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("step", [1, 2])
def test_every_order_of_ties_nan_and_infinity_wins_alike_in_every_lane(step, dtype):
    """All 2×2 windows over four values, side by side, each image a window further along."""
    values = np.array([-np.inf, -1, 2, np.nan], dtype)
    windows = values[np.indices((4, 4, 4, 4)).reshape(2, 2, 256)]
    row_pair = windows.transpose(0, 2, 1).reshape(2, 512)
    x = np.stack([np.roll(row_pair, 2 * shift, axis=1) for shift in range(16)])[:, np.newaxis]
    y_shape = (16, 1, 1, 510 // step + 1)
    assert_twins_agree("max_pool2d", (x, 2, 2, step), [y_shape, y_shape], dtype, 4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("tap", range(4))
def test_a_single_nan_wins_its_tile(tap, dtype):
    """Among numbers, whose tiles are pooled faster than those with a NaN."""
    x = np.random.default_rng(tap).normal(size=(2, 3, 12, 40)).astype(dtype)
    for tile in (0, 7, 19):
        one = x.copy()
        one[1, 1, 6 + tap // 2, 2 * tile + tap % 2] = np.nan
        y, argmax = pyconv.max_pool2d(one, 2, 2, 2)
        assert np.isnan(y[1, 1, 3, tile])
        assert argmax[1, 1, 3, tile] == tap
        assert_twins_agree("max_pool2d", (one, 2, 2, 2), [y.shape, y.shape], dtype, 4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("planes", [1, 3, 700])
@pytest.mark.parametrize("W", [2, 5, 9, 24, 31, 32, 47])
def test_tiles_of_rows_shorter_and_longer_than_a_vector(W, planes, dtype):
    """With a row and a column left over and without, on one thread and on two."""
    rng = np.random.default_rng(W)
    for H in (10, 11) if planes > 3 else (2, 3, 10, 41):
        x = rng.normal(size=(1, planes, H, W)).astype(dtype)
        y, argmax = pyconv.max_pool2d(x, 2, 2, 2)
        dout = rng.normal(size=y.shape).astype(dtype)
        backward = (dout, argmax, x.shape, 2, 2, 2)
        assert_twins_agree("max_pool2d", (x, 2, 2, 2), [y.shape, y.shape], dtype, 4)
        assert_twins_agree("max_pool2d_backward", backward, [x.shape], dtype, 1)
        assert_twins_agree("avg_pool2d", (x, 2, 2, 2), [y.shape], dtype, 4)
        assert_twins_agree("avg_pool2d_backward", (dout, x.shape, 2, 2, 2), [x.shape], dtype, 1)


@pytest.mark.parametrize("size", [4, 8, 24, 40])
def test_averages_do_not_depend_on_where_an_image_stands_in_the_batch(size):
    rng = np.random.default_rng(0)
    image = rng.normal(size=(1, 1, size, size)).astype(np.float32)
    image[0, 0, -2:, -2:] = [[3e38, -3e38], [3e38, -3e38]]  # in this order they do not overflow
    y = pyconv.avg_pool2d(np.repeat(image, 64, axis=0), 2, 2, 2)
    assert len(set(map(np.ndarray.tobytes, y))) == 1
    assert y[0].tobytes() == pyconv.avg_pool2d(image, 2, 2, 2).tobytes()
    np.testing.assert_allclose(y[:1], reference.avg_pool2d(image, 2, 2, 2), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("pool", [(16, 16), (16, 17), (1, 300)])
def test_windows_of_more_taps_than_a_byte_can_number(pool):
    x = np.random.default_rng(1).normal(size=(2, 3, 20, 330)).astype(np.float32)
    y, argmax = pyconv.max_pool2d(x, *pool, 3)
    assert argmax.dtype == (np.uint8 if pool == (16, 16) else np.uint16)
    assert_twins_agree("max_pool2d", (x, *pool, 3), [y.shape, y.shape], "float32", 1)
    backward = (y, argmax, x.shape, *pool, 3)
    assert_twins_agree("max_pool2d_backward", backward, [x.shape], "float32", 100)


@pytest.mark.parametrize("function", [pyconv.conv2d_block, reference.conv2d_block])
def test_a_block_gives_what_its_parts_give_one_after_another(function):
    rng = np.random.default_rng(0)
    x, W = (rng.integers(-4, 5, shape).astype(float) for shape in ((3, 2, 9, 8), (4, 2, 3, 2)))
    y, argmax = pyconv.max_pool2d(np.maximum(pyconv.conv2d(x, W), 0), 2, 3, (2, 3))
    np.testing.assert_array_equal(function(x, W, pool=(2, 3))[0], y)
    np.testing.assert_array_equal(function(x, W, pool=(2, 3))[1], argmax)
    assert function(x, W, pool=(2, 3), need_argmax=False)[1] is None
    np.testing.assert_array_equal(function(x, W)[0], np.maximum(pyconv.conv2d(x, W), 0))
    assert function(x, W)[1] is None


@given(g=geometries())
def test_col2im_is_the_adjoint_of_im2col(g):
    """<im2col(x), col> = <x, col2im(col)>: exact in float64 on whole numbers."""
    (x, *window), [col_shape] = case("im2col", g)
    rng = np.random.default_rng(g.seed)
    x = rng.integers(-9, 10, x.shape).astype(np.float64)
    col = rng.integers(-9, 10, col_shape).astype(np.float64)
    left = (pyconv.im2col(x, *window) * col).sum()
    right = (x * pyconv.col2im(col, x.shape, *window)).sum()
    assert left == right
