"""Training: what a trainer does with its samples, shows, keeps, goes on from, and refuses."""

import io
import json
import math
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from trainings import (
    BATCH,
    STEPS,
    N,
    before_each,
    deep,
    everything,
    normalized,
    run,
    samples,
    simple,
    trainer,
)

from pyconv import Trainer, weights
from pyconv.datasets import load_digits
from pyconv.networks import SimpleConvNet
from pyconv.optimizers import OPTIMIZERS, Adam

# An epoch


def test_every_sample_is_seen_once_an_epoch_in_a_new_order(monkeypatch):
    training, batches = trainer(epochs=2), []
    before_each(
        monkeypatch, training.network, "gradient", lambda x, t: batches.append(x[:, 0, 0, 0])
    )
    training.train()
    assert [len(batch) for batch in batches] == [4, 4, 4, 4, 4, 3] * 2
    first, second = np.concatenate(batches[:STEPS]), np.concatenate(batches[STEPS:])
    assert sorted(first) == sorted(second) == list(range(N))
    assert not (first == second).all()
    assert len(training.train_loss_list) == 2 * STEPS
    assert len(training.train_acc_list) == len(training.test_acc_list) == training.epoch == 2


def test_train_step_takes_one_batch_and_prints_nothing(capsys):
    training = run(trainer(verbose=True), 1)
    assert len(training.train_loss_list) == 1
    assert (training.epoch, training.train_acc_list, capsys.readouterr().out) == (0, [], "")


@pytest.mark.parametrize("one_hot", [False, True])
def test_the_loss_on_digits_falls(one_hot):
    (x, t), (x_test, t_test) = load_digits()
    x, t, x_test = x[:300, :, ::2, ::2], t[:300], x_test[:, :, ::2, ::2]
    t, t_test = (np.eye(10)[t], np.eye(10)[t_test]) if one_hot else (t, t_test)
    network = SimpleConvNet((1, 14, 14), {"filter_num": 6}, 20, weight_init_std=0.1, rng=0)
    adam = Adam(0.01)
    training = Trainer(network, x, t, x_test, t_test, 4, 20, adam, verbose=False, rng=0)
    training.train()
    assert training.optimizer is adam
    assert np.mean(training.train_loss_list[-15:]) < 0.3 * np.mean(training.train_loss_list[:15])
    assert training.test_acc_list[-1] == network.accuracy(training.x_test, t_test) > 0.75


@pytest.mark.parametrize(("asked", "counted"), [(None, [N, 7]), (5, [5, 5]), (10, [10, 7])])
def test_accuracies_count_as_many_samples_as_asked(monkeypatch, asked, counted):
    training, counts = trainer(epochs=1, evaluate_sample_num_per_epoch=asked), []
    before_each(monkeypatch, training.network, "accuracy", lambda x, t: counts.append(len(x)))
    training.train()
    assert counts == counted


SCHEDULES = [
    ("constant", lambda done: 1),
    ("cosine", lambda done: (1 + math.cos(math.pi * done)) / 2),
    (lambda done: 1 - done, lambda done: 1 - done),
]


@pytest.mark.parametrize(("schedule", "factor"), SCHEDULES)
def test_the_schedule_sets_the_learning_rate_of_every_step(monkeypatch, schedule, factor):
    training, rates = trainer(schedule=schedule, optimizer_param={"lr": 0.5}, epochs=2), []
    optimizer = training.optimizer
    before_each(monkeypatch, optimizer, "update", lambda *_: rates.append(optimizer.lr))
    training.train()
    seen = [epoch + BATCH * step / N for epoch in range(2) for step in range(STEPS)]
    assert rates == pytest.approx([0.5 * factor(done / 2) for done in seen])


@pytest.mark.parametrize(("shift", "places"), [(0, 1), (1, 9)])
def test_every_image_is_moved_anew_by_up_to_shift_pixels(monkeypatch, shift, places):
    training, seen = trainer(epochs=40, shift=shift), []
    whole = training.x_train
    before_each(monkeypatch, training.network, "gradient", lambda x, t: seen.extend(x))
    training.train()
    padded = np.pad(whole, ((0, 0), (0, 0), (shift, shift), (shift, shift)))
    count = Counter(image.tobytes() for image in seen)
    windows = [sliding_window_view(image, (1, 8, 8)).reshape(-1, 64) for image in padded]
    uses = np.array([[count.pop(window.tobytes(), 0) for window in moved] for moved in windows])
    assert not count
    assert (uses.sum(axis=1) == 40).all()
    assert uses.shape == (N, places)
    assert uses.any(axis=0).all()
    assert training.x_train is whole


