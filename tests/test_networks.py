"""Networks: the book's two, any other of one's own, their loss, and their summary."""

import copy
import pickle

import numpy as np
import pytest

from pyconv.layers import Affine, Convolution, Flatten, Pooling, Relu, SoftmaxWithLoss
from pyconv.networks import DeepConvNet, Sequential, SimpleConvNet

TINY = {"input_dim": (1, 9, 8), "conv_param": {"filter_num": 3, "filter_size": 2}, "hidden_size": 5}
SMALL_DEEP = {f"conv_param_{i}": {"filter_num": 2} for i in range(1, 7)} | {"input_dim": (1, 9, 8)}


def images(N=4, dim=(1, 9, 8), dtype=np.float32, seed=0):
    return np.random.default_rng(seed).normal(size=(N, *dim)).astype(dtype)


def tiny(**others):
    return SimpleConvNet(**TINY | {"rng": 0, "output_size": 4, "weight_init_std": 0.3} | others)


def states(network):
    return {name: a.tobytes() for name, a in {**network.params, **network.buffers}.items()}


def flow(network, x):
    """Shape of the batch after every layer, measured."""
    shapes = {}
    for name, layer in network.layers.items():
        x = layer.forward(x)
        shapes[name] = x.shape
    return shapes


def test_the_simple_network_is_the_books():
    network = SimpleConvNet(rng=0)
    shapes = {"W1": (30, 1, 5, 5), "b1": (30,), "W2": (4320, 100), "b2": (100,), "W3": (100, 10)}
    shapes |= {"b3": (10,)}
    assert {name: param.shape for name, param in network.params.items()} == shapes
    assert list(network.layers) == ["Conv1", "Relu1", "Pool1", "Affine1", "Relu2", "Affine2"]
    assert isinstance(network.last_layer, SoftmaxWithLoss)
    assert all(param.dtype == np.float32 for param in network.params.values())
    assert (network.params["b1"] == 0).all()
    assert abs(network.params["W2"].std() - 0.01) < 1e-4
    x = images(7, (1, 28, 28))
    assert list(dict.fromkeys(flow(network, x).values())) == [
        (7, 30, 24, 24), (7, 30, 12, 12), (7, 100), (7, 10)
    ]  # fmt: skip
    assert network.predict(x).shape == (7, 10)
    assert network.predict(x[:0]).shape == (0, 10)


def test_the_convolution_moves_as_it_is_told():
    moves = {"stride": 2, "pad": (1, 0), "dilation": 3}
    network = SimpleConvNet(input_dim=(1, 20, 19), conv_param={"filter_num": 2} | moves)
    convolution = network.layers["Conv1"]
    assert {name: getattr(convolution, name) for name in moves} == moves
    # (20 + 2 - 13) // 2 + 1, (19 - 13) // 2 + 1
    assert convolution.output_shape((1, 20, 19)) == (2, 5, 4)


def test_the_deep_network_is_the_books():
    network = DeepConvNet(rng=0)
    filters = [(16, 1), (16, 16), (32, 16), (32, 32), (64, 32), (64, 64)]
    weights = [(*FN_and_C, 3, 3) for FN_and_C in filters] + [(64 * 4 * 4, 50), (50, 10)]
    assert [network.params[f"W{i}"].shape for i in range(1, 9)] == weights
    assert [network.params[f"b{i}"].shape for i in range(1, 9)] == [
        (16,), (16,), (32,), (32,), (64,), (64,), (50,), (10,)
    ]  # fmt: skip
    block = ["Conv", "Relu", "Conv", "Relu", "Pool"]
    kinds = [name.rstrip("0123456789") for name in network.layers]
    assert kinds == [*block * 3, "Affine", "Relu", "Dropout", "Affine", "Dropout"]
    for name, W in network.params.items():
        fan_in = W[0].size if W.ndim == 4 else len(W)
        if name.startswith("W"):  # He: the standard deviation is sqrt(2 / fan-in)
            assert abs(W.std() / np.sqrt(2 / fan_in) - 1) < 4 / np.sqrt(2 * W.size)
    poolings = [
        shape for name, shape in flow(network, images(2, (1, 28, 28))).items() if "Pool" in name
    ]
    assert poolings == [(2, 16, 14, 14), (2, 32, 8, 8), (2, 64, 4, 4)]


