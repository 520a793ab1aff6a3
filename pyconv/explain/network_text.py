"""A network's trace in a terminal and in a notebook: the walk, and small pictures of the maps."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from .. import pages
from ..checks import Array
from ..layers import Convolution
from ..tables import Table, plain_text, shape_text
from .half_blocks import SHADES, SHADES_BELOW, drawn, in_colour, small
from .network import LayerStep, NetworkTrace
from .words import Words

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

WIDEST = 100  # columns that lines of text are comfortable to read in
MOST_BARS = 10
GAP = 3
ROWS_OF_MAPS = 3
SIDES = (0, None), (None, 0)


def print_walk(trace: NetworkTrace, console: "Console") -> None:
    """Print every layer with its shape, its parameters and the rule of its shape."""
    from rich.table import Table as Grid
    from rich.text import Text

    word = Words(trace.lang)
    grid = Grid.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for step in trace:
        shape = Text.assemble((shape_text(step.shape), "bold"), (f"  {_parameters(step)}", "cyan"))
        shape.rstrip()
        grid.add_row(Text(step.name, "bold"), shape)
        grid.add_row(Text("  │" if step is not trace.steps[-1] else "", "dim"), Text(step.rule))
    console.print(Text(trace.title, "bold underline"))
    console.print(grid, width=min(console.width, WIDEST))
    console.print(word("network parameters", count=f"{_count(trace):,}"))


def _parameters(step: LayerStep) -> str:
    return "  ".join(f"{name} {shape_text(array.shape)}" for name, array in step.parameters.items())


def _count(trace: NetworkTrace) -> int:
    """Numbers that training changes."""
    layers = [step.layer for step in trace if step.layer is not None]
    return sum(getattr(layer, name).size for layer in layers for name in layer.parameters)


def as_text(trace: NetworkTrace, pictures: bool, width: int) -> str:
    """The walk as plain text, and small pictures after it where wanted."""

    def print_to(console: "Console") -> None:
        print_walk(trace, console)
        if pictures:
            print_pictures(trace, console)

    return plain_text(print_to, width)


def as_html(trace: NetworkTrace) -> str:
    """The walk as a table for a notebook."""
    word = Words(trace.lang)
    return Table(
        columns=(word("layer"), word("shape"), word("parameters"), word("rule")),
        words=4,
        rows=[
            [step.name, shape_text(step.shape), _parameters(step), step.rule.replace("\n", "; ")]
            for step in trace
        ],
        totals=["", "", word("network parameters", count=f"{_count(trace):,}"), ""],
        heading=trace.title,
    ).html()


def print_pictures(trace: NetworkTrace, console: "Console", label: int | None = None) -> None:
    """Print the first image, what the network makes of it, and a few feature maps.

    Parameters
    ----------
    trace : NetworkTrace
    console : Console
    label : int, optional
        What the first image shows, where that is known.
    """
    from rich.text import Text

    word = Words(trace.lang)
    colour = in_colour(console)
    first = [_bars(trace, word, label)]
    image = trace.steps[0].array[0]
    if image.ndim == 3:
        # the mean of the channels: a digit has one
        largest = max(_largest(image), 1.0)
        first.insert(0, _picture(word, trace.steps[0].name, image.mean(axis=0), largest, colour))
        kinds = {"above": SHADES.strip(), "below": SHADES_BELOW.strip()}
        console.print(Text(word("network colours" if colour else "network shades", **kinds), "dim"))
    if len(trace.steps[0].array) > 1:
        images = word.count("image", len(trace.steps[0].array))
        console.print(word("network first", images=images))
    for heading, row in [("", first), *_maps(trace, word, colour)]:
        console.print()
        if heading:
            console.print(heading)
        for line in _packed(row, console):
            console.print(line)


def _picture(
    word: Words, caption: str, image: Array, largest: float, colour: bool
) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    shown = drawn(small(image), largest, colour) if image.any() else Text(word("network silent"))
    return Group(Text(caption, "bold"), shown)


def _bars(trace: NetworkTrace, word: Words, label: int | None) -> "RenderableType":
    """The probabilities of the first image, and the answer in words."""
    from rich.console import Group
    from rich.text import Text

    probabilities = trace.steps[-1].array[0]
    guess = int(probabilities.argmax())
    chosen = range(len(probabilities))
    if len(probabilities) > MOST_BARS:
        chosen = np.argsort(-probabilities, kind="stable")[:MOST_BARS]  # type: ignore[assignment]
    digits = len(str(max(chosen)))
    lines = [Text(word("network probabilities"), "bold")]
    for index in chosen:
        p = float(probabilities[index])
        bar = "█" * round(20 * p) or ("▏" if p >= 0.001 else "")
        style = "bold bright_cyan" if index == guess else ""
        lines.append(Text(f"{index:>{digits}} {bar:<20} {100 * p:5.1f} %", style))
    if len(chosen) < len(probabilities):
        count = len(probabilities) - len(chosen)
        lines.append(Text(word("network others", count=count), "dim"))
    words = pages.words(f"{__package__}.flow", trace.lang)  # the page has the same sentences
    percent = f"{100 * float(probabilities[guess]):.1f} %"
    lines += [Text(), Text(words["answer"].format(guess=guess, percent=percent))]
    if label is not None:
        right = words["right" if guess == label else "wrong"]
        lines.append(Text(right.format(label=label)))
    return Group(*lines)


def _maps(
    trace: NetworkTrace, word: Words, colour: bool
) -> Iterator[tuple[str, list["RenderableType"]]]:
    """Headings and rows of feature maps, each of one channel from a convolution to the next."""
    groups: list[list[LayerStep]] = []
    for step in trace.steps[1:]:
        if isinstance(step.layer, Convolution):
            groups.append([step])
        elif groups and step.array.ndim == 4:
            groups[-1].append(step)
    for group in groups[:ROWS_OF_MAPS]:
        first, last = group[0], group[-1]
        # The channel that has most to say at the end; where there is room, also one that has much
        # on both sides of zero at the beginning, which a ReLU changes most.
        channels = [int(last.array[0].sum(axis=(1, 2)).argmax())]
        if len(groups) == 1 and len(first.array[0]) > 1:
            above, below = (first.array[0].clip(*side).sum(axis=(1, 2)) for side in SIDES)
            cut = np.minimum(above, -below)
            cut[channels] = -1
            channels.append(int(cut.argmax()))
        for channel, why in zip(channels, ("largest", "cut"), strict=False):
            heading = word(f"network channel {why}", c=channel, last=len(first.array[0]) - 1)
            yield heading, _map_row(word, group, channel, colour)


def _map_row(
    word: Words, group: list[LayerStep], channel: int, colour: bool
) -> list["RenderableType"]:
    row = []
    layer = group[0].layer
    if isinstance(layer, Convolution) and layer.W.shape[1] == 1:
        W = next(iter(group[0].parameters))
        row.append(_picture(word, W, layer.W[channel, 0], _largest(layer.W), colour))
    for step in group:
        image, largest = step.array[0, channel], _largest(step.array[0])
        row.append(_picture(word, step.name, image, largest, colour))
    return row


def _largest(array: Array) -> float:
    largest = float(np.abs(array).max(initial=0))
    return largest if math.isfinite(largest) else 1.0


def _packed(pictures: list["RenderableType"], console: "Console") -> list["RenderableType"]:
    """Pictures side by side, as many in a line as there is room for."""
    from rich.table import Table as Grid

    lines: list[list[RenderableType]] = []
    room = 0
    for picture in pictures:
        width = console.measure(picture).maximum
        if not lines or width > room:
            lines.append([])
            room = console.width
        lines[-1].append(picture)
        room -= width + GAP
    grids = []
    for line in lines:
        grid = Grid.grid(padding=(0, GAP, 0, 0), pad_edge=False)
        for _ in line:
            grid.add_column(no_wrap=True)
        grid.add_row(*line)
        grids.append(grid)
    return grids  # type: ignore[return-value]
