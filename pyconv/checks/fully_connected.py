"""What the products of rows and weights accept."""

from .arrays import Array, array, bias, flag, same_dtype, same_shape


def affine(x: object, W: object, b: object, relu: bool) -> tuple[Array, Array, Array | None]:
    flag("relu", relu)
    x, W = _rows_and_weights(x, W)
    b = bias(b, W.shape[1], "outputs")
    same_dtype(x=x, W=W, b=b)
    return x, W, b


def affine_backward(
    x: object, dout: object, W: object, y: object, need_dx: bool
) -> tuple[Array, Array, Array, Array | None]:
    flag("need_dx", need_dx)
    x, W = _rows_and_weights(x, W)
    dout = array("dout", dout, "(N, M)")
    y = array("y", y, "(N, M)") if y is not None else None
    for name, given in (("dout", dout), ("y", y)):
        if given is not None:
            fits = (x.shape[0], W.shape[1])
            same_shape(name, given.shape, fits, f"x {x.shape} times W {W.shape}")
    same_dtype(x=x, dout=dout, W=W, y=y)
    return x, dout, W, y


def _rows_and_weights(x: object, W: object) -> tuple[Array, Array]:
    x = array("x", x, "(N, D)")
    W = array("W", W, "(D, M)")
    if x.shape[1] != W.shape[0]:
        raise ValueError(
            f"x of shape {x.shape} has {x.shape[1]} columns but W of shape {W.shape} has "
            f"{W.shape[0]} rows; W of shape ({x.shape[1]}, {W.shape[1]}) would fit"
        )
    return x, W
