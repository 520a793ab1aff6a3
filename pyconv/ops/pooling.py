"""Maximum and mean of windows, forward and backward."""

from .. import _core, checks
from ..checks import Array
from ..window import Padding, PerAxis
from .twin import with_twin


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
