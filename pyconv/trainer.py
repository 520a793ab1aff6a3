"""Training: mini-batches, evaluation after every epoch, checkpoints to go on from."""

import copy
import math
import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from . import checks, weights
from .checks import Array, float_array
from .layers import Dropout
from .layers.loss import one_hot
from .networks.sequential import Sequential, need_network
from .optimizers import OPTIMIZERS, Optimizer
from .progress import TrainingProgress
from .window import whole

Schedule = Callable[[float], float]


def cosine(progress: float) -> float:
    """From 1 down to 0 along half a cosine (Loshchilov and Hutter, "SGDR", 2017)."""
    return (1 + math.cos(math.pi * progress)) / 2


BOOKS_OPTIMIZER_PARAM: Mapping[str, Any] = MappingProxyType({"lr": 0.01})
SCHEDULES: dict[str, Schedule] = {"constant": lambda progress: 1.0, "cosine": cosine}


def shifted(x: Array, most: int, rng: np.random.Generator) -> Array:
    """Images (N, C, H, W), each moved by up to `most` pixels along both axes; zeros move in."""
    N, C, H, W = x.shape
    padded = np.zeros((N, C, H + 2 * most, W + 2 * most), x.dtype)
    padded[:, :, most : most + H, most : most + W] = x
    windows = np.lib.stride_tricks.sliding_window_view(padded, (H, W), axis=(2, 3))
    down, right = rng.integers(0, 2 * most + 1, size=(2, N))
    return np.ascontiguousarray(windows[np.arange(N), :, down, right])


