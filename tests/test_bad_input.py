"""Bad input gets one sentence that says what is wrong and what would fit, and changes nothing."""

import inspect
import re

import numpy as np
import pytest
from trainings import simple, trainer

import pyconv


@pytest.fixture(params=["native", "reference"])
def backend(request):
    with pyconv.use_backend(request.param):
        yield request.param


def accepted():
    """Fresh arguments of one good call of every function, by name.

    Images (2, 4, 6, 7), a 3×2 window of stride 1: OH = 4, OW = 6.
    """
    rng = np.random.default_rng(0)

    def r(*shape):
        return rng.normal(size=shape).astype(np.float32)

    x, window, shape = r(2, 4, 6, 7), {"filter_h": 3, "filter_w": 2}, {"input_shape": (2, 4, 6, 7)}
    pool, conv = {"pool_h": 3, "pool_w": 2}, {"groups": 2}
    pooled, convolved, W = r(2, 4, 4, 6), r(2, 6, 4, 6), r(6, 2, 3, 2)
    return {
        "im2col": {"x": x, **window},
        "col2im": {"col": r(48, 24), **shape, **window},
        "conv2d": {"x": x, "W": W, "b": r(6), **conv},
        "conv2d_backward_data": {"dout": convolved, "W": W, **shape, **conv},
        "conv2d_backward_weight": {"x": x, "dout": convolved, "filter_shape": W.shape, **conv},
        "max_pool2d": {"x": x, **pool},
        "max_pool2d_backward": {
            "dout": pooled, "argmax": np.full(pooled.shape, 5, np.uint8), **shape, **pool
        },
        "avg_pool2d": {"x": x, **pool},
        "avg_pool2d_backward": {"dout": pooled, **shape, **pool},
        "conv2d_block": {"x": x, "W": W, "b": r(6), **conv, "pool": (2, 3)},
        "conv2d_block_backward": {
            "x": x, "W": W, "y": r(2, 6, 2, 2), "dout": r(2, 6, 2, 2),
            "argmax": np.full((2, 6, 2, 2), 5, np.uint8), **conv, "pool": (2, 3)
        },
        "affine": {"x": r(5, 4), "W": r(4, 3), "b": r(3)},
        "affine_backward": {"x": r(5, 4), "dout": r(5, 3), "W": r(4, 3), "y": r(5, 3)},
        "relu": {"x": x},
        "relu_backward": {"dout": r(5, 4), "y": r(5, 4)},
    }  # fmt: skip


def arrays_of(name):
    return [key for key, v in accepted()[name].items() if getattr(v, "dtype", None) == np.float32]


FUNCTIONS = list(accepted())


def takes(argument):
    """The functions that have this parameter."""
    return [f for f in FUNCTIONS if argument in inspect.signature(getattr(pyconv, f)).parameters]


ARRAYS = [(name, argument) for name in FUNCTIONS for argument in arrays_of(name)]


def zeros(*shape):
    return np.zeros(shape, np.float32)


def contents(arguments):
    return [v.tobytes() if isinstance(v, np.ndarray) else repr(v) for v in arguments.values()]


def assert_refused(name, changes, error, says):
    arguments = accepted()[name] | changes
    before = contents(arguments)
    with pytest.raises(error, match=says):
        getattr(pyconv, name)(**arguments)
    assert contents(arguments) == before


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_accepted_call_changes_no_argument_and_returns_memory_of_its_own(backend, name):
    arguments = accepted()[name]
    before = contents(arguments)
    out = getattr(pyconv, name)(**arguments)
    assert contents(arguments) == before
    given_arrays = [v for v in arguments.values() if isinstance(v, np.ndarray)]
    for result in out if isinstance(out, tuple) else (out,):
        assert result is not None
        assert not any(np.shares_memory(result, array) for array in given_arrays)


