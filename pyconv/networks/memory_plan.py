"""What a network will cost, without data: shapes, operations and memory of every step.

A step is what the network computes in one: a layer, or a block of neighbours where it is fused.
"""

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..layers import Affine, Convolution
from ..layers.base import Keeps
from ..tables import Table, amount, shape_text
from ..window import whole
from .fusion import Step

if TYPE_CHECKING:
    from .sequential import Sequential


@dataclass(frozen=True)
class PlanRow:
    """One step of a network, for a whole batch.

    Attributes
    ----------
    layers : str
        Names of the layers, those of a block joined with " + ".
    output_shape : (N, ...)
    parameters : int
        Numbers that training changes.
    flops : int
        Operations of a forward pass, a multiply-add being two.
    activation_bytes : int
        Memory for the output; 0 where it is the input's, seen in another shape.
    kept_bytes : int
        Memory that stays for backward: inputs, outputs, winners of pooling, masks. What an earlier
        row has counted is not counted again.
    im2col_bytes : int
        What `im2col` would make of the input: N*OH*OW rows of C*FH*FW numbers, for convolution and
        pooling each.
    """

    layers: str
    output_shape: tuple[int, ...]
    parameters: int
    flops: int
    activation_bytes: int
    kept_bytes: int
    im2col_bytes: int


