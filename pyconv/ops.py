"""The functions on arrays. Each checks its arguments and calls a compiled kernel.

Inside `use_backend("reference")` the function of the same name in `pyconv.reference` runs instead.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from . import _core, checks, reference
from .backend import current_backend
from .checks import Array
from .window import Padding, PerAxis

P = ParamSpec("P")
R = TypeVar("R")


def with_twin(native: Callable[P, R]) -> Callable[P, R]:
    """Run `native`, or its NumPy twin of the same name when the reference backend is in force."""
    twin: Callable[P, R] = getattr(reference, native.__name__)

    @functools.wraps(native)
    def function(*args: P.args, **kwargs: P.kwargs) -> R:
        chosen = twin if current_backend() == "reference" else native
        return chosen(*args, **kwargs)

    return function


@with_twin
def im2col(
    x: Array,
    filter_h: int,
    filter_w: int,
    stride: PerAxis = 1,
    pad: Padding = 0,
    dilation: PerAxis = 1,
) -> Array:
    """Unroll the windows of images into the rows of a matrix.

    Parameters
    ----------
    x : ndarray (N, C, H, W), float32 or float64
        Images. N may be 0. An array that is not C-contiguous is copied once.
    filter_h, filter_w : int
        Height and width of the window.
    stride : int or (int, int)
        Step from one window to the next, (height, width).
    pad : int, (h, w), ((top, bottom), (left, right)), "same" or "valid"
        Zeros around the image. "same" makes OH = ceil(H / stride), an odd row or column going to
        the bottom or right; "valid" is 0.
    dilation : int or (int, int)
        Distance between neighbouring taps of the window.

    Returns
    -------
    ndarray (N*OH*OW, C*filter_h*filter_w), dtype of `x`
        A row per window, ordered n, oy, ox; a column per tap, ordered c, fy, fx.

    Raises
    ------
    TypeError
        When `x` is no float32 or float64 array, or a size is no whole number.
    ValueError
        When `x` has not 4 axes, a size is out of range, or the window exceeds the padded image.

    Notes
    -----
    OH = (H + P - ((filter_h - 1) * dilation + 1)) // stride + 1, with P the padding of both sides.
    Source: Chellapilla, Puri and Simard, "High Performance Convolutional Neural Networks for
    Document Processing" (2006).
    """
    x, window = checks.im2col(x, filter_h, filter_w, stride, pad, dilation)
    return _core.im2col(x, window)


@with_twin
def col2im(
    col: Array,
    input_shape: tuple[int, ...],
    filter_h: int,
    filter_w: int,
    stride: PerAxis = 1,
    pad: Padding = 0,
    dilation: PerAxis = 1,
) -> Array:
    """Add every entry of a column matrix to the pixel that `im2col` copied it from.

    This is the adjoint of `im2col`, its backward pass, and not its inverse: a pixel that lies in k
    windows comes back k times.

    Parameters
    ----------
    col : ndarray (N*OH*OW, C*filter_h*filter_w), float32 or float64
    input_shape : (N, C, H, W)
        Shape of the images.
    filter_h, filter_w, stride, pad, dilation
        As for `im2col`.

    Returns
    -------
    ndarray (N, C, H, W), dtype of `col`

    Raises
    ------
    TypeError, ValueError
        As `im2col`; also when `col` has not the shape `im2col` gives for `input_shape`.
    """
    col, shape, window = checks.col2im(col, input_shape, filter_h, filter_w, stride, pad, dilation)
    return _core.col2im(col, shape, window)


@with_twin
def conv2d(
    x: Array,
    W: Array,
    b: Array | float | None = None,
    stride: PerAxis = 1,
    pad: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Array:
    """Convolve images with filters (cross-correlation, as in all deep learning).

    Parameters
    ----------
    x : ndarray (N, C, H, W), float32 or float64
        Images. N may be 0.
    W : ndarray (FN, C / groups, FH, FW), dtype of `x`
        Filters.
    b : ndarray (FN,), dtype of `x`, optional
        Bias per filter; None or 0 for none.
    stride, pad, dilation
        As for `im2col`.
    groups : int
        Split channels and filters into this many groups, each convolved on its own. With
        groups = C every channel has its own filters (depthwise).

    Returns
    -------
    ndarray (N, FN, OH, OW), dtype of `x`

    Raises
    ------
    TypeError
        When an array is not float32 or float64, or two differ in dtype.
    ValueError
        When shapes, groups and window do not fit together; the sentence names them.

    Notes
    -----
    y[n, f, oy, ox] = b[f] + sum over c, fy, fx of
    W[f, c, fy, fx] * x[n, c, oy*S + fy*D - P, ox*S + fx*D - P], as in chapter 7 of Saito,
    *Deep Learning from Scratch*.

    Larger layers of 3×3 filters with stride 1 take Winograd's fewer products: an output that sees
    an infinite pixel may then be NaN instead of infinite.
    """
    x, W, bias, window, groups = checks.conv2d(x, W, b, stride, pad, dilation, groups)
    return _core.conv2d(x, W, bias, window, groups)


@with_twin
def conv2d_backward_data(
    dout: Array,
    W: Array,
    input_shape: tuple[int, ...],
    stride: PerAxis = 1,
    pad: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Array:
    """Gradient of a loss with respect to the input of `conv2d`.

    Parameters
    ----------
    dout : ndarray (N, FN, OH, OW), float32 or float64
        Gradient with respect to the output.
    W : ndarray (FN, C / groups, FH, FW), dtype of `dout`
    input_shape : (N, C, H, W)
    stride, pad, dilation, groups
        As for `conv2d`.

    Returns
    -------
    ndarray (N, C, H, W), dtype of `dout`

    Raises
    ------
    TypeError, ValueError
        As `conv2d`; also when `dout` has not the shape of the output.
    """
    dout, W, shape, window, groups = checks.conv2d_backward_data(
        dout, W, input_shape, stride, pad, dilation, groups
    )
    return _core.conv2d_backward_data(dout, W, shape, window, groups)


@with_twin
def conv2d_backward_weight(
    x: Array,
    dout: Array,
    filter_shape: tuple[int, ...],
    stride: PerAxis = 1,
    pad: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> tuple[Array, Array]:
    """Gradients of a loss with respect to the filters and the bias of `conv2d`.

    Parameters
    ----------
    x : ndarray (N, C, H, W), float32 or float64
    dout : ndarray (N, FN, OH, OW), dtype of `x`
        Gradient with respect to the output.
    filter_shape : (FN, C / groups, FH, FW)
    stride, pad, dilation, groups
        As for `conv2d`.

    Returns
    -------
    dW : ndarray (FN, C / groups, FH, FW), dtype of `x`
    db : ndarray (FN,), dtype of `x`

    Raises
    ------
    TypeError, ValueError
        As `conv2d`; also when `dout` has not the shape of the output.
    """
    x, dout, shape, window, groups = checks.conv2d_backward_weight(
        x, dout, filter_shape, stride, pad, dilation, groups
    )
    return _core.conv2d_backward_weight(x, dout, shape, window, groups)


@with_twin
def max_pool2d(
    x: Array,
    pool_h: int,
    pool_w: int,
    stride: PerAxis = 1,
    pad: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> tuple[Array, Array]:
    """Maximum of every window.

    Padding never wins; the first maximum wins a tie; a NaN wins over every number. A window that
    holds padding alone gives -inf and passes no gradient back.

    Parameters
    ----------
    x : ndarray (N, C, H, W), float32 or float64
    pool_h, pool_w : int
        Height and width of the window.
    stride, pad, dilation
        As for `im2col`. The stride is 1 unless given, as in the book.
    ceil_mode : bool
        Round the output size up, so that a last window may hang over the edge. One that would
        start in the far padding is dropped, as in PyTorch and ONNX.

    Returns
    -------
    y : ndarray (N, C, OH, OW), dtype of `x`
    argmax : ndarray (N, C, OH, OW), the smallest unsigned dtype that fits
        The winning tap of each window, fy * pool_w + fx.

    Raises
    ------
    TypeError, ValueError
        As `im2col`.
    """
    x, window = checks.max_pool2d(x, pool_h, pool_w, stride, pad, dilation, ceil_mode)
    return _core.max_pool2d(x, window, ceil_mode)


@with_twin
def max_pool2d_backward(
    dout: Array,
    argmax: Array,
    input_shape: tuple[int, ...],
    pool_h: int,
    pool_w: int,
    stride: PerAxis = 1,
    pad: Padding = 0,
    dilation: PerAxis = 1,
) -> Array:
    """Gradient of a loss with respect to the input of `max_pool2d`.

    Parameters
    ----------
    dout : ndarray (N, C, OH, OW), float32 or float64
    argmax : ndarray (N, C, OH, OW), an integer dtype
        As `max_pool2d` returned it.
    input_shape : (N, C, H, W)
    pool_h, pool_w, stride, pad, dilation
        As for `max_pool2d`; whether `ceil_mode` was set shows in the shape of `dout`.

    Returns
    -------
    ndarray (N, C, H, W), dtype of `dout`
        Where windows overlap, gradients add up.

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`; also when `dout` or `argmax` has not the shape of the output, or `argmax`
        holds a value outside the window.
    """
    dout, argmax, shape, window = checks.max_pool2d_backward(
        dout, argmax, input_shape, pool_h, pool_w, stride, pad, dilation
    )
    return _core.max_pool2d_backward(dout, argmax, shape, window)


@with_twin
def avg_pool2d(
    x: Array,
    pool_h: int,
    pool_w: int,
    stride: PerAxis = 1,
    pad: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
) -> Array:
    """Mean of every window.

    Parameters
    ----------
    x : ndarray (N, C, H, W), float32 or float64
    pool_h, pool_w, stride, pad, ceil_mode
        As for `max_pool2d`.
    count_include_pad : bool
        Divide by all of the window that lies in the padded image, not by its pixels alone. What
        `ceil_mode` lets hang over the padded image never counts.

    Returns
    -------
    ndarray (N, C, OH, OW), dtype of `x`
        0 for a window that holds no pixel.

    Raises
    ------
    TypeError, ValueError
        As `im2col`.
    """
    x, window = checks.avg_pool2d(x, pool_h, pool_w, stride, pad, ceil_mode, count_include_pad)
    return _core.avg_pool2d(x, window, ceil_mode, count_include_pad)


@with_twin
def avg_pool2d_backward(
    dout: Array,
    input_shape: tuple[int, ...],
    pool_h: int,
    pool_w: int,
    stride: PerAxis = 1,
    pad: Padding = 0,
    count_include_pad: bool = False,
) -> Array:
    """Gradient of a loss with respect to the input of `avg_pool2d`.

    Parameters
    ----------
    dout : ndarray (N, C, OH, OW), float32 or float64
    input_shape : (N, C, H, W)
    pool_h, pool_w, stride, pad, count_include_pad
        As for `avg_pool2d`; whether `ceil_mode` was set shows in the shape of `dout`.

    Returns
    -------
    ndarray (N, C, H, W), dtype of `dout`

    Raises
    ------
    TypeError, ValueError
        As `avg_pool2d`; also when `dout` has not the shape of the output.
    """
    dout, shape, window = checks.avg_pool2d_backward(
        dout, input_shape, pool_h, pool_w, stride, pad, count_include_pad
    )
    return _core.avg_pool2d_backward(dout, shape, window, count_include_pad)


@with_twin
def affine(x: Array, W: Array, b: Array | float | None = None, relu: bool = False) -> Array:
    """Rows times weights plus bias: `x @ W + b`, cut off below 0 where a ReLU follows.

    Parameters
    ----------
    x : ndarray (N, D), float32 or float64
    W : ndarray (D, M), dtype of `x`
    b : ndarray (M,), dtype of `x`, optional
        None or 0 for none.
    relu : bool
        Whether to apply ReLU, `maximum(y, 0)`, to the result. A NaN stays a NaN.

    Returns
    -------
    ndarray (N, M), dtype of `x`

    Raises
    ------
    TypeError, ValueError
        When dtypes or shapes do not fit together; the sentence names them.
    """
    x, W, bias = checks.affine(x, W, b, relu)
    return _core.affine(x, W, bias, relu)


@with_twin
def affine_backward(
    x: Array, dout: Array, W: Array, y: Array | None = None, need_dx: bool = True
) -> tuple[Array | None, Array, Array]:
    """Gradients of a loss with respect to the three arguments of `affine`.

    Parameters
    ----------
    x : ndarray (N, D), float32 or float64
    dout : ndarray (N, M), dtype of `x`
        Gradient with respect to the output.
    W : ndarray (D, M), dtype of `x`
    y : ndarray (N, M), dtype of `x`, optional
        What `affine` returned with `relu` True: where it is 0, ReLU lets no gradient pass.
    need_dx : bool
        Whether to compute `dx`. A network's first layer has nobody to hand it to.

    Returns
    -------
    dx : ndarray (N, D), or None
    dW : ndarray (D, M)
    db : ndarray (M,)

    Raises
    ------
    TypeError, ValueError
        When dtypes or shapes do not fit together; the sentence names them.
    """
    x, dout, W, y = checks.affine_backward(x, dout, W, y, need_dx)
    return _core.affine_backward(x, dout, W, y, need_dx)


@with_twin
def relu(x: Array) -> Array:
    """The larger of x and 0; a NaN stays a NaN.

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64

    Returns
    -------
    ndarray, shape and dtype of `x`
        0 where x is -0.0 too.

    Raises
    ------
    TypeError
        When `x` is no such array.
    """
    return _core.relu(checks.relu(x))


@with_twin
def relu_backward(dout: Array, y: Array) -> Array:
    """Gradient of a loss with respect to the argument of `relu`.

    Parameters
    ----------
    dout : ndarray of any shape, float32 or float64
        Gradient with respect to the result.
    y : ndarray, shape and dtype of `dout`
        What `relu` returned.

    Returns
    -------
    ndarray, shape and dtype of `y`
        `dout`, but 0 where y is 0.

    Raises
    ------
    TypeError, ValueError
        When dtypes or shapes do not fit together; the sentence names them.
    """
    return _core.relu_backward(*checks.relu_backward(dout, y))
