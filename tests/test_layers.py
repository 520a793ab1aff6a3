"""Layers: gradients, shapes, dtypes, statistics, and what they answer to input they cannot take."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyconv
from pyconv import layers as nn


def spread(shape, seed=0):
    """Numbers from -2 to 2, none of them 0 and no two close: no maximum ties, no ReLU is near 0."""
    order = np.random.default_rng(seed).permutation(int(np.prod(shape)))
    return ((order + 0.3) / max(order.size, 1) * 4 - 2).reshape(shape)


def r(*shape):
    return spread(shape, seed=len(shape))


# name -> shape of a batch, and a layer for it; `d` makes an array of the dtype in question
CASES = {
    "Convolution": ((2, 4, 5, 6), lambda d: nn.Convolution(
        d(r(6, 2, 3, 2)), d(r(6)), (2, 1), ((1, 0), (0, 2)), (1, 2), groups=2)),
    "Convolution without b": ((2, 3, 5, 4), lambda d: nn.Convolution(d(r(2, 3, 3, 2)), pad="same")),
    "max Pooling": ((2, 3, 5, 6), lambda d: nn.Pooling(2, 2, stride=2)),
    "overlapping Pooling": ((2, 2, 6, 5), lambda d: nn.Pooling(3, 2, (1, 2), 1, dilation=(2, 1))),
    "average Pooling": ((2, 2, 6, 5), lambda d: nn.Pooling(3, 2, 2, 1, "average", ceil_mode=True)),
    "Affine": ((3, 4), lambda d: nn.Affine(d(r(4, 5)), d(r(5)))),
    "Affine on images, without b": ((2, 3, 2, 2), lambda d: nn.Affine(d(r(12, 4)), 0)),
    "Flatten": ((2, 3, 2, 2), lambda d: nn.Flatten()),
    "Relu": ((3, 7), lambda d: nn.Relu()),
    "Sigmoid": ((3, 2, 2, 2), lambda d: nn.Sigmoid()),
    "Dropout": ((4, 9), lambda d: nn.Dropout(0.4, rng=5)),
    "BatchNormalization": ((5, 3), lambda d: nn.BatchNormalization(d(r(3)), d(r(1, 3)[0]))),
    "BatchNormalization per channel": ((3, 2, 3, 2), lambda d: nn.BatchNormalization(
        d(r(2)), d(r(1, 2)[0]), running_mean=d(r(2)), running_var=d(np.array([0.5, 2])))),
    "BatchNormalization per activation": ((4, 2, 3, 2), lambda d: nn.BatchNormalization(
        d(r(12)), d(r(1, 12)[0]), per="activation")),
}  # fmt: skip


def case(name, dtype=np.float64):
    shape, make = CASES[name]
    return make(lambda array: array.astype(dtype)), spread(shape, seed=9).astype(dtype)


def refuses(call, error, *says):
    with pytest.raises(error) as caught:
        call()
    assert [word for word in says if word not in str(caught.value)] == [], str(caught.value)


every_layer = pytest.mark.parametrize("name", CASES)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
training_or_not = pytest.mark.parametrize("train_flg", [True, False])


def differences(function, array, h):
    """Central differences of a number in every entry of an array that it depends on."""
    out = np.empty_like(array)
    for index in np.ndindex(array.shape):
        before = array[index]
        array[index] = before + h
        above = function()
        array[index] = before - h
        out[index] = (above - function()) / (2 * h)
        array[index] = before
    return out


def assert_gradients_are_differences(layer, x, train_flg=True, h=1e-6, tolerance=1e-7):
    def loss():  # of a copy: statistics and random numbers start anew each time
        return (copy.deepcopy(layer).forward(x, train_flg) * dout).sum()

    used = copy.deepcopy(layer)
    dout = spread(used.forward(x, train_flg).shape, seed=7)
    pairs = [(used.backward(dout), x)]
    pairs += [(getattr(used, f"d{name}"), getattr(layer, name)) for name in layer.parameters]
    for gradient, array in pairs:
        numerical = differences(loss, array, h)
        assert gradient.shape == numerical.shape
        atol = tolerance * max(1, np.abs(numerical).max(initial=0))
        np.testing.assert_allclose(gradient, numerical, rtol=0, atol=atol)


@training_or_not
@every_layer
def test_gradients_are_those_of_numerical_differentiation(name, train_flg):
    assert_gradients_are_differences(*case(name), train_flg)


@st.composite
def windows(draw):
    """Height and width of images, and a window (taps, stride, pad, dilation) that fits them."""

    def axis():
        taps, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
        pads = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
        size = max(draw(st.integers(1, 6)), (taps - 1) * dilation + 1 - sum(pads))
        return size, taps, draw(st.integers(1, 3)), pads, dilation

    size, taps, stride, pads, dilation = zip(axis(), axis(), strict=True)
    return size, taps, stride, draw(st.sampled_from([pads, pads, "same"])), dilation


@settings(max_examples=60)
@given(windows(), st.sampled_from([(1, 2, 3), (2, 1, 4), (3, 1, 3)]), st.booleans())
def test_gradients_of_convolution_for_any_window(window, channels, bias):
    size, taps, stride, pad, dilation = window
    groups, C, FN = channels
    W, b = r(FN, C, *taps), r(FN) if bias else 0
    layer = nn.Convolution(W, b, stride, pad, dilation, groups)
    # a convolution is linear in x, W and b: a long step is exact
    assert_gradients_are_differences(layer, spread((2, groups * C, *size)), h=1, tolerance=1e-12)


@settings(max_examples=60)
@given(windows(), st.sampled_from(["max", "average"]), st.booleans(), st.booleans())
def test_gradients_of_pooling_for_any_window(window, mode, ceil_mode, count_include_pad):
    size, taps, stride, pad, dilation = window
    only = {"dilation": dilation} if mode == "max" else {"count_include_pad": count_include_pad}
    layer = nn.Pooling(*taps, stride, pad, mode, ceil_mode=ceil_mode, **only)
    x = spread((2, 2, *size))
    if np.isfinite(layer.forward(x)).all():  # the maximum of padding alone, -inf, has no gradient
        assert_gradients_are_differences(layer, x)


@training_or_not
@every_dtype
@every_layer
def test_backends_and_memory_layouts_agree_and_keep_dtype_and_arguments(name, dtype, train_flg):
    results = []
    for backend, order in (("native", "C"), ("reference", "C"), ("native", "F")):
        layer, x = case(name, dtype)
        shape = (len(x), *layer.output_shape(x.shape[1:]))
        x, dout = np.asarray(x, order=order), np.asarray(spread(shape).astype(dtype), order=order)
        given_bytes = x.tobytes(), dout.tobytes()
        with pyconv.use_backend(backend):
            y, dx = layer.forward(x, train_flg), layer.backward(dout)
        assert (x.tobytes(), dout.tobytes()) == given_bytes
        assert (y.shape, dx.shape, y.flags.c_contiguous) == (shape, x.shape, True)
        results.append([y, dx, *(getattr(layer, f"d{name}") for name in layer.parameters)])
        assert all(result.dtype == dtype for result in results[-1])
    rounding = 1e-12 if dtype == np.float64 else 1e-4
    for other in results[1:]:
        for ours, theirs in zip(results[0], other, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=rounding, atol=rounding)


@every_layer
def test_shape_cost_and_repr_need_no_data(name):
    layer, x = case(name)
    shape = x.shape[1:]
    foretold = layer.output_shape(shape), layer.multiply_adds(shape)
    shown = {name: array.shape for name, array in layer.arrays().items()} | layer.settings()
    assert all(f"{name}={value!r}" in repr(layer) for name, value in shown.items())
    products = 0
    if isinstance(layer, nn.Convolution):
        of_a_group = x[:1, : x.shape[1] // layer.groups]
        window = (*layer.W.shape[2:], layer.stride, layer.pad, layer.dilation)
        products = pyconv.im2col(of_a_group, *window).size * len(layer.W)
    elif isinstance(layer, nn.Affine):
        products = x[0].size * layer.W.shape[1]
    assert foretold == (layer.forward(x).shape[1:], products)


@every_layer
def test_arrays_and_settings_build_a_layer_anew_and_the_arrays_stay_the_callers(name):
    layer, x = case(name)
    arrays, before = layer.arrays(), layer.forward(x, train_flg=False)
    again = type(layer)(**arrays, **layer.settings())
    np.testing.assert_array_equal(again.forward(x, train_flg=False), before)
    assert all(getattr(again, name) is array for name, array in arrays.items())
    for parameter in again.parameters:
        arrays[parameter] *= 2  # in place, as an optimizer does
    after = again.forward(x, train_flg=False)
    np.testing.assert_allclose(after, 2 * before if again.parameters else before)


@pytest.mark.parametrize("no_bias", [0, 0.0, None])
def test_a_first_convolution_may_do_without_b_and_without_the_gradient_of_the_images(no_bias):
    x, dout = r(1, 3, 4, 4), r(1, 2, 2, 2)
    layer = nn.Convolution(r(2, 3, 3, 3), no_bias, need_dx=False)
    np.testing.assert_array_equal(layer.forward(x), pyconv.conv2d(x, layer.W))
    assert (layer.backward(dout), layer.parameters) == (None, ("W",))
    np.testing.assert_array_equal(layer.dW, pyconv.conv2d_backward_weight(x, dout, (2, 3, 3, 3))[0])


ACTIVATIONS = [
    (nn.Relu(), [0, 0, 0, 0, 1e-30, 1000, np.inf, np.nan], [0, 0, 0, 0, 1, 1, 1, 1]),
    (nn.Sigmoid(), [0, 0, 0.5, 0.5, 0.5, 1, 1, np.nan], [0, 0, 0.25, 0.25, 0.25, 0, 0, np.nan]),
]


@every_dtype
@pytest.mark.parametrize(("layer", "y", "dx"), ACTIVATIONS)
def test_activations_of_extreme_numbers_are_exact_and_give_no_warning(layer, y, dx, dtype):
    x = np.array([[-np.inf, -1000, -0.0, 0, 1e-30, 1000, np.inf, np.nan]], dtype)
    np.testing.assert_array_equal(layer.forward(x), np.array([y], dtype))
    np.testing.assert_array_equal(layer.backward(np.ones_like(x)), [dx])


def test_dropout_drops_its_ratio_and_scales_in_prediction():
    layer, x = nn.Dropout(0.3, rng=1), np.ones((100, 200), np.float32)
    y = layer.forward(x)
    assert set(np.unique(y)) == {0, 1}
    assert abs(y.mean() - 0.7) < 0.01
    np.testing.assert_array_equal(layer.backward(x), y, "backward drops the same")
    assert (layer.forward(x) != y).any()
    np.testing.assert_array_equal(nn.Dropout(0.3, rng=1).forward(x), y, "of the same seed")
    predicted = layer.forward(x, train_flg=False), layer.backward(x)
    np.testing.assert_allclose(predicted, 0.7, rtol=1e-6)


@pytest.mark.parametrize(
    ("per", "shape", "axes"),
    [("channel", (4, 2, 3, 5), (0, 2, 3)), ("activation", (4, 2, 3, 5), 0), ("channel", (6, 3), 0)],
)
def test_batch_normalization_is_the_published_formula(per, shape, axes):
    x = spread(shape)
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    gamma, beta = spread((mean.size,), 1), spread((mean.size,), 2)
    layer = nn.BatchNormalization(gamma, beta, momentum=0.8, per=per)

    def formula(mean, var):
        scale, shift = gamma.reshape(mean.shape), beta.reshape(mean.shape)
        return scale * (x - mean) / np.sqrt(var + 1e-6) + shift

    np.testing.assert_allclose(layer.forward(x), formula(mean, var))
    running = 0.2 * mean, 0.8 + 0.2 * var  # from 0 and 1
    np.testing.assert_allclose(layer.forward(x, train_flg=False), formula(*running))
    unchanged = [layer.running_mean, layer.running_var]
    np.testing.assert_allclose(unchanged, [statistic.ravel() for statistic in running])


@every_layer
def test_an_empty_batch_works_where_it_has_a_meaning(name):
    layer, x = case(name)
    if isinstance(layer, nn.BatchNormalization):
        refuses(lambda: layer.forward(x[:0]), ValueError, "an empty batch has no mean")
    y = layer.forward(x[:0], train_flg=False)
    assert y.shape == (0, *layer.output_shape(x.shape[1:]))
    assert layer.backward(y).shape == (0, *x.shape[1:])
    assert all((getattr(layer, f"d{parameter}") == 0).all() for parameter in layer.parameters)


@every_layer
def test_backward_refuses_what_forward_did_not_lead_to(name):
    layer, x = case(name)
    refuses(lambda: layer.backward(x), RuntimeError, "needs a forward before", "call forward(x)")
    y = layer.forward(x)
    refuses(lambda: layer.backward(y[:1]), ValueError, "dout", str(y[:1].shape), str(y.shape))
    refuses(lambda: layer.backward(y.astype("f")), TypeError, "dout", "float32", "float64")
    refuses(lambda: layer.backward(y.astype(int)), TypeError, "dout has dtype int64")
    assert layer.backward(y).shape == x.shape


@every_layer
def test_forward_refuses_what_it_cannot_compute(name):
    layer, x = case(name)
    refuses(lambda: layer.forward(x.astype(int)), TypeError, "x has dtype int64", "float32 or floa")
    refuses(lambda: layer.forward(x.tolist()), TypeError, "x must be a NumPy array, not list")
    if not isinstance(layer, nn.Relu | nn.Sigmoid | nn.Dropout):
        refuses(lambda: layer.forward(x.ravel()), ValueError, "x must", f"({x.size},)")
    if layer.parameters:
        wide = np.concatenate([x, x], axis=1)
        size = str(wide[0].size if "Affine" in name or "activ" in name else wide.shape[1])
        refuses(lambda: layer.forward(x.astype("f")), TypeError, "one dtype", "float32", "float64")
        refuses(lambda: layer.forward(wide), ValueError, size)
        refuses(lambda: layer.output_shape(wide.shape[1:]), ValueError, size, str(wide.shape[1:]))


@pytest.mark.parametrize("name", ["Convolution", "Affine"])
def test_whether_a_gradient_is_wanted_is_said_by_true_or_false_alone(name):
    layer, x = case(name)
    y = layer.forward(x)
    refuses(lambda: layer.backward(y, need_dx="no"), TypeError, "need_dx must be True or", "'no'")
    assert layer.dW is None
    assert layer.backward(y, need_dx=np.False_) is None


W4, W2, V = np.ones((4, 2, 3, 3)), np.ones((4, 3)), np.ones(3)
REFUSED = [
    (lambda: nn.Convolution(W2), ValueError, "W must have 4 axes", "(4, 3)"),
    (lambda: nn.Convolution(W4, V), ValueError, "b has shape (3,), but 4 filters"),
    (lambda: nn.Convolution(W4, np.ones(4, "f")), TypeError, "W is float64, b is float32"),
    (lambda: nn.Convolution(W4, 0, 0), ValueError, "stride must be at least 1, not 0"),
    (lambda: nn.Convolution(W4, groups=3), ValueError, "groups=3 must divide the 4 filters"),
    (lambda: nn.Convolution(W4, need_dx="no"), TypeError, "need_dx must be True or False", "'no'"),
    (lambda: nn.Affine(W2, np.ones(4)), ValueError, "b has shape (4,), but 3 outputs"),
    (lambda: nn.Pooling(2, 0), ValueError, "pool_w must be at least 1, not 0"),
    (lambda: nn.Pooling(3, 2).output_shape((1, 2, 2)), ValueError, "pool 3×2", "smaller pool"),
    (lambda: nn.Pooling(2, 2, mode="min"), ValueError, "'max' or 'average', not 'min'"),
    (lambda: nn.Pooling(2, 2, mode="average", dilation=2), ValueError, "dilation is 2"),
    (lambda: nn.Pooling(2, 2, count_include_pad=True), ValueError, "for average pooling"),
    (lambda: nn.Pooling(2, 2, ceil_mode="no"), TypeError, "True or False, not 'no'"),
    (lambda: nn.Dropout(1.0), ValueError, "at least 0 and below 1, not 1.0"),
    (lambda: nn.BatchNormalization(V, np.ones(4)), ValueError, "beta has shape (4,)", "(3,)"),
    (lambda: nn.BatchNormalization(V, V.astype("f")), TypeError, "gamma is float64", "float32"),
    (lambda: nn.BatchNormalization(V, V, momentum=2), ValueError, "between 0 and 1, not 2"),
    (lambda: nn.BatchNormalization(V, V, per="row"), ValueError, "or 'activation', not 'row'"),
]


@pytest.mark.parametrize("refused", REFUSED)
def test_a_layer_that_could_not_work_is_refused_when_it_is_made(refused):
    refuses(*refused)