@dataclass(frozen=True)
class MemoryPlan:
    """What a network will cost: print it, or take its numbers from `rows` or `as_dict()`.

    Attributes
    ----------
    network : str
        Its name.
    input_shape : (N, ...)
    dtype : str
    rows : list of PlanRow
        The batch, the steps in order, and the softmax.
    parameter_bytes : int
        Size of parameters and buffers.
    predict_peak_bytes, gradient_peak_bytes : int
        The most memory that `predict` and a first `gradient` hold at once: the batch, parameters,
        outputs, what is kept, and gradients. The little that a kernel needs for a moment comes on
        top, and what NumPy needs in layers that are made of it.
    """

    network: str
    input_shape: tuple[int, ...]
    dtype: str
    rows: list[PlanRow]
    parameter_bytes: int
    predict_peak_bytes: int
    gradient_peak_bytes: int

    def total(self, what: str) -> int:
        """Sum over the rows, e.g. of "kept_bytes"."""
        return sum(getattr(row, what) for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        numbers = ("parameters", "flops", "activation_bytes", "kept_bytes", "im2col_bytes")
        totals = {name: self.total(name) for name in numbers}
        rows = [asdict(row) | {"output_shape": list(row.output_shape)} for row in self.rows]
        return asdict(self) | {
            "input_shape": list(self.input_shape), "rows": rows, "totals": totals
        }  # fmt: skip

    def __repr__(self) -> str:
        return (
            f"<MemoryPlan of {self.network} for {self.input_shape}: "
            f"{amount(self.total('flops'), 'FLOP') or '0 FLOP'}, "
            f"gradient holds {amount(self.gradient_peak_bytes, 'B')} at most>"
        )

    def __str__(self) -> str:
        return self._table().text()

    def _repr_html_(self) -> str:
        return self._table().html()

    def _table(self) -> Table:
        largest = max(max(row.activation_bytes, row.kept_bytes, row.im2col_bytes, 1)
                      for row in self.rows)  # fmt: skip
        memory = ("activation_bytes", "kept_bytes", "im2col_bytes")
        return Table(
            columns=("layers", "output shape", "parameters", "FLOPs", "activations", "kept",
                     "im2col would take"),
            words=2,
            rows=[
                [
                    row.layers, shape_text(row.output_shape),
                    f"{row.parameters:,}" if row.parameters else "", amount(row.flops, "FLOP"),
                    *(amount(getattr(row, name), "B") for name in memory),
                ]
                for row in self.rows
            ],
            totals=[
                "in all", "", f"{self.total('parameters'):,}", amount(self.total("flops"), "FLOP"),
                *(amount(self.total(name), "B") for name in memory),
            ],
            heading=f"{self.network} for a batch {shape_text(self.input_shape)} of {self.dtype}",
            notes=[
                f"At most {amount(self.predict_peak_bytes, 'B')} are held at once by predict, "
                f"{amount(self.gradient_peak_bytes, 'B')} by gradient, parameters "
                f"({amount(self.parameter_bytes, 'B') or '0 B'}) included.",
                "FLOPs: of a forward pass, a multiply-add being two. kept: for backward, each "
                "array once, where it is needed first.",
            ],
            bars={4 + place: [getattr(row, name) / largest for row in self.rows]
                  for place, name in enumerate(memory)},
        )  # fmt: skip


def make_plan(network: "Sequential", input_shape: object) -> MemoryPlan:
    """See `Sequential.plan`."""
    N, sample = _batch_and_sample(network, input_shape)
    itemsize = network.dtype.itemsize
    costs = {row.name: row for row in network.summary_rows(sample)}
    source, loss = costs["Input"], costs["Softmax"]
    rows = [PlanRow("Input", (N, *sample), 0, 0, N * source.bytes, 0, 0)]
    memory = _Memory(N * source.bytes)
    shape = sample
    for name, step in network.steps().items():
        parts = [costs[layer] for layer in name.split(" + ")]
        columns = 0
        keeps = step.keeps(shape, N, itemsize)
        for layer, part in zip(step.layers, parts, strict=True):
            columns += math.prod(layer.column_shape(shape))
            shape = part.shape
        parameters = sum(part.parameters for part in parts)
        new, kept = memory.add(step, keeps, N * parts[-1].bytes, parameters * itemsize)
        flops = 2 * N * sum(part.multiply_adds for part in parts)
        im2col = N * columns * itemsize
        rows.append(PlanRow(name, (N, *shape), parameters, flops, new, kept, im2col))
    scores = N * loss.bytes
    rows.append(PlanRow("Softmax", (N, *shape), 0, 0, scores, 2 * scores, 0))
    arrays = [array for layer in network.layers.values() for array in layer.arrays().values()]
    resident = sum(array.nbytes for array in arrays)
    return MemoryPlan(
        network.name, (N, *sample), str(network.dtype), rows, resident,
        resident + memory.predict_peak(), resident + memory.gradient_peak(scores),
    )  # fmt: skip


def _batch_and_sample(network: "Sequential", given: object) -> tuple[int, tuple[int, ...]]:
    """N and the shape of a sample; N is 1 where it is left out."""
    known = network.input_dim
    if not isinstance(given, tuple | list):
        raise TypeError(f"input_shape must be a shape such as {_examples(known)}, not {given!r}")
    sizes = tuple(whole("input_shape", size, 1) for size in given)
    # Without a shape of its own, a network takes images (C, H, W) or rows (D,).
    axes = len(known) if known is not None else 3 if len(sizes) > 2 else 1
    if len(sizes) == axes:
        return 1, sizes
    if len(sizes) == axes + 1:
        return sizes[0], sizes[1:]
    raise ValueError(f"input_shape must be a shape such as {_examples(known)}, not {given!r}")


def _examples(sample: tuple[int, ...] | None) -> str:
    sample = sample or (1, 28, 28)
    return f"{(100, *sample)}, or {sample} for one sample"


class _Memory:
    """Follows arrays from the batch to the gradients, to find when the most of them are there.

    An array is a number: its place in `sizes`. The batch is 0; whoever calls the network holds it.
    """

    def __init__(self, batch_bytes: int) -> None:
        self.sizes = [batch_bytes]
        self.steps: list[tuple[Step, int, int, set[int], int]] = []
        self.kept: set[int] = set()

    def new(self, size: int) -> int:
        self.sizes.append(size)
        return len(self.sizes) - 1

    def bytes_of(self, *arrays: set[int]) -> int:
        return sum(self.sizes[array] for array in set[int]().union(*arrays))

    def add(self, step: Step, keeps: Keeps, output: int, parameters: int) -> tuple[int, int]:
        """Enter the next step. Returns the bytes that it allocates for its output, and keeps."""
        came = self.steps[-1][2] if self.steps else 0
        view = all(layer.output_is_input for layer in step.layers)
        left = came if view else self.new(output)
        held = {came} if keeps.input else set()
        held |= {left} if keeps.output else set()
        held |= {self.new(keeps.own)} if keeps.own else set()
        self.steps.append((step, came, left, held, parameters))
        kept = self.bytes_of(held - self.kept)
        self.kept |= held
        return 0 if view else output, kept

    def predict_peak(self) -> int:
        """Blocks keep nothing where no backward follows; layers do not know."""
        peak, kept = 0, {0}
        for step, came, left, held, _ in self.steps:
            kept = kept if step.frees else kept | held
            peak = max(peak, self.bytes_of(kept, {came, left}))
        return peak

    def gradient_peak(self, scores: int) -> int:
        peak, kept = 0, {0}
        for _, came, left, held, _ in self.steps:
            kept = kept | held
            peak = max(peak, self.bytes_of(kept, {came, left}))
        loss = {self.new(scores), self.new(scores)}  # probabilities, and what they should be
        dout, gradients = self.new(scores), 0
        for place, (step, came, _, _, parameters) in reversed(list(enumerate(self.steps))):
            dx = dout
            if place == 0 and isinstance(step.layers[0], Convolution | Affine):
                dx = 0  # the images need no gradient
            elif not all(layer.output_is_input for layer in step.layers):
                dx = self.new(self.sizes[came])
            kept = {0} | loss
            for later, (other, _, _, held, _) in enumerate(self.steps):
                kept |= set() if later > place and other.frees else held
            gradients += parameters
            peak = max(peak, gradients + self.bytes_of(kept, {dout, dx}))
            dout = dx
        return peak
