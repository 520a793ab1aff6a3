"""Layers that a network computes in one: the same results as one after another, whatever is done to
the layers, and nothing kept that nobody asked for."""

import copy
import pickle
import weakref

import numpy as np
import pytest
from fused_networks import (
    CHANGES,
    NETWORKS,
    assert_equals_its_layers,
    assert_same,
    batch,
    conv,
    network,
    outcomes,
    outcomes_apart,
    r,
    simple,
)

import pyconv
from pyconv import gradient_check, ops
from pyconv.layers import (
    Affine,
    Convolution,
    Flatten,
    Layer,
    Pooling,
    Relu,
)
from pyconv.networks import DeepConvNet, Sequential, SimpleConvNet


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NETWORKS)
def test_results_and_gradients_are_those_of_the_layers_apart(name, dtype):
    net, (x, t) = network(*NETWORKS[name]()).astype(dtype), batch(dtype=dtype)
    for _ in range(2):  # what was remembered of the first batch serves the second
        assert_equals_its_layers(net, x, t)
    assert_equals_its_layers(net, *batch(2, dtype=dtype))
    assert net.predict(x[:0]).shape == (0, 3)
    assert gradient_check.gradient_check(net, x, t, samples=5).passed


@pytest.mark.parametrize("kind", [SimpleConvNet, DeepConvNet])
def test_the_books_networks_are_the_same_either_way(kind):
    x, t = batch(3, (1, 28, 28), np.float32)
    fused, apart = kind(rng=0), kind(rng=0, fused=False)
    assert (fused.fused, apart.fused) == (True, False)
    assert_same(outcomes(fused, x, t), outcomes(apart, x, t))


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_changed_in_a_layer_counts_from_the_next_call(change):
    net, (x, t) = simple(), batch()
    net.layers["Pool1"].stride = [2, 2]
    outcomes(net, x, t)
    if change == "one layer":  # of another kind, whose output is a matrix: pooling refuses it
        net.layers["Relu1"] = Flatten()
        with pytest.raises(ValueError, match="x must have 4 axes"):
            net.predict(x)
        return
    CHANGES[change](net.layers)
    apart = outcomes_apart(net, x, t)
    assert_same(outcomes(net, x, t), apart)


class Leaky(Relu):
    def forward(self, x, train_flg=True):
        return super().forward(x) + 0.1 * x

    def backward(self, dout):
        return super().backward(dout) + 0.1 * dout


class Doubled(Convolution):
    def backward(self, dout):
        dx = super().backward(dout)
        self.dW *= 2
        return dx


class Strided(Layer):
    """Returns, and hands back, arrays that kernels cannot read as they are."""

    def forward(self, x, train_flg=True):
        return np.asfortranarray(x)

    def backward(self, dout):
        return np.asfortranarray(dout).astype(dout.dtype.newbyteorder())


