"""Data sets of small grey images: one that comes with the package, two that are fetched once.

Every loader returns ``(x_train, t_train), (x_test, t_test)``: images as float32 in [0, 1] of shape
(N, 1, H, W), labels as int64 of shape (N,).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .download import FASHION_MNIST, FILES, MNIST, Source, fetch
from .idx import read_idx

__all__ = ["load_digits", "load_fashion_mnist", "load_folder", "load_mnist", "read_idx"]

_Split: TypeAlias = tuple[NDArray[np.float32], NDArray[np.int64]]
_DataSet: TypeAlias = tuple[_Split, _Split]
_StrPath: TypeAlias = "str | os.PathLike[str]"


def load_digits() -> _DataSet:
    """Load the handwritten digits that come with the package; no network is needed.

    1,797 images of 8x8 pixels with values 0..16, enlarged by bilinear interpolation to 20x20 in
    the middle of 28x28, which is how MNIST frames its digits. Every fifth image (index % 5 == 4)
    is for testing: the choice is always the same, and every writer is in both parts. The classes
    are only roughly balanced: 21 to 52 of the 359 test images each.

    Returns
    -------
    (x_train, t_train), (x_test, t_test)
        x: float32 in [0, 1], (1438, 1, 28, 28) and (359, 1, 28, 28), C-contiguous.
        t: int64 in 0..9, (1438,) and (359,).

    References
    ----------
    E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
    Repository, 1998, doi 10.24432/C50P49, CC BY 4.0.
    """
    folder = Path(__file__).parent / "digits"
    x = _enlarge(read_idx(folder / "images-idx3-ubyte.gz"))
    t = read_idx(folder / "labels-idx1-ubyte.gz").astype(np.int64)
    test = np.arange(len(t)) % 5 == 4
    return (x[~test], t[~test]), (x[test], t[test])


def load_mnist(data_dir: _StrPath | None = None) -> _DataSet:
    """Load MNIST: 70,000 handwritten digits of 28x28 pixels.

    Parameters
    ----------
    data_dir : str or path-like, optional
        The folder with the four files (.gz or unpacked), or a folder that holds it as ``mnist/``.
        Without it the files are looked for in ``$PYCONV_DATA/mnist``, then in
        ``~/.cache/pyconv/mnist`` (``$XDG_CACHE_HOME`` for ``~/.cache`` where it is set); what is
        not there is downloaded into the latter.

    Returns
    -------
    (x_train, t_train), (x_test, t_test)
        x: float32 in [0, 1], (60000, 1, 28, 28) and (10000, 1, 28, 28), C-contiguous.
        t: int64 in 0..9, (60000,) and (10000,).

    Raises
    ------
    FileNotFoundError
        `data_dir` is given and the files are not there. Then nothing is downloaded.
    ConnectionError
        The files had to be downloaded and no mirror gave them.
    ValueError
        A file is damaged or does not hold what its name says.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
    recognition", Proceedings of the IEEE 86 (11), 1998.
    """
    return _load(MNIST, data_dir)


def load_fashion_mnist(data_dir: _StrPath | None = None) -> _DataSet:
    """Load Fashion-MNIST: 70,000 pictures of clothes of 28x28 pixels.

    Takes, returns and raises what `load_mnist` does; the folder is called ``fashion/``.

    References
    ----------
    H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine
    learning algorithms", arXiv 1708.07747, 2017.
    """
    return _load(FASHION_MNIST, data_dir)


def load_folder(path: _StrPath) -> _DataSet:
    """Load a data set of one's own, stored as MNIST is.

    Parameters
    ----------
    path : str or path-like
        A folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
        t10k-labels-idx1-ubyte, each with or without .gz: images uint8 (N, H, W), labels uint8 (N,).

    Returns
    -------
    (x_train, t_train), (x_test, t_test)
        x: float32 in [0, 1], (N, 1, H, W), C-contiguous. t: int64, (N,).

    Raises
    ------
    FileNotFoundError
        Not all four files are there.
    ValueError
        A file is damaged or does not hold what its name says.
    """
    folder = _as_path(path)
    if _missing(folder):
        raise _not_there(folder, "a data set")
    return _read(folder)


def _load(source: Source, data_dir: _StrPath | None) -> _DataSet:
    if data_dir is not None:
        folder = _as_path(data_dir)
        within = folder / source.folder
        places = [folder, within]
    else:
        shared = os.environ.get("PYCONV_DATA")
        cache = _cache() / source.folder
        places = [_as_path(shared) / source.folder, cache] if shared else [cache]
    for place in places:
        if not _missing(place):
            return _read(place)
    if data_dir is not None:
        raise _not_there(within if within.is_dir() else folder, source.title)
    fetch(source, cache, _missing(cache))
    return _read(cache)


def _as_path(path: _StrPath) -> Path:
    return Path(os.path.expanduser(path))


def _cache() -> Path:
    # The XDG rules: a relative path in the variable is to be ignored.
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (named if named.is_absolute() else Path.home() / ".cache") / "pyconv"


def _path(folder: Path, name: str) -> Path:
    """Where `name` lies in `folder`: packed, or unpacked and without the suffix."""
    unpacked = folder / name.removesuffix(".gz")
    return unpacked if unpacked.is_file() and not (folder / name).is_file() else folder / name


def _missing(folder: Path) -> list[str]:
    return [name for name in FILES if not _path(folder, name).is_file()]


def _not_there(folder: Path, title: str) -> FileNotFoundError:
    lacks = f"The folder {folder} lacks" if folder.is_dir() else f"There is no folder {folder} with"
    return FileNotFoundError(
        f"{lacks} {', '.join(_missing(folder))}; {title} needs its four IDX files in one folder, "
        "each packed, or unpacked and named without the .gz."
    )


def _read(folder: Path) -> _DataSet:
    images, labels, test_images, test_labels = (_path(folder, name) for name in FILES)
    train, test = _read_split(images, labels), _read_split(test_images, test_labels)
    if train[0].shape[1:] != test[0].shape[1:]:
        raise ValueError(
            f"{images} holds images of {_size(train[0])} pixels, but {test_images} of "
            f"{_size(test[0])}; both must be of one size."
        )
    return train, test


def _read_split(images_path: Path, labels_path: Path) -> _Split:
    images = _read_uint8(images_path, 3, "images must be uint8 of shape (N, H, W)")
    labels = _read_uint8(labels_path, 1, "labels must be uint8 of shape (N,)")
    if len(images) != len(labels):
        raise ValueError(
            f"{images_path} holds {len(images):,} images (shape {images.shape}), but {labels_path} "
            f"holds {len(labels):,} labels (shape {labels.shape}); every image needs one label."
        )
    x = np.true_divide(images[:, np.newaxis], np.float32(255), dtype=np.float32)
    return x, labels.astype(np.int64)


def _read_uint8(path: Path, dimensions: int, wanted: str) -> NDArray[np.uint8]:
    array = read_idx(path)
    if array.dtype != np.uint8 or array.ndim != dimensions:
        raise ValueError(f"{path} holds {array.dtype} of shape {array.shape}; {wanted}.")
    return array


def _size(x: NDArray[Any]) -> str:
    return f"{x.shape[2]}x{x.shape[3]}"


def _enlarge(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, 8, 8) of 0..16 -> (N, 1, 28, 28) float32 of 0..1, bilinear.

    Every digit becomes 20x20 with an empty border of 4, the frame that MNIST's digits have.

    A row of pixels becomes longer by a matrix product with `weights` (20, 8), a column likewise.
    The centre of new pixel i lies at (i + 1/2) * 8/20 - 1/2 = (4i - 3) / 10 of the old ones; it
    mixes its two neighbours by their distance, and beyond an edge takes the edge pixel.
    Counted in tenths all products are whole numbers up to 16 * 10 * 10, which float32 holds
    exactly, so the one division at the end gives the same bits on every machine.
    """
    position = np.clip(4 * np.arange(20) - 3, 0, 10 * 7)
    distance = np.abs(position[:, np.newaxis] - 10 * np.arange(8))
    weights = np.maximum(10 - distance, 0).astype(np.float32)
    enlarged: NDArray[np.float32] = weights @ images.astype(np.float32) @ weights.T
    enlarged /= np.float32(16 * 10 * 10)
    return np.pad(enlarged, ((0, 0), (4, 4), (4, 4)))[:, np.newaxis]