# What it shows


@pytest.mark.parametrize(("verbose", "epochs"), [(True, ["1/2", "2/2"]), (False, [])])
def test_a_pipe_gets_one_line_an_epoch(capsys, verbose, epochs):
    trainer(verbose=verbose, epochs=2).train()
    out, err = capsys.readouterr()
    assert [line[:10] for line in out.splitlines()] == [f"epoch {epoch}:" for epoch in epochs]
    shown = r"loss \d\.\d{4}, accuracy train [\d.]+%, test [\d.]+%, [\d,]+ images/s"
    assert all(re.search(f": {shown}$", line) for line in out.splitlines())
    assert err == ""


def test_a_terminal_gets_a_bar_that_is_gone_at_the_end(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stdout", terminal)
    trainer(verbose=True, epochs=2).train()
    shown = terminal.getvalue()
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1  # cursor hidden and back
    assert "\x1b[2K" in shown[shown.rindex("━") :]  # its line is erased
    assert [f"epoch {i}/2: loss" in shown for i in (1, 2)] == [True, True]


# Going on

OTHER_GENERATORS = ["PCG64DXSM", "MT19937", "Philox", "SFC64"]
RESUMED = [(simple, name, "PCG64", 0) for name in OPTIMIZERS]
RESUMED += [(simple, "sgd", kind, 0) for kind in OTHER_GENERATORS]
RESUMED += [(deep, "adam", "PCG64", 1), (normalized, "nesterov", "PCG64", 0)]


@pytest.mark.parametrize("steps", [0, STEPS, STEPS + 2])
@pytest.mark.parametrize(("build", "optimizer", "bits", "shift"), RESUMED)
def test_a_resumed_training_ends_with_the_same_bits(tmp_path, build, optimizer, bits, shift, steps):
    def make(seed):
        rng = np.random.Generator(getattr(np.random, bits)(seed))
        return trainer(build(seed), optimizer=optimizer, rng=rng, shift=shift)

    whole, begun, resumed = make(0), make(0), make(9)
    whole.notes = {"by": "me"}
    whole.train()
    begun.notes = {"by": "me"}
    run(begun, steps).save(tmp_path / "w.npz")
    resumed.resume(tmp_path / "w.npz")
    resumed.train()
    assert everything(resumed) == everything(whole)


@pytest.mark.parametrize("method", ["gradient", "accuracy"])
def test_an_interrupt_leaves_the_checkpoint_and_can_be_gone_on_from(monkeypatch, tmp_path, method):
    path, whole = tmp_path / "w.npz", run(trainer(), 3 * STEPS)
    training = run(trainer(checkpoint=path), STEPS)
    after_one_epoch = path.read_bytes()

    def interrupt(*_):
        if len(training.train_loss_list) > STEPS + 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        before_each(patched, training.network, method, interrupt)
        with pytest.raises(KeyboardInterrupt):
            training.train()
    assert path.read_bytes() == after_one_epoch
    assert [file.name for file in tmp_path.iterdir()] == ["w.npz"]
    resumed = trainer(checkpoint=path)
    resumed.resume(path)
    assert resumed.epoch == resumed.checkpoint_epoch == 1
    for going_on in (training, resumed):
        going_on.train()
        assert everything(going_on) == everything(whole)


@pytest.mark.parametrize("late", [False, True])
def test_an_interrupt_of_the_writing_leaves_the_epoch_that_is_told(monkeypatch, tmp_path, late):
    path, replace = tmp_path / "w.npz", Path.replace

    def interrupted(part, target):
        monkeypatch.undo()
        if late:
            replace(part, target)
        raise KeyboardInterrupt

    training = run(trainer(checkpoint=path), STEPS)
    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        training.train()
    assert weights.load_training(path)[0]["epoch"] == training.checkpoint_epoch == 2
    assert [file.name for file in tmp_path.iterdir()] == ["w.npz"]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Checkpoint of a training with Adam that stopped in its second epoch."""
    path = tmp_path_factory.mktemp("stopped") / "w.npz"
    run(trainer(optimizer="adam"), STEPS + 2).save(path)
    return path


def assert_refused(training, path, says):
    before = everything(training)
    with pytest.raises(ValueError, match=says):
        training.resume(path)
    assert everything(training) == before


DOUBLE = samples("train", N, np.float64) | samples("test", 7, np.float64)
DOUBLE["network"] = simple(0, dtype=np.float64)
OTHERS = [
    ({"optimizer": "sgd"}, "optimizer 'Adam', not 'SGD'"),
    ({"optimizer_param": {"lr": 0.1}}, "optimizer_settings .*0.01.*, not .*0.1"),
    ({"optimizer_param": {"beta1": 0.5}}, "optimizer_settings .*0.9.*, not .*0.5"),
    ({"mini_batch_size": 5}, "mini_batch_size 4, not 5"),
    ({"shift": 1}, "shift 0, not 1"),
    (samples("train", 22), "samples 23, not 22"),
    ({"network": simple(0, hidden_size=6)}, r"another network: layer Affine1 .*\(27, 6\)"),
    ({"network": normalized(0)}, "another network: layer Conv1"),
    ({"network": deep(0)}, "another network"),
    (DOUBLE, "float32 weights, but this network is float64"),
]


@pytest.mark.parametrize(("changes", "says"), OTHERS)
def test_resume_refuses_another_training(stopped, changes, says):
    assert_refused(trainer(**{"optimizer": "adam"} | changes), stopped, says)


def test_resume_refuses_weights_alone(tmp_path):
    simple(0).save_params(tmp_path / "w.npz")
    assert_refused(trainer(), tmp_path / "w.npz", "holds weights alone")


KEYS = ["epoch", "mini_batch_size", "samples", "optimizer", "optimizer_settings", "order", "notes",
        "optimizer_steps", "train_acc_list", "test_acc_list", "random", "shift"]  # fmt: skip
WRONG = [None, "x", -1, 1.5, True, math.inf, math.nan, 10**30, [], {}, [-1], [1.5], [[1]], {"a": 1}]
FINE = [("order", None), ("order", []), ("notes", {}), ("notes", []), ("notes", {"a": 1})]


def rewritten(path, state=None, without=None, **arrays):
    """A copy of a checkpoint with another training state or other arrays."""
    with np.load(path) as file:
        kept = {name: array for name, array in file.items() if name != without}
        assert set(json.loads(str(kept["training"]))) == set(KEYS)
    if state is not None:
        arrays["training"] = np.array(json.dumps(state(json.loads(str(kept["training"])))))
    np.savez(path.with_name("changed.npz"), **kept | arrays)
    return path.with_name("changed.npz")


@pytest.mark.parametrize("key", KEYS)
def test_resume_refuses_a_wrong_training_state(stopped, key):
    lacking = rewritten(stopped, lambda state: {k: v for k, v in state.items() if k != key})
    assert_refused(trainer(optimizer="adam"), lacking, "is damaged|comes from")
    for wrong in WRONG:
        if (key, wrong) not in FINE:
            changed = rewritten(stopped, lambda state, value=wrong: state | {key: value})
            assert_refused(trainer(optimizer="adam"), changed, "is damaged|comes from")


DAMAGE = {
    "float16": lambda array: array.astype(np.float16),
    "complex": lambda array: array.astype(complex),
    "text": lambda array: array.astype(str),
    "an axis more": lambda array: array[..., np.newaxis],
    "no axis": lambda array: array.sum(),
}


@pytest.mark.parametrize("damage", [None, *DAMAGE])
def test_resume_refuses_a_missing_or_misshapen_array(stopped, damage):
    with np.load(stopped) as file:
        arrays = {name: array for name, array in file.items() if name.startswith("training.")}
    assert len(arrays) == 1 + 2 * 6  # the losses, and Adam's two for each parameter
    for name, array in arrays.items():
        changes = {name: DAMAGE[damage](array)} if damage else {"without": name}
        changed = rewritten(stopped, **changes)
        assert_refused(trainer(optimizer="adam"), changed, "is damaged")


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(LEAVES, lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=5)


@settings(max_examples=60)
@given(st.sampled_from(KEYS), st.sampled_from(["state", "has_uint32", "inc"]), JSON)
def test_whatever_the_training_state_resume_refuses_or_training_goes_on(stopped, key, part, value):
    def state(training):
        if key != "random":
            return training | {key: value}
        place = training["random"][0]
        place = place if part in place else place["state"]
        place[part] = value
        return training

    path, resumed = rewritten(stopped, state), trainer(optimizer="adam")
    before = everything(resumed)
    try:
        resumed.resume(path)
    except ValueError:
        assert everything(resumed) == before
    else:
        resumed.train_step()


# What stops it


@pytest.mark.parametrize(
    ("bad_from", "factor", "says"),
    [
        (1, 1e30, r"the loss became (nan|inf) in step 8 \(epoch 2\)"),
        (1 + 19 / N, 1e60, r"\w+ ceased to be finite in step 12 \(epoch 2\)"),
    ],
)
def test_a_training_that_diverges_keeps_its_checkpoint(tmp_path, bad_from, factor, says):
    path = tmp_path / "w.npz"
    training = trainer(schedule=lambda done: factor if 3 * done > bad_from - 1e-6 else 1)
    training.checkpoint = path
    after_one_epoch = run(training, STEPS).checkpoint.read_bytes()
    with pytest.raises(FloatingPointError, match=says + r".*w\.npz still holds epoch 1"):
        training.train()
    assert path.read_bytes() == after_one_epoch


def test_a_nan_among_the_samples_stops_the_training_before_it_reaches_the_weights():
    given = samples("train", N)
    given["x_train"][5, 0, 4, 4] = np.nan
    training = trainer(**given)
    with pytest.raises(FloatingPointError, match=r"loss became nan in step \d .*is no checkpoint"):
        training.train()
    assert all(np.isfinite(param).all() for param in training.network.params.values())


X, T = samples("train", N).values()
MISFITS = [
    ({"network": [None]}, TypeError, "network must be a pyconv.networks.Sequential, not list"),
    ({"x_train": X[:0], "t_train": T[:0]}, ValueError, r"train set is empty: .* \(0, 1, 8, 8\)"),
    ({"x_test": X[:0], "t_test": T[:0]}, ValueError, "test set is empty"),
    ({"t_train": T[1:]}, ValueError, r"holds 23 samples, but t_train has shape \(22,\)"),
    ({"t_test": list(T)}, TypeError, "t_test must be a NumPy array of labels, not list"),
    ({"x_train": X.tolist()}, TypeError, "x_train must be a NumPy array, not list"),
    ({"x_train": X.astype(int)}, TypeError, "x_train has dtype int64, but"),
    ({"x_train": X.astype(float)}, TypeError, "x is float64 but the network is float32"),
    ({"x_train": X[:, :, 1:]}, ValueError, r"x has shape .*takes a batch \(N, 1, 8, 8\)"),
    ({"t_train": T + 1}, ValueError, r"t_train\[\d+\] is 3, but labels run from 0 to 2"),
    ({"t_train": T - 1}, ValueError, r"t_train\[\d+\] is -1, but labels run from 0 to 2"),
    ({"t_train": T / 1}, TypeError, "t_train must hold whole numbers .* float64"),
    ({"t_train": np.eye(4)[T]}, ValueError, r"t_train has shape \(23, 4\), .*\(23, 3\)"),
    ({"optimizer": "SDG"}, ValueError, "one of SGD, Momentum, .*Adam, .* not 'SDG'"),
    ({"optimizer": 3}, ValueError, "one of SGD, .*, not 3"),
    ({"optimizer_param": {"momentum": 1}}, TypeError, "{'momentum': 1} does not fit SGD: .*'mom"),
    ({"optimizer_param": {"lr": -1}}, ValueError, "lr must be at least 0 and finite, not -1"),
    ({"optimizer": Adam(), "optimizer_param": {}}, ValueError, "not for an object"),
    ({"epochs": 0}, ValueError, "epochs must be at least 1, not 0"),
    ({"epochs": 1.5}, TypeError, r"epochs must be a whole number, not 1\.5"),
    ({"mini_batch_size": 0}, ValueError, "mini_batch_size must be at least 1, not 0"),
    ({"evaluate_sample_num_per_epoch": 0}, ValueError, "epoch must be at least 1, not 0"),
    ({"schedule": "linear"}, ValueError, "one of constant, cosine, not 'linear'"),
    ({"shift": -1}, ValueError, "shift must be at least 0, not -1"),
    ({"schedule": 1}, TypeError, "schedule must be a name or a function, not 1"),
    ({"checkpoint": "w.pkl"}, ValueError, "'w.pkl' does not end in .npz"),
]


@pytest.mark.parametrize(("changes", "error", "says"), MISFITS)
def test_what_does_not_fit_is_refused_with_a_sentence_before_any_training(changes, error, says):
    with pytest.raises(error, match=says):
        trainer(**changes)


def test_one_hot_rows_that_are_none_are_refused_before_any_training():
    x, rows = np.ones((3, 1, 8, 8), np.float32), np.eye(3)
    with pytest.raises(ValueError, match="every row of t_test must be probabilities"):
        Trainer(simple(0), x, rows, x, 0 * rows)


def test_the_optimizer_keeps_its_own_learning_rate():
    (x, t), _ = load_digits()
    optimizer = Adam(0.002)
    given = {"epochs": 1, "optimizer": optimizer, "schedule": "cosine", "verbose": False}
    Trainer(SimpleConvNet(rng=0), x[:200], t[:200], x[:20], t[:20], **given).train()
    assert optimizer.lr == 0.002
