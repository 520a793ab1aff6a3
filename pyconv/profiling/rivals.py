"""How each library computes the shapes of the suite. A rival is imported when it is made."""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import pyconv

from ..backend import use_backend
from ..checks import Array
from ..optimizers import Adam
from .suite import Columns, Convolution, Inputs, Network, Pass, Pooling, Shape

LEARNING_RATE = 0.001
CHANNELS_LAST = "channels_last"


class Call(NamedTuple):
    """What is timed, and what its result is as arrays that can be compared."""

    run: Callable[[], Any]
    arrays: Callable[[Any], list[Array]]


def _imported(rival: str, module: str, install: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{rival} needs {module}, which cannot be imported ({error}); pip install {install} "
            f"into the environment of pyconv, or leave {rival} out of --against"
        ) from error


class Pyconv:
    """This package, through its public functions."""

    backend = "native"

    def __init__(self, threads: int) -> None:
        pyconv.set_num_threads(threads)
        self.version: str = pyconv.__version__

    def calls(self, shape: Shape, which: Pass, inputs: Inputs) -> dict[str, Call]:
        """Ways to compute a pass, by name; none where this library cannot."""
        with use_backend(self.backend):
            return {"": self._call(shape, which, inputs)}

    def _call(self, shape: Shape, which: Pass, inputs: Inputs) -> Call:
        match shape:
            case Convolution():
                return self._convolution(shape, which, **inputs)
            case Pooling():
                return self._pooling(shape, which, **inputs)
            case Columns():
                return self._columns(shape, which, **inputs)
            case Network():
                return self._network(shape, which, **inputs)

    def _convolution(
        self, shape: Convolution, which: Pass, x: Array, W: Array, b: Array, dout: Array
    ) -> Call:
        geometry = {"stride": shape.stride, "pad": shape.pad, "groups": shape.groups}
        if which == "forward":
            return Call(lambda: pyconv.conv2d(x, W, b, **geometry), _one)
        if which == "dx":
            return Call(lambda: pyconv.conv2d_backward_data(dout, W, x.shape, **geometry), _one)
        return Call(lambda: pyconv.conv2d_backward_weight(x, dout, W.shape, **geometry), list)

    def _pooling(self, shape: Pooling, which: Pass, x: Array, dout: Array) -> Call:
        window = (*shape.window, shape.stride, shape.pad)
        if shape.kind == "max":
            if which == "forward":
                return Call(lambda: pyconv.max_pool2d(x, *window), lambda result: [result[0]])
            _, argmax = pyconv.max_pool2d(x, *window)
            return Call(lambda: pyconv.max_pool2d_backward(dout, argmax, x.shape, *window), _one)
        if which == "forward":
            return Call(lambda: pyconv.avg_pool2d(x, *window), _one)
        return Call(lambda: pyconv.avg_pool2d_backward(dout, x.shape, *window), _one)

    def _columns(self, shape: Columns, which: Pass, x: Array, col: Array) -> Call:
        window = (*shape.window, shape.stride, shape.pad)
        if which == "forward":
            return Call(lambda: pyconv.im2col(x, *window), _one)
        return Call(lambda: pyconv.col2im(col, x.shape, *window), _one)

    def _network(self, shape: Network, which: Pass, x: Array, t: Array) -> Call:
        network = shape.build()
        if which == "forward":
            return Call(lambda: network.predict(x), _one)
        optimizer = Adam(lr=LEARNING_RATE)

        def step() -> dict[str, Array]:
            gradients = network.gradient(x, t)
            optimizer.update(network.params, gradients)
            return gradients

        return Call(step, lambda gradients: list(gradients.values()))


def _one(result: Array) -> list[Array]:
    return [result]


class Reference(Pyconv):
    """The NumPy twins of pyconv's kernels."""

    backend = "reference"

    def __init__(self, threads: int) -> None:
        self.version = f"NumPy {np.__version__}"

    def calls(self, shape: Shape, which: Pass, inputs: Inputs) -> dict[str, Call]:
        ((name, call),) = super().calls(shape, which, inputs).items()

        def run() -> Any:
            with use_backend(self.backend):
                return call.run()

        return {name: Call(run, call.arrays)}


