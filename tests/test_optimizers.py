"""Optimizers: the published formulas, in place, on any network."""

import copy

import numpy as np
import pytest

from pyconv import layers as nn
from pyconv import use_backend
from pyconv.networks import Sequential
from pyconv.optimizers import (
    OPTIMIZERS,
    SGD,
    AdaGrad,
    Adam,
    Momentum,
    Nesterov,
    RMSprop,
)

# The formulas, stated once more: each takes a parameter, its gradient, what it remembered (0 at
# first) and the number of the step, and returns the new parameter and what it remembers.


def sgd(w, g, s, t):
    return w - 0.1 * g, s


def momentum(w, g, v, t):
    v = 0.8 * v - 0.1 * g
    return w + v, v


def nesterov(w, g, v, t):
    return w + 0.8 * 0.8 * v - (1 + 0.8) * 0.1 * g, 0.8 * v - 0.1 * g


def adagrad(w, g, h, t):
    h = h + g**2
    return w - 0.1 * g / (np.sqrt(h) + 1e-7), h


def rmsprop(w, g, h, t):
    h = 0.7 * h + 0.3 * g**2
    return w - 0.1 * g / (np.sqrt(h) + 1e-7), h


def adam(w, g, s, t):
    m, v = s if t > 1 else (0, 0)
    m, v = 0.7 * m + 0.3 * g, 0.95 * v + 0.05 * g**2
    lr = 0.1 * np.sqrt(1 - 0.95**t) / (1 - 0.7**t)
    return w - lr * m / (np.sqrt(v) + 1e-7), (m, v)


PUBLISHED = {
    "sgd": (lambda: SGD(0.1), sgd),
    "momentum": (lambda: Momentum(0.1, 0.8), momentum),
    "nesterov": (lambda: Nesterov(0.1, 0.8), nesterov),
    "adagrad": (lambda: AdaGrad(0.1), adagrad),
    "rmsprop": (lambda: RMSprop(0.1, 0.7), rmsprop),
    "adam": (lambda: Adam(0.1, 0.7, 0.95), adam),
}
every_optimizer = pytest.mark.parametrize("name", PUBLISHED)