NOT_FLOATS = {
    "integers": (lambda a: a.astype(np.int64), "dtype int64.*float32 or float64.*astype"),
    "complex numbers": (lambda a: a.astype(np.complex64), "dtype complex64.*float32 or float64"),
    "half floats": (lambda a: a.astype(np.float16), "dtype float16.*float32 or float64"),
    "booleans": (lambda a: a > 0, "dtype bool.*float32 or float64"),
    "objects": (lambda a: a.astype(object), "dtype object.*float32 or float64"),
    "a list": (lambda a: a.tolist(), r"NumPy array, not list; convert it, .*np\.asarray"),
    "text": (lambda a: "array", "NumPy array, not str"),
    "a masked array": (lambda a: np.ma.masked_less(a, 0), r"not MaskedArray; .*filled\(0\)"),
    "nothing": (lambda a: None, "NumPy array, not NoneType"),
}


OPTIONAL = ("affine_backward", "y")


@pytest.mark.parametrize(("name", "argument"), ARRAYS)
def test_only_arrays_of_float32_and_float64_are_computed_with(backend, name, argument):
    for kind, (change, says) in NOT_FLOATS.items():
        if kind == "nothing" and (argument == "b" or (name, argument) == OPTIONAL):
            continue
        value = change(accepted()[name][argument])
        assert_refused(name, {argument: value}, TypeError, f"{argument} .*{says}")


@pytest.mark.parametrize(("name", "argument"), [a for a in ARRAYS if "relu" not in a[0]])
def test_number_of_axes_and_empty_axes_are_named(backend, name, argument):
    value = accepted()[name][argument]
    for wrong in (value[..., 0], value[np.newaxis], zeros()):
        shape = re.escape(str(wrong.shape))
        says = rf"{argument} must have {value.ndim} ax[ie]s \(.*\), but its shape is {shape}"
        assert_refused(name, {argument: wrong}, ValueError, says)
    for axis in range(0 if argument in ("W", "b") else 1, value.ndim):
        wrong = value.take([], axis)
        says = rf"{argument} of shape {re.escape(str(wrong.shape))} has an empty axis; only .* N"
        assert_refused(name, {argument: wrong}, ValueError, says)


@pytest.mark.parametrize(("name", "argument"), [a for a in ARRAYS if len(arrays_of(a[0])) > 1])
def test_float32_and_float64_do_not_mix(backend, name, argument):
    value = accepted()[name][argument].astype(np.float64)
    says = f"share one dtype, but .*{argument} is float64.*astype"
    assert_refused(name, {argument: value}, TypeError, says)


