"""A network taken apart: what every layer makes of a batch, and the rule that gives its shape."""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from ..checks import Array
from ..layers import Affine, Convolution, Dropout, Flatten, Layer, Pooling, Relu, Sigmoid
from ..layers.loss import log_softmax
from ..networks.sequential import Sequential, need_network
from ..tables import shape_text
from ..window import make_window
from . import labels, rules
from .trace import Step, Trace
from .windows import Windows
from .words import Words


@dataclass(frozen=True, eq=False)
class LayerStep(Step):
    """What a layer made of the batch.

    Attributes
    ----------
    layer : Layer or None
        The layer, as it was when it computed; None for the input and the softmax.
    parameters : dict of str to ndarray
        Its arrays by their names in the network: W1, b1.
    windows : Windows or None
        How a convolution or a pooling moves over its input.
    argmax : ndarray or None
        Of a max-pooling, in the shape of `array`: which pixel of each window won, counted row by
        row within the window.
    """

    layer: Layer | None = None
    parameters: dict[str, Array] = field(default_factory=dict)
    windows: Windows | None = None
    argmax: Array | None = None


@dataclass(frozen=True, eq=False)
class NetworkTrace(Trace):
    """A batch on its way through a network: Input, a step for each layer, Softmax.

    Attributes
    ----------
    title : str
        The network's name.
    """

    steps: tuple[LayerStep, ...]

    def __getitem__(self, name: str) -> LayerStep:
        step = super().__getitem__(name)
        assert isinstance(step, LayerStep)
        return step

    def __iter__(self) -> Iterator[LayerStep]:
        return iter(self.steps)

    def text(self, values: bool = False, width: int = 100) -> str:
        """The walk as plain text.

        Parameters
        ----------
        values : bool
            Whether small pictures follow: the first image, some of its maps, the probabilities.
        width : int
            Columns of text.
        """
        from .network_text import as_text

        return as_text(self, values, width)

    def _repr_html_(self) -> str:
        from .network_text import as_html

        return as_html(self)


def network(network: Sequential, x: Array, lang: str = "en") -> NetworkTrace:
    """Take a network apart: the shape and the numbers after every layer.

    Parameters
    ----------
    network : Sequential
        Any, e.g. a `SimpleConvNet`. It stays as it is: a copy computes, layer by layer, as in
        prediction.
    x : ndarray (N, C, H, W)
        A batch that it takes; (N, D) where it takes rows.
    lang : {"en", "ko"}
        Language of the rules.

    Returns
    -------
    NetworkTrace
        `print` shows the walk; `trace["Conv1"].array` is what the layer of that name computed,
        `trace["Pool1"].argmax` which pixels won, `trace["Softmax"].array` the probabilities.

    Raises
    ------
    TypeError, ValueError
        When `network` is none, or `x` is no batch that it takes, or a layer gives numbers that
        are not finite.
    RuntimeError
        When its `predict` computes something else than its layers one after another.

    Examples
    --------
    >>> trace = pyconv.explain.network(SimpleConvNet(rng=0), x)
    >>> trace["Conv1"].shape
    (1, 30, 24, 24)
    """
    need_network(network)
    word = Words(lang)
    twin = copy.deepcopy(network)
    twin.fused = False
    title = twin.name = _visible(network.name)
    scores = twin.predict(x)
    if not len(x):
        raise ValueError(f"an empty batch shows nothing: x has shape {x.shape}")
    if scores.ndim != 2:
        raise ValueError(
            f"{title} ends in {shape_text(scores.shape)}, but a softmax takes rows of "
            "scores (N, classes); let it end in an Affine or a Flatten layer"
        )
    x = x.copy()  # what is done to it later does not change what is told here
    names = {id(array): name for name, array in (*twin.params.items(), *twin.buffers.items())}
    steps = [_step("Input", "x", _input_rule(word, x), x)]
    for name, layer in ((_visible(name), layer) for name, layer in twin.layers.items()):
        y = layer.forward(x, train_flg=False)
        if not np.isfinite(y).all():
            raise ValueError(
                f"{name} gives numbers that are not finite (NaN or infinity), which cannot be "
                "shown: look at its weights and at its input, or at windows of padding alone"
            )
        arrays = layer.arrays().values()
        parameters = {names[id(array)]: array for array in arrays if id(array) in names}
        windows = _windows(layer, x.shape)
        rule = _rule(word, layer, windows, list(parameters), x.shape, y.shape)
        step = _step(name, f'x = layers["{name}"].forward(x)', rule, y)
        argmax = layer.argmax if isinstance(layer, Pooling) else None
        steps.append(
            replace(step, layer=layer, parameters=parameters, windows=windows, argmax=argmax)
        )
        x = y
    if not np.array_equal(x, scores, equal_nan=True):
        raise RuntimeError(
            f"{type(network).__name__}.predict computes something else than the network's layers "
            "one after another, so their arrays would not be its own"
        )
    last = f"{steps[-1].rule}\n{word('network scores')}"
    steps[-1] = replace(steps[-1], rule=last)
    rule = word("network softmax")
    steps.append(_step("Softmax", "y = softmax(x)", rule, np.exp(log_softmax(scores))))
    return NetworkTrace(title, tuple(steps), lang)