def test_dropout_is_for_training_alone():
    network, x = DeepConvNet(**SMALL_DEEP, rng=0), images()
    np.testing.assert_array_equal(network.predict(x), network.predict(x))
    assert (network.predict(x, train_flg=True) != network.predict(x, train_flg=True)).any()


@pytest.mark.parametrize("dim", [(1, 28, 20), (3, 13, 17), (2, 6, 31), (1, 6, 6)])
@pytest.mark.parametrize("kind", [SimpleConvNet, DeepConvNet])
def test_images_may_be_of_any_size(kind, dim):
    network = kind(dim, rng=0, hidden_size=8, output_size=3)
    x = images(2, dim)
    measured = flow(network, x)
    assert network.output_shapes() == {name: shape[1:] for name, shape in measured.items()}
    assert {name: g.shape for name, g in network.gradient(x, np.array([0, 2])).items()} == {
        name: p.shape for name, p in network.params.items()
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("kind", "sizes"), [(SimpleConvNet, TINY), (DeepConvNet, SMALL_DEEP)])
def test_the_same_seed_makes_the_same_network(kind, sizes, dtype):
    one, same, other = (kind(**sizes, rng=seed, dtype=dtype) for seed in (1, 1, 2))
    assert states(one) == states(same) != states(other)
    x, t = images(dtype=dtype), np.array([0, 1, 2, 3])
    gradients = one.gradient(x, t), same.gradient(x, t)  # dropout is seeded, too
    for name in one.params:
        assert gradients[0][name].dtype == one.params[name].dtype == dtype
        np.testing.assert_array_equal(*(g[name] for g in gradients))


def test_parameters_are_the_layers_own_arrays():
    network = tiny()
    assert network.params["W1"] is network.layers["Conv1"].W
    assert network.params["b3"] is network.layers["Affine2"].b
    assert repr(network.params).startswith("Arrays(W1=(3, 1, 2, 2), b1=(3,), ")
    network.params["W1"] = np.full((3, 1, 2, 2), 7, np.float32)
    network.params.update(b1=np.ones(3, np.float32))
    assert (network.layers["Conv1"].W == 7).all()
    assert (network.layers["Conv1"].b == 1).all()
    for copied in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert copied.params["W1"] is copied.layers["Conv1"].W is not network.params["W1"]
        assert states(copied) == states(network)


def test_parameters_of_another_byte_order_compute_the_same():
    x, W = images(2, (3,)), r(3, 4)
    network = Sequential([Affine(W.astype(W.dtype.newbyteorder()))])
    np.testing.assert_array_equal(network.predict(x), Sequential([Affine(W)]).predict(x))


@pytest.mark.parametrize("batch_size", [1, 3, 4, 100])
def test_accuracy_counts_every_sample(batch_size):
    network, x = tiny(), images(10)
    best = network.predict(x).argmax(axis=1)
    t = np.where(np.arange(10) < 7, best, (best + 1) % 4)  # the last three are wrong
    assert network.accuracy(x, t, batch_size) == 0.7
    assert network.accuracy(x, np.eye(4)[t], batch_size) == 0.7


@pytest.mark.parametrize("one_hot", [False, True])
def test_gradient_is_the_numerical_gradient(one_hot):
    network, x, t = tiny(dtype=np.float64), images(3, dtype=np.float64), np.array([3, 0, 3])
    before = states(network)
    t = np.eye(4)[t] if one_hot else t
    gradients, numerical = network.gradient(x, t), network.numerical_gradient(x, t)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, numerical[name], rtol=0, atol=1e-8)
    assert states(network) == before


