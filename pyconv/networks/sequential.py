"""A network of layers one after another: what every network here is."""

import copy
import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import checks, layers, weights
from ..checks import Array
from ..layers import Dropout, Layer, SoftmaxWithLoss
from ..layers.loss import one_hot
from ..summary import Row, print_summary
from ..window import whole
from .arrays import Arrays
from .fusion import Step
from .memory_plan import MemoryPlan, make_plan
from .plan import Plan


class Sequential:
    """Layers that pass a batch on, one to the next, and a softmax loss at the end.

    Parameters
    ----------
    layers : iterable of Layer
        In order. They get the names Conv1, Relu1, Pool1, ..., a count for each kind.
    input_dim : (C, H, W) or (D,), optional
        Shape of one sample. With it the layers are checked to fit together here and now, and
        `summary` needs no argument.
    name : str, optional
        What the network is called in summaries and weight files.
    fused : bool
        Whether to compute neighbours in one pass over memory: convolution, ReLU and max-pooling
        whose windows stand side by side, and affine and ReLU. Results and gradients are the same,
        to rounding.

    Attributes
    ----------
    layers : dict of str to Layer
    last_layer : SoftmaxWithLoss
    params : mapping of str to ndarray
        The layers' own parameter arrays, numbered over the layers that have any: W1, b1, W2, ...
        Assigning to one writes the numbers into the layer's array.
    buffers : mapping of str to ndarray
        Arrays that are part of the network's state but have no gradient, numbered likewise.
    fused : bool
        May be set at any time. Layers computed in one get their gradients (`dW`, ...) as ever, but
        keep nothing of the batch: their `x`, `mask` and `argmax` are None afterwards. Setting it to
        False runs every layer's own `forward` and `backward`; the reference backend always does.
    dtype : numpy dtype
        Of the parameters; float32 where there are none.

    Raises
    ------
    TypeError, ValueError
        When there are no layers, they differ in dtype, or one does not fit the next.
    """

    def __init__(
        self,
        layers: Iterable[Layer],
        input_dim: tuple[int, ...] | None = None,
        name: str = "Sequential",
        fused: bool = True,
    ) -> None:
        checks.flag("fused", fused)
        if not isinstance(layers, Iterable):
            raise TypeError(f"layers must be a list of pyconv.layers.Layer objects, not {layers!r}")
        self.name, self.fused = name, fused
        self.layers: dict[str, Layer] = {}
        self.last_layer = SoftmaxWithLoss()
        self.params = Arrays()
        self.buffers = Arrays()
        self._gradients: dict[str, tuple[Layer, str]] = {}
        counts: dict[str, int] = {}
        number = 0
        for layer in layers:
            if not isinstance(layer, Layer):
                raise TypeError(f"layers must be pyconv.layers.Layer objects, not {layer!r}")
            if any(layer is other for other in self.layers.values()):
                raise ValueError(f"{layer!r} is in the network twice; use two layers")
            counts[layer.label] = counts.get(layer.label, 0) + 1
            self.layers[f"{layer.label}{counts[layer.label]}"] = layer
            number += bool(layer.parameters)
            for attribute in layer.parameters:
                self.params.alias(f"{attribute}{number}", getattr(layer, attribute))
                self._gradients[f"{attribute}{number}"] = (layer, f"d{attribute}")
            for attribute in layer.buffers:
                self.buffers.alias(f"{attribute}{number}", getattr(layer, attribute))
        if not self.layers:
            raise ValueError("a network needs at least one layer")
        checks.same_dtype(**self.params)
        found = next((p.dtype for p in self.params.values()), np.dtype(np.float32))
        self.dtype: np.dtype[Any] = found.newbyteorder("=")
        self._plan = Plan()
        self._in_gradient = False
        self._steps_taken: list[Step] | None = None
        self.input_dim: tuple[int, ...] | None = None
        if input_dim is not None:
            self.input_dim = _sample_shape(input_dim)
            self.output_shapes()

    def predict(self, x: Array, train_flg: bool = False) -> Array:
        """Scores (N, classes) of a batch (N, ...), before the softmax.

        Raises
        ------
        TypeError, ValueError
            When `x` has not the dtype or the shape that the network takes.
        """
        x = checks.float_array("x", x)
        if not self._in_gradient:
            scores = self._plan.predict(x, self.layers.values(), self.fused)
            if scores is not None:
                return scores
        if self.input_dim is not None and x.shape[1:] != self.input_dim:
            sizes = ", ".join(map(str, self.input_dim))
            raise ValueError(f"x has shape {x.shape}, but {self.name} takes a batch (N, {sizes})")
        if x.dtype != self.dtype:
            raise TypeError(
                f"x is {x.dtype} but the network is {self.dtype}; convert x with "
                f"x.astype(np.{self.dtype}), or make the network with dtype=np.{x.dtype}"
            )
        steps = self._plan.steps(self.layers.values(), self.fused)
        known = []
        for step in steps:
            shape = np.shape(x)[1:]
            x = step.forward(x, train_flg, keep=self._in_gradient)
            known.append(step.known(shape))
        if self._in_gradient:
            self._steps_taken = steps
        else:
            self._plan.prepare(self.layers.values(), known)
        return x

    def loss(self, x: Array, t: Array, train_flg: bool = True) -> float:
        """Cross-entropy of a batch, its mean over N. `t`: labels (N,) or one-hot (N, classes)."""
        return self.last_layer.forward(self.predict(x, train_flg), t)

    def accuracy(self, x: Array, t: Array, batch_size: int = 100) -> float:
        """Share of samples, counting every one, whose largest score is the right class's.

        Parameters
        ----------
        x : ndarray (N, ...)
        t : ndarray
            Labels (N,), or one-hot (N, classes).
        batch_size : int
            Samples that go through the network at a time.

        Raises
        ------
        TypeError, ValueError
            When `x` is empty, or `t` does not fit it.
        """
        batch_size = whole("batch_size", batch_size, 1)
        if not len(x):
            raise ValueError("the accuracy over no samples is not defined: x is empty")
        hits = 0
        for start in range(0, len(x), batch_size):
            scores = self.predict(x[start : start + batch_size])
            if start == 0:
                labels = one_hot(t, scores.shape[1], len(x), scores.dtype).argmax(axis=1)
            hits += int((scores.argmax(axis=1) == labels[start : start + batch_size]).sum())
        return hits / len(x)

    def gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """Gradient of the loss with respect to every parameter, by backpropagation."""
        self._in_gradient, self._steps_taken = True, None
        try:
            self.loss(x, t)
        finally:
            self._in_gradient = False
        # A predict of one's own, in a subclass, may have called the layers themselves.
        steps = self._steps_taken or [Step(layer) for layer in self.layers.values()]
        self._steps_taken = None
        dout: Array | None = self.last_layer.backward()
        for step in reversed(steps):
            if dout is None:
                raise ValueError("only the first layer of a network can have need_dx=False")
            dout = step.backward(dout, need_dx=step is not steps[0])  # the images need no gradient
        return {name: getattr(*place) for name, place in self._gradients.items()}

    def numerical_gradient(self, x: Array, t: Array, h: float = 1e-4) -> dict[str, Array]:
        """The same by central differences: two forward passes per number, for small networks."""
        grads = {name: np.empty_like(param) for name, param in self.params.items()}
        for name, param in self.params.items():
            for index in np.ndindex(param.shape):
                original = param[index]
                try:
                    param[index] = original + h
                    above = self.loss(x, t)
                    param[index] = original - h
                    below = self.loss(x, t)
                finally:  # also when the batch does not fit
                    param[index] = original
                grads[name][index] = (above - below) / (2 * h)
        return grads

    def output_shapes(self, input_dim: tuple[int, ...] | None = None) -> dict[str, tuple[int, ...]]:
        """Shape of one sample after each layer, by the layer's name; no data needed.

        Raises
        ------
        ValueError
            When the shape of the input is not known, or a layer does not fit it.
        """
        shape = input_dim if input_dim is not None else self.input_dim
        if shape is None:
            raise ValueError("give input_dim, the shape of one sample, e.g. (1, 28, 28)")
        shape = _sample_shape(shape)
        shapes = {}
        for name, layer in self.layers.items():
            try:
                shape = layer.output_shape(shape)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
            shapes[name] = shape
        return shapes

    def summary_rows(self, input_dim: tuple[int, ...] | None = None) -> list[Row]:
        """A row for the input, for each layer, and for the softmax at the end; no data needed.

        Raises
        ------
        ValueError
            As `output_shapes`.
        """
        shapes = self.output_shapes(input_dim)
        shape = tuple(input_dim or self.input_dim or ())
        size = self.dtype.itemsize
        rows = [Row("Input", shape, 0, 0, math.prod(shape) * size)]
        for name, layer in self.layers.items():
            parameters = sum(getattr(layer, attribute).size for attribute in layer.parameters)
            multiply_adds = layer.multiply_adds(shape)
            shape = shapes[name]
            rows.append(Row(name, shape, parameters, multiply_adds, math.prod(shape) * size))
        rows.append(Row("Softmax", shape, 0, 0, math.prod(shape) * size))
        return rows

    def summary(self, input_dim: tuple[int, ...] | None = None) -> None:
        """Print how the shape of the data changes from layer to layer, and what each layer costs.

        Parameters
        ----------
        input_dim : (C, H, W), optional
            Shape of one sample, where the network was not made with one.
        """
        print_summary(self.name, self.summary_rows(input_dim))

    def steps(self) -> dict[str, Step]:
        """What the network computes in one: layers, and blocks by names such as "Conv1 + Relu1"."""
        names = {id(layer): name for name, layer in self.layers.items()}
        steps = self._plan.steps(self.layers.values(), self.fused)
        return {" + ".join(names[id(layer)] for layer in step.layers): step for step in steps}

    def plan(self, input_shape: tuple[int, ...]) -> MemoryPlan:
        """What a batch (N, C, H, W) or (N, D) costs in operations and memory; no data needed.

        Without N it is one sample's shape. `print` the plan: it has a row for each layer; for each
        block where the network is `fused`.

        Raises
        ------
        TypeError, ValueError
            When `input_shape` is no such shape, or a layer does not fit it.
        """
        return make_plan(self, input_shape)

    def describe(self) -> dict[str, Any]:
        """What a weight file says of the network beside its arrays, as JSON can hold it."""
        description = {
            "name": self.name,
            "input_dim": self.input_dim,
            "layers": [
                {
                    "type": type(layer).__name__,
                    "settings": layer.settings(),
                    "arrays": {name: array.shape for name, array in layer.arrays().items()},
                }
                for layer in self.layers.values()
            ],
        }
        plain: dict[str, Any] = json.loads(weights.as_json(description))
        return plain

    def save_params(self, file_name: weights.StrPath = "params.npz") -> None:
        """Write parameters and the network's description to an .npz file, all or nothing.

        Raises
        ------
        ValueError
            When the name does not end in .npz.
        OSError
            When the file cannot be written; what was there is still there.
        """
        weights.write(file_name, self.describe(), {**self.params, **self.buffers})

    def load_params(self, file_name: weights.StrPath = "params.npz") -> None:
        """Read parameters from a file that a network of the same layers saved.

        Raises
        ------
        FileNotFoundError, ValueError
            When there is no such file, it is damaged, or it is another network's. The parameters
            have not changed then.
        """
        self.copy_params(self.load_twin(file_name))

    def copy_params(self, twin: "Sequential") -> None:
        """Copy parameters and buffers from a network of the same layers."""
        self.params.update(twin.params)
        self.buffers.update(twin.buffers)

    def load_twin(self, file_name: weights.StrPath) -> "Sequential":
        """Load the network of a file, but refuse one that is not of the same layers and dtype.

        Raises
        ------
        FileNotFoundError, ValueError
            As `load_params`.
        """
        loaded = Sequential.load(file_name)
        ours, theirs = self.describe()["layers"], loaded.describe()["layers"]
        pairs = enumerate(zip(ours, theirs, strict=False))
        place = next((i for i, (a, b) in pairs if a != b), None)
        difference = None
        if place is not None:
            name, here = list(self.layers.items())[place]
            there = list(loaded.layers.values())[place]
            difference = f"layer {name} is {here!r} here, but {there!r} there"
        elif len(ours) != len(theirs):
            difference = f"it has {len(theirs)} layers, this one {len(ours)}"
        if difference is not None:
            raise ValueError(f"{file_name} holds the weights of another network: {difference}")
        if loaded.dtype != self.dtype:
            raise ValueError(
                f"{file_name} holds {loaded.dtype} weights, but this network is {self.dtype}; make "
                f"it with dtype=np.{loaded.dtype}"
            )
        return loaded

    @staticmethod
    def load(file_name: weights.StrPath) -> "Sequential":
        """Make the network that a weight file describes, with the file's arrays.

        Raises
        ------
        FileNotFoundError
            When there is no such file.
        ValueError
            When the file is damaged, or holds no network that `save_params` could have written.
        """
        description, arrays = weights.read(file_name)
        try:
            network = _build(description, arrays)
        except Exception as error:  # the description is a stranger's text
            reason = f"{type(error).__name__}: {error}"
            raise ValueError(
                f"{file_name} does not describe a network that works: {reason}"
            ) from error
        return network

    def astype(self, dtype: npt.DTypeLike) -> "Sequential":
        """A copy that computes in float32 or float64, with parameters of its own."""
        wanted = np.dtype(dtype)
        if wanted not in (np.float32, np.float64):
            raise TypeError(f"networks compute in float32 or float64, not {wanted}")
        twins, copied = [], dict[int, Any]()  # layers that share a generator do so in the copy
        for layer in self.layers.values():
            twin = copy.copy(layer)
            for name, array in layer.arrays().items():
                setattr(twin, name, array.astype(wanted))
            if isinstance(twin, Dropout):
                twin.rng = copy.deepcopy(twin.rng, copied)
            twins.append(twin)
        return Sequential(twins, self.input_dim, self.name, self.fused)


