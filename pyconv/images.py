"""Images from files, in the form that networks take."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .checks import Array

if TYPE_CHECKING:
    from PIL.Image import Image


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
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path} is not a readable .npy file: {error}") from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path} is an archive of arrays, not one array in an .npy file")
    images = array.reshape((1,) * max(4 - array.ndim, 0) + array.shape)
    if images.ndim != 4 or images.shape[1:] != input_dim:
        raise ValueError(
            f"{path} holds an array of shape {array.shape}, but the network takes images of shape "
            f"{input_dim} (C, H, W)"
        )
    if images.dtype == np.uint8:
        return images.astype(np.float32) / 255
    if images.dtype.kind != "f" or not ((images >= 0) & (images <= 1)).all():
        raise ValueError(
            f"{path} holds {array.dtype} from {array.min()} to {array.max()}; images must be uint8 "
            "in 0..255 or floats in 0..1"
        )
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
            picture = _on_white(file).convert("L" if C == 1 else "RGB")
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


def _on_white(picture: "Image") -> "Image":
    """The picture without transparency: what shows through is white, as on paper."""
    from PIL import Image

    if not picture.has_transparency_data:
        return picture
    layered = picture.convert("RGBA")
    paper = Image.new("RGBA", layered.size, "white")
    return Image.alpha_composite(paper, layered)
