"""Small pictures of arrays in a terminal: two pixels in a character, upper and lower half."""

from typing import TYPE_CHECKING

import numpy as np

from ..checks import Array

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

NOTHING = (24, 26, 32)
ABOVE = (125, 205, 255)  # zero
BELOW = (245, 150, 50)
LARGEST = 28  # pixels a side; larger pictures are drawn smaller

# Without colour: how much there is, of one kind of character above zero and of another below.
SHADES = " ░▒▓█"
SHADES_BELOW = " ·-=≡"


def small(image: Array, most: int = LARGEST) -> Array:
    """An image (H, W) of at most that many pixels a side, each the mean of those it stands for."""
    step = -(-max(image.shape) // most)
    if step <= 1:
        return image
    for axis in (0, 1):
        starts = np.arange(0, image.shape[axis], step)
        sums = np.add.reduceat(image, starts, axis=axis)
        counts = np.diff([*starts, image.shape[axis]])
        image = sums / np.expand_dims(counts, 1 - axis)
    return image


def in_colour(console: "Console") -> bool:
    """Whether a terminal has colours enough: 16 tell less than shades do."""
    return console.color_system in ("256", "truecolor")


def drawn(image: Array, largest: float, colour: bool) -> "Text":
    """An image (H, W) as lines of text.

    Parameters
    ----------
    image : ndarray (H, W)
    largest : float
        The number that is drawn brightest; the negative of it is, too, in another colour.
    colour : bool
        Whether half-blocks in colour are drawn, or a shade for two pixels.
    """
    from rich.text import Text

    scaled = np.clip(np.nan_to_num(image / largest if largest > 0 else 0 * image), -1, 1)
    if len(scaled) % 2:
        scaled = np.concatenate([scaled, np.zeros_like(scaled[:1])])
    pairs = list(zip(scaled[::2], scaled[1::2], strict=True))
    if not colour:
        return Text("\n".join("".join(map(_shade, (upper + lower) / 2)) for upper, lower in pairs))
    lines = [
        Text.assemble(
            *(("▀", f"{_colour(a)} on {_colour(b)}") for a, b in zip(upper, lower, strict=True))
        )
        for upper, lower in pairs
    ]
    return Text("\n").join(lines)


def _shade(value: float) -> str:
    shades = SHADES if value >= 0 else SHADES_BELOW
    return shades[min(round(abs(value) * len(shades)), len(shades) - 1)]


def _colour(value: float) -> str:
    end = ABOVE if value >= 0 else BELOW
    mixed = (round(a + abs(value) * (b - a)) for a, b in zip(NOTHING, end, strict=True))
    return f"rgb({','.join(map(str, mixed))})"