def need_network(network: object) -> None:
    """Require a network."""
    if not isinstance(network, Sequential):
        raise TypeError(
            f"network must be a pyconv.networks.Sequential, not {type(network).__name__}"
        )


def _sample_shape(input_dim: object) -> tuple[int, ...]:
    """The shape of one sample, checked."""
    if not isinstance(input_dim, tuple | list) or not input_dim:
        raise ValueError(
            f"input_dim must be the shape of one sample, e.g. (1, 28, 28) or (64,), "
            f"not {input_dim!r}"
        )
    return tuple(whole("input_dim", size, 1) for size in input_dim)


def _hashable(setting: Any) -> Any:
    """A setting with tuples for the lists that JSON makes of them."""
    return tuple(map(_hashable, setting)) if isinstance(setting, list) else setting


def _build(description: dict[str, Any], arrays: dict[str, Array]) -> Sequential:
    """A network from its description, around the given arrays."""
    built, number = [], 0
    for layer in description["layers"]:
        if layer["type"] not in layers.__all__ or layer["type"] == "Layer":
            raise ValueError(f"it has no layer called {layer['type']!r}")
        kind = getattr(layers, layer["type"])
        number += bool(layer["arrays"])
        given = {name: arrays[f"{name}{number}"] for name in layer["arrays"]}
        built.append(kind(**given, **{k: _hashable(v) for k, v in layer["settings"].items()}))
    input_dim = description["input_dim"]
    network = Sequential(
        built, tuple(input_dim) if input_dim is not None else None, str(description["name"])
    )
    if network.describe() != description:
        raise ValueError("the description differs from what pyconv writes of such a network")
    return network