def parameters(dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return {n: rng.normal(size=size).astype(dtype) for n, size in (("W1", (4, 3)), ("b1", 3))}


@every_optimizer
def test_updates_follow_the_published_formula(name):
    make, formula = PUBLISHED[name]
    optimizer, params = make(), parameters()
    expected, remembered = dict(parameters()), dict.fromkeys(params, 0)
    for step in range(1, 8):
        grads = parameters(seed=step)
        if step == 4:
            grads["b1"][:] = 0
        optimizer.update(params, grads)
        for key in params:
            expected[key], remembered[key] = formula(
                expected[key], grads[key], remembered[key], step
            )
            np.testing.assert_allclose(params[key], expected[key], rtol=1e-12, atol=1e-14)
    assert optimizer.steps == 7


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_optimizer
def test_parameters_change_in_place_and_keep_their_dtype(name, dtype):
    optimizer, params, grads = PUBLISHED[name][0](), parameters(dtype), parameters(dtype, 1)
    arrays, wide = dict(params), parameters(dtype)["W1"].astype(np.float64)
    given = {key: grad.tobytes() for key, grad in grads.items()}
    params["W1"] = arrays["W1"] = np.asfortranarray(params["W1"])
    for _ in range(3):
        optimizer.update(params, grads)
    assert all(params[key] is array for key, array in arrays.items())
    assert all(array.dtype == dtype for array in arrays.values())
    assert all(kept.dtype == dtype for q in optimizer.state.values() for kept in q.values())
    assert {key: grad.tobytes() for key, grad in grads.items()} == given
    twin, copied = PUBLISHED[name][0](), {"W1": wide}
    for _ in range(3):
        twin.update(copied, {"W1": grads["W1"].astype(np.float64)})
    np.testing.assert_allclose(arrays["W1"], wide, rtol=1e-4, atol=1e-5)


ARRANGED = {
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "strided": lambda a: a.repeat(2, axis=1)[:, ::2],
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "misaligned": lambda a: np.frombuffer(
        bytearray(b"?" + a.tobytes()), a.dtype, a.size, offset=1
    ).reshape(a.shape),
    "of a subclass": lambda a: a.view(np.recarray),
    "half floats": lambda a: a.astype(np.float16),
    "extended floats": lambda a: a.astype(np.longdouble),
    "on the reference backend": np.copy,
}


@pytest.mark.parametrize("arranged", ARRANGED)
@every_optimizer
def test_what_the_compiled_step_does_not_take_numpy_updates(name, arranged):
    """Parameters, gradients, or both: such a step is as good as one that is compiled."""
    fast, plain = PUBLISHED[name][0](), parameters(np.float32)
    for step in range(3):
        fast.update(plain, parameters(np.float32, step))
    change = ARRANGED[arranged]
    for which in ("both",) if "floats" in arranged or "byte" in arranged else ("w", "g", "both"):
        slow, params = PUBLISHED[name][0](), parameters(np.float32)
        if which != "g":
            params["W1"] = change(params["W1"])
        array = params["W1"]
        with use_backend("reference" if "reference" in arranged else "native"):
            for step in range(3):
                grads = parameters(np.float32, step)
                if which != "w":
                    grads["W1"] = change(grads["W1"])
                slow.update(params, grads)
        assert params["W1"] is array
        tolerance = 0.02 if arranged == "half floats" else 1e-5
        np.testing.assert_allclose(array, plain["W1"], rtol=tolerance, atol=tolerance)


@every_optimizer
def test_a_parameter_may_be_its_own_gradient(name):
    """The gradient of w²/2: weight decay."""
    optimizer, params = PUBLISHED[name][0](), parameters()
    expected = parameters()
    PUBLISHED[name][0]().update(expected, parameters())
    optimizer.update(params, params)
    for key in params:
        np.testing.assert_allclose(params[key], expected[key], rtol=1e-12)


@every_optimizer
def test_a_quadratic_is_minimised(name):
    """f(w) = sum of a (w - 1)^2 / 2, whose curvatures a are ten times apart."""
    optimizer, lr = PUBLISHED[name][0](), 1 if name == "adagrad" else 0.1
    a, params = np.array([0.5, 1, 5]), {"w": np.array([3.0, -2.0, 0.0])}
    for step in range(600):
        optimizer.lr = lr if step < 300 else lr / 10  # it may be changed on the way
        optimizer.update(params, {"w": a * (params["w"] - 1)})
    np.testing.assert_allclose(params["w"], 1, atol=0.01)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


MISFITS = {
    "no gradient": ({}, {"b1": None}, KeyError, "no gradient for parameter 'b1', only for"),
    "another shape": ({}, {"b1": np.zeros(4)}, ValueError, r"'b1' is float64 \(3,\), .*t64 \(4,\)"),
    "a shape that would broadcast": ({}, {"W1": np.zeros(3)}, ValueError, r"'W1' .*its gradient"),
    "another dtype": ({}, {"b1": np.zeros(3, "f")}, ValueError, r"gradient is float32 \(3,\)"),
    "a list": ({}, {"b1": [0.0, 0.0, 0.0]}, TypeError, "gradient of 'b1' .* floats, not list"),
    "a read-only parameter": ({"b1": read_only(np.ones(3))}, {}, ValueError, "'b1' is read-only"),
    "whole numbers": (
        {"b1": np.ones(3, int)}, {"b1": np.ones(3, int)}, TypeError, "'b1' .* floats, not int64"
    ),
}  # fmt: skip


@pytest.mark.parametrize("misfit", MISFITS)
@every_optimizer
def test_what_does_not_fit_is_refused_and_changes_nothing(name, misfit):
    new_params, new_grads, error, says = MISFITS[misfit]
    optimizer = PUBLISHED[name][0]()
    optimizer.update(parameters(), parameters(seed=1))
    params, grads = parameters() | new_params, parameters(seed=2) | new_grads
    before = copy.deepcopy((params, optimizer.state))
    with pytest.raises(error, match=says):
        optimizer.update(params, {key: grad for key, grad in grads.items() if grad is not None})
    np.testing.assert_equal((params, optimizer.state), before)
    assert optimizer.steps == 1


@pytest.mark.parametrize("name", ["momentum", "nesterov", "adagrad", "rmsprop", "adam"])
def test_an_optimizer_that_remembers_another_network_says_so(name):
    optimizer = PUBLISHED[name][0]()
    optimizer.update({"W": np.ones(3)}, {"W": np.ones(3)})
    params = {"V": np.ones(2), "W": np.ones((4, 3))}  # a velocity (3,) would broadcast
    with pytest.raises(ValueError, match=r"'W' is float64 \(4, 3\), .* remembers float64 \(3,\)"):
        optimizer.update(params, params)
    assert (params["V"] == 1).all()


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda kind: kind(lr=-0.1), ValueError, r"lr must be at least 0 and finite, not -0\.1"),
        (lambda kind: kind(lr=np.nan), ValueError, "lr must be at least 0 and finite, not nan"),
        (lambda kind: kind(lr=np.inf), ValueError, "lr must be at least 0 and finite, not inf"),
        (lambda kind: kind(lr="fast"), TypeError, "lr must be a number, not 'fast'"),
        (lambda kind: kind(lr=True), TypeError, "lr must be a number, not True"),
    ],
)
@pytest.mark.parametrize("kind", OPTIMIZERS.values())
def test_a_learning_rate_out_of_range_is_refused(kind, make, error, says):
    with pytest.raises(error, match=says):
        make(kind)