def r(*shape):
    return np.random.default_rng(len(shape)).normal(scale=0.3, size=shape).astype(np.float32)


def test_astype_gives_an_independent_copy():
    network, x = DeepConvNet(**SMALL_DEEP, rng=0), images()
    twin, again = network.astype(np.float64), network.astype(np.float32)
    before = states(network)
    assert states(again) == before
    assert twin.dtype == twin.predict(x.astype(float)).dtype == np.float64
    np.testing.assert_allclose(twin.predict(x.astype(float)), network.predict(x), atol=1e-5)
    random = [(n.loss(x, np.arange(4)), n.loss(x, np.arange(4))) for n in (again, network)]
    assert random[0] == random[1], "a copy drops what the original would have dropped"
    for param in [*twin.params.values(), *again.params.values()]:
        param += 1
    assert states(network) == before


def refuses(call, error, *says):
    with pytest.raises(error) as caught:
        call()
    assert [words for words in says if words not in str(caught.value)] == [], str(caught.value)


UNFIT = [
    (lambda n, x, t: n.predict(x[0]), ValueError, "x has shape (1, 9, 8)", "batch (N, 1, 9, 8)"),
    (lambda n, x, t: n.predict(x[..., 1:]), ValueError, "x has shape (4, 1, 9, 7)"),
    (lambda n, x, t: n.predict(x.astype(float)), TypeError, "float32; convert", "dtype=np.float64"),
    (lambda n, x, t: n.loss(x, t[:3]), ValueError, "t has shape (3,), but 4 samples"),
    (lambda n, x, t: n.gradient(x, t + 1), ValueError, "t[3] is 4, but labels run from 0 to 3"),
    (lambda n, x, t: n.numerical_gradient(x, t - 1), ValueError, "t[0] is -1, but labels"),
    (lambda n, x, t: n.gradient(x[:0], t[:0]), ValueError, "loss of an empty batch"),
    (lambda n, x, t: n.accuracy(x[:0], t[:0]), ValueError, "accuracy over no samples"),
    (lambda n, x, t: n.accuracy(x, t[:, None]), ValueError, "t has shape (4, 1)", "(4, 4)"),
    (lambda n, x, t: n.accuracy(x, t, 0), ValueError, "batch_size must be at least 1, not 0"),
    (lambda n, x, t: n.params.update(W1=x), ValueError, "W1", "(4, 1, 9, 8)", "(3, 1, 2, 2)"),
    (lambda n, x, t: n.params.update(b1=0), ValueError, "b1 has shape ()", "(3,)"),
    (lambda n, x, t: n.params.update(b1=np.ones(3)), TypeError, "b1 is float32", "is float64"),
    (lambda n, x, t: n.params.update(W9=x), KeyError, "W9"),
    (lambda n, x, t: n.params.pop("W1"), TypeError, "W1 is an array of the network's layers"),
    (lambda n, x, t: n.astype(np.float16), TypeError, "float32 or float64, not float16"),
]


@pytest.mark.parametrize("unfit", UNFIT)
def test_what_does_not_fit_a_network_is_refused_and_changes_nothing(unfit):
    call, error, *says = unfit
    network = tiny()
    before = states(network)
    refuses(lambda: call(network, images(), np.arange(4)), error, *says)
    assert states(network) == before


