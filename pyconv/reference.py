"""The functions of `pyconv` in plain NumPy, to be read: same names, same arguments, same results.

Every compiled kernel has its twin here and is tested against it. They go the way of chapter 7 of
*Deep Learning from Scratch*: unroll the windows into a matrix, multiply or take the maximum, fold
the result back into images.
"""

from collections.abc import Iterator

import numpy as np

from . import checks
from .checks import Array
from .window import Padding, PerAxis, Window


def _pad(x: Array, window: Window, OH: int, OW: int, value: float = 0.0) -> Array:
    """Images with a border of `value`, as far out as the last of OH×OW windows reaches."""
    _, _, H, W = x.shape
    reach_h, reach_w = window.reach
    bottom = max((OH - 1) * window.stride_h + reach_h - H - window.pad_top, window.pad_bottom)
    right = max((OW - 1) * window.stride_w + reach_w - W - window.pad_left, window.pad_right)
    border = ((0, 0), (0, 0), (window.pad_top, bottom), (window.pad_left, right))
    padded_shape = (*x.shape[:2], H + window.pad_top + bottom, W + window.pad_left + right)
    checks.affordable("the padded image", padded_shape)
    return np.pad(x, border, constant_values=value)


def _taps(window: Window, OH: int, OW: int) -> Iterator[tuple[int, int, slice, slice]]:
    """For each tap (fy, fx): the rows and columns of the image that the moving window meets."""
    for fy in range(window.filter_h):
        y = fy * window.dilation_h
        rows = slice(y, y + (OH - 1) * window.stride_h + 1, window.stride_h)
        for fx in range(window.filter_w):
            x = fx * window.dilation_w
            columns = slice(x, x + (OW - 1) * window.stride_w + 1, window.stride_w)
            yield fy, fx, rows, columns


def _crop(padded: Array, window: Window, H: int, W: int) -> Array:
    """The image without its border."""
    top, left = window.pad_top, window.pad_left
    return np.ascontiguousarray(padded[:, :, top : top + H, left : left + W])


def im2col(
    x: Array,
    filter_h: int,
    filter_w: int,
    stride: PerAxis = 1,
    pad: Padding = 0,
    dilation: PerAxis = 1,
) -> Array:
    """Unroll windows into rows; see `pyconv.im2col`."""
    x, window = checks.im2col(x, filter_h, filter_w, stride, pad, dilation)
    N, C, H, W = x.shape
    OH, OW = window.output_size(H, W)

    padded = _pad(x, window, OH, OW)
    FH, FW = window.filter_h, window.filter_w
    col = np.empty((N, OH, OW, C, FH, FW), x.dtype)
    for fy, fx, rows, columns in _taps(window, OH, OW):
        col[:, :, :, :, fy, fx] = padded[:, :, rows, columns].transpose(0, 2, 3, 1)
    return col.reshape(N * OH * OW, C * FH * FW)


def col2im(
    col: Array,
    input_shape: tuple[int, ...],
    filter_h: int,
    filter_w: int,
    stride: PerAxis = 1,
    pad: Padding = 0,
    dilation: PerAxis = 1,
) -> Array:
    """Add rows back onto the pixels they came from; see `pyconv.col2im`."""
    col, shape, window = checks.col2im(col, input_shape, filter_h, filter_w, stride, pad, dilation)
    N, C, H, W = shape
    OH, OW = window.output_size(H, W)

    col = col.reshape(N, OH, OW, C, window.filter_h, window.filter_w)
    padded = _pad(np.zeros(shape, col.dtype), window, OH, OW)
    for fy, fx, rows, columns in _taps(window, OH, OW):
        padded[:, :, rows, columns] += col[:, :, :, :, fy, fx].transpose(0, 3, 1, 2)
    return _crop(padded, window, H, W)


