"""Where the time of one's own network goes, layer by layer: `pyconv.profile`."""

import copy
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass
from typing import TypeAlias

import numpy as np

from ..backend import current_backend
from ..checks import Array
from ..layers import Layer
from ..networks.sequential import Sequential, need_network
from ..system import build_info, get_num_threads
from .network_report import NetworkProfile, ProfileRow
from .samples import spread

Row: TypeAlias = tuple[str, str]  # layers and pass
Watch: TypeAlias = Callable[[Row, Array | None, Array | None], None]

# Rounds until the time is over, but enough for quartiles; the first ones warm up caches and clock.
SECONDS = 1.0
FEWEST_ROUNDS = 9
MOST_ROUNDS = 1000
WARM_UP_ROUNDS = 2
LOSS = "Softmax"  # its name in summaries


def profile(network: Sequential, x: Array, t: Array | None = None) -> NetworkProfile:
    """Time a network layer by layer, as it really runs.

    Parameters
    ----------
    network : Sequential
        Any, e.g. a `SimpleConvNet`. It stays as it is: a copy is run, so parameters, gradients,
        running statistics and random generators do not change.
    x : ndarray (N, ...)
        A batch, of the size that matters to you.
    t : ndarray, optional
        Its labels (N,) or one-hot rows (N, classes). With them a training step is timed, what
        `network.gradient(x, t)` does: forward in training mode, the loss, and backward. Without,
        `network.predict(x)`.

    Returns
    -------
    NetworkProfile
        A row for each layer and pass, in the order in which they run. `print` it, let a notebook
        draw it, or take `as_dict()`.

    Raises
    ------
    TypeError, ValueError
        When `network` is not one, or `x` or `t` is none that it takes.
    RuntimeError
        When `network.predict` computes something else than the layers one after another.

    Notes
    -----
    Neighbours that the network computes in one, such as convolution, ReLU and pooling, have one row
    as they have one time; with `network.fused = False` each layer has its own. Every round runs the
    layers one after another and the whole network once, in turns, so that a row finds in the caches
    what it does in earnest, and the sum of the rows can be held against the whole. A row's time is
    the median over the rounds.
    """
    need_network(network)
    _compare_with_predict(network, x)
    run = _Run(copy.deepcopy(network), x, t)
    whole = copy.deepcopy(network)
    totals: list[float] = []

    def call() -> None:
        start = time.perf_counter()
        if t is None:
            whole.predict(x)
        else:
            whole.gradient(x, t)
        totals.append(time.perf_counter() - start)

    for _ in range(WARM_UP_ROUNDS):
        call()
        run.round()
    costs = _costs(run)
    totals.clear()
    run.forget()
    end = time.perf_counter() + SECONDS
    while len(totals) < FEWEST_ROUNDS or (len(totals) < MOST_ROUNDS and time.perf_counter() < end):
        call()
        run.round()
    rows = [
        ProfileRow(*row, statistics.median(times), spread(times), *astuple(costs[row]))
        for row, times in run.samples.items()
    ]
    return NetworkProfile(
        network=network.name,
        call="predict" if t is None else "gradient",
        input_shape=x.shape,
        dtype=str(x.dtype),
        threads=get_num_threads(),
        backend=current_backend(),
        isa=str(build_info()["isa"]),
        rounds=len(totals),
        rows=rows,
        call_seconds=statistics.median(totals),
        call_spread=spread(totals),
    )


def _compare_with_predict(network: Sequential, x: Array) -> None:
    """Nothing is timed that is not what the network computes."""
    expected = copy.deepcopy(network).predict(x)
    if not len(x):
        raise ValueError(f"there is nothing to time in an empty batch: x has shape {x.shape}")
    found = x
    for step in copy.deepcopy(network).steps().values():
        found = step.forward(found, False, keep=False)
    if found.shape != expected.shape or not np.array_equal(found, expected, equal_nan=True):
        raise RuntimeError(
            f"{type(network).__name__}.predict computes something else than the network's layers "
            "one after another, so their times would not be its own"
        )


def _sizes(arrays: Iterable[object]) -> dict[int, int]:
    """Bytes by the memory that arrays lie in: views of the same memory count once."""
    sizes: dict[int, int] = {}
    for array in arrays:
        if isinstance(array, np.ndarray):
            owner = array
            while isinstance(owner.base, np.ndarray):
                owner = owner.base
            sizes[id(owner)] = max(sizes.get(id(owner), 0), array.nbytes)
    return sizes


