"""How ONNX Runtime computes the shapes. It is imported when a side of the comparison is made."""

import importlib
from typing import Any

import numpy as np

from ..checks import Array
from .calls import Call, imported
from .shapes import (
    Activation,
    Block,
    Columns,
    Convolution,
    FullyConnected,
    Inputs,
    Network,
    Pass,
    Pooling,
    Shape,
    Update,
)  # fmt: skip


class OnnxRuntime:
    """ONNX Runtime on its CPU provider: forward passes."""

    def __init__(self, threads: int) -> None:
        self.runtime = imported("onnxruntime", "onnxruntime", "onnxruntime onnx")
        self.onnx = imported("onnxruntime", "onnx", "onnxruntime onnx")
        self.helper = importlib.import_module("onnx.helper")
        self.threads = threads
        self.version: str = self.runtime.__version__

    def calls(self, shape: Shape, which: Pass, inputs: Inputs) -> dict[str, Call]:
        if which != "forward" or isinstance(shape, Columns | Update):
            return {}
        if inputs["x"].dtype != np.float32:  # its CPU provider has no convolution of doubles
            return {}
        node = self.helper.make_node
        weights: Inputs = {}
        match shape:
            case Convolution():
                weights = {"W": inputs["W"], "b": inputs["b"]}
                settings = {"group": shape.groups, "dilations": [shape.dilation] * 2}
                nodes = [node("Conv", ["x", "W", "b"], ["y"], **settings, **self._window(shape))]
            case Pooling():
                kind = "MaxPool" if shape.kind == "max" else "AveragePool"
                nodes = [node(kind, ["x"], ["y"], **self._window(shape))]
            case Block():
                weights = {"W": inputs["W"], "b": inputs["b"]}
                pool = [shape.pool] * 2
                nodes = [
                    node("Conv", ["x", "W", "b"], ["conv"], **self._window(shape)),
                    node("Relu", ["conv"], ["relu"]),
                    node("MaxPool", ["relu"], ["y"], kernel_shape=pool, strides=pool),
                ]
            case Activation():
                nodes = [node("Relu", ["x"], ["y"])]
            case FullyConnected():
                weights = {"W": inputs["W"], "b": inputs["b"]}
                nodes = [node("Gemm", ["x", "W", "b"], ["affine" if shape.relu else "y"])]
                if shape.relu:
                    nodes.append(node("Relu", ["affine"], ["y"]))
            case Network():
                weights = dict(shape.build().params)
                nodes = [
                    node("Conv", ["x", "W1", "b1"], ["conv"], kernel_shape=[5, 5]),
                    node("Relu", ["conv"], ["relu"]),
                    node("MaxPool", ["relu"], ["pool"], kernel_shape=[2, 2], strides=[2, 2]),
                    node("Flatten", ["pool"], ["flat"]),
                    node("Gemm", ["flat", "W2", "b2"], ["affine"]),
                    node("Relu", ["affine"], ["hidden"]),
                    node("Gemm", ["hidden", "W3", "b3"], ["y"]),
                ]
        return {"": self._session(nodes, inputs["x"], weights)}

    def _window(self, shape: Convolution | Pooling | Block) -> dict[str, Any]:
        return {
            "kernel_shape": list(shape.window),
            "strides": [shape.stride] * 2,
            "pads": [shape.pad] * 4,
        }

    def _session(self, nodes: list[Any], x: Array, weights: Inputs) -> Call:
        floats = self.onnx.TensorProto.FLOAT
        graph = self.helper.make_graph(
            nodes,
            "graph",
            [self.helper.make_tensor_value_info("x", floats, x.shape)],
            [self.helper.make_tensor_value_info("y", floats, None)],
            [self.onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
        )
        # an older format than onnx writes by itself, which any ONNX Runtime of these years reads
        opset = [self.helper.make_opsetid("", 17)]
        model = self.helper.make_model(graph, opset_imports=opset, ir_version=8)
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        options.log_severity_level = 3  # errors alone
        session = self.runtime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        # Bound once, arrays are not copied or looked up again: its fastest way.
        binding = session.io_binding()
        binding.bind_cpu_input("x", x)
        binding.bind_output("y")
        return Call(
            lambda: session.run_with_iobinding(binding),
            lambda _: [np.asarray(y) for y in binding.copy_outputs_to_cpu()],
        )
