"""Check mode: right kernels pass, and a wrong value of one is named."""

import pickle

import kernel_cases
import numpy as np
import pytest
from hypothesis import given, settings
from kernel_cases import geometries

import pyconv
from pyconv import _core, layers, optimizers, verification
from pyconv.networks import SimpleConvNet

FUNCTIONS = [name for name in _core.KERNELS if not name.endswith("_step")]
STEPS = [name for name in _core.KERNELS if name.endswith("_step")]


@pytest.mark.parametrize("name", FUNCTIONS)
@given(g=geometries())
def test_right_kernels_pass(name, g):
    arguments, shapes = getattr(kernel_cases, name)(g)
    with pyconv.use_backend("check"):
        results = getattr(pyconv, name)(*arguments)
    results = results if isinstance(results, tuple) else (results,)
    assert [None if r is None else r.shape for r in results] == shapes


@pytest.mark.parametrize("name", STEPS)
@settings(max_examples=20)
@given(g=geometries())
def test_right_steps_pass_and_are_taken(name, g):
    arguments, _ = getattr(kernel_cases, name)(g)
    arrays = [a for a in arguments if isinstance(a, np.ndarray)]
    numbers = tuple(a for a in arguments if not isinstance(a, np.ndarray))
    taken = [a.copy() for a in arrays]
    getattr(_core, name)(*taken, *numbers)
    verification.verified_step(name, arrays, numbers)
    for ours, native in zip(arrays, taken, strict=True):
        np.testing.assert_array_equal(ours, native)


