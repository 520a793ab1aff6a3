"""IDX, the file format of MNIST: what it holds is written in front.

    2 bytes          zero
    1 byte           type code of the elements (see ``_TYPES``)
    1 byte           number of dimensions D
    D * 4 bytes      the sizes, big-endian unsigned
    the rest         the elements in C order, big-endian

The files come from strangers, so nothing the header says is believed before it is checked.
Source of the format: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

_TYPES: Mapping[int, str] = MappingProxyType(
    {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
)
_MOST_DIMENSIONS = 32  # what every version of NumPy can hold
_MOST_BYTES = 2 * 2**30
_CHUNK = 2**20


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read one IDX file, packed with gzip or not (its first two bytes tell, not its name).

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    ndarray
        The shape is the one in the header; the dtype is uint8, int8, int16, int32, float32 or
        float64 in native byte order. C-contiguous and writable.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        `path` is not there, or is a folder.
    ValueError
        The file is empty, is not IDX, is damaged, or does not hold as many bytes as its header
        says. A header that promises more than 2 GiB is refused before anything is read.
    """
    import gzip
    import zlib

    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; an IDX file is wanted.")
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}; an IDX file is wanted.")
    try:
        with path.open("rb") as file, unpacked(file) as stream:
            return _parse(stream, path)
    except EOFError as error:
        raise ValueError(
            f"{path} is cut short: its gzip data stop before their end. Fetch the file again."
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{path} is a damaged gzip file ({error}). Fetch the file again."
        ) from error


def unpacked(file: BinaryIO) -> BinaryIO:
    """`file`, or what it unpacks to if it begins as a gzip file does."""
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    if not packed:
        return file
    import gzip

    return cast(BinaryIO, gzip.GzipFile(fileobj=file))


def _parse(stream: BinaryIO, path: Path) -> NDArray[Any]:
    dtype, shape = _header(stream, path)
    promised = math.prod(shape) * dtype.itemsize
    held = f"{path} says it holds {dtype.name} of shape {shape}, {promised:,} bytes"
    if promised == 0:
        raise ValueError(f"{held}; every size must be at least 1.")
    if promised > _MOST_BYTES:
        raise ValueError(f"{held}; no more than {_MOST_BYTES:,} bytes are read.")
    # One byte too many is enough to know that the header lies, however much a gzip file unpacks to.
    data = _read(stream, promised + 1)
    if len(data) < promised:
        raise ValueError(f"{held}, but only {len(data):,} bytes follow. Fetch the file again.")
    if len(data) > promised:
        raise ValueError(f"{held}, but more bytes follow. Fetch the file again.")
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _header(stream: BinaryIO, path: Path) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = stream.read(4)
    if not magic:
        raise ValueError(f"{path} is empty; an IDX file begins with 4 bytes that name its type.")
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise ValueError(
            f"{path} is not an IDX file: it begins with the bytes {magic.hex(' ')}, where "
            "00 00, a type code and the number of dimensions are wanted."
        )
    code, dimensions = magic[2], magic[3]
    if code not in _TYPES:
        known = ", ".join(f"0x{c:02X} ({np.dtype(t).name})" for c, t in _TYPES.items())
        raise ValueError(f"{path} has the IDX type code 0x{code:02X}; known are {known}.")
    if not 1 <= dimensions <= _MOST_DIMENSIONS:
        raise ValueError(
            f"{path} says it has {dimensions} dimensions; "
            f"1 to {_MOST_DIMENSIONS} can be read (labels have 1, images 3)."
        )
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise ValueError(
            f"{path} ends within its header: the sizes of {dimensions} dimensions take "
            f"{4 * dimensions} bytes, {len(sizes)} follow."
        )
    return np.dtype(_TYPES[code]), tuple(np.frombuffer(sizes, ">u4").tolist())


def _read(stream: BinaryIO, most: int) -> bytearray:
    """Up to `most` bytes. Memory grows with what arrives, not with what a header promised."""
    data = bytearray()
    while len(data) < most and (chunk := stream.read(min(_CHUNK, most - len(data)))):
        data += chunk
    return data
