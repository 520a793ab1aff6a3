"""Which layers a network computes together, and a whole network in one call."""

from collections.abc import Collection
from operator import attrgetter
from typing import TypeGuard, TypeVar

from .. import _core
from ..backend import current_backend
from ..checks import Array
from ..layers import Affine, Convolution, Layer, Pooling, Relu
from .fusion import (
    KINDS,
    OWN_FUNCTIONS,
    AffineBlock,
    ConvolutionBlock,
    Known,
    Step,
    functions_of,
    stands_side_by_side,
)

L = TypeVar("L", bound=Layer)
_forward_of = attrgetter("forward")


class Plan:
    """The steps of a network, made anew when its layers are others or computed otherwise."""

    def __init__(self) -> None:
        self._made: tuple[tuple[object, ...], list[Step]] = ((), [])
        self._prepared: Prepared | None = None

    def __reduce__(self) -> tuple[type["Plan"], tuple[()]]:
        """A copy is of other layers: it begins anew."""
        return Plan, ()

    def steps(self, layers: Collection[Layer], fused: bool) -> list[Step]:
        """The layers in order, neighbours in blocks where `fused`."""
        self._prepared = None  # it keeps alive what layers have: gradients, too
        fused = bool(fused) and current_backend() != "reference"
        # Whoever gives one layer a function of its own gives it an attribute more.
        attributes = [*map(len, map(vars, layers))]
        basis = (fused, [*layers], attributes, [*map(functions_of, KINDS)])
        known, steps = self._made
        if basis != known:
            steps = _blocks(list(layers)) if fused else [Step(layer) for layer in layers]
            self._made = (basis, steps)
        return steps

    def predict(self, x: Array, layers: Collection[Layer], fused: bool) -> Array | None:
        """What the layers make of a batch, in one call; None where that is not prepared."""
        prepared = self._prepared
        return prepared.predict(x, layers) if prepared is not None and fused else None

    def prepare(self, layers: Collection[Layer], known: list[Known | None]) -> None:
        """Prepare one call for a batch that the steps have just computed, from what they know."""
        parts = [part for part in known if part is not None]
        self._prepared = Prepared(layers, parts) if len(parts) == len(known) else None


class Prepared:
    """A network's prediction as one call, for as long as nothing but numbers changes in it.

    Between the kernels of one image, Python would take as long as they do.
    """

    def __init__(self, layers: Collection[Layer], parts: list[Known]) -> None:
        self._call = _core.chain([part.arguments for part in parts], parts[0].shape)
        self._layers = [*layers]
        self._attributes = [*map(vars, layers)]
        self._attributes_then = [*map(dict, self._attributes)]
        self._forwards = [*map(_forward_of, KINDS)]

    def predict(self, x: Array, layers: Collection[Layer]) -> Array | None:
        """Scores; None where `x` is not like the batch it was prepared with, or a layer not."""
        if (
            current_backend() == "native"
            and [*layers] == self._layers
            and [*map(_forward_of, KINDS)] == self._forwards
        ):
            return self._call(x, self._attributes, self._attributes_then)
        return None


def _blocks(layers: list[Layer]) -> list[Step]:
    steps: list[Step] = []
    while layers:
        block = _first_block(layers)
        steps.append(block)
        layers = layers[len(block.layers) :]
    return steps


def _first_block(layers: list[Layer]) -> Step:
    """As many of the first layers as one kernel computes."""
    first = layers[0]
    second = layers[1] if len(layers) > 1 else None
    third = layers[2] if len(layers) > 2 else None
    relu = second if _is_exactly(second, Relu) else None
    if _is_exactly(first, Affine):
        return AffineBlock(first, relu)
    if _is_exactly(first, Convolution) and relu is not None:
        if _is_exactly(third, Pooling) and stands_side_by_side(third):
            return ConvolutionBlock(first, relu, third)
        return ConvolutionBlock(first, relu)
    return Step(first)


def _is_exactly(layer: Layer | None, kind: type[L]) -> TypeGuard[L]:
    """Whether it is of `kind`, with that class's own functions."""
    return (
        type(layer) is kind
        and functions_of(kind) == OWN_FUNCTIONS[kind]
        and not {"forward", "backward"} & vars(layer).keys()
    )
