"""The sides of the comparison by name: pyconv, and the libraries it is held against."""

from collections.abc import Callable

from .onnx_runtime import OnnxRuntime
from .ours import Pyconv, Reference
from .pytorch import Torch, TorchCompile

SIDES: dict[str, Callable[[int], Pyconv | Torch | OnnxRuntime]] = {
    "pyconv": Pyconv,
    "reference": Reference,
    "torch": Torch,
    "torch.compile": TorchCompile,
    "onnxruntime": OnnxRuntime,
}
RIVALS = tuple(SIDES)[1:]