def conv2d(
    x: Array,
    W: Array,
    b: Array | float | None = None,
    stride: PerAxis = 1,
    pad: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Array:
    """Convolution as one matrix product per group; see `pyconv.conv2d`."""
    x, W, bias, window, groups = checks.conv2d(x, W, b, stride, pad, dilation, groups)
    N, _, height, width = x.shape
    FN, _, FH, FW = W.shape
    OH, OW = window.output_size(height, width)

    outs = []
    for x_group, W_group in zip(np.split(x, groups, 1), np.split(W, groups), strict=True):
        col = im2col(x_group, FH, FW, stride, pad, dilation)
        col_W = W_group.reshape(FN // groups, -1).T
        outs.append(np.dot(col, col_W))
    out = np.concatenate(outs, axis=1)
    if bias is not None:
        out += bias
    return np.ascontiguousarray(out.reshape(N, OH, OW, FN).transpose(0, 3, 1, 2))


def conv2d_backward_data(
    dout: Array,
    W: Array,
    input_shape: tuple[int, ...],
    stride: PerAxis = 1,
    pad: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Array:
    """Gradient with respect to x; see `pyconv.conv2d_backward_data`."""
    dout, W, shape, _, groups = checks.conv2d_backward_data(
        dout, W, input_shape, stride, pad, dilation, groups
    )
    N, C, height, width = shape
    FN, _, FH, FW = W.shape

    dxs = []
    for dout_group, W_group in zip(np.split(dout, groups, 1), np.split(W, groups), strict=True):
        rows = dout_group.transpose(0, 2, 3, 1).reshape(-1, FN // groups)
        dcol = np.dot(rows, W_group.reshape(FN // groups, -1))
        dxs.append(col2im(dcol, (N, C // groups, height, width), FH, FW, stride, pad, dilation))
    return np.concatenate(dxs, axis=1)


def conv2d_backward_weight(
    x: Array,
    dout: Array,
    filter_shape: tuple[int, ...],
    stride: PerAxis = 1,
    pad: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> tuple[Array, Array]:
    """Gradients with respect to W and b; see `pyconv.conv2d_backward_weight`."""
    x, dout, shape, _, groups = checks.conv2d_backward_weight(
        x, dout, filter_shape, stride, pad, dilation, groups
    )
    FN, C, FH, FW = shape

    dWs = []
    for x_group, dout_group in zip(np.split(x, groups, 1), np.split(dout, groups, 1), strict=True):
        col = im2col(x_group, FH, FW, stride, pad, dilation)
        rows = dout_group.transpose(0, 2, 3, 1).reshape(-1, FN // groups)
        dWs.append(np.dot(rows.T, col).reshape(FN // groups, C, FH, FW))
    return np.concatenate(dWs), dout.sum(axis=(0, 2, 3))


def max_pool2d(
    x: Array,
    pool_h: int,
    pool_w: int,
    stride: PerAxis = 1,
    pad: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> tuple[Array, Array]:
    """Maximum of each window and which tap it was; see `pyconv.max_pool2d`."""
    x, window = checks.max_pool2d(x, pool_h, pool_w, stride, pad, dilation, ceil_mode)
    H, W = x.shape[2:]
    OH, OW = window.output_size(H, W, ceil_mode)

    padded = _pad(x, window, OH, OW, -np.inf)
    on_image = _pad(np.ones_like(x, bool), window, OH, OW, False)
    taps = list(_taps(window, OH, OW))
    values = np.stack([padded[:, :, rows, columns] for _, _, rows, columns in taps])
    is_pixel = np.stack([on_image[:, :, rows, columns] for _, _, rows, columns in taps])

    y = values.max(axis=0)
    argmax = values.argmax(axis=0)  # the first of equals; a NaN counts as the largest
    # Where every pixel is -inf, padding comes first and ties: the first pixel wins instead.
    padding_won = ~np.take_along_axis(is_pixel, argmax[np.newaxis], axis=0)[0]
    argmax = np.where(padding_won, is_pixel.argmax(axis=0), argmax)
    return y, argmax.astype(checks.smallest_unsigned(len(taps) - 1))


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
    """Give each gradient to the pixel that won; see `pyconv.max_pool2d_backward`."""
    dout, argmax, shape, window = checks.max_pool2d_backward(
        dout, argmax, input_shape, pool_h, pool_w, stride, pad, dilation
    )
    _, _, OH, OW = dout.shape

    padded = _pad(np.zeros(shape, dout.dtype), window, OH, OW)
    for fy, fx, rows, columns in _taps(window, OH, OW):
        won = argmax == fy * window.filter_w + fx
        padded[:, :, rows, columns] += np.where(won, dout, 0)
    return _crop(padded, window, *shape[2:])


def avg_pool2d(
    x: Array,
    pool_h: int,
    pool_w: int,
    stride: PerAxis = 1,
    pad: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
) -> Array:
    """Mean of each window; see `pyconv.avg_pool2d`."""
    x, window = checks.avg_pool2d(x, pool_h, pool_w, stride, pad, ceil_mode, count_include_pad)
    H, W = x.shape[2:]
    OH, OW = window.output_size(H, W, ceil_mode)

    padded = _pad(x, window, OH, OW)
    total = np.zeros((*x.shape[:2], OH, OW), x.dtype)
    for _, _, rows, columns in _taps(window, OH, OW):
        total += padded[:, :, rows, columns]
    total /= _averaged(x.shape[2:], window, OH, OW, count_include_pad)
    return total


def avg_pool2d_backward(
    dout: Array,
    input_shape: tuple[int, ...],
    pool_h: int,
    pool_w: int,
    stride: PerAxis = 1,
    pad: Padding = 0,
    count_include_pad: bool = False,
) -> Array:
    """Share each gradient evenly among its window; see `pyconv.avg_pool2d_backward`."""
    dout, shape, window = checks.avg_pool2d_backward(
        dout, input_shape, pool_h, pool_w, stride, pad, count_include_pad
    )
    _, _, OH, OW = dout.shape

    share = dout.copy()
    share /= _averaged(shape[2:], window, OH, OW, count_include_pad)
    padded = _pad(np.zeros(shape, dout.dtype), window, OH, OW)
    for _, _, rows, columns in _taps(window, OH, OW):
        padded[:, :, rows, columns] += share
    return _crop(padded, window, *shape[2:])


def _averaged(
    image_size: tuple[int, ...], window: Window, OH: int, OW: int, count_include_pad: bool
) -> Array:
    """How many values each window's mean divides by (OH, OW), at least 1.

    Padding counts with `count_include_pad`, but what hangs over the padded image never does.
    """
    H, W = image_size
    counted = np.ones((1, 1, H, W), int)
    if count_include_pad:
        above_below = (window.pad_top, window.pad_bottom)
        left_right = (window.pad_left, window.pad_right)
        counted = np.pad(counted, ((0, 0), (0, 0), above_below, left_right), constant_values=1)
        window = window._replace(pad_top=0, pad_bottom=0, pad_left=0, pad_right=0)
    padded = _pad(counted, window, OH, OW)
    counts: Array = np.zeros((OH, OW), int)
    for _, _, rows, columns in _taps(window, OH, OW):
        counts += padded[0, 0, rows, columns]
    counts[counts == 0] = 1  # a window without a pixel has the mean 0
    return counts


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
    """Convolution, ReLU and max-pooling in turn; see `pyconv.conv2d_block`."""
    x, W, bias, _, groups, pool = checks.conv2d_block(
        x, W, b, stride, pad, dilation, groups, pool, need_argmax
    )

    y = conv2d(x, W, bias, stride, pad, dilation, groups)
    y[y <= 0] = 0
    if pool == (1, 1):
        return y, None
    y, argmax = max_pool2d(y, *pool, stride=pool)
    return y, argmax if need_argmax else None


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
    """The same steps back, last one first; see `pyconv.conv2d_block_backward`."""
    x, W, y, dout, argmax, window, groups, pool = checks.conv2d_block_backward(
        x, W, y, dout, argmax, stride, pad, dilation, groups, pool, need_dx
    )

    # A window's maximum is 0 where all of it is: ReLU's mask may as well come after the pooling.
    dout = np.where(y <= 0, 0, dout)
    if argmax is not None:
        convolved = (*dout.shape[:2], *window.output_size(x.shape[2], x.shape[3]))
        dout = max_pool2d_backward(dout, argmax, convolved, *pool, stride=pool)
    dW, db = conv2d_backward_weight(x, dout, W.shape, stride, pad, dilation, groups)
    if not need_dx:
        return None, dW, db
    return conv2d_backward_data(dout, W, x.shape, stride, pad, dilation, groups), dW, db


def affine(x: Array, W: Array, b: Array | float | None = None, relu: bool = False) -> Array:
    """`x @ W + b`; see `pyconv.affine`."""
    x, W, bias = checks.affine(x, W, b, relu)
    out: Array = np.dot(x, W)
    if bias is not None:
        out += bias
    if relu:
        out[out <= 0] = 0
    return out


def affine_backward(
    x: Array, dout: Array, W: Array, y: Array | None = None, need_dx: bool = True
) -> tuple[Array | None, Array, Array]:
    """Gradients with respect to x, W and b; see `pyconv.affine_backward`."""
    x, dout, W, y = checks.affine_backward(x, dout, W, y, need_dx)
    if y is not None:
        dout = np.where(y <= 0, 0, dout)
    return np.dot(dout, W.T) if need_dx else None, np.dot(x.T, dout), dout.sum(axis=0)


def relu(x: Array) -> Array:
    """`max(x, 0)`; see `pyconv.relu`."""
    y = checks.relu(x).copy()
    y[y <= 0] = 0
    return y


def relu_backward(dout: Array, y: Array) -> Array:
    """Nothing where `relu` gave 0; see `pyconv.relu_backward`."""
    dout, y = checks.relu_backward(dout, y)
    dx = dout.copy()
    dx[y <= 0] = 0
    return dx
