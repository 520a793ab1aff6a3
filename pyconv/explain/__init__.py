"""See the shapes change: layers taken apart into steps, with the arrays that kernels computed."""

from .convolution import ConvolutionTrace, convolution
from .network import LayerStep, NetworkTrace, network
from .pooling import PoolingTrace, pooling
from .trace import Step, Trace, WindowTrace
from .windows import PADDING, Pixel, Uses

__all__ = [
    "PADDING",
    "ConvolutionTrace",
    "LayerStep",
    "NetworkTrace",
    "Pixel",
    "PoolingTrace",
    "Step",
    "Trace",
    "Uses",
    "WindowTrace",
    "convolution",
    "network",
    "pooling",
]