SAME, FIRST = Relu(), Convolution(r(2, 2, 3, 3), need_dx=False)
UNBUILDABLE = [
    (lambda: Sequential([]), ValueError, "at least one layer"),
    (lambda: Sequential([Relu]), TypeError, "layers must be pyconv.layers.Layer objects"),
    (lambda: Sequential(Relu()), TypeError, "must be a list of", "Layer objects, not Relu()"),
    (lambda: Sequential(None), TypeError, "must be a list of", "not None"),
    (lambda: Sequential([SAME, Flatten(), SAME]), ValueError, "Relu() is in the network twice"),
    (lambda: Sequential([Relu(), Affine(r(5, 2))], (4,)), ValueError, "Affine1: ", "(4,)"),
    (lambda: Sequential([Flatten(), Pooling(2, 2)], (1, 4, 4)), ValueError, "Pool1: ", "(16,)"),
    (lambda: Sequential([Affine(r(3, 4)), Affine(np.ones((4, 2)))]), TypeError, "W2 is float64"),
    (lambda: Sequential([Relu()], 64), ValueError, "shape of one sample", "(64,), not 64"),
    (lambda: Sequential([Relu()], (1, 0)), ValueError, "input_dim must be at least 1, not 0"),
    (lambda: Sequential([Relu(), FIRST, Flatten()]).gradient(images(1, (2, 3, 3)), np.array([0])),
     ValueError, "only the first layer of a network can have need_dx=False"),
    (lambda: Sequential([FIRST, Relu(), Pooling(3, 3, 3)]).predict(images(1, (2, 4, 4))),
     ValueError, "the window reaches over 3×3 pixels (pool 3×3", "has only 2×2"),
    (lambda: SimpleConvNet((28, 28)), ValueError, "input_dim must be (C, H, W)", "not (28, 28)"),
    (lambda: SimpleConvNet((1, 4, 4)), ValueError, "reaches over 5×5 pixels", "has only 4×4"),
    (lambda: SimpleConvNet(conv_param={"size": 3}), ValueError, "conv_param takes", "not ['size']"),
    (lambda: SimpleConvNet(conv_param={"a": 3, 1: 2}), ValueError, "not [1, 'a']"),
    (lambda: SimpleConvNet(conv_param=5), TypeError, "conv_param must be a mapping", "not 5"),
    (lambda: SimpleConvNet(conv_param=[]), TypeError, "'filter_num': 30, ", "not []"),
    (lambda: DeepConvNet(conv_param_6=""), TypeError, "conv_param_6 must be a mapping", "not ''"),
    (lambda: SimpleConvNet(conv_param={"filter_num": 0}), ValueError, "'filter_num'", "not 0"),
    (lambda: SimpleConvNet(hidden_size=0), ValueError, "hidden_size must be at least 1, not 0"),
    (lambda: SimpleConvNet(weight_init_std=-1), ValueError, "weight_init_std", "not -1"),
    (lambda: SimpleConvNet(dtype=np.float16), TypeError, "float32 or float64, not float16"),
    (lambda: DeepConvNet(conv_param_4={"pads": 1}), ValueError, "conv_param_4", "not ['pads']"),
    (lambda: DeepConvNet(output_size=2.5), TypeError, "output_size", "whole number, not 2.5"),
]  # fmt: skip


@pytest.mark.parametrize("refused", UNBUILDABLE)
def test_a_network_that_could_not_work_is_refused_when_it_is_made(refused):
    refuses(*refused)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_with_loss_is_the_mean_cross_entropy_and_its_gradient(dtype):
    layer, x, t = SoftmaxWithLoss(), images(3, (4,), dtype), np.array([2, 0, 2])
    y = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    loss = layer.forward(x, t)
    np.testing.assert_allclose(loss, -np.log(y[[0, 1, 2], t]).mean(), rtol=1e-6)
    np.testing.assert_allclose(layer.y, y, rtol=1e-6)
    dx = layer.backward()
    np.testing.assert_allclose(dx, (y - np.eye(4)[t]) / 3, rtol=1e-5)
    assert dx.dtype == dtype
    np.testing.assert_allclose(layer.backward(dout=2.5), 2.5 * dx, rtol=1e-6)
    assert layer.forward(x, np.eye(4)[t]) == loss
    np.testing.assert_array_equal(layer.backward(), dx)


