"""A prediction that is asked for again: one call into the kernels, until something is changed."""

import copy

import numpy as np
import pytest
from fused_networks import CHANGES, NETWORKS, batch, network, r, simple

import pyconv
from pyconv import _core, ops
from pyconv.layers import Affine, Convolution, Relu
from pyconv.networks import Sequential, SimpleConvNet, fusion

ALL_BLOCKS = [
    "convolution, relu, pool", "a pool that drops a rest", "no bias", "a pool of one pixel",
    "no pool", "affine on images",
]  # fmt: skip
BLOCKS = [fusion.ConvolutionBlock, fusion.AffineBlock]


@pytest.fixture
def no_blocks(monkeypatch):
    """Makes sure from now on that no block is computed on its own."""

    def unwanted(*args, **kwargs):
        raise AssertionError("a block was asked for what is prepared")

    return lambda: [monkeypatch.setattr(block, "forward", unwanted) for block in BLOCKS]


def apart_of(net):
    twin = copy.deepcopy(net)
    twin.fused = False
    return twin


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ALL_BLOCKS)
def test_the_second_prediction_is_the_first_in_one_call(name, dtype, no_blocks):
    net = network(*NETWORKS[name]()).astype(dtype)
    batches = [batch(N, dtype=dtype)[0] for N in (4, 1, 7, 0)]
    scores = [net.predict(x) for x in batches]
    net.predict(batches[0])
    no_blocks()
    for x, known in zip(batches, scores, strict=True):
        found = net.predict(x)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, known)
        assert found.base is None
        assert found.flags.owndata
    wide = np.repeat(batches[0], 2, axis=3)[..., ::2]  # numbers that do not lie side by side
    np.testing.assert_array_equal(net.predict(wide), scores[0])


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_changed_counts_from_the_next_prediction(change):
    net, (x, _) = simple(), batch()
    for _ in range(2):
        net.predict(x)
    if change == "a list in place":
        net.layers["Pool1"].stride = [2, 2]
        net.predict(x)
    CHANGES[change](net.layers)
    if change == "one layer":
        with pytest.raises(ValueError, match="x must have 4 axes"):
            net.predict(x)
        return
    apart = apart_of(net).predict(x)
    for _ in range(3):
        np.testing.assert_allclose(net.predict(x), apart, rtol=0, atol=1e-9)


def test_a_pool_that_no_kernel_computes_is_never_prepared():
    net, (x, _) = simple(), batch()
    for mode in ("max", "average", "max", "average"):
        net.layers["Pool1"].mode = mode
        apart = apart_of(net).predict(x)
        for _ in range(3):
            np.testing.assert_allclose(net.predict(x), apart, rtol=0, atol=1e-9)


def test_another_function_of_a_class_is_the_one_that_runs(monkeypatch):
    net, (x, _) = simple(), batch()
    before = net.predict(x)
    forward = Affine.forward
    monkeypatch.setattr(Affine, "forward", lambda self, x, train_flg: 2 * forward(self, x))
    for _ in range(2):
        assert (net.predict(x) != before).any()
    monkeypatch.undo()
    np.testing.assert_array_equal(net.predict(x), before)


def test_training_goes_on_between_predictions(no_blocks):
    net, (x, t) = SimpleConvNet(rng=0), batch(4, (1, 28, 28), np.float32)
    apart = apart_of(net)
    optimizers = pyconv.optimizers.Adam(), pyconv.optimizers.Adam()
    for _ in range(3):
        for one, optimizer in zip((net, apart), optimizers, strict=True):
            optimizer.update(one.params, one.gradient(x, t))
        for _ in range(2):
            np.testing.assert_allclose(net.predict(x), apart.predict(x), rtol=0, atol=1e-4)
    net.params["W1"] *= 2
    apart.params["W1"] *= 2
    no_blocks()  # new numbers in the same arrays need no preparation
    np.testing.assert_allclose(net.predict(x), apart.predict(x), rtol=0, atol=1e-4)


def test_the_other_backends_and_layers_apart_run_what_they_are(monkeypatch):
    net, (x, _) = simple(), batch()
    before = net.predict(x)
    net.predict(x)
    called = []
    for name in ("conv2d_block", "affine"):
        right = getattr(ops, name)
        monkeypatch.setattr(
            ops, name, lambda *a, name=name, right=right, **k: called.append(name) or right(*a, **k)
        )
    with pyconv.use_backend("check"):
        np.testing.assert_array_equal(net.predict(x), before)
    assert called == ["conv2d_block", "affine", "affine"]
    with pyconv.use_backend("reference"):
        net.predict(x)
        assert net.layers["Relu1"].mask is not None
    net.predict(x)
    net.fused = False
    net.predict(x)
    assert net.layers["Relu1"].mask is not None


