"""The gradient check passes right networks, catches wrong gradients, and leaves kinks out."""

import pickle
import re

import numpy as np
import pytest

from pyconv import layers as nn
from pyconv import ops
from pyconv.gradient_check import gradient_check
from pyconv.networks import DeepConvNet, Sequential, SimpleConvNet


def r(*shape, scale=0.4):
    return np.random.default_rng(len(shape)).normal(scale=scale, size=shape)


def norm(D, per="channel"):
    return nn.BatchNormalization(1 + r(D), r(D), per=per)


def own(*layers):
    return Sequential(layers, input_dim=(1, 12, 12))


FEW = {f"conv_param_{i}": {"filter_num": 2} for i in range(1, 7)} | {"hidden_size": 6}
NETWORKS = {
    "simple": lambda: SimpleConvNet((1, 12, 12), {"filter_num": 3}, 6, 4, rng=0),
    "deep": lambda: DeepConvNet((1, 12, 12), **FEW, output_size=4, rng=0),
    "batch normalization": lambda: own(
        nn.Convolution(r(3, 1, 3, 3), r(3)), norm(3), nn.Relu(), nn.Pooling(2, 2, 2),
        nn.Affine(r(75, 5), r(5)), norm(5), nn.Relu(), nn.Affine(r(5, 4), r(4)),
    ),
    "sigmoid and average pooling": lambda: own(
        nn.Convolution(r(3, 1, 3, 3), r(3), stride=2, pad="same"), nn.Sigmoid(), nn.Flatten(),
        norm(108, "activation"), nn.Affine(r(108, 4)),
    ),
    "groups, dropout and windows that overlap": lambda: own(
        nn.Pooling(3, 3, 2, 1, "average"), nn.Convolution(r(4, 1, 2, 2), r(4), dilation=2),
        nn.Relu(), nn.Convolution(r(6, 2, 2, 2), r(6), pad=((1, 0), (0, 2)), groups=2), nn.Relu(),
        nn.Pooling(3, 2, ceil_mode=True), nn.Dropout(0.3, rng=0), nn.Affine(r(48, 4), r(4)),
    ),
}  # fmt: skip
every_network = pytest.mark.parametrize("name", NETWORKS)


def batch(N=3, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, 1, 12, 12)), rng.integers(0, 4, N)


def failed(report):
    return [parameter.name for parameter in report if not parameter.passed]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_network
def test_a_right_network_passes(name, dtype):
    network, (x, t) = NETWORKS[name]().astype(dtype), batch()
    report = gradient_check(network, x, t, samples=20)
    assert report.passed, f"\n{report}"
    assert [(p.name, p.shape) for p in report] == [(n, p.shape) for n, p in network.params.items()]
    for parameter in report:
        size = np.prod(parameter.shape)
        assert 0 < parameter.checked <= min(20, size)
        assert parameter.checked + parameter.kinks <= size
        assert 0 <= parameter.mean_error <= parameter.max_error <= 1e-5


@every_network
def test_the_network_and_the_batch_stay_as_they_were(name):
    network, (x, t) = NETWORKS[name](), batch()
    network.gradient(x.astype(network.dtype), t)  # something in every layer's memory
    before = pickle.dumps((network, x, t))
    gradient_check(network, x, t, samples=3)
    assert pickle.dumps((network, x, t)) == before


def test_float32_and_float64_batches_labels_and_one_hot_make_the_same_report():
    network, (x, t) = NETWORKS["simple"](), batch()
    x = x.astype(np.float32)
    report = gradient_check(network, x, t)
    assert gradient_check(network, x.astype(np.float64), np.eye(4)[t]) == report
    assert gradient_check(network, x, t, rng=1) != report, "other entries are compared"


def scaled_weights(layer, backward, dout):
    dx = backward(layer, dout)
    layer.dW *= 1.001
    return dx


def one_wrong_filter(layer, backward, dout):
    dx = backward(layer, dout)
    layer.dW[1] = layer.dW[0]
    return dx


def no_bias(layer, backward, dout):
    dx = backward(layer, dout)
    layer.db[:] = 0
    return dx


def statistics_held_fixed(layer, backward, dout):
    layer._trained = False
    return backward(layer, dout)


