"""What the compiled module is made of, that it is safe on its own, and that names agree."""

import importlib.metadata
import inspect
import platform
import re
import shutil
import subprocess
import tomllib
from bisect import bisect
from contextlib import suppress
from pathlib import Path

import kernel_cases
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyconv
from pyconv import _core, reference, steps
from pyconv.optimizers import OPTIMIZERS
from pyconv.window import Window

ROOT = Path(__file__).parent.parent
CSRC = ROOT / "csrc"
needs_sources = pytest.mark.skipif(
    not CSRC.is_dir(), reason="the C++ sources are not beside tests/"
)

# The public face, as a reader of the documentation would type it.
SIGNATURES = {
    "im2col": "x, filter_h, filter_w, stride=1, pad=0, dilation=1",
    "col2im": "col, input_shape, filter_h, filter_w, stride=1, pad=0, dilation=1",
    "conv2d": "x, W, b=None, stride=1, pad=0, dilation=1, groups=1",
    "conv2d_backward_data": "dout, W, input_shape, stride=1, pad=0, dilation=1, groups=1",
    "conv2d_backward_weight": "x, dout, filter_shape, stride=1, pad=0, dilation=1, groups=1",
    "max_pool2d": "x, pool_h, pool_w, stride=1, pad=0, dilation=1, ceil_mode=False",
    "max_pool2d_backward": "dout, argmax, input_shape, pool_h, pool_w, stride=1, pad=0, dilation=1",
    "avg_pool2d": "x, pool_h, pool_w, stride=1, pad=0, ceil_mode=False, count_include_pad=False",
    "avg_pool2d_backward": "dout, input_shape, pool_h, pool_w, stride=1, pad=0, "
    "count_include_pad=False",
    "conv2d_block": "x, W, b=None, stride=1, pad=0, dilation=1, groups=1, pool=1, need_argmax=True",
    "conv2d_block_backward": "x, W, y, dout, argmax, stride=1, pad=0, dilation=1, groups=1, "
    "pool=1, need_dx=True",
    "affine": "x, W, b=None, relu=False",
    "affine_backward": "x, dout, W, y=None, need_dx=True",
    "relu": "x",
    "relu_backward": "dout, y",
}

# Kernels that change arguments in place: `pyconv.optimizers` is their public face.
STEPS = {
    "sgd_step": "param, grad, lr",
    "momentum_step": "param, grad, v, lr, momentum",
    "nesterov_step": "param, grad, v, lr, momentum",
    "adagrad_step": "param, grad, h, lr",
    "rmsprop_step": "param, grad, h, lr, decay_rate",
    "adam_step": "param, grad, m, v, lr, beta1, beta2",
}


def arguments_of(function):
    """The signature without annotations."""
    parameters = inspect.signature(function).parameters.values()
    return ", ".join(
        p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters
    )


def test_every_kernel_has_a_place_in_the_public_face():
    assert set(_core.KERNELS) == set(SIGNATURES) | set(STEPS)
    assert set(SIGNATURES) <= set(pyconv.__all__)
    assert set(STEPS) == {optimizer.kernel for optimizer in OPTIMIZERS.values()}


@pytest.mark.parametrize("name", STEPS)
def test_compiled_steps_and_their_twins_take_the_same_arguments(name):
    arguments = arguments_of(getattr(steps, name))
    assert arguments == STEPS[name]
    signature = getattr(_core, name).__doc__
    compiled = re.findall(r"\w+(?=: )", re.match(rf"{name}\((.*)\)", signature)[1])
    assert ", ".join(compiled) == arguments


@pytest.mark.parametrize("name", SIGNATURES)
def test_native_and_reference_take_the_same_documented_arguments(name):
    assert arguments_of(getattr(pyconv, name)) == SIGNATURES[name]
    assert arguments_of(getattr(reference, name)) == SIGNATURES[name]
    assert inspect.signature(getattr(pyconv, name)) == inspect.signature(getattr(reference, name))
    assert getattr(pyconv, name).__doc__.count("\n") > 5, "shapes, dtypes and errors are documented"


def test_every_kernel_is_held_against_its_twin():
    assert set(_core.KERNELS) <= set(vars(kernel_cases))