class Torch:
    """PyTorch without autograd, but for the training step; both layouts of the data."""

    def __init__(self, threads: int, rival: str = "torch") -> None:
        self.torch = _imported(rival, "torch", "torch")
        self.version: str = self.torch.__version__
        self.torch.set_num_threads(threads)
        self.torch.set_grad_enabled(False)

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    def calls(self, shape: Shape, which: Pass, inputs: Inputs) -> dict[str, Call]:
        if isinstance(shape, Columns):
            return {"": self._columns(shape, which, inputs)}
        layouts = {
            "NCHW": self.torch.contiguous_format,
            CHANNELS_LAST: self.torch.channels_last,
        }
        return {name: self._call(shape, which, inputs, at) for name, at in layouts.items()}

    def _call(self, shape: Shape, which: Pass, inputs: Inputs, layout: Any) -> Call:
        tensors = {name: self.torch.from_numpy(array) for name, array in inputs.items()}
        for name, tensor in tensors.items():
            if tensor.ndim == 4:
                tensors[name] = tensor.contiguous(memory_format=layout)
        match shape:
            case Convolution():
                function, arguments = self._convolution(shape, which, **tensors)
            case Pooling():
                function, arguments = self._pooling(shape, which, **tensors)
            case _:
                assert isinstance(shape, Network)
                return self._network(shape, which, layout, **tensors)
        function = self.compiled(function)
        return Call(lambda: function(*arguments), self._arrays)

    def _arrays(self, result: Any) -> list[Array]:
        tensors = [result] if isinstance(result, self.torch.Tensor) else result
        floats = [t for t in tensors if t is not None and t.is_floating_point()]
        return [tensor.contiguous().numpy() for tensor in floats]

    def _convolution(
        self, shape: Convolution, which: Pass, x: Any, W: Any, b: Any, dout: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        stride, pad, one = [shape.stride] * 2, [shape.pad] * 2, [1, 1]
        if which == "forward":
            return self.torch.nn.functional.conv2d, (x, W, b, stride, pad, one, shape.groups)
        wanted = [True, False, False] if which == "dx" else [False, True, True]
        geometry = (stride, pad, one, False, [0, 0], shape.groups)
        backward = self.torch.ops.aten.convolution_backward
        return backward, (dout, x, W, [shape.filters], *geometry, wanted)

    def _pooling(
        self, shape: Pooling, which: Pass, x: Any, dout: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        F, aten = self.torch.nn.functional, self.torch.ops.aten
        window, stride, pad = list(shape.window), [shape.stride] * 2, [shape.pad] * 2
        if shape.kind == "max":
            if which == "forward":
                # with the indices, without which there is no gradient
                return partial(F.max_pool2d, return_indices=True), (x, window, stride, pad)
            _, indices = F.max_pool2d(x, window, stride, pad, return_indices=True)
            backward = aten.max_pool2d_with_indices_backward
            return backward, (dout, x, window, stride, pad, [1, 1], False, indices)
        if which == "forward":
            return F.avg_pool2d, (x, window, stride, pad, False, False)
        return aten.avg_pool2d_backward, (dout, x, window, stride, pad, False, False, None)

    def _columns(self, shape: Columns, which: Pass, inputs: Inputs) -> Call:
        F, window = self.torch.nn.functional, shape.window
        geometry = {"padding": shape.pad, "stride": shape.stride}
        x = self.torch.from_numpy(inputs["x"])
        N, (_, columns) = len(x), inputs["col"].shape
        # PyTorch's column matrices lie the other way, image by image: (N, C*FH*FW, OH*OW)
        if which == "forward":
            unfold = self.compiled(F.unfold)
            return Call(
                lambda: unfold(x, window, **geometry),
                lambda result: [result.numpy().transpose(0, 2, 1).reshape(-1, columns)],
            )
        rows = self.torch.from_numpy(inputs["col"]).reshape(N, -1, columns)
        col, fold = rows.transpose(1, 2).contiguous(), self.compiled(F.fold)
        return Call(lambda: fold(col, shape.image[1:], window, **geometry), self._arrays)

    def _network(self, shape: Network, which: Pass, layout: Any, x: Any, t: Any) -> Call:
        torch, nn = self.torch, self.torch.nn
        network = nn.Sequential(
            nn.Conv2d(1, 30, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(4320, 100), nn.ReLU(), nn.Linear(100, 10),
        )  # fmt: skip
        for tensor, array in zip(network.parameters(), shape.build().params.values(), strict=True):
            value = torch.from_numpy(array)
            tensor.data.copy_(value.T if value.ndim == 2 else value)  # (outputs, inputs)
        network = network.to(memory_format=layout)
        if which == "forward":
            predict = self.compiled(network)
            return Call(lambda: predict(x), self._arrays)
        parameters = list(network.parameters())
        optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=True)  # its fastest
        loss_of = self.compiled(lambda: nn.functional.cross_entropy(network(x), t))

        def step() -> list[Any]:
            optimizer.zero_grad()
            with torch.enable_grad():
                loss = loss_of()
            loss.backward()
            optimizer.step()
            return [parameter.grad for parameter in parameters]

        def arrays(gradients: list[Any]) -> list[Array]:
            return self._arrays([g.T if g.ndim == 2 else g for g in gradients])

        return Call(step, arrays)


class TorchCompile(Torch):
    """PyTorch, every function compiled for its arguments by torch.compile."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads, "torch.compile")

    def calls(self, shape: Shape, which: Pass, inputs: Inputs) -> dict[str, Call]:
        self.torch.compiler.reset()  # it gives up on a function that it compiled often
        return super().calls(shape, which, inputs)

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        compiled: Callable[..., Any] = self.torch.compile(function, dynamic=False)
        return compiled


class OnnxRuntime:
    """ONNX Runtime on its CPU provider: forward passes."""

    def __init__(self, threads: int) -> None:
        self.runtime = _imported("onnxruntime", "onnxruntime", "onnxruntime onnx")
        self.onnx = _imported("onnxruntime", "onnx", "onnxruntime onnx")
        self.helper = importlib.import_module("onnx.helper")
        self.threads = threads
        self.version: str = self.runtime.__version__

    def calls(self, shape: Shape, which: Pass, inputs: Inputs) -> dict[str, Call]:
        if which != "forward" or isinstance(shape, Columns):
            return {}
        node = self.helper.make_node
        weights: Inputs = {}
        match shape:
            case Convolution():
                weights = {"W": inputs["W"], "b": inputs["b"]}
                window = self._window(shape)
                nodes = [node("Conv", ["x", "W", "b"], ["y"], group=shape.groups, **window)]
            case Pooling():
                kind = "MaxPool" if shape.kind == "max" else "AveragePool"
                nodes = [node(kind, ["x"], ["y"], **self._window(shape))]
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

    def _window(self, shape: Convolution | Pooling) -> dict[str, Any]:
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


SIDES: dict[str, Callable[[int], Pyconv | Torch | OnnxRuntime]] = {
    "pyconv": Pyconv,
    "reference": Reference,
    "torch": Torch,
    "torch.compile": TorchCompile,
    "onnxruntime": OnnxRuntime,
}
RIVALS = tuple(SIDES)[1:]
