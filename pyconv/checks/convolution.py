"""What the convolutions and the blocks of convolution, ReLU and pooling accept."""

from ..window import Padding, PerAxis, Window, make_window, per_axis, whole
from .arrays import Array, Shape4, affordable, array, bias, flag, same_dtype, same_shape, shape4
from .pooling import winners

Pool = tuple[int, int]


def conv2d(
    x: object,
    W: object,
    b: object,
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
    groups: int,
) -> tuple[Array, Array, Array | None, Window, int]:
    x = array("x", x, "(N, C, H, W)")
    W = array("W", W, "(FN, C, FH, FW)")
    window, groups = _convolution(x.shape, W.shape, stride, pad, dilation, groups)
    b = bias(b, W.shape[0], "filters")
    same_dtype(x=x, W=W, b=b)
    affordable("the output", _convolved_shape(window, x.shape, W.shape))
    return x, W, b, window, groups


def conv2d_backward_data(
    dout: object,
    W: object,
    input_shape: object,
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
    groups: int,
) -> tuple[Array, Array, Shape4, Window, int]:
    dout = array("dout", dout, "(N, FN, OH, OW)")
    W = array("W", W, "(FN, C, FH, FW)")
    shape = shape4("input_shape", input_shape)
    window, groups = _convolution(shape, W.shape, stride, pad, dilation, groups)
    fits = _convolved_shape(window, shape, W.shape)
    same_shape("dout", dout.shape, fits, f"the convolution of input {shape} with W {W.shape}")
    same_dtype(dout=dout, W=W)
    affordable("dx", shape)
    return dout, W, shape, window, groups


def conv2d_backward_weight(
    x: object,
    dout: object,
    filter_shape: object,
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
    groups: int,
) -> tuple[Array, Array, Shape4, Window, int]:
    x = array("x", x, "(N, C, H, W)")
    dout = array("dout", dout, "(N, FN, OH, OW)")
    shape = shape4("filter_shape", filter_shape, "(FN, C, FH, FW)")
    window, groups = _convolution(x.shape, shape, stride, pad, dilation, groups)
    fits = _convolved_shape(window, x.shape, shape)
    same_shape("dout", dout.shape, fits, f"the convolution of x {x.shape} with filters {shape}")
    same_dtype(x=x, dout=dout)
    affordable("dW", shape)
    return x, dout, shape, window, groups


def _convolution(
    images: tuple[int, ...],
    filters: tuple[int, ...],
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
    groups: int,
) -> tuple[Window, int]:
    """Check that filters fit the images' channels, and the window the images."""
    groups = whole("groups", groups, 1)
    _, C, H, W = images
    FN, filter_C, FH, FW = filters
    if C % groups or FN % groups:
        raise ValueError(
            f"groups={groups} must divide both the {C} channels of the input and the {FN} filters"
        )
    if filter_C != C // groups:
        split = f" in {groups} groups, {C // groups} a group," if groups > 1 else ""
        raise ValueError(
            f"the input of shape {images} has {C} channels{split} but the filters of shape "
            f"{filters} have {filter_C}; filters of shape {(FN, C // groups, FH, FW)} would fit"
        )
    window = make_window(FH, FW, stride, pad, dilation, (H, W))
    window.output_size(H, W)
    return window, groups


def _convolved_shape(
    window: Window, images: tuple[int, ...], filters: tuple[int, ...]
) -> tuple[int, int, int, int]:
    N, _, H, W = images
    return N, filters[0], *window.output_size(H, W)


def conv2d_block(
    x: object,
    W: object,
    b: object,
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
    groups: int,
    pool: PerAxis,
    need_argmax: bool,
) -> tuple[Array, Array, Array | None, Window, int, Pool]:
    x, W, b, window, groups = conv2d(x, W, b, stride, pad, dilation, groups)
    flag("need_argmax", need_argmax)
    return x, W, b, window, groups, _pool(pool, window, x.shape)


def conv2d_block_backward(
    x: object,
    W: object,
    y: object,
    dout: object,
    argmax: object,
    stride: PerAxis,
    pad: Padding,
    dilation: PerAxis,
    groups: int,
    pool: PerAxis,
    need_dx: bool,
) -> tuple[Array, Array, Array, Array, Array | None, Window, int, Pool]:
    x, W, _, window, groups = conv2d(x, W, None, stride, pad, dilation, groups)
    y = array("y", y, "(N, FN, PH, PW)")
    dout = array("dout", dout, "(N, FN, PH, PW)")
    pool = _pool(pool, window, x.shape)
    N, _, height, width = x.shape
    OH, OW = window.output_size(height, width)
    fits = (N, W.shape[0], OH // pool[0], OW // pool[1])
    block = f"the block of x {x.shape}, W {W.shape} and pool {pool}"
    same_shape("y", y.shape, fits, block)
    same_shape("dout", dout.shape, fits, block)
    same_dtype(x=x, W=W, y=y, dout=dout)
    flag("need_dx", need_dx)
    if pool != (1, 1):
        taken = winners(argmax, dout.shape, *pool, "conv2d_block")
    elif argmax is None:
        taken = None
    else:
        raise TypeError(
            f"argmax must be None where there is no pooling (pool=1), not {type(argmax).__name__}"
        )
    return x, W, y, dout, taken, window, groups, pool


def _pool(pool: PerAxis, window: Window, images: tuple[int, ...]) -> Pool:
    """The pool as (height, width), no larger than the convolution's output."""
    pool_h, pool_w = per_axis("pool", pool)
    OH, OW = window.output_size(images[2], images[3])
    if pool_h > OH or pool_w > OW:
        raise ValueError(
            f"the pool of {pool_h}×{pool_w} is larger than the convolution's output, which is "
            f"{OH}×{OW} for images of shape {images}; use a smaller pool"
        )
    return pool_h, pool_w
