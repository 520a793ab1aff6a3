"""Weight files: a network's parameters with its description, in NumPy's .npz format, never pickle.

A file holds the parameters under their names (W1, b1, ...), buffers likewise, and `description`, a
JSON text that names every layer with its settings. It may hold what a training needs to go on, too:
`training`, another JSON text, and arrays whose names begin with `training.`.
"""

import json
import os
import zipfile
from pathlib import Path
from typing import Any, cast

import numpy as np

from . import layers
from .checks import Array
from .files import replacing
from .networks import Sequential

FORMAT = "pyconv network"
VERSION = 1
StrPath = str | os.PathLike[str]


def save(
    path: StrPath,
    network: Sequential,
    training: dict[str, Any] | None = None,
    training_arrays: dict[str, Array] | None = None,
) -> None:
    """Write a network to an .npz file, all or nothing.

    Parameters
    ----------
    path : str or path-like
        Must end in .npz. What was there is replaced once the new file is complete.
    network : Sequential
    training : dict, optional
        What a trainer wants back, as JSON can hold it.
    training_arrays : dict of str to ndarray, optional
        The same, as arrays.

    Raises
    ------
    ValueError
        When `path` does not end in .npz, or an array holds Python objects.
    OSError
        When the file cannot be written; what was there is still there.
    """
    target = npz_path(path)
    arrays: dict[str, Array] = {
        "description": np.array(_text(describe(network))),
        **network.params,
        **network.buffers,
    }
    if training is not None:
        arrays["training"] = np.array(_text(training))
        arrays.update({f"training.{k}": a for k, a in (training_arrays or {}).items()})
    objects = [name for name, array in arrays.items() if array.dtype.hasobject]
    if objects:
        raise ValueError(f"{objects} hold Python objects, which only pickle could store")
    with replacing(target) as part, part.open("xb") as file:
        np.savez(file, **cast(dict[str, Any], arrays))
        file.flush()
        os.fsync(file.fileno())  # on the disk before it takes the old file's name


def load(path: StrPath) -> Sequential:
    """Read the network that a file describes, with its weights.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file is damaged, or was not written by `save`.
    """
    return _build(*_read(path), path)


def load_into(network: Sequential, path: StrPath) -> None:
    """Read a file's weights into a network of the same layers.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file is damaged, was not written by `save`, or describes another network. The
        network has not changed then.
    """
    copy_arrays(load_like(network, path), network)


def copy_arrays(source: Sequential, target: Sequential) -> None:
    """Copy parameters and buffers into a network of the same layers."""
    for name, array in source.params.items():
        target.params[name] = array
    for name, array in source.buffers.items():
        target.buffers[name] = array


def load_like(network: Sequential, path: StrPath) -> Sequential:
    """Read a file as `load` does, but refuse another network than the given one.

    Raises
    ------
    FileNotFoundError, ValueError
        As `load_into`.
    """
    loaded = load(path)
    ours, theirs = ([_text(layer) for layer in describe(n)["layers"]] for n in (network, loaded))
    if ours != theirs:
        place = next(
            (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None
        )
        if place is None:
            difference = f"it has {len(theirs)} layers, this one {len(ours)}"
        else:
            name, here = list(network.layers.items())[place]
            there = list(loaded.layers.values())[place]
            difference = f"layer {name} is {here!r} here, but {there!r} there"
        raise ValueError(f"{path} holds the weights of another network: {difference}")
    if loaded.dtype != network.dtype:
        raise ValueError(
            f"{path} holds {loaded.dtype} weights, but this network is {network.dtype}; make it "
            f"with dtype=np.{loaded.dtype}"
        )
    return loaded


def load_training(path: StrPath) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read what a trainer stored beside the weights.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file is damaged, or holds weights alone.
    """
    _, arrays = _read(path)
    if "training" not in arrays:
        raise ValueError(f"{path} holds weights alone, not a training that could go on")
    kept = {k.removeprefix("training."): a for k, a in arrays.items() if k.startswith("training.")}
    return _json(path, arrays["training"], "training"), kept


def describe(network: Sequential) -> dict[str, Any]:
    """The description of a network that `save` writes."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": network.name,
        "input_dim": network.input_dim,
        "layers": [
            {
                "type": type(layer).__name__,
                "settings": layer.settings(),
                "arrays": {name: list(array.shape) for name, array in layer.arrays().items()},
            }
            for layer in network.layers.values()
        ],
    }


def npz_path(path: StrPath) -> Path:
    """`path`, if it can be the name of a weight file."""
    target = Path(path)
    if target.suffix != ".npz":
        raise ValueError(f"weights are kept in .npz files, but {str(path)!r} does not end in .npz")
    return target


def _read(path: StrPath) -> tuple[dict[str, Any], dict[str, Array]]:
    """The description and all arrays of a file, whatever bytes it holds."""
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no weight file {str(path)!r}")
    try:
        with zipfile.ZipFile(path) as archive:
            # Stored members are no longer than the file: no header can make us read more.
            members = archive.infolist()
            if any(info.compress_type != zipfile.ZIP_STORED for info in members):
                raise ValueError("it is compressed, which save() never does")
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
    if description.get("format") != FORMAT or description.get("version") != VERSION:
        raise ValueError(
            f"{path} says it is {description.get('format')!r} version "
            f"{description.get('version')!r}; this pyconv reads {FORMAT!r} version {VERSION}"
        )
    return description, arrays


def _native(name: str, member: object) -> Array:
    """An array in this machine's byte order."""
    if not isinstance(member, np.ndarray):  # NumPy hands out what is no .npy member as bytes
        raise ValueError(f"{name} is no array")
    return member.astype(member.dtype.newbyteorder("="), copy=False)


def _text(value: object) -> str:
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


def _build(description: dict[str, Any], arrays: dict[str, Array], path: StrPath) -> Sequential:
    """A network from its description, around the file's arrays."""
    try:
        built, number = [], 0
        for layer in description["layers"]:
            if layer["type"] not in layers.__all__ or layer["type"] == "Layer":
                raise ValueError(f"it has no layer called {layer['type']!r}")
            kind = getattr(layers, layer["type"])
            number += bool(layer["arrays"])
            given = {name: arrays[f"{name}{number}"] for name in layer["arrays"]}
            built.append(kind(**given, **layer["settings"]))
        input_dim = description["input_dim"]
        network = Sequential(
            built, tuple(input_dim) if input_dim is not None else None, str(description["name"])
        )
        if json.loads(_text(describe(network))) != description:
            raise ValueError("the description differs from what pyconv writes of such a network")
    except Exception as error:  # the description is a stranger's text
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} does not describe a network that works: {reason}") from error
    return network
