"""The data sets that commands know by name, and how each is trained on."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from . import datasets


class DataSet(NamedTuple):
    """A data set by name, and how it is trained on unless options say otherwise."""

    load: Callable[[], Any]
    epochs: int = 3
    batch_size: int = 50
    shift: int = 0
    adam_lr: float = 0.003


DATA_SETS = {
    # few images: many epochs, and shifted images make up for the rest
    "digits": DataSet(datasets.load_digits, epochs=25, shift=2, adam_lr=0.005),
    # at least 99 % of the test images; without shifts some seeds stay just below
    "mnist": DataSet(datasets.load_mnist, epochs=3, batch_size=100, shift=1, adam_lr=0.005),
    "fashion": DataSet(datasets.load_fashion_mnist),
}


def data_set_of(data: str) -> DataSet:
    """The data set of that name, or in that folder.

    Raises
    ------
    FileNotFoundError
        When there is neither.
    """
    if data in DATA_SETS:
        return DATA_SETS[data]
    if not Path(data).is_dir():
        raise FileNotFoundError(
            f"--data takes {', '.join(DATA_SETS)} or a folder of four IDX files, and {data!r} is "
            "none of these"
        )
    return DataSet(functools.partial(datasets.load_folder, data))
