"""Small trainings on noise, for the tests of what a trainer does."""

import numpy as np

from pyconv import Trainer
from pyconv.layers import Affine, BatchNormalization, Convolution, Relu
from pyconv.networks import DeepConvNet, Sequential, SimpleConvNet

N, BATCH, STEPS = 23, 4, 6  # the sixth step of an epoch takes the last 3 samples


def samples(kind, count, dtype=np.float32):
    """Arguments of a trainer: noise, but a sample's first pixel is its number."""
    rng = np.random.default_rng(count)
    x = rng.random((count, 1, 8, 8)).astype(dtype)
    x[:, 0, 0, 0] = np.arange(count)
    return {f"x_{kind}": x, f"t_{kind}": rng.integers(0, 3, count)}


def simple(seed, hidden_size=5, dtype=np.float32):
    conv = {"filter_num": 3, "filter_size": 3}
    return SimpleConvNet((1, 8, 8), conv, hidden_size, 3, 0.1, rng=seed, dtype=dtype)


def deep(seed):
    convs = {f"conv_param_{i}": {"filter_num": 4} for i in range(1, 7)}
    return DeepConvNet((1, 8, 8), **convs, hidden_size=5, output_size=3, rng=seed)


def normalized(seed):
    rng, ones = np.random.default_rng(seed), np.ones(3, np.float32)
    filters = rng.standard_normal((3, 1, 3, 3), np.float32)
    affine = Affine(rng.standard_normal((3 * 6 * 6, 3), np.float32))
    return Sequential([Convolution(filters), BatchNormalization(ones, 0 * ones), Relu(), affine])


def trainer(network=None, **changes):
    arguments = samples("train", N) | samples("test", 7) | changes
    given = {"mini_batch_size": BATCH, "epochs": 3, "verbose": False, "schedule": "cosine"}
    return Trainer(network or simple(0), **{"rng": 1} | given | arguments)


def run(training, steps):
    for _ in range(steps):
        training.train_step()
    return training


def everything(training):
    """Weights, buffers, optimizer, lists and random generators, to compare bit for bit."""
    arrays = {**training.network.params, **training.network.buffers, **training.optimizer.state}
    lists = training.train_loss_list, training.train_acc_list, training.test_acc_list
    random = [rng.bit_generator.state for rng in training._random_generators()]
    counts = training.epoch, training.optimizer.steps, training.notes
    return repr(({k: _bits(a) for k, a in arrays.items()}, lists, random, counts))


def _bits(array):
    return {k: _bits(a) for k, a in array.items()} if isinstance(array, dict) else array.tobytes()


def before_each(monkeypatch, thing, method, action):
    """Call `action` with the arguments of every call to `thing.method`, before it."""
    original = getattr(thing, method)
    monkeypatch.setattr(thing, method, lambda *given: (action(*given), original(*given))[1])
