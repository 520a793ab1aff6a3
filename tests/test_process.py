"""Threads, forks, environment variables and imports: pyconv in the process it runs in."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from interpreter import TESTS, printed, python

import pyconv
from pyconv.backend import current_backend

INFO = pyconv.build_info()
ISAS = ", ".join(INFO["isas"])


def test_backends_nest_and_come_back_also_after_an_exception():
    outside = current_backend()
    with pyconv.use_backend("reference"):
        assert current_backend() == "reference"
        again = pyconv.use_backend("native")
        with again, pyconv.use_backend("reference"), again:
            assert current_backend() == "native"
        assert current_backend() == "reference"
    assert current_backend() == outside
    with suppress(KeyError), pyconv.use_backend("reference"):
        raise KeyError
    assert current_backend() == outside


def test_backend_of_one_thread_is_not_that_of_another():
    outside, switched, done = current_backend(), threading.Event(), threading.Event()

    def other():
        with pyconv.use_backend("reference"):
            switched.set()
            assert done.wait(10)
            return current_backend()

    with ThreadPoolExecutor(1) as pool:
        inside = pool.submit(other)
        assert switched.wait(10)
        assert current_backend() == outside
        done.set()
        assert inside.result() == "reference"


def test_backend_decides_which_function_runs(monkeypatch):
    """The native function must not be called on the reference backend, nor the other way round."""
    monkeypatch.setattr(pyconv._core, "affine", lambda *arguments: "native")
    x, W = np.ones((2, 3)), np.ones((3, 4))
    with pyconv.use_backend("native"):
        assert pyconv.affine(x, W) == "native"
    with pyconv.use_backend("reference"):
        assert pyconv.affine(x, W).tolist() == [[3] * 4] * 2


@pytest.mark.parametrize("name", ["numpy", "", "Native", None, 1])
def test_an_unknown_backend_is_an_error_that_names_the_known_ones(name):
    with pytest.raises(ValueError, match=f"one of 'native', 'reference'.*, not {name!r}"):
        pyconv.use_backend(name)


CURRENT = "from pyconv.backend import current_backend; print(repr(current_backend()))"


def test_environment_sets_the_default_backend():
    assert printed(CURRENT) == printed(CURRENT, PYCONV_BACKEND="") == "native"
    assert printed(CURRENT, PYCONV_BACKEND="reference") == "reference"
    assert printed(CURRENT, PYCONV_BACKEND="check") == "check"


KERNEL_TESTS = """
import sys, pytest, pyconv
assert pyconv.build_info()["isa"] == sys.argv[1]
sys.exit(pytest.main(sys.argv[2:]))
"""


@pytest.mark.parametrize("isa", INFO["isas"])
def test_environment_forces_an_instruction_set(isa):
    assert printed("import pyconv; print(repr(pyconv.build_info()['isa']))", PYCONV_ISA=isa) == isa


# test_kernels.py itself is for the one in use. CI, under sanitizers, runs all of it for each.
@pytest.mark.parametrize("isa", [isa for isa in INFO["isas"] if isa != INFO["isa"]])
def test_kernels_are_right_on_every_other_instruction_set_of_this_cpu(isa):
    some = "equal_their_twins or every_length or three_by_three and float32 and pad0"
    run = python(
        KERNEL_TESTS, isa, str(TESTS / "test_kernels.py"), "-q", "-p", "no:cacheprovider", "-n0",
        "--hypothesis-profile=glance", "-k", some,
        PYCONV_ISA=isa,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("PYCONV_BACKEND", "torch", "must be one of 'native', 'reference', 'check', not 'torch'"),
        ("PYCONV_ISA", "sse9", f"'sse9' .* Set it to one of {ISAS}, or unset it"),
        ("PYCONV_ISA", "AVX2", f"'AVX2' .* Set it to one of {ISAS}, or unset it"),
    ],
)
def test_a_wrong_setting_fails_the_import_with_the_right_ones(variable, value, says):
    run = python("import pyconv", **{variable: value})
    assert run.returncode != 0
    assert re.search(f"(Import|Value)Error: {variable}.*{says}", run.stderr)


# Threads

LARGE = """
import os, signal, sys
import numpy as np, pyconv
x, W = np.ones((4, 8, 40, 40), np.float32), np.ones((16, 8, 3, 3), np.float32)
def right(_=None):
    signal.alarm(10)  # a process that hangs ends, rather than stay behind
    return bool((pyconv.conv2d(x, W) == 72).all())
"""


FORKS = {
    "children of a process in the middle of kernels": """
import threading
finished = threading.Event()
def compute():
    while not finished.is_set():
        assert right()
computing = threading.Thread(target=compute)
computing.start()
for child in range(10):
    child = os.fork()
    if not child:
        os._exit(not right())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
finished.set()
computing.join()
""",
    "a child and its child": """
for generation in range(2):
    child = os.fork()
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or not right())
    assert right()
""",
    "a pool of workers": """
import multiprocessing
with multiprocessing.get_context("fork").Pool(3) as pool:
    waiting = pool.map_async(right, range(6))
    assert right()
    assert waiting.get(15) == [True] * 6
