"""Small made-up data sets in MNIST's file format, for the tests that read or fetch them."""

import gzip
import struct

import numpy as np

from pyconv.datasets import download

CODES = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}
FILES = download.FILES
IMAGES = np.arange(6 * 16, dtype=np.uint8).reshape(6, 4, 4)


def idx(array):
    big = array.astype(array.dtype.newbyteorder(">"))
    head = bytes([0, 0, CODES[array.dtype.name], array.ndim])
    return head + struct.pack(f">{array.ndim}I", *array.shape) + big.tobytes()


GOOD = idx(IMAGES)
ZIPPED = gzip.compress(GOOD, mtime=0)


def four(train=IMAGES, train_t=6, test=IMAGES[:2], test_t=2):
    """Four small made-up files, packed, in the order of FILES."""
    arrays = (train, np.arange(train_t, dtype="u1"), test, np.arange(test_t, dtype="u1"))
    return [gzip.compress(idx(array), mtime=0) for array in arrays]


def put(folder, files=None):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in zip(FILES, files or four(), strict=True):
        (folder / name).write_bytes(data)
    return folder
