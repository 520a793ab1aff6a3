"""Images from files, in the form that networks take."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .checks import Array

if TYPE_CHECKING:
    from PIL.Image import Image

_WANTED = "images must be uint8 in 0..255 or floats in 0..1"


def read_images(path: Path, input_dim: tuple[int, int, int]) -> tuple[Array, list[str]]:
    """Read one image file, or an .npy file of one or more images.

    Parameters
    ----------
    path : Path
        A picture that Pillow reads (PNG, JPEG, ...), or an .npy array (H, W), (C, H, W) or
        (N, C, H, W): of uint8 in 0..255, or of floats in 0..1.
    input_dim : (C, H, W)
        What the network takes. A picture of another size is resized; one that is dark on light is
        inverted, as MNIST's digits are light on dark. An array must fit.

    Returns
    -------
    images : ndarray (N, C, H, W), float32 in 0..1
    notes : list of str
        What was changed on the way, for the reader to know.

    Raises
    ------
    FileNotFoundError, ImportError, ValueError
        When there is no such file, Pillow is wanted and not installed, or the file holds no image
        that fits.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no image file {str(path)!r}")
    if path.suffix == ".npy":
        return _from_array(path, input_dim), []
    return _from_picture(path, input_dim)


def _from_array(path: Path, input_dim: tuple[int, int, int]) -> Array:
    try:
        with path.open("rb") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # a hostile file can make the reader raise almost anything
        raise ValueError(f"{path} is not a readable .npy file: {error}") from error
    images = array.reshape((1,) * max(4 - array.ndim, 0) + array.shape)
    if images.ndim != 4 or images.shape[1:] != input_dim or not len(images):
        raise ValueError(
            f"{path} holds an array of shape {array.shape}, but the network takes images of shape "
            f"{input_dim} (C, H, W)"
        )
    if images.dtype == np.uint8:
        return images.astype(np.float32) / 255
    if images.dtype.kind != "f":
        raise ValueError(f"{path} holds {array.dtype}; {_WANTED}")
    if not ((images >= 0) & (images <= 1)).all():
        raise ValueError(f"{path} holds numbers from {array.min()} to {array.max()}; {_WANTED}")
    return images.astype(np.float32)


def _from_picture(path: Path, input_dim: tuple[int, int, int]) -> tuple[Array, list[str]]:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise ImportError(
            f"reading {path} needs Pillow: install it with 'pip install pillow', "
            "or give an .npy file"
        ) from error
    C, H, W = input_dim
    if C not in (1, 3):
        raise ValueError(f"a picture has 1 or 3 channels, but the network takes {C}; give an .npy")
    try:
        with Image.open(path) as file:
            picture = _on_paper(_in_8_bits(file)).convert("L" if C == 1 else "RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is not a readable picture: {error}") from error
    notes = []
    if picture.size != (W, H):
        notes.append(f"resized from {picture.height}×{picture.width} to {H}×{W}")
        picture = picture.resize((W, H), Image.Resampling.BOX)
    pixels = np.asarray(picture, np.float32).reshape(H, W, C) / 255
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if C == 1 and border.mean() > 0.5:
        notes.append("inverted: dark on light became light on dark")
        pixels = 1 - pixels
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))[np.newaxis], notes


def _in_8_bits(picture: "Image") -> "Image":
    """The picture with 0..255 for what was 0..65535; Pillow itself would clip it to white."""
    from PIL import Image

    if picture.mode == "F":
        raise ValueError("its pixels are floats of an unknown range")
    if not picture.mode.startswith("I"):
        return picture
    pixels = np.asarray(picture)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError(f"its pixels run from {pixels.min()} to {pixels.max()}, not over 16 bits")
    return Image.fromarray((pixels // 257).astype(np.uint8))


def _on_paper(picture: "Image") -> "Image":
    """The picture without transparency: white shows through, or black where all ink is light."""
    from PIL import Image

    if not picture.has_transparency_data:
        return picture
    layered = picture.convert("RGBA")
    white, black = (Image.new("RGBA", layered.size, color) for color in ("white", "black"))
    on_white = Image.alpha_composite(white, layered)
    darkest = np.asarray(on_white.convert("L")).min()
    return on_white if darkest < 128 else Image.alpha_composite(black, layered)
