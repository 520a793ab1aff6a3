"""Windows of images as the rows of a matrix, and back."""

from .. import _core, checks
from ..checks import Array
from ..window import Padding, PerAxis
from .twin import with_twin


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
