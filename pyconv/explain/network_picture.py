"""A network as the lecture draws it, in one picture: a digit, its maps, the probabilities."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..checks import Array
from ..tables import shape_text
from .network import LayerStep, NetworkTrace
from .picture import save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_MAPS = 30
WIDTH, HEIGHT = 1.75, 1.75  # of a layer, in inches


def save_network_picture(trace: NetworkTrace, target: Path) -> None:
    """Draw what every layer made of the first image.

    Parameters
    ----------
    trace : NetworkTrace
    target : Path
        An .svg or .png file.

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    ValueError
        When there is no image, or the file is to be of another kind.
    """

    def draw(figure: "Figure") -> None:
        count = len(trace)
        figure.set_size_inches(WIDTH * count, HEIGHT)
        for i, step in enumerate(trace):
            _layer(figure.add_axes(((i + 0.17) / count, 0.28, 0.66 / count, 0.68)), step)
            middle = (i + 0.5) / count
            figure.text(middle, 0.2, step.name, ha="center", va="top", weight="bold", size=9)
            figure.text(middle, 0.1, shape_text(step.shape), ha="center", va="top", size=8)
            if i:
                figure.text(i / count, 0.62, "→", ha="center", va="center", size=12)
            if step.parameters:
                names = ", ".join(step.parameters)
                figure.text(i / count, 0.72, names, ha="center", va="center", size=6.5, color="0.3")

    save_figure(target, len(trace["Input"].array), draw)


def _layer(axes: "Axes", step: LayerStep) -> None:
    first = step.array[0]
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if step.name == "Softmax":
        places = np.arange(len(first))
        axes.barh(places, first, color="#0072b2")
        axes.invert_yaxis()
        axes.set(xlim=(0, 1.4), yticks=places)
        axes.tick_params(labelsize=7, length=0)
        best = int(first.argmax())
        axes.text(first[best] + 0.03, best, f"{first[best]:.0%}", va="center", size=7)
        return
    # of an image as on the page: one that is dark all over stays dark
    limit = max(float(np.abs(first).max()), 1.0 if step.name == "Input" else 1e-30)
    image = _montage(first) if first.ndim == 3 else _folded(first)
    if step.name == "Input" and first.ndim == 3:
        axes.imshow(first[0], cmap="gray_r", vmin=0, vmax=limit)
    else:  # zero is white; below it orange, above it blue
        axes.imshow(image, cmap="PuOr", vmin=-limit, vmax=limit)


def _montage(maps: Array) -> Array:
    """The first maps side by side, with a line of nothing between them."""
    shown = maps[:MOST_MAPS]
    columns = math.ceil(math.sqrt(len(shown)))
    rows = math.ceil(len(shown) / columns)
    _, height, width = maps.shape
    image = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for i, one in enumerate(shown):
        y, x = i // columns * (height + 1), i % columns * (width + 1)
        image[y : y + height, x : x + width] = one
    return image


def _folded(units: Array) -> Array:
    """A row of units as a block, which is easier to see."""
    flat = units.reshape(-1)
    width = len(flat) if len(flat) <= 10 else math.ceil(math.sqrt(len(flat)))
    rows = math.ceil(len(flat) / width)
    cells = np.full(rows * width, np.nan)
    cells[: len(flat)] = flat
    block = cells.reshape(rows, width)
    return block.T if rows == 1 else block
