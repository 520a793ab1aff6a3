from typing import Any

import numpy as np
import numpy.typing as npt

from .window import Window

_Array = npt.NDArray[Any]
_Sizes = tuple[int, int, int, int]

KERNELS: tuple[str, ...]
__version__: str

def im2col(x: _Array, window: Window) -> _Array: ...
def col2im(col: _Array, input_shape: _Sizes, window: Window) -> _Array: ...
def max_pool2d(x: _Array, window: Window, ceil_mode: bool) -> tuple[_Array, _Array]: ...
def max_pool2d_backward(
    dout: _Array, argmax: npt.NDArray[np.unsignedinteger], input_shape: _Sizes, window: Window
) -> _Array: ...
def avg_pool2d(x: _Array, window: Window, ceil_mode: bool, count_include_pad: bool) -> _Array: ...
def avg_pool2d_backward(
    dout: _Array, input_shape: _Sizes, window: Window, count_include_pad: bool
) -> _Array: ...
def conv2d(x: _Array, W: _Array, b: _Array | None, window: Window, groups: int) -> _Array: ...
def conv2d_backward_data(
    dout: _Array, W: _Array, input_shape: _Sizes, window: Window, groups: int
) -> _Array: ...
def conv2d_backward_weight(
    x: _Array, dout: _Array, filter_shape: _Sizes, window: Window, groups: int
) -> tuple[_Array, _Array]: ...
def conv2d_block(
    x: _Array,
    W: _Array,
    b: _Array | None,
    window: Window,
    groups: int,
    pool: tuple[int, int],
    need_argmax: bool,
) -> tuple[_Array, _Array | None]: ...
def conv2d_block_backward(
    x: _Array,
    W: _Array,
    y: _Array,
    dout: _Array,
    argmax: npt.NDArray[np.unsignedinteger] | None,
    window: Window,
    groups: int,
    pool: tuple[int, int],
    need_dx: bool,
) -> tuple[_Array | None, _Array, _Array]: ...
def affine(x: _Array, W: _Array, b: _Array | None, relu: bool) -> _Array: ...
def affine_backward(
    x: _Array, dout: _Array, W: _Array, y: _Array | None, need_dx: bool
) -> tuple[_Array | None, _Array, _Array]: ...
def build_info() -> dict[str, Any]: ...
def num_threads() -> int: ...
def set_num_threads(n: int) -> None: ...
