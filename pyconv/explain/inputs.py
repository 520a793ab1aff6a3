"""What `pyconv explain` is given on the command line, as the functions take it."""

from pathlib import Path
from typing import Any

import numpy as np

from ..checks import Array
from ..images import read_images
from ..recipes import data_set_of
from ..window import Padding, PerAxis

PIXELS = 28  # height and width of a picture, unless told otherwise


def sizes(option: str, text: str, names: str) -> tuple[int, ...]:
    """The sizes of an array: "1,3,3,3" for names "N,C,H,W".

    Raises
    ------
    ValueError
        When it is anything else.
    """
    count = len(names.split(","))
    return _numbers(text, (count,), f"{option} takes {names}, {count} whole numbers with commas")


def moves(stride: str | None, pad: str | None, dilation: str | None) -> dict[str, Any]:
    """Those that are given, as arguments of a function."""
    given: dict[str, Any] = {}
    if stride is not None:
        given["stride"] = per_axis("--stride", stride)
    if pad is not None:
        given["pad"] = padding(pad)
    if dilation is not None:
        given["dilation"] = per_axis("--dilation", dilation)
    return given


def per_axis(option: str, text: str) -> PerAxis:
    """One number for both axes, or height,width."""
    numbers = _numbers(text, (1, 2), f"{option} takes a whole number or height,width")
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def padding(text: str) -> Padding:
    """A number, height,width, top,bottom,left,right, or a word."""
    if text.isalpha():
        return text
    takes = "--pad takes a whole number, height,width, top,bottom,left,right, same or valid"
    numbers = _numbers(text, (1, 2, 4), takes)
    if len(numbers) == 4:
        top, bottom, left, right = numbers
        return (top, bottom), (left, right)
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def _numbers(text: str, counts: tuple[int, ...], takes: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) not in counts or min(numbers) < 0:
        raise ValueError(f"{takes}, and not {text!r}")
    return numbers


def images(
    shape: str | None, batch: int | None, image: Path | None, data: str | None
) -> tuple[Array, list[str]]:
    """The images to explain: of a file, of a data set, or small whole numbers.

    Parameters
    ----------
    shape : str or None
        "N,C,H,W".
    batch : int or None
        N, instead of that one.
    image : Path or None
        A picture; see `pyconv.images.read_images`.
    data : str or None
        A data set by name, or a folder: its first test images.

    Returns
    -------
    x : ndarray (N, C, H, W), float32
    notes : list of str
        What was done to a picture.

    Raises
    ------
    FileNotFoundError, ImportError, ValueError
        When there is no such image, or it has not the shape.
    """
    wanted = sizes("--input", shape, "N,C,H,W") if shape else None
    if image is not None and data is not None:
        raise ValueError("give --image or --data, and not both")
    if image is not None:
        channels, height, width = wanted[1:] if wanted else (1, PIXELS, PIXELS)
        x, notes = read_images(image, (channels, height, width))
        return _first(x, batch or (wanted[0] if wanted else 1), str(image)), notes
    if data is not None:
        _, (x, _) = data_set_of(data).load()
        x = _first(x, batch or (wanted[0] if wanted else 1), data)
        return (_reduced(x, wanted[1:], data) if wanted else x), []
    N, C, H, W = wanted or (1, 3, 3, 3)
    return small_numbers((batch or N, C, H, W), 0, 10, seed=0), []


def small_numbers(shape: tuple[int, ...], low: int, high: int, seed: int) -> Array:
    """Numbers that a reader can multiply in the head, from `low` to below `high`."""
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.float32)


def _first(x: Array, count: int, source: str) -> Array:
    if count > len(x):
        raise ValueError(f"{source} has {len(x):,} images, and {count:,} are asked for")
    return x[:count]


def _reduced(x: Array, wanted: tuple[int, ...], source: str) -> Array:
    """Images with the means of blocks of pixels for pixels."""
    N, C, H, W = x.shape
    channels, height, width = wanted
    if channels != C or 0 in wanted or H % height or W % width:
        raise ValueError(
            f"the images of {source} have shape {(C, H, W)}, and --input asks for {wanted}; it "
            f"takes {C} channel(s), a height that divides {H}, and a width that divides {W}"
        )
    blocks = x.reshape(N, C, height, H // height, width, W // width)
    means: Array = blocks.mean(axis=(3, 5))
    return means
