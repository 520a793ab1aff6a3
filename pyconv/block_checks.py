"""What the functions of `block_ops` accept; for the rest see `checks`."""

from . import checks
from .checks import Array
from .window import Padding, PerAxis, Window, per_axis

Pool = tuple[int, int]


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
    x, W, b, window, groups = checks.conv2d(x, W, b, stride, pad, dilation, groups)
    checks.flag("need_argmax", need_argmax)
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
    x, W, _, window, groups = checks.conv2d(x, W, None, stride, pad, dilation, groups)
    y = checks.array("y", y, "(N, FN, PH, PW)")
    dout = checks.array("dout", dout, "(N, FN, PH, PW)")
    pool = _pool(pool, window, x.shape)
    N, _, height, width = x.shape
    OH, OW = window.output_size(height, width)
    fits = (N, W.shape[0], OH // pool[0], OW // pool[1])
    block = f"the block of x {x.shape}, W {W.shape} and pool {pool}"
    checks.same_shape("y", y.shape, fits, block)
    checks.same_shape("dout", dout.shape, fits, block)
    checks.same_dtype(x=x, W=W, y=y, dout=dout)
    checks.flag("need_dx", need_dx)
    if pool != (1, 1):
        winners = checks.winners(argmax, dout.shape, *pool, "conv2d_block")
    elif argmax is None:
        winners = None
    else:
        raise TypeError(
            f"argmax must be None where there is no pooling (pool=1), not {type(argmax).__name__}"
        )
    return x, W, y, dout, winners, window, groups, pool


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