def test_versions_agree():
    assert pyconv.__version__ == _core.__version__ == pyconv.build_info()["version"]
    assert pyconv.__version__ == importlib.metadata.version("pyconv-cpu")
    pyproject = ROOT / "pyproject.toml"
    if pyproject.is_file():
        project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
        assert project["version"] == pyconv.__version__


# The instruction sets stay apart: a function compiled for AVX must never run on a CPU without it.


@pytest.fixture(scope="module")
def wide_functions():
    """Mangled names of the functions with AVX instructions: with any, with ymm, with zmm.

    Code that has no name left in the module, as of kernels for any CPU, is in none: None.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("this machine is not x86-64: there is no AVX to look for")
    if shutil.which("objdump") is None:
        pytest.skip("objdump is not here: install binutils to run this")
    command = ["objdump", "-t", "-d", "--no-show-raw-insn", _core.__file__]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    symbols = re.findall(r"^([0-9a-f]+) .{7} \.text\s+([0-9a-f]+)\s.*?(\S+)$", listing, re.M)
    functions = sorted((int(start, 16), int(size, 16), name) for start, size, name in symbols)
    starts = [start for start, _, _ in functions]
    found = {"any": set(), "ymm": set(), "zmm": set()}
    # every instruction of AVX and later is spelt with a leading v
    for place, instruction in re.findall(r"^\s+([0-9a-f]+):\s+(v\w+.*)", listing, re.M):
        address = int(place, 16)
        at = bisect(starts, address) - 1
        start, size, name = functions[at] if at >= 0 else (0, 0, "")
        function = name if address < start + size else None
        found["any"].add(function)
        for register in ("ymm", "zmm"):
            if register in instruction:
                found[register].add(function)
    return found


def belongs_to(isa, mangled_name):
    """Whether this is a function of pyconv::<isa>, or a template filled in with one of its own."""
    return mangled_name is not None and f"{len(isa)}{isa}" in mangled_name


def test_avx_instructions_stand_in_their_namespaces_alone(wide_functions):
    assert [
        name
        for name in wide_functions["any"]
        if not belongs_to("avx2", name) and not belongs_to("avx512", name)
    ] == []
    assert [name for name in wide_functions["zmm"] if not belongs_to("avx512", name)] == []


@pytest.mark.parametrize(("isa", "register"), [("avx2", "ymm"), ("avx512", "zmm")])
def test_that_check_sees_the_instructions_it_looks_for(wide_functions, isa, register):
    """The matrix product's inner loop is there, in the widest registers, or the check is blind."""
    found = [name for name in wide_functions[register] if belongs_to(isa, name)]
    assert [name for name in found if "multiply_tile" in name]


def sources(*patterns):
    return [path for pattern in patterns for path in sorted(CSRC.rglob(pattern))]


def includes(path):
    return re.findall(r"^\s*#\s*include\s*([<\"][^>\"]+)", path.read_text(encoding="utf-8"), re.M)


@needs_sources
def test_only_the_bindings_know_python():
    knowing = {
        path.parent.name
        for path in sources("*.cpp", "*.hpp")
        if any("pybind11" in name or "Python.h" in name for name in includes(path))
    }
    assert knowing == {"bindings"}


# These declare types and nothing else: no function that a wider instruction set could replace.
TYPES_ALONE = {"<cstdint", "<cstddef"}


@needs_sources
def test_sources_compiled_for_avx_include_no_function_of_the_standard_library():
    """Such a function, emitted there, could replace the copy that runs on an older CPU."""
    waiting = sources("kernels/*")
    assert len(waiting) > 3
    seen = set(waiting)
    while waiting:
        path = waiting.pop()
        for name in includes(path):
            assert name.startswith('"') or name in TYPES_ALONE, f"{path.name} includes {name}>"
            header = (path.parent / name[1:]).resolve()
            if name.startswith('"') and header not in seen:
                seen.add(header)
                waiting.append(header)


@needs_sources
def test_build_asks_for_no_flag_that_ties_it_to_one_machine():
    for path in [*sources("*.cpp", "*.hpp"), ROOT / "CMakeLists.txt", ROOT / "pyproject.toml"]:
        text = path.read_text(encoding="utf-8")
        for flag in ("-march=native", "-mtune=native", "-ffast-math", "-Ofast"):
            assert flag not in text, f"{path.name} uses {flag}"


# The compiled functions themselves: no sentence promised, but memory stays safe whatever is passed.