def _visible(name: str) -> str:
    """A name without what a terminal or a page obeys: control characters are written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def _step(name: str, code: str, rule: str, array: Array) -> LayerStep:
    def units(*index: Array) -> labels.Strings:
        return labels.numbered("D", index[-1])

    names, groups = units, labels.along(0)
    if array.ndim == 4:
        names, groups = labels.maps("D", array.shape[3]), labels.along(1)
    return LayerStep(name, code, rule, array, names, groups, "D")


def _windows(layer: Layer, shape: tuple[int, ...]) -> Windows | None:
    """The windows of a layer over images (N, C, H, W)."""
    if isinstance(layer, Convolution):
        FH, FW, rounded_up = *layer.W.shape[2:], False
    elif isinstance(layer, Pooling):
        FH, FW, rounded_up = layer.pool_h, layer.pool_w, layer.ceil_mode
    else:
        return None
    _, _, H, W = shape
    window = make_window(FH, FW, layer.stride, layer.pad, layer.dilation, (H, W))
    return Windows(shape, window, rounded_up)


def _input_rule(word: Words, x: Array) -> str:
    if x.ndim != 4:
        return word("network rows", N=len(x), D=math.prod(x.shape[1:]))
    N, C, H, W = x.shape
    return word("x", images=word.count("image", N), channels=word.count("channel", C), H=H, W=W)


def _rule(
    word: Words,
    layer: Layer,
    windows: Windows | None,
    parameters: list[str],
    before: tuple[int, ...],
    after: tuple[int, ...],
) -> str:
    """How a layer gives its output's shape."""
    if windows is not None and isinstance(layer, Pooling):
        size = rules.output_size(windows, "P")
        return "\n".join([size, word("network pool", C=before[1]), *_outside(word, layer, windows)])
    if windows is not None and isinstance(layer, Convolution):
        return f"{rules.output_size(windows, 'F')}\n{_channels(word, layer.W.shape, before[1])}"
    shapes = {"before": shape_text(before), "after": shape_text(after)}
    if isinstance(layer, Affine):
        rows = (before[0], layer.W.shape[0])
        lines = [] if before == rows else [_flattened(word, before, rows)]
        bias = word("network bias", b=parameters[1]) if len(parameters) > 1 else ""
        product = word(
            "network affine", left=shape_text(rows), W=parameters[0],
            right=shape_text(layer.W.shape), out=shape_text(after), bias=bias,
        )  # fmt: skip
        return "\n".join([*lines, product])
    if isinstance(layer, Flatten):
        return _flattened(word, before, after)
    if isinstance(layer, Dropout):
        return word("network dropout", kept=f"{1 - layer.dropout_ratio:g}")
    if isinstance(layer, Relu | Sigmoid):
        return word(f"network {type(layer).__name__.lower()}")
    return word("network same" if before == after else "network other", **shapes)


def _channels(word: Words, filters: tuple[int, ...], C: int) -> str:
    """Which channels the filters of a convolution read, and what stands in their place."""
    FN, each = filters[:2]
    groups = C // each
    if groups == 1:
        return word("network conv", C=C, FN=FN)
    made = FN // groups
    reads = [
        f"f = {_span(g * made, made)} ← c = {_span(g * each, each)}" for g in range(min(groups, 2))
    ]
    reads += ["…"] * (groups > 2)
    return word("network groups", C=C, FN=FN, groups=groups, each=each, reads=", ".join(reads))


def _outside(word: Words, layer: Pooling, windows: Windows) -> list[str]:
    """What a pooling makes of places outside of the image, where its windows reach some."""
    rows, columns = windows.matrix_shape
    *_, inside = windows.sources(np.array([[0], [rows - 1]]), np.arange(columns))
    if inside.all():  # the first window and the last, which reach furthest
        return []
    if not (layer.count_include_pad and any(windows.window.pads)):
        return [word(f"network outside {layer.mode}")]
    beyond = [word("network outside beyond")] if layer.ceil_mode else []
    return [word("network outside padded"), *beyond]


def _span(first: int, count: int) -> str:
    """So many numbers from a first one on: 2, or 2–5."""
    return str(first) if count == 1 else f"{first}–{first + count - 1}"


def _flattened(word: Words, before: tuple[int, ...], after: tuple[int, ...]) -> str:
    return word(
        "network flat", before=shape_text(before), after=shape_text(after),
        product="·".join(map(str, before[1:])), D=after[1],
    )  # fmt: skip