@pytest.mark.parametrize("fill", [0.1, -0.3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_long_sums_of_equal_numbers_pass(dtype, fill):
    """Every rounding has the same sign: the worst that can happen to a sum."""
    x, W = np.full((60, 2, 28, 28), fill, dtype), np.full((3, 2, 5, 5), 0.1, dtype)
    with pyconv.use_backend("check"):
        dout = np.full_like(pyconv.conv2d(x, W), 0.1)
        pyconv.conv2d_backward_weight(x, dout, W.shape)
        depthwise = np.ascontiguousarray(W[:2, :1])
        dout = np.full_like(pyconv.conv2d(x, depthwise, groups=2), 0.7)
        pyconv.conv2d_backward_weight(x, dout, depthwise.shape, groups=2)
        pyconv.avg_pool2d(x, 20, 20)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("size", "stride"), [((3, 3), 1), ((5, 4), 1), ((3, 3), 2), ((7, 5), 2)])
def test_the_layers_that_winograd_computes_pass(size, stride, dtype):
    rng = np.random.default_rng(0)
    x, W = (rng.normal(size=s).astype(dtype) for s in ((2, 64, 14, 15), (40, 64, *size)))
    x[0, 3, 5, 5], x[1, 2, 0, 0], x[0, 0, 9:] = np.inf, np.nan, 0
    with pyconv.use_backend("check"):
        y = pyconv.conv2d(x, W, stride=stride, pad=1)
        dout = np.nan_to_num(y, posinf=0, neginf=0)
        dx = pyconv.conv2d_backward_data(dout, W, x.shape, stride=stride, pad=1)
        pyconv.conv2d_backward_weight(x.repeat(8, 0), dout.repeat(8, 0), W.shape, stride, 1)
    assert y.shape[1] == 40
    assert np.isfinite(dx).all()


def plant(monkeypatch, kernel, index, change, of=0):
    """Make the compiled kernel return one wrong value."""
    right = getattr(_core, kernel)

    def wrong(*arguments):
        results = right(*arguments)
        array = results[of] if isinstance(results, tuple) else results
        array[index] = change(array[index])
        return results

    monkeypatch.setattr(_core, kernel, wrong)


rng = np.random.default_rng(1)
X, W = rng.normal(size=(3, 4, 9, 8)).astype("f4"), rng.normal(size=(6, 4, 3, 2)).astype("f4")
Y = pyconv.conv2d(X, W, pad=1)
COL = pyconv.im2col(X, 3, 2)
ROWS, MATRIX = X.reshape(3, -1), rng.normal(size=(288, 7)).astype("f4")
DOUT = pyconv.affine(ROWS, MATRIX)
IMAGE, FILTER = (
    ("image", "channel", "row", "column"),
    ("filter", "channel", "tap row", "tap column"),
)

PLANTED = [
    ("conv2d", (X, W, None, 1, 1), 0, "y", (2, 5, 3, 4), IMAGE),
    ("conv2d_backward_data", (Y, W, X.shape, 1, 1), 0, "dx", (1, 3, 8, 0), IMAGE),
    ("conv2d_backward_weight", (X, Y, W.shape, 1, 1), 0, "dW", (4, 2, 1, 1), FILTER),
    ("conv2d_backward_weight", (X, Y, W.shape, 1, 1), 1, "db", (4,), ("filter",)),
    ("max_pool2d", (X, 3, 2, 2), 0, "y", (2, 1, 3, 2), IMAGE),
    ("max_pool2d", (X, 3, 2, 2), 1, "argmax", (0, 3, 0, 1), IMAGE),
    ("max_pool2d_backward", (*pyconv.max_pool2d(X, 3, 2, 2), X.shape, 3, 2, 2), 0, "dx",
     (1, 2, 3, 4), IMAGE),
    ("avg_pool2d", (X, 3, 2), 0, "y", (1, 0, 6, 6), IMAGE),
    ("col2im", (COL, X.shape, 3, 2), 0, "x", (0, 1, 7, 7), IMAGE),
    ("conv2d_block", (X, W, None, 1, 1, 1, 1, 2), 0, "y", (1, 4, 2, 3), IMAGE),
    ("affine", (ROWS, MATRIX), 0, "y", (2, 6), ("row", "output")),
    ("affine_backward", (ROWS, DOUT, MATRIX), 0, "dx", (1, 200), ("row", "input")),
    ("affine_backward", (ROWS, DOUT, MATRIX), 1, "dW", (200, 3), ("input", "output")),
    ("relu", (X,), 0, "y", (2, 3, 8, 7), IMAGE),
]  # fmt: skip


@pytest.mark.parametrize(("kernel", "arguments", "of", "result", "index", "axes"), PLANTED)
def test_a_wrong_value_is_named(monkeypatch, kernel, arguments, of, result, index, axes):
    right = getattr(pyconv, kernel)(*arguments)
    right = right[of] if isinstance(right, tuple) else right

    def change(value):
        return (value + 1) % 6 if result == "argmax" else value * 0.99 + value.dtype.type(0.01)

    plant(monkeypatch, kernel, index, change, of)
    with pyconv.use_backend("check"), pytest.raises(pyconv.KernelError) as caught:
        getattr(pyconv, kernel)(*arguments)
    error = caught.value
    assert (error.function, error.result, error.index) == (kernel, result, index)
    assert error.place == dict(zip(axes, index, strict=True))
    assert error.wrong == 1
    assert error.size == right.size
    assert error.native == change(right[index])
    assert error.reference == pytest.approx(right[index], rel=1e-4)
    assert error.max_absolute == pytest.approx(abs(float(error.native) - right[index]), rel=0.01)
    place = ", ".join(f"{axis} {i}" for axis, i in error.place.items())
    says = f"disagree about {result} at {place}: {error.native!s} instead of {error.reference!s}"
    assert says in str(error)
    assert "absolute" in str(error)
    assert "relative" in str(error)
    assert "ULP" in str(error)
    assert f"call: {kernel}(" in str(error)


def test_a_place_in_a_column_matrix_is_a_window_and_a_tap(monkeypatch):
    OH, OW = 7, 7
    index = ((2 * OH + 3) * OW + 4, (1 * 3 + 2) * 2 + 1)
    plant(monkeypatch, "im2col", index, lambda value: np.nextafter(value, np.float32(9)))
    with pyconv.use_backend("check"), pytest.raises(pyconv.KernelError) as caught:
        pyconv.im2col(X, 3, 2)
    assert caught.value.index == index
    assert caught.value.max_ulp == 1
    assert caught.value.place == {
        "matrix row": index[0], "image": 2, "window row": 3, "window column": 4,
        "matrix column": index[1], "channel": 1, "tap row": 2, "tap column": 1,
    }  # fmt: skip


def test_a_wrong_winner_of_a_block_is_named_though_rounding_may_decide(monkeypatch):
    y, argmax = pyconv.conv2d_block(X, W, pad=1, pool=2)
    index = tuple(np.argwhere(y > 0)[7])
    plant(monkeypatch, "conv2d_block", index, lambda tap: (tap + 1) % 4, of=1)
    with pyconv.use_backend("check"), pytest.raises(pyconv.KernelError, match="tap row") as caught:
        pyconv.conv2d_block(X, W, pad=1, pool=2)
    assert (caught.value.result, caught.value.index) == ("argmax", index)
    assert caught.value.reference == argmax[index]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_nan_where_numpy_has_a_number_is_wrong(monkeypatch, value):
    plant(monkeypatch, "conv2d", (0, 0, 0, 0), lambda _: value)
    with pyconv.use_backend("check"), pytest.raises(pyconv.KernelError) as caught:
        pyconv.conv2d(X, W)
    assert caught.value.max_absolute == caught.value.max_ulp == np.inf


def test_a_wrong_shape_or_dtype_is_wrong(monkeypatch):
    monkeypatch.setattr(_core, "relu", lambda x: x[:1].astype("f8"))
    says = r"about y: it is float64 \(1, 4, 9, 8\) instead of float32 \(3, 4, 9, 8\)"
    with pyconv.use_backend("check"), pytest.raises(pyconv.KernelError, match=says):
        pyconv.relu(X)


def test_a_call_is_replayed_from_the_error_and_from_a_file(monkeypatch, tmp_path):
    with monkeypatch.context() as planted:
        plant(planted, "conv2d", (1, 2, 3, 4), lambda value: -value)
        with pyconv.use_backend("check"), pytest.raises(pyconv.KernelError) as caught:
            pyconv.conv2d(X, W, pad=((1, 0), (0, 2)), stride=(2, 1))
        error = caught.value
        error.save(tmp_path / "call.npz")
        for again in (error.replay, lambda: verification.replay(tmp_path / "call.npz")):
            with pytest.raises(pyconv.KernelError) as caught:
                again()
            assert caught.value.index == (1, 2, 3, 4)
            assert str(caught.value).splitlines()[0] == str(error).splitlines()[0]
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
    right = pyconv.conv2d(X, W, pad=((1, 0), (0, 2)), stride=(2, 1))
    np.testing.assert_array_equal(error.replay(), right)
    np.testing.assert_array_equal(verification.replay(tmp_path / "call.npz"), right)


def test_a_file_without_a_call_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", x=X)
    with pytest.raises(ValueError, match=r"other\.npz holds no call"):
        verification.replay(tmp_path / "other.npz")


def test_a_wrong_step_is_named_and_not_taken(monkeypatch):
    right = _core.adam_step

    def wrong(param, *others):
        right(param, *others)
        param[2, 1] *= np.float32(1.001)

    monkeypatch.setattr(_core, "adam_step", wrong)
    params = {"W1": np.ones((3, 4), "f4")}
    with pyconv.use_backend("check"), pytest.raises(pyconv.KernelError) as caught:
        optimizers.Adam().update(params, {"W1": np.full((3, 4), 0.5, "f4")})
    assert (caught.value.function, caught.value.result) == ("adam_step", "param")
    assert caught.value.index == (2, 1)
    assert caught.value.__notes__ == ["in the update of parameter 'W1'"]
    np.testing.assert_array_equal(params["W1"], 1)
    with pytest.raises(pyconv.KernelError):
        caught.value.replay()


@pytest.mark.parametrize("kernel", ["conv2d_block", "conv2d_block_backward", "affine"])
def test_blocks_of_a_network_are_checked(monkeypatch, kernel):
    network, x = SimpleConvNet(rng=0), rng.random((4, 1, 28, 28)).astype("f4")
    t = np.arange(4)
    right = network.gradient(x, t)
    with pyconv.use_backend("check"):
        checked = network.gradient(x, t)
        for name, gradient in right.items():
            np.testing.assert_array_equal(checked[name], gradient)
        plant(monkeypatch, kernel, 0, lambda value: value + 1, of=1 if "back" in kernel else 0)
        with pytest.raises(pyconv.KernelError, match=kernel):
            network.gradient(x, t)


def test_a_training_passes_and_ends_where_the_native_one_does():
    x, t = rng.random((40, 1, 28, 28)).astype("f4"), np.arange(40) % 10
    ends = []
    for backend in ("native", "check"):
        network = SimpleConvNet(rng=0)
        with pyconv.use_backend(backend):
            trainer = pyconv.Trainer(
                network, x, t, x, t, epochs=2, mini_batch_size=20, optimizer=optimizers.Adam(),
                verbose=False, rng=0,
            )  # fmt: skip
            trainer.train()
        ends.append(network.params)
    for name, array in ends[0].items():
        np.testing.assert_array_equal(ends[1][name], array)


def test_a_layer_is_checked(monkeypatch):
    plant(monkeypatch, "conv2d", (0, 0, 0, 0), lambda value: value + 1)
    with pyconv.use_backend("check"), pytest.raises(pyconv.KernelError, match="conv2d"):
        layers.Convolution(W).forward(X)


def test_a_block_passes_where_winograd_makes_a_nan_of_an_infinity():
    rng = np.random.default_rng(3)
    x, W = rng.normal(size=(2, 40, 12, 12)), rng.normal(size=(36, 40, 3, 3))
    x[rng.random(x.shape) < 0.002] = -np.inf
    with pyconv.use_backend("check"):
        y, _ = pyconv.conv2d_block(x, W, pool=(1, 2))
    assert np.isnan(y).any()


@pytest.mark.parametrize("channels", [4, 6])
def test_gradients_of_few_channels_pass_where_winograd_spreads_a_nan(channels):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, channels, 32, 32)).astype(np.float32)
    dout = rng.normal(size=(4, 64, 26, 26)).astype(np.float32)
    x[0, 1, 1, 1] = np.nan
    with pyconv.use_backend("check"):
        dW, _ = pyconv.conv2d_backward_weight(x, dout, (64, channels, 7, 7))
    assert np.isnan(dW[:, 1]).any()
    assert np.isfinite(dW[:, 0]).all()