@pytest.mark.parametrize(
    ("kind", "argument"),
    [
        (Momentum, "momentum"),
        (Nesterov, "momentum"),
        (RMSprop, "decay_rate"),
        (Adam, "beta1"),
        (Adam, "beta2"),
    ],
)
def test_other_arguments_out_of_range_are_refused(kind, argument):
    for value in (1, 1.5, -0.1, np.nan):
        with pytest.raises(ValueError, match=f"{argument} must be at least 0 and below 1, not"):
            kind(**{argument: value})
    with pytest.raises(TypeError, match=f"{argument} must be a number, not None"):
        kind(**{argument: None})
    assert kind(**{argument: np.float32(0.5)}).settings()[argument] == 0.5


def r(*shape):
    return np.random.default_rng(len(shape)).normal(scale=0.3, size=shape).astype(np.float32)


def norm(D, per="channel"):
    return nn.BatchNormalization(np.ones(D, np.float32), np.zeros(D, np.float32), per=per)


NETWORKS = {
    "average pooling": lambda: [
        nn.Convolution(r(4, 2, 3, 3), r(4)), nn.Relu(), nn.Pooling(2, 2, 2, mode="average"),
        nn.Affine(r(36, 3)),
    ],
    "batch normalization": lambda: [
        nn.Convolution(r(4, 2, 3, 3)), norm(4), nn.Relu(), nn.Pooling(2, 2, 2), nn.Flatten(),
        nn.Affine(r(36, 6)), norm(6), nn.Relu(), nn.Affine(r(6, 3), r(3)),
    ],
    "batch normalization as in the book": lambda: [
        nn.Convolution(r(4, 2, 3, 3)), norm(144, "activation"), nn.Relu(), nn.Affine(r(144, 3))
    ],
    "sigmoid and dropout": lambda: [
        nn.Flatten(), nn.Affine(r(128, 20), r(20)), nn.Sigmoid(), nn.Dropout(0.2, rng=0),
        nn.Affine(r(20, 3), r(3)),
    ],
    "groups": lambda: [
        nn.Convolution(r(4, 1, 3, 3), r(4), pad="same", groups=2), nn.Relu(),
        nn.Convolution(r(6, 4, 3, 3), r(6), stride=2, dilation=2), nn.Relu(), nn.Affine(r(24, 3)),
    ],
}  # fmt: skip


@pytest.mark.parametrize("network", NETWORKS)
@every_optimizer
def test_a_step_makes_the_loss_of_any_network_fall(name, network):
    network = Sequential(NETWORKS[network](), input_dim=(2, 8, 8))
    x = np.random.default_rng(0).normal(size=(6, 2, 8, 8)).astype(np.float32)
    t = np.array([0, 1, 2, 0, 1, 2])
    start = copy.deepcopy(network)
    optimizer = PUBLISHED[name][0]()
    optimizer.lr = 1e-3
    optimizer.update(network.params, network.gradient(x, t))
    for dropout in (layer for layer in network.layers.values() if isinstance(layer, nn.Dropout)):
        dropout.rng = np.random.default_rng(0)  # drops what it dropped before the step
    assert network.loss(x, t) < start.loss(x, t)