assert right()
""",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("forks", FORKS)
def test_forked_processes_compute_on_threads_after_their_parent_did(forks):
    run = python(LARGE + "pyconv.set_num_threads(2); assert right()" + FORKS[forks], timeout=20)
    assert run.returncode == 0, run.stderr


def test_omp_num_threads_is_honoured():
    code = "import pyconv; print(pyconv.get_num_threads())"
    assert printed(code, OMP_NUM_THREADS="1") == 1
    assert printed(code, OMP_NUM_THREADS="3") == 3
    assert printed(code, OMP_NUM_THREADS="5,2") == 5, "the second number is for nested regions"
    unset = printed(code)
    for nonsense in ("", "0", "-1", "many", "3 threads", "1e9", "99999999999999999999"):
        assert printed(code, OMP_NUM_THREADS=nonsense) == unset


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="CPUs cannot be chosen here")
def test_a_process_bound_to_one_cpu_computes_on_one_thread():
    bound = "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    code = f"import os; {bound}; import pyconv; print(pyconv.get_num_threads())"
    assert printed(code) == 1


def test_kernels_start_the_threads_they_are_given_and_no_more():
    count = """
pyconv.set_num_threads(int(sys.argv[1]))
before = len(os.listdir("/proc/self/task"))
assert right()
print(len(os.listdir("/proc/self/task")) - before)
"""
    if not Path("/proc/self/task").is_dir():
        pytest.skip("this system does not list the threads of a process")
    assert [printed(LARGE + count, str(n)) for n in (1, 2, 3)] == [0, 1, 2]
    assert printed(LARGE + count, "3", OMP_THREAD_LIMIT="2") == 1


REFUSED = """
import resource
# Room for the arrays, and for the stacks of few threads.
with open("/proc/self/statm") as statm:
    used = int(statm.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**25, used + 2**25))
pyconv.set_num_threads(64)
assert right()
print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is not listed here")
def test_kernels_do_without_threads_that_the_system_does_not_grant():
    assert printed(LARGE + REFUSED, OPENBLAS_NUM_THREADS="1") < 64


def convolution(seed):
    rng = np.random.default_rng(seed)
    x, W = rng.normal(size=(3, 4, 20, 21)), rng.normal(size=(5, 4, 3, 3))
    y = pyconv.conv2d(x, W)
    dx = pyconv.conv2d_backward_data(y, W, x.shape)
    return [y, dx, *pyconv.conv2d_backward_weight(x, y, W.shape), *pyconv.max_pool2d(y, 2, 2, 2)]


def bits(results):
    return [result.tobytes() for result in results]


def test_one_thread_and_two_agree_and_each_repeats_its_bits(set_threads):
    set_threads(2)
    on_two = convolution(0)
    assert all(bits(convolution(0)) == bits(on_two) for _ in range(5))
    set_threads(1)
    on_one = convolution(0)
    assert all(bits(convolution(0)) == bits(on_one) for _ in range(5))
    for one, two in zip(on_one, on_two, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12 * np.abs(one).max())


def test_many_python_threads_compute_at_once(set_threads):
    set_threads(2)
    expected = [bits(convolution(seed)) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda seed: bits(convolution(seed % 8)), range(64)))
    assert found == expected * 8


def test_a_kernel_lets_other_python_threads_run():
    """A counter moves while kernels compute, although no thread must hand over the interpreter."""
    x, W = np.ones((1, 64, 96, 96)), np.ones((64, 64, 3, 3))
    ticks, finished = 0, threading.Event()

    def count():
        nonlocal ticks
        while not finished.wait(0.001):
            ticks += 1

    counter, interval = threading.Thread(target=count), sys.getswitchinterval()
    sys.setswitchinterval(60)
    try:
        counter.start()
        before, start = ticks, time.perf_counter()
        while time.perf_counter() - start < 0.3:
            pyconv.conv2d(x, W)
        moved = ticks - before
    finally:
        sys.setswitchinterval(interval)
        finished.set()
        counter.join()
    assert moved > 0


# Imports


def test_importing_pyconv_loads_neither_the_command_line_nor_what_is_lazy():
    """Imported for a kernel, it costs little more than NumPy."""
    new = "import sys, numpy; before = set(sys.modules); import pyconv; "
    loaded = printed(new + "print(sorted(set(sys.modules) - before))")
    packages = {name.split(".")[0] for name in loaded}
    assert packages <= {"pyconv", "numpy"} | set(sys.stdlib_module_names)
    ours = {name.split(".")[1] for name in loaded if name.startswith("pyconv.")}
    assert ours == {"_core", "backend", "checks", "ops", "reference", "system", "window"}


LAZY_MODULES = [
    "datasets",
    "explain",
    "gradient_check",
    "layers",
    "networks",
    "optimizers",
    "verification",
    "weights",
]
LAZY = ["KernelError", "Trainer", "profile", *LAZY_MODULES]


@pytest.mark.parametrize("name", LAZY)
def test_a_lazy_name_loads_at_its_first_use(name):
    code = f"import pyconv; print([{name!r} in vars(pyconv), pyconv.{name}.__name__])"
    loaded = f"pyconv.{name}" if name in LAZY_MODULES else name
    assert printed(code) == [False, loaded]


def test_public_names_are_listed_and_an_unknown_one_is_an_attribute_error():
    assert set(LAZY) <= set(pyconv.__all__) <= set(dir(pyconv))
    with pytest.raises(AttributeError, match="module 'pyconv' has no attribute 'conv3d'"):
        _ = pyconv.conv3d


def test_an_import_without_the_compiled_module_says_what_to_do(tmp_path):
    copy = tmp_path / "pyconv"
    shutil.copytree(Path(pyconv.__file__).parent, copy, ignore=shutil.ignore_patterns("*.so"))
    # without site, an editable installation cannot lend its compiled module
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(Path(np.__file__).parents[1])!r}]"
    command = [sys.executable, "-I", "-S", "-c", code + "; import pyconv"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode != 0
    says = f"ImportError: the compiled part of pyconv is not beside its Python files in {copy}. In "
    assert says in run.stderr
    assert "pip install" in run.stderr
