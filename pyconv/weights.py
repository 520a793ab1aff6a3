"""Weight files: a network's parameters with its description, in NumPy's .npz format, never pickle.

A file holds the parameters under their names (W1, b1, ...), buffers likewise, and `description`, a
JSON text that names every layer with its settings. It may hold what a training needs to go on, too:
`training`, another JSON text, and arrays whose names begin with `training.`.
"""

import json
import os
import zipfile
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np

from .checks import Array
from .files import replacing

FORMAT = "pyconv network"
VERSION = 1
StrPath: TypeAlias = str | os.PathLike[str]


def write(
    path: StrPath,
    description: dict[str, Any],
    arrays: dict[str, Array],
    training: dict[str, Any] | None = None,
    training_arrays: dict[str, Array] | None = None,
) -> None:
    """Write a network to an .npz file, all or nothing.

    Parameters
    ----------
    path : str or path-like
        Must end in .npz. What was there is replaced once the new file is complete.
    description : dict
        The network's layers, as JSON can hold them.
    arrays : dict of str to ndarray
        Its parameters and buffers.
    training, training_arrays : dict, optional
        What a trainer wants back, as JSON and as arrays.

    Raises
    ------
    ValueError
        When `path` does not end in .npz, or an array holds Python objects.
    OSError
        When the file cannot be written; what was there is still there.
    """
    target = npz_path(path)
    head = {"format": FORMAT, "version": VERSION, **description}
    arrays = {"description": np.array(as_json(head)), **arrays}
    if training is not None:
        arrays["training"] = np.array(as_json(training))
        arrays.update({f"training.{k}": a for k, a in (training_arrays or {}).items()})
    objects = [name for name, array in arrays.items() if array.dtype.hasobject]
    if objects:
        raise ValueError(f"{objects} hold Python objects, which only pickle could store")
    with replacing(target) as part, part.open("xb") as file:
        np.savez(file, **cast(dict[str, Any], arrays))
        file.flush()
        os.fsync(file.fileno())  # on the disk before it takes the old file's name


def load_training(path: StrPath) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read what a trainer stored beside the weights.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file is damaged, or holds weights alone.
    """
    _, arrays = read(path)
    if "training" not in arrays:
        raise ValueError(f"{path} holds weights alone, not a training that could go on")
    kept = {k.removeprefix("training."): a for k, a in arrays.items() if k.startswith("training.")}
    return _json(path, arrays["training"], "training"), kept


def npz_path(path: StrPath) -> Path:
    """`path`, if it can be the name of a weight file."""
    target = Path(path)
    if target.suffix != ".npz":
        raise ValueError(f"weights are kept in .npz files, but {str(path)!r} does not end in .npz")
    return target


def read(path: StrPath) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read the description and all arrays of a file, whatever bytes it holds.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file is damaged, or was not written by `write`.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no weight file {str(path)!r}")
    try:
        with zipfile.ZipFile(path) as archive:
            # Stored members are no longer than the file: no header can make us read more.
            members = archive.infolist()
            if any(info.compress_type != zipfile.ZIP_STORED for info in members):
                raise ValueError("it is compressed, which pyconv never does")
            if sum(info.file_size for info in members) > os.path.getsize(path):
                raise ValueError("what it says it holds is larger than the file")
            damaged = archive.testzip()
            if damaged:
                raise ValueError(f"the checksum of {damaged} is wrong")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: _native(name, file[name]) for name in file.files}
    except Exception as error:  # a hostile file can make the readers raise almost anything
        raise ValueError(f"{path} is not a readable weight file: {error}") from error
    if "description" not in arrays:
        raise ValueError(f"{path} was not written by pyconv: it holds {sorted(arrays)[:8]}")
    description = _json(path, arrays["description"], "description")
    found = description.pop("format", None), description.pop("version", None)
    if found != (FORMAT, VERSION):
        raise ValueError(
            f"{path} says it is {found[0]!r} version {found[1]!r}; this pyconv reads {FORMAT!r} "
            f"version {VERSION}"
        )
    return description, arrays


def _native(name: str, member: object) -> Array:
    """An array in this machine's byte order."""
    if not isinstance(member, np.ndarray):  # NumPy hands out what is no .npy member as bytes
        raise ValueError(f"{name} is no array")
    return member.astype(member.dtype.newbyteorder("="), copy=False)


def as_json(value: object) -> str:
    """JSON, with NumPy's numbers and arrays as Python's."""
    return json.dumps(value, default=_plain)


def _plain(value: object) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{value!r} cannot be written as JSON")


def _json(path: StrPath, text: Array, name: str) -> dict[str, Any]:
    try:
        value = json.loads(str(text[()]))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: its {name} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} is damaged: its {name} is {value!r}")
    return value
