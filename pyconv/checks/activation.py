"""What ReLU accepts."""

from .arrays import Array, float_array, same_dtype, same_shape


def relu(x: object) -> Array:
    return float_array("x", x)


def relu_backward(dout: object, y: object) -> tuple[Array, Array]:
    dout, y = float_array("dout", dout), float_array("y", y)
    same_shape("dout", dout.shape, y.shape, "y")
    same_dtype(dout=dout, y=y)
    return dout, y
