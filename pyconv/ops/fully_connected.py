"""The product of rows and weights, forward and backward."""

from .. import _core, checks
from ..checks import Array
from .twin import with_twin


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
