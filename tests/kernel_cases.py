"""Arguments for every kernel, made from random geometry; a function here for each of them."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st


@dataclass(frozen=True)
class Geometry:
    """A window over images that it fits, and what the arrays are filled from."""

    N: int
    C: int
    H: int
    W: int
    filter: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pad: tuple[tuple[int, int], tuple[int, int]] | str
    groups: int
    FN: int
    pool: tuple[int, int]
    dtype: str
    seed: int
    ceil_mode: bool
    count_include_pad: bool

    def random(self, *shape):
        """Numbers of a few decimals, so that maxima tie now and then."""
        values = np.random.default_rng(self.seed).normal(size=shape).round(1)
        return values.astype(self.dtype)

    def whole(self, *shape):
        """Whole numbers: sums of products are exact in any order, so no maximum is a near tie."""
        return np.random.default_rng(self.seed).integers(-4, 5, shape).astype(self.dtype)

    def output_size(self, dilation, ceil_mode=False):
        """The formula, written out here once more on its own."""
        sizes = []
        for size, taps, step, gap, axis in zip(
            (self.H, self.W), self.filter, self.stride, dilation, (0, 1), strict=True
        ):
            reach = (taps - 1) * gap + 1
            if self.pad == "same":
                sizes.append(-(-size // step))
                continue
            before, after = self.pad[axis] if self.pad != "valid" else (0, 0)
            count = (size + before + after - reach) / step + 1
            count = int(np.ceil(count)) if ceil_mode else int(count)
            if ceil_mode and (count - 1) * step >= size + before:
                count -= 1
            sizes.append(count)
        return tuple(sizes)


# Made once: most of the time of a random case goes into drawing it.
AXES = st.tuples(
    st.integers(1, 5),  # taps
    st.integers(1, 4),  # stride
    st.integers(1, 3),  # dilation
    st.integers(0, 4),  # padding before
    st.integers(0, 4),  # and after
    st.integers(1, 12),  # size
)
PADS = st.sampled_from(["explicit", "explicit", "same", "valid"])
GROUPS = st.sampled_from([1, 1, 2, 3])
OTHERS = st.fixed_dictionaries(
    {
        "N": st.integers(0, 3),
        "pool": st.tuples(st.integers(1, 4), st.integers(1, 4)),
        "dtype": st.sampled_from(["float32", "float64"]),
        "seed": st.integers(0, 2**32 - 1),
        "ceil_mode": st.booleans(),
        "count_include_pad": st.booleans(),
    }
)
# Few most of the time; enough for the paths of many channels now and then.
CHANNELS = st.sampled_from([1, 2, 3, 1, 2, 3, 8])
FILTERS = st.sampled_from([1, 2, 3, 4, 1, 2, 3, 7])


@st.composite
def geometries(draw):
    pad, sizes, windows, pads = draw(PADS), [], [], []
    for _ in range(2):
        taps, step, gap, before, after, size = draw(AXES)
        padding = 0 if pad == "valid" else before + after
        sizes.append(max(size, (taps - 1) * gap + 1 - padding))
        windows.append((taps, step, gap))
        pads.append((before, after))
    groups = draw(GROUPS)
    return Geometry(
        C=groups * draw(CHANNELS),
        H=sizes[0],
        W=sizes[1],
        filter=(windows[0][0], windows[1][0]),
        stride=(windows[0][1], windows[1][1]),
        dilation=(windows[0][2], windows[1][2]),
        pad=tuple(pads) if pad == "explicit" else pad,
        groups=groups,
        FN=groups * draw(FILTERS),
        **draw(OTHERS),
    )


# One entry per kernel: the arguments of the public function, and the shapes its results must have.


def im2col(g):
    OH, OW = g.output_size(g.dilation)
    x = g.random(g.N, g.C, g.H, g.W)
    col_shape = (g.N * OH * OW, g.C * g.filter[0] * g.filter[1])
    return (x, *g.filter, g.stride, g.pad, g.dilation), [col_shape]


def col2im(g):
    _, [col_shape] = im2col(g)
    shape = (g.N, g.C, g.H, g.W)
    return (g.random(*col_shape), shape, *g.filter, g.stride, g.pad, g.dilation), [shape]


def max_pool2d(g):
    y_shape = (g.N, g.C, *g.output_size(g.dilation, g.ceil_mode))
    x = g.random(g.N, g.C, g.H, g.W)
    special = np.random.default_rng(g.seed + 1).random(x.shape)
    x[special < 0.03] = np.nan
    x[special > 0.9] = -np.inf
    return (x, *g.filter, g.stride, g.pad, g.dilation, g.ceil_mode), [y_shape, y_shape]


def max_pool2d_backward(g):
    shape = (g.N, g.C, g.H, g.W)
    out = (g.N, g.C, *g.output_size(g.dilation, g.ceil_mode))
    taps = g.filter[0] * g.filter[1]
    argmax = np.random.default_rng(g.seed).integers(0, taps, out).astype(np.uint8)
    return (g.random(*out), argmax, shape, *g.filter, g.stride, g.pad, g.dilation), [shape]


def avg_pool2d(g):
    x = g.random(g.N, g.C, g.H, g.W)
    y_shape = (g.N, g.C, *g.output_size((1, 1), g.ceil_mode))
    return (x, *g.filter, g.stride, g.pad, g.ceil_mode, g.count_include_pad), [y_shape]


def avg_pool2d_backward(g):
    shape = (g.N, g.C, g.H, g.W)
    dout = g.random(g.N, g.C, *g.output_size((1, 1), g.ceil_mode))
    return (dout, shape, *g.filter, g.stride, g.pad, g.count_include_pad), [shape]


def conv2d(g):
    x, W, b = g.random(g.N, g.C, g.H, g.W), g.random(*filters(g)), g.random(g.FN)
    y_shape = (g.N, g.FN, *g.output_size(g.dilation))
    bias = b if g.seed % 3 else None
    return (x, W, bias, g.stride, g.pad, g.dilation, g.groups), [y_shape]


def conv2d_backward_data(g):
    shape = (g.N, g.C, g.H, g.W)
    dout = g.random(g.N, g.FN, *g.output_size(g.dilation))
    W = g.random(*filters(g))
    return (dout, W, shape, g.stride, g.pad, g.dilation, g.groups), [shape]


def conv2d_backward_weight(g):
    x = g.random(g.N, g.C, g.H, g.W)
    dout = g.random(g.N, g.FN, *g.output_size(g.dilation))
    arguments = (x, dout, filters(g), g.stride, g.pad, g.dilation, g.groups)
    return arguments, [filters(g), (g.FN,)]


def filters(g):
    return g.FN, g.C // g.groups, *g.filter


def block_sizes(g):
    """The pool, cut to what fits, and the shape of the pooled output."""
    OH, OW = g.output_size(g.dilation)
    pool = min(g.pool[0], OH), min(g.pool[1], OW)
    return pool, (g.N, g.FN, OH // pool[0], OW // pool[1])


def conv2d_block(g):
    pool, y_shape = block_sizes(g)
    x, W, b = g.whole(g.N, g.C, g.H, g.W), g.whole(*filters(g)), g.whole(g.FN)
    if g.seed % 5 == 0:
        x[np.random.default_rng(g.seed).random(x.shape) < 0.03] = np.nan
        W[W == 0] = 1  # NumPy's product takes NaN * 0 for NaN or for 0, as the shapes have it
    bias, need_argmax = b if g.seed % 3 else None, g.seed % 4 > 0
    window = (g.stride, g.pad, g.dilation, g.groups)
    argmax_shape = y_shape if need_argmax and pool != (1, 1) else None
    return (x, W, bias, *window, pool, need_argmax), [y_shape, argmax_shape]


def conv2d_block_backward(g):
    pool, y_shape = block_sizes(g)
    x, W, dout = g.random(g.N, g.C, g.H, g.W), g.random(*filters(g)), g.random(*y_shape)
    y = np.maximum(np.roll(dout, 1), 0)
    y[np.random.default_rng(g.seed).random(y.shape) < 0.03] = np.nan
    argmax = np.random.default_rng(g.seed).integers(0, pool[0] * pool[1], y_shape)
    argmax = argmax.astype(np.uint8) if pool != (1, 1) else None
    window, need_dx = (g.stride, g.pad, g.dilation, g.groups), g.seed % 4 > 0
    dx_shape = x.shape if need_dx else None
    return (x, W, y, dout, argmax, *window, pool, need_dx), [dx_shape, W.shape, (g.FN,)]


def affine(g):
    x, W, b = g.random(g.N, g.H), g.random(g.H, g.W), g.random(g.W)
    return (x, W, b, g.seed % 2 > 0), [(g.N, g.W)]


def affine_backward(g):
    x, dout, W = g.random(g.N, g.H), g.random(g.N, g.W), g.random(g.H, g.W)
    y, need_dx = g.random(g.N, g.W) if g.seed % 2 else None, g.seed % 3 > 0
    return (x, dout, W, y, need_dx), [x.shape if need_dx else None, W.shape, (g.W,)]


def relu(g):
    x = g.random(g.N, g.C, g.H, g.W)
    x[np.random.default_rng(g.seed + 1).random(x.shape) < 0.03] = np.nan
    return (x,), [x.shape]


def relu_backward(g):
    (x,), [shape] = relu(g)
    return (g.random(*shape), np.where(x <= 0, 0, x)), [shape]


# One entry per step of an optimizer. It returns nothing: its results are what its arrays become.


def step(g, remembered, *numbers):
    shape = (g.N, g.C, g.H, g.W)
    rng = np.random.default_rng(g.seed + 1)
    arrays = [rng.normal(size=shape).astype(g.dtype) for _ in range(2 + remembered)]
    arrays[-1] = np.abs(arrays[-1])  # a mean square, where the optimizer has one
    return (*arrays, *numbers), [shape] * len(arrays)


def sgd_step(g):
    return step(g, 0, 0.1)


def momentum_step(g):
    return step(g, 1, 0.1, 0.9)


def nesterov_step(g):
    return step(g, 1, 0.1, 0.9)


def adagrad_step(g):
    return step(g, 1, 0.1)


def rmsprop_step(g):
    return step(g, 1, 0.1, 0.99)


def adam_step(g):
    return step(g, 2, 0.1, 0.9, 0.999)