OWN = {
    "a relu": lambda: [conv(), Leaky(), Pooling(2, 2, 2), Affine(r(48, 5)), Leaky()],
    "a first convolution": lambda: [Doubled(r(4, 2, 3, 2)), Relu(), Pooling(2, 2, 2)],
    "layers between": lambda: [
        Strided(), conv(), Relu(), Strided(), Affine(r(192, 4)), Relu(), Strided()
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_layers_of_ones_own_do_what_they_do(name):
    assert_equals_its_layers(network(*OWN[name]()), *batch())


def test_another_function_in_the_place_of_a_class_is_the_one_that_runs(monkeypatch):
    net, (x, t) = simple(), batch()
    net.gradient(x, t)
    backward = Convolution.backward
    monkeypatch.setattr(Convolution, "backward", lambda self, dout: backward(self, 3 * dout))
    assert_same(net.gradient(x, t), outcomes_gradient_apart(net, x, t))


def outcomes_gradient_apart(net, x, t):
    net.fused = False
    return net.gradient(x, t)


class Deck(SimpleConvNet):
    """As the book writes its loops."""

    def predict(self, x):
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        return self.last_layer.forward(self.predict(x), t)


class Decayed(SimpleConvNet):
    """A loss that predicts as the book's does, without a flag."""

    def loss(self, x, t):
        return self.last_layer.forward(self.predict(x), t) + (self.params["W1"] ** 2).sum()


@pytest.mark.parametrize("kind", [Deck, Decayed])
def test_a_network_of_ones_own_gets_its_gradients(kind):
    (x, t), sizes = batch(dim=(1, 9, 9)), {"input_dim": (1, 9, 9), "rng": 0, "dtype": np.float64}
    assert_same(kind(**sizes).gradient(x, t), SimpleConvNet(**sizes).gradient(x, t))


def test_layers_keep_nothing_of_a_batch_that_went_past_them():
    net, (x, t) = simple(), batch()
    for layer in net.layers.values():
        x = layer.forward(x)  # something of an earlier batch
    x, t = batch()
    net.loss(x, t)
    assert net.layers["Conv1"].x is None
    for name in ("Affine2", "Relu2", "Affine1", "Pool1", "Relu1", "Conv1"):
        says = f"{name[:-1].replace('Pool', 'Pooling').replace('Conv', 'Convolution')}.backward "
        with pytest.raises(RuntimeError, match=says + "needs a forward .* unless its fused is Fal"):
            net.layers[name].backward(x)
    net.fused = False
    net.loss(x, t)
    assert net.layers["Conv1"].x is x
    assert net.layers["Relu2"].mask.shape == (4, 5)


def test_a_prediction_and_a_gradient_keep_no_batch():
    net, (x, t) = simple(), batch()
    gone = weakref.ref(x)
    net.predict(x)
    net.gradient(x, t)
    net.last_layer.t = None
    del x
    assert gone() is None


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_computes_with_its_own_arrays(copied):
    net, (x, t) = simple(), batch()
    before = outcomes(net, x, t)
    twin = copied(net)
    twin.params["W1"] *= -1
    assert_same(outcomes(net, x, t), before)
    assert (outcomes(twin, x, t)["scores"] != before["scores"]).any()
    assert_equals_its_layers(twin, x, t)
    net.fused = False
    assert copied(net).fused is False
    assert net.astype(np.float32).fused is False


def test_a_network_of_a_weight_file_is_computed_in_one(tmp_path):
    net, (x, t) = simple(), batch()
    net.save_params(tmp_path / "params.npz")
    loaded = Sequential.load(tmp_path / "params.npz")
    assert_same(outcomes(loaded, x, t), outcomes(net, x, t))
    assert [layer.mask for name, layer in loaded.layers.items() if "Relu" in name] == [None, None]


def test_the_reference_backend_runs_the_layers():
    net, (x, t) = simple(), batch()
    native = outcomes(net, x, t)
    with pyconv.use_backend("reference"):
        assert_same(outcomes(net, x, t), native)
        assert net.layers["Relu1"].mask is not None
    assert_same(outcomes(net, x, t), native)


@pytest.mark.parametrize("fused", [True, False])
def test_the_images_get_no_gradient(fused, monkeypatch):
    def unwanted(*args):
        raise AssertionError("nobody asks for the gradient of the images")

    monkeypatch.setattr(ops, "conv2d_backward_data", unwanted)
    x, t = batch()
    first = conv()
    network(first, fused=fused).gradient(x, t)
    network(conv(), Relu(), fused=fused).gradient(x, t)
    assert first.need_dx


def test_a_gradient_check_sees_a_fault_in_a_block(monkeypatch):
    net, (x, t) = simple(), batch()
    assert gradient_check.gradient_check(net, x, t, samples=5).passed
    right = pyconv._core.conv2d_block_backward

    def wrong(*args):
        dx, dW, db = right(*args)
        return dx, 1.001 * dW, db

    monkeypatch.setattr(pyconv._core, "conv2d_block_backward", wrong)
    report = gradient_check.gradient_check(net, x, t, samples=5)
    assert [check.name for check in report if not check.passed] == ["W1"]
    net.fused = False
    assert gradient_check.gradient_check(net, x, t, samples=5).passed


def sentence(call):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    return str(caught.value)


BAD = {
    "a pool too large": ([conv(), Relu(), Pooling(7, 2, (7, 2))], (2, 8, 9)),
    "filters too large": ([conv(), Relu()], (2, 2, 9)),
    "too many channels": ([conv(), Relu(), Pooling(2, 2, 2)], (3, 8, 9)),
    "not as many numbers": ([Affine(r(4, 3)), Relu()], (5,)),
    "no numbers": ([Affine(r(4, 3)), Relu()], ()),
    "rows for images": ([conv(), Relu()], (8,)),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_the_same_sentence_either_way(name):
    layers, dim = BAD[name]
    nets = [Sequential(layers, fused=fused) for fused in (True, False)]
    x, _ = batch(dim=dim)
    assert sentence(lambda: nets[0].predict(x)) == sentence(lambda: nets[1].predict(x))


def test_fused_is_true_or_false():
    with pytest.raises(TypeError, match="fused must be True or False, not 'yes'"):
        Sequential([Relu()], fused="yes")