def test_softmax_with_loss_of_huge_scores_gives_no_warning():
    layer, x = SoftmaxWithLoss(), np.array([[3e38, -3e38, 0], [-1e4, 1e4, 0]], np.float32)
    assert layer.forward(x, np.array([0, 1])) == 0
    assert layer.forward(x[1:], np.array([0])) == 20000
    assert layer.backward().tolist() == [[-1, 1, 0]]
    assert np.isnan(layer.forward(np.array([[np.inf, 0, np.nan]]), np.array([0])))


SCORES, LABELS = images(2, (3,)), np.array([0, 1])
NO_LOSS = [
    (SCORES, LABELS + 2, ValueError, "t[1] is 3, but labels run from 0 to 2"),
    (SCORES, LABELS - 1, ValueError, "t[0] is -1"),
    (SCORES, np.array([0, 1, 2]), ValueError, "t has shape (3,), but 2 samples want"),
    (SCORES, LABELS / 1, TypeError, "whole numbers as labels, but its dtype is float64"),
    (SCORES, [0, 1], TypeError, "t must be a NumPy array, not list"),
    (SCORES, np.eye(4)[:2], ValueError, "t has shape (2, 4)", "(2, 3)"),
    (SCORES, np.ones((2, 3)), ValueError, "probabilities that add up to 1"),
    (SCORES, np.array([[2, -1, 0], [1, 0, 0]]), ValueError, "probabilities that add up to 1"),
    (SCORES.astype(int), LABELS, TypeError, "x has dtype int64"),
    (SCORES[0], LABELS, ValueError, "2 axes (N, classes)", "(3,)"),
    (SCORES[:0], LABELS[:0], ValueError, "empty batch is not defined"),
]


@pytest.mark.parametrize("refused", NO_LOSS)
def test_softmax_with_loss_refuses_what_it_cannot_compute(refused):
    layer, (x, t, *answer) = SoftmaxWithLoss(), refused
    refuses(lambda: layer.forward(x, t), *answer)
    refuses(layer.backward, RuntimeError, "needs a forward before it; call forward(x, t)")


@pytest.mark.parametrize("columns", ["30", "200"])
def test_summary_prints_the_shape_flow_and_the_costs(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    SimpleConvNet().summary()
    printed = capsys.readouterr().out
    flow = "(N,1,28,28) → (N,30,24,24) → (N,30,12,12) → (N,100) → (N,10)"
    assert f"SimpleConvNet: {flow}" in printed
    rows = [line.split() for line in printed.splitlines()]
    assert ["Input", "(N,1,28,28)", "3,136"] in rows
    assert ["Conv1", "(N,30,24,24)", "780", "432,000", "69,120"] in rows
    assert ["Pool1", "(N,30,12,12)", "17,280"] in rows
    assert ["Affine1", "(N,100)", "432,100", "432,000", "400"] in rows
    assert ["Affine2", "(N,10)", "1,010", "1,000", "40"] in rows
    total = next(row for row in rows if row[:2] == ["in", "all"])
    assert total[2:4] == ["433,890", "865,000"]


def test_summary_of_a_network_of_any_input_wants_a_shape(capsys):
    network = Sequential([Relu(), Flatten()])
    refuses(
        network.summary, ValueError, "give input_dim, the shape of one sample, e.g. (1, 28, 28)"
    )
    refuses(lambda: network.summary(20), ValueError, "must be the shape of one sample", "not 20")
    network.summary((1, 4, 5))
    assert "Sequential: (N,1,4,5) → (N,20)" in capsys.readouterr().out


def test_a_network_leaves_the_layers_it_is_given_as_they_are():
    layer = Convolution(r(2, 1, 3, 3))
    Sequential([layer])
    layer.forward(r(1, 1, 4, 4))
    assert layer.backward(r(1, 2, 2, 2)).shape == (1, 1, 4, 4)