# layer, its broken backward, and the parameters of a network whose gradients are wrong by it
BROKEN = {
    "dW 0.1 % too large": ("Convolution", scaled_weights, "simple", ["W1"]),
    "dW of a wrong filter": ("Convolution", one_wrong_filter, "simple", ["W1"]),
    "db left out": ("Affine", no_bias, "simple", ["b2", "b3"]),
    "nothing masked": ("Relu", lambda layer, backward, dout: dout, "simple", ["W1", "b1", "W2"]),
    "dx 0.1 % too large": ("Affine", lambda layer, backward, dout: 1.001 * backward(layer, dout),
                           "simple", ["W1", "b1", "W2", "b2"]),
    "dx not a number": ("Pooling", lambda layer, backward, dout: backward(layer, dout) * np.nan,
                        "simple", ["W1", "b1"]),
    "nothing dropped": ("Dropout", lambda layer, backward, dout: dout, "deep", ["W7", "b8"]),
    "mean and variance held fixed": ("BatchNormalization", statistics_held_fixed,
                                     "batch normalization", ["W1", "W3"]),
    "a sigmoid's slope wrong": ("Sigmoid", lambda layer, backward, dout: dout * layer.out,
                                "sigmoid and average pooling", ["W1", "b1"]),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_backward_does_not_pass(fault, monkeypatch):
    layer, broken, network, wrong = BROKEN[fault]
    backward = getattr(nn, layer).backward
    monkeypatch.setattr(
        getattr(nn, layer), "backward", lambda self, dout: broken(self, backward, dout)
    )
    report = gradient_check(NETWORKS[network](), *batch(), samples=20)
    assert not report.passed
    assert set(wrong) <= set(failed(report)), f"\n{report}"
    if layer in ("Convolution", "Pooling"):  # nothing above the fault is touched by it
        assert failed(report) == wrong


@pytest.mark.parametrize("size", [1, 0.01])
def test_the_error_is_relative_to_the_largest_gradient_however_small(size, monkeypatch):
    network, (x, t) = NETWORKS["simple"](), batch()
    network.params["W3"] *= np.float32(size)  # scales the gradient of W1
    assert gradient_check(network, x, t, samples=75).passed
    right = nn.Convolution.backward
    monkeypatch.setattr(
        nn.Convolution, "backward", lambda self, dout: scaled_weights(self, right, dout)
    )
    report = gradient_check(network, x, t, samples=75)
    assert failed(report) == ["W1"]
    assert size < 1 or report.parameters[0].max_error == pytest.approx(1e-3, rel=0.01)


@pytest.mark.parametrize("kernel", ["max_pool2d_backward", "conv2d_backward_data"])
def test_a_gradient_that_goes_to_the_neighbouring_pixel_does_not_pass(kernel, monkeypatch):
    right = getattr(ops, kernel)
    monkeypatch.setattr(ops, kernel, lambda *args: np.roll(right(*args), 1, axis=3))
    network = NETWORKS["deep"]()
    network.fused = False
    report = gradient_check(network, *batch(), samples=20)
    assert "W1" in failed(report)
    assert not {"W7", "W8"} & set(failed(report))


def test_a_loss_that_forgets_to_divide_by_n_does_not_pass(monkeypatch):
    backward = nn.SoftmaxWithLoss.backward
    monkeypatch.setattr(nn.SoftmaxWithLoss, "backward", lambda self: 3 * backward(self))
    report = gradient_check(NETWORKS["simple"](), *batch(3), samples=5)
    assert len(failed(report)) == len(report.parameters)


def on_a_kink(W, b, *after):
    """A 1×1 convolution with a border of padding, where its output is b alone."""
    layers = [nn.Convolution(np.array(W).reshape(-1, 1, 1, 1), np.array(b), pad=1), *after]
    *_, shape = Sequential(layers, (1, 2, 2)).output_shapes().values()
    x = np.array([[[[1.0, -0.5], [-2.0, 0.7]]], [[[0.3, 1.2], [0.8, -0.4]]]])
    affine = nn.Affine(r(int(np.prod(shape)), 3))
    return Sequential([*layers, affine], (1, 2, 2)), x, np.array([0, 2])


def counts(report, name):
    (parameter,) = [p for p in report if p.name == name]
    return parameter.checked, parameter.kinks, parameter.passed


def test_a_relu_that_flips_is_left_out():
    """In the border the input of the ReLU is b: with 1e-9 the shortest step leads across 0."""
    report = gradient_check(*on_a_kink([0.9, -0.8, 0.7], [1e-9, 0.5, -0.3], nn.Relu()))
    assert counts(report, "b1") == (2, 1, True)
    assert counts(report, "W1") == (3, 0, True)
    assert report.passed


def test_an_argmax_that_flips_is_left_out():
    """In a window of border and one pixel, 1e-9 x + b wins over b or not, by the sign of W."""
    report = gradient_check(*on_a_kink([1e-9, -0.8, 0.7], [0.2, 0.5, -0.3], nn.Pooling(2, 2, 2)))
    assert counts(report, "W1") == (2, 1, True)
    assert counts(report, "b1") == (3, 0, True)
    assert report.passed


def test_a_parameter_of_nothing_but_kinks_does_not_pass():
    report = gradient_check(*on_a_kink([0.9, -0.8], [1e-9, -1e-9], nn.Relu()))
    assert counts(report, "b1") == (0, 2, False)
    assert failed(report) == ["b1"]
    assert not report.passed


def test_a_shorter_step_stays_on_this_side_of_a_kink():
    report = gradient_check(*on_a_kink([0.9, -0.8], [3e-5, -3e-7], nn.Relu()))
    assert counts(report, "b1") == (2, 0, True)


def test_fresh_networks_pass_on_images_that_are_empty_in_part():
    """With b = 0 every ReLU sits on its kink there; only then are parameters moved away from 0."""
    x, t = batch()
    x[:, :, :, 3:] = 0
    for name in ("simple", "deep"):
        report = gradient_check(NETWORKS[name](), x, t, samples=10)
        assert report.passed, f"\n{report}"


def test_large_pixels_pass_where_the_loss_is_curved_too_strongly_for_a_long_step():
    x, t = batch()
    network = own(nn.Convolution(r(3, 1, 3, 3)), nn.Sigmoid(), nn.Affine(r(300, 4), r(4)))
    report = gradient_check(network, np.abs(x) * 255, t, samples=20)
    assert report.passed, f"\n{report}"


def test_the_report_prints_as_a_table():
    report = gradient_check(*on_a_kink([0.9, -0.8], [1e-9, -1e-9], nn.Relu()))
    rows = [re.split(r" {2,}| (?=[pF]\w+$)", line) for line in str(report).splitlines()]
    worst = {p.name: (f"{p.max_error:.1e}", f"{p.mean_error:.1e}") for p in report}
    assert rows == [
        ["parameter", "shape", "checked kinks", "max error mean error"],
        ["W1", "(2, 1, 1, 1)", "2", "0", *worst["W1"], "passed"],
        ["b1", "(2,)", "0", "2", "0.0e+00", "0.0e+00", "FAILED"],
        ["W2", "(32, 3)", "50", "0", *worst["W2"], "passed"],
    ]


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"network": None}, TypeError, r"network must be a .*Sequential, not NoneType"),
        ({"samples": 0}, ValueError, "samples must be at least 1, not 0"),
        ({"samples": 2.5}, TypeError, r"samples must be a whole number, not 2\.5"),
        (
            {"x": batch()[0][:, :, 1:]},
            ValueError,
            r"x has shape \(3, 1, 11, 12\), but SimpleConvNet",
        ),
        ({"x": batch()[0].astype(int)}, TypeError, "x has dtype int64"),
        ({"t": np.array([0, 1, 4])}, ValueError, r"t\[2\] is 4, but labels run from 0 to 3"),
        ({"t": np.array([0, 1])}, ValueError, r"t has shape \(2,\), but 3 samples"),
        ({"network": own(nn.Relu(), nn.Flatten())}, ValueError, "Sequential has no parameters"),
    ],
)
def test_what_cannot_be_checked_is_refused(change, error, says):
    x, t = batch()
    with pytest.raises(error, match=says):
        gradient_check(**{"network": NETWORKS["simple"](), "x": x, "t": t} | change)