PAD_FORMS = r"int, \(height, width\), \(\(top, bottom\), \(left, right\)\), 'same' or 'valid', not "
# argument, bad value, error, what the sentence says; for every function that has the argument
BAD_SIZES = [
    ("stride", 0, ValueError, "stride must be at least 1, not 0"),
    ("stride", -2, ValueError, "stride must be at least 1, not -2"),
    ("stride", (1, 0), ValueError, "stride width must be at least 1, not 0"),
    ("stride", (1, 2, 3), ValueError, r"stride .*\(height, width\), not \(1, 2, 3\)"),
    ("stride", 1.0, TypeError, r"stride must be a whole number, not 1\.0"),
    ("stride", True, TypeError, "stride must be a whole number, not True"),
    ("stride", "2", TypeError, "stride must be a whole number, not '2'"),
    ("stride", np.array([1, 2]), TypeError, "stride must be a whole number, not array"),
    ("stride", 2**31, ValueError, "stride must be at most 2147483647, not 2147483648"),
    ("dilation", 0, ValueError, "dilation must be at least 1, not 0"),
    ("dilation", (-1, 1), ValueError, "dilation height must be at least 1, not -1"),
    ("dilation", (2,), ValueError, r"dilation must be .*\(height, width\), not \(2,\)"),
    ("dilation", 0.5, TypeError, r"dilation must be a whole number, not 0\.5"),
    ("dilation", np.True_, TypeError, "dilation must be a whole number, not "),
    ("dilation", (7, 1), ValueError, "reaches over 15×2 pixels.* has only 6×7"),
    ("dilation", 2**40, ValueError, "dilation must be at most 2147483647"),
    ("pad", -1, ValueError, "pad must be at least 0, not -1"),
    ("pad", (0, -3), ValueError, "pad left must be at least 0, not -3"),
    ("pad", ((0, 0), (0, -1)), ValueError, "pad right must be at least 0, not -1"),
    ("pad", (1, 2, 3), ValueError, PAD_FORMS + r"\(1, 2, 3\)"),
    ("pad", (1, (1, 2)), ValueError, PAD_FORMS + r"\(1, \(1, 2\)\)"),
    ("pad", ((1, 2), (3, 4, 5)), ValueError, PAD_FORMS),
    ("pad", 1.5, TypeError, r"pad must be a whole number, not 1\.5"),
    ("pad", None, TypeError, "pad must be a whole number, not None"),
    ("pad", "full", ValueError, "'same' or 'valid' .*, not 'full'"),
    ("pad", 2**31, ValueError, "pad must be at most 2147483647, not 2147483648"),
    ("filter_h", 0, ValueError, "filter height must be at least 1, not 0"),
    ("filter_h", 9, ValueError, "reaches over 9×2 pixels.* has only 6×7.*use a smaller filter"),
    ("filter_w", -1, ValueError, "filter width must be at least 1, not -1"),
    ("filter_w", 2.0, TypeError, r"filter width must be a whole number, not 2\.0"),
    ("pool_h", 0, ValueError, "pool_h must be at least 1, not 0"),
    ("pool_w", True, TypeError, "pool_w must be a whole number, not True"),
    ("pool_w", 8, ValueError, r"3×8 pixels \(pool 3×8.* has only 6×7.*use a smaller pool"),
    ("ceil_mode", "no", TypeError, "ceil_mode must be True or False, not 'no'"),
    ("count_include_pad", 1, TypeError, "count_include_pad must be True or False, not 1"),
    ("pool", 0, ValueError, "pool must be at least 1, not 0"),
    ("pool", (2, -1), ValueError, "pool width must be at least 1, not -1"),
    ("pool", 2.0, TypeError, r"pool must be a whole number, not 2\.0"),
    ("pool", (1, 7), ValueError, r"pool of 1×7 is larger .* is 4×6 for .*\(2, 4, 6, 7\); use"),
    ("relu", 1, TypeError, "relu must be True or False, not 1"),
    ("need_dx", "no", TypeError, "need_dx must be True or False, not 'no'"),
    ("need_argmax", None, TypeError, "need_argmax must be True or False, not None"),
    ("groups", 0, ValueError, "groups must be at least 1, not 0"),
    ("groups", 1.0, TypeError, r"groups must be a whole number, not 1\.0"),
    ("groups", 3, ValueError, "groups=3 must divide both the 4 channels .* and the 6 filters"),
    ("groups", 4, ValueError, "groups=4 must divide both the 4 channels .* and the 6 filters"),
    ("groups", 1, ValueError, r"has 4 channels but the filters of shape \(6, 2, 3, 2\) have 2"),
    ("input_shape", (2, 4, 6), ValueError, r"4 sizes \(N, C, H, W\), not \(2, 4, 6\)"),
    ("input_shape", 24, ValueError, r"4 sizes \(N, C, H, W\), not 24"),
    ("input_shape", (2, 0, 6, 7), ValueError, r"input_shape\[1\] must be at least 1, not 0"),
    ("input_shape", (-2, 4, 6, 7), ValueError, r"input_shape\[0\] must be at least 0, not -2"),
    ("input_shape", (2, 4, 6.0, 7), TypeError, r"input_shape\[2\] must be a whole number"),
    ("input_shape", (2, 4, 6, 2**31), ValueError, r"\[3\] must be at most 2147483647, not 2147"),
    ("input_shape", (2, 4, 2, 1), ValueError, "reaches over 3×2 .* has only 2×1"),
    ("filter_shape", (0, 2, 3, 2), ValueError, r"filter_shape\[0\] must be at least 1, not 0"),
    ("filter_shape", [6, 2, 3], ValueError, r"4 sizes \(FN, C, FH, FW\), not \[6, 2, 3\]"),
]