def test_a_prediction_forgets_what_a_layer_remembers_of_another_batch():
    net, (x, _) = simple(), batch()
    for _ in range(2):
        net.predict(x)
    net.layers["Conv1"].forward(x)
    net.predict(x)
    assert net.layers["Conv1"].x is None


def sentence(net, x):
    with pytest.raises((TypeError, ValueError)) as caught:
        net.predict(x)
    return str(caught.value)


@pytest.mark.parametrize("dim", [None, (2, 8, 9)])
def test_bad_input_gets_the_sentence_of_the_first_prediction(dim):
    layers, (x, _) = simple().layers.values(), batch()
    net = Sequential(layers, dim)
    bad = [x.astype(np.float32), x[:, :1], x[0], x[..., 1:], x.astype(int), "x"]
    before = [sentence(net, one) for one in bad]
    for one, known in zip(bad, before, strict=True):
        net.predict(x)
        net.predict(x)
        assert sentence(net, one) == known


def test_weights_that_lose_their_shape_are_refused():
    net, (x, _) = simple(), batch()
    net.predict(x)
    before = net.predict(x)
    weights = net.layers["Affine1"].W
    weights.shape = (5, 48)
    assert "do not fit" in sentence(net, x) or "W of shape (5, 48)" in sentence(net, x)
    weights.shape = (48, 5)
    np.testing.assert_array_equal(net.predict(x), before)


def test_other_images_in_the_middle_of_a_prediction(monkeypatch):
    """As another thread may pass them through. A window "same" has another padding for each."""
    same = {"stride": 2, "pad": "same"}
    filters = Convolution(r(3, 2, 3, 3), **same), Convolution(r(3, 3, 3, 3), **same)
    net = Sequential([filters[0], Relu(), filters[1], Relu()])
    (x, _), (other, _) = batch(1, (2, 8, 8)), batch(1, (2, 9, 9))
    known = [apart_of(net).predict(one) for one in (x, other)]
    first, second = net.steps().values()
    forward = second.forward

    def interrupted(*args, **kwargs):
        first.forward(other, False, keep=False)
        return forward(*args, **kwargs)

    monkeypatch.setattr(second, "forward", interrupted)
    net.predict(x)
    monkeypatch.undo()
    for one, scores in zip((other, x), known[::-1], strict=True):
        np.testing.assert_allclose(net.predict(one), scores, rtol=0, atol=1e-9)


W, B = np.ones((4, 3), np.float32), np.ones(3, np.float32)


def test_a_chain_refuses_weights_that_its_kernels_cannot_read():
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(_core.chain([(W, B, False)], (4,))(x, [], []), x @ W + B)
    for calls, given, problem in [
        ([], x, "at least one kernel"),
        ([(W[:3], B, False)], x, "do not fit together"),
        ([(W, B, False), (np.ones((3, 2)), None, True)], x, "weights differ in dtype"),
        ([(W[:, ::2], None, False)], x.astype(np.float64), "not C-contiguous"),
        ([("W", None, False)], x.astype(np.float64), "weights differ in dtype"),
    ]:
        with pytest.raises(ValueError, match=problem):
            _core.chain(calls, (4,))(given, [], [])
    for calls in ([(W, B)], [()], [(W, B, "yes", 1)], [(W, B, (1, 2), 1, (1, 1))], [3], 3):
        with pytest.raises((TypeError, ValueError, IndexError, RuntimeError)):
            _core.chain(calls, (4,))(x, [], [])


def test_a_chain_leaves_what_is_not_as_it_was_to_others():
    x, kept = np.ones((2, 4), np.float32), {"W": W, "b": B}
    call = _core.chain([(W, B, False)], (4,))
    assert call(x, [kept], [dict(kept)]) is not None
    for then in ([], [{}], [{**kept, "b": B.copy()}], [{**kept, "stride": 1}], [{"W": W, "c": B}]):
        assert call(x, [kept], then) is None
    swapped = x.astype(x.dtype.newbyteorder())
    unaligned = np.zeros(4 * 4 + 1, np.uint8)[1:].view(np.float32).reshape(1, 4)
    for other in (
        x.astype(np.float64), swapped, unaligned, x[:, ::2], x[:, :3].copy(), x[0], x[..., None],
        np.ma.masked_array(x), x.tolist(), None,
    ):  # fmt: skip
        assert call(other, [], []) is None
