"""Networks: layers one after another, with a softmax loss at the end."""

from .convnets import DeepConvNet, SimpleConvNet
from .sequential import Sequential

__all__ = ["DeepConvNet", "Sequential", "SimpleConvNet"]