@pytest.mark.parametrize(("argument", "value", "error", "says"), BAD_SIZES)
def test_a_size_out_of_range_is_named_with_its_bound(backend, argument, value, error, says):
    having = takes(argument)
    assert having
    for name in having:
        assert_refused(name, {argument: value}, error, says)


def winners(value, dtype=np.int64):
    return np.full((2, 4, 4, 6), value, dtype)


# function, changed arguments, what the sentence says: the shape found and the one that fits
MISFITS = [
    ("conv2d", {"W": zeros(6, 3, 3, 2)}, r"4 channels in 2 groups, 2 a group, .*\(6, 3, 3, 2\) "
     r"have 3; filters of shape \(6, 2, 3, 2\) would fit"),
    ("conv2d", {"x": zeros(2, 6, 6, 7)}, r"\(2, 6, 6, 7\) has 6 channels .*\(6, 3, 3, 2\) would"),
    ("conv2d", {"W": zeros(6, 2, 7, 2)}, "reaches over 7×2 pixels.* has only 6×7"),
    ("conv2d", {"b": zeros(5)}, r"b has shape \(5,\), but 6 filters .* shape \(6,\)"),
    ("conv2d_backward_data", {"input_shape": zeros(2, 4, 6, 7)}, r"input_shape must be "
     r"4 sizes \(N, C, H, W\), not an array \(2, 4, 6, 7\)"),
    ("conv2d_backward_data", {"dout": zeros(2, 6, 4, 7)}, r"dout has shape \(2, 6, 4, 7\), but the "
     r"convolution of input \(2, 4, 6, 7\) with W \(6, 2, 3, 2\) has shape \(2, 6, 4, 6\)"),
    ("conv2d_backward_weight", {"dout": zeros(1, 6, 4, 6)}, r"\(1, 6, 4, 6\), .*\(2, 6, 4, 6\)"),
    ("col2im", {"col": zeros(48, 23)}, r"col has shape \(48, 23\), but .* shape \(48, 24\)"),
    ("col2im", {"col": zeros(24, 48)}, r"col has shape \(24, 48\), but .* shape \(48, 24\)"),
    ("max_pool2d_backward", {"dout": zeros(2, 4, 6, 4)}, r"\(2, 4, 6, 4\), .*\(2, 4, 4, 6\)"),
    ("max_pool2d_backward", {"argmax": winners(0)[:1]}, r"argmax .*\(1, 4, 4, 6\), .*\(2, 4, 4, 6"),
    ("max_pool2d_backward", {"argmax": winners(6)}, "holds 6, but in a 3×2 .* from 0 to 5"),
    ("max_pool2d_backward", {"argmax": winners(-1)}, "holds -1, but in a 3×2 .* from 0 to 5"),
    ("max_pool2d_backward", {"argmax": winners(2**63, np.uint64)}, "holds 9223372036854775808"),
    ("avg_pool2d_backward", {"dout": zeros(2, 4, 1, 3), "stride": 4}, r"dout .*\(2, 4, 1, 3\), but "
     r".*\(2, 4, 6, 7\) gives \(2, 4, 1, 2\) \(or \(2, 4, 2, 2\) with ceil_mode\)"),
    ("conv2d_block", {"b": zeros(5)}, r"b has shape \(5,\), but 6 filters .* shape \(6,\)"),
    ("conv2d_block_backward", {"dout": zeros(2, 6, 2, 3)}, r"dout has shape \(2, 6, 2, 3\), but "
     r"the block of x \(2, 4, 6, 7\), W \(6, 2, 3, 2\) and pool \(2, 3\) has shape \(2, 6, 2, 2\)"),
    ("conv2d_block_backward", {"y": zeros(2, 6, 4, 6)}, r"y .*\(2, 6, 4, 6\), .*\(2, 6, 2, 2\)"),
    ("conv2d_block_backward", {"argmax": winners(0)}, r"argmax .*\(2, 4, 4, 6\), .*\(2, 6, 2, 2\)"),
    ("conv2d_block_backward", {"argmax": np.full((2, 6, 2, 2), 6)}, "holds 6, but in a 2×3 "),
    ("affine", {"W": zeros(3, 4)}, r"4 columns but .* 3 rows; W of shape \(4, 4\) would fit"),
    ("affine", {"b": zeros(4)}, r"b has shape \(4,\), but 3 outputs .* shape \(3,\)"),
    ("affine_backward", {"dout": zeros(5, 4)}, r"dout .*\(5, 4\), but .* has shape \(5, 3\)"),
    ("affine_backward", {"y": zeros(4, 3)}, r"y has shape \(4, 3\), but .* has shape \(5, 3\)"),
    ("relu_backward", {"dout": zeros(4, 5)}, r"dout .*\(4, 5\), but y has shape \(5, 4\)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "says"), MISFITS)
def test_shapes_that_do_not_fit_are_named_with_what_would(backend, name, changes, says):
    assert_refused(name, changes, ValueError, says)


def test_a_number_is_no_bias(backend):
    says = r"b must be an array \(6,\) for 6 filters, not 1"
    assert_refused("conv2d", {"b": 1}, TypeError, says)


@pytest.mark.parametrize(
    ("argmax", "says"),
    [(winners(1.0, float), "float64"), (winners(1, bool), "bool"), ([1], "list"), (None, "NoneT")],
)
def test_argmax_must_be_an_array_of_integers(backend, argmax, says):
    says = f"argmax must be the integer array that max_pool2d returned, not {says}"
    assert_refused("max_pool2d_backward", {"argmax": argmax}, TypeError, says)


def test_a_block_has_an_argmax_where_it_pools(backend):
    says = "integer array that conv2d_block returned, not NoneType"
    assert_refused("conv2d_block_backward", {"argmax": None}, TypeError, says)
    unpooled = {"pool": 1, "y": zeros(2, 6, 4, 6), "dout": zeros(2, 6, 4, 6)}
    says = r"argmax must be None where there is no pooling \(pool=1\), not ndarray"
    assert_refused("conv2d_block_backward", unpooled, TypeError, says)


@pytest.mark.parametrize(("N", "pad"), [(1, 2**22), (1, 2**31 - 1), (0, 2**31 - 1)])
@pytest.mark.parametrize("name", ["im2col", "max_pool2d", "avg_pool2d", "conv2d", "conv2d_block"])
def test_a_result_larger_than_any_memory_is_a_memory_error(name, pad, N, backend):
    """Padding makes 2^46 windows, more than one can map, or 2^64, more than one can count."""
    window = (zeros(1, 1, 1, 1),) if "conv" in name else (1, 1)
    with pytest.raises(MemoryError, match=r"shape \(\d+, "):
        getattr(pyconv, name)(zeros(N, 1, 1, 1), *window, pad=pad)


# stride, pad, dilation and pool; the input then has more columns than an integer counts.
FAR = [
    ((2**30, 1), ((2**29 - 4, 2**29 - 4), (2**30 - 1, 2**30)), (2**30 - 1, 2**31 - 1), 1),
    ((2**30, 1), ((2**29 - 4, 2**29 - 4), (2**30 + 57, 2**30 + 58)), (2**30 - 1, 2**31 - 1), 1),
    ((2**30, 2**30 - 1), ((2**30 - 1, 2**30 + 6), (2**30 - 1, 2**30 + 5)), 2**30, 2),
]


@pytest.mark.parametrize(("stride", "pad", "dilation", "pool"), FAR)
def test_windows_that_reach_too_far_are_a_memory_error(stride, pad, dilation, pool):
    x, W = zeros(1, 1, 8, 8), zeros(1, 1, 2, 2)
    with pytest.raises(MemoryError, match=r"not enough memory for .* or for the padded rows"):
        pyconv.conv2d_block(x, W, None, stride, pad, dilation, 1, pool)


@pytest.mark.parametrize("name", takes("stride"))
def test_a_stride_beyond_the_image_leads_nowhere_and_takes_no_room(name):
    gradients_of_one_window = {
        "col2im": {"col": zeros(2, 24) + 1},
        "conv2d_backward_data": {"dout": zeros(2, 6, 1, 1) + 1},
        "conv2d_backward_weight": {"dout": zeros(2, 6, 1, 1) + 1},
        "max_pool2d_backward": {"dout": zeros(2, 4, 1, 1) + 1, "argmax": winners(2)[..., :1, :1]},
        "avg_pool2d_backward": {"dout": zeros(2, 4, 1, 1) + 1},
        "conv2d_block": {"pool": 1},
        "conv2d_block_backward": {
            "pool": 1, "argmax": None, "y": zeros(2, 6, 1, 1) + 1, "dout": zeros(2, 6, 1, 1) + 1,
        },
    }  # fmt: skip
    arguments = accepted()[name] | gradients_of_one_window.get(name, {})
    with pyconv.use_backend("check"):
        getattr(pyconv, name)(**arguments, stride=2**31 - 1)


def test_same_padding_beyond_the_largest_size_is_refused():
    with pytest.raises(ValueError, match="'same' makes must be at most 2147483647, not 3221225"):
        pyconv.max_pool2d(zeros(1, 1, 1, 1), 2**31 - 1, 1, pad="same", dilation=3)


SEEDED = {
    "SimpleConvNet": lambda rng: pyconv.networks.SimpleConvNet((1, 9, 9), rng=rng),
    "DeepConvNet": lambda rng: pyconv.networks.DeepConvNet((1, 9, 9), rng=rng),
    "Dropout": lambda rng: pyconv.layers.Dropout(rng=rng),
    "Trainer": lambda rng: trainer(rng=rng),
    "gradient_check": lambda rng: pyconv.gradient_check.gradient_check(
        simple(0), zeros(1, 1, 8, 8), np.array([0]), samples=1, rng=rng
    ),
}


@pytest.mark.parametrize("seeded", SEEDED.values(), ids=SEEDED)
def test_a_seed_is_a_whole_number_of_at_least_0(seeded):
    for rng in (None, 0, 2**70, np.uint8(3), np.random.default_rng(1)):
        seeded(rng)
    for rng in (-1, np.int8(-1)):
        with pytest.raises(ValueError, match=r"^rng must be at least 0, not -1$"):
            seeded(rng)
    for rng, shown in (("a", "'a'"), (1.0, r"1\.0"), (True, "True"), ([1, 2], r"\[1, 2\]")):
        says = rf"^rng must be None, a whole number or a numpy\.random\.Generator, not {shown}$"
        with pytest.raises(TypeError, match=says):
            seeded(rng)


@pytest.mark.parametrize("n", [0, -1, 2**20])
def test_a_number_of_threads_out_of_range_is_refused(n):
    before = pyconv.get_num_threads()
    with pytest.raises(ValueError, match=f"threads must be at (least 1|most 1024), not {n}$"):
        pyconv.set_num_threads(n)
    assert pyconv.get_num_threads() == before


@pytest.mark.parametrize("n", [1.5, True, "2", None])
def test_a_number_of_threads_is_a_whole_number(n):
    with pytest.raises(TypeError, match=f"threads must be a whole number, not {n!r}"):
        pyconv.set_num_threads(n)