HUGE = 2**31 - 1  # the largest size they take
NUMBERS = st.integers(-1, 4) | st.sampled_from([HUGE + 1, 2**62, 2**63 - 1, 2**64, -(2**63)])
REFUSALS = (ValueError, TypeError, MemoryError, OverflowError)
WINDOW = Window(3, 2, 1, 1, 1, 1, 0, 0, 0, 0)
SHAPE = (2, 4, 6, 7)  # so that OH = 4, OW = 6


def r(*shape):
    return np.random.default_rng(0).random(shape, np.float32)


ACCEPTED = {
    "im2col": [r(*SHAPE), WINDOW],
    "col2im": [r(48, 24), SHAPE, WINDOW],
    "max_pool2d": [r(*SHAPE), WINDOW, True],
    "max_pool2d_backward": [r(2, 4, 4, 6), np.ones((2, 4, 4, 6), np.uint8), SHAPE, WINDOW],
    "avg_pool2d": [r(*SHAPE), WINDOW, False, True],
    "avg_pool2d_backward": [r(2, 4, 4, 6), SHAPE, WINDOW, True],
    "conv2d": [r(*SHAPE), r(6, 2, 3, 2), r(6), WINDOW, 2],
    "conv2d_backward_data": [r(2, 6, 4, 6), r(6, 2, 3, 2), SHAPE, WINDOW, 2],
    "conv2d_backward_weight": [r(*SHAPE), r(2, 6, 4, 6), (6, 2, 3, 2), WINDOW, 2],
    "conv2d_block": [r(*SHAPE), r(6, 2, 3, 2), r(6), WINDOW, 2, (2, 3), True],
    "conv2d_block_backward": [
        r(*SHAPE),
        r(6, 2, 3, 2),
        r(2, 6, 2, 2),
        r(2, 6, 2, 2),
        np.ones((2, 6, 2, 2), np.uint8),
        WINDOW,
        2,
        (2, 3),
        True,
    ],
    "affine": [r(5, 4), r(4, 3), r(3), True],
    "affine_backward": [r(5, 4), r(5, 3), r(4, 3), r(5, 3), True],
    "relu": [r(5, 4)],
    "relu_backward": [r(5, 4), r(5, 4)],
    "sgd_step": [r(5, 4), r(5, 4), 0.1],
    "momentum_step": [r(5, 4), r(5, 4), r(5, 4), 0.1, 0.9],
    "nesterov_step": [r(5, 4), r(5, 4), r(5, 4), 0.1, 0.9],
    "adagrad_step": [r(5, 4), r(5, 4), r(5, 4), 0.1],
    "rmsprop_step": [r(5, 4), r(5, 4), r(5, 4), 0.1, 0.9],
    "adam_step": [r(5, 4), r(5, 4), r(5, 4), r(5, 4), 0.1, 0.9, 0.99],
}
ARRAYS = [(n, i) for n in ACCEPTED for i, v in enumerate(ACCEPTED[n]) if isinstance(v, np.ndarray)]


def misaligned(a):
    return np.frombuffer(b"\1" + a.tobytes(), a.dtype, a.size, offset=1).reshape(a.shape)


UNREADABLE = {
    "another dtype": lambda a: a.astype("f2" if a.dtype.kind == "f" else "i8"),
    "one axis more": lambda a: a[np.newaxis],
    "strided": lambda a: a.repeat(2, -1)[..., ::2],
    "negative strides": lambda a: np.flip(a),
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "misaligned": misaligned,
    "a list": lambda a: a.tolist(),
}


def assert_refused(name, index, value):
    arguments = [*ACCEPTED[name][:index], value, *ACCEPTED[name][index + 1 :]]
    with pytest.raises(REFUSALS):
        getattr(_core, name)(*arguments)


@pytest.mark.parametrize(("name", "index"), ARRAYS)
def test_compiled_functions_copy_nothing_and_refuse_what_they_cannot_read(name, index):
    value = ACCEPTED[name][index]
    for kind, change in UNREADABLE.items():
        if value.itemsize == 1 and kind in ("byte-swapped", "misaligned"):
            continue  # single bytes have no order, and any address suits them
        if name == "relu" and kind == "one axis more":
            continue  # it takes any shape
        assert_refused(name, index, change(value))


