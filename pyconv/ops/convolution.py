"""Convolution, alone and as one with the ReLU and max-pooling after it, forward and backward.

Of `conv2d_block`, what lies between the three, the convolution's output and its gradient, is never
written to memory.
"""

from .. import _core, checks
from ..checks import Array
from ..window import Padding, PerAxis
from .twin import with_twin


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

    Larger layers without dilation take Winograd's fewer products: an output that sees an infinite
    pixel may then be NaN instead of infinite.
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
def conv2d_block(
    x: Array,
    W: Array,
    b: Array | float | None = None,
    stride: PerAxis = 1,
    pad: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    pool: PerAxis = 1,
    need_argmax: bool = True,
) -> tuple[Array, Array | None]:
    """Convolve images, add a bias, cut off below 0 (ReLU), and take maxima.

    Parameters
    ----------
    x, W, b, stride, pad, dilation, groups
        As for `conv2d`.
    pool : int or (int, int)
        Height and width of the pooling window, which is also its stride: 2 halves height and
        width. What is left over at the bottom and right is dropped. 1 for no pooling.
    need_argmax : bool
        Whether to return `argmax`, which `conv2d_block_backward` needs and a prediction does not.

    Returns
    -------
    y : ndarray (N, FN, OH // pool height, OW // pool width), dtype of `x`
        OH and OW are those of `conv2d`.
    argmax : ndarray of the same shape, the smallest unsigned dtype that fits, or None
        The winning tap of each pooling window, as `max_pool2d` has it; 0 where nothing exceeds 0.
        None without pooling, or with `need_argmax` False.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`; also when the pool is larger than the convolution's output.

    Notes
    -----
    The result is that of `conv2d`, `maximum(y, 0)` and `max_pool2d` one after another, to rounding.
    A NaN stays a NaN.
    """
    x, W, bias, window, groups, pool = checks.conv2d_block(
        x, W, b, stride, pad, dilation, groups, pool, need_argmax
    )
    return _core.conv2d_block(x, W, bias, window, groups, pool, need_argmax)


@with_twin
def conv2d_block_backward(
    x: Array,
    W: Array,
    y: Array,
    dout: Array,
    argmax: Array | None,
    stride: PerAxis = 1,
    pad: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    pool: PerAxis = 1,
    need_dx: bool = True,
) -> tuple[Array | None, Array, Array]:
    """Gradients of a loss with respect to the images, filters and bias of `conv2d_block`.

    Parameters
    ----------
    x, W
        As `conv2d_block` took them.
    y, argmax
        As `conv2d_block` returned them. Where `y` is 0, ReLU lets no gradient pass.
    dout : ndarray of the shape of `y`, dtype of `x`
        Gradient with respect to `y`.
    stride, pad, dilation, groups, pool
        As for `conv2d_block`.
    need_dx : bool
        Whether to compute `dx`. A network's first layer has nobody to hand it to.

    Returns
    -------
    dx : ndarray (N, C, H, W), dtype of `x`, or None
    dW : ndarray (FN, C / groups, FH, FW), dtype of `x`
    db : ndarray (FN,), dtype of `x`

    Raises
    ------
    TypeError, ValueError
        As `conv2d_block`; also when `y`, `dout` or `argmax` has not the shape of the output, or
        `argmax` holds a value outside the pooling window.
    """
    x, W, y, dout, winners, window, groups, pool = checks.conv2d_block_backward(
        x, W, y, dout, argmax, stride, pad, dilation, groups, pool, need_dx
    )
    return _core.conv2d_block_backward(x, W, y, dout, winners, window, groups, pool, need_dx)