class Trainer:
    """Trains a network on mini-batches, every sample once an epoch.

    Parameters
    ----------
    network : Sequential
    x_train, x_test : ndarray (N, ...)
        Samples in the network's dtype.
    t_train, t_test : ndarray (N,) or (N, classes)
        Labels or one-hot rows.
    epochs : int
        Times that `train` goes through the training samples.
    mini_batch_size : int
        Samples of a step; the last one of an epoch takes what is left.
    optimizer : str or Optimizer
        "SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop" or "Adam", in any case of letters.
    optimizer_param : mapping, optional
        Arguments of the optimizer that is named: {"lr": 0.01}, the book's, unless given. What the
        mapping leaves out is the optimizer's own default.
    evaluate_sample_num_per_epoch : int, optional
        How many of the first training and test samples the accuracies after every epoch count; all
        where left out.
    verbose : bool
        Show a progress bar on a terminal, or a line per epoch elsewhere.
    schedule : {"constant", "cosine"} or callable
        Factor of the learning rate, as a function of the part of the training that is done, 0 to 1.
    shift : int
        Move every training image by up to this many pixels up or down and left or right, anew each
        time it is used. A few hundred images then teach what thousands would.
    rng : None, int or numpy.random.Generator
        Seed of the order of samples and of their shifts.
    checkpoint : str or path-like, optional
        An .npz file that is written after every epoch: weights, and what `resume` needs.

    Attributes
    ----------
    epoch : int
        Epochs that are complete.
    train_loss_list : list of float
        Loss of every step.
    train_acc_list, test_acc_list : list of float
        Accuracies after every epoch.
    checkpoint_epoch : int or None
        Epoch that `checkpoint` holds; None before this training has written one.
    notes : dict
        Kept in the checkpoint for whoever resumes it; must be fit for JSON.

    Raises
    ------
    TypeError, ValueError
        When the data are empty or do not fit the network, or an argument is out of range.
    """

    def __init__(
        self,
        network: Sequential,
        x_train: Array,
        t_train: Array,
        x_test: Array,
        t_test: Array,
        epochs: int = 20,
        mini_batch_size: int = 100,
        optimizer: str | Optimizer = "SGD",
        optimizer_param: Mapping[str, Any] = BOOKS_OPTIMIZER_PARAM,
        evaluate_sample_num_per_epoch: int | None = None,
        verbose: bool = True,
        schedule: str | Schedule = "constant",
        shift: int = 0,
        rng: int | np.random.Generator | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> None:
        need_network(network)
        self.network = network
        self.x_train, self.t_train = _samples("train", x_train, t_train, network)
        self.x_test, self.t_test = _samples("test", x_test, t_test, network)
        self.epochs = whole("epochs", epochs, 1)
        self.mini_batch_size = whole("mini_batch_size", mini_batch_size, 1)
        self.optimizer = _optimizer(optimizer, optimizer_param)
        if evaluate_sample_num_per_epoch is not None:
            whole("evaluate_sample_num_per_epoch", evaluate_sample_num_per_epoch, 1)
        self.evaluate_sample_num_per_epoch = evaluate_sample_num_per_epoch
        self.verbose = verbose
        if isinstance(schedule, str) and schedule not in SCHEDULES:
            raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, not {schedule!r}")
        if not isinstance(schedule, str) and not callable(schedule):
            raise TypeError(f"schedule must be a name or a function, not {schedule!r}")
        self.schedule = SCHEDULES[schedule] if isinstance(schedule, str) else schedule
        self.shift = whole("shift", shift)
        if self.shift and self.x_train.ndim != 4:
            raise ValueError(f"only images (N, C, H, W) can be shifted, not {self.x_train.shape}")
        self.rng = checks.generator(rng)
        self.checkpoint = weights.npz_path(checkpoint) if checkpoint is not None else None

        self.lr = self.optimizer.lr
        self.epoch = 0
        self.train_loss_list: list[float] = []
        self.train_acc_list: list[float] = []
        self.test_acc_list: list[float] = []
        self.checkpoint_epoch: int | None = None
        self.notes: dict[str, Any] = {}
        self._order: Array | None = None  # what is left of this epoch's samples, once it has begun
        self._progress = TrainingProgress(self.epochs, len(self.x_train), verbose=False)

    def train(self) -> None:
        """Train until `epochs` epochs are complete.

        Raises
        ------
        FloatingPointError
            When the loss is no longer a finite number. The checkpoint is then the last good one.
        """
        with TrainingProgress(self.epochs, len(self.x_train), self.verbose) as self._progress:
            try:
                while self.epoch < self.epochs:
                    self.train_step()
            finally:
                self.optimizer.lr = self.lr  # not what the schedule had come to

    @np.errstate(all="ignore")  # numbers that overflow end in the error that the docstring names
    def train_step(self) -> None:
        """Train on one mini-batch; after an epoch's last one, evaluate and write the checkpoint.

        Raises
        ------
        FloatingPointError
            When the loss is no longer a finite number, and the parameters are not updated; or when
            a parameter is not at the end of an epoch, and no checkpoint is written.
        """
        count = len(self.x_train)
        if self._order is None:
            self._order = self.rng.permutation(count)
        if len(self._order):  # else an interrupt came before this epoch's evaluation was done
            batch = self._order[: self.mini_batch_size]
            part_of_epoch = 1 - len(self._order) / count
            self.optimizer.lr = self.lr * self.schedule(
                min((self.epoch + part_of_epoch) / self.epochs, 1.0)
            )
            x, t = self.x_train.take(batch, axis=0), self.t_train.take(batch, axis=0)
            if self.shift:
                x = shifted(x, self.shift, self.rng)
            grads = self.network.gradient(x, t)
            loss = self.network.last_layer.loss
            if loss is None or not math.isfinite(loss):
                step = len(self.train_loss_list) + 1
                raise FloatingPointError(self._diverged(f"the loss became {loss}", step))
            self.optimizer.update(self.network.params, grads)
            self.train_loss_list.append(loss)
            self._order = self._order[self.mini_batch_size :]
            self._progress.step(self.epoch + 1, loss, self._hits(t), len(batch))
        if not len(self._order):
            self._finish_epoch()

    def _hits(self, t: Array) -> int:
        y = self.network.last_layer.y
        assert y is not None
        labels = t.argmax(axis=1) if t.ndim == 2 else t
        return int((y.argmax(axis=1) == labels).sum())

    def _finish_epoch(self) -> None:
        speed = self._progress.speed()  # of the training alone, without the evaluation
        for name, array in {**self.network.params, **self.network.buffers}.items():
            if not np.isfinite(array).all():  # not to be written over a good checkpoint
                step = len(self.train_loss_list)
                raise FloatingPointError(self._diverged(f"{name} ceased to be finite", step))
        first = slice(self.evaluate_sample_num_per_epoch)
        train_acc = self.network.accuracy(self.x_train[first], self.t_train[first])
        test_acc = self.network.accuracy(self.x_test[first], self.t_test[first])
        self.train_acc_list.append(train_acc)
        self.test_acc_list.append(test_acc)
        self.epoch += 1
        self._order = None
        if self.checkpoint is not None:
            try:
                self.save(self.checkpoint)
            except KeyboardInterrupt:  # is the new file in its place or not? Now it is
                self.save(self.checkpoint)
                self.checkpoint_epoch = self.epoch
                raise
            self.checkpoint_epoch = self.epoch
        self._progress.epoch(self.epoch, train_acc, test_acc, speed)

    def _diverged(self, what: str, step: int) -> str:
        kept = "there is no checkpoint"
        if self.checkpoint_epoch is not None:
            kept = f"the checkpoint {self.checkpoint} still holds epoch {self.checkpoint_epoch}"
        return (
            f"{what} in step {step} (epoch {self.epoch + 1}) with learning rate "
            f"{self.optimizer.lr:g}: training has stopped, {kept}. Try a smaller learning rate."
        )

    def _random_generators(self) -> list[np.random.Generator]:
        layers = self.network.layers.values()
        return [self.rng, *(layer.rng for layer in layers if isinstance(layer, Dropout))]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights and everything `resume` needs to an .npz file, all or nothing."""
        training = {
            "epoch": self.epoch,
            "mini_batch_size": self.mini_batch_size,
            "samples": len(self.x_train),
            "shift": self.shift,
            "optimizer": type(self.optimizer).__name__,
            "optimizer_settings": {**self.optimizer.settings(), "lr": self.lr},
            "optimizer_steps": self.optimizer.steps,
            "train_acc_list": self.train_acc_list,
            "test_acc_list": self.test_acc_list,
            "random": [rng.bit_generator.state for rng in self._random_generators()],
            "order": None if self._order is None else self._order.tolist(),
            "notes": self.notes,
        }
        arrays = {"train_loss_list": np.array(self.train_loss_list)}
        for quantity, by_parameter in self.optimizer.state.items():
            arrays |= {f"{quantity}.{name}": array for name, array in by_parameter.items()}
        net = self.network
        weights.write(path, net.describe(), {**net.params, **net.buffers}, training, arrays)

    def resume(self, path: str | os.PathLike[str]) -> None:
        """Go on from a checkpoint.

        With the same data, schedule and `epochs` the training ends as if it had never stopped.

        Raises
        ------
        FileNotFoundError
            When there is no such file.
        ValueError
            When the file is damaged, holds weights alone, or comes from a training on another
            number of samples, or with another network, batch size, shift or optimizer. Nothing has
            changed then.
        """
        training, arrays = weights.load_training(path)
        ours = {
            "optimizer": type(self.optimizer).__name__,
            "optimizer_settings": {**self.optimizer.settings(), "lr": self.lr},
            "mini_batch_size": self.mini_batch_size,
            "samples": len(self.x_train),
            "shift": self.shift,
        }
        for name, value in ours.items():
            if training.get(name) != value:
                raise ValueError(
                    f"{path} comes from a training with {name} {training.get(name)!r}, "
                    f"not {value!r}"
                )
        loaded = self.network.load_twin(path)
        try:
            epoch, steps = (whole(name, training[name]) for name in ("epoch", "optimizer_steps"))
            params = self.network.params if steps else {}  # before the first step there is no state
            state = {
                quantity: {n: _like(p, arrays[f"{quantity}.{n}"]) for n, p in params.items()}
                for quantity in self.optimizer.quantities
            }
            losses = _like(np.empty(len(arrays["train_loss_list"])), arrays["train_loss_list"])
            train_acc = _accuracies(training["train_acc_list"], epoch)
            test_acc = _accuracies(training["test_acc_list"], epoch)
            order = _order(training["order"], len(self.x_train))
            notes = dict(training["notes"])
            randoms = list(zip(self._random_generators(), training["random"], strict=True))
            for generator, random_state in randoms:  # tried out on one that nobody else has
                copy.deepcopy(generator).bit_generator.state = random_state
        except Exception as error:  # the training state is a stranger's text
            reason = f"{type(error).__name__}: {error}"
            raise ValueError(f"{path} is damaged: its training state is wrong: {reason}") from error
        self.network.copy_params(loaded)
        for generator, random_state in randoms:
            generator.bit_generator.state = random_state
        self.optimizer.state, self.optimizer.steps = state, steps
        self.epoch, self.train_loss_list, self.notes = epoch, losses.tolist(), notes
        self.train_acc_list, self.test_acc_list = train_acc, test_acc
        self._order = order
        if self.checkpoint and self.checkpoint.exists() and self.checkpoint.samefile(path):
            self.checkpoint_epoch = epoch


def _like(array: Array, found: Array) -> Array:
    checks.same_shape("an array", found.shape, array.shape, "what it belongs to")
    checks.same_dtype(found=found, wanted=array)
    return found


def _accuracies(found: list[float], epochs: int) -> list[float]:
    if len(found) != epochs or not all(isinstance(a, float) and 0 <= a <= 1 for a in found):
        raise ValueError(f"{found!r} are not the accuracies of {epochs} epochs")
    return list(found)


def _order(found: list[int] | None, samples: int) -> Array | None:
    if found is None:
        return None
    if len(set(found)) != len(found) or not set(found) <= set(range(samples)):
        raise ValueError(
            f"the order of samples names one twice, or one that is not among {samples}"
        )
    return np.array(found, np.intp)


def _samples(kind: str, x: Array, t: Array, network: Sequential) -> tuple[Array, Array]:
    x = float_array(f"x_{kind}", x)
    if not isinstance(t, np.ndarray):
        raise TypeError(f"t_{kind} must be a NumPy array of labels, not {type(t).__name__}")
    if not x.ndim or not len(x):
        raise ValueError(f"the {kind} set is empty: x_{kind} has shape {x.shape}")
    if not t.ndim or len(t) != len(x):
        raise ValueError(
            f"x_{kind} of shape {x.shape} holds {len(x)} samples, but t_{kind} has shape {t.shape}"
        )
    scores = network.predict(x[:1])  # refuses what does not fit here and not after an epoch
    one_hot(t, scores.shape[-1], len(x), scores.dtype, f"t_{kind}")
    return x, t


def _optimizer(optimizer: str | Optimizer, param: Mapping[str, Any]) -> Optimizer:
    if isinstance(optimizer, Optimizer):
        if param is not BOOKS_OPTIMIZER_PARAM:
            raise ValueError("optimizer_param is for an optimizer that is named, not for an object")
        return optimizer
    kind = OPTIMIZERS.get(optimizer.lower()) if isinstance(optimizer, str) else None
    if kind is None:
        names = ", ".join(kind.__name__ for kind in OPTIMIZERS.values())
        raise ValueError(f"optimizer must be one of {names}, or an Optimizer, not {optimizer!r}")
    try:
        return kind(**param)
    except TypeError as error:
        raise TypeError(f"optimizer_param {param!r} does not fit {optimizer}: {error}") from None
