"""Small networks with layers that are computed in one, their results, and what people change."""

import copy

import numpy as np

from pyconv.layers import Affine, BatchNormalization, Convolution, Dropout, Flatten, Pooling, Relu
from pyconv.networks import Sequential

DIM = (2, 8, 9)


def r(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape)


def batch(N=4, dim=DIM, dtype=np.float64):
    return np.random.default_rng(1).normal(size=(N, *dim)).astype(dtype), np.arange(N) % 3


def network(*layers, fused=True):
    """These layers and an affine one that gives three scores."""
    shapes = Sequential(copy.deepcopy(layers), DIM).output_shapes()
    size = int(np.prod(list(shapes.values())[-1]))
    return Sequential([*layers, Affine(r(size, 3), r(3))], DIM, fused=fused)


def conv(*args, FN=4, bias=True, **kwargs):
    W = r(FN, DIM[0] // kwargs.get("groups", 1), 3, 2)
    return Convolution(W, r(FN) if bias else 0, *args, **kwargs)


NETWORKS = {
    "convolution, relu, pool": lambda: [conv(), Relu(), Pooling(2, 2, 2)],
    "a pool that drops a rest": lambda: [conv(), Relu(), Pooling(4, 3, (4, 3), pad="valid")],
    "stride, padding, dilation, groups": lambda: [
        conv((1, 2), ((1, 0), (2, 1)), 2, groups=2), Relu(), Pooling(2, 1, [2, 1])
    ],
    "no bias": lambda: [conv(bias=False), Relu(), Pooling(2, 2, 2), Affine(r(48, 5)), Relu()],
    "a pool of one pixel": lambda: [conv(), Relu(), Pooling(1, 1)],
    "no pool": lambda: [conv(), Relu(), Convolution(r(3, 4, 2, 2)), Relu()],
    "no relu": lambda: [conv(), Pooling(2, 2, 2)],
    "a pool that overlaps": lambda: [conv(), Relu(), Pooling(3, 3, 2)],
    "a pool with padding": lambda: [conv(), Relu(), Pooling(2, 2, 2, pad=1)],
    "a pool with dilation": lambda: [conv(), Relu(), Pooling(2, 2, 2, dilation=2)],
    "a pool rounded up": lambda: [conv(), Relu(), Pooling(4, 4, 4, ceil_mode=True)],
    "an average": lambda: [conv(), Relu(), Pooling(2, 2, 2, mode="average")],
    "affine on images": lambda: [Affine(r(144, 6), r(6)), Relu(), Affine(r(6, 4)), Relu()],
    "between others": lambda: [
        Relu(), conv(), BatchNormalization(np.ones(4), np.zeros(4)), Relu(), Dropout(0.5, 1),
        Flatten(), Affine(r(192, 4)), Relu(), Relu()
    ],
}  # fmt: skip


def outcomes(net, x, t):
    """Everything a network computes: scores, loss and gradients."""
    scores, loss = net.predict(x), net.loss(x, t, train_flg=False)
    return {"scores": scores, "loss": np.array(loss, scores.dtype), **net.gradient(x, t)}


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        assert values.shape == theirs[name].shape
        assert values.dtype == theirs[name].dtype
        tolerance = 1e-10 if values.dtype == np.float64 else 1e-4
        scale = np.abs(theirs[name]).max(initial=1e-3)
        np.testing.assert_allclose(values, theirs[name], 0, tolerance * scale, err_msg=name)


def assert_equals_its_layers(net, x, t):
    """The network computes what its layers do one after another."""
    apart = copy.deepcopy(net)
    apart.fused = False
    assert_same(outcomes(net, x, t), outcomes(apart, x, t))


def simple():
    return network(*NETWORKS["convolution, relu, pool"](), Affine(r(48, 5), r(5)), Relu())


def larger_stride(layers):
    layers["Conv1"].stride = (2, 1)
    layers["Affine1"].W = r(16, 5)


def another_step_in_place(layers):
    layers["Pool1"].stride[1] = 1
    layers["Affine1"].W = r(84, 5)


def relu_of_ones_own(layers):
    layers["Relu1"].forward = lambda x, train_flg: 2 * Relu.forward(layers["Relu1"], x)


def backward_of_ones_own(layers):
    layers["Relu2"].backward = lambda dout: 2 * Relu.backward(layers["Relu2"], dout)


CHANGES = {
    "filters": lambda layers: setattr(layers["Conv1"], "W", r(4, 2, 3, 2) + 1),
    "filters of another byte order": lambda layers: setattr(
        layers["Conv1"], "W", layers["Conv1"].W.astype(">f8")
    ),
    "bias": lambda layers: setattr(layers["Conv1"], "b", 0),
    "weights": lambda layers: setattr(layers["Affine1"], "W", r(48, 5) + 1),
    "numbers in place": lambda layers: layers["Conv1"].W.fill(0.5),
    "stride": larger_stride,
    "a list in place": another_step_in_place,
    "mode of pooling": lambda layers: setattr(layers["Pool1"], "mode", "average"),
    "function of a layer": relu_of_ones_own,
    "way back of a layer": backward_of_ones_own,
    "one layer": lambda layers: layers.update(Relu1=Flatten()),
}


def outcomes_apart(net, x, t):
    net.fused = False
    found = outcomes(net, x, t)
    net.fused = True
    return found
