"""How PyTorch computes the shapes. It is imported when a side of the comparison is made."""

from collections.abc import Callable
from functools import partial
from typing import Any

from ..checks import Array
from .calls import LEARNING_RATE, Call, imported
from .ours import parameters_and_gradients
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

CHANNELS_LAST = "channels_last"


class Torch:
    """PyTorch without autograd, but for the training step; both layouts of the data."""

    def __init__(self, threads: int, rival: str = "torch") -> None:
        self.torch = imported(rival, "torch", "torch")
        self.version: str = self.torch.__version__
        self.torch.set_num_threads(threads)
        self.torch.set_grad_enabled(False)

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    def calls(self, shape: Shape, which: Pass, inputs: Inputs) -> dict[str, Call]:
        match shape:  # data that has one layout
            case Columns():
                return {"": self._columns(shape, which, inputs)}
            case FullyConnected():
                return {"": self._fully_connected(shape, which, inputs)}
            case Update():
                return {"": self._update(inputs)}
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
            case Block():
                function, arguments = self._block(shape, which, **tensors)
            case Activation():
                function, arguments = self._activation(which, **tensors)
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
        stride, pad, dilation = [shape.stride] * 2, [shape.pad] * 2, [shape.dilation] * 2
        if which == "forward":
            return self.torch.nn.functional.conv2d, (x, W, b, stride, pad, dilation, shape.groups)
        wanted = [True, False, False] if which == "dx" else [False, True, True]
        geometry = (stride, pad, dilation, False, [0, 0], shape.groups)
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

    def _block(
        self, shape: Block, which: Pass, x: Any, W: Any, b: Any, dout: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        F, aten, pool = self.torch.nn.functional, self.torch.ops.aten, [shape.pool] * 2

        def forward(x: Any, W: Any, b: Any) -> tuple[Any, Any, Any]:
            active = F.relu(F.conv2d(x, W, b))
            return active, *F.max_pool2d(active, pool, return_indices=True)

        if which == "forward":
            return lambda *tensors: forward(*tensors)[1], (x, W, b)
        active, _, indices = forward(x, W, b)

        def backward(dout: Any, x: Any, W: Any, active: Any, indices: Any) -> list[Any]:
            geometry = ([1, 1], [0, 0], [1, 1])
            spread = aten.max_pool2d_with_indices_backward(
                dout, active, pool, pool, [0, 0], [1, 1], False, indices
            )
            spread = aten.threshold_backward(spread, active, 0)
            gradients = aten.convolution_backward(
                spread, x, W, [shape.filters], *geometry, False, [0, 0], 1, [False, True, True]
            )
            return list(gradients[1:])

        return backward, (dout, x, W, active, indices)

    def _activation(self, which: Pass, x: Any, dout: Any) -> tuple[Any, tuple[Any, ...]]:
        relu = self.torch.nn.functional.relu
        if which == "forward":
            return relu, (x,)
        return self.torch.ops.aten.threshold_backward, (dout, relu(x), 0)

    def _fully_connected(self, shape: FullyConnected, which: Pass, inputs: Inputs) -> Call:
        torch = self.torch
        x, W, b, dout = (torch.from_numpy(inputs[name]) for name in ("x", "W", "b", "dout"))

        def forward(x: Any, W: Any, b: Any) -> Any:
            y = torch.addmm(b, x, W)
            return torch.relu(y) if shape.relu else y

        if which == "forward":
            function = self.compiled(forward)
            return Call(lambda: function(x, W, b), self._arrays)
        y = forward(x, W, b)

        def backward(x: Any, W: Any, dout: Any, y: Any) -> tuple[Any, ...]:
            if shape.relu:
                dout = torch.ops.aten.threshold_backward(dout, y, 0)
            return dout @ W.T, x.T @ dout, dout.sum(0)

        gradients = self.compiled(backward)
        return Call(lambda: gradients(x, W, dout, y), self._arrays)

    def _update(self, inputs: Inputs) -> Call:
        arrays, gradients = parameters_and_gradients(inputs)
        params = {name: self.torch.from_numpy(array) for name, array in arrays.items()}
        for name, param in params.items():
            param.grad = self.torch.from_numpy(gradients[name])
        optimizer = self.torch.optim.Adam(params.values(), lr=LEARNING_RATE, fused=True)
        return Call(optimizer.step, lambda _: [arrays[name] - inputs[name] for name in arrays])

    def _columns(self, shape: Columns, which: Pass, inputs: Inputs) -> Call:
        F, window = self.torch.nn.functional, shape.window
        geometry = {"padding": shape.pad, "stride": shape.stride, "dilation": shape.dilation}
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
        ).to(x.dtype)  # fmt: skip
        for tensor, array in zip(
            network.parameters(), shape.build(x.numpy().dtype).params.values(), strict=True
        ):
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
