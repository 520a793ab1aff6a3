"""ReLU, forward and backward."""

from .. import _core, checks
from ..checks import Array
from .twin import with_twin


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