class _Run:
    """A network's steps, the loss and the way back, as `predict` and `gradient` go through them.

    Attributes
    ----------
    rows : list of tuple
        Layers and pass of every row, in the order in which they run.
    samples : dict
        Of every row, its seconds in each round so far.
    """

    def __init__(self, network: Sequential, x: Array, t: Array | None) -> None:
        self.network, self.x, self.t = network, x, t
        self.steps = list(network.steps().items())
        self.rows = [(name, "forward") for name, _ in self.steps]
        if t is not None:
            self.rows += [(LOSS, "forward"), (LOSS, "backward")]
            self.rows += [(name, "backward") for name, _ in reversed(self.steps)]
        self.samples: dict[Row, list[float]] = {}
        self.forget()

    def forget(self) -> None:
        """Take no notice of the rounds so far."""
        self.samples = {row: [] for row in self.rows}

    def round(self, watch: Watch | None = None) -> None:
        """Everything once.

        `watch` is called after each row with the row, the array that came in and the one that left.
        """
        clock, training = time.perf_counter, self.t is not None
        x: Array | None = self.x
        for name, step in self.steps:
            came = x if watch else None  # kept no longer than the network would keep it
            start = clock()
            x = step.forward(x, training, keep=training)  # type: ignore[arg-type]
            self._note((name, "forward"), clock() - start, watch, came, x)
        if self.t is None:
            return
        loss = self.network.last_layer
        start = clock()
        loss.forward(x, self.t)  # type: ignore[arg-type]
        self._note((LOSS, "forward"), clock() - start, watch, x, None)
        x = None
        start = clock()
        dout: Array | None = loss.backward()
        self._note((LOSS, "backward"), clock() - start, watch, None, dout)
        for name, step in reversed(self.steps):
            if dout is None:
                raise ValueError("only the first layer of a network can have need_dx=False")
            came = dout if watch else None
            start = clock()
            dout = step.backward(dout, need_dx=step is not self.steps[0][1])
            self._note((name, "backward"), clock() - start, watch, came, dout)

    def _note(
        self,
        row: Row,
        seconds: float,
        watch: Watch | None,
        came: Array | None,
        left: Array | None,
    ) -> None:
        self.samples[row].append(seconds)
        if watch is not None:
            watch(row, came, left)


@dataclass(frozen=True)
class _Cost:
    """What a row does, whatever its time.

    Attributes
    ----------
    flops : int
        Operations, a multiply-add being two.
    bytes : int
        Size of every array read or written, each counted once.
    kept : int
        Size of the arrays that stay for backward and that no earlier row has kept.
    """

    flops: int
    bytes: int
    kept: int


def _costs(run: _Run) -> dict[Row, _Cost]:
    """The costs of every row, found by looking at the arrays while it runs once more."""
    steps, loss = dict(run.steps), run.network.last_layer
    shapes: dict[str, tuple[int, ...]] = {}  # that come in
    held: dict[str, list[Array]] = {}
    known: dict[int, int] = {}
    costs: dict[Row, _Cost] = {}

    def watch(row: Row, came: Array | None, left: Array | None) -> None:
        name, which = row
        layers = steps[name].layers if name in steps else ()
        parameters = [getattr(layer, own) for layer in layers for own in layer.parameters]
        weighted = 0  # how many times it does its multiply-adds
        if which == "forward":
            held[name] = steps[name].held() if name in steps else loss.held()
            weighted = 1
            if came is not None:
                shapes[name] = came.shape
            moved = [came, left, *parameters, *held[name]]
        else:
            gradients = [getattr(layer, f"d{own}") for layer in layers for own in layer.parameters]
            weighted = bool(parameters) + (left is not None)
            moved = [came, left, *parameters, *gradients, *held[name]]
        if came is not None and left is not None and np.shares_memory(came, left):
            moved = []  # the same memory seen in another shape
        kept = {}
        if which == "forward":
            kept = {key: size for key, size in _sizes(held[name]).items() if key not in known}
            known.update(kept)
        flops = 2 * weighted * _multiply_adds(layers, shapes[name])
        costs[row] = _Cost(flops, sum(_sizes(moved).values()), sum(kept.values()))

    run.round(watch)
    return costs


def _multiply_adds(layers: Iterable[Layer], shape: tuple[int, ...]) -> int:
    """Of a forward pass of a batch of this shape."""
    N, *rest = shape
    sample, total = tuple(rest), 0
    for layer in layers:
        total += layer.multiply_adds(sample)
        sample = layer.output_shape(sample)
    return N * total