# x of a forward pass may have any shape; everything else must fit together.
@pytest.mark.parametrize(
    ("name", "index"), [a for a in ARRAYS if a[1] or "backward" in a[0] or a[0] == "col2im"]
)
def test_compiled_functions_refuse_shapes_that_do_not_fit_together(name, index):
    value = ACCEPTED[name][index]
    for axis in range(value.ndim):
        assert_refused(name, index, value.repeat(2, axis))
        assert_refused(name, index, value.take(range(value.shape[axis] - 1), axis))


@pytest.mark.parametrize("name", STEPS)
def test_compiled_steps_refuse_arrays_they_cannot_change_apart_from_each_other(name):
    given = ACCEPTED[name]
    arrays = [i for i, value in enumerate(given) if isinstance(value, np.ndarray)]
    for index in arrays:
        fixed = given[index].copy()
        fixed.flags.writeable = False
        if index != 1:  # the gradient is only read
            assert_refused(name, index, fixed)
        shared = np.zeros((6, 4), np.float32)
        for other in set(arrays) - {index}:
            for end in (5, 6):  # the same memory, and all but a row of it
                arguments = list(given)
                arguments[index], arguments[other] = shared[:5], shared[end - 5 : end]
                with pytest.raises(ValueError, match="overlap"):
                    getattr(_core, name)(*arguments)
    touching = np.zeros((5 * len(arrays), 4), np.float32)
    getattr(_core, name)(*np.split(touching, len(arrays)), *given[len(arrays) :])


@pytest.mark.parametrize("name", [n for n in ACCEPTED if any(v is WINDOW for v in ACCEPTED[n])])
def test_compiled_functions_refuse_window_fields_out_of_range(name):
    at = next(i for i, value in enumerate(ACCEPTED[name]) if value is WINDOW)
    for field in range(10):
        for wrong in (-1, HUGE + 1, *[0] * (field < 6)):
            window = [*WINDOW[:field], wrong, *WINDOW[field + 1 :]]
            assert_refused(name, at, window)


def square(taps, stride, pad):
    return Window(taps, taps, stride, stride, 1, 1, pad, pad, pad, pad)


def test_a_product_that_wraps_round_64_bits_is_a_memory_error():
    """16 channels of 2^30 × 2^30 taps are 2^64 columns; 2^32 × 2^32 windows are as many rows."""
    many_columns, x = square(2**30, HUGE, HUGE), np.ones((1, 16, 1, 1), np.float32)
    many_rows, two = square(1, 1, HUGE), np.ones((1, 1, 2, 2), np.float32)
    for image, window, col in ((x, many_columns, (4, 0)), (two, many_rows, (0, 1))):
        with pytest.raises(MemoryError):
            _core.im2col(image, window)
        with pytest.raises(MemoryError):
            _core.col2im(np.ones(col, np.float32), image.shape, window)
    with pytest.raises(MemoryError):
        _core.avg_pool2d(two, many_rows, False, True)


@st.composite
def distorted(draw, value):
    """Something like `value`, wrong in one way; of another kind now and then."""
    if isinstance(value, tuple):
        changed = list(value)
        for _ in range(draw(st.integers(1, 3))):
            changed[draw(st.integers(0, len(value) - 1))] = draw(NUMBERS)
        return draw(st.sampled_from([changed, changed, changed, changed[:-1], None, "window", 1.5]))
    if isinstance(value, float):
        return draw(NUMBERS | st.floats() | st.none())
    if isinstance(value, int):
        return draw(NUMBERS | st.none())
    shape = draw(st.lists(st.integers(0, 4), max_size=5).map(tuple) | st.just(value.shape))
    array = np.full(shape, draw(st.integers(0, 255)), draw(st.sampled_from([value.dtype, "f8"])))
    return draw(st.sampled_from([array, array, array, np.asfortranarray(array), None]))


@pytest.mark.parametrize("name", _core.KERNELS)
@given(data=st.data())
@settings(max_examples=200)
def test_compiled_functions_survive_any_arguments(name, data):
    arguments = list(ACCEPTED[name])
    getattr(_core, name)(*arguments)  # accepted before it is distorted
    for _ in range(data.draw(st.integers(1, 2))):
        index = data.draw(st.integers(0, len(arguments) - 1))
        arguments[index] = data.draw(distorted(ACCEPTED[name][index]))
    with suppress(*REFUSALS):
        getattr(_core, name)(*arguments)
