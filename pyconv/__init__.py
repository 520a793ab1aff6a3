"""Convolution, pooling and im2col in readable C++, and the layers and networks made of them.

The functions on arrays (`im2col`, `conv2d`, `max_pool2d`, ...) are here; `pyconv.reference` holds
the same ones in plain NumPy. `pyconv.layers`, `pyconv.networks`, `pyconv.optimizers`,
`pyconv.datasets`, `pyconv.explain`, `pyconv.Trainer` and `pyconv.profile` load when they are first
used.
"""

import importlib
from typing import TYPE_CHECKING, Any

try:
    from ._core import __version__
except ModuleNotFoundError as error:
    if error.name != f"{__name__}._core":
        raise
    raise ImportError(
        f"the compiled part of pyconv is not beside its Python files in {__path__[0]}. In the "
        "source folder, run 'pip install -e .' (it needs a C++ compiler) and start the Python it "
        "was installed for, e.g. .venv/bin/python; or leave the folder to import another pyconv."
    ) from None

from . import reference
from .backend import use_backend
from .ops import (
    affine,
    affine_backward,
    avg_pool2d,
    avg_pool2d_backward,
    col2im,
    conv2d,
    conv2d_backward_data,
    conv2d_backward_weight,
    conv2d_block,
    conv2d_block_backward,
    im2col,
    max_pool2d,
    max_pool2d_backward,
    relu,
    relu_backward,
)
from .system import build_info, get_num_threads, set_num_threads

if TYPE_CHECKING:
    from . import datasets, explain, gradient_check, layers, networks, optimizers, weights
    from .profiling.network import profile
    from .trainer import Trainer
    from .verification import KernelError

# Loaded at first use: importing pyconv for a kernel costs little more than importing NumPy.
_LAZY_MODULES = (
    "datasets", "explain", "gradient_check", "layers", "networks", "optimizers", "verification",
    "weights",
)  # fmt: skip

__all__ = [
    "KernelError",
    "Trainer",
    "__version__",
    "affine",
    "affine_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "build_info",
    "col2im",
    "conv2d",
    "conv2d_backward_data",
    "conv2d_backward_weight",
    "conv2d_block",
    "conv2d_block_backward",
    "datasets",
    "explain",
    "get_num_threads",
    "gradient_check",
    "im2col",
    "layers",
    "max_pool2d",
    "max_pool2d_backward",
    "networks",
    "optimizers",
    "profile",
    "reference",
    "relu",
    "relu_backward",
    "set_num_threads",
    "use_backend",
    "verification",
    "weights",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name == "Trainer":
        from .trainer import Trainer

        return Trainer
    if name == "profile":
        from .profiling.network import profile

        return profile
    if name == "KernelError":
        from .verification import KernelError

        return KernelError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
